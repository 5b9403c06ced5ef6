"""The set of models that a selection chooses from, and what its objective may ask of them."""

from __future__ import annotations

from collections.abc import Callable
import json
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.trial import TrialState
import pytest

from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import robust_select
from optuna_robust._instances.evaluation import ModelMismatchError
from tests.objectives import noisy


Model = dict[str, Any]


def own_noise(trial: optuna.Trial, instance: Instance) -> float:
    """An objective that takes any model."""
    return float(instance.rng.normal()) + 0.01 * trial.number


def models_of(models: object, **options: Any) -> tuple[Model, ...]:
    return robust_select(own_noise, models, n_instances=5, **options).models


# --- lists, grids --------------------------------------------------------------------------------


def test_a_list_is_taken_in_its_order() -> None:
    models = [{"x": 0.5}, {"x": 0.1, "kind": "a"}, {"kind": None}, {}]
    assert models_of(models) == models_of(tuple(models)) == tuple(models)


def test_the_models_are_copies() -> None:
    models = [{"x": 0.5}, {"x": 0.1}]
    taken = models_of(models)
    models[0]["x"] = 0.9
    assert taken == ({"x": 0.5}, {"x": 0.1})


@pytest.mark.parametrize(
    "twice",
    [
        [{"x": 0.5, "n": 1}, {"x": 0.1, "n": 1}, {"n": 1, "x": 0.5}],
        [{"n": 1}, {"n": 2}, {"n": np.int64(1)}],
        [{}, {"n": 1}, {}],
    ],
    ids=["order", "numpy", "empty"],
)
def test_the_same_model_twice_in_a_list_is_an_error(twice: list[Model]) -> None:
    with pytest.raises(ValueError, match=r"models\[2\] is the same model as models\[0\]"):
        models_of(twice)


def test_one_and_one_point_zero_are_different_models() -> None:
    assert len(models_of([{"n": 1}, {"n": 1.0}, {"n": True}, {"n": "1"}])) == 4


def test_a_grid_is_the_product_of_its_values() -> None:
    assert models_of({"a": [1, 2], "b": ["x", None]}) == (
        {"a": 1, "b": "x"},
        {"a": 1, "b": None},
        {"a": 2, "b": "x"},
        {"a": 2, "b": None},
    )


def test_values_that_are_twice_in_a_grid_count_once() -> None:
    assert models_of({"a": [1, 2, 1], "b": [0.5, 0.5]}) == ({"a": 1, "b": 0.5}, {"a": 2, "b": 0.5})


@pytest.mark.parametrize(
    ("values", "plain"),
    [
        (range(3), [0, 1, 2]),
        (np.arange(3), [0, 1, 2]),
        (np.array([0.25, 0.5]), [0.25, 0.5]),
        (np.array([True, False]), [True, False]),
        (np.array(["a", "b"]), ["a", "b"]),
        ((np.float32(0.5), np.int8(3)), [0.5, 3]),
        ((value for value in "ab"), ["a", "b"]),
        ([[64, 32], [64]], [[64, 32], [64]]),
    ],
    ids=["range", "ints", "floats", "bools", "strings", "scalars", "generator", "lists"],
)
def test_a_grids_values_may_be_anything_that_iterates(values: Any, plain: list[Any]) -> None:
    taken = [model["v"] for model in models_of({"v": values})]
    assert taken == plain
    assert [type(value) for value in taken] == [type(value) for value in plain]


def test_numpy_values_in_a_list_become_plain_ones() -> None:
    taken = models_of([{"n": np.int64(1), "on": np.bool_(True)}, {"n": np.int64(2), "on": False}])
    assert json.dumps(taken) == '[{"n": 1, "on": true}, {"n": 2, "on": false}]'


# --- search spaces -------------------------------------------------------------------------------

SPACE = {
    "x": FloatDistribution(-1, 1),
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "n": IntDistribution(2, 10, step=2),
    "kind": CategoricalDistribution(["a", None, 3]),
}


def test_a_search_space_is_sampled_from_the_seed() -> None:
    models = models_of(SPACE, n_models=30)
    assert len(models) == 30
    for model in models:
        assert list(model) == list(SPACE)
        assert -1 <= model["x"] <= 1
        assert 1e-4 <= model["lr"] <= 1e-1
        assert model["n"] in range(2, 11, 2)
        assert model["kind"] in ("a", None, 3)
    assert models_of(SPACE, n_models=30) == models
    assert models_of(SPACE, n_models=30, seed=1) != models


