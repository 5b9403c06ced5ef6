"""Models of the calorimeter problem: a network and how it is trained; the published ones."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from dataclasses import dataclass
import math
from typing import get_args
from typing import Literal
from typing import TypeAlias

import torch

from benchmarks.calorimeter.networks import Activation
from benchmarks.calorimeter.networks import Convolution
from benchmarks.calorimeter.networks import Extra
from benchmarks.calorimeter.networks import Network
from optuna_robust._base.arguments import check_between
from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_count


OptimizerName: TypeAlias = Literal["Adadelta", "Adam", "AdamW", "NAdam", "RMSprop", "SGD"]
Schedule: TypeAlias = Literal["cosine", "constant"]

_FUSED = ("Adam", "AdamW", "SGD")


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained.

    Args:
        optimizer:
            A class of ``torch.optim``; what is not set here has PyTorch's default.
        learning_rate:
            That of the first step.
        batch_size:
            Events of a step.
        weight_decay:
            Decoupled for AdamW (Loshchilov and Hutter 2019); for all others an L2 term, that is,
            weight_decay times the weights is added to the gradient.
        n_epochs:
            Passes through the training sample.
        schedule:
            ``"cosine"``: the rate falls to zero over all steps, by half a cosine (Loshchilov and
            Hutter 2017, equation 5, without restarts); or ``"constant"``. Which one was used for
            the published models is not known. With a constant one the last epoch is a matter of
            luck, and hides what the inductive bias does to the spread.

    Raises:
        TypeError: If a number is none.
        ValueError: If a number or the optimizer is not allowed.
    """

    optimizer: OptimizerName
    learning_rate: float
    batch_size: int
    weight_decay: float
    n_epochs: int = 50
    schedule: Schedule = "cosine"

    def __post_init__(self) -> None:
        check_choice("optimizer", self.optimizer, get_args(OptimizerName))
        check_choice("schedule", self.schedule, get_args(Schedule))
        check_between("learning_rate", self.learning_rate, 0.0, float("inf"))
        check_between("weight_decay", self.weight_decay, 0.0, 1.0, closed=True)
        check_count("batch_size", self.batch_size, minimum=1)
        check_count("n_epochs", self.n_epochs, minimum=1)

    def make_optimizer(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Return a new optimizer of these parameters."""
        kind: Callable[..., torch.optim.Optimizer] = getattr(torch.optim, self.optimizer)
        # One kernel for a whole step, in which small networks spend a good part of their time.
        options = {"fused": True} if self.optimizer in _FUSED else {}
        return kind(parameters, lr=self.learning_rate, weight_decay=self.weight_decay, **options)

    def make_scheduler(
        self, optimizer: torch.optim.Optimizer, *, sample_size: int
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Return a scheduler that moves on by steps of a training sample of so many events."""
        n_steps = self.n_epochs * math.ceil(sample_size / self.batch_size)
        if self.schedule == "cosine":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)


@dataclass(frozen=True)
class Model:
    """One set of hyperparameters."""

    network: Network
    training: TrainingSettings


def _published(
    second: Convolution,
    hidden: tuple[int, ...],
    training: TrainingSettings,
    *,
    activation: Activation = "relu",
    extra: Extra = "none",
) -> Model:
    first = Convolution(32, pool=2, stride=2)
    return Model(Network((first, second), hidden, activation, extra), training)


_TO_3X3 = Convolution(64, pool=2, stride=1)
_TO_1X1 = Convolution(64, pool=4, stride=4)
_NARROW_TO_1X1 = Convolution(16, pool=4, stride=4)

# The selected models of doi:10.1109/ACCESS.2025.3578926, and those that a search of one training a
# model had found. Whether it pools by maximum is not said in the table that these were taken from.
PUBLISHED: dict[str, Model] = {
    "Model 1": _published(_TO_3X3, (9,), TrainingSettings("NAdam", 1e-4, 64, 0.01)),
    "Model 2": _published(_TO_3X3, (9,), TrainingSettings("AdamW", 1e-3, 32, 0.1), extra="sum"),
    "Model 3": _published(
        _TO_1X1, (64, 9), TrainingSettings("AdamW", 1e-4, 32, 0.1), activation="prelu"
    ),
    "Model 4": _published(
        _TO_1X1,
        (64, 9),
        TrainingSettings("AdamW", 1e-4, 32, 0.1),
        activation="prelu",
        extra="barycentre",
    ),
    "NAS 1": _published(
        _NARROW_TO_1X1, (32, 9), TrainingSettings("AdamW", 1e-3, 32, 1e-3), extra="sum"
    ),
    "NAS 2": _published(
        _NARROW_TO_1X1, (128, 64, 9), TrainingSettings("AdamW", 1e-2, 32, 0.01), extra="sum"
    ),
}
