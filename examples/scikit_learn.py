"""A scikit-learn model that takes its seed and its training sample from the instance.

Every instance trains on another bootstrap sample, the same one for all models, and the rows left
out are where it is judged.
"""

from __future__ import annotations

import numpy as np
import optuna
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.metrics import root_mean_squared_error

import optuna_robust as opr


X, y = load_diabetes(return_X_y=True)


def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
    model = GradientBoostingRegressor(
        n_estimators=trial.suggest_int("n_estimators", 10, 200, log=True),
        learning_rate=trial.suggest_float("learning_rate", 0.01, 0.5, log=True),
        max_depth=trial.suggest_int("max_depth", 1, 5),
        subsample=trial.suggest_float("subsample", 0.3, 1.0),
        random_state=instance.seed,
    )
    rows = instance.bootstrap(len(X))
    left_out = np.setdiff1d(np.arange(len(X)), rows)
    model.fit(X[rows], y[rows])
    return float(root_mean_squared_error(y[left_out], model.predict(X[left_out])))


def main() -> None:
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=0), pruner=opr.RobustnessPruner()
    )
    study.optimize(
        opr.MultiInstanceObjective(objective, n_instances=10),
        n_trials=30,
        show_progress_bar=True,
    )
    n_pruned = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
    best = study.best_trial
    print(f"best parameters: {best.params}")
    print(
        f"median RMSE {best.user_attrs['robust:median']:.2f}, "
        f"spread (IQR) {best.user_attrs['robust:spread']:.2f}, "
        f"{n_pruned} of {len(study.trials)} trials pruned"
    )


if __name__ == "__main__":
    main()
