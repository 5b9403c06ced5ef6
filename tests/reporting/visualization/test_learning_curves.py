from __future__ import annotations

import numpy as np
import optuna
import pytest

import optuna_robust as opr
from optuna_robust._reporting.visualization._curves import curves_of
from optuna_robust._reporting.visualization._learning_curves import _get_learning_curves_info
from optuna_robust._reporting.visualization._learning_curves import _LearningCurvesInfo
from optuna_robust._reporting.visualization._learning_curves import _ModelCurves
from optuna_robust.visualization import plot_learning_curves
from tests.reporting.visualization.sources import axis_titles
from tests.reporting.visualization.sources import drawn
from tests.reporting.visualization.sources import selection_of
from tests.reporting.visualization.sources import study_of


CURVES = [
    [[5.0, 3.0], [6.0, 2.0], [7.0, 2.5]],
    [[4.0, 1.0], [2.0, 1.0], [3.0, 1.5]],
    [[9.0, 9.0], [9.0, 9.0], [9.0, 9.0]],
]


def test_info_holds_the_best_models_and_medians() -> None:
    curves = curves_of(CURVES, store=None, direction=None, value_name="error in %")
    assert _get_learning_curves_info(curves, 1) == _LearningCurvesInfo(
        models=[
            _ModelCurves(
                number=1,
                curves={0: [4.0, 1.0], 1: [2.0, 1.0], 2: [3.0, 1.5]},
                medians=[3.0, 1.0],
                hover="<b>model 1</b> (complete)<br>Q3 + IQR 1.5<br>n = 3 instances",
            )
        ],
        epochs=[1, 2],
        n_models=3,
        noun="model",
        value_name="error in %",
        step_name="epoch",
        direction="minimize",
        criterion="Q3 + IQR",
    )


def test_the_largest_are_the_best_if_they_are_maximised() -> None:
    figure = plot_learning_curves(CURVES, direction="maximize", n_models=2)
    assert [name for name in drawn(figure) if name] == ["model 2", "model 0"]


def test_instances_are_thin_and_medians_thick() -> None:
    figure = plot_learning_curves(CURVES, n_models=1, step_name="<epoch>")
    instances, median = figure.data
    np.testing.assert_array_equal(
        instances.y, [4.0, 1.0, np.nan, 2.0, 1.0, np.nan, 3.0, 1.5, np.nan]
    )
    assert instances.customdata.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert median.line.width > instances.line.width
    assert axis_titles(figure) == ["&lt;epoch&gt;", "loss (smaller is better)"]


def test_curves_that_diverge_are_at_the_edge() -> None:
    values = np.array(CURVES)
    values[1, 1, 1] = np.inf
    values[2, 2, 1] = np.nan
    figure = plot_learning_curves(values)
    drawn(figure)
    high = figure.layout.yaxis.range[1]
    assert all(np.nanmax(trace.y) <= high for trace in figure.data)
    assert "off the scale" in figure.layout.annotations[0].text


def test_long_curves_are_thinned() -> None:
    values = np.random.default_rng(0).normal(size=(1000, 5, 2000))
    figure = plot_learning_curves(values, n_models=8)
    assert len(figure.data[-1].x) == 200
    assert figure.data[-1].x[-1] == 2000
    assert len(figure.to_json()) < 350_000


def test_a_selection_needs_its_store() -> None:
    with pytest.raises(TypeError, match="give the store as store, or the study"):
        plot_learning_curves(selection_of([[1.0, 2.0], [2.0, 3.0]]))


def test_without_curves_the_figure_is_empty(caplog: pytest.LogCaptureFixture) -> None:
    assert not plot_learning_curves(study_of([[1.0]]), store=opr.InstanceStore()).data
    assert not plot_learning_curves(study_of([[1.0]])).data
    assert "No learning curves." in caplog.text
    assert not plot_learning_curves(optuna.create_study(), store=opr.InstanceStore()).data
    assert not plot_learning_curves(np.empty((0, 0, 0))).data
    assert not plot_learning_curves(np.full((2, 2, 2), np.inf)).data
