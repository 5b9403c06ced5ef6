"""Select the robust model of a grid, on all cores, resumable.

``python select_from_grid.py FOLDER`` keeps what it trains in FOLDER: kill it at any moment, start
it again, and it goes on.
"""

from __future__ import annotations

import sys
import tempfile
import warnings

import optuna
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import optuna_robust as opr


X, y = load_digits(return_X_y=True)
X = X / 16.0
GRID = {
    "width": [8, 16, 32],
    "learning_rate": [1e-3, 1e-2, 1e-1],
    "solver": ["adam", "sgd"],
}


def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
    """Return the error of one training."""
    model = MLPClassifier(
        hidden_layer_sizes=(trial.suggest_categorical("width", GRID["width"]),),
        learning_rate_init=trial.suggest_categorical("learning_rate", GRID["learning_rate"]),
        solver=trial.suggest_categorical("solver", GRID["solver"]),
        max_iter=20,
        random_state=instance.seed,
    )
    rows = instance.sample(1000, 300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 20 iterations are few on purpose
        model.fit(X[rows], y[rows])
    return 1.0 - float(model.score(X[1000:], y[1000:]))


def main(folder: str) -> None:
    study = optuna.create_study(
        storage=f"sqlite:///{folder}/selection.db", study_name="grid", load_if_exists=True
    )
    result = opr.robust_select(
        objective,
        GRID,
        n_instances=10,
        tolerance=0.01,  # an error of one in a hundred more is as good
        n_jobs=2,
        store=opr.InstanceStore(f"sqlite:///{folder}/selection.db", experiment="grid"),
        study=study,  # every model becomes a trial, for plots and the dashboard
        show_progress_bar=True,
    )
    for step in result.steps:
        print(f"wave {step.step}: {len(step.kept)} models, best {step.incumbent}")
    print(f"best: {result.best_params}, {result.criterion} {result.best_value:.3f}")
    print(f"within 0.01 of the best of all with probability {result.probability:.2f}")
    print(f"{result.n_trainings} trained, {result.n_reused} from the store; all would be 180")


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    main(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