@pytest.mark.parametrize(
    "make_sampler",
    [
        lambda: optuna.samplers.RandomSampler(seed=1),
        lambda: optuna.samplers.TPESampler(seed=1),
        lambda: optuna.samplers.QMCSampler(seed=1),
        lambda: optuna.samplers.NSGAIISampler(seed=1),
        lambda: optuna.samplers.CmaEsSampler(seed=1),
    ],
    ids=["random", "tpe", "qmc", "nsga2", "cma-es"],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_every_sampler_can_sample(make_sampler: Callable[[], Any]) -> None:
    first, again = (models_of(SPACE, n_models=20, sampler=make_sampler()) for _ in range(2))
    assert len(first) == 20
    assert first == again


def test_an_exhausted_space_gives_fewer_models() -> None:
    space = {"n": IntDistribution(1, 3)}
    for sampler in (
        None,
        optuna.samplers.BruteForceSampler(seed=0),
        optuna.samplers.GridSampler({"n": [1, 2, 3]}),
    ):
        models = models_of(space, n_models=20, sampler=sampler)
        assert sorted(model["n"] for model in models) == [1, 2, 3]


def test_too_few_different_models_for_n_select_are_an_error() -> None:
    with pytest.raises(ValueError, match="n_select=4 is more than the 3 models"):
        models_of({"n": IntDistribution(1, 3)}, n_models=20, n_select=4)


# --- studies -------------------------------------------------------------------------------------


def finished(direction: str = "minimize") -> optuna.Study:
    """A study of seven trials, five of them with a value, four of these different models."""
    study = optuna.create_study(study_name="finished", direction=direction)
    for x, value in ((0.3, 3.0), (0.1, 1.0), (0.4, 4.0), (0.2, 2.0), (0.1, 2.5)):
        study.add_trial(trial(x, value=value))
    study.add_trial(trial(0.9, value=-9.0, state=TrialState.PRUNED))
    study.add_trial(trial(0.8, state=TrialState.FAIL))
    return study


def trial(x: float, **options: Any) -> optuna.trial.FrozenTrial:
    return optuna.trial.create_trial(
        params={"x": x}, distributions={"x": FloatDistribution(-1, 1)}, **options
    )


@pytest.mark.parametrize(
    ("direction", "best_first"),
    [("minimize", [0.1, 0.2, 0.3, 0.4]), ("maximize", [0.4, 0.3, 0.1, 0.2])],
)
def test_a_studys_complete_trials_are_taken_best_first(
    direction: str, best_first: list[float]
) -> None:
    # x = 0.1 was tried twice and stands where the better one does.
    study = finished(direction)
    assert [model["x"] for model in models_of(study)] == best_first
    assert [model["x"] for model in models_of(study, n_models=2)] == best_first[:2]
    assert [model["x"] for model in models_of(study, n_models=99)] == best_first


def test_infeasible_trials_of_a_study_are_left_out() -> None:
    study = finished()
    study.add_trial(trial(0.7, value=-7.0, system_attrs={"constraints": [0.5, -1.0]}))
    study.add_trial(trial(0.6, value=-6.0, system_attrs={"constraints": [0.0, -1.0]}))
    assert [model["x"] for model in models_of(study, n_models=2)] == [0.6, 0.1]


@pytest.mark.skipif(not hasattr(optuna.Trial, "set_constraint"), reason="needs Optuna 5")
def test_trials_that_are_infeasible_by_their_own_account_are_left_out() -> None:
    def constrained(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("small", x - 0.5)
        return -x

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(constrained, n_trials=20)
    taken = [model["x"] for model in models_of(study)]
    assert taken == sorted(t.params["x"] for t in study.trials if t.params["x"] <= 0.5)[::-1]
    assert 0 < len(taken) < 20


def test_infinite_values_of_a_study_are_the_worst() -> None:
    study = finished()
    study.add_trial(trial(0.5, value=float("inf")))
    assert models_of(study)[-1] == {"x": 0.5}


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
def test_numpy_values_of_a_study_become_plain_ones() -> None:
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_categorical("n", list(np.arange(2))), n_trials=9)
    assert json.dumps(models_of(study)) == '[{"n": 0}, {"n": 1}]'


def test_a_study_without_complete_trials_is_an_error() -> None:
    study = optuna.create_study(study_name="empty")
    study.add_trial(trial(0.9, state=TrialState.FAIL))
    study.add_trial(trial(0.7, value=1.0, system_attrs={"constraints": [0.5]}))
    with pytest.raises(ValueError, match=r"The study 'empty' has no complete"):
        models_of(study)


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "options", "error", "message"),
    [
        ([], {}, ValueError, "at least one model, but was empty"),
        ((), {}, ValueError, "at least one model, but was empty"),
        ({}, {}, ValueError, "the grid was empty"),
        ({"a": []}, {}, ValueError, "The grid's 'a' has no values"),
        ({"a": [1], "b": 3}, {}, TypeError, "The grid's 'b' must be a list of values, but was 3"),
        ({"a": "adam"}, {}, TypeError, "The grid's 'a' must be a list of values"),
        (
            {"a": [1, 2], "b": IntDistribution(1, 3)},
            {"n_models": 3},
            ValueError,
            "distributions and lists",
        ),
        ([{"x": 1}, 3], {}, TypeError, r"models\[1\] must be a model's hyperparameters"),
        ([{"x": object()}], {}, TypeError, "numbers, strings, booleans, None, or lists"),
        ([{1: 2}], {}, TypeError, "Names of hyperparameters must be strings, but one was 1"),
        ({1: [2]}, {}, TypeError, "Names of hyperparameters must be strings"),
        (3, {}, TypeError, "models must be a list of hyperparameters"),
        (None, {}, TypeError, "models must be a list of hyperparameters"),
        ("models", {}, TypeError, "models must be a list of hyperparameters"),
        ({"n": IntDistribution(1, 3)}, {}, ValueError, "n_models says how many"),
        ({"n": IntDistribution(1, 3)}, {"n_models": 0}, ValueError, "n_models must be at least 1"),
        (
            {"n": [1, 2]},
            {"n_models": 2},
            ValueError,
            "n_models=2 is for a search space or a study",
        ),
        ([{"n": 1}], {"n_models": 1}, ValueError, "n_models=1 is for a search space or a study"),
        (
            {"n": [1, 2]},
            {"sampler": optuna.samplers.RandomSampler()},
            ValueError,
            "sampler is for a search space",
        ),
    ],
)
def test_a_bad_set_of_models_is_an_error(
    models: object, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        models_of(models, **options)


def test_a_sampler_for_a_study_is_an_error() -> None:
    with pytest.raises(ValueError, match="sampler is for a search space"):
        models_of(finished(), sampler=optuna.samplers.RandomSampler())


# --- what the objective asks for -----------------------------------------------------------------


@pytest.mark.parametrize("on_failure", ["worst", "drop", "raise"])
@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"y": 0.5}, "asks for the hyperparameter 'x', which the model {'y': 0.5} does not have"),
        ({"x": 1.5}, "x=1.5 is not what the objective may be given: FloatDistribution"),
        ({"x": "a"}, "x='a' is not what the objective may be given"),
        ({"x": None}, "x=None is not what the objective may be given"),
    ],
)
def test_a_model_that_does_not_fit_the_objective_is_an_error(
    model: Model, message: str, on_failure: str
) -> None:
    store = InstanceStore()
    models = [{"x": 0.1}, {"x": 0.2}, model, {"x": 0.3}]
    with pytest.raises(ModelMismatchError, match=message) as caught:
        robust_select(noisy, models, on_failure=on_failure, store=store)
    assert isinstance(caught.value, ValueError)
    # It is no failure of the model, and what was trained before is kept.
    assert [each.state for each in store.instances()] == ["done", "done"]


