"""Clusters and their photons, in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args
from typing import Literal
from typing import Protocol
from typing import TypeAlias

import numpy as np
import numpy.typing as npt


# Quantities of a photon, beside its cells, and the units of everything.
COLUMNS = ("energy", "x", "y", "theta_x", "theta_y")
UNITS = {
    "cells": "GeV",
    "energy": "GeV",
    "x": "cm",
    "y": "cm",
    "theta_x": "rad",
    "theta_y": "rad",
}

# Where x and y are: at the calorimeter's front face, or where the photon's axis has the centre of
# showers of its energy.
Position: TypeAlias = Literal["face", "centre"]
POSITIONS: tuple[Position, ...] = get_args(Position)


class EventSource(Protocol):
    """Where events come from: :class:`Events` in memory, or a file."""

    @property
    def cell_size(self) -> float:
        """Side of a cell, cm."""

    def __len__(self) -> int:
        """Return the number of events."""

    def take(self, rows: npt.ArrayLike) -> Events:
        """Return the events of these row numbers, in this order."""


@dataclass(frozen=True)
class Events:
    """Clusters; all arrays are float32, and have a row for each.

    Args:
        cells:
            Deposits in GeV, shape (n, 15, 15): rows along y, columns along x. The hottest cell is
            in the centre. Noise makes some cells negative.
        energy:
            Of the photon, GeV.
        x:
            Where the photon is at ``position``, from the centre of the central cell, cm.
        y:
            The same for y.
        theta_x:
            Angle of the photon in the x-z plane, rad: the shower moves to x + z tan(theta_x).
        theta_y:
            Angle of the photon in the y-z plane, rad.
        cell_size:
            Side of a cell, cm.
        position:
            Where x and y are: ``"face"``, where the photon hits the calorimeter's front face, or
            ``"centre"``, where its line is at the mean depth of showers of its energy.
    """

    cells: npt.NDArray[np.float32]
    energy: npt.NDArray[np.float32]
    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]
    theta_x: npt.NDArray[np.float32]
    theta_y: npt.NDArray[np.float32]
    cell_size: float
    position: Position = "face"

    def __len__(self) -> int:
        return len(self.energy)

    def take(self, rows: npt.ArrayLike) -> Events:
        """Return the events of these row numbers, in this order.

        Args:
            rows:
                Numbers in [0, n); a number may come more than once.

        Raises:
            IndexError: If a row is outside.
            TypeError: If rows are not integers.
        """
        chosen = check_rows(rows, len(self))
        return Events(
            cells=self.cells[chosen],
            **{name: getattr(self, name)[chosen] for name in COLUMNS},
            cell_size=self.cell_size,
            position=self.position,
        )


def concatenate(parts: Iterable[Events]) -> Events:
    """Return events of several parts as one; there must be one at least.

    Raises:
        ValueError: If parts differ in the size of cells, or in where positions are.
    """
    every = list(parts)
    for name in ("cell_size", "position"):
        values = {getattr(part, name) for part in every}
        if len(values) > 1:
            raise ValueError(f"All parts must have the same {name}, but have {sorted(values)}.")
    return Events(
        cells=np.concatenate([part.cells for part in every]),
        **{name: np.concatenate([getattr(part, name) for part in every]) for name in COLUMNS},
        cell_size=every[0].cell_size,
        position=every[0].position,
    )


def check_rows(rows: npt.ArrayLike, n: int) -> npt.NDArray[np.int64]:
    """Return rows as integers in [0, n).

    Raises:
        IndexError: If a row is outside.
        TypeError: If rows are not integers in one dimension.
    """
    chosen = np.asarray(rows)
    if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
        raise TypeError(
            "rows must be integers in one dimension, but were of type "
            f"{chosen.dtype} and shape {chosen.shape}."
        )
    outside = (chosen < 0) | (chosen >= n)
    if outside.any():
        raise IndexError(f"rows must lie in [0, {n}), but one is {chosen[outside][0]}.")
    return chosen.astype(np.int64)
