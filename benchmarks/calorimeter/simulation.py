"""Photon showers in a matrix of cells: the events of a setting and a seed.

Events come in blocks of fixed size, each with its own random numbers, so that they do not depend
on how many are asked for at once, or on the number of processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import islice
import multiprocessing
import signal

import numpy as np

from benchmarks.calorimeter.events import concatenate
from benchmarks.calorimeter.events import Events
from benchmarks.calorimeter.matrix import shares_of_cells
from benchmarks.calorimeter.matrix import VARIANCES
from benchmarks.calorimeter.matrix import weights_of_variances
from benchmarks.calorimeter.setting import N_SIDE
from benchmarks.calorimeter.setting import Setting
from benchmarks.calorimeter.shower import cut
from benchmarks.calorimeter.shower import draw_longitudinal
from benchmarks.calorimeter.shower import Floats
from benchmarks.calorimeter.shower import Integers
from benchmarks.calorimeter.shower import LOWEST_ENERGY
from benchmarks.calorimeter.shower import mean_longitudinal
from benchmarks.calorimeter.shower import number_of_spots
from benchmarks.calorimeter.shower import radial
from benchmarks.calorimeter.stack import Stack


BLOCK = 512
N_SLICES = 8
# The hottest cell is looked for so far from where a shower's energy is centred, in cells.
_MARGIN = 2
_N_WIDE = N_SIDE + 2 * _MARGIN
# Blocks that may be finished but not yet taken, for each process.
_AHEAD = 4


def simulate(setting: Setting, n: int, *, seed: int, n_jobs: int = 1) -> Events:
    """Return events in memory.

    Args:
        setting:
            Which, for example ``DATASETS["B"]``.
        n:
            How many: the first so many of the endless sequence that the seed stands for.
        seed:
            At least 0.
        n_jobs:
            Number of processes.
    """
    return concatenate(blocks(setting, n, seed=seed, n_jobs=n_jobs))


def blocks(setting: Setting, n: int, *, seed: int, n_jobs: int = 1) -> Iterator[Events]:
    """Yield the events of :func:`simulate` in parts, for when memory is short."""
    if n < 1:
        raise ValueError(f"n must be at least 1, but was {n}.")
    for block, events in enumerate(_whole_blocks(setting, -(-n // BLOCK), seed, n_jobs)):
        left = n - block * BLOCK
        yield events if left >= BLOCK else events.take(np.arange(left))


def _whole_blocks(setting: Setting, n_blocks: int, seed: int, n_jobs: int) -> Iterator[Events]:
    if n_jobs == 1:
        for block in range(n_blocks):
            yield simulate_block(setting, seed, block)
        return
    with ProcessPoolExecutor(
        min(n_jobs, n_blocks),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_leave_interrupts_to_parent,
    ) as executor:
        jobs = (executor.submit(simulate_block, setting, seed, block) for block in range(n_blocks))
        pending: deque[Future[Events]] = deque(islice(jobs, _AHEAD * n_jobs))
        try:
            while pending:
                yield pending.popleft().result()
                pending.extend(islice(jobs, 1))
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def simulate_block(setting: Setting, seed: int, block: int) -> Events:
    """Return the events of one block.

    A photon's cluster must have its own hottest cell in the centre. Where a pile-up photon's is
    hotter, which happens at low energies, everything but the photon's energy is drawn again.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(block,)))
    energy = setting.spectrum.draw(rng, BLOCK)
    cells = np.empty((BLOCK, N_SIDE, N_SIDE))
    others = np.empty((4, BLOCK))
    missing = np.arange(BLOCK)
    while len(missing):
        found, quantities = _clusters(setting, energy[missing], rng)
        good = found.reshape(len(found), -1).argmax(axis=1) == N_SIDE**2 // 2
        cells[missing[good]] = found[good]
        others[:, missing[good]] = quantities[:, good]
        missing = missing[~good]
    x, y, theta_x, theta_y = others.astype(np.float32)
    return Events(
        cells=cells.astype(np.float32),
        energy=energy.astype(np.float32),
        x=x,
        y=y,
        theta_x=theta_x,
        theta_y=theta_y,
        cell_size=setting.cell_size,
        position=setting.position,
    )


