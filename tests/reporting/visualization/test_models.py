from __future__ import annotations

import logging
import math

import numpy as np
import optuna
from optuna.trial import create_trial
from optuna.trial import TrialState
import pytest

import optuna_robust as opr
from optuna_robust._reporting.visualization._models import models_of
from tests.reporting.visualization.sources import selection_of
from tests.reporting.visualization.sources import study_of
from tests.reporting.visualization.sources import WORST


def test_a_studys_losses_are_in_the_users_orientation() -> None:
    study = study_of([[0.5, 0.7], [WORST, None], [0.9]], direction="maximize")
    models = models_of(study)
    np.testing.assert_array_equal(
        models.losses, [[0.5, 0.7], [-math.inf, math.nan], [0.9, math.nan]]
    )
    assert models.instances == (0, 1)
    assert models.numbers == (0, 1, 2)
    assert models.finished.tolist() == [True, True, False]
    assert models.counts.tolist() == [2, 1, 1]
    assert models.n_failed.tolist() == [0, 1, 0]
    assert models.fates[2] == "pruned: halving: not among the better half"
    assert models.loss_name == "objective value"


def test_models_are_ranked_by_criterion_and_then_by_how_far_they_got() -> None:
    study = study_of([[3.0, 3.0, 3.0], [0.0], [1.0, 1.0], [2.0, 2.0, 2.0], [-1.0]])
    models = models_of(study)
    assert models.ranked.tolist() == [3, 0, 2, 4, 1]
    assert models.best == 3
    assert models.top(3).numbers == (3, 0, 2)
    assert models.top(3).params == ({"model": 3}, {"model": 0}, {"model": 2})


def test_finished_models_are_ranked_at_equal_numbers_of_instances() -> None:
    # Trial 0 dropped two of four instances. Its largest loss is 3; that of two of trial 1's
    # instances is (2 + 3 + 4 + 3 + 4 + 4) / 6 = 3.33, and of two of trial 2's 0.5 less.
    study = study_of(
        [[2.0, 3.0, None, None], [1.0, 2.0, 3.0, 4.0], [0.5, 1.5, 2.5, 3.5]], criterion="max"
    )
    models = models_of(study)
    assert models.values(models.criterion).tolist() == [3.0, 4.0, 3.5]
    assert models.ranked.tolist() == [2, 0, 1]
    assert models.n_run.tolist() == [4, 4, 4]


def test_a_larger_loss_is_better_if_it_is_maximised() -> None:
    study = study_of([[1.0, 1.0], [2.0, 2.0]], direction="maximize")
    assert models_of(study).ranked.tolist() == [1, 0]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_spread_is_positive(direction: str) -> None:
    models = models_of(study_of([[1.0, 3.0]], direction=direction, criterion="iqr"))
    assert models.values(models.criterion).tolist() == [1.0]


def test_intermediate_values_are_losses_without_a_record() -> None:
    study = optuna.create_study()
    study.add_trial(create_trial(value=1.0, intermediate_values={0: 1.0, 2: 3.0}))
    study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values={2: 4.0}))
    study.add_trial(create_trial(state=TrialState.FAIL, intermediate_values={0: 9.0}))
    models = models_of(study)
    np.testing.assert_array_equal(models.losses, [[1.0, 3.0], [math.nan, 4.0]])
    assert models.instances == (0, 2)


def test_the_value_of_an_ordinary_trial_is_its_only_loss() -> None:
    study = optuna.create_study()
    study.add_trial(create_trial(value=1.5))
    models = models_of(study)
    assert models.losses.tolist() == [[1.5]]
    assert models.criterion.name == "median"  # q3+iqr of one instance does not exist


def test_trials_of_another_objective_are_left_out() -> None:
    study = study_of([[1.0, 2.0]])
    study.add_trial(create_trial(value=0.0))
    assert models_of(study).numbers == (0,)


def test_a_model_that_was_selected_twice_counts_once() -> None:
    study = optuna.create_study()
    for losses in ([1.0], [1.0, 2.0]):
        attrs = {"robust:losses": losses, "robust:model": "key"}
        study.add_trial(create_trial(value=0.0, user_attrs=attrs))
    assert models_of(study).numbers == (1,)


