"""HDF5 files of instances: what is read is what was written, or a clear error."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import replace
import json
import math
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest

import optuna_robust
from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._instances.model_key import canonical_json
from optuna_robust._running.store import _hdf5
from optuna_robust._running.store import StoredInstance
from tests.conftest import SERVERS
from tests.running.store.test_store import attributes
from tests.running.store.test_store import database
from tests.running.store.test_store import FAILED
from tests.running.store.test_store import jobs_of
from tests.running.store.test_store import outcomes
from tests.running.store.test_store import PRUNED
from tests.running.store.test_store import RICH
from tests.running.store.test_store import texts
from tests.running.store.test_store import train


h5py = pytest.importorskip("h5py")

examples = settings(derandomize=True, deadline=None, max_examples=30)

SETTINGS = {"seed": 2**70, "vary": ["init", "order"]}


def stored(number: int = 0, outcome: Outcome = RICH, **values: Any) -> StoredInstance:
    """A finished instance."""
    state = "pruned" if outcome.pruned else "failed" if outcome.failure is not None else "done"
    fixed: dict[str, Any] = {
        "model_key": "0" * 64,
        "params": {"x": 0.1},
        "phase": "search",
        "number": number,
        "own": None,
        "seed": 1,
        "order_seed": 2**63 - 1,
        "state": state,
        "outcome": outcome,
        "begun": 1.1,
        "finished": 2.2,
        "worker": None,
    }
    return StoredInstance(**{**fixed, **values})


def three() -> list[StoredInstance]:
    return [stored(0), stored(1, FAILED), stored(2, PRUNED)]


def filled_store(
    url: str = "sqlite://", experiment: str = "ex ü", **options: Any
) -> InstanceStore:
    """A store with instances of every kind."""
    store = InstanceStore(url, experiment, version="v ü", **options)
    store.bind(seed=5, vary=("init", "sample"))
    for job, outcome in zip(jobs_of(3), (RICH, FAILED, PRUNED), strict=True):
        train(store, job, outcome)
    own = Job({"x": 1, "name": "ä"}, Instance(7, 5, "confirmation", ("init",), model=3))
    train(store, own, Outcome(0.0))
    return store


@pytest.fixture(params=["memory", "sqlite", *SERVERS])
def empty_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[InstanceStore]:
    """A store of the same version in an empty database of every kind."""
    with database(request.param, tmp_path) as url:
        found = InstanceStore(url, "another name", version="v ü")
        yield found
        found.close()


# There and back.


instances = st.builds(
    stored,
    st.integers(0, 2**63 - 1),
    outcomes,
    model_key=st.text("0123456789abcdef", min_size=64, max_size=64),
    params=st.dictionaries(st.text(), attributes, max_size=3).map(
        lambda params: json.loads(canonical_json(params))
    ),
    phase=st.sampled_from(["search", "confirmation"]),
    own=st.none() | st.integers(0, 2**63 - 1),
    seed=st.integers(0, 2**63 - 1),
    order_seed=st.integers(0, 2**63 - 1),
    begun=st.floats(0, 1e300),
    finished=st.floats(0, 1e300),
)


@examples
@given(
    found=st.lists(instances, max_size=4, unique_by=lambda each: each.key),
    experiment=texts,
    version=texts,
    bound=st.none() | st.fixed_dictionaries({"seed": st.integers(0), "vary": st.just(["init"])}),
)
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    found: list[StoredInstance],
    experiment: str,
    version: str,
    bound: dict[str, Any] | None,
) -> None:
    path = tmp_path_factory.getbasetemp() / "there_and_back.h5"
    _hdf5.write(path, found, experiment, version, bound)
    read, read_version, read_settings = _hdf5.read(path)
    assert read == found
    # Equal is not the same: 1 == 1.0 == True.
    assert [repr(each) for each in read] == [repr(each) for each in found]
    assert (read_version, read_settings) == (version, bound)
    with h5py.File(path) as file:
        assert file.attrs["experiment"] == experiment


def test_no_reason_and_an_empty_reason_differ(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    found = [
        stored(0, Outcome(None, failure="")),
        stored(1, Outcome(None, failure="null")),
        stored(2, Outcome(None, failure="", pruned=True)),
        stored(3, Outcome(None, pruned=True)),
    ]
    _hdf5.write(path, found, "", "", None)
    assert _hdf5.read(path) == (found, "", None)


def test_an_empty_file(tmp_path: Path) -> None:
    store = InstanceStore()
    assert store.export_hdf5(tmp_path / "file.h5") == 0
    assert _hdf5.read(tmp_path / "file.h5") == ([], "", None)
    assert InstanceStore().import_hdf5(tmp_path / "file.h5") == 0


def test_thousands_of_instances(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    found = [
        stored(number, Outcome(number / 7, learning_curve={step: 0.1 for step in range(3)}))
        for number in range(5000)
    ]
    _hdf5.write(path, found, "", "", SETTINGS)
    assert _hdf5.read(path) == (found, "", SETTINGS)
    with h5py.File(path) as file:
        # Where there are many, numbers are packed.
        assert file["instances/loss"].compression == "gzip"
        assert file["instances/number"].id.get_storage_size() < 5000 * 8 / 2


def test_other_programs_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    filled_store().export_hdf5(path)
    with h5py.File(path) as file:
        assert dict(file.attrs) == {
            "format": "optuna_robust.InstanceStore",
            "format_version": 1,
            "optuna_robust": optuna_robust.__version__,
            "experiment": "ex ü",
            "version": "v ü",
            "settings": '{"seed": 5, "vary": ["init", "sample"]}',
        }
        table = file["instances"]
        np.testing.assert_equal(table["loss"][:], [RICH.loss, math.nan, math.nan, 0.0])
        assert table["number"][:].tolist() == [0, 1, 2, 7]
        assert table["own"][:].tolist() == [-1, -1, -1, 3]
        assert table["state"].asstr()[:].tolist() == ["done", "failed", "pruned", "done"]
        assert table["failure"].asstr()[:].tolist() == [
            "null",
            '"ValueError: no"',
            '"the objective raised TrialPruned"',
            "null",
        ]
        assert table["params"].asstr()[3] == '{"name":"\\u00e4","x":1}'


# From one store to another.


def test_another_store_gets_the_same_instances(empty_store: InstanceStore, tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    store = filled_store()
    assert store.export_hdf5(str(path)) == 4
    assert empty_store.import_hdf5(str(path)) == 4
    expected = [replace(each, worker=None) for each in store.instances()]
    assert empty_store.instances() == expected
    assert empty_store.settings() == store.settings()
    # They count as if they had been trained here.
    assert set(empty_store.claim(jobs_of(3)).finished) == {job.key for job in jobs_of(3)}
    assert empty_store.has_success()
    assert empty_store.forget_failures() == 1

    assert empty_store.export_hdf5(path) == 3
    third = InstanceStore(version="v ü")
    assert third.import_hdf5(path) == 3
    assert third.instances() == [each for each in expected if each.state != "failed"]


def test_what_is_there_stays_as_it_is(empty_store: InstanceStore, tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    filled_store().export_hdf5(path)
    jobs = jobs_of(2)
    train(empty_store, jobs[0], Outcome(9.0))
    empty_store.claim(jobs[1:])
    before = empty_store.instances()
    assert empty_store.import_hdf5(path) == 2
    assert empty_store.import_hdf5(path) == 0
    assert empty_store.instances()[:2] == before
    assert len(empty_store.instances()) == 4
    assert empty_store.record(jobs[1], Outcome(8.0))


def test_running_instances_are_not_exported(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    store = filled_store()
    store.claim(jobs_of(6))
    assert len(store.instances()) == 7
    assert store.export_hdf5(path) == 4
    assert [each.number for each in _hdf5.read(path)[0]] == [0, 1, 2, 7]
    running = store.instances()[-1]
    with pytest.raises(ValueError, match="Only finished instances"):
        _hdf5.write(path, [running], "", "", None)
    assert len(_hdf5.read(path)[0]) == 4


@pytest.mark.parametrize(
    ("version", "seed", "vary", "message"),
    [
        ("2", 5, ("init", "sample"), "instances of version 'v ü', but this store is for .*'2'"),
        ("v ü", 6, ("init", "sample"), "seed=5 differs from seed=6"),
        ("v ü", 5, ("init",), r"vary=\['init', 'sample'\] differs from vary=\['init'\]"),
    ],
)
def test_instances_that_were_made_otherwise_are_refused(
    version: str, seed: int, vary: Any, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.h5"
    filled_store().export_hdf5(path)
    store = InstanceStore(version=version)
    store.bind(seed=seed, vary=vary)
    train(store, jobs_of(5)[4], Outcome(1.0))
    before = store.instances()
    with pytest.raises(ValueError, match=message):
        store.import_hdf5(path)
    assert store.instances() == before
    assert store.settings() == {"seed": seed, "vary": list(vary)}


def test_a_store_of_another_version_is_not_bound_by_the_attempt(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    filled_store().export_hdf5(path)
    store = InstanceStore(version="2")
    with pytest.raises(ValueError, match="version"):
        store.import_hdf5(path)
    assert store.settings() is None


# Files that are no such files.


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.h5"):
        InstanceStore().import_hdf5(tmp_path / "missing.h5")
    with pytest.raises(FileNotFoundError):
        InstanceStore().export_hdf5(tmp_path / "missing" / "file.h5")


@pytest.mark.parametrize("content", [b"", b"text\n", b"\x89HDF\r\n\x1a\n", b"\0" * 5000])
def test_a_file_that_is_not_hdf5(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.h5"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"file\.h5' is not an HDF5 file"):
        InstanceStore().import_hdf5(path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_file_that_was_cut_off(tmp_path: Path, part: float) -> None:
    path = tmp_path / "file.h5"
    _hdf5.write(path, three(), "", "", None)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ValueError, match=r"file\.h5'"):
        _hdf5.read(path)


def delete(name: str) -> Callable[[Any], None]:
    def damage(file: Any) -> None:
        del file[name]

    return damage


def replaced(name: str, data: Any) -> Callable[[Any], None]:
    def damage(file: Any) -> None:
        del file[name]
        file[name] = data

    return damage


def changed(name: str, row: int, value: Any) -> Callable[[Any], None]:
    def damage(file: Any) -> None:
        file[name][row] = value

    return damage


def attribute(name: str, value: Any) -> Callable[[Any], None]:
    def damage(file: Any) -> None:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (attribute("format", None), "does not hold .*InstanceStore"),
        (attribute("format", "something"), "does not hold .*InstanceStore"),
        (attribute("format_version", 99), "format version 99, but .* knows 1"),
        (attribute("format_version", None), "format version None, but .* knows 1"),
        (attribute("version", None), "attribute 'version' is missing"),
        (attribute("version", 3), "attribute 'version' is missing or no text"),
        (attribute("settings", None), "attribute 'settings' is missing"),
        (attribute("settings", "{"), "is damaged: .*property name"),
        (attribute("settings", "[]"), r"the settings are \[\]"),
        (attribute("settings", '{"seed": 1}'), "the settings are {'seed': 1}"),
        (attribute("settings", '{"seed": "1", "vary": []}'), "seed must be an integer"),
        (attribute("settings", '{"seed": 1, "vary": ["moon"]}'), "unknown source 'moon'"),
        (delete("instances"), "the group 'instances' is missing"),
        (replaced("instances", [1, 2]), "the group 'instances' is missing"),
        *[
            (delete(f"instances/{name}"), f"the dataset '{name}' is missing")
            for name in _hdf5.INTEGERS + _hdf5.FLOATS + _hdf5.NAMES + _hdf5.JSON
        ],
        (replaced("instances/seed", [1, 2]), "the datasets differ in length: .*'seed': 2"),
        (replaced("instances/state", ["done"]), "the datasets differ in length: .*'state': 1"),
        (replaced("instances/loss", ["a", "b", "c"]), "'loss' is not one column of the expected"),
        (replaced("instances/seed", [0.5] * 3), "'seed' is not one column of the expected"),
        (replaced("instances/params", [0, 1, 2]), "'params' is not one column of the expected"),
        (replaced("instances/loss", [[0.0]] * 3), "'loss' is not one column"),
        (replaced("instances/loss", 1.0), "'loss' is not one column"),
        (changed("instances/params", 1, "{"), "instance 1: "),
        (changed("instances/params", 1, ""), "instance 1: "),
        (changed("instances/params", 1, "[1]"), r"instance 1: params is \[1\]"),
        (changed("instances/params", 1, "null"), "instance 1: params is None"),
        (changed("instances/user_attrs", 2, "3"), "instance 2: user_attrs is 3"),
        (changed("instances/learning_curve", 2, '{"x": 1.5}'), "instance 2: .*'x'"),
        (changed("instances/learning_curve", 2, '{"1": "a"}'), "instance 2: learning_curve has"),
        (changed("instances/constraints", 2, '{"c": null}'), "instance 2: constraints has"),
        (changed("instances/distributions", 0, '{"x": "{}"}'), "instance 0: 'type' is missing"),
        (changed("instances/distributions", 0, '{"x": 1}'), "instance 0: "),
        (changed("instances/failure", 1, "no"), "instance 1: "),
        (changed("instances/failure", 1, "{}"), "instance 1: failure is {}"),
        (changed("instances/failure", 0, '"why"'), "instance 0: .*cannot have the loss"),
        (changed("instances/state", 1, "done"), "instance 1: it is done, with the failure"),
        (changed("instances/state", 1, "running"), "instance 1: state='running' is unknown"),
        (changed("instances/phase", 1, "moon"), "instance 1: phase='moon' is unknown"),
        (changed("instances/number", 1, -1), "instance 1: number must be at least 0"),
        (changed("instances/own", 1, -2), "instance 1: own must be at least -1"),
        (changed("instances/loss", 0, math.nan), "instance 0: .*must have a loss"),
        (changed("instances/loss", 0, math.inf), "instance 0: .*cannot have the loss inf"),
        (changed("instances/loss", 1, 0.5), "instance 1: .*cannot have the loss 0.5"),
        (changed("instances/number", 1, 0), "it holds an instance twice"),
    ],
)
def test_a_damaged_file(damage: Callable[[Any], None], message: str, tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    _hdf5.write(path, three(), "", "", SETTINGS)
    with h5py.File(path, "r+") as file:
        damage(file)
    store = InstanceStore()
    with pytest.raises(ValueError, match=message) as raised:
        store.import_hdf5(path)
    assert "file.h5" in str(raised.value)
    assert store.instances() == []
    assert store.settings() is None


def test_packed_numbers_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    found = [stored(number, Outcome(number / 7)) for number in range(2000)]
    _hdf5.write(path, found, "", "", None)
    with h5py.File(path) as file:
        place = file["instances/loss"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 50] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        _hdf5.read(path)


# Writing.


# Writes over a file, and is killed just before the new one would take its place.
KILLED = """
import os, sys
from pathlib import Path
from optuna_robust import InstanceStore

def kill(*_):
    print("killed", flush=True)
    os._exit(9)

os.replace = os.rename = Path.replace = kill
InstanceStore().export_hdf5(sys.argv[1])
"""


def test_a_kill_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    _hdf5.write(path, three(), "", "", None)
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (9, "killed\n"), done.stderr
    assert path.read_bytes() == before


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    _hdf5.write(path, three(), "", "", None)
    before = path.read_bytes()
    with pytest.raises(OverflowError):
        _hdf5.write(path, [stored(seed=2**63)], "", "", None)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["file.h5"]


def test_a_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    path.write_text("something else")
    _hdf5.write(path, three(), "", "", None)
    _hdf5.write(path, three()[:1], "", "", None)
    assert _hdf5.read(path)[0] == three()[:1]
    assert os.listdir(tmp_path) == ["file.h5"]


def test_without_h5py_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.h5"
    _hdf5.write(path, three(), "", "", None)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r'pip install "optuna-robust\[hdf5\]"'):
        InstanceStore().export_hdf5(path)
    with pytest.raises(ImportError, match=r'pip install "optuna-robust\[hdf5\]"'):
        InstanceStore().import_hdf5(path)
