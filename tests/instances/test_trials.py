from __future__ import annotations

import json
import math
import warnings

import numpy as np
import optuna
from optuna.distributions import IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import create_trial
from optuna.trial import TrialState
import pytest

import optuna_robust as opr
from optuna_robust import RobustnessSampler
from optuna_robust._instances.trials import by_pruner
from optuna_robust._instances.trials import comparable_trials
from optuna_robust._instances.trials import continued_numbers
from optuna_robust._instances.trials import is_given_up
from optuna_robust._instances.trials import losses_matrix
from optuna_robust._instances.trials import n_spent_by
from optuna_robust._instances.trials import n_trainings
from optuna_robust._instances.trials import oriented_losses
from optuna_robust._instances.trials import worst_loss


def trial_with(losses: list[object], **kwargs: object) -> optuna.trial.FrozenTrial:
    return create_trial(value=0.0, user_attrs={"robust:losses": losses}, **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize("sign", [1, -1])
def test_recorded_losses_are_oriented(sign: int) -> None:
    for worst in (worst_loss(sign), "worst"):  # version 0.1.0 wrote the string
        trial = trial_with([0.5, worst, None, -0.25], intermediate_values={0: 9.0})
        assert oriented_losses(trial, sign) == {0: sign * 0.5, 1: math.inf, 3: sign * -0.25}


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("failure", [RuntimeError("diverged"), math.nan, math.inf])
def test_recorded_losses_are_numbers(direction: str, failure: object) -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        trial.suggest_float("x", 0, 1)
        if instance.number == 1 and isinstance(failure, Exception):
            raise failure
        return failure if instance.number == 1 else 0.123456  # type: ignore[return-value]

    study = optuna.create_study(direction=direction)
    study.optimize(opr.MultiInstanceObjective(objective, 4, criterion="median"), n_trials=2)
    sign = -1 if direction == "maximize" else 1
    for trial in study.trials:
        losses = trial.user_attrs["robust:losses"]
        assert [round(loss, 3) for loss in losses] == [0.123, worst_loss(sign), 0.123, 0.123]
        assert sign * losses[1] > sign * losses[0]
        # Any reader of JSON takes them.
        assert json.loads(json.dumps(losses, allow_nan=False)) == losses
        assert oriented_losses(trial, sign)[1] == math.inf
        assert trial.user_attrs["robust:failures"].keys() == {"1"}


def test_losses_of_a_study_of_version_0_1_are_written_as_numbers_when_it_goes_on() -> None:
    search = RobustnessSampler(RandomSampler(seed=0))
    study = optuna.create_study(sampler=search)
    wrapped = opr.MultiInstanceObjective(lambda trial: trial.suggest_int("n", 0, 0), 3)
    study.add_trial(
        create_trial(
            state=TrialState.PRUNED,
            params={"n": 0},
            distributions={"n": IntDistribution(0, 0)},
            user_attrs={"robust:losses": [0.5, "worst"], "robust:failures": {"1": "E: no"}},
        )
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.optimize(wrapped, n_trials=1)
    assert study.trials[1].user_attrs["robust:losses"] == [0.5, worst_loss(1), 0.0]


@pytest.mark.parametrize("sign", [1, -1])
def test_intermediate_values_are_losses_without_a_record(sign: int) -> None:
    trial = create_trial(value=0.0, intermediate_values={3: 0.5, 1: math.nan, 0: -math.inf})
    assert oriented_losses(trial, sign) == {3: sign * 0.5, 1: math.inf, 0: math.inf}


def test_trainings_are_instances_or_one_for_an_ordinary_trial() -> None:
    assert n_trainings(trial_with([0.5, "worst", None])) == 3
    assert n_trainings(create_trial(value=0.0)) == 1
    assert n_trainings(create_trial(state=TrialState.PRUNED)) == 1
    assert n_trainings(create_trial(state=TrialState.FAIL)) == 1
    assert n_trainings(create_trial(state=TrialState.RUNNING)) == 0


def test_a_matrix_has_a_column_for_every_instance_number() -> None:
    trials = [
        trial_with([0.5, "worst", None, 2.0]),
        create_trial(value=9.0, intermediate_values={3: 1.0}),
        create_trial(value=3.0),
        create_trial(state=TrialState.PRUNED),
        create_trial(values=[1.0, 2.0]),
    ]
    numbers, losses = losses_matrix(trials, sign=-1)
    assert numbers == (0, 1, 3)
    nan, inf = math.nan, math.inf
    expected = [[-0.5, inf, -2.0], [nan, nan, -1.0], [-3.0, nan, nan], [nan] * 3, [nan] * 3]
    np.testing.assert_array_equal(losses, expected)
    assert losses_matrix([], sign=1)[1].shape == (0, 0)


def test_comparable_trials_are_finished_ones_of_one_objective() -> None:
    study = optuna.create_study()
    study.add_trial(create_trial(value=1.0))
    study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values={0: 1.0}))
    study.add_trial(create_trial(state=TrialState.FAIL))
    assert [trial.number for trial in comparable_trials(study)] == [0, 1]
    study.add_trial(trial_with([1.0]))
    assert [trial.number for trial in comparable_trials(study)] == [3]


def test_one_trial_is_left_of_each_model() -> None:
    """The first of those with the most instances: what goes on may have come to nothing."""

    def trial_of(number: int, n: int, state: TrialState, **attrs: int) -> optuna.trial.FrozenTrial:
        user_attrs = {"robust:losses": [0.0] * n, **{f"robust:{k}": v for k, v in attrs.items()}}
        values = {"value": 0.0} if state == TrialState.COMPLETE else {}
        trial = create_trial(state=state, user_attrs=user_attrs, **values)
        trial.number = number
        return trial

    found = [
        trial_of(0, 1, TrialState.PRUNED),
        trial_of(1, 1, TrialState.FAIL, continues=0, n_reused=1),
        trial_of(2, 2, TrialState.PRUNED, continues=0, n_reused=1),
        trial_of(3, 3, TrialState.COMPLETE, continues=2, n_reused=2),
        trial_of(4, 3, TrialState.COMPLETE, continues=3, n_reused=3),
        trial_of(5, 1, TrialState.PRUNED),
        trial_of(6, 1, TrialState.RUNNING, continues=5, n_reused=1),
    ]
    assert continued_numbers(found) == {0, 1, 2, 4, 6}
    assert n_spent_by(found) == n_spent_by(found, count_reused=True) == 4


@pytest.mark.parametrize(("n", "text"), [(1, "after 1 instance."), (2, "after 2 instances.")])
def test_what_a_pruner_stopped_may_go_on(n: int, text: str) -> None:
    reason = by_pruner("RobustnessPruner", n)
    assert reason.endswith(text)
    stopped = create_trial(state=TrialState.PRUNED, user_attrs={"robust:stopped": reason})
    assert not is_given_up(stopped)
