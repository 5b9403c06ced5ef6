"""Several instances of a PyTorch model at once: on a GPU together, on a CPU in processes.

The objective has a parameter named ``instances`` and returns a loss for each. A study and a
selection call it for as many as they decide on together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import optuna
from sklearn.datasets import load_digits
import torch
from torch import nn
from torch import Tensor

import optuna_robust as opr
from optuna_robust.training import train_instances


def digits() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return a training population and validation data: images and labels."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.as_tensor(images / 16.0, dtype=torch.float32), torch.as_tensor(labels)
    return (x[:1000], y[:1000]), (x[1000:], y[1000:])


POPULATION, VALIDATION = digits()


def error(scores: Tensor, labels: Tensor) -> Tensor:
    return (scores.argmax(dim=1) != labels).float().mean()


def network(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


def objective(trial: optuna.Trial, instances: Sequence[opr.Instance]) -> list[float]:
    width = trial.suggest_int("width", 4, 64, log=True)
    learning_rate = trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True)
    result = train_instances(
        partial(network, width),
        POPULATION,
        instances,
        validation=VALIDATION,
        loss=nn.functional.cross_entropy,
        metric=error,
        optimizer=partial(torch.optim.Adam, lr=learning_rate),
        n_epochs=6,
        batch_size=32,
        sample_size=300,
    )
    trial.set_user_attr("method", result.method)
    return result.losses.tolist()


def main() -> None:
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=0), pruner=opr.RobustnessPruner()
    )
    study.optimize(opr.MultiInstanceObjective(objective, n_instances=8), n_trials=8)
    best = study.best_trial
    print(f"Q3 + IQR of {len(best.user_attrs['robust:losses'])} errors: {best.value:.4f}")
    print(best.params, "trained by:", best.user_attrs["method"])

    grid = {"width": [8, 32], "learning_rate": [0.001, 0.01, 0.1]}
    result = opr.robust_select(objective, grid, n_instances=8, tolerance=0.005)
    print("selected from the grid:", result.best_params, "with", result.n_trainings, "trainings")


if __name__ == "__main__":
    main()
