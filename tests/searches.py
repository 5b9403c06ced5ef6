"""Small real searches that tests of figures, notes and pages share."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from optuna.trial import create_trial
from optuna.trial import TrialState

import optuna_robust as opr
from optuna_robust import trials
from optuna_robust.criteria import get_criterion


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


def filled_study(
    storage: optuna.storages.BaseStorage | str, *, n_trials: int, n_params: int, name: str
) -> optuna.Study:
    """A study of trials with 20 instances each, half of them pruned, that nobody trained."""
    rng = np.random.default_rng(0)
    score = get_criterion("q3+iqr").score
    study = optuna.create_study(storage=storage, study_name="filled")
    settings = {"seed": 0, "n_instances": 20, "on_failure": "worst", "criterion": ["q3+iqr"]}
    study.set_user_attr(trials.SETTINGS, settings)
    names = [f"{name}{number}" for number in range(n_params)]
    found = []
    for number in range(n_trials):
        n = 20 if number % 2 == 0 else int(rng.choice([2, 4, 8, 16]))
        losses = (rng.random() + rng.random() * rng.normal(size=n)).tolist()
        running = {i: float(score(losses[: i + 1])) for i in range(1, n)}
        summary = trials.summary_attrs(losses, 1, n_failures=0, criterion=running[n - 1])
        attrs: dict[str, Any] = {trials.LOSSES: losses, trials.SECONDS: [0.1] * n, **summary}
        if n < 20:
            attrs[trials.STOPPED] = f"RobustnessPruner stopped it after {n} instances."
        found.append(
            create_trial(
                state=TrialState.COMPLETE if n == 20 else TrialState.PRUNED,
                value=running[n - 1],
                params={each: float(rng.random()) for each in names},
                distributions=dict.fromkeys(names, optuna.distributions.FloatDistribution(0, 1)),
                intermediate_values=running,
                user_attrs=attrs,
            )
        )
    study.add_trials(found)
    return study
