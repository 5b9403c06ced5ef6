from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.calorimeter.events import Events
from benchmarks.calorimeter.parts import Parts
from benchmarks.calorimeter.parts import parts_of
from benchmarks.calorimeter.setting import DATASETS
from benchmarks.calorimeter.simulation import simulate


@pytest.fixture(scope="module")
def events() -> Events:
    return simulate(DATASETS["B"], 200, seed=0)


def keys(events: Events) -> set[tuple[float, float]]:
    """What tells events apart."""
    return set(zip(events.energy.tolist(), events.x.tolist(), strict=True))


def test_parts_are_disjoint_and_all_there_is(events: Events) -> None:
    parts = Parts(events)
    population = parts.sample(np.arange(parts.n_population))
    found = [keys(each) for each in (population, parts.validation, parts.test)]
    assert [len(each) for each in found] == [140, 30, 30]
    assert set.union(*found) == keys(events)


def test_parts_are_the_same_each_time_and_not_by_the_files_order(events: Events) -> None:
    assert np.array_equal(Parts(events).test.energy, Parts(events).test.energy)
    by_energy = events.take(np.argsort(events.energy))
    ranks = np.searchsorted(np.sort(events.energy), Parts(by_energy).test.energy)
    assert 60 < ranks.mean() < 140


def test_tensors_are_those_of_the_part(events: Events) -> None:
    parts = Parts(events)
    test = parts.prepared("test", "energy")
    np.testing.assert_allclose(10.0 * test.target.numpy(), parts.test.energy, rtol=1e-6)
    assert parts.prepared("test", "energy") is test
    assert len(parts.prepared("population", "position").target) == parts.n_population


def test_a_file_of_a_users_own_is_split_once(own: Path) -> None:
    parts = parts_of(own)
    assert parts.n_population == 7
    assert parts_of(own) is parts
    assert len(parts.sample(np.array([3, 0]))) == 2


def test_too_few_events_are_an_error(events: Events) -> None:
    with pytest.raises(ValueError, match="at least 7 events, but were 6"):
        Parts(events.take(range(6)))
