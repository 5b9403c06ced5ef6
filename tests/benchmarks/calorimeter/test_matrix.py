"""Energy in cells, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import k1

from benchmarks.calorimeter.matrix import shares_of_cells
from benchmarks.calorimeter.matrix import VARIANCES
from benchmarks.calorimeter.matrix import weights_of_variances
from benchmarks.calorimeter.setting import DATASETS
from benchmarks.calorimeter.setting import N_SIDE
from benchmarks.calorimeter.shower import cut
from benchmarks.calorimeter.shower import inside_square
from benchmarks.calorimeter.shower import mean_longitudinal
from benchmarks.calorimeter.shower import Radial
from benchmarks.calorimeter.shower import radial
from benchmarks.calorimeter.simulation import average_weights
from benchmarks.calorimeter.validation import containment


def cells_of(radius: float, cell_size: float, *, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    one = np.array([1.0])
    weights = weights_of_variances(Radial(radius * one, one, one), 1.0)
    return shares_of_cells(
        weights,
        VARIANCES,
        np.array([[x]]),
        np.array([[y]]),
        cell_size=cell_size,
        n_side=N_SIDE,
    )[0]


@pytest.mark.parametrize("cell_size", [1.01, 2.424])
def test_squares_hold_what_the_closed_form_says(cell_size: float) -> None:
    for radius in np.geomspace(0.1, 10.0, 30):
        cells = cells_of(radius, cell_size)
        for ring in range(N_SIDE // 2 + 1):
            square = slice(N_SIDE // 2 - ring, N_SIDE // 2 + ring + 1)
            expected = inside_square((ring + 0.5) * cell_size, radius)
            assert cells[square, square].sum() == pytest.approx(expected, abs=0.003)


def test_columns_are_along_x_and_rows_along_y() -> None:
    cells = cells_of(0.3, 1.0, x=2.0, y=-3.0)
    assert np.unravel_index(cells.argmax(), cells.shape) == (7 - 3, 7 + 2)
    assert cells_of(0.3, 1.0, x=-3.0, y=2.0) == pytest.approx(cells.T)


def test_light_is_spread_as_by_a_convolution() -> None:
    one, spread, n = np.array([1.0]), 0.85, 400_000
    rng = np.random.default_rng(0)
    radii = 0.5 * np.sqrt(1.0 / rng.uniform(size=n) - 1.0)
    angles = rng.uniform(0.0, 2.0 * np.pi, n)
    x, y = np.stack([np.cos(angles), np.sin(angles)]) * radii + rng.normal(0.0, spread, (2, n))
    edges = (np.arange(N_SIDE + 1) - N_SIDE / 2.0) * 1.01
    expected, _, _ = np.histogram2d(y - 0.2, x + 0.3, bins=(edges, edges))
    found = shares_of_cells(
        weights_of_variances(Radial(0.5 * one, one, one), 1.0),
        VARIANCES + spread**2,
        np.array([[0.3]]),
        np.array([[-0.2]]),
        cell_size=1.01,
        n_side=N_SIDE,
    )[0]
    assert found == pytest.approx(expected / n, abs=0.002)


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("energy", [1.0, 10.0, 100.0])
def test_average_showers_are_contained_as_the_analytic_profile_is(
    name: str, energy: float
) -> None:
    found = containment(DATASETS[name], energy)
    assert found.simulated == pytest.approx(found.analytic, abs=0.002)
    assert (np.diff(found.analytic) > 0.0).all()


def test_ninety_percent_are_within_a_moliere_radius_or_so() -> None:
    # The Molière radius is where 90 % are inside a circle; the square of the same area is meant.
    found = containment(DATASETS["A"], 10.0)
    half_width = 0.5 * np.sqrt(np.pi) * DATASETS["A"].stack.moliere_radius
    inside = np.interp(half_width, found.half_width, found.analytic)
    assert inside == pytest.approx(0.9, abs=0.03)


def test_the_average_barycentre_follows_the_s_that_theory_gives() -> None:
    """Counting energy at cell centres pulls barycentres to them.

    Rounding is u -> u + (a / pi) sum_n (-1)^n sin(2 pi n u / a) / n, whose mean over a symmetric
    profile damps each sine by the profile's characteristic function; that of the radial profile
    is k R K_1(k R).
    """
    setting, energy = DATASETS["B"], 10.0
    stack, size = setting.stack, setting.cell_size
    slices = cut(
        mean_longitudinal(np.array([energy]), stack), n_slices=200, back=np.array([stack.depth])
    )
    profile = radial(np.array([[energy]]), slices.tau, stack)
    share = slices.share / slices.share.sum()

    def damping(wave_number: float) -> float:
        core, tail = (
            wave_number * stack.moliere_radius * each for each in (profile.core, profile.tail)
        )
        mixed = profile.core_share * core * k1(core)
        mixed += (1.0 - profile.core_share) * tail * k1(tail)
        light = np.exp(-0.5 * (wave_number * setting.light_spread) ** 2)
        return float((share * mixed).sum() * light)

    x = np.linspace(-0.5, 0.5, 21)[:, None] * size
    cells = shares_of_cells(
        np.repeat(average_weights(stack, energy), len(x), axis=0),
        VARIANCES + setting.light_spread**2,
        x,
        np.zeros_like(x),
        cell_size=size,
        n_side=101,
    )
    centres = (np.arange(101) - 50) * size
    found = (cells.sum(axis=1) @ centres) / cells.sum(axis=(1, 2)) - x[:, 0]
    expected = np.zeros(len(x))
    for n in (1, 2, 3):
        wave_number = 2.0 * np.pi * n / size
        sine = np.sin(wave_number * x[:, 0])
        expected += size / np.pi * (-1) ** n / n * damping(wave_number) * sine
    assert np.abs(expected).max() > 0.025
    assert found == pytest.approx(expected, abs=0.003)
