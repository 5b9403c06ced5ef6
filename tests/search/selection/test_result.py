"""What a selection found: as a table, as text, and as a file."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
import math
from pathlib import Path
import tempfile
from typing import Any

import h5py
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
import numpy as np
import optuna
import pandas as pd
import pytest

from optuna_robust import Instance
from optuna_robust import robust_select
from optuna_robust import SelectionResult
from optuna_robust._search.selection import Step


TABLE: list[list[Any]] = [
    [0.5, 0.6, 0.7, 0.6],
    [1.5, 1.7, 1.6, 1.5],
    [0.1, math.nan, 0.2, 0.3],
    [optuna.TrialPruned(), 0.0, 0.0, 0.0],
]
MODELS = [{"model": 0}, {"model": 1, "kind": "a"}, {"model": 2}, {"model": 3, "kind": None}]


def lookup(trial: optuna.Trial, instance: Instance) -> float:
    outcome = TABLE[trial.params["model"]][instance.number]
    if isinstance(outcome, Exception):
        raise outcome
    return float(outcome)


@pytest.fixture(scope="module")
def result() -> SelectionResult:
    return robust_select(
        lookup,
        MODELS,
        rule="halving",
        criterion="mean",
        n_instances=4,
        n_warmup_instances=1,
        reduction_factor=3,
    )


def content(result: SelectionResult) -> dict[str, Any]:
    """All of a result, as text: NaN is NaN."""
    return {name: repr(value) for name, value in result.__dict__.items()}


# --- as Python objects ---------------------------------------------------------------------------


def test_a_result_is_frozen(result: SelectionResult) -> None:
    with pytest.raises(FrozenInstanceError):
        result.best_index = 1  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        result.steps[0].step = 2  # type: ignore[misc]


def test_types_are_pythons(result: SelectionResult) -> None:
    assert (type(result.best_index), type(result.best_value)) == (int, float)
    assert {type(index) for index in result.survivors} == {int}
    for step in result.steps:
        assert {type(index) for index in (*step.kept, *step.removed, step.incumbent)} == {int}
        assert (type(step.incumbent_value), type(step.seconds)) == (float, float)
    assert (result.losses.dtype, result.values.dtype) == (np.float64, np.float64)


def test_settings_say_what_the_instances_were(result: SelectionResult) -> None:
    assert result.settings == {
        "seed": 0,
        "vary": ["init", "order", "sample"],
        "reshuffle": False,
        "n_instances": 4,
        "on_failure": "worst",
    }


def test_the_repr_is_short_and_says_what_was_found(result: SelectionResult) -> None:
    text = repr(result)
    assert len(text) < 300
    for part in ("{'model': 0}", "mean=0.55 of 2 instances", "1 of 4 models", "'halving'"):
        assert part in text


def test_the_repr_does_not_grow_with_the_models() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        return float(instance.rng.normal()) + trial.number

    many = robust_select(objective, {"x": range(300)}, n_instances=6, n_select=200)
    assert len(repr(many)) < 300


# --- as a table ----------------------------------------------------------------------------------


def test_to_frame_has_a_row_for_every_model(result: SelectionResult) -> None:
    frame = result.to_frame()
    expected = pd.DataFrame(
        {
            "params_model": [0, 1, 2, 3],
            "params_kind": [None, "a", None, None],
            "value": [0.55, 1.6, math.inf, math.nan],
            "n_instances": [2, 2, 2, 0],
            "survives": [True, False, False, False],
            "removed_at": pd.array([None, 2, 2, 1], dtype="Int64"),
            "reason": [
                None,
                "halving: 1.6 is worse than 0.55",
                "halving: inf is worse than 0.55",
                "the objective raised TrialPruned",
            ],
            "loss_0": [0.5, 1.5, 0.1, math.nan],
            "loss_1": [0.6, 1.7, math.inf, math.nan],
        }
    )
    pd.testing.assert_frame_equal(frame, expected)


# --- as a file -----------------------------------------------------------------------------------


def test_a_saved_result_is_the_same_when_it_is_loaded(
    result: SelectionResult, tmp_path: Path
) -> None:
    for path in (tmp_path / "result.h5", str(tmp_path / "as_text.h5")):
        result.save(path)
        assert content(SelectionResult.load(path)) == content(result)
    assert result.failures == {2: {1: "the objective returned nan"}, 3: {0: _PRUNED}}


_PRUNED = "the objective raised TrialPruned"


def test_numpy_values_deep_in_a_model_can_be_saved(tmp_path: Path) -> None:
    models = [{"model": 0, "layers": [np.int64(3), np.float32(0.5)]}, {"model": 1, "layers": []}]
    found = robust_select(lookup, models, n_instances=4)
    found.save(tmp_path / "result.h5")
    loaded = SelectionResult.load(tmp_path / "result.h5")
    assert loaded.models == ({"model": 0, "layers": [3, 0.5]}, {"model": 1, "layers": []})


indices = st.integers(0, 99)
numbers = st.floats(allow_nan=True, allow_infinity=True)
values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
params = st.dictionaries(st.text(), values | st.lists(values), max_size=3)
matrices = hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(0, 4)))
steps = st.builds(
    Step,
    step=indices,
    kept=st.lists(indices, max_size=4).map(tuple),
    removed=st.dictionaries(indices, st.text(), max_size=3),
    incumbent=indices,
    incumbent_value=numbers,
    n_trained=indices,
    seconds=st.floats(0, 1e6),
    probability=numbers,
)
results = st.builds(
    SelectionResult,
    best_params=params,
    best_index=indices,
    models=st.lists(params, max_size=4).map(tuple),
    losses=matrices,
    values=hnp.arrays(np.float64, st.integers(0, 4)),
    survivors=st.lists(indices, max_size=4).map(tuple),
    steps=st.lists(steps, max_size=3).map(tuple),
    n_trainings=indices,
    n_reused=indices,
    seconds=st.floats(0, 1e6),
    failures=st.dictionaries(indices, st.dictionaries(indices, st.text()), max_size=2),
    criterion=st.text(),
    rule=st.text(),
    direction=st.sampled_from(["minimize", "maximize"]),
    settings=st.just({"seed": 0, "vary": ["init"], "reshuffle": False}),
    tolerance=st.floats(0, 1e6),
)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(saved=results)
def test_any_result_survives_being_saved(saved: SelectionResult) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "result.h5")
        saved.save(path)
        loaded = SelectionResult.load(path)
    np.testing.assert_array_equal(loaded.losses, saved.losses)
    assert content(loaded) == content(saved)


def test_saving_again_replaces_the_file(result: SelectionResult, tmp_path: Path) -> None:
    path = tmp_path / "result.h5"
    path.write_text("something else")
    result.save(path)
    result.save(path)
    assert content(SelectionResult.load(path)) == content(result)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no file .*nothing\.h5"):
        SelectionResult.load(tmp_path / "nothing.h5")


def test_a_file_that_is_no_result_is_an_error(result: SelectionResult, tmp_path: Path) -> None:
    path = tmp_path / "result.h5"
    path.write_text("losses")
    with pytest.raises(ValueError, match=r"result\.h5' is not an HDF5 file"):
        SelectionResult.load(path)
    with h5py.File(path, "w") as file:
        file["losses"] = [1.0]
    with pytest.raises(ValueError, match=r"does not hold a optuna_robust\.SelectionResult"):
        SelectionResult.load(path)


@pytest.mark.parametrize("name", ["losses", "values", "rest", "steps"])
def test_a_file_that_lacks_something_is_an_error(
    name: str, result: SelectionResult, tmp_path: Path
) -> None:
    path = tmp_path / "result.h5"
    result.save(path)
    with h5py.File(path, "a") as file:
        del file[name]
    with pytest.raises(ValueError, match="is damaged"):
        SelectionResult.load(path)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_that_was_cut_off_is_an_error(
    share: float, result: SelectionResult, tmp_path: Path
) -> None:
    path = tmp_path / "result.h5"
    result.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match="not an HDF5 file"):
        SelectionResult.load(path)


def test_a_file_of_a_later_version_is_an_error(result: SelectionResult, tmp_path: Path) -> None:
    path = tmp_path / "result.h5"
    result.save(path)
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(ValueError, match="format version 99"):
        SelectionResult.load(path)
