"""The trial of a given model, bare and as an objective sees it."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.study import StudyDirection
import pytest

from optuna_robust._instances.evaluation import can_give
from optuna_robust._instances.evaluation import InstanceTrial
from optuna_robust._instances.evaluation import ModelMismatchError
from optuna_robust._instances.evaluation import ModelTrial
from optuna_robust._instances.evaluation import NotAvailableError
from optuna_robust._instances.evaluation import StudyView


MODEL = {"lr": 0.01, "width": 16, "kind": None, "momentum": 0.25}


def seen_by_objective(number: int = 7, direction: str = "minimize") -> InstanceTrial:
    study = StudyView(directions=[StudyDirection[direction.upper()]])
    return InstanceTrial(ModelTrial(MODEL, number, study), 0)


@pytest.fixture(params=["bare", "instance"])
def trial(request: pytest.FixtureRequest) -> Any:
    return ModelTrial(MODEL, 7) if request.param == "bare" else seen_by_objective()


def test_what_is_suggested_are_the_models_values(trial: Any) -> None:
    for _ in range(2):
        assert trial.suggest_float("lr", 1e-4, 1e-1, log=True) == 0.01
        assert trial.suggest_float("momentum", 0, 1, step=0.25) == 0.25
        assert trial.suggest_int("width", 8, 64, step=8) == 16
        assert trial.suggest_categorical("kind", ["a", None, 3]) is None
    assert trial.params == MODEL
    assert trial.distributions == {
        "lr": FloatDistribution(1e-4, 1e-1, log=True),
        "momentum": FloatDistribution(0, 1, step=0.25),
        "width": IntDistribution(8, 64, step=8),
        "kind": CategoricalDistribution(["a", None, 3]),
    }


def test_all_hyperparameters_are_there_before_they_are_suggested(trial: Any) -> None:
    assert trial.params == MODEL
    assert trial.distributions == {}
    trial.params.clear()
    assert trial.params == MODEL


def test_it_is_known_by_its_number(trial: Any) -> None:
    assert trial.number == 7
    assert trial.datetime_start is not None


def test_numbers_have_the_type_that_is_asked_for() -> None:
    trial = ModelTrial({"x": 1, "n": 2.0, "b": True})
    x, n, b = (
        trial.suggest_float("x", 0, 1),
        trial.suggest_int("n", 0, 3),
        trial.suggest_int("b", 0, 1),
    )
    assert [(type(value), value) for value in (x, n, b)] == [(float, 1.0), (int, 2), (int, 1)]


@pytest.mark.parametrize(
    ("value", "suggestion"),
    [
        (1.5, ("float", 0.0, 1.0, {})),
        (-0.5, ("float", 0.0, 1.0, {})),
        (math.nan, ("float", 0.0, 1.0, {})),
        (0.3, ("float", 0.0, 1.0, {"step": 0.25})),
        (None, ("float", 0.0, 1.0, {})),
        ("a", ("float", 0.0, 1.0, {})),
        ([0.5], ("float", 0.0, 1.0, {})),
        (9, ("int", 1, 8, {})),
        (3, ("int", 2, 8, {"step": 2})),
        (2.5, ("int", 1, 8, {})),
        (None, ("int", 1, 8, {})),
        (0, ("int", 1, 8, {"log": True})),
    ],
)
def test_a_number_that_the_objective_cannot_be_given_is_an_error(
    value: Any, suggestion: tuple[str, Any, Any, dict[str, Any]]
) -> None:
    kind, low, high, options = suggestion
    trial = InstanceTrial(ModelTrial({"x": value}), 0)
    with pytest.raises(ModelMismatchError, match=r"The model's x=.* is not what the objective"):
        getattr(trial, f"suggest_{kind}")("x", low, high, **options)
    assert trial.distributions == {}


@pytest.mark.parametrize("value", ["c", 1, 0.5, [1]])
def test_a_value_that_is_no_choice_is_an_error(value: Any) -> None:
    trial = ModelTrial({"kind": value})
    with pytest.raises(ModelMismatchError, match="kind="):
        trial.suggest_categorical("kind", ["a", "b", None])


def test_an_unknown_name_is_an_error_that_says_what_there_is(trial: Any) -> None:
    with pytest.raises(
        ModelMismatchError, match=r"asks for the hyperparameter 'depth', which the model .*'lr'"
    ) as caught:
        trial.suggest_int("depth", 1, 8)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, optuna.exceptions.OptunaError)


def test_the_range_may_change_but_not_the_kind(trial: Any) -> None:
    assert trial.suggest_int("width", 1, 64) == trial.suggest_int("width", 16, 32) == 16
    assert trial.distributions == {"width": IntDistribution(16, 32)}
    with pytest.raises(ModelMismatchError, match="width=16"):
        trial.suggest_int("width", 32, 64)
    with pytest.raises(ValueError, match="distribution"):
        trial.suggest_float("width", 1, 64)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_study_has_the_direction(direction: str) -> None:
    trial = seen_by_objective(direction=direction)
    assert trial.study.direction == StudyDirection[direction.upper()]
    with pytest.raises(NotAvailableError, match=r"trial\.study\.trials is not available"):
        trial.study.trials  # noqa: B018


# --- as an objective sees it ---------------------------------------------------------------------


def test_it_is_an_optuna_trial_that_is_never_pruned() -> None:
    trial = seen_by_objective()
    assert isinstance(trial, optuna.Trial)
    for step in range(3):
        trial.report(1.0 / (step + 1), step)
        assert trial.should_prune() is False
    assert trial.learning_curve == {0: 1.0, 1: 0.5, 2: 1 / 3}


def test_user_attributes_are_kept() -> None:
    trial = seen_by_objective()
    trial.set_user_attr("epochs", 3)
    assert trial.user_attrs == trial.own_user_attrs == {"epochs": 3}


def test_own_distributions_are_those_of_the_model() -> None:
    trial = seen_by_objective()
    trial.suggest_int("width", 8, 64)
    assert trial.own_distributions == {"width": IntDistribution(8, 64)}


def test_it_pickles(trial: Any) -> None:
    trial.suggest_int("width", 8, 64)
    assert trial.study.direction == StudyDirection.MINIMIZE
    for other in (pickle.loads(pickle.dumps(trial)), copy.deepcopy(trial), copy.copy(trial)):
        assert (other.number, other.params) == (7, MODEL)
        assert other.suggest_float("lr", 0, 1) == 0.01
        assert other.study.direction == StudyDirection.MINIMIZE


# --- what a distribution can give ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("distribution", "inside", "outside"),
    [
        (FloatDistribution(0, 1), [0, 0.5, 1.0], [-0.1, 2, "a", None]),
        (FloatDistribution(0.1, 1, step=0.3), [0.1, 0.4, 1.0], [0.2]),
        (IntDistribution(1, 9, step=2), [1, 9, 3.0], [2, 11, 1.5]),
        (IntDistribution(1, 9, log=True), [1, 9], [0, 10]),
        (CategoricalDistribution(["a", None, 2]), ["a", None, 2, 2.0], ["b", 3]),
    ],
)
def test_a_distribution_can_give_what_lies_in_it(
    distribution: optuna.distributions.BaseDistribution, inside: list[Any], outside: list[Any]
) -> None:
    assert [can_give(distribution, value) for value in inside] == [True] * len(inside)
    assert [can_give(distribution, value) for value in outside] == [False] * len(outside)
