"""Electromagnetic showers after Grindhammer and Peters, hep-ex/0001020, appendix A.

A shower's energy is spread along its axis as a gamma distribution, whose parameters fluctuate from
shower to shower, and around the axis as a core and a tail. Depths ``t`` are in radiation lengths,
radii in Molière radii, energies in GeV. Names follow the paper: T is the depth of the maximum,
alpha the shape, tau a depth in units of the shower's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import gammainc

from benchmarks.calorimeter.stack import Stack


Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Integers: TypeAlias = npt.NDArray[np.integer[Any]]

# The formulas are for the GeV range; far below, at 0.07 GeV, their widths turn infinite.
LOWEST_ENERGY = 1.0
# A gamma distribution of shape 1 has no maximum inside the calorimeter.
_LOWEST_SHAPE = 1.1
# Deeper, where next to nothing is left of a shower, the radial formulas are not fitted.
_DEEPEST_TAU = 5.0
# A photon travels 9/7 radiation lengths on average before it converts, and is an electron and a
# positron from there on (Particle Data Group, Passage of particles through matter).
_CONVERSION_DEPTH = 9.0 / 7.0


@dataclass(frozen=True)
class Longitudinal:
    """Longitudinal profiles of some showers; all arrays have a value for each shower.

    Args:
        maximum:
            T, depth of the maximum behind the start.
        shape:
            alpha of the gamma distribution.
        mean_shape:
            alpha of the average shower of the same energy.
        start:
            Depth at which the photon converts.
    """

    maximum: Floats
    shape: Floats
    mean_shape: Floats
    start: Floats

    @property
    def rate(self) -> Floats:
        """Beta of the gamma distribution."""
        return (self.shape - 1.0) / self.maximum

    @property
    def centre(self) -> Floats:
        """<t>, mean depth behind the start."""
        return self.shape / self.rate

    def tau(self, depth: Floats) -> Floats:
        """Return depths behind the start, of shape (n, k), in units of each shower's own."""
        unit = self.centre * (self.mean_shape - 1.0) / self.mean_shape
        return np.minimum(depth / unit[:, None], _DEEPEST_TAU)


def draw_longitudinal(energy: Floats, stack: Stack, rng: np.random.Generator) -> Longitudinal:
    """Draw a profile for each photon (appendices A.1.2 and A.2.2, and the conversion)."""
    log_y = np.log(energy / stack.critical_energy)
    maximum, shape = _mean_longitudinal(log_y, stack)
    sigma_maximum = 1.0 / (-2.5 + 1.25 * log_y)
    sigma_shape = 1.0 / (-0.82 + 0.79 * log_y)
    correlation = 0.784 - 0.023 * log_y
    common, opposite = rng.standard_normal((2, len(energy)))
    common = np.sqrt((1.0 + correlation) / 2.0) * common
    opposite = np.sqrt((1.0 - correlation) / 2.0) * opposite
    return Longitudinal(
        maximum=maximum * np.exp(sigma_maximum * (common + opposite)),
        shape=np.maximum(shape * np.exp(sigma_shape * (common - opposite)), _LOWEST_SHAPE),
        mean_shape=shape,
        start=rng.exponential(_CONVERSION_DEPTH, len(energy)),
    )


def mean_longitudinal(energy: Floats, stack: Stack) -> Longitudinal:
    """Return the profiles of average showers."""
    maximum, shape = _mean_longitudinal(np.log(energy / stack.critical_energy), stack)
    return Longitudinal(maximum, shape, shape, np.full(len(energy), _CONVERSION_DEPTH))


def _mean_longitudinal(log_y: Floats, stack: Stack) -> tuple[Floats, Floats]:
    """Return T and alpha: exp of the mean logarithms of appendix A.2.2."""
    frequency, e_over_mip = stack.sampling_frequency, stack.e_over_mip
    maximum = log_y - 0.812 - 0.55 / frequency - 0.69 * (1.0 - e_over_mip)
    shape = 0.81 + (0.458 + 2.26 / stack.z) * log_y - 0.476 / frequency
    return maximum, shape


