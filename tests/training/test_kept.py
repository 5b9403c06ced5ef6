"""Who keeps something from call to call is trained alone, wherever it is kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from torch import nn
from torch import Tensor
from torch.nn import functional

from tests.training.kinds import Rows
from tests.training.kinds import with_attribute
from tests.training.networks import images
from tests.training.networks import OPTIMIZERS
from tests.training.networks import trained


MANY = 10**6
calls = 0
COUNTS = {"calls": 0}


class Config:
    calls = 0


class Slotted:
    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0


class CountedByClass(Rows):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        CountedByClass.calls += 1
        return super().forward(x) * (1 + (self.calls > MANY))


class CountedByBase(CountedByClass):
    pass


class CountedByVariable(Rows):
    def forward(self, x: Tensor) -> Tensor:
        global calls  # noqa: PLW0603
        calls += 1
        return super().forward(x) * (1 + (calls > MANY))


class CountedByFunction(Rows):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(counted(x))


class Cycling(Rows):
    scales = cycle([1, 1])

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * next(self.scales)


def counted(x: Tensor) -> Tensor:
    COUNTS["calls"] += 1
    return x * (1 + (COUNTS["calls"] > MANY))


def by_key(shared: dict[str, int], x: Tensor) -> Tensor:
    shared["calls"] += 1
    return x * (1 + (shared["calls"] > MANY))


def by_attribute(shared: Any, x: Tensor) -> Tensor:
    shared.calls += 1
    return x * (1 + (shared.calls > MANY))


def by_its_class(shared: Any, x: Tensor) -> Tensor:
    type(shared).calls += 1
    return x * (1 + (shared.calls > MANY))


def by_element(shared: Any, x: Tensor) -> Tensor:
    shared[-1] += 1
    return x


def sharing(shared: Any, use: Callable[[Any, Tensor], Tensor]) -> Callable[[], nn.Module]:
    """Return what makes networks that have a value in common."""
    return with_attribute(lambda: shared, use)


HELD = "attribute 'held' of Holding"
KEEPING: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "shared dict": (sharing({"calls": 0}, by_key), HELD),
    "shared object": (sharing(Config(), by_attribute), HELD),
    "class of a shared object": (
        sharing(Config(), by_its_class),
        "attribute 'calls' of the class Config",
    ),
    "slots": (sharing(Slotted(), by_attribute), HELD),
    # A number that is there already, at another place.
    "shared list": (sharing([*range(60), 0], by_element), HELD),
    "shared array": (sharing(np.zeros(3), by_element), HELD),
    "class attribute": (CountedByClass, "attribute 'calls' of the class CountedByClass"),
    "base": (CountedByBase, "attribute 'calls' of the class CountedByClass"),
    "variable": (CountedByVariable, "variable 'calls'"),
    "function's variable": (CountedByFunction, "variable 'COUNTS'"),
    "iterator": (Cycling, "attribute 'scales' of the class Cycling"),
}


@pytest.mark.parametrize("name", KEEPING)
def test_networks_that_keep_something_together_are_trained_alone(name: str) -> None:
    factory, where = KEEPING[name]
    with pytest.raises(ValueError, match=f"together: {where} changes in training"):
        trained("vmap", model_factory=factory, n_epochs=1)


def test_what_networks_share_and_do_not_change_is_no_reason() -> None:
    shared = {"scale": 0.5, "columns": [np.arange(36)], "config": Config(), "ones": [1, 1]}
    factory = sharing(shared, lambda held, x: x[:, held["columns"][0]] * held["scale"])
    assert trained("vmap", model_factory=factory, n_epochs=1).method == "vmap"


def test_a_loss_may_take_a_hyperparameter_from_its_trial(tmp_path: Path) -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("weight", 0.1, 1.0)

        def loss(predictions: Tensor, targets: Tensor) -> Tensor:
            return trial.params["weight"] * functional.mse_loss(predictions, targets)

        return float(trained("vmap", loss=loss, n_epochs=1).losses.mean())

    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}")
    study.optimize(objective, n_trials=1)
    assert np.isfinite(study.best_value)


class CountingLoss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, predictions: Tensor, targets: Tensor) -> Tensor:
        self.calls += 1
        return functional.mse_loss(predictions, targets) * (1 + (self.calls > MANY))


class AveragingLoss(nn.Module):
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))

    def forward(self, predictions: Tensor, targets: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1
        return functional.mse_loss(predictions, targets)


class CallableLoss:
    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, predictions: Tensor, targets: Tensor) -> Tensor:
        self.seen.append(len(targets))
        return functional.mse_loss(predictions, targets)


def closed_over() -> Callable[[Tensor, Tensor], Tensor]:
    n = 0

    def loss(predictions: Tensor, targets: Tensor) -> Tensor:
        nonlocal n
        n += 1
        return functional.mse_loss(predictions, targets)

    return loss


LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], str]] = {
    "module": (CountingLoss(), "attribute 'calls' of CountingLoss"),
    "buffer": (AveragingLoss(), "attribute '_buffers' of AveragingLoss"),
    "object": (CallableLoss(), "the CallableLoss"),
    "method": (CallableLoss().__call__, "the __call__"),
    "closure": (closed_over(), "variable 'n'"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_that_keep_something_are_refused(name: str) -> None:
    loss, where = LOSSES[name]
    with pytest.raises(ValueError, match=f"together: {where} changes in training"):
        trained("vmap", loss=loss)


def test_schedules_that_keep_something_are_refused() -> None:
    steps = [0]

    def rate(epoch: int) -> float:
        steps[0] += 1
        return 1.0 if steps[0] < MANY else 0.1

    schedule = partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=rate)
    with pytest.raises(ValueError, match="together: variable 'steps' changes in training"):
        trained("vmap", scheduler=schedule)


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0])),
        nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0, 3.0])),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_losses_with_weights_in_float32_are_rehearsed_in_float64(loss: nn.Module) -> None:
    x, y = images(80, torch.float32)
    classes = (y[:, 0] > 0).long()
    if isinstance(loss, nn.BCEWithLogitsLoss):
        classes = functional.one_hot(classes).float()
    options: dict[str, Any] = {
        "data": (x, classes),
        "validation": (x, classes),
        "loss": loss,
        "model_factory": lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 2)),
        "n_epochs": 1,
    }
    together, alone = (
        trained(method, OPTIMIZERS["SGD"], **options) for method in ("vmap", "loop")
    )
    np.testing.assert_allclose(together.losses, alone.losses, rtol=1e-5)
    assert all(each.dtype == torch.float32 for each in loss.buffers())
