"""Simulated images: photons that hit a wall of cells at random places and angles."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.calorimeter.setting import DATASETS
from benchmarks.calorimeter.simulation import fluctuated
from benchmarks.calorimeter.simulation import inclined_slices
from benchmarks.calorimeter.simulation import shares_of_slices


Images = npt.NDArray[np.float32]

SIDE = 20
# GeV. The beam is flat in energy; deposits above the threshold make the mask.
LOWEST, HIGHEST = 10.0, 100.0
THRESHOLD = 0.1
# The beam: standard deviations of where photons hit the wall, in cells, and of their angles, rad.
_BEAM_CELLS = 0.3
_BEAM_ANGLE = 0.05
_SETTING = DATASETS["A"]
_BLOCK = 256


class Showers(NamedTuple):
    """Photons and what they leave in the cells.

    Args:
        energy:
            GeV, shape ``(n,)``.
        deposits:
            GeV, 0 in cells below the threshold, shape ``(n, 20, 20)``.
    """

    energy: npt.NDArray[np.float32]
    deposits: Images


@lru_cache(maxsize=8)
def population(n: int, seed: int) -> Showers:
    """Return showers of a beam that is flat in energy."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    return simulated(rng.uniform(LOWEST, HIGHEST, n), rng)


@lru_cache(maxsize=8)
def at_energy(energy: float, n: int, seed: int) -> Images:
    """Return deposits of photons of one energy, shape ``(n, 20, 20)``."""
    spawn_key = (1, round(1000 * energy))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=spawn_key))
    return simulated(np.full(n, energy), rng).deposits


def simulated(energy: npt.NDArray[np.float64], rng: np.random.Generator) -> Showers:
    """Return the showers of photons of these energies, GeV."""
    deposits = np.concatenate(
        [_deposits(each, rng) for each in np.split(energy, range(_BLOCK, len(energy), _BLOCK))]
    )
    deposits[deposits < THRESHOLD] = 0.0
    return Showers(energy.astype(np.float32), deposits.astype(np.float32))


def _deposits(
    energy: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    angles = rng.normal(0.0, _BEAM_ANGLE, (2, len(energy)))
    weights, moved, _ = inclined_slices(_SETTING, energy, angles, rng)
    hit = rng.normal(0.0, _BEAM_CELLS, (2, len(energy))) * _SETTING.cell_size
    shares = shares_of_slices(_SETTING, weights, moved, hit, n_side=SIDE)
    deposits = fluctuated(_SETTING, energy, shares, rng)
    return deposits + rng.normal(0.0, _SETTING.cell_noise, deposits.shape)
