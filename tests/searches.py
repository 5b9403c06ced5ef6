"""Small real searches that tests of figures, notes and pages share."""

from __future__ import annotations

import optuna

import optuna_robust as opr


# Text that would break out of Markdown, HTML, a script or a figure's text.
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>|`*_[a](http://b.c)\"'&\\"


def robust_study(
    storage: optuna.storages.BaseStorage | str | None = None,
    *,
    name: str = "energy",
    direction: str = "minimize",
    n_trials: int = 12,
    confirmed: bool = True,
    hostile: str = "activation",
    store: opr.InstanceStore | None = None,
) -> optuna.Study:
    """A study with pruned and failing trials, by default with a confirmation.

    Args:
        storage: Where it is.
        name: Its name.
        direction: Its direction.
        n_trials: How many trials it has.
        confirmed: Whether its best models are confirmed.
        hostile: Name, and one value, of a hyperparameter.
        store: Keeps its instances.
    """
    sign = -1 if direction == "maximize" else 1

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        x = trial.suggest_float("x", -1, 1)
        trial.suggest_categorical(hostile, ["relu", hostile])
        noise = float(instance.rng.normal())
        if x > 0.8 and noise > 1.0:
            raise FloatingPointError(f"diverged {hostile}")
        for epoch in range(3):
            trial.report(sign * (x**2 + (0.1 + abs(x)) * noise + 1.0 / (epoch + 1)), epoch)
        return sign * ((x - 0.3) ** 2 + (0.1 + abs(x)) * noise)

    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction=direction,
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=opr.RobustnessPruner(n_startup_trials=4),
    )
    study.optimize(opr.MultiInstanceObjective(objective, 6, store=store), n_trials=n_trials)
    if confirmed:
        opr.confirm(study, objective, n_models=2, n_instances=8)
    return study
