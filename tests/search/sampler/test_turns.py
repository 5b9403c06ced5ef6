"""Who is trained, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
import os
import subprocess
import sys
from typing import Any

import optuna
from optuna.trial import TrialState
import pytest

import optuna_robust as opr
from tests.search.sampler.searches import assert_as_logged
from tests.search.sampler.searches import assert_best_is_complete
from tests.search.sampler.searches import Log
from tests.search.sampler.searches import mixed
from tests.search.sampler.searches import noisy
from tests.search.sampler.searches import sampler_of
from tests.search.sampler.searches import search
from tests.training_log import ROOT


def told_by(way: str, budget: int) -> tuple[optuna.Study, dict[str, Any]]:
    """A study, and how it is told how many trainings it has."""
    if way == "callback":
        return optuna.create_study(sampler=opr.RobustnessSampler(seed=0)), {"budget": budget}
    sampler = opr.RobustnessSampler(seed=0, n_trials=budget)
    return optuna.create_study(sampler=sampler), {"budget": None, "n_trials": budget}


@pytest.mark.parametrize("way", ["callback", "n_trials"])
@pytest.mark.parametrize("budget", [12, 30, 60])
def test_the_budget_is_met(way: str, budget: int) -> None:
    study, told = told_by(way, budget)
    study, log = search(mixed, study=study, n_instances=10, **told)
    assert len(study.trials) == len(log) == budget
    assert_as_logged(study, log)
    assert_best_is_complete(study, 10)


def test_a_budget_below_one_model_is_exceeded_to_complete_it() -> None:
    study, told = told_by("callback", 5)
    study, log = search(mixed, study=study, n_instances=10, **told)
    assert len(study.trials) == len(log) == 10
    assert_best_is_complete(study, 10)


def test_a_budget_that_is_spent_is_not_spent_again() -> None:
    study, log = search(budget=30)
    for _ in range(3):
        search(study=study, log=log, budget=30)
    assert len(log) <= 30 + 3
    assert_as_logged(study, log)
    search(study=study, log=log, budget=50)
    assert 50 <= len(log) <= 53
    assert_best_is_complete(study)


@pytest.mark.parametrize("informed", [True, False])
def test_known_models_get_their_share(informed: bool) -> None:
    study = optuna.create_study(sampler=sampler_of(informed=informed, repeat_share=0.4))
    study, log = search(study=study, budget=60)
    again = [number for _, number in log if number > 0]
    assert len(log) == 60
    assert 20 <= len(again) <= 40


def test_no_model_is_trained_again_among_the_first() -> None:
    study = optuna.create_study(sampler=sampler_of(n_startup_models=7))
    _, log = search(study=study, budget=30)
    assert [number for _, number in log[:7]] == [0] * 7


def test_a_turn_says_what_it_goes_on_with() -> None:
    study, _ = search(budget=30)
    trials = study.trials
    went_on = [trial for trial in trials if "robust:continues" in trial.user_attrs]
    assert went_on
    for trial in went_on:
        earlier = trials[trial.user_attrs["robust:continues"]]
        losses = earlier.user_attrs["robust:losses"]
        assert trial.params == earlier.params
        assert trial.distributions == earlier.distributions
        assert trial.user_attrs["robust:losses"][:-1] == losses
        assert trial.user_attrs["robust:n_reused"] == len(losses)
        assert trial.user_attrs["robust:seconds"][:-1] == earlier.user_attrs["robust:seconds"]
        assert len(trial.user_attrs["robust:seconds"]) == len(losses) + 1


def test_the_loss_of_an_instance_is_the_same_in_any_turn() -> None:
    study, _ = search(budget=30)
    for trial in study.trials:
        losses = trial.user_attrs["robust:losses"]
        expected = [noisy(trial, opr.Instance(number)) for number in range(len(losses))]
        assert losses == pytest.approx(expected)


def test_instances_of_its_own_stay_a_model_s_own() -> None:
    study, log = search(budget=30, reshuffle=True)
    assert_as_logged(study, log)
    first = {trial.params["x"]: trial.number for trial in reversed(study.trials)}
    for trial in study.trials:
        losses = trial.user_attrs["robust:losses"]
        model = first[trial.params["x"]]
        expected = [noisy(trial, opr.Instance(n, model=model)) for n in range(len(losses))]
        assert losses == pytest.approx(expected)


@pytest.mark.parametrize("per_call", [None, 2, 5])
def test_objectives_that_take_several_instances(per_call: int | None) -> None:
    log: Log = []

    def objective(trial: optuna.Trial, instances: tuple[opr.Instance, ...]) -> list[float]:
        x = trial.suggest_float("x", -1, 1)
        log.extend((repr(x), each.number) for each in instances)
        return [x**2 + 0.1 * float(each.rng.normal()) for each in instances]

    study = optuna.create_study(sampler=sampler_of())
    study.optimize(
        opr.MultiInstanceObjective(objective, 5, instances_per_call=per_call),
        callbacks=[opr.MaxInstancesCallback(30)],
    )
    assert len(log) == len(set(log))
    assert 30 <= len(log) < 30 + (per_call or 1)
    assert_best_is_complete(study)


def test_an_objective_that_takes_no_instance() -> None:
    def objective(trial: optuna.Trial) -> float:
        import random  # noqa: PLC0415

        return trial.suggest_float("x", -1, 1) ** 2 + 0.1 * random.random()

    study = optuna.create_study(sampler=sampler_of())
    study.optimize(
        opr.MultiInstanceObjective(objective, 5), callbacks=[opr.MaxInstancesCallback(25)]
    )
    assert len(study.trials) == 25
    assert_best_is_complete(study)
    # Seeded by their instances: common ones differ by the models' levels only.
    noise = {
        round(loss - trial.params["x"] ** 2, 9)
        for trial in study.trials
        for loss in trial.user_attrs["robust:losses"]
    }
    assert len(noise) == 5


SEARCH = """
import hashlib
import optuna
import optuna_robust as opr
from tests.search.sampler.searches import mixed
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(sampler=opr.RobustnessSampler(seed=0))
study.optimize(opr.MultiInstanceObjective(mixed, 5), callbacks=[opr.MaxInstancesCallback(30)])
print([(trial.params, trial.user_attrs["robust:losses"]) for trial in study.trials])
"""


def test_the_same_seed_gives_the_same_search() -> None:
    """In other processes, whose strings have other hashes, too."""
    found = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", SEARCH],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        found.add(done.stdout)
    assert len(found) == 1


@pytest.mark.parametrize("seed", [1, None])
def test_another_seed_gives_another_search(seed: int | None) -> None:
    first, _ = search(study=optuna.create_study(sampler=sampler_of(seed=0)), budget=15)
    other, _ = search(study=optuna.create_study(sampler=sampler_of(seed=seed)), budget=15)
    assert [trial.params for trial in first.trials] != [trial.params for trial in other.trials]


def test_every_storage_gives_the_same_search(storage: optuna.storages.BaseStorage) -> None:
    in_memory, _ = search(mixed, budget=20, n_instances=4)
    study = optuna.create_study(storage=storage, sampler=sampler_of())
    study, log = search(mixed, study=study, budget=20, n_instances=4)
    assert_as_logged(study, log)
    assert [trial.params for trial in study.trials] == [each.params for each in in_memory.trials]


@pytest.mark.parametrize(
    "enqueued",
    [
        {"x": 0.5},
        {"x": 0.5, "n": 2.0, "kind": "b"},  # an integer that came as a float
        pytest.param(
            {"x": 1.5, "n": 2, "kind": "b"},  # outside
            marks=pytest.mark.filterwarnings("ignore:Fixed parameter"),
        ),
    ],
)
def test_enqueued_models(enqueued: dict[str, Any]) -> None:
    study = optuna.create_study(sampler=sampler_of(repeat_share=0.8))
    for _ in range(3):
        study.enqueue_trial(enqueued)
    study, log = search(mixed, study=study, budget=30)
    assert len(log) == 30
    assert_as_logged(study, log)
    assert_best_is_complete(study)
    for trial in study.trials[:3]:
        assert {name: trial.params[name] for name in enqueued} == enqueued
    if len(enqueued) == 3:
        assert [len(trial.user_attrs["robust:losses"]) for trial in study.trials[:3]] == [1, 2, 3]


def test_a_known_model_that_is_enqueued_is_trained_on() -> None:
    study, log = search(budget=20)
    known = opr.recommend(study)
    study.enqueue_trial(known.params)
    study, log = search(study=study, log=log, budget=None, n_trials=1)
    assert study.trials[-1].params == known.params
    # It is complete: nothing is trained, and its trial says so.
    assert len(log) == 20
    assert study.trials[-1].state == TrialState.COMPLETE
    assert study.trials[-1].value == study.best_value
    assert study.best_trial.number == known.number == opr.recommend(study).number
    assert_as_logged(study, log)


def with_constraint(name: str) -> Callable[[optuna.Trial, opr.Instance], float]:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        violation = 0.5 - x + 0.02 * (instance.number % 2)
        if name == "set_constraint":
            trial.set_constraint("memory", violation)
        else:
            trial.set_user_attr("memory", violation)
        return x + 0.1 * float(instance.rng.normal())

    return objective


@pytest.mark.filterwarnings("ignore:`?constraints_func", "ignore::FutureWarning")
@pytest.mark.parametrize("base", ["tpe", "nsga2", "fixed"])
@pytest.mark.parametrize("name", ["set_constraint", "constraints_func"])
def test_constraints(base: str, name: str) -> None:
    """A model is as feasible as its worst instance, whoever tells."""
    options: dict[str, Any] = {"seed": 1}
    if name == "constraints_func":
        options["constraints_func"] = lambda trial: (trial.user_attrs["memory"],)
    sampler: optuna.samplers.BaseSampler = (
        optuna.samplers.NSGAIISampler(population_size=5, **options)
        if base == "nsga2"
        else optuna.samplers.TPESampler(**options)
    )
    if base == "fixed":
        sampler = optuna.samplers.PartialFixedSampler({"other": 1}, sampler)
    study = optuna.create_study(sampler=sampler_of(sampler))
    study, log = search(with_constraint(name), study=study)
    assert_as_logged(study, log)
    for trial in study.trials:
        n = len(trial.user_attrs["robust:losses"])
        expected = 0.5 - trial.params["x"] + 0.02 * (n > 1)
        assert list(trial.constraints.values()) == [pytest.approx(expected)]
    assert study.best_params["x"] >= 0.5
    assert_best_is_complete(study)
