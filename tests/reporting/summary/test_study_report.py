from __future__ import annotations

import random

import optuna
from optuna.trial import create_trial
from optuna.trial import TrialState
import pytest

import optuna_robust as opr
from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import MultiInstanceObjective
from optuna_robust._reporting.dashboard._notes import study_note
from optuna_robust._reporting.summary import best_trials
from optuna_robust._reporting.summary import failures_of
from optuna_robust._reporting.summary import study_cost
from optuna_robust._reporting.summary import study_failures
from optuna_robust._reporting.summary import study_report
from optuna_robust.cli._results import confirmation_text
from optuna_robust.cli._results import selection_text
from optuna_robust.cli._results import study_text
from optuna_robust.report import html_report
from tests.reporting.report.pages import Page
from tests.searches import robust_study


def test_instances_are_counted_by_what_became_of_them() -> None:
    study = optuna.create_study()
    study.set_user_attr("robust:settings", {"n_instances": 4, "criterion": ["mean"]})
    failures = {"robust:failures": {"1": "ValueError: no"}}
    for state, attrs in (
        (TrialState.COMPLETE, {"robust:losses": [1.0, "worst", 2.0, 3.0]} | failures),
        (TrialState.FAIL, {"robust:losses": [1.0, "worst"]} | failures),  # the next goes on
        (TrialState.PRUNED, {"robust:losses": [4.0, "worst", 5.0]} | failures),
    ):
        value = 2.0 if state == TrialState.COMPLETE else None
        study.add_trial(create_trial(state=state, value=value, user_attrs=attrs))
    continues = {"robust:continues": 1, "robust:n_reused": 2, "robust:losses": [6.0, "worst", 7.0]}
    study.add_trial(create_trial(state=TrialState.PRUNED, user_attrs=continues | failures))
    found = study_report(study, n_trials=5)
    assert (found.n_trainings, found.n_reused, found.n_failures) == (4 + 2 + 3 + 1, 2, 3)
    assert (found.n_spared, found.n_unpruned) == (1 + 1, 12)
    told = found.to_dict()
    assert (told["n_trainings"], told["n_reused"], told["n_failures"]) == (10, 2, 3)
    assert (told["n_spared"], told["n_trainings_without_pruning"]) == (2, 12)


def test_trials_that_failed_or_run_spare_nothing() -> None:
    study = optuna.create_study()
    study.set_user_attr("robust:settings", {"n_instances": 5, "criterion": ["mean"]})
    attrs = {"robust:losses": [1.0, 2.0, 3.0], "robust:n_reused": 2}
    for state in (TrialState.FAIL, TrialState.RUNNING, TrialState.PRUNED):
        study.add_trial(create_trial(state=state, user_attrs=attrs))
    longer = {"robust:losses": [1.0] * 7}  # than the settings say
    study.add_trial(create_trial(value=1.0, user_attrs=longer))
    found = study_report(study, n_trials=5)
    assert (found.n_trainings, found.n_reused) == (3 + 7, 6)
    assert (found.n_spared, found.n_unpruned) == (2, 3 + 3 + 5 + 7)
    assert "2 instances of stopped trials were not trained; 6 came from a store." in study_cost(
        found
    )


def test_a_search_that_was_resumed_has_all_its_trainings() -> None:
    """Killed after 6 of 10 instances, and started again."""
    n_trained = 0

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        nonlocal n_trained
        if n_trained == 6 and trial.number == 0:
            raise KeyboardInterrupt
        n_trained += 1
        return trial.suggest_float("x", -1, 1) + float(instance.rng.normal())

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    resumed = MultiInstanceObjective(objective, 10, store=InstanceStore())
    with pytest.raises(KeyboardInterrupt):
        study.optimize(resumed, n_trials=1)
    study.optimize(resumed, n_trials=1)
    found = study_report(study, n_trials=1)
    assert found.n_trainings == n_trained == 10
    assert (found.n_reused, found.n_spared, found.n_unpruned) == (6, 0, 10)
    assert "Trainings: 10, " in study_cost(found)
    (row,) = best_trials(found).rows
    assert row[best_trials(found).header.index("instances")] == "10"
    assert found.to_dict()["best_trials"][0]["n_instances"] == 10


