"""Two changed lines turn an existing study into a search for a robust model.

The objective stays as it is: it is called once an instance, with the global random generators
seeded for that instance.
"""

from __future__ import annotations

import optuna
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import optuna_robust as opr


X, y = load_breast_cancer(return_X_y=True)
X_train, X_valid, y_train, y_valid = train_test_split(X, y, test_size=0.5, random_state=0)


def objective(trial: optuna.Trial) -> float:
    model = MLPClassifier(
        hidden_layer_sizes=(trial.suggest_int("width", 2, 32, log=True),),
        learning_rate_init=trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        alpha=trial.suggest_float("alpha", 1e-5, 1.0, log=True),
        max_iter=30,
    )
    pipeline = make_pipeline(StandardScaler(), model).fit(X_train, y_train)
    return float(pipeline.score(X_valid, y_valid))


def main() -> None:
    study = optuna.create_study(
        direction="maximize",
        sampler=opr.RobustnessSampler(seed=0),  # 1: was optuna.samplers.TPESampler(seed=0)
    )
    # 2: was study.optimize(objective, n_trials=100)
    study.optimize(
        opr.MultiInstanceObjective(objective, n_instances=8),
        callbacks=[opr.MaxInstancesCallback(100)],  # 100 trials, 100 trainings
    )
    print(opr.recommend(study))
    best = study.best_trial
    print(f"Q1 - IQR of its accuracies: {best.value:.4f}")
    print(f"its accuracies: {[round(loss, 3) for loss in best.user_attrs['robust:losses']]}")


if __name__ == "__main__":
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    warnings.simplefilter("ignore", ConvergenceWarning)  # 30 iterations are few on purpose
    main()
