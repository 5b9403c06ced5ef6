"""What networks see of an event, what they are to say, and how wrong they are.

Everything is scaled by constants, so that nothing is learned from one part of the data and used on
another. Deposits are divided by an energy, not compressed: see ``_UNIT_OF_ENERGY``.
"""

from __future__ import annotations

from typing import get_args
from typing import Literal
from typing import NamedTuple
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from benchmarks.calorimeter.events import Events
from benchmarks.calorimeter.networks import Extra
from benchmarks.calorimeter.parametric import barycentre
from benchmarks.calorimeter.parametric import total_energy
from optuna_robust.arguments import check_choice


Problem: TypeAlias = Literal["energy", "position"]
PROBLEMS: tuple[Problem, ...] = get_args(Problem)

# The feature of the inductive bias.
EXTRA: dict[Problem, Extra] = {"energy": "sum", "position": "barycentre"}
UNITS: dict[Problem, str] = {"energy": "RMSE(E)/E", "position": "RMSE(x), cm"}

_UNIT_OF_ENERGY = 10.0
# Keeps the root's slope finite where a batch is predicted perfectly.
_TINY = 1e-12


class Prepared(NamedTuple):
    """Tensors of a network's inputs and targets, float32.

    Args:
        cells:
            Deposits in units of 10 GeV, shape (n, 1, 15, 15).
        extra:
            Energy problem: their sum in units of 10 GeV, shape (n, 1). Position problem: the
            barycentre's x and y, cm, shape (n, 2).
        target:
            Energy in units of 10 GeV, or x in cm, shape (n,).
    """

    cells: Tensor
    extra: Tensor
    target: Tensor


def prepare(events: Events, problem: Problem) -> Prepared:
    """Return what networks are trained with and judged by.

    Args:
        events:
            Clusters.
        problem:
            ``"energy"`` or ``"position"``.

    Raises:
        ValueError: If there is no such problem.
    """
    check_choice("problem", problem, PROBLEMS)
    if problem == "energy":
        extra = total_energy(events.cells)[:, None] / _UNIT_OF_ENERGY
        target = events.energy / np.float32(_UNIT_OF_ENERGY)
    else:
        extra = np.stack(barycentre(events.cells, events.cell_size), axis=1)
        target = events.x
    return Prepared(
        cells=torch.as_tensor(events.cells[:, None] / np.float32(_UNIT_OF_ENERGY)),
        extra=torch.as_tensor(extra.astype(np.float32)),
        target=torch.as_tensor(target.astype(np.float32)),
    )


def training_loss(prediction: Tensor, target: Tensor, *, problem: Problem) -> Tensor:
    """Return what training minimises: the root of the batch's mean squared error.

    Args:
        prediction:
            Outputs of a network, shape (n,).
        target:
            Of :func:`prepare`, shape (n,).
        problem:
            Errors are relative to the target for ``"energy"``.
    """
    return (_mean_square(prediction, target, problem) + _TINY).sqrt()


def validation_loss(prediction: Tensor, target: Tensor, *, problem: Problem) -> Tensor:
    """Return RMSE(E)/E, or RMSE(x) in cm, as a tensor without dimensions.

    Arguments are those of :func:`training_loss`.
    """
    return _mean_square(prediction, target, problem).sqrt()


def _mean_square(prediction: Tensor, target: Tensor, problem: Problem) -> Tensor:
    check_choice("problem", problem, PROBLEMS)
    error = prediction - target
    if problem == "energy":
        error = error / target
    return error.square().mean()
