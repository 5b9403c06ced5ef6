from __future__ import annotations

import math

import numpy as np
import optuna
import pytest

import optuna_robust as opr
from optuna_robust._reporting.visualization._optimism import _get_optimism_info
from optuna_robust.visualization import plot_optimism
from tests.reporting.visualization.sources import axis_titles
from tests.reporting.visualization.sources import confirmation_of
from tests.reporting.visualization.sources import drawn
from tests.reporting.visualization.sources import model_of
from tests.reporting.visualization.sources import study_of


def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
    x = trial.suggest_float("x", 0.0, 1.0)
    return x + 0.1 * float(instance.rng.normal())


def robust_study(direction: str = "minimize", criterion: str = "q3+iqr") -> optuna.Study:
    study = optuna.create_study(direction=direction, sampler=optuna.samplers.RandomSampler(seed=0))
    run = opr.MultiInstanceObjective(objective, n_instances=5, criterion=criterion)
    study.optimize(run, n_trials=4)
    return study


def ordinary_study() -> optuna.Study:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: objective(trial, opr.Instance(trial.number)), n_trials=8)
    return study


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_info_holds_what_was_confirmed(direction: str) -> None:
    result = opr.confirm(robust_study(direction), objective, n_models=3, n_instances=12)
    info = _get_optimism_info(result, 2, "trial", None)
    assert (info.n_models, info.n_instances, info.n_compared, info.once) == (3, 12, 5, False)
    assert not info.is_most
    assert info.statistic == ("Q3 + IQR" if direction == "minimize" else "Q1 − IQR")
    sign = 1 if direction == "minimize" else -1
    for shown, model in zip(info.models, result.models, strict=False):
        assert (shown.number, *shown[2:6]) == (
            model.index,
            model.value,
            model.interval.low,
            model.interval.high,
            model.optimism,
        )
        # A search that was too optimistic lies on the better side.
        assert sign * (shown.value - shown.search) == pytest.approx(model.optimism)
        assert f"<br>the search's value {model.search_value:.4g}<br>" in shown.hover
    assert len(info.models) == 2


def test_one_training_before_is_compared_with_the_mean_of_fresh_ones() -> None:
    result = opr.confirm(ordinary_study(), objective, n_models=2, n_instances=12)
    info = _get_optimism_info(result, 20, "model", None)
    assert info.once
    assert info.statistic == "mean"
    for shown, model, losses in zip(info.models, result.models, result.losses, strict=True):
        assert shown.value == pytest.approx(losses.mean())
        # What is drawn is the optimism.
        assert shown.value - shown.search == pytest.approx(model.optimism)
        assert shown.low < shown.value < shown.high


def test_a_circle_is_the_optimism_away_or_else_the_searchs_value() -> None:
    # By fresh instances 2, and 0.5 too optimistic; the search's 1.1 is of fewer instances.
    result = confirmation_of(
        model_of(0, search_value=1.1, value=2.0, optimism=0.5, statistic="median", n=3),
        model_of(1, search_value=1.2, value=2.0, optimism=math.nan, statistic="median", n=3),
        model_of(2, search_value=1.3, value=math.inf, optimism=math.inf, statistic="median", n=2),
        losses=[[2.0] * 4, [2.0] * 4, [math.inf] * 4],
    )
    info = _get_optimism_info(result, 3, "model", None)
    assert [shown.search for shown in info.models] == [1.5, 1.2, 1.3]
    assert plot_optimism(result).data[-1].x.tolist() == [1.5, 1.2, 1.3]
    # The last model has fewer instances to compare.
    assert "optimism compares up to 3 with as many" in plot_optimism(result).layout.title.text


def test_the_criterion_of_one_instance_is_no_mean() -> None:
    # Losses 1, 1, 1, 9: median 1, mean 3.
    result = confirmation_of(
        model_of(0, search_value=0.5, value=1.0, optimism=2.5, statistic="median", n=1),
        losses=[[1.0, 1.0, 1.0, 9.0]],
    )
    info = _get_optimism_info(result, 1, "model", None)
    assert not info.once
    assert info.statistic == "median"
    assert info.models[0].value == 1.0


def test_a_study_of_one_instance_each_is_confirmed_by_its_criterion() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    run = opr.MultiInstanceObjective(objective, n_instances=1, criterion="median")
    study.optimize(run, n_trials=3)
    result = opr.confirm(study, objective, n_models=1, n_instances=6)
    info = _get_optimism_info(result, 1, "trial", None)
    assert info.statistic == "median"
    assert info.models[0].value == pytest.approx(np.median(result.losses))


def test_a_spread_is_positive() -> None:
    study = robust_study("maximize", criterion="iqr")
    info = _get_optimism_info(
        opr.confirm(study, objective, n_models=1, n_instances=12), 1, "model", None
    )
    shown = info.models[0]
    assert shown.value - shown.search == pytest.approx(shown.optimism)
    assert 0.0 < shown.low < shown.value < shown.high
    assert info.direction == "minimize"


def test_a_study_shows_the_confirmation_that_it_keeps() -> None:
    study = robust_study()
    result = opr.confirm(study, objective, n_models=3, n_instances=12)
    figure = plot_optimism(study)
    assert drawn(figure) == [None, "fresh instances", "fresh instances, the best", "search"]
    assert list(figure.layout.yaxis.ticktext) == [str(model.index) for model in result.models]
    assert [note.text[:1] for note in figure.layout.annotations[1:]] == [
        "−" if model.optimism < 0 else "+" for model in result.models
    ]
    assert axis_titles(figure) == [
        "Q3 + IQR of loss (smaller is better)",
        "trial, the search's best on top",
    ]
    errors = figure.data[1].error_x
    assert np.isfinite(errors.array).all()
    assert (np.array(errors.arrayminus) > 0).all()


def test_failures_are_at_the_edge() -> None:
    def failing(trial: optuna.Trial, instance: opr.Instance) -> float:
        x = trial.suggest_float("x", 0.0, 1.0)
        if instance.phase == "confirmation" and x < 0.57 and instance.number % 2:
            raise RuntimeError("diverged")
        return x + 0.1 * float(instance.rng.normal())

    result = opr.confirm(robust_study(), failing, n_models=3, n_instances=12)
    assert [math.isinf(model.value) for model in result.models].count(True) in (1, 2)
    figure = plot_optimism(result)
    off = next(trace for trace in figure.data if trace.name and "failed" in trace.name)
    low, high = figure.layout.xaxis.range
    assert ((off.x > low) & (off.x < high)).all()
    drawn(figure)


def test_without_a_confirmation_the_figure_is_empty(caplog: pytest.LogCaptureFixture) -> None:
    assert not plot_optimism(study_of([[1.0, 2.0]])).data
    assert "Not confirmed." in caplog.text


def test_anything_else_is_an_error() -> None:
    with pytest.raises(TypeError, match="result of confirm or a study that keeps it, but got int"):
        plot_optimism(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n_models must be at least 1"):
        plot_optimism(study_of([[1.0]]), n_models=0)