def _clusters(setting: Setting, energy: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return cells with the seed in the centre, and x, y, theta_x and theta_y."""
    n = len(energy)
    if setting.angles is None:
        angles: Floats = np.zeros((2, n))
    else:
        angles = np.stack(setting.angles.draw(rng, energy))
    shares, hit = _mean_shares(setting, energy, angles, rng)
    if setting.position == "centre":
        hit += _down_to_centre(setting.stack, energy, angles)
    wide = fluctuated(setting, energy, shares, rng)
    wide += _pile_up(setting, n, rng)
    wide += rng.normal(0.0, setting.cell_noise, wide.shape)
    seeds = _seeds(wide)
    rows, columns = (start[:, None] + np.arange(N_SIDE) for start in seeds)
    cells = wide[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    row_shift, column_shift = ((start - _MARGIN) * setting.cell_size for start in seeds)
    return cells, np.stack([hit[0] - column_shift, hit[1] - row_shift, *angles])


def _mean_shares(
    setting: Setting, energy: Floats, angles: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return shares of the wide matrix, and where photons hit the face from the centre of that.

    The matrix is the one in whose central cell the shower's axis is, where its energy is centred.
    Slices of an inclined shower are moved along, but stay circles across z: at 0.1 rad, they would
    be longer by 0.5 %.
    """
    weights, moved, share = inclined_slices(setting, energy, angles, rng)
    # Any place in a cell is as likely as any other.
    hit = rng.uniform(-0.5, 0.5, (2, len(energy))) * setting.cell_size
    centre = hit + (moved * share).sum(axis=2) / share.sum(axis=1)
    hit -= np.round(centre / setting.cell_size) * setting.cell_size
    if setting.angles is None:
        weights = weights.sum(axis=1, keepdims=True)
        moved = np.zeros((2, len(energy), 1))
    return shares_of_slices(setting, weights, moved, hit, n_side=_N_WIDE), hit


def inclined_slices(
    setting: Setting, energy: Floats, angles: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Draw showers, and cut them into slices across the way that they go.

    Args:
        setting:
            Which calorimeter.
        energy:
            GeV, shape (n,).
        angles:
            theta_x and theta_y, rad, shape (2, n).
        rng:
            Showers are drawn from it.

    Returns:
        Weights of the ``VARIANCES``, shape (n, n_slices, k); how far slices are from where the
        photon hit the face along x and y, cm, shape (2, n, n_slices); shares of the energy, shape
        (n, n_slices).
    """
    stack = setting.stack
    sideways, length = _directions(angles)
    slices = cut(
        draw_longitudinal(energy, stack, rng), n_slices=N_SLICES, back=stack.depth * length
    )
    profile = radial(energy[:, None], slices.tau, stack)
    weights = weights_of_variances(profile, stack.moliere_radius)
    weights *= slices.share[..., None]
    moved = sideways[..., None] * slices.depth * stack.radiation_length
    return weights, moved, slices.share


def shares_of_slices(
    setting: Setting, weights: Floats, moved: Floats, hit: Floats, *, n_side: int
) -> Floats:
    """Return the share of each cell of a matrix, of shape (n, n_side, n_side).

    Args:
        setting:
            Which calorimeter.
        weights:
            As :func:`inclined_slices` returns them.
        moved:
            As it returns them.
        hit:
            Where photons hit the face, from the centre of the matrix, cm, shape (2, n).
        n_side:
            Cells along a side.
    """
    n, n_slices, n_variances = weights.shape
    x, y = hit[:, :, None] + moved
    if n_slices > 1:
        x, y = np.repeat(np.stack([x, y]), n_variances, axis=2)
    return shares_of_cells(
        weights.reshape(n, -1),
        np.tile(VARIANCES, n_slices) + setting.light_spread**2,
        x,
        y,
        cell_size=setting.cell_size,
        n_side=n_side,
    )


def _directions(angles: Floats) -> tuple[Floats, Floats]:
    """Return x and y for each unit along lines at these angles, and such units for each of z."""
    slope = np.tan(angles)
    length = np.sqrt(1.0 + (slope**2).sum(axis=0))
    return slope / length, length


def _down_to_centre(stack: Stack, energy: Floats, angles: Floats) -> Floats:
    """Return how far x and y of photons are from the face where their average shower is centred.

    Nobody knows where the shower of one event is centred along its axis, only the average.
    """
    average = mean_longitudinal(energy, stack)
    depth = (average.start + average.centre) * stack.radiation_length
    sideways, _ = _directions(angles)
    return sideways * depth


def fluctuated(
    setting: Setting, energy: Floats, shares: Floats, rng: np.random.Generator
) -> Floats:
    """Return deposits: the total fluctuates by sampling, and is shared among spots.

    Both as hep-ex/0001020 has it, but with gamma variates for numbers of spots, since light
    spreads and a spot may be shared by cells.
    """
    total = rng.standard_gamma(energy / setting.sampling_term**2) * setting.sampling_term**2
    total *= 1.0 + setting.constant_term * rng.standard_normal(len(energy))
    n_spots = number_of_spots(energy, setting.sampling_term)
    spots = rng.standard_gamma(n_spots[:, None, None] * shares)
    beside = np.clip(1.0 - shares.sum(axis=(1, 2)), 0.0, None)
    all_spots = spots.sum(axis=(1, 2)) + rng.standard_gamma(n_spots * beside)
    deposits: Floats = (total / all_spots)[:, None, None] * spots
    return deposits


def _pile_up(setting: Setting, n: int, rng: np.random.Generator) -> Floats:
    """Return what photons deposit that have nothing to do with the cluster.

    They are soft: each has the average profile of a photon of the lowest energy that is
    parametrised.
    """
    deposits = np.zeros((n, _N_WIDE, _N_WIDE))
    if setting.pile_up is None:
        return deposits
    side = _N_WIDE * setting.cell_size
    counts = rng.poisson(setting.pile_up.density * side**2, n)
    energies = rng.exponential(setting.pile_up.energy, counts.sum())
    x, y = rng.uniform(-0.5 * side, 0.5 * side, (2, counts.sum(), 1))
    shares = shares_of_cells(
        average_weights(setting.stack, LOWEST_ENERGY),
        VARIANCES + setting.light_spread**2,
        x,
        y,
        cell_size=setting.cell_size,
        n_side=_N_WIDE,
    )
    np.add.at(deposits, np.repeat(np.arange(n), counts), energies[:, None, None] * shares)
    unit = setting.sampling_term**2
    return rng.standard_gamma(deposits / unit) * unit


@cache
def average_weights(stack: Stack, energy: float) -> Floats:
    """Return the weights of the ``VARIANCES`` of an average shower, of shape (1, k)."""
    energies = np.array([energy])
    slices = cut(
        mean_longitudinal(energies, stack), n_slices=N_SLICES, back=np.array([stack.depth])
    )
    profile = radial(energies[:, None], slices.tau, stack)
    weights = weights_of_variances(profile, stack.moliere_radius) * slices.share[..., None]
    summed: Floats = weights.sum(axis=1)
    return summed


def _seeds(wide: Floats) -> tuple[Integers, Integers]:
    """Return first row and first column of the matrix around the hottest cell."""
    near = slice(N_SIDE // 2, N_SIDE // 2 + 2 * _MARGIN + 1)
    hottest = wide[:, near, near].reshape(len(wide), -1).argmax(axis=1)
    return np.divmod(hottest, 2 * _MARGIN + 1)
