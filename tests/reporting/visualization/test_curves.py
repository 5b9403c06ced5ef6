from __future__ import annotations

import math

import numpy as np
import optuna
import pytest

import optuna_robust as opr
from optuna_robust._reporting.visualization._curves import curves_of
from tests.reporting.visualization.sources import selection_of


def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
    """Reports 10 x + number - 2 at step 2, and 10 x + number at step 4."""
    x = trial.suggest_int("x", 0, 9)
    for step in (2, 4):
        trial.report(10.0 * x + instance.number + step - 4, step=step)
    return 10.0 * x + instance.number


@pytest.mark.parametrize("reshuffle", [False, True])
def test_a_studys_curves_come_from_the_store(reshuffle: bool) -> None:
    store = opr.InstanceStore()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    run = opr.MultiInstanceObjective(objective, n_instances=3, store=store, reshuffle=reshuffle)
    study.optimize(run, n_trials=2)
    curves = curves_of(study, store=store, direction=None, value_name=None)
    assert (curves.epochs, curves.instances) == ((2, 4), (0, 1, 2))
    xs = [trial.params["x"] for trial in study.trials]
    expected = [[[10.0 * x + i - 2, 10.0 * x + i] for i in range(3)] for x in xs]
    assert curves.values.tolist() == expected
    assert (curves.direction, curves.value_name) == ("minimize", "loss")


def test_a_selections_curves_come_from_the_store() -> None:
    store = opr.InstanceStore()
    result = opr.robust_select(
        objective, [{"x": 3}, {"x": 1}], n_instances=3, store=store, criterion="median"
    )
    curves = curves_of(result, store=store, direction="maximize", value_name="accuracy")
    trained = ~np.isnan(result.losses)
    np.testing.assert_array_equal(~np.isnan(curves.values[:, :, 1]), trained)
    np.testing.assert_array_equal(curves.values[:, :, 1][trained], result.losses[trained])
    assert (curves.direction, curves.value_name) == ("maximize", "accuracy")


def test_a_value_that_is_no_number_is_the_worst() -> None:
    def diverging(trial: optuna.Trial, instance: opr.Instance) -> float:
        trial.suggest_int("x", 0, 1)
        trial.report(math.nan if instance.number else 1.0, step=1)
        return 1.0 + instance.number

    store = opr.InstanceStore()
    study = optuna.create_study(direction="maximize")
    run = opr.MultiInstanceObjective(diverging, n_instances=2, store=store)
    study.optimize(run, n_trials=1)
    curves = curves_of(study, store=store, direction=None, value_name=None)
    assert curves.values.tolist() == [[[1.0], [-math.inf]]]


def test_curves_alone_are_models() -> None:
    values = np.arange(24.0).reshape(2, 3, 4)
    curves = curves_of(values, store=None, direction=None, value_name=None)
    assert curves.epochs == (1, 2, 3, 4)
    assert curves.models.losses.tolist() == values[:, :, -1].tolist()
    assert curves.models.ranked.tolist() == [0, 1]
    maximised = curves_of(values, store=None, direction="maximize", value_name=None)
    assert maximised.models.ranked.tolist() == [1, 0]


def test_instances_of_few_models_are_not_ranked() -> None:
    values = np.zeros((4, 3, 2))
    values[1:, 1] = np.nan  # one model of four
    values[2:, 2, 1] = np.nan  # two of four got to the end
    rankable = curves_of(values, store=None, direction=None, value_name=None).rankable()
    assert [len(each) for each in rankable] == [4, 2]


def test_bad_input_is_an_error() -> None:
    options = {"direction": None, "value_name": None}
    with pytest.raises(TypeError, match="give the store as store, or the study"):
        curves_of(selection_of([[1.0, 2.0], [2.0, 3.0]]), store=None, **options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="store belongs to a study"):
        curves_of([[[1.0]]], store=opr.InstanceStore(), **options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"or from an array .*, but got str"):
        curves_of("curves", store=None, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"must have the shape .*, but had \(2,\)"):
        curves_of([1.0, 2.0], store=None, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="direction='up' is unknown"):
        curves_of([[[1.0]]], store=None, direction="up", value_name=None)
