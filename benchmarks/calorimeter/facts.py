"""What is known of the published data sets, and what the simulated ones have instead.

The published figures are of "An Approach to Finding a Robust Deep Learning Model"
(doi:10.1109/ACCESS.2025.3578926).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.calorimeter.events import Events
from benchmarks.calorimeter.parametric import barycentre
from benchmarks.calorimeter.parametric import CalibratedSum
from benchmarks.calorimeter.parametric import SCurve
from benchmarks.calorimeter.parametric import total_energy
from benchmarks.calorimeter.shower import Floats


# Below this share of the hottest cell, a cell is "near zero"; a hundredth.
_NEAR_ZERO = 0.01


@dataclass(frozen=True)
class Facts:
    """Figures of a data set.

    Args:
        largest_deposit:
            In a cell, GeV.
        hottest_share:
            The hottest cell's part of the photon's energy, mean.
        near_zero:
            Part of the cells that hold less than a hundredth of the hottest.
        steep_neighbours:
            Part of the pairs of neighbouring cells that differ by a factor of ten or more, of
            those in which the larger one is not near zero.
        energy_rmse:
            RMSE(E)/E of the calibrated sum.
        position_rmse:
            RMSE(x) of the barycentre, corrected by its S-curve, cm.
    """

    largest_deposit: float
    hottest_share: float
    near_zero: float
    steep_neighbours: float
    energy_rmse: float
    position_rmse: float


# None: not published.
PUBLISHED: dict[str, dict[str, float | None]] = {
    "A": {
        "largest_deposit": 14.0,
        "hottest_share": 1 / 7,
        "energy_rmse": None,
        "position_rmse": 0.142,
    },
    "B": {
        "largest_deposit": 50.0,
        "hottest_share": None,
        "energy_rmse": 0.0239,
        "position_rmse": 0.460,
    },
}


def measure(events: Events) -> Facts:
    """Return the figures; parametric models are fitted to one half, and judged on the other."""
    cells = np.maximum(events.cells, 0.0)
    hottest = cells.max(axis=(1, 2))
    floor = (_NEAR_ZERO * hottest)[:, None, None]
    return Facts(
        largest_deposit=float(hottest.max()),
        hottest_share=float(np.mean(hottest / events.energy)),
        near_zero=float(np.mean(cells < floor)),
        steep_neighbours=_steep_neighbours(cells, floor),
        energy_rmse=_energy_rmse(events),
        position_rmse=_position_rmse(events),
    )


def _steep_neighbours(cells: Floats, floor: Floats) -> float:
    first, second = cells[:, :, :-1], cells[:, :, 1:]
    larger, smaller = np.maximum(first, second), np.minimum(first, second)
    return float(np.mean((10.0 * smaller <= larger)[larger >= floor]))


def _energy_rmse(events: Events) -> float:
    half = len(events) // 2
    total, energy = total_energy(events.cells), events.energy.astype(np.float64)
    fitted = CalibratedSum.fit(total[:half], energy[:half])
    return float(np.sqrt(np.mean((fitted(total[half:]) / energy[half:] - 1.0) ** 2)))


def _position_rmse(events: Events) -> float:
    half = len(events) // 2
    centre, _ = barycentre(events.cells, events.cell_size)
    fitted = SCurve.fit(centre[:half], events.x[:half], events.cell_size)
    return float(np.sqrt(np.mean((fitted(centre[half:]) - events.x[half:]) ** 2)))
