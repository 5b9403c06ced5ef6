"""LightGBM with Optuna's pruning callback inside an instance.

The callback reports every boosting round. Inside an instance these reports are that instance's
learning curve: they do not collide with the losses of the instances, and the callback never stops
a trial. Trials are stopped on full instances, by RobustnessPruner.
"""

from __future__ import annotations

import warnings

import lightgbm as lgb
import optuna
from optuna_integration import LightGBMPruningCallback
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import optuna_robust as opr


X, y = load_breast_cancer(return_X_y=True)
X_train, X_valid, y_train, y_valid = train_test_split(X, y, test_size=0.4, random_state=0)


def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
    params = {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.5, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 2, 32, log=True),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.3, 1.0),
        "bagging_freq": 1,
        "seed": instance.seed,
        "deterministic": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    rows = instance.sample(len(X_train), 200)
    train = lgb.Dataset(X_train[rows], y_train[rows])
    valid = lgb.Dataset(X_valid, y_valid, reference=train)
    booster = lgb.train(
        params,
        train,
        num_boost_round=50,
        valid_sets=[valid],
        callbacks=[LightGBMPruningCallback(trial, "binary_logloss")],
    )
    trial.set_user_attr("best_iteration", booster.best_iteration)
    return float(booster.best_score["valid_0"]["binary_logloss"])


def main() -> None:
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=0), pruner=opr.RobustnessPruner()
    )
    study.optimize(
        opr.MultiInstanceObjective(objective, n_instances=8),
        n_trials=30,
        show_progress_bar=True,
    )
    best = study.best_trial
    print(f"best parameters: {best.params}")
    print(
        f"Q3 + IQR of the log loss: {best.value:.4f} "
        f"(median {best.user_attrs['robust:median']:.4f}, "
        f"IQR {best.user_attrs['robust:spread']:.4f})"
    )


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    main()
