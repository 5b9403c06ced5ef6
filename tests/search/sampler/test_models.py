"""The models of a study, read from trials in any order."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_robust._search.sampler._models import StudyModels


X = {"x": FloatDistribution(0, 1)}


def trial_of(
    number: int,
    x: float | None,
    losses: list[float] | None,
    state: TrialState = TrialState.PRUNED,
    **attrs: Any,
) -> FrozenTrial:
    user_attrs = {f"robust:{name}": value for name, value in attrs.items()}
    if losses is not None:
        user_attrs["robust:losses"] = losses
    trial = create_trial(
        state=state,
        value=0.0 if state == TrialState.COMPLETE else None,
        params={} if x is None else {"x": x},
        distributions={} if x is None else X,
        user_attrs=user_attrs,
    )
    trial.number = number
    return trial


def read(*trials: FrozenTrial) -> StudyModels:
    models = StudyModels(1)
    models.update(trials)
    return models


def told(models: StudyModels) -> list[tuple[int, int, dict[int, float]]]:
    return [(model.number, model.latest.number, model.losses) for model in models.all]


def test_trials_that_go_on_are_of_one_model() -> None:
    models = read(
        trial_of(0, 0.5, [1.0]),
        trial_of(1, 0.7, [3.0]),
        trial_of(2, 0.5, [1.0, 2.0], continues=0),
        trial_of(3, 0.5, [1.0, 2.0, 4.0], continues=2),
    )
    assert told(models) == [(0, 3, {0: 1.0, 1: 2.0, 2: 4.0}), (1, 1, {0: 3.0})]


def test_it_does_not_matter_when_they_are_read() -> None:
    trials = [
        trial_of(0, 0.5, [1.0]),
        trial_of(1, None, None, TrialState.RUNNING),
        trial_of(2, 0.7, [3.0]),
        trial_of(3, 0.5, [1.0, 2.0], continues=0),
    ]
    models = StudyModels(1)
    for n in range(1, 5):
        models.update(trials[:n])
    assert models.n_running() == 1
    trials[1] = trial_of(1, 0.7, [3.0, 5.0], continues=2)  # what a later trial began
    models.update(trials)
    assert models.n_running() == 0
    assert told(models) == [(0, 3, {0: 1.0, 1: 2.0}), (2, 1, {0: 3.0, 1: 5.0})]
    assert told(read(*trials)) == [(0, 3, {0: 1.0, 1: 2.0}), (2, 1, {0: 3.0, 1: 5.0})]


def test_trials_that_name_one_that_is_not_there() -> None:
    """Copied in part from another study."""
    models = read(trial_of(0, 0.5, [1.0, 2.0], continues=7))
    assert told(models) == [(0, 0, {0: 1.0, 1: 2.0})]


def test_equal_hyperparameters_are_one_model() -> None:
    models = read(
        trial_of(0, 0.5, [1.0]),
        trial_of(1, 0.5, [1.0]),
        trial_of(2, 0.5, [1.0, 2.0, 3.0], TrialState.COMPLETE),
    )
    assert told(models) == [(0, 2, {0: 1.0, 1: 2.0, 2: 3.0})]
    assert models.n_barren == 0
    assert models.with_params({"x": 0.5}, X) is models.all[0]
    assert models.with_params({"x": 0.6}, X) is None


def test_a_model_is_free_while_nobody_trains_it() -> None:
    running = trial_of(1, 0.5, [1.0], TrialState.RUNNING, continues=0)
    trials = [trial_of(0, 0.5, [1.0]), running]
    models = read(*trials)
    assert not models.all[0].is_free
    trials[1] = trial_of(1, None, None, TrialState.RUNNING, continues=None)  # left it
    models.update(trials)
    assert models.all[0].is_free
    assert len(models.all) == 2


def test_interrupted_trainings() -> None:
    interrupted = {"state": TrialState.FAIL, "interrupted": True}
    models = read(trial_of(0, 0.5, None, **interrupted))
    assert models.all[0].is_interrupted
    assert models.all[0].is_free
    assert not read(trial_of(0, 0.5, None, TrialState.FAIL)).all[0].is_free
    assert not read(trial_of(0, None, None, **interrupted)).all[0].is_free
    # It is the model's fault if nothing else comes of it.
    again = [trial_of(n, 0.5, None, continues=0, **interrupted) for n in (1, 2)]
    assert not read(trial_of(0, 0.5, None, **interrupted), *again).all[0].is_free
    done = trial_of(3, 0.5, [1.0], continues=2)
    model = read(trial_of(0, 0.5, None, **interrupted), again[0], again[1], done).all[0]
    assert (model.is_free, model.is_interrupted, model.n_instances) == (True, False, 1)


def test_models_that_are_given_up() -> None:
    for reason, is_free in (
        ("RobustnessPruner stopped it after 3 instances.", True),
        ("3 of 4 instances failed, more than max_failures=0.5 allows", False),
        ("the objective raised TrialPruned", False),
    ):
        assert read(trial_of(0, 0.5, [1.0], stopped=reason)).all[0].is_free is is_free


def test_an_ordinary_trial_was_trained_once() -> None:
    trials = [
        trial_of(0, 0.5, None, TrialState.COMPLETE),
        trial_of(1, 0.6, None),
        trial_of(2, 0.7, None, TrialState.WAITING),
    ]
    models = read(*trials)
    assert [model.losses for model in models.all] == [{0: 0.0}, {}]
    assert optuna.create_study().trials == []
