"""You already have a study: what are its best models worth when they are trained again?

The search trains every model once, as most do. Then its best three are trained on fresh instances
and judged by test data that the search has not seen.
"""

from __future__ import annotations

import numpy as np
import optuna
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import optuna_robust as opr


X, y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
order = np.random.default_rng(0).permutation(len(X))
POPULATION, VALIDATION, TEST = order[:250], order[250:400], order[400:]


def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
    """Return the accuracy of one training."""
    model = DecisionTreeClassifier(
        max_depth=trial.suggest_int("max_depth", 1, 12),
        min_samples_leaf=trial.suggest_int("min_samples_leaf", 1, 20),
        splitter=trial.suggest_categorical("splitter", ["best", "random"]),
        random_state=instance.seed,
    )
    rows = POPULATION[instance.sample(len(POPULATION), 150)]
    judged_by = VALIDATION if instance.phase == "search" else TEST
    return float(model.fit(X[rows], y[rows]).score(X[judged_by], y[judged_by]))


def main() -> None:
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(lambda trial: objective(trial, opr.Instance(trial.number)), n_trials=100)

    result = opr.confirm(study, objective, n_models=3, n_instances=30, show_progress_bar=True)
    print("trial  search  optimism  Q1 - IQR of 30 fresh ones  best with probability")
    for model in result.models:
        low, high = model.interval
        print(
            f"{model.index:5}  {model.search_value:6.3f}  {model.optimism:+8.3f}  "
            f"{model.value:8.3f} [{low:.3f}, {high:.3f}]  {model.probability_best:21.2f}"
        )
    print(f"take {result.best_params}")


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    main()
