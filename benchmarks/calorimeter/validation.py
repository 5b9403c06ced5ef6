"""Does the simulation do what was put in? The numbers; ``validation_page.py`` draws them.

Energies are looked at one by one, without pile-up, so that what is found can be compared with what
is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

import numpy as np

from benchmarks.calorimeter.matrix import shares_of_cells
from benchmarks.calorimeter.matrix import VARIANCES
from benchmarks.calorimeter.parametric import barycentre
from benchmarks.calorimeter.parametric import total_energy
from benchmarks.calorimeter.photons import FlatSpectrum
from benchmarks.calorimeter.setting import N_SIDE
from benchmarks.calorimeter.setting import Setting
from benchmarks.calorimeter.shower import cut
from benchmarks.calorimeter.shower import Floats
from benchmarks.calorimeter.shower import inside_square
from benchmarks.calorimeter.shower import mean_longitudinal
from benchmarks.calorimeter.shower import radial
from benchmarks.calorimeter.simulation import average_weights
from benchmarks.calorimeter.simulation import simulate


ENERGIES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
# So deep that nothing leaves at the back.
_DEEP = 100.0
_THIN_SLICES = 400


@dataclass(frozen=True)
class Response:
    """The sum of a cluster's deposits, over the energy; arrays have a value for each energy.

    Args:
        energy:
            GeV.
        mean:
            Mean of sum over energy.
        spread:
            Relative standard deviation of the sum.
        n:
            Number of events of each energy.
    """

    energy: Floats
    mean: Floats
    spread: Floats
    n: int


def response(setting: Setting, *, n: int, seed: int, deep: bool = False) -> Response:
    """Return the response to photons of the ``ENERGIES``: normal incidence, no pile-up.

    Args:
        setting:
            The data set.
        n:
            Events of each energy.
        seed:
            Of the simulation.
        deep:
            Whether the calorimeter is made so deep that nothing leaves at the back.
    """
    stack = replace(setting.stack, depth=_DEEP) if deep else setting.stack
    alone = replace(setting, pile_up=None, angles=None, stack=stack)
    means, spreads = [], []
    for energy in ENERGIES:
        events = simulate(replace(alone, spectrum=FlatSpectrum(energy, energy)), n, seed=seed)
        totals = total_energy(events.cells)
        means.append(totals.mean() / energy)
        spreads.append(totals.std(ddof=1) / totals.mean())
    return Response(np.array(ENERGIES), np.array(means), np.array(spreads), n)


def resolution_put_in(setting: Setting, energy: Floats) -> Floats:
    """Return a / sqrt(E) ⊕ b ⊕ c / E."""
    noise = N_SIDE * setting.cell_noise
    terms = [
        setting.sampling_term / np.sqrt(energy),
        np.full_like(energy, setting.constant_term),
        noise / energy,
    ]
    put_in: Floats = np.sqrt(np.sum(np.square(terms), axis=0))
    return put_in


@dataclass(frozen=True)
class Containment:
    """Energy in squares of 1, 3, 5, … cells around the axis of an average shower.

    Args:
        half_width:
            Of the squares, cm.
        simulated:
            Shares in the simulation's cells.
        analytic:
            Shares by the closed form of the radial profile.
    """

    half_width: Floats
    simulated: Floats
    analytic: Floats


def containment(setting: Setting, energy: float) -> Containment:
    """Return the containment of an average shower in the middle of a cell, light not spread."""
    stack, middle = setting.stack, np.zeros((1, 1))
    cells = shares_of_cells(
        average_weights(stack, energy),
        VARIANCES,
        middle,
        middle,
        cell_size=setting.cell_size,
        n_side=N_SIDE,
    )[0]
    n_rings = N_SIDE // 2 + 1
    half_widths = (np.arange(n_rings) + 0.5) * setting.cell_size
    squares = [slice(N_SIDE // 2 - ring, N_SIDE // 2 + ring + 1) for ring in range(n_rings)]

    energies = np.array([energy])
    slices = cut(
        mean_longitudinal(energies, stack), n_slices=_THIN_SLICES, back=np.array([stack.depth])
    )
    profile = radial(energies[:, None], slices.tau, stack)
    core, tail = profile.core * stack.moliere_radius, profile.tail * stack.moliere_radius
    analytic = [
        slices.share
        * (
            profile.core_share * inside_square(half_width, core)
            + (1.0 - profile.core_share) * inside_square(half_width, tail)
        )
        for half_width in half_widths
    ]
    return Containment(
        half_widths,
        np.array([cells[square, square].sum() for square in squares]),
        np.sum(analytic, axis=(1, 2)),
    )


@dataclass(frozen=True)
class Pull:
    """How far barycentres are pulled; arrays have a value for each bin of positions.

    Args:
        position:
            Centres of the bins, cm.
        pull:
            Mean of barycentre - position there, cm.
        error:
            Standard error of the mean, cm.
    """

    position: Floats
    pull: Floats
    error: Floats


def s_curve(
    setting: Setting, *, energy: float, n_side: int, n: int, seed: int, n_bins: int = 24
) -> Pull:
    """Return how barycentres differ from positions: normal incidence, no pile-up, no noise.

    Args:
        setting:
            The data set.
        energy:
            Of all photons, GeV.
        n_side:
            Cells along a side that the barycentre is of.
        n:
            Number of events.
        seed:
            Of the simulation.
        n_bins:
            Bins over the central cell.
    """
    alone = replace(
        setting,
        pile_up=None,
        angles=None,
        cell_noise=0.0,
        spectrum=FlatSpectrum(energy, energy),
    )
    events = simulate(alone, n, seed=seed)
    found, _ = barycentre(events.cells, events.cell_size, n_side=n_side)
    edges = np.linspace(-0.5, 0.5, n_bins + 1) * setting.cell_size
    bins = np.digitize(events.x, edges) - 1
    pulls = [(found - events.x)[bins == each] for each in range(n_bins)]
    return Pull(
        (edges[1:] + edges[:-1]) / 2.0,
        np.array([each.mean() for each in pulls]),
        np.array([each.std(ddof=1) / np.sqrt(len(each)) for each in pulls]),
    )