def test_a_trial_that_died_before_its_first_loss_trained_nothing() -> None:
    study = optuna.create_study()
    study.add_trial(create_trial(state=TrialState.FAIL))
    continues = {"robust:continues": 0, "robust:losses": [1.0, 2.0]}
    study.add_trial(create_trial(value=1.5, user_attrs=continues))
    assert study_report(study, n_trials=1).n_trainings == 2


def test_what_a_store_gave_is_not_trained() -> None:
    store = InstanceStore()
    first = study_report(robust_study(store=store, confirmed=False), n_trials=3)
    again = study_report(robust_study(store=store, confirmed=False), n_trials=3)
    assert (first.n_reused, again.n_trainings) == (0, 0)
    assert again.n_reused == first.n_trainings > 12
    assert again.n_failures == first.n_failures


def test_the_top_of_a_report_is_the_best() -> None:
    found = study_report(robust_study(confirmed=False), n_trials=4)
    assert [trial.number for trial in found.top(2).best] == [
        trial.number for trial in found.best[:2]
    ]
    assert found.top(2).n_best == found.n_best > 2


def test_every_report_has_a_line_of_failures() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        if instance.number % 2 and x > 0.4:
            raise FileNotFoundError("train.npz")
        return float("nan") if instance.number == 2 else x + 0.1 * float(instance.rng.normal())

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    wrapped = opr.MultiInstanceObjective(objective, 4, criterion="min", max_failures=1.0)
    study.optimize(wrapped, n_trials=3)
    line = objective.__code__.co_firstlineno + 3
    kind = f"FileNotFoundError at test_study_report.py:{line}"
    found = study_report(study, n_trials=3)
    assert found.failure_kinds == {kind: 6, "the objective returned nan": 3}
    assert found.to_dict()["failure_kinds"] == found.failure_kinds
    said = f"Failures: 9 instances (6 {kind}; 3 the objective returned nan)."
    assert study_failures(found) == said
    assert said in study_text(found, "sqlite:///study.db")
    assert said in Page(html_report(study)).text
    assert said.replace("_", r"\_") in study_note(found, [])

    result = opr.confirm(study, objective, n_models=1, n_instances=6)
    assert failures_of(result) == f"Failures: 3 instances (3 {kind})."
    assert failures_of(result) in confirmation_text(result, "min")
    confirmed = study_report(study, n_trials=3)
    for text in (
        study_text(confirmed, "sqlite:///study.db"),
        Page(html_report(study)).text,
        study_note(confirmed, []).replace("\\", ""),
    ):
        assert failures_of(result) in text

    added = optuna.create_study()
    models = {"x": [0.1, 0.9]}
    selected = opr.robust_select(objective, models, n_instances=4, criterion="min", study=added)
    assert failures_of(selected) in selection_text(selected, added)
    assert kind in failures_of(selected)


def test_a_study_without_failures_says_so() -> None:
    study = optuna.create_study()
    study.optimize(opr.MultiInstanceObjective(lambda trial: random.random(), 2), n_trials=1)
    assert "Failures: none." in study_text(study_report(study, n_trials=1), "sqlite:///study.db")


def test_failures_of_a_study_of_version_0_1_are_counted_by_type() -> None:
    study = optuna.create_study()
    attrs = {
        "robust:losses": ["worst", "worst", 1.0],
        "robust:failures": {"0": "ValueError: no", "1": "ValueError: neither"},
    }
    study.add_trial(create_trial(value=1.0, user_attrs=attrs))
    assert study_report(study, n_trials=1).failure_kinds == {"ValueError": 2}
