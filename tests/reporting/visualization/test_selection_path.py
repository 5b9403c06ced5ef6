from __future__ import annotations

import math

import numpy as np
import optuna
import pytest

from optuna_robust._reporting.visualization._models import models_of
from optuna_robust._reporting.visualization._selection_path import _get_selection_path_info
from optuna_robust._reporting.visualization._selection_path import _Path
from optuna_robust.visualization import plot_selection_path
from tests.reporting.visualization.sources import axis_titles
from tests.reporting.visualization.sources import drawn
from tests.reporting.visualization.sources import many
from tests.reporting.visualization.sources import selection_of
from tests.reporting.visualization.sources import study_of
from tests.reporting.visualization.sources import WORST


def test_info_holds_running_criteria() -> None:
    study = study_of([[1.0, 3.0, 2.0], [4.0, None], [0.0]], criterion="mean+std", n_instances=3)
    info = _get_selection_path_info(models_of(study), n_models=10)
    assert [path.number for path in info.paths] == [0]
    assert info.paths[0].n_instances == [2, 3]
    assert info.paths[0].values == pytest.approx([2.0 + math.sqrt(2.0), 3.0])
    assert info.paths[0].finished
    assert info.n_too_short == 2


@pytest.mark.parametrize(("direction", "worst"), [("minimize", 3.0), ("maximize", 1.0)])
def test_values_are_in_the_users_orientation(direction: str, worst: float) -> None:
    study = study_of([[2.0, worst, 2.0]], direction=direction)
    assert _get_selection_path_info(models_of(study, criterion="max"), 1).paths == [
        _Path(
            number=0,
            n_instances=[1, 2, 3],
            values=[2.0, worst, worst],
            finished=True,
            hover=f"<b>trial 0</b> (complete)<br>worst {worst:g}<br>n = 3 instances<br>model = 0",
        )
    ]


def test_a_dropped_instance_makes_the_path_shorter() -> None:
    info = _get_selection_path_info(models_of(study_of([[1.0, None, 2.0]])), n_models=1)
    assert info.paths[0].n_instances == [1, 2]
    assert info.paths[0].values == [1.0, 1.5]


def test_stopped_paths_end_with_a_cross_and_the_best_is_named() -> None:
    study = study_of([[2.0, 2.1, 2.2], [3.0], [1.0, 1.1, 1.2], [4.0, 4.5], *[[5, 5, 5]] * 4])
    figure = plot_selection_path(study)
    assert drawn(figure) == [
        "pruned",
        "pruned",
        "complete, others",
        "complete, others",
        "trial 4",
        "trial 0",
        "trial 2 (best)",
    ]
    ends = figure.data[1]
    assert list(ends.x) == [2, 1]
    assert list(ends.y) == [4.25, 3.0]
    assert figure.data[-1].y.tolist() == pytest.approx([1.0, 1.05, 1.1])
    assert axis_titles(figure) == [
        "instances of the model (trainings)",
        "median of loss (smaller is better)",
    ]


def test_infinite_criteria_are_at_the_edge() -> None:
    figure = plot_selection_path(study_of([[1.0, 1.0, 2.0], [WORST, 2.0, 3.0]]))
    path = figure.data[0]
    assert path.y[0] < figure.layout.yaxis.range[1]
    assert figure.layout.annotations[0].y == path.y[0]
    assert "off the scale" in figure.layout.annotations[0].text
    assert np.isfinite(path.y).all()


def test_a_selections_paths_get_as_far_as_its_models() -> None:
    result = selection_of(many(8, 10), criterion="median", n_warmup_instances=2)
    info = _get_selection_path_info(models_of(result), n_models=100)
    lengths = {path.number: path.n_instances[-1] for path in info.paths}
    removed_at = {model: step.step for step in result.steps for model in step.removed}
    assert {model: lengths[model] for model in removed_at} == removed_at
    assert info.paths[0].values[-1] == pytest.approx(result.best_value)
    assert drawn(plot_selection_path(result))[-1] == f"model {result.best_index} (best)"


def test_a_thousand_models_are_cut() -> None:
    figure = plot_selection_path(study_of(many(1000, 20).tolist()))
    assert "best 100 of 1000 trials" in figure.layout.title.text
    assert len(figure.to_json()) < 100_000


def test_without_data_the_figure_is_empty(caplog: pytest.LogCaptureFixture) -> None:
    assert not plot_selection_path(optuna.create_study()).data
    assert "No trial has finished." in caplog.text
    assert not plot_selection_path(study_of([[WORST, WORST]])).data


def test_one_instance_is_a_point() -> None:
    figure = plot_selection_path(study_of([[1.0], [2.0]], criterion="q3+iqr"))
    assert "one instance each" in figure.layout.title.text
    assert [list(trace.x) for trace in figure.data] == [[1], [1]]
