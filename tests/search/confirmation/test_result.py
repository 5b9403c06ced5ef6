"""A confirmation's result: as JSON, in a study, in a file, as a table, and as text."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages.journal import JournalFileBackend
import pytest

from optuna_robust import confirm
from optuna_robust import ConfirmationResult
from optuna_robust import Instance
from optuna_robust import MultiInstanceObjective
from optuna_robust import robust_select
from optuna_robust._reporting.summary import confirmation_parts
from optuna_robust.comparison import Interval
from tests.objectives import study_of


ATTRIBUTE = "robust:confirmation"


def sometimes_diverging(trial: optuna.Trial, instance: Instance) -> float:
    """Of two kinds of models, b diverges in the second instance of a confirmation."""
    x = trial.suggest_float("x", 0.0, 1.0)
    if trial.suggest_categorical("kind", ["a", "b", None]) == "b":
        trial.suggest_int("only b", 1, 9)
        if instance.number == 1_000_001:
            raise RuntimeError("diverged: größer als 1")
    return x + (1.0 + x) * float(instance.rng.normal())


def searched(storage: Any = None) -> optuna.Study:
    study = study_of(storage=storage, study_name="searched")
    study.enqueue_trial({"x": 0.2, "kind": "a"})
    study.enqueue_trial({"x": 0.4, "kind": "b", "only b": 3})
    study.enqueue_trial({"x": 0.6, "kind": None})
    study.optimize(MultiInstanceObjective(sometimes_diverging, 4, criterion="mean"), n_trials=3)
    return study


@pytest.fixture(scope="module")
def result() -> ConfirmationResult:
    return confirm(searched(), sometimes_diverging, n_instances=12)


def assert_same(one: ConfirmationResult, other: ConfirmationResult) -> None:
    """Nothing differs, in value or type, NaN and infinity included."""
    for field in dataclasses.fields(ConfirmationResult):
        left, right = getattr(one, field.name), getattr(other, field.name)
        assert type(left) is type(right)
        if field.name == "losses":
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
        else:
            assert repr(left) == repr(right)  # NaN equals NaN here


def test_what_the_tests_below_are_about(result: ConfirmationResult) -> None:
    assert [model.params["kind"] for model in result.models] == ["a", "b", None]
    assert result.failures == {1: {1_000_001: "RuntimeError: diverged: größer als 1"}}
    assert result.models[1].value == math.inf
    assert np.isnan(result.models[1].interval).all()
    assert len(result.pairs) == 3


@pytest.mark.parametrize("kind", ["memory", "sqlite", "journal"])
def test_a_study_keeps_the_result(kind: str, tmp_path: Path) -> None:
    def storage() -> optuna.storages.BaseStorage | str | None:
        if kind == "journal":
            backend = JournalFileBackend(str(tmp_path / "study.log"))
            return optuna.storages.JournalStorage(backend)
        return f"sqlite:///{tmp_path / 'study.db'}" if kind == "sqlite" else None

    study = searched(storage())
    if kind != "memory":
        study = optuna.load_study(study_name="searched", storage=storage())
    result = confirm(study, sometimes_diverging, n_instances=12)
    if kind != "memory":
        study = optuna.load_study(study_name="searched", storage=storage())
    assert_same(ConfirmationResult.from_dict(study.user_attrs[ATTRIBUTE]), result)
    # The larger one is kept.
    with pytest.warns(UserWarning, match="keeps its confirmation on 12 instances of 3 models"):
        confirm(study, sometimes_diverging, n_models=1, n_instances=10)
    assert_same(ConfirmationResult.from_dict(study.user_attrs[ATTRIBUTE]), result)
    latest = confirm(study, sometimes_diverging, n_instances=14)
    assert (latest.n_trainings, latest.n_reused) == (2 * 3, 12 * 3)
    assert_same(ConfirmationResult.from_dict(study.user_attrs[ATTRIBUTE]), latest)


def test_a_selection_result_keeps_nothing() -> None:
    models = [{"x": 0.2, "kind": "a"}, {"x": 0.4, "kind": "a"}]
    selection = robust_select(sometimes_diverging, models, n_instances=5)
    before = dict(selection.settings)
    confirm(selection, sometimes_diverging, n_instances=3)
    assert selection.settings == before


def test_json_and_back(result: ConfirmationResult) -> None:
    plain = result.to_dict()
    assert_same(ConfirmationResult.from_dict(json.loads(json.dumps(plain))), result)
    assert_same(ConfirmationResult.from_dict(plain), result)


def test_what_is_read_does_not_share_anything_with_what_was_given(
    result: ConfirmationResult,
) -> None:
    plain = result.to_dict()
    plain["losses"][0][0] = 99.0
    assert result.losses[0, 0] != 99.0


NONSENSE: list[Any] = [
    None,
    {},
    [],
    "a text",
    {"best_params": {}, "models": [], "pairs": [], "losses": [[1.0]]},
    {"models": 3},
]


@pytest.mark.parametrize("plain", NONSENSE)
def test_nonsense_is_an_error(plain: Any) -> None:
    with pytest.raises(ValueError, match="This is no confirmation"):
        ConfirmationResult.from_dict(plain)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("models", None),
        ("models", [{"params": {}}]),
        ("models", ["model"]),
        ("pairs", [{"interval": [0.0, 1.0]}]),
        ("losses", "none"),
        ("losses", [[1.0], [1.0, 2.0]]),
        ("instance_numbers", 3),
        ("failures", ["diverged"]),
        ("failures", {"first": {}}),
        ("surprise", 1),
    ],
)
def test_a_result_with_nonsense_in_it_is_an_error(
    result: ConfirmationResult, name: str, value: Any
) -> None:
    with pytest.raises(ValueError, match="This is no confirmation"):
        ConfirmationResult.from_dict({**result.to_dict(), name: value})


def test_a_result_that_lacks_something_is_an_error(result: ConfirmationResult) -> None:
    for name in result.to_dict().keys() - {"failure_kinds"}:
        plain = result.to_dict()
        del plain[name]
        with pytest.raises(ValueError, match="This is no confirmation"):
            ConfirmationResult.from_dict(plain)


def test_a_result_of_version_0_1_has_no_kinds_of_failures(result: ConfirmationResult) -> None:
    plain = result.to_dict()
    assert sum(plain.pop("failure_kinds").values()) == 1
    old = ConfirmationResult.from_dict(plain)
    assert (old.failures, old.failure_kinds) == (result.failures, {})
    assert "Failures: 1 instance (1 RuntimeError)." in confirmation_parts(old, None)


def test_file_and_back(result: ConfirmationResult, tmp_path: Path) -> None:
    path = tmp_path / "result.h5"
    result.save(path)
    assert_same(ConfirmationResult.load(path), result)
    other = dataclasses.replace(result, n_trainings=0)
    other.save(str(path))  # takes its place
    assert_same(ConfirmationResult.load(str(path)), other)


def test_a_file_of_something_else_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file .*result\.h5"):
        ConfirmationResult.load(tmp_path / "result.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(ValueError, match="is not an HDF5 file"):
        ConfirmationResult.load(tmp_path / "text.h5")
    models = [{"x": 0.2, "kind": "a"}, {"x": 0.4, "kind": "a"}]
    robust_select(sometimes_diverging, models, n_instances=5).save(tmp_path / "selection.h5")
    with pytest.raises(ValueError, match=r"does not hold a optuna_robust\.ConfirmationResult"):
        ConfirmationResult.load(tmp_path / "selection.h5")


def test_table(result: ConfirmationResult) -> None:
    frame = result.to_frame()
    assert len(frame) == 3
    assert frame["index"].tolist() == [model.index for model in result.models]
    assert frame["params_x"].tolist() == [0.2, 0.4, 0.6]
    assert frame["params_kind"].tolist()[:2] == ["a", "b"]
    assert frame["params_kind"].isna().tolist() == [False, False, True]
    assert frame["params_only b"].tolist() == pytest.approx([math.nan, 3.0, math.nan], nan_ok=True)
    for name in ("search_value", "value", "optimism", "n_compared", "probability_best"):
        assert frame[name].tolist() == [getattr(model, name) for model in result.models]
    assert frame["statistic"].tolist() == ["mean"] * 3
    assert frame["low"][0] < frame["value"][0] < frame["high"][0]
    assert np.isnan([frame["low"][1], frame["high"][1]]).all()


def test_text_is_short_and_says_what_matters(result: ConfirmationResult) -> None:
    best = result.models[result.best_index]
    text = repr(result)
    assert len(text) < 400
    assert text.startswith(
        f"ConfirmationResult(best_params={best.params!r}, mean={best.value:.6g}"
    )
    for said in (
        f"[{best.interval.low:.6g}, {best.interval.high:.6g}] of 12 fresh instances",
        f"optimism={best.optimism:.3g}",
        f"best of 3 with probability {best.probability_best:.2g}",
        "n_trainings=36, n_reused=0",
    ):
        assert said in text


def test_a_result_cannot_be_changed(result: ConfirmationResult) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.best_index = 1  # type: ignore[misc]
    assert isinstance(result.models[0].interval, Interval)
