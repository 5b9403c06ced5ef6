from __future__ import annotations

from dataclasses import replace
import math

import optuna
import pytest

import optuna_robust as opr
from optuna_robust._reporting.summary import confirmation_parts
from optuna_robust._reporting.summary import confirmed_value
from optuna_robust._reporting.summary import search_value
from optuna_robust._reporting.summary import study_report
from optuna_robust._reporting.summary import Table
from tests.searches import robust_study


def spread_study(direction: str, criterion: str = "std") -> optuna.Study:
    sign = -1 if direction == "maximize" else 1

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        x = trial.suggest_float("x", -1, 1)
        return sign * (x + (0.1 + abs(x)) * float(instance.rng.normal()))

    study = optuna.create_study(direction=direction, sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(opr.MultiInstanceObjective(objective, 4, criterion=criterion), n_trials=4)
    opr.confirm(study, objective, n_models=2, n_instances=12, criterion="std")
    return study


def told(study: optuna.Study) -> list[str | Table]:
    found = study_report(study, n_trials=2)
    assert found.confirmation is not None
    return confirmation_parts(found.confirmation, found.searched_by)


def test_spreads_are_positive_whatever_the_direction() -> None:
    """The same losses, turned round: but for the direction nothing differs."""
    minimised, maximised = told(spread_study("minimize")), told(spread_study("maximize"))
    assert [part for part in minimised if not _is_cost(part)] == [
        part for part in maximised if not _is_cost(part)
    ]
    assert str(maximised[0]).startswith("std of 12 fresh instances (smaller is better)")
    models = maximised[1]
    assert isinstance(models, Table)
    for row in models.rows:
        assert float(row[2]) > 0
        assert float(row[3]) > 0
        low, high = map(float, row[4].strip("[]").split(","))
        assert 0 < low < high


def _is_cost(part: str | Table) -> bool:
    return isinstance(part, str) and "trainings took" in part


def test_the_value_of_a_search_by_another_criterion_is_as_it_was() -> None:
    study = spread_study("maximize", "q3")
    result = study_report(study, n_trials=1).confirmation
    assert result is not None
    best = result.models[result.best_index]
    assert search_value(result, best, "q3") == f"{best.search_value:.5g}"
    assert confirmed_value(result, best).startswith(f"std {-best.value:.5g} [")


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_best_model_without_a_value_is_not_recommended(value: float) -> None:
    result = study_report(robust_study(), n_trials=1).confirmation
    assert result is not None
    models = tuple(replace(model, value=value) for model in result.models)
    parts = confirmation_parts(replace(result, models=models), "q3+iqr")
    assert str(parts[-1]).startswith("No confirmed model is usable: even the best, trial ")
    assert str(confirmation_parts(result, "q3+iqr")[-1]).startswith("Best: trial ")


def test_it_says_which_models_are_not_told_apart() -> None:
    """A hyperparameter without effect, and one with a large one."""

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        trial.suggest_categorical("unused", [0, 1, 2])
        return trial.suggest_float("x", 0, 9) + float(instance.rng.normal())

    study = optuna.create_study()
    for x, unused in ((0.0, 0), (0.0, 1), (0.0, 2), (9.0, 0)):
        study.enqueue_trial({"x": x, "unused": unused})
    study.optimize(opr.MultiInstanceObjective(objective, 4), n_trials=4)
    result = opr.confirm(study, objective, n_models=4, n_instances=10)
    chances = [model.probability_best for model in result.models]
    assert chances == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0.0], abs=1e-6)
    text = [part for part in confirmation_parts(result, None) if isinstance(part, str)]
    assert (
        "No difference in Q3 + IQR can be shown between the best, model 1, and models 2 and 3 "
        "(p adjusted > 0.05). The losses of models 2 and 3 are the same as those of the best."
    ) in text
    study = optuna.create_study()
    for x in (0.0, 9.0):
        study.enqueue_trial({"x": x, "unused": 0})
    study.optimize(opr.MultiInstanceObjective(objective, 4), n_trials=2)
    result = opr.confirm(study, objective, n_models=2, n_instances=10)
    assert not any("No difference" in str(part) for part in confirmation_parts(result, None))
