"""Names of criteria as people read them: oriented, everywhere, with direction and unit."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

import optuna_robust as opr
from optuna_robust._reporting.summary import study_report
from optuna_robust._statistics.criterion_names import better_side
from optuna_robust._statistics.criterion_names import column_head
from optuna_robust._statistics.criterion_names import shown_name
from optuna_robust.cli._results import selection_text
from optuna_robust.cli._results import study_text
from optuna_robust.criteria import CRITERIA
from optuna_robust.criteria import Criterion
from optuna_robust.report import html_report


def accuracy(trial: optuna.Trial, instance: opr.Instance) -> float:
    x = trial.suggest_float("x", 0.0, 0.5)
    return 0.9 - x**2 + 0.02 * float(instance.rng.normal())


def searched(criterion: str, **options: Any) -> optuna.Study:
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0), **options
    )
    study.set_metric_names(["accuracy"])
    study.optimize(opr.MultiInstanceObjective(accuracy, 4, criterion=criterion), n_trials=4)
    opr.confirm(study, accuracy, n_models=2, n_instances=12)
    return study


@pytest.mark.parametrize(
    ("criterion", "name", "head"),
    [
        ("q3+iqr", "Q1 − IQR", "Q1 − IQR of accuracy, larger is better"),
        ("q3", "Q1", "Q1 of accuracy, larger is better"),
        ("mean+std", "mean − std", "mean − std of accuracy, larger is better"),
        ("max", "worst", "worst accuracy, larger is better"),
        ("std", "std", "std of accuracy, smaller is better"),
    ],
)
def test_what_is_maximised_is_named_so_wherever_people_read(
    criterion: str, name: str, head: str
) -> None:
    study = searched(criterion)
    found = study_report(study, n_trials=3)
    text = study_text(found, "sqlite:///study.db")
    page = html_report(study)
    for shown in (text, page):
        assert head in shown
        assert f"{name} of 12 fresh instances" in shown
    assert f"{name} " in str(opr.recommend(study))
    assert f"{name}=" in repr(found.confirmation)
    selected = opr.robust_select(
        accuracy, study, criterion=criterion, rule="halving", n_instances=4, n_warmup_instances=1
    )
    assert f"{name}=" in repr(selected)
    figure = opr.visualization.plot_selection_path(study)
    assert name in figure.layout.yaxis.title.text
    if criterion != name:
        written = "\n".join(line for line in text.splitlines() if not line.startswith("Settings:"))
        assert criterion not in written.replace(name, "").replace("maximize", "")


def test_spreads_are_positive_in_every_print() -> None:
    study = searched("std")
    found = opr.recommend(study)
    assert found.value < 0
    assert f"std {-found.value:.6g} of 4 instances" in str(found)
    confirmed = opr.confirm(study, accuracy, n_models=2, n_instances=12)
    best = confirmed.models[confirmed.best_index]
    low, high = -best.interval.high, -best.interval.low
    assert f"std={-best.value:.6g} [{low:.6g}, {high:.6g}]" in repr(confirmed)
    selected = opr.robust_select(
        accuracy, study, criterion="std", rule="halving", n_instances=4, n_warmup_instances=1
    )
    reasons = [reason for _, reason in selected.removals.values()]
    assert reasons
    assert not any("-" in reason for reason in reasons)
    assert f"std={-selected.best_value:.6g} of" in repr(selected)


def test_a_selection_names_its_criterion_and_units(tmp_path: Any) -> None:
    study = optuna.create_study(direction="maximize")
    study.set_metric_names(["accuracy"])
    result = opr.robust_select(
        accuracy, {"x": [0.0, 0.1, 0.4]}, rule="halving", n_instances=4, study=study
    )
    text = selection_text(result, study)
    assert "halving by Q1 − IQR (larger is better):" in text
    assert "incumbent  Q1 − IQR of accuracy, larger is better  trained" in text
    assert "with Q1 − IQR 0." in text


def test_each_objective_has_its_own_direction() -> None:
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(opr.MultiInstanceObjective(accuracy, 3, returns=("q3", "iqr")), n_trials=3)
    found = study_report(study, n_trials=3)
    assert found.heads == ("Q1, larger is better", "IQR, smaller is better")


def test_a_study_of_single_trainings_tells_the_direction() -> None:
    study = optuna.create_study(direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert study_report(study, n_trials=1).heads == ("value, larger is better",)


def test_the_stop_of_a_trial_without_a_value_names_what_is_missing() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        if instance.number and trial.suggest_float("x", 0, 1) >= 0:
            raise FloatingPointError("diverged")
        return 0.5

    study = optuna.create_study(direction="maximize")
    wrapped = opr.MultiInstanceObjective(objective, 3, on_failure="drop", max_failures=1.0)
    study.optimize(wrapped, n_trials=1)
    stopped = study.trials[0].user_attrs["robust:stopped"]
    assert "no value of Q1 − IQR" in str(stopped)


def test_a_criterion_of_the_users_own_keeps_its_name() -> None:
    own = Criterion("max", CRITERIA["std"].statistic, "spread", 2)
    assert shown_name(own, "maximize") == "max"
    assert better_side(own, "maximize") == "smaller is better"
    assert column_head("my criterion", "minimize") == "my criterion, smaller is better"


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_best_of_the_instances_warns_that_it_crowns_the_luckiest(direction: str) -> None:
    with pytest.warns(UserWarning, match="crowns the luckiest model") as told:
        opr.robust_select(
            accuracy, {"x": [0.1, 0.2]}, criterion="min", direction=direction, n_instances=3
        )
    assert told[0].filename == __file__
    study = optuna.create_study(direction=direction)
    with pytest.warns(UserWarning, match="crowns the luckiest model") as told:
        wrapped = opr.MultiInstanceObjective(accuracy, 3, criterion="min")
    assert told[0].filename == __file__
    study.optimize(wrapped, n_trials=2)
    for call in (
        lambda: opr.confirm(study, accuracy, n_models=1, n_instances=2),
        lambda: opr.recommend(study),
        lambda: opr.RobustnessPruner(criterion="min"),
        lambda: opr.MultiInstanceObjective(accuracy, 3, returns=("min", "std")),
        lambda: opr.MultiInstanceObjective(accuracy, 3, criterion=("min", "mean")),
    ):
        with pytest.warns(UserWarning, match="crowns the luckiest model") as told:
            call()
        assert told[0].filename == __file__
