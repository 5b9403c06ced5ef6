from __future__ import annotations

from dataclasses import replace
import math

import optuna
from optuna.trial import create_trial
import pytest

from optuna_robust._reporting.report._sections import caveats
from optuna_robust._reporting.report._sections import costs
from optuna_robust._reporting.report._sections import in_short
from optuna_robust._reporting.report._sections import origins
from optuna_robust._reporting.summary import study_report
from tests.searches import robust_study


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.04, "0.0 s"), (119.9, "119.9 s"), (150, "2.5 min"), (9000, "2.5 h")]
)
def test_times_have_the_unit_that_people_use(seconds: float, told: str) -> None:
    found = replace(study_report(optuna.create_study(), n_trials=1), seconds=seconds)
    assert ("time of the trainings, added up", told) in costs(found).rows


def test_what_was_spared_is_a_share_of_what_there_would_have_been() -> None:
    found = replace(
        study_report(robust_study(confirmed=False, n_trials=6), n_trials=1),
        n_spared=26,
        n_unpruned=40,
    )
    assert ("instances not trained, since trials were stopped", "26 (65 %)") in costs(found).rows
    odd = replace(found, n_spared=0, n_unpruned=0)
    assert ("instances not trained, since trials were stopped", "0 (0 %)") in costs(odd).rows


def test_optimism_is_told_of_only_where_it_is_known_and_positive() -> None:
    found = study_report(robust_study(), n_trials=1)
    result = found.confirmation
    assert result is not None
    for optimism, told in ((0.25, True), (-0.25, False), (math.nan, False), (math.inf, False)):
        best = replace(result.models[result.best_index], optimism=optimism)
        models = tuple(
            best if position == result.best_index else model
            for position, model in enumerate(result.models)
        )
        changed = replace(found, confirmation=replace(result, models=models))
        assert ("promised too much" in " ".join(in_short(changed))) == told


def test_a_better_trial_after_the_confirmation_is_told_of() -> None:
    study = robust_study()
    assert len(in_short(study_report(study, n_trials=0))) == 1
    study.add_trial(create_trial(value=-99.0))
    take, now = in_short(study_report(study, n_trials=0))
    assert take.startswith("Take trial ")
    assert now.startswith("The best trial of the search is now 12, with Q3 + IQR -99:")


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_model_without_a_value_is_not_recommended(value: float) -> None:
    found = study_report(robust_study(), n_trials=1)
    result = found.confirmation
    assert result is not None
    models = tuple(replace(model, value=value) for model in result.models)
    (told,) = in_short(replace(found, confirmation=replace(result, models=models)))
    assert told.startswith("No confirmed model is usable")


def test_a_confirmation_that_cannot_be_read_is_a_confirmation() -> None:
    study = robust_study(confirmed=False, n_trials=6)
    without = study_report(study, n_trials=1)
    study.set_user_attr("robust:confirmation", {"format": "of the future"})
    found = study_report(study, n_trials=1)
    for sections in (in_short, caveats):
        assert any("confirmed on fresh" in told for told in sections(without))
        assert not any("confirmed on fresh" in told for told in sections(found))
        assert any("cannot be read" in told for told in sections(found))


def test_a_criterion_that_figures_cannot_know_is_told_of() -> None:
    found = study_report(robust_study(confirmed=False, n_trials=6), n_trials=1)
    settings = {**found.settings, "criterion": ["my_own"]}
    assert not any("my_own" in told for told in caveats(found))
    assert any("my_own" in told for told in caveats(replace(found, settings=settings)))


def test_looks_that_intervals_do_not_know_of_are_told_of() -> None:
    found = study_report(robust_study(), n_trials=1)
    assert found.confirmation is not None
    stopped = replace(found, confirmation=replace(found.confirmation, stopped_early=True))
    assert not any("looks in between" in told for told in caveats(found))
    assert any("looks in between" in told for told in caveats(stopped))


def test_settings_are_told_as_they_are() -> None:
    study = robust_study(confirmed=False, n_trials=6)
    rows = dict(origins(study_report(study, n_trials=1), study).rows)
    assert rows["n_instances"] == "6"
    assert rows["vary"] == "init, order, sample"
    assert rows["first trial begun"] <= rows["last trial begun"]