# Slices are of equal length up to so many times the mean depth; a few percent lie behind that.
_SLICED = 2.2
# Less is in no slice that matters.
_NOTHING = 1e-9


@dataclass(frozen=True)
class Slices:
    """Showers, cut across their axes; arrays of shape (n, k).

    Args:
        share:
            Of the photon's energy; what leaves the calorimeter at the back is in no slice.
        depth:
            Mean depth of the energy in the slice, from the front face along the axis.
        tau:
            The same behind the shower's start, in units of the shower's own.
    """

    share: Floats
    depth: Floats
    tau: Floats


def cut(profile: Longitudinal, *, n_slices: int, back: Floats) -> Slices:
    """Cut showers into slices that grow with the shower, the last one open at the end.

    Args:
        profile:
            The showers.
        n_slices:
            Number of slices.
        back:
            Where the calorimeter ends along each axis, from the front face.
    """
    edges = np.append(np.linspace(0.0, _SLICED, n_slices), np.inf) * profile.centre[:, None]
    edges = np.minimum(edges, np.maximum(back - profile.start, 0.0)[:, None])
    shape, rate = profile.shape[:, None], profile.rate[:, None]
    share = np.diff(gammainc(shape, rate * edges), axis=1)
    moment = np.diff(gammainc(shape + 1.0, rate * edges), axis=1) * profile.centre[:, None]
    depth = np.divide(moment, share, out=edges[:, :-1].copy(), where=share > _NOTHING)
    return Slices(share, depth + profile.start[:, None], profile.tau(depth))


@dataclass(frozen=True)
class Radial:
    """Radial profiles: f(r) = p 2 r R_C² / (r² + R_C²)² + (1 - p) 2 r R_T² / (r² + R_T²)².

    Args:
        core:
            R_C.
        tail:
            R_T.
        core_share:
            p.
    """

    core: Floats
    tail: Floats
    core_share: Floats


def radial(energy: Floats, tau: Floats, stack: Stack) -> Radial:
    """Return the radial profiles at depths of showers (appendices A.1.3 and A.2.3).

    Args:
        energy:
            Of the photons, shape (n, 1).
        tau:
            Depths, shape (n, k).
        stack:
            The medium.
    """
    log_energy, z = np.log(energy), stack.z
    inverse, unlike = 1.0 / stack.sampling_frequency, 1.0 - stack.e_over_mip
    core = 0.0251 + 0.00319 * log_energy + (0.1162 - 0.000381 * z) * tau
    core += -0.0203 * unlike + 0.0397 * inverse * np.exp(-tau)
    tail = (0.659 - 0.00309 * z) * (
        np.exp(-2.59 * (tau - 0.645)) + np.exp((0.3585 + 0.0421 * log_energy) * (tau - 0.645))
    )
    tail += -0.14 * unlike - 0.495 * inverse * np.exp(-tau)
    exponent = (0.401 + 0.00187 * z - tau) / (1.313 - 0.0686 * log_energy)
    share = (2.632 - 0.00094 * z) * np.exp(exponent - np.exp(exponent))
    share += unlike * (0.348 - 0.642 * inverse * np.exp(-((tau - 1.0) ** 2)))
    return Radial(core, tail, np.clip(share, 0.0, 1.0))


def number_of_spots(energy: Floats, sampling_term: float) -> Floats:
    """Return how many equal spots fluctuate around the axis as a shower does (A.2.4)."""
    spots: Floats = 10.3 / sampling_term * energy**0.959
    return spots


def inside_square(half_width: float, radius: Floats) -> Floats:
    """Return the share of 2 r R² / (r² + R²)² inside a square around the axis, in closed form.

    Args:
        half_width:
            Half the side of the square, in the unit of the radius.
        radius:
            R.

    Example:
        >>> import numpy as np
        >>> inside_square(1.0, np.array([0.01, 1.0, 100.0])).round(3)
        array([1.   , 0.554, 0.   ])
    """
    ratio = half_width / np.hypot(half_width, radius)
    share: Floats = 4.0 / np.pi * ratio * np.arctan(ratio)
    return share
