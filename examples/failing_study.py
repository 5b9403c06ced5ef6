"""What a study prints whose objective fails.

Models with a large learning rate diverge: that is part of their behaviour, and counts as the worst
loss. The first failure of each kind is logged as a warning with its traceback, the others are
counted.
"""

from __future__ import annotations

import numpy as np
import optuna

import optuna_robust as opr


def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
    learning_rate = trial.suggest_float("learning_rate", 0.01, 2.0, log=True)
    data = instance.rng.normal(size=(64, 3))
    target = data @ np.array([1.0, -2.0, 0.5]) + 0.1 * instance.rng.normal(size=64)
    weights = instance.rng.normal(size=3)
    for _ in range(50):
        weights -= learning_rate * 2 * data.T @ (data @ weights - target) / len(data)
        if not np.abs(weights).max() < 1e6:
            raise FloatingPointError(f"diverged at a learning rate of {learning_rate:.2g}")
    return float(np.mean((data @ weights - target) ** 2))


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(opr.MultiInstanceObjective(objective, n_instances=5), n_trials=20)
    for trial in study.trials:
        losses = trial.user_attrs["robust:losses"]  # a failed one is sys.float_info.max
        failed = trial.user_attrs["robust:n_failures"]
        print(f"trial {trial.number}: {failed} of {len(losses)} instances failed")
    result = opr.robust_select(objective, {"learning_rate": [0.05, 0.2, 1.5]}, n_instances=6)
    print(result)  # failures={...}: how many of each kind


if __name__ == "__main__":
    main()
