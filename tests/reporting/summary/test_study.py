from __future__ import annotations

import numpy as np
import optuna
from optuna.trial import create_trial
import pytest

import optuna_robust as opr
from optuna_robust._reporting.summary import best_trials
from optuna_robust._reporting.summary import newer_best_text
from optuna_robust._reporting.summary import ranked_otherwise
from optuna_robust._reporting.summary import study_report
from optuna_robust._reporting.summary import unreadable
from tests.reporting.summary.test_confirmation import spread_study
from tests.searches import robust_study


def test_a_spread_that_is_maximised_is_shown_positive() -> None:
    study = spread_study("maximize")
    found = study_report(study, n_trials=4)
    shown = [float(row[1]) for row in best_trials(found).rows]
    assert shown == sorted(shown)
    assert shown == pytest.approx([-trial.values[0] for trial in found.best], rel=1e-4)
    assert found.to_dict()["best_trials"][0]["values"] == found.best[0].values  # as Optuna has it


def test_a_value_named_as_a_spread_is_shown_as_it_is() -> None:
    study = optuna.create_study(direction="maximize")
    study.set_metric_names(["std"])
    study.add_trial(create_trial(value=-3.0))
    assert best_trials(study_report(study, n_trials=1)).rows[0][1] == "-3"


@pytest.mark.parametrize("n_trials", [0, 5])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_better_trial_after_the_confirmation_is_told_of(direction: str, n_trials: int) -> None:
    study = robust_study(direction=direction)
    assert not newer_best_text(study_report(study, n_trials=n_trials))
    value = -99.0 if direction == "minimize" else 99.0
    params, distributions = study.best_trial.params, study.best_trial.distributions
    study.add_trial(create_trial(value=value, params=params, distributions=distributions))
    assert not newer_best_text(study_report(study, n_trials=n_trials))  # the model was confirmed
    params = {**params, "x": 0.123}
    study.add_trial(create_trial(value=2 * value, params=params, distributions=distributions))
    told = newer_best_text(study_report(study, n_trials=n_trials))
    name = "Q3 + IQR" if direction == "minimize" else "Q1 − IQR"
    assert told.startswith(f"The best trial of the search is now 13, with {name} {2 * value:g}:")


def test_a_study_without_confirmation_has_nothing_that_changed() -> None:
    found = study_report(robust_study(confirmed=False, n_trials=4), n_trials=1)
    assert not newer_best_text(found)
    assert not unreadable(found)


def test_a_criterion_that_figures_cannot_know_is_told_of() -> None:
    def width(losses: np.ndarray) -> float:
        return float(losses.max() - losses.min())

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        return trial.suggest_float("x", -1, 1) * float(instance.rng.normal())

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(opr.MultiInstanceObjective(objective, 3, criterion=width), n_trials=2)
    assert "criterion of its own, width, by" in ranked_otherwise(study_report(study, n_trials=1))
    assert not ranked_otherwise(study_report(spread_study("minimize"), n_trials=1))
    assert not ranked_otherwise(study_report(optuna.create_study(), n_trials=1))
