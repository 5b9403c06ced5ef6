"""Which model a study recommends."""

from __future__ import annotations

import math

import optuna
import pytest

import optuna_robust as opr
from optuna_robust._instances.trials import total_violation
from tests.search.sampler.searches import noisy
from tests.search.sampler.searches import sampler_of
from tests.search.sampler.searches import search


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_model_that_is_complete_and_the_best(direction: str) -> None:
    sign = 1 if direction == "minimize" else -1
    study = optuna.create_study(direction=direction, sampler=opr.RobustnessSampler(seed=0))
    study, _ = search(lambda trial, instance: sign * noisy(trial, instance), study=study)
    found = opr.recommend(study)
    assert found.params == study.best_params
    assert found.number == study.best_trial.number
    assert found.value == pytest.approx(study.best_value)
    assert (found.n_instances, found.n_missing, found.criterion) == (5, 0, "q3+iqr")
    assert found.std == pytest.approx(0.0, abs=1e-9)
    assert 0.0 < found.probability <= 1.0
    name = "Q3 + IQR" if direction == "minimize" else "Q1 − IQR"
    assert f"trial {found.number}: {name}" in str(found)
    assert "missing" not in str(found)


def test_while_nothing_tells_the_noise() -> None:
    study, _ = search(budget=None, n_trials=3)
    found = opr.recommend(study)
    assert (found.n_instances, found.n_missing) == (1, 4)
    assert math.isnan(found.probability)
    assert "4 are missing" in str(found)


def test_a_study_of_whole_models() -> None:
    """With any sampler."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study, _ = search(study=study, budget=None, n_trials=8)
    assert opr.recommend(study).params == study.best_params
    assert opr.recommend(study, "mean").criterion == "mean"


def test_feasible_models_go_before() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", 0.5 - x)
        return x + 0.1 * float(instance.rng.normal())

    study, _ = search(objective)
    assert opr.recommend(study).params["x"] >= 0.5
    assert opr.recommend(study).params == study.best_params


def test_if_none_is_feasible_it_says_so() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", 1.5 - x)
        return x + 0.1 * float(instance.rng.normal())

    study, _ = search(objective)
    with pytest.warns(UserWarning, match=r"No model of the study '.*' is feasible"):
        found = opr.recommend(study)
    assert found.violation == min(total_violation(trial) for trial in study.trials)
    assert found.violation == pytest.approx(1.5 - found.params["x"])
    assert "no model is feasible" in str(found)


def test_a_model_that_fails_too_often_is_not_recommended() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        n = trial.suggest_int("n", 0, 1)
        if n == 0 and instance.number == 4:
            raise ValueError("in the end")
        return n + 0.1 * float(instance.rng.normal())

    study, _ = search(objective, budget=None, n_trials=40, max_failures=0.0)
    assert opr.recommend(study).params == study.best_params == {"n": 1}


def test_models_that_are_equally_good() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        trial.suggest_categorical("of_no_effect", [1, 2, 3])
        return float(instance.rng.normal())

    study, _ = search(objective, budget=None, n_trials=60)
    assert opr.recommend(study).number == study.best_trial.number


def test_what_cannot_be_recommended() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"])
    with pytest.raises(ValueError, match="2 objectives"):
        opr.recommend(study)
    study = optuna.create_study()
    with pytest.raises(ValueError, match="holds no instances"):
        opr.recommend(study)
    with pytest.raises(ValueError, match="criterion"):
        opr.recommend(study, "best")
    study, _ = search(study=optuna.create_study(sampler=sampler_of()), budget=None, n_trials=1)
    empty = optuna.create_study()
    for key, value in study.user_attrs.items():
        empty.set_user_attr(key, value)
    with pytest.raises(ValueError, match="no instance with a loss yet"):
        opr.recommend(empty)
