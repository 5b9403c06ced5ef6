"""How networks are trained: what is the same for all instances of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math
from typing import Any
from typing import TypeAlias

import torch
from torch import nn
from torch import Tensor


ModelFactory: TypeAlias = Callable[[], nn.Module]
# Predictions and targets of a batch, or of all validation rows; gives one number.
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
# Inputs, and last the target; rows along the first axis.
Columns: TypeAlias = tuple[Tensor, ...]


@dataclass(frozen=True)
class TrainingOptions:
    """How networks are trained; see :func:`~optuna_robust.training.train_instances`."""

    loss: Loss
    metric: Loss
    optimizer: Callable[..., Any]
    n_epochs: int
    batch_size: int
    sample_size: int
    scheduler: Callable[[Any], Any] | None
    by_step: bool
    evaluate_every: int
    patience: int | None
    reduced_precision: bool

    @property
    def n_steps(self) -> int:
        """Most steps of an instance."""
        return self.n_epochs * math.ceil(self.sample_size / self.batch_size)


@dataclass(frozen=True)
class Parts:
    """The data: the training population, and what the metric is of."""

    population: Columns
    validation: Columns

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.population[-1].device

    @property
    def dtype(self) -> torch.dtype | None:
        """What networks must be of; None if the data do not tell."""
        return next((each.dtype for each in self.population if each.is_floating_point()), None)

    def to(self, device: torch.device) -> Parts:
        """Return the same on another device."""
        return Parts(
            tuple(column.to(device) for column in self.population),
            tuple(column.to(device) for column in self.validation),
        )


def in_parts(columns: Columns, most_rows: int) -> list[Columns]:
    """Return copies of parts of data, of at most so many rows, and of nearly the same number.

    A last part of one row would have no variance to normalise by.
    """
    n_parts = -(-len(columns[0]) // most_rows)
    parts = zip(*(column.tensor_split(n_parts) for column in columns), strict=True)
    return [copied(part) for part in parts]


def copied(columns: Columns) -> Columns:
    """Return copies, which a network may change in place."""
    return tuple(column.clone() for column in columns)
