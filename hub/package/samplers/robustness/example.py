"""A robust search."""

import optuna
import optunahub


def objective(trial: optuna.Trial, instance) -> float:  # type: ignore[no-untyped-def]
    """Return a loss that is lowest at 0.5, and most stable at 0."""
    x = trial.suggest_float("x", -1, 1)
    return (x - 0.5) ** 2 + (0.1 + abs(x)) * float(instance.rng.normal())


module = optunahub.load_module("samplers/robustness")

study = optuna.create_study(sampler=module.RobustnessSampler())
study.optimize(
    module.MultiInstanceObjective(objective, n_instances=10),
    callbacks=[module.MaxInstancesCallback(100)],  # trainings in all
)
print(module.recommend(study))
