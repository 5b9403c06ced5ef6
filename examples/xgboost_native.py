"""XGBoost's native interface: seed and training sample are the instance's.

A selection: which of twelve models is robust, for little more than one training a model?
"""

from __future__ import annotations

import optuna
from sklearn.datasets import load_diabetes
import xgboost

import optuna_robust as opr


X, y = load_diabetes(return_X_y=True)
N_TRAIN = 300  # the patients that instances draw their samples from; the others judge
VALIDATION = xgboost.DMatrix(X[N_TRAIN:], y[N_TRAIN:])
GRID = {"max_depth": [1, 2, 4], "learning_rate": [0.05, 0.3], "subsample": [0.3, 0.8]}


def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
    params = {
        "max_depth": trial.suggest_categorical("max_depth", GRID["max_depth"]),
        "learning_rate": trial.suggest_categorical("learning_rate", GRID["learning_rate"]),
        "subsample": trial.suggest_categorical("subsample", GRID["subsample"]),
        "seed": instance.seed,
        "nthread": 1,
    }
    rows = instance.sample(N_TRAIN, 200)
    history: dict[str, dict[str, list[float]]] = {}
    xgboost.train(
        params,
        xgboost.DMatrix(X[rows], y[rows]),
        num_boost_round=60,
        evals=[(VALIDATION, "validation")],
        evals_result=history,
        verbose_eval=False,
    )
    return history["validation"]["rmse"][-1]


def main() -> None:
    result = opr.robust_select(objective, GRID, n_instances=10)
    print(f"best parameters: {result.best_params}")
    print(f"Q3 + IQR of its RMSE: {result.best_value:.1f}")
    print(f"{result.n_trainings} trainings for {len(result.models)} models")


if __name__ == "__main__":
    main()
