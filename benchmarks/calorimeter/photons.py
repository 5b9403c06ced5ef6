"""The photons that hit the calorimeter: energy spectra and angles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.special import ndtr
from scipy.special import ndtri

from benchmarks.calorimeter.shower import Floats
from benchmarks.calorimeter.shower import LOWEST_ENERGY


@dataclass(frozen=True)
class FlatSpectrum:
    """All energies between two are alike.

    Args:
        low:
            Lowest energy, GeV.
        high:
            Highest energy, GeV.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range(self.low, self.high)

    def draw(self, rng: np.random.Generator, n: int) -> Floats:
        """Return energies, GeV."""
        return rng.uniform(self.low, self.high, n)


@dataclass(frozen=True)
class FallingSpectrum:
    """A peak and a long tail: log-normal between two energies.

    Args:
        peak:
            Most frequent energy, GeV.
        width:
            Standard deviation of the logarithm.
        low:
            Lowest energy, GeV.
        high:
            Highest energy, GeV.
    """

    peak: float
    width: float
    low: float
    high: float

    def __post_init__(self) -> None:
        _check_range(self.low, self.high)

    def draw(self, rng: np.random.Generator, n: int) -> Floats:
        """Return energies, GeV."""
        centre = np.log(self.peak) + self.width**2
        low, high = ndtr((np.log([self.low, self.high]) - centre) / self.width)
        energies: Floats = np.exp(centre + self.width * ndtri(rng.uniform(low, high, n)))
        return energies


Spectrum: TypeAlias = FlatSpectrum | FallingSpectrum


def _check_range(low: float, high: float) -> None:
    if not LOWEST_ENERGY <= low <= high:
        raise ValueError(
            f"low and high must be {LOWEST_ENERGY:g} <= low <= high in GeV, where the shower "
            f"formulas hold, but were {low!r} and {high!r}."
        )


@dataclass(frozen=True)
class TransverseMomentum:
    """Angles of photons from a beam collision: theta = p_T / E, whatever the energy.

    Args:
        scale:
            p_0 of dN/dp_T ~ p_T (1 + p_T / p_0)^-power, GeV: Hagedorn's form, which fits spectra
            of light hadrons in proton collisions (Riv. Nuovo Cim. 6N10 (1983) 1).
        power:
            Its power.
        largest_angle:
            theta_x and theta_y stay within plus and minus this, rad: the acceptance.
    """

    scale: float
    power: float
    largest_angle: float

    def draw(self, rng: np.random.Generator, energy: Floats) -> tuple[Floats, Floats]:
        """Return theta_x and theta_y, rad."""
        angles = np.full((2, len(energy)), np.inf)
        missing = np.arange(len(energy))
        while len(missing):
            # p_T / p_0 has a beta prime distribution: the ratio of two gamma variates.
            ratio = rng.standard_gamma(2.0, len(missing))
            ratio /= rng.standard_gamma(self.power - 2.0, len(missing))
            theta = self.scale * ratio / energy[missing]
            azimuth = rng.uniform(0.0, 2.0 * np.pi, len(missing))
            angles[:, missing] = theta * np.cos(azimuth), theta * np.sin(azimuth)
            missing = np.flatnonzero((np.abs(angles) > self.largest_angle).any(axis=0))
        return angles[0], angles[1]
