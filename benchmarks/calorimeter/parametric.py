"""What a physicist does without learning: the calibrated sum, the corrected barycentre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.calorimeter.shower import Floats


def total_energy(cells: npt.NDArray[np.float32]) -> Floats:
    """Return the sum of deposits of each cluster, GeV."""
    total: Floats = cells.sum(axis=(1, 2), dtype=np.float64)
    return total


def barycentre(
    cells: npt.NDArray[np.float32], cell_size: float, *, n_side: int | None = None
) -> tuple[Floats, Floats]:
    """Return the energy-weighted x and y of each cluster, from the centre of the matrix, cm.

    Args:
        cells:
            Deposits, shape (n, 15, 15).
        cell_size:
            Side of a cell, cm.
        n_side:
            Only so many cells along a side, around the centre, are used; None: all.
    """
    if n_side is not None:
        left_out = (cells.shape[1] - n_side) // 2
        used = slice(left_out, cells.shape[1] - left_out)
        cells = cells[:, used, used]
    total = total_energy(cells)
    centres = (np.arange(cells.shape[1]) - (cells.shape[1] - 1) / 2.0) * cell_size
    x = cells.sum(axis=1, dtype=np.float64) @ centres / total
    y = cells.sum(axis=2, dtype=np.float64) @ centres / total
    return x, y


@dataclass(frozen=True)
class CalibratedSum:
    """Energy = offset + scale * sum of deposits; the offset is the mean pile-up."""

    offset: float
    scale: float

    @classmethod
    def fit(cls, total: Floats, energy: Floats) -> CalibratedSum:
        """Return the line with the smallest RMSE(E)/E."""
        design = np.stack([1.0 / energy, total / energy], axis=1)
        offset, scale = np.linalg.lstsq(design, np.ones(len(energy)))[0]
        return cls(float(offset), float(scale))

    def __call__(self, total: Floats) -> Floats:
        return self.offset + self.scale * total


@dataclass(frozen=True)
class SCurve:
    """Position = slope * barycentre + a sine that repeats with the cells.

    Energy between cell centres is counted at the centres, which pulls a barycentre towards them:
    drawn against the position, it goes like an S in each cell.
    """

    cell_size: float
    slope: float
    amplitudes: tuple[float, ...]

    @classmethod
    def fit(cls, barycentre: Floats, position: Floats, cell_size: float) -> SCurve:
        """Return the curve with the smallest RMSE."""
        slope, *amplitudes = np.linalg.lstsq(_terms(barycentre, cell_size), position)[0]
        return cls(cell_size, float(slope), tuple(map(float, amplitudes)))

    def __call__(self, barycentre: Floats) -> Floats:
        corrected: Floats = _terms(barycentre, self.cell_size) @ [self.slope, *self.amplitudes]
        return corrected


def _terms(barycentre: Floats, cell_size: float) -> Floats:
    phase = 2.0 * np.pi * barycentre / cell_size
    return np.stack([barycentre, np.sin(phase), np.sin(2.0 * phase)], axis=1)
