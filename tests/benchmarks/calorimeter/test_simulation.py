"""Whole events: what was put in comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.calorimeter import facts
from benchmarks.calorimeter import validation
from benchmarks.calorimeter.events import COLUMNS
from benchmarks.calorimeter.events import concatenate
from benchmarks.calorimeter.events import Events
from benchmarks.calorimeter.parametric import barycentre
from benchmarks.calorimeter.parametric import total_energy
from benchmarks.calorimeter.photons import FlatSpectrum
from benchmarks.calorimeter.setting import DATASETS
from benchmarks.calorimeter.setting import N_SIDE
from benchmarks.calorimeter.setting import setting_of
from benchmarks.calorimeter.simulation import BLOCK
from benchmarks.calorimeter.simulation import blocks
from benchmarks.calorimeter.simulation import simulate


@pytest.fixture(scope="module", params=DATASETS)
def events(request: pytest.FixtureRequest) -> tuple[str, Events]:
    return request.param, simulate(DATASETS[request.param], 4096, seed=0)


def same(first: Events, second: Events) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in ("cells", *COLUMNS)
    )


def test_shapes_and_types(events: tuple[str, Events]) -> None:
    name, found = events
    assert found.cells.shape == (4096, N_SIDE, N_SIDE)
    assert found.cells.dtype == np.float32
    for column in COLUMNS:
        values = getattr(found, column)
        assert values.shape == (4096,)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
    assert np.isfinite(found.cells).all()
    assert found.cell_size == DATASETS[name].cell_size


def test_the_hottest_cell_is_in_the_centre(events: tuple[str, Events]) -> None:
    _, found = events
    hottest = found.cells.reshape(len(found), -1).argmax(axis=1)
    assert (hottest == N_SIDE**2 // 2).all()


def test_energies_and_positions_are_in_range(events: tuple[str, Events]) -> None:
    name, found = events
    assert found.energy.min() >= 1.0
    assert found.energy.max() <= 100.0
    assert abs(found.x.mean()) < 0.05
    assert abs(found.y.mean()) < 0.05
    if name == "A":
        # Positions are alike all over the cell, and some clusters have their seed beside it.
        assert found.x.std() == pytest.approx(found.cell_size / np.sqrt(12.0), rel=0.1)
        assert not found.theta_x.any()
        assert not found.theta_y.any()


def test_no_cluster_is_lost_in_noise(events: tuple[str, Events]) -> None:
    _, found = events
    assert (total_energy(found.cells) > 0.2 * found.energy).all()


def test_inclined_showers_move_along_their_direction() -> None:
    found = simulate(DATASETS["B"], 2048, seed=0)
    for axis, centre in zip("xy", barycentre(found.cells, found.cell_size), strict=True):
        slope = np.tan(getattr(found, f"theta_{axis}").astype(float))
        moved = centre - getattr(found, axis)
        depth = (slope * moved).sum() / (slope**2).sum()
        # About 8 radiation lengths of 1.64 cm.
        assert depth == pytest.approx(13.0, abs=2.0)


def test_positions_can_be_at_the_centre_of_the_shower() -> None:
    setting = setting_of("B", "centre")
    found, at_face = (simulate(each, 2048, seed=0) for each in (setting, DATASETS["B"]))
    assert (found.position, at_face.position) == ("centre", "face")
    assert found.take([0]).position == "centre"
    np.testing.assert_array_equal(found.cells, at_face.cells)
    for axis, centre in zip("xy", barycentre(found.cells, found.cell_size), strict=True):
        slope = np.tan(getattr(found, f"theta_{axis}").astype(float))
        moved = centre - getattr(found, axis)
        # Nothing of the 13 cm above is left: angles do not move barycentres from such positions.
        assert (slope * moved).sum() / (slope**2).sum() == pytest.approx(0.0, abs=1.5)
    worse, better = (facts.measure(each).position_rmse for each in (at_face, found))
    assert better < 0.5 * worse


def test_positions_at_the_centre_need_angles() -> None:
    assert setting_of("A") == DATASETS["A"]
    with pytest.raises(ValueError, match="position='centre' has no effect on data set A"):
        setting_of("A", "centre")
    for wrong in ("back", None):
        with pytest.raises(ValueError, match=f"position={wrong!r} is unknown"):
            replace(DATASETS["B"], position=wrong)


def test_events_that_differ_are_not_put_together() -> None:
    at_face, at_centre = (
        simulate(setting_of("B", position), 2, seed=0) for position in ("face", "centre")
    )
    with pytest.raises(ValueError, match=r"same position, but have \['centre', 'face'\]"):
        concatenate([at_face, at_centre])
    with pytest.raises(ValueError, match="same cell_size"):
        concatenate([at_face, simulate(DATASETS["A"], 2, seed=0)])


def test_facts_of_the_publication(events: tuple[str, Events]) -> None:
    """With 4096 events; ``test_facts_with_many_events`` is stricter."""
    name, found = events
    measured = facts.measure(found)
    if name == "A":
        assert measured.largest_deposit == pytest.approx(14.0, rel=0.1)
        assert measured.hottest_share == pytest.approx(1 / 7, abs=0.03)
        assert measured.position_rmse == pytest.approx(0.142, rel=0.2)
        assert measured.near_zero > 0.6
    else:
        assert 35.0 < measured.largest_deposit < 55.0
        assert measured.energy_rmse == pytest.approx(0.0239, rel=0.1)
        assert measured.position_rmse == pytest.approx(0.460, rel=0.15)
        assert measured.near_zero > 0.9


def test_neighbouring_cells_differ_by_orders_of_magnitude(events: tuple[str, Events]) -> None:
    _, found = events
    hot = found.take(np.flatnonzero(found.energy > 20.0)).cells.mean(axis=0)
    assert hot[7, 7] > 20.0 * hot[7, 11]
    assert hot[7, 7] > 100.0 * hot[0, 0]
    assert facts.measure(found).steep_neighbours > 0.05


@pytest.mark.parametrize("name", DATASETS)
def test_linearity_and_resolution_are_as_put_in(name: str) -> None:
    n = 1024
    found = validation.response(DATASETS[name], n=n, seed=5, deep=True)
    # What misses is beside the matrix, and is the same share at all energies.
    assert found.mean.min() > 0.96
    standard_error = found.spread / np.sqrt(n)
    assert found.mean == pytest.approx(found.mean[-1], abs=0.002 + 4.0 * standard_error.max())
    put_in = validation.resolution_put_in(DATASETS[name], found.energy)
    # A standard deviation is known to 1 / sqrt(2 n), here 2.2 %.
    assert found.spread == pytest.approx(put_in, rel=0.08)


@pytest.mark.parametrize("term", ["sampling_term", "constant_term", "cell_noise"])
def test_each_term_of_the_resolution_acts_alone(term: str) -> None:
    nothing = {"sampling_term": 1e-4, "constant_term": 0.0, "cell_noise": 0.0}
    wanted = {"sampling_term": 0.1, "constant_term": 0.03, "cell_noise": 0.02}[term]
    setting = replace(DATASETS["B"], **{**nothing, term: wanted})
    found = validation.response(setting, n=1024, seed=1, deep=True)
    put_in = validation.resolution_put_in(setting, found.energy)
    # Early and late showers differ a little in what is beside the matrix.
    assert found.spread == pytest.approx(put_in, rel=0.1, abs=0.003)


def test_a_shallow_calorimeter_leaks() -> None:
    real = validation.response(DATASETS["B"], n=512, seed=0)
    deep = validation.response(DATASETS["B"], n=512, seed=0, deep=True)
    lost = deep.mean - real.mean
    assert (lost[3:] > 0.0).all()
    assert 0.003 < lost[-1] < 0.03


@pytest.mark.parametrize("name", DATASETS)
def test_barycentres_are_pulled_in_an_s(name: str) -> None:
    setting = DATASETS[name]
    found = validation.s_curve(setting, energy=50.0, n_side=3, n=8192, seed=0, n_bins=12)
    assert (found.pull[:5] > 0.0).all()
    assert (found.pull[-5:] < 0.0).all()
    assert found.pull == pytest.approx(-found.pull[::-1], abs=6.0 * found.error.max())
    # Less is missing to the whole matrix.
    whole = validation.s_curve(setting, energy=50.0, n_side=15, n=8192, seed=0, n_bins=12)
    assert np.abs(whole.pull).max() < 0.5 * np.abs(found.pull).max()


def test_pile_up_adds_energy_and_spoils_the_resolution() -> None:
    setting = replace(DATASETS["A"], spectrum=FlatSpectrum(20.0, 20.0))
    with_it = total_energy(simulate(setting, 2048, seed=0).cells)
    without = total_energy(simulate(replace(setting, pile_up=None), 2048, seed=0).cells)
    assert setting.pile_up is not None
    area = (N_SIDE * setting.cell_size) ** 2
    expected = setting.pile_up.density * area * setting.pile_up.energy
    assert with_it.mean() - without.mean() == pytest.approx(expected, rel=0.1)
    assert with_it.std() > without.std()


def test_a_seed_gives_the_same_events_again() -> None:
    setting = DATASETS["B"]
    assert same(simulate(setting, 50, seed=3), simulate(setting, 50, seed=3))
    assert not same(simulate(setting, 50, seed=3), simulate(setting, 50, seed=4))


def test_fewer_events_are_the_first_of_more() -> None:
    setting = DATASETS["A"]
    many = simulate(setting, 2 * BLOCK + 7, seed=1)
    assert len(many) == 2 * BLOCK + 7
    few = simulate(setting, BLOCK + 3, seed=1)
    assert same(few, many.take(np.arange(BLOCK + 3)))
    assert [len(part) for part in blocks(setting, BLOCK + 3, seed=1)] == [BLOCK, 3]


def test_events_do_not_repeat_from_block_to_block() -> None:
    found = simulate(DATASETS["A"], 2 * BLOCK, seed=0)
    assert len(np.unique(found.energy)) > 2 * BLOCK - 10


def test_the_number_of_processes_does_not_matter() -> None:
    setting, n = DATASETS["B"], 3 * BLOCK
    assert same(simulate(setting, n, seed=2, n_jobs=2), simulate(setting, n, seed=2))


def test_no_events_are_refused() -> None:
    with pytest.raises(ValueError, match="n must be at least 1, but was 0"):
        simulate(DATASETS["A"], 0, seed=0)


@pytest.mark.slow
def test_facts_with_many_events() -> None:
    measured = {
        name: facts.measure(simulate(setting, 60_000, seed=1, n_jobs=2))
        for name, setting in DATASETS.items()
    }
    assert measured["A"].largest_deposit == pytest.approx(14.0, rel=0.05)
    assert measured["A"].position_rmse == pytest.approx(0.142, rel=0.08)
    assert measured["B"].largest_deposit == pytest.approx(50.0, rel=0.08)
    assert measured["B"].energy_rmse == pytest.approx(0.0239, rel=0.04)
    assert measured["B"].position_rmse == pytest.approx(0.460, rel=0.05)
