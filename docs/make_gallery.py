"""Make the gallery's images from real trainings: ``python docs/make_gallery.py``.

Small networks learn scikit-learn's handwritten digits. Everything is seeded, so that the images
are the same each time (but for what other versions of the libraries change). Needs ``pip install
"optuna-robust[docs]"`` and Chromium, whose path the environment variable BROWSER_PATH may name.
"""

from __future__ import annotations

from pathlib import Path
import time

import numpy as np
import optuna
import plotly.io as pio
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

import optuna_robust as opr
from optuna_robust import visualization


BEGUN = time.perf_counter()
WIDTH, HEIGHT = 800, 450
LOSS_NAME = "error in %"
N_EPOCHS = 12
X, Y = load_digits(return_X_y=True)
# Neighbours in the file were written by the same person.
ORDER = np.random.default_rng(0).permutation(len(X))
X, Y = X[ORDER] / 16.0, Y[ORDER]
N_POPULATION = 900
VALIDATION, TEST = slice(900, 1350), slice(1350, None)
SIZES = (50, 100, 200, 400, 800)
GRID = {
    "width": [4, 8, 16, 32],
    "learning_rate": [1e-2, 3e-2, 1e-1],
    "solver": ["adam", "sgd"],
}


def train(trial: optuna.Trial, instance: opr.Instance) -> float:
    """Return the error of one network; its learning curve is reported epoch by epoch."""
    network = MLPClassifier(
        hidden_layer_sizes=(trial.suggest_categorical("width", GRID["width"]),),
        learning_rate_init=trial.suggest_float("learning_rate", 1e-3, 0.3, log=True),
        batch_size=20,
        solver=trial.suggest_categorical("solver", GRID["solver"]),
        random_state=instance.seed,
    )
    rows = instance.sample(N_POPULATION, 200)
    # A confirmation is judged by images that the search has not seen.
    judged = TEST if instance.phase == "confirmation" else VALIDATION
    error = 100.0
    for epoch in range(1, N_EPOCHS + 1):
        network.partial_fit(X[rows], Y[rows], classes=range(10))
        error = 100.0 * (1.0 - float(network.score(X[judged], Y[judged])))
        trial.report(error, step=epoch)
    return error


def sample_sizes() -> dict[str, dict[float, list[float]]]:
    """Return errors by model and size of the training sample."""

    def error(model: MLPClassifier | LogisticRegression, size: int, number: int) -> float:
        rows = opr.Instance(number).sample(N_POPULATION, size)
        model.fit(X[rows], Y[rows])
        return 100.0 * (1.0 - float(model.score(X[TEST], Y[TEST])))

    return {
        "network": {
            size: [
                error(MLPClassifier((16,), learning_rate_init=0.02, random_state=i), size, i)
                for i in range(10)
            ]
            for size in SIZES
        },
        "logistic regression": {
            size: [error(LogisticRegression(max_iter=200), size, i) for i in range(10)]
            for size in SIZES
        },
    }


def main(folder: Path) -> None:
    """Train, and write an image of every figure."""
    store = opr.InstanceStore()
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=0), pruner=opr.RobustnessPruner()
    )
    study.optimize(opr.MultiInstanceObjective(train, n_instances=10, store=store), n_trials=50)
    opr.confirm(study, train, n_models=5, n_instances=20, store=store)
    everything = optuna.create_study(
        sampler=optuna.samplers.GridSampler(GRID, seed=0), pruner=optuna.pruners.NopPruner()
    )
    everything.optimize(opr.MultiInstanceObjective(train, n_instances=5, store=store), n_trials=24)
    selection = opr.robust_select(train, GRID, n_instances=10, rule="halving", store=store)
    print(f"searched: {time.perf_counter() - BEGUN:.0f} s", flush=True)
    named = {"loss_name": LOSS_NAME}
    figures = {
        "instance_losses": visualization.plot_instance_losses(study, **named),
        "level_spread": visualization.plot_level_spread(study, **named),
        "selection_path": visualization.plot_selection_path(selection, **named),
        "trainings": visualization.plot_trainings(selection),
        "optimism": visualization.plot_optimism(study, **named),
        "criteria": visualization.plot_criteria(everything, **named),
        "learning_curves": visualization.plot_learning_curves(
            study, store=store, value_name=LOSS_NAME
        ),
        "rank_correlation": visualization.plot_rank_correlation(everything, store=store),
        "top_overlap": visualization.plot_top_overlap(everything, store=store),
        "instance_effect": visualization.plot_instance_effect(study, **named),
        "sample_size": visualization.plot_sample_size(sample_sizes(), **named),
    }
    folder.mkdir(exist_ok=True)
    pio.write_images(
        list(figures.values()),
        [folder / f"{name}.png" for name in figures],
        width=WIDTH,
        height=HEIGHT,
    )


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with threadpool_limits(1):  # matrices are small
        main(Path(__file__).parent / "gallery")
    print(f"done: {time.perf_counter() - BEGUN:.0f} s")
