"""Hyperparameters that the objective does not suggest."""

from __future__ import annotations

from collections.abc import Callable
import copy
import json
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
import pytest

from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import robust_select
from tests.objectives import noisy


def conditional(trial: optuna.Trial, instance: Instance) -> float:
    loss = float(instance.rng.normal())
    if trial.suggest_categorical("kernel", ["linear", "rbf"]) == "rbf":
        loss += trial.suggest_float("gamma", 0.0, 1.0)
    return loss


@pytest.mark.parametrize(
    ("models", "options"),
    [
        ({"x": [0.1, 0.2], "dropuot": [0.1, 0.5]}, {}),
        ({"x": [0.1, 0.2], "dropuot": [0.1]}, {}),
        ({"x": FloatDistribution(0, 1), "dropuot": FloatDistribution(0, 1)}, {"n_models": 4}),
    ],
    ids=["grid", "constant", "space"],
)
def test_a_name_that_is_never_suggested_is_an_error(models: Any, options: Any) -> None:
    study = optuna.create_study()
    with pytest.raises(ValueError, match=r"\['dropuot'\], which the objective suggests for no"):
        robust_select(noisy, models, n_instances=4, study=study, **options)
    assert not study.trials


def test_a_name_that_is_never_suggested_is_an_error_if_instances_are_reused() -> None:
    store = InstanceStore()
    for _ in range(2):
        with pytest.raises(ValueError, match="dropuot"):
            robust_select(noisy, {"x": [0.1], "dropuot": [0.1, 0.5]}, n_instances=4, store=store)


def test_a_conditional_space_is_right(logged: pytest.LogCaptureFixture) -> None:
    models = [{"kernel": "linear"}, *({"kernel": "rbf", "gamma": g} for g in (0.1, 0.9))]
    assert robust_select(conditional, models, n_instances=4).best_params["kernel"] == "linear"
    assert not logged.records


@pytest.mark.parametrize(
    ("objective", "models", "message"),
    [
        (
            conditional,
            {"kernel": ["linear", "rbf"], "gamma": [0.1, 0.9]},
            "Models 0 ({'kernel': 'linear', 'gamma': 0.1}) and 1 (",
        ),
        (noisy, [{"x": 0.1, "tag": 0}, {"x": 0.2}, {"x": 0.1, "tag": 2}], "Models 0 ("),
    ],
)
def test_models_that_are_the_same_to_the_objective_are_warned_of(
    objective: Any, models: Any, message: str, logged: pytest.LogCaptureFixture
) -> None:
    robust_select(objective, models, n_instances=4)
    assert [record.levelname for record in logged.records] == ["WARNING"]
    assert logged.messages[0].startswith(message)


def test_what_a_failure_did_not_come_to_suggest_is_not_known() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        if x > 0.5:
            raise ZeroDivisionError
        return x + trial.suggest_float("rate", 0, 1) * float(instance.rng.normal())

    models = {"x": [0.1, 0.9], "rate": [0.1, 0.5]}
    assert robust_select(objective, models, n_instances=4).best_params["x"] == 0.1


READERS: dict[str, Callable[[optuna.Trial], object]] = {
    "item": lambda trial: trial.params["w"],
    "get": lambda trial: trial.params.get("w", 0),
    "keywords": lambda trial: dict(**trial.params),
    "merged": lambda trial: {"depth": 1} | trial.params,
    "values": lambda trial: list(trial.params.values()),
    "copied": lambda trial: copy.deepcopy(trial.params),
    "json": lambda trial: json.dumps(trial.params),
    "default": lambda trial: trial.params.setdefault("w", 0),
    "contains": lambda trial: "w" in trial.params,
    "last": lambda trial: trial.params.popitem(),
    "equal": lambda trial: trial.params == {"x": 0.1, "w": 1},
}


@pytest.mark.parametrize("how", READERS)
def test_what_is_read_from_the_params_is_used(how: str, logged: pytest.LogCaptureFixture) -> None:
    def reading(trial: optuna.Trial, instance: Instance) -> float:
        READERS[how](trial)
        return noisy(trial, instance)

    store = InstanceStore()
    for _ in range(2):
        robust_select(reading, {"x": [0.1, 0.2], "w": [1, 2]}, n_instances=3, store=store)
    assert not logged.records


def test_what_is_read_in_workers_is_used() -> None:
    def reading(trial: optuna.Trial, instance: Instance) -> float:
        return noisy(trial, instance) + float(trial.params["w"])

    selected = robust_select(
        reading, {"x": [0.1, 0.2], "w": [1, 2]}, n_instances=3, n_jobs=2, rule="halving"
    )
    assert selected.best_params["w"] == 1


def test_a_look_at_other_params_is_no_use() -> None:
    def reading(trial: optuna.Trial, instance: Instance) -> float:
        assert "dropuot" in str(trial.params) and len(trial.params) == 2
        return noisy(trial, instance) + float(trial.params["x"])

    with pytest.raises(ValueError, match=r"\['dropuot'\], which the objective"):
        robust_select(reading, {"x": [0.1, 0.2], "dropuot": [0.1, 0.5]}, n_instances=4)


def test_an_objective_that_suggests_nothing_reads_its_models_otherwise(
    logged: pytest.LogCaptureFixture,
) -> None:
    robust_select(
        lambda trial, instance: trial.params["x"] + float(instance.rng.normal()),
        {"x": [0.1, 0.2]},
        n_instances=4,
    )
    assert not logged.records
