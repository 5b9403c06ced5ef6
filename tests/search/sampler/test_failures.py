"""Models that fail, and objectives that end a model."""

from __future__ import annotations

import math

import optuna
from optuna.trial import TrialState
import pytest

import optuna_robust as opr
from tests.search.sampler.searches import assert_as_logged
from tests.search.sampler.searches import assert_best_is_complete
from tests.search.sampler.searches import assert_each_is_trained_once
from tests.search.sampler.searches import noisy
from tests.search.sampler.searches import sampler_of
from tests.search.sampler.searches import search


def flaky(trial: optuna.Trial, instance: opr.Instance) -> float:
    x = trial.suggest_float("x", 0, 1)
    noise = float(opr.Instance(instance.number, model=round(1e6 * x)).rng.normal())
    if trial.number and noise > 1.0:
        raise FloatingPointError("diverged")
    if trial.number and noise < -1.2:
        return math.inf if x < 0.5 else math.nan
    return x + 0.1 * noise


@pytest.mark.parametrize("on_failure", ["worst", "drop"])
@pytest.mark.parametrize("max_failures", [0.2, 0.5, 1.0])
def test_failures_are_part_of_a_model(on_failure: str, max_failures: float) -> None:
    study, log = search(flaky, on_failure=on_failure, max_failures=max_failures, budget=50)
    assert len(log) == 50
    assert_as_logged(study, log)
    assert_best_is_complete(study)
    n_failures = [len(trial.user_attrs.get("robust:failures", {})) for trial in study.trials]
    assert sum(n_failures) > 0
    assert max(n_failures) <= max(1, 5 * max_failures + 1)
    assert len(study.best_trial.user_attrs.get("robust:failures", {})) <= 5 * max_failures


def test_the_overshoot_is_bounded_where_one_failure_ends_a_model() -> None:
    _, log = search(flaky, max_failures=0.0, budget=50)
    assert 50 <= len(log) <= 50 + 5


def test_a_model_that_fails_too_often_is_not_trained_on() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        n = trial.suggest_int("n", 0, 3)
        if n == 0 and instance.number > 0:
            raise ValueError("never")
        return n + 0.1 * float(instance.rng.normal())

    study = optuna.create_study(sampler=sampler_of(n_startup_models=2))
    study, log = search(objective, study=study, budget=None, max_failures=0.2)
    assert_each_is_trained_once(log)
    assert sum(model == '{"n":0}' for model, _ in log) == 3  # one that succeeded, two that failed
    assert len(log) == 3 + 15
    assert study.best_params == {"n": 1}
    # Those that were stopped are suggested again at times, and not trained.
    assert len(study.trials) > len(log)


@pytest.mark.parametrize("on_failure", ["worst", "drop"])
def test_a_search_of_failures_comes_to_an_end(on_failure: str) -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        if trial.number:
            raise ValueError("never again")
        return x

    study, log = search(objective, budget=30, on_failure=on_failure, n_trials=300)
    assert 30 <= len(log) <= 30 + 5
    assert not any(trial.state == TrialState.COMPLETE for trial in study.trials)


def test_errors_are_raised_until_an_instance_has_succeeded() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        trial.suggest_float("x", 0, 1)
        raise ValueError("a typo")

    study = optuna.create_study(sampler=sampler_of())
    with pytest.raises(ValueError, match="a typo"):
        search(objective, study=study)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]
    study, log = search(study=study, budget=20)
    assert len(log) == 19  # what failed was a training, too
    assert_best_is_complete(study)


def test_errors_that_are_raised_and_caught() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        loss = noisy(trial, instance)
        if trial.number % 4 == 3:
            raise ValueError("at times")
        return loss

    study = optuna.create_study(sampler=sampler_of())
    wrapped = opr.MultiInstanceObjective(objective, 5, on_failure="raise")
    study.optimize(wrapped, n_trials=40, catch=ValueError)
    failed = [trial for trial in study.trials if trial.state == TrialState.FAIL]
    assert len(failed) == 10
    assert len(study.best_trial.user_attrs["robust:losses"]) == 5


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_grid_with_errors_that_are_caught_ends() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        n = trial.suggest_int("n", 0, 3)
        if n == 2:
            raise ValueError("always")
        return n + float(instance.rng.normal())

    grid = optuna.samplers.GridSampler({"n": [0, 1, 2, 3]}, seed=0)
    study = optuna.create_study(sampler=sampler_of(grid))
    wrapped = opr.MultiInstanceObjective(objective, 5, on_failure="raise")
    study.optimize(wrapped, n_trials=100, catch=ValueError)
    assert len(study.trials) < 30
    complete = {t.params["n"] for t in study.trials if t.state == TrialState.COMPLETE}
    assert complete == {0, 1, 3}


@pytest.mark.parametrize("after", [0, 2])
def test_a_model_that_the_objective_prunes_is_not_trained_on(after: int) -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        n = trial.suggest_int("n", 0, 5)
        if n < 2 and instance.number >= after:
            raise optuna.TrialPruned("no good")
        return n + 0.1 * float(instance.rng.normal())

    study = optuna.create_study(
        sampler=sampler_of(optuna.samplers.GridSampler({"n": list(range(6))}, seed=0))
    )
    study, log = search(objective, study=study, budget=None)
    assert_each_is_trained_once(log)
    assert len(log) == 2 * (after + 1) + 4 * 5
    assert study.best_params == {"n": 2}
    pruned = [trial for trial in study.trials if "robust:stopped" in trial.user_attrs]
    assert {trial.params["n"] for trial in pruned} == {0, 1}


def test_identical_losses_warn_once() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        return trial.suggest_float("x", 0, 1)

    study = optuna.create_study(sampler=sampler_of())
    with pytest.warns(UserWarning, match="same|identical|equal") as told:
        study, log = search(objective, study=study, budget=30)
    assert len([each for each in told if each.category is UserWarning]) == 1
    assert len(log) == 30
    assert_best_is_complete(study)


def test_a_model_whose_next_instance_raises_is_not_trained_forever() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        if trial.number and x < 0.3 and instance.number > 0:
            raise RuntimeError("never again")
        return x + 0.1 * float(instance.rng.normal())

    study = optuna.create_study(sampler=sampler_of())
    study.optimize(
        opr.MultiInstanceObjective(objective, 5, criterion="mean", on_failure="raise"),
        n_trials=150,
        catch=(RuntimeError,),
        callbacks=[opr.MaxInstancesCallback(40)],
    )
    assert len(study.trials) < 150
    continued = [trial.user_attrs.get("robust:continues") for trial in study.trials]
    failed = [
        number
        for number, trial in zip(continued, study.trials, strict=True)
        if trial.state == TrialState.FAIL
    ]
    assert all(failed.count(number) <= 3 for number in failed)


def test_a_space_that_grows_is_an_error() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        k = trial.suggest_int("k", 0, 2)
        if len(trial.study.trials) > 20:
            k += trial.suggest_float("y", 0, 1)
        return k + 0.1 * float(instance.rng.normal())

    study = optuna.create_study(sampler=sampler_of())
    with pytest.raises(ValueError, match=r"did not suggest before: \['y'\]"):
        study.optimize(opr.MultiInstanceObjective(objective, 20, criterion="mean"), n_trials=60)