@pytest.mark.parametrize("on_failure", ["worst", "drop", "raise"])
def test_a_model_that_ceases_to_fit_is_an_error_in_the_middle_of_a_run(on_failure: str) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        if instance.number == 2 and trial.number == 1:
            trial.suggest_float("momentum", 0, 1)
        return noisy(trial, instance)

    store = InstanceStore()
    models = {"x": [0.1, 0.2, 0.3]}
    with pytest.raises(ModelMismatchError, match="'momentum'"):
        robust_select(objective, models, on_failure=on_failure, store=store)
    n_done = len(store.instances())
    assert [each.state for each in store.instances()] == ["done"] * n_done
    with pytest.warns(UserWarning, match="were trained by the objective"):
        mended = robust_select(noisy, models, on_failure=on_failure, store=store)
    assert mended.n_reused == n_done > 3
    assert mended.failures == {}


def conditional(trial: optuna.Trial, instance: Instance) -> float:
    kind = trial.suggest_categorical("kind", ["svm", "forest"])
    if kind == "svm":
        size = trial.suggest_float("c", 1e-3, 1e3, log=True)
    else:
        size = trial.suggest_int("depth", 1, 8)
    return size + float(instance.rng.normal())


def test_conditional_search_spaces_work() -> None:
    models: list[Model] = [
        {"kind": "svm", "c": 1.0},
        {"kind": "svm", "c": 100},
        {"kind": "forest", "depth": 2},
        {"kind": "forest", "depth": 8},
    ]
    result = robust_select(conditional, models, n_instances=8, criterion="mean")
    assert result.best_params == {"kind": "svm", "c": 1.0}
    # Searched by Optuna, too.
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: conditional(trial, Instance(0)), n_trials=12)
    result = robust_select(conditional, study, n_instances=8, criterion="mean")
    assert {len(model) for model in result.models} == {2}
    assert {model["kind"] for model in result.models} == {"svm", "forest"}


def test_a_hyperparameter_that_a_model_does_not_use_may_be_there() -> None:
    models = {"kind": ["svm", "forest"], "c": [1.0, 2.0], "depth": [3]}
    assert len(robust_select(conditional, models, n_instances=6).models) == 4