def test_an_infeasible_trial_is_not_the_best() -> None:
    study = study_of([[2.0, 2.0]])
    trial = create_trial(
        value=0.0,
        user_attrs={"robust:losses": [1.0, 1.0]},
        system_attrs={"constraints": [1.0], "constraints:c": 1.0},
    )
    study.add_trial(trial)
    models = models_of(study)
    assert models.best == 0
    assert models.group_names == ("complete", "pruned or infeasible")


def test_several_objectives_are_ranked_by_the_default() -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    study.set_user_attr(
        "robust:settings", {"criterion": ["iqr", "median"], "n_instances": 2, "reshuffle": False}
    )
    study.add_trial(create_trial(values=[0.0, 1.0], user_attrs={"robust:losses": [1.0, 2.0]}))
    models = models_of(study)
    assert models.criterion.name == "q3+iqr"
    assert models.direction == "maximize"


def test_an_ordinary_study_of_several_objectives_has_no_losses() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.add_trial(create_trial(values=[0.0, 1.0]))
    assert models_of(study).losses.shape == (1, 0)


def test_a_criterion_that_has_only_a_name_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    study = study_of([[1.0, 2.0]], criterion="my_own")
    with caplog.at_level(logging.WARNING):
        assert models_of(study).criterion.name == "q3+iqr"
    assert "my_own" in caplog.text
    caplog.clear()
    assert models_of(study, criterion="max").criterion.name == "max"
    assert not caplog.text


def test_metric_names_name_the_losses() -> None:
    study = study_of([[1.0, 2.0]])
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        study.set_metric_names(["error in %"])
    assert models_of(study).loss_name == "error in %"
    assert models_of(study, loss_name="error").loss_name == "error"


def test_a_selections_best_model_comes_first() -> None:
    table = [[1.0, 1.0, 1.0, 1.0], [0.5, 0.5, 0.6, 0.5], [2.0, 2.0, 2.0, 2.0], [3.0] * 4]
    result = selection_of(table, criterion="median", n_warmup_instances=1, n_select=2)
    models = models_of(result)
    assert models.numbers == (0, 1, 2, 3)
    assert models.ranked[:2].tolist() == [result.best_index, 0]
    assert models.best == result.best_index == 1
    assert models.finished.tolist() == [True, True, False, False]
    assert models.group_names == ("survivor", "removed")
    assert models.fates[2].startswith("removed in wave 2: ")
    assert models.steps == result.steps
    assert models.n_instances == 4


def test_a_selection_by_another_criterion_has_no_chosen_model() -> None:
    result = selection_of([[1.0, 1.1], [2.0, 2.1]], criterion="median", n_warmup_instances=1)
    assert models_of(result).selected == 0
    assert models_of(result, criterion="median").selected == 0
    assert models_of(result, criterion="max").selected is None


def test_anything_else_is_an_error() -> None:
    with pytest.raises(TypeError, match="study or of the result of robust_select, but got list"):
        models_of([1.0])
    with pytest.raises(TypeError, match="loss_name must be a string, but was 3"):
        models_of(study_of([[1.0]]), loss_name=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="criterion='nothing' is unknown"):
        models_of(study_of([[1.0]]), criterion="nothing")


def test_an_unreadable_confirmation_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    study = study_of([[1.0, 2.0]])
    study.set_user_attr("robust:confirmation", {"models": 3})
    with caplog.at_level(logging.WARNING):
        assert models_of(study).confirmation is None
    assert "confirmation is not shown" in caplog.text


def test_a_studys_confirmation_is_found() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        return trial.suggest_float("x", 0, 1) + 0.1 * float(instance.rng.normal())

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(opr.MultiInstanceObjective(objective, n_instances=3), n_trials=2)
    opr.confirm(study, objective, n_models=1, n_instances=3)
    found = models_of(study).confirmation
    assert found is not None
    assert found.models[0].index == study.best_trial.number
