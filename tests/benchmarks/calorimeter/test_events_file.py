"""Events in memory and in HDF5: samples by row, and files whole or not at all."""

from __future__ import annotations

from dataclasses import asdict
import json
from pathlib import Path
import pickle
from typing import Any

import numpy as np
import pytest

from benchmarks.calorimeter.events import COLUMNS
from benchmarks.calorimeter.events import Events
from benchmarks.calorimeter.events import EventSource
from benchmarks.calorimeter.events import UNITS
from benchmarks.calorimeter.setting import DATASETS
from benchmarks.calorimeter.setting import setting_of
from benchmarks.calorimeter.simulated_file import simulate_to_file
from benchmarks.calorimeter.simulation import BLOCK
from benchmarks.calorimeter.simulation import blocks
from benchmarks.calorimeter.simulation import simulate


pytest.importorskip("h5py")

import h5py

from benchmarks.calorimeter.events_file import EventsFile
from benchmarks.calorimeter.events_file import write_events


N = 3 * BLOCK + 100


def write(path: Path, name: str = "B", n: int = N) -> None:
    setting = DATASETS[name]
    write_events(
        path,
        blocks(setting, n, seed=5),
        n=n,
        cell_size=setting.cell_size,
        about={"dataset": name, "seed": 5, "constants": asdict(setting)},
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("events") / "b.h5"
    write(path)
    return path


@pytest.fixture(scope="module")
def in_memory() -> Events:
    return simulate(DATASETS["B"], N, seed=5)


@pytest.fixture(params=["memory", "file"])
def source(request: pytest.FixtureRequest, file: Path, in_memory: Events) -> EventSource:
    return in_memory if request.param == "memory" else EventsFile(file)


def same(first: Events, second: Events) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in ("cells", *COLUMNS)
    )


@pytest.mark.parametrize(
    "rows",
    [
        [0],
        [N - 1, 0, 700, 64, 63],
        [5, 5, 3, 5],
        range(N),
        range(N - 1, -1, -1),
        np.random.default_rng(0).choice(N, 200, replace=False),
        np.array([3, 1], np.uint8),
        [],
    ],
)
def test_rows_come_in_their_order(source: EventSource, in_memory: Events, rows: Any) -> None:
    found = source.take(rows)
    assert len(found) == len(rows)
    expected = np.asarray(rows, dtype=int)
    assert np.array_equal(found.cells, in_memory.cells[expected])
    assert np.array_equal(found.theta_x, in_memory.theta_x[expected])
    assert found.cell_size == in_memory.cell_size
    assert found.cells.dtype == found.energy.dtype == np.float32


@pytest.mark.parametrize(("rows", "wrong"), [([0, N], N), ([-1], -1)])
def test_rows_outside_are_refused(source: EventSource, rows: list[int], wrong: int) -> None:
    with pytest.raises(IndexError, match=rf"rows must lie in \[0, {N}\), but one is {wrong}"):
        source.take(rows)


@pytest.mark.parametrize("rows", [[0.5], [[1, 2]], 3, [True, False]])
def test_rows_that_are_no_list_of_integers_are_refused(source: EventSource, rows: Any) -> None:
    with pytest.raises(TypeError, match="rows must be integers in one dimension"):
        source.take(rows)


def test_lengths_agree(source: EventSource) -> None:
    assert len(source) == N


def test_a_file_says_where_its_events_come_from(file: Path) -> None:
    about = EventsFile(file).about
    assert (about["dataset"], about["seed"]) == ("B", 5)
    assert about["constants"] == json.loads(json.dumps(asdict(DATASETS["B"])))
    assert about["constants"]["stack"]["absorber"]["radiation_length"] == 6.37


def test_the_layout_is_as_promised(file: Path) -> None:
    with h5py.File(file) as opened:
        assert set(opened) == {"cells", *COLUMNS}
        for name, dataset in opened.items():
            assert dataset.dtype == np.float32
            assert dataset.chunks is not None
            assert dataset.compression == "gzip"
            assert dataset.attrs["units"] == UNITS[name]
        assert opened.attrs["format_version"] == 1
        assert opened["cells"].chunks[0] < N  # a few rows do not cost reading all


def test_samples_do_not_read_all(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = EventsFile(file)
    read = []
    original = h5py.Dataset.__getitem__

    def counting(self: Any, key: Any) -> Any:
        found = original(self, key)
        if self.name == "/cells":
            read.append(len(found))
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
    source.take([1000, 3, 5])
    assert len(read) == 2
    assert sum(read) < 200


def test_a_file_can_be_pickled(file: Path, in_memory: Events) -> None:
    again = pickle.loads(pickle.dumps(EventsFile(file)))
    assert same(again.take([7, 3]), in_memory.take([7, 3]))


def test_a_users_own_file_works(own: Path) -> None:
    source = EventsFile(own)
    assert len(source) == 9
    assert source.cell_size == 2.0
    assert source.position == source.take([0]).position == "face"
    assert source.about == {"dataset": None, "seed": None, "constants": None}
    assert source.take([8, 0]).cells.shape == (2, 15, 15)


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "events.h5"
    path.write_text("what was there before")

    def interrupted() -> Any:
        yield simulate(DATASETS["A"], 10, seed=0)
        raise KeyboardInterrupt

    about = {"dataset": "A", "seed": 0, "constants": {}}
    with pytest.raises(KeyboardInterrupt):
        write_events(path, interrupted(), n=20, cell_size=1.0, about=about)
    assert path.read_text() == "what was there before"
    assert [each.name for each in tmp_path.iterdir()] == ["events.h5"]


@pytest.mark.parametrize("n", [5, 20])
def test_the_number_of_events_must_be_right(tmp_path: Path, n: int) -> None:
    parts = iter([simulate(DATASETS["A"], 10, seed=0)])
    about = {"dataset": "A", "seed": 0, "constants": {}}
    with pytest.raises(ValueError, match=f"should be {n} events"):
        write_events(tmp_path / "events.h5", parts, n=n, cell_size=1.0, about=about)
    assert not list(tmp_path.iterdir())


def test_a_file_says_where_positions_are(tmp_path: Path) -> None:
    path, setting = tmp_path / "events.h5", setting_of("B", "centre")
    simulate_to_file(path, "B", 10, seed=0, n_jobs=1, position="centre")
    source = EventsFile(path)
    assert source.position == source.take([3]).position == "centre"
    assert source.about["constants"]["position"] == "centre"
    expected = simulate(setting, 10, seed=0)
    np.testing.assert_array_equal(source.take(range(10)).x, expected.x)


def test_positions_are_not_mixed_in_a_file(tmp_path: Path) -> None:
    parts = (simulate(setting_of("B", position), 5, seed=0) for position in ("centre", "face"))
    about = {"dataset": "B", "seed": 0, "constants": {}}
    with pytest.raises(
        ValueError, match="must be at the centre, but those of one are at the face"
    ):
        write_events(
            tmp_path / "events.h5", parts, n=10, cell_size=1.0, about=about, position="centre"
        )
    assert not list(tmp_path.iterdir())
