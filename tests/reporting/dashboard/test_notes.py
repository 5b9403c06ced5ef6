from __future__ import annotations

from dataclasses import replace
import math

from optuna.trial import create_trial
import pytest

from optuna_robust._reporting.dashboard._notes import finalist_notes
from optuna_robust._reporting.dashboard._notes import study_note
from optuna_robust._reporting.main_figures import dashboard_figures
from optuna_robust._reporting.summary import study_report
from tests.reporting.summary.test_confirmation import spread_study
from tests.searches import robust_study


def test_a_better_trial_after_the_confirmation_is_told_of() -> None:
    study = robust_study()
    assert "it was not confirmed" not in study_note(study_report(study, n_trials=1), [])
    study.add_trial(create_trial(value=-99.0))
    note = study_note(study_report(study, n_trials=1), [])
    assert (
        "The best trial of the search is now 12, with Q3 + IQR -99: it was not confirmed" in note
    )


def test_a_confirmation_that_cannot_be_read_is_told_of() -> None:
    study = robust_study(confirmed=False, n_trials=6)
    assert "optuna-robust confirm" in study_note(study_report(study, n_trials=1), [])
    study.set_user_attr("robust:confirmation", {"format": "of the future"})
    note = study_note(study_report(study, n_trials=1), [])
    assert "### Confirmation" in note
    assert "confirmation cannot be read" in note
    assert "optuna-robust confirm" not in note


def test_a_criterion_that_figures_cannot_know_is_told_of_beside_figures() -> None:
    study = robust_study(confirmed=False, n_trials=6)
    found = study_report(study, n_trials=1)
    own = replace(found, settings={**found.settings, "criterion": ["own"]})
    figures = dashboard_figures(study, found)
    assert "criterion of its own, own, by" in study_note(own, figures)
    assert "criterion of its own" not in study_note(found, figures)
    assert "criterion of its own" not in study_note(own, [])


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_the_best_of_useless_models_is_one_of_them(value: float) -> None:
    found = study_report(robust_study(), n_trials=1)
    result = found.confirmation
    assert result is not None
    models = tuple(replace(model, value=value) for model in result.models)
    useless = replace(found, confirmation=replace(result, models=models))
    assert any("The best of 2" in note.text for note in finalist_notes(found, 2))
    assert not any("The best of 2" in note.text for note in finalist_notes(useless, 2))


def test_spreads_are_positive_in_the_notes_of_trials() -> None:
    study = spread_study("maximize")
    confirmed = finalist_notes(study_report(study, n_trials=2), 2)
    study.set_user_attr("robust:confirmation", None)
    unconfirmed = finalist_notes(study_report(study, n_trials=2), 2)
    assert len(confirmed) == len(unconfirmed) == 2
    for note in (*confirmed, *unconfirmed):
        assert "- std 0." in note.text
    for note in confirmed:
        value = -study.trials[note.trial].values[0]
        assert f"- {value:.5g} in the search" in note.text
