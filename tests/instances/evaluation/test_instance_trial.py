from __future__ import annotations

import copy
from typing import Any

import optuna
import pytest

from optuna_robust import Instance
from optuna_robust import MultiInstanceObjective
from optuna_robust._instances.evaluation import InstanceTrial


@pytest.fixture
def outer() -> optuna.Trial:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    trial.set_user_attr("outer", 1)
    return trial


def test_it_is_a_trial_with_the_attributes_of_the_outer_one(outer: optuna.Trial) -> None:
    inner = InstanceTrial(outer, 0)
    assert isinstance(inner, optuna.Trial)
    assert inner.number == outer.number
    assert inner.study is outer.study
    assert inner.datetime_start == outer.datetime_start
    assert copy.copy(inner).number == outer.number


def test_parameters_are_the_outer_trials(outer: optuna.Trial) -> None:
    x = InstanceTrial(outer, 0).suggest_float("x", 0, 1)
    assert InstanceTrial(outer, 1).suggest_float("x", 0, 1) == x
    assert InstanceTrial(outer, 1).params == outer.params == {"x": x}
    assert InstanceTrial(outer, 1).distributions == outer.distributions


@pytest.mark.parametrize(
    "sampler",
    [
        optuna.samplers.TPESampler(seed=0, n_startup_trials=1),
        optuna.samplers.RandomSampler(seed=0),
    ],
    ids=["relative", "independent"],
)
def test_the_sampler_is_asked_once_a_parameter(sampler: Any) -> None:
    study = optuna.create_study(sampler=sampler)

    def suggest(trial: optuna.Trial) -> tuple[Any, ...]:
        return (
            trial.suggest_float("lr", 1e-4, 1e-1, log=True),
            trial.suggest_int("width", 1, 64, step=3),
            trial.suggest_categorical("kind", ["a", None, 3]),
        )

    for _ in range(5):
        trial = study.ask()
        assert suggest(InstanceTrial(trial, 0)) == suggest(InstanceTrial(trial, 1))
        study.tell(trial, trial.params["lr"])


def test_learning_curves_stay_apart_from_the_trials_values(outer: optuna.Trial) -> None:
    inner = InstanceTrial(outer, 0)
    inner.report(0.5, 0)
    inner.report(0.4, step=1)
    assert inner.learning_curve == {0: 0.5, 1: 0.4}
    assert InstanceTrial(outer, 1).learning_curve == {}
    frozen = outer.study.get_trials()[0]
    assert frozen.intermediate_values == {}


def test_should_prune_is_false_whatever_the_pruner_says() -> None:
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=0.0))
    trial = study.ask()
    inner = InstanceTrial(trial, 0)
    inner.report(1.0, 0)
    assert inner.should_prune() is False
    trial.report(1.0, 0)
    assert trial.should_prune() is True


def test_a_repeated_step_is_ignored_with_a_warning(outer: optuna.Trial) -> None:
    inner = InstanceTrial(outer, 0)
    inner.report(0.5, 0)
    with pytest.warns(UserWarning, match="already reported"):
        inner.report(0.4, 0)
    assert inner.learning_curve == {0: 0.5}


@pytest.mark.parametrize(
    ("value", "step", "error"), [("a", 0, TypeError), (0.5, "b", TypeError), (0.5, -1, ValueError)]
)
def test_bad_reports_are_errors(
    outer: optuna.Trial, value: Any, step: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        InstanceTrial(outer, 0).report(value, step)


def test_user_attributes_are_the_instances_own(outer: optuna.Trial) -> None:
    first, second = InstanceTrial(outer, 0), InstanceTrial(outer, 1)
    first.set_user_attr("epochs", 3)
    second.set_user_attr("epochs", 5)
    first.set_user_attr("path", "a")
    assert first.user_attrs == {"outer": 1, "epochs": 3, "path": "a"}
    assert second.user_attrs == {"outer": 1, "epochs": 5}
    assert InstanceTrial(outer, 2).user_attrs == {"outer": 1}


def test_a_trial_keeps_the_user_attributes_of_each_instance() -> None:
    seen = []

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        if instance.number < 2:
            trial.set_user_attr("epochs", 3 + 2 * instance.number)
        if instance.number == 0:
            trial.set_user_attr("path", "a")
        seen.append(trial.user_attrs)
        return float(instance.rng.normal())

    study = optuna.create_study()
    study.enqueue_trial({}, user_attrs={"outer": 1})
    study.optimize(MultiInstanceObjective(objective, 3), n_trials=1)
    attrs = study.trials[0].user_attrs
    assert attrs["robust:instance_attrs"] == {"0": {"epochs": 3, "path": "a"}, "1": {"epochs": 5}}
    # Where callbacks and samplers look: the last one's.
    assert (attrs["epochs"], attrs["path"]) == (5, "a")
    # An instance does not see what others set.
    own = [{key: each.get(key) for key in ("outer", "epochs", "path")} for each in seen]
    assert own == [
        {"outer": 1, "epochs": 3, "path": "a"},
        {"outer": 1, "epochs": 5, "path": None},
        {"outer": 1, "epochs": None, "path": None},
    ]


@pytest.mark.skipif(not hasattr(optuna.Trial, "set_constraint"), reason="needs Optuna 5")
def test_a_model_is_as_feasible_as_its_worst_instance() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", [-1.0, 0.5, -2.0][instance.number] - trial.number)
        return x + float(instance.rng.normal())

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(MultiInstanceObjective(objective, 3), n_trials=2)
    assert [trial.constraints for trial in study.trials] == [{"memory": 0.5}, {"memory": -0.5}]
    assert study.best_trial.number == 1


@pytest.mark.skipif(not hasattr(optuna.Trial, "set_constraint"), reason="needs Optuna 5")
@pytest.mark.parametrize(("value", "error"), [("a", TypeError), (float("nan"), ValueError)])
def test_bad_constraints_are_errors(
    outer: optuna.Trial, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        InstanceTrial(outer, 0).set_constraint("memory", value)


def test_an_attribute_that_is_no_json_is_an_error(outer: optuna.Trial) -> None:
    with pytest.raises(TypeError):
        InstanceTrial(outer, 0).set_user_attr("model", object())
