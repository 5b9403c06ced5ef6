"""The sampler's arguments, what it warns of, and studies that are no robust searches."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
import copy
import pickle
from typing import Any
import warnings

import numpy as np
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


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"base_sampler": "tpe"}, TypeError, "base_sampler must be a sampler"),
        ({"base_sampler": optuna.samplers.TPESampler}, TypeError, "base_sampler must be a samp"),
        ({"base_sampler": opr.RobustnessSampler()}, ValueError, "was a RobustnessSampler itself"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": 0.5}, TypeError, "seed"),
        ({"repeat_share": 1.0}, ValueError, "repeat_share must be less than 1"),
        ({"repeat_share": -0.1}, ValueError, "repeat_share"),
        ({"repeat_share": "much"}, TypeError, "repeat_share"),
        ({"n_startup_models": 0}, ValueError, "n_startup_models must be at least 1"),
        ({"n_trials": 0}, ValueError, "n_trials must be at least 1"),
    ],
)
def test_bad_arguments(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        opr.RobustnessSampler(**kwargs)


def test_without_the_wrapper_it_is_the_base_sampler_and_says_so_once() -> None:
    def objective(trial: optuna.Trial) -> float:
        return trial.suggest_float("x", -1, 1) ** 2

    plain = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    plain.optimize(objective, n_trials=15)
    study = optuna.create_study(sampler=opr.RobustnessSampler(seed=0))
    with pytest.warns(UserWarning, match="no effect without MultiInstanceObjective") as told:
        study.optimize(objective, n_trials=15)
    assert len(told) == 1
    assert [trial.params for trial in study.trials] == [trial.params for trial in plain.trials]
    assert not any(trial.user_attrs for trial in study.trials)


@pytest.mark.parametrize(
    ("kwargs", "name"), [({"n_jobs": 2}, "n_jobs"), ({"executor": True, "n_jobs": 2}, "executor")]
)
def test_instances_are_not_trained_side_by_side(kwargs: dict[str, Any], name: str) -> None:
    with ThreadPoolExecutor(2) as executor:
        if "executor" in kwargs:
            kwargs["executor"] = executor
        study = optuna.create_study(sampler=opr.RobustnessSampler())
        log: Log = []
        with pytest.raises(ValueError, match=rf"{name} has no effect .* study.optimize\(…, n_jo"):
            search(study=study, log=log, **kwargs)
    assert log == []


def test_another_criterion_than_the_pruner_s_is_an_error() -> None:
    study = optuna.create_study(
        sampler=opr.RobustnessSampler(), pruner=opr.RobustnessPruner("median")
    )
    log: Log = []
    with pytest.raises(ValueError, match="by mean, but the study's RobustnessPruner by median"):
        search(study=study, log=log, criterion="mean")
    assert log == []
    assert study.user_attrs == {}


@pytest.mark.parametrize(
    ("pruner", "tells"),
    [
        (optuna.pruners.MedianPruner(), False),
        (optuna.pruners.NopPruner(), False),
        (opr.RobustnessPruner(), False),
        (opr.RobustnessPruner("mean", rule="halving"), False),
        (optuna.pruners.PatientPruner(opr.RobustnessPruner(), 1), False),
        (optuna.pruners.HyperbandPruner(), True),
        (optuna.pruners.SuccessiveHalvingPruner(), True),
        (optuna.pruners.WilcoxonPruner(), True),
        (optuna.pruners.ThresholdPruner(upper=1.0), True),
        (optuna.pruners.PatientPruner(optuna.pruners.MedianPruner(), 1), True),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_pruners_are_not_asked(pruner: optuna.pruners.BasePruner, tells: bool) -> None:
    study = optuna.create_study(sampler=sampler_of(), pruner=pruner)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        study, log = search(study=study, budget=25)
    messages = [str(each.message) for each in told if "no effect" in str(each.message)]
    assert len(messages) == tells
    if tells:
        assert type(pruner).__name__ in messages[0]
    assert len(study.trials) == len(log) == 25
    assert_as_logged(study, log)
    assert_best_is_complete(study)
    # It is the search that it is without a pruner.
    alone, _ = search(
        study=optuna.create_study(sampler=sampler_of(), pruner=optuna.pruners.NopPruner()),
        budget=25,
        criterion=None if study.pruner is None else getattr(pruner, "criterion", None),
    )
    assert [trial.params for trial in alone.trials] == [trial.params for trial in study.trials]


def test_a_limit_of_spread_still_holds() -> None:
    study = optuna.create_study(
        sampler=sampler_of(repeat_share=0.7), pruner=opr.RobustnessPruner("mean", max_spread=0.2)
    )
    study, log = search(study=study, budget=40)
    assert_as_logged(study, log)
    stopped = [trial for trial in study.trials if "robust:stopped" in trial.user_attrs]
    assert stopped
    assert all("limit" in trial.user_attrs["robust:stopped"] for trial in stopped)
    continued = {trial.user_attrs.get("robust:continues") for trial in study.trials}
    assert continued.isdisjoint(trial.number for trial in stopped)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_inside_another_sampler_it_says_that_it_has_no_effect() -> None:
    sampler = optuna.samplers.PartialFixedSampler({"x": 0.5}, opr.RobustnessSampler(seed=0))
    study = optuna.create_study(sampler=sampler)
    with pytest.warns(UserWarning, match="no effect inside a PartialFixedSampler"):
        study, log = search(mixed, study=study, budget=None, n_trials=4)
    assert len(log) == 20
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
    assert_as_logged(study, log)


@pytest.mark.parametrize("how", ["pickle", "copy", "deepcopy"])
def test_copies_go_on_alike(how: str) -> None:
    def copied(sampler: Any) -> Any:
        if how == "pickle":
            return pickle.loads(pickle.dumps(sampler))
        return getattr(copy, how)(sampler)

    study, log = search(budget=15)
    expected, _ = search(budget=15, study=optuna.create_study(sampler=copied(sampler_of())))
    assert [trial.params for trial in study.trials] == [trial.params for trial in expected.trials]
    study.sampler = copied(study.sampler)
    study, log = search(study=study, log=log, budget=30)
    assert_as_logged(study, log)
    assert_best_is_complete(study)


def test_reseeding_draws_anew() -> None:
    sampler = sampler_of()
    sampler.reseed_rng()
    study, _ = search(budget=15)
    other, _ = search(budget=15, study=optuna.create_study(sampler=sampler))
    assert [trial.params for trial in study.trials] != [trial.params for trial in other.trials]


def test_one_sampler_for_two_studies() -> None:
    sampler = sampler_of(optuna.samplers.RandomSampler(seed=0))
    studies = [optuna.create_study(sampler=sampler) for _ in range(2)]
    logs: list[Log] = [[], []]
    for budget in (10, 20, 30):
        for study, log in zip(studies, logs, strict=True):
            search(study=study, log=log, budget=budget)
    for study, log in zip(studies, logs, strict=True):
        assert 30 <= len(log) <= 33
        assert_as_logged(study, log)
        assert_best_is_complete(study)


@pytest.mark.parametrize("began", ["halving", "whole", "mixed"])
def test_a_study_that_was_begun_without_it(began: str) -> None:
    """Its models are known, those that a pruner stopped as well."""
    pruner = optuna.pruners.NopPruner() if began == "whole" else opr.RobustnessPruner()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), pruner=pruner)
    log: Log = []
    search(study=study, log=log, budget=None, n_trials=12)
    known = {trial.params["x"] for trial in study.trials}
    n_before = len(log)
    if began != "whole":
        assert any(trial.state == TrialState.PRUNED for trial in study.trials)
    study.sampler = sampler_of(repeat_share=0.8)
    search(study=study, log=log, budget=n_before + 30)
    assert len(log) == n_before + 30
    assert_as_logged(study, log)
    assert_best_is_complete(study)
    again = [trial for trial in study.trials[12:] if trial.params["x"] in known]
    assert again if began != "whole" else not again


def test_single_trainings_of_an_ordinary_study_are_known_models() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: noisy(trial, opr.Instance(0)), n_trials=8)
    known = {trial.params["x"] for trial in study.trials}
    study.sampler = sampler_of(repeat_share=0.8)
    with pytest.warns(UserWarning, match="8 complete trials of another objective"):
        _, log = search(study=study, budget=8 + 30)
    assert len(log) == 30
    assert len(log) == len(set(log))
    went_on = [trial for trial in study.trials[8:] if trial.params["x"] in known]
    assert went_on
    assert min(len(trial.user_attrs["robust:losses"]) for trial in went_on) == 2
    for trial in went_on:
        losses = trial.user_attrs["robust:losses"]
        expected = [noisy(trial, opr.Instance(number)) for number in range(len(losses))]
        assert losses == pytest.approx(expected)


def test_a_study_that_goes_on_without_it() -> None:
    study, log = search(budget=20)
    n_before = len(study.trials)
    study.sampler = optuna.samplers.TPESampler(seed=3)
    study, more = search(study=study, budget=None, n_trials=3)
    assert [len(trial.user_attrs["robust:losses"]) for trial in study.trials[n_before:]] == [5] * 3
    assert len(more) == 15
    study.sampler = sampler_of(seed=5)
    log += more
    study, log = search(study=study, log=log, budget=45)
    assert_as_logged(study, log)
    assert_best_is_complete(study)


def test_an_ordinary_objective_in_a_robust_study() -> None:
    study, _ = search(budget=20)
    n_before = len(study.trials)
    with pytest.warns(UserWarning, match="no effect without MultiInstanceObjective"):
        study.optimize(lambda trial: noisy(trial, opr.Instance(0)), n_trials=8)
    later = study.trials[n_before:]
    # What the first of them is, nobody can know before; the others are not robust.
    assert not any("robust:continues" in trial.user_attrs for trial in later[1:])


def test_ask_and_tell() -> None:
    study = optuna.create_study(sampler=sampler_of())
    objective = opr.MultiInstanceObjective(noisy, 5)
    for _ in range(30):
        trial = study.ask()
        try:
            study.tell(trial, objective(trial))
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
    went_on = [trial for trial in study.trials if "robust:continues" in trial.user_attrs]
    assert went_on
    assert sum(len(trial.user_attrs["robust:losses"]) == 5 for trial in study.trials) > 0


def test_a_criterion_of_its_own() -> None:
    def trimmed(losses: np.ndarray) -> float:
        return float(np.sort(losses)[: max(1, len(losses) - 1)].mean())

    study, log = search(criterion=trimmed, budget=30)
    assert len(log) == 30
    assert_as_logged(study, log)
    best = study.best_trial
    assert best.value == pytest.approx(trimmed(np.array(best.user_attrs["robust:losses"])))
    with pytest.raises(ValueError, match="give that as criterion"):
        opr.recommend(study)
    assert opr.recommend(study, trimmed).params == best.params


def test_a_trial_whose_object_is_made_twice_keeps_its_turn() -> None:
    """Wrappers of other libraries make another object of a trial that runs."""
    study, _ = search(budget=20)
    for _ in range(6):
        trial = study.ask()
        before = dict(study.trials[-1].user_attrs)
        optuna.trial.Trial(study, trial._trial_id)
        assert study.trials[-1].user_attrs == before
        study.tell(trial, state=TrialState.FAIL)


@pytest.mark.parametrize("n_instances", [1, 2])
def test_few_instances(n_instances: int) -> None:
    study, log = search(n_instances=n_instances, criterion="mean", budget=20)
    assert len(study.trials) == len(log) == 20
    assert_as_logged(study, log)
    assert_best_is_complete(study, n_instances)
    if n_instances == 1:
        assert all(trial.state == TrialState.COMPLETE for trial in study.trials)


def test_one_instance_has_no_spread() -> None:
    log: Log = []
    with pytest.raises(ValueError, match="n_instances=1 is too few for criterion 'q3"):
        search(n_instances=1, log=log)
    assert log == []
