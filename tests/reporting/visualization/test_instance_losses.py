from __future__ import annotations

import math

import numpy as np
import optuna
import pytest

from optuna_robust._reporting.visualization._instance_losses import _get_instance_losses_info
from optuna_robust._reporting.visualization._instance_losses import _InstanceLossesInfo
from optuna_robust._reporting.visualization._instance_losses import _ModelLosses
from optuna_robust._reporting.visualization._models import models_of
from optuna_robust.visualization import plot_instance_losses
from tests.reporting.visualization.sources import axis_titles
from tests.reporting.visualization.sources import drawn
from tests.reporting.visualization.sources import many
from tests.reporting.visualization.sources import selection_of
from tests.reporting.visualization.sources import study_of
from tests.reporting.visualization.sources import WORST


def test_info_holds_the_best_models_first() -> None:
    study = study_of([[2.0, 4.0, 3.0], [0.0], [1.0, WORST, 1.5]])
    info = _get_instance_losses_info(models_of(study), n_models=2)
    assert info == _InstanceLossesInfo(
        models=[
            _ModelLosses(
                number=2,
                losses={0: 1.0, 1: math.inf, 2: 1.5},
                value=1.5,
                finished=True,
                params=["model = 2"],
                hover="<b>trial 2</b> (complete)<br>median 1.5<br>n = 3 instances, 1 failed<br>"
                "model = 2",
            ),
            _ModelLosses(
                number=0,
                losses={0: 2.0, 1: 4.0, 2: 3.0},
                value=3.0,
                finished=True,
                params=["model = 0"],
                hover="<b>trial 0</b> (complete)<br>median 3<br>n = 3 instances<br>model = 0",
            ),
        ],
        n_models=3,
        noun="trial",
        group_names=("complete", "pruned"),
        loss_name="loss",
        direction="minimize",
        criterion="median",
        is_level=True,
    )


def test_boxes_have_the_quartiles_of_the_criteria() -> None:
    study = study_of([[1.0, 2.0, 3.0, 4.0, 5.0, 12.0]])
    figure = plot_instance_losses(study)
    box = figure.data[0]
    assert (box.q1[0], box.median[0], box.q3[0]) == (2.25, 3.5, 4.75)
    # Within 1.5 IQR = 3.75 of the box.
    assert (box.lowerfence[0], box.upperfence[0]) == (1.0, 5.0)


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1.0), ("maximize", -1.0)])
def test_boxes_have_the_quartiles_of_the_losses_and_not_of_what_is_drawn(
    direction: str, sign: float
) -> None:
    # The upper quartile lies between 3 and infinity, at a quarter of the way: at the edge. That
    # of the five losses of the other model is the fourth of them.
    losses: list[list[float | str | None]] = [
        [sign * 1.0, sign * 2.0, sign * 3.0, WORST],
        [sign * 2.0, sign * 3.0, sign * 4.0, sign * 5.0, WORST],
    ]
    figure = plot_instance_losses(study_of(losses, n_instances=5, direction=direction))
    edge = next(trace for trace in figure.data if trace.name == "failed or off the scale").y[0]
    complete, pruned = figure.data[:2]
    worse, better = ("q3", "q1") if sign > 0 else ("q1", "q3")
    assert pruned[worse][0] == edge
    assert (pruned[better][0], pruned.median[0]) == (sign * 1.75, sign * 2.5)
    assert complete[worse][0] == sign * 5.0
    assert (complete[better][0], complete.median[0]) == (sign * 3.0, sign * 4.0)
    drawn(figure)


def test_points_tell_of_their_model_unless_there_are_too_many() -> None:
    points = plot_instance_losses(study_of([[1.0, 2.0]], params={"x": "relu"})).data[1]
    assert points.hovertext[1] == "trial 0 (n = 2), instance 1<br>loss 2<br>x = relu"
    study = study_of(many(1000, 20).tolist())
    points = plot_instance_losses(study, n_models=1000).data[1]
    assert "model = " in points.hovertext[0]
    assert "(n = 20), instance " in points.hovertext[-1]
    assert "model = " not in points.hovertext[-1]


def test_groups_failures_and_criteria_are_drawn() -> None:
    study = study_of([[2.0, 4.0, 3.0], [5.0], [1.0, WORST, 1.5]])
    figure = plot_instance_losses(study)
    names = ["complete", "pruned", "instance", "failed or off the scale", "median"]
    assert drawn(figure) == names
    failed = figure.data[3]
    assert failed.y[0] > 5.0
    assert failed.y[0] < figure.layout.yaxis.range[1]
    assert failed.hovertext[0] == "trial 2 (n = 3), instance 1<br>loss none: failed<br>model = 2"
    assert axis_titles(figure) == [
        "trial number: the best by median first; pruned by their instances",
        "loss (smaller is better)",
    ]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_criterion_off_the_scale_is_an_open_diamond_at_the_edge(direction: str) -> None:
    sign = -1 if direction == "maximize" else 1
    near = [[sign * loss for loss in losses] for losses in many(12, 5).tolist()]
    far = [*near[0][:-1], sign * 1e4]
    study = study_of([*near, far, [*near[1][:-1], WORST]], direction=direction, criterion="max")
    figure = plot_instance_losses(study)
    criteria = figure.data[-1]
    low, high = figure.layout.yaxis.range
    assert all(low < y < high for y in criteria.y)
    assert criteria.marker.opacity.tolist() == [1.0] * 14
    assert criteria.marker.symbol.tolist() == ["diamond"] * 12 + ["diamond-open"] * 2


def test_failures_are_at_the_lower_edge_if_losses_are_maximised() -> None:
    figure = plot_instance_losses(study_of([[2.0, WORST, 3.0]], direction="maximize"))
    failed = figure.data[2]
    assert figure.layout.yaxis.range[0] < failed.y[0] < 2.0
    assert failed.marker.symbol == "triangle-down"


def test_a_spread_criterion_is_not_drawn_among_losses() -> None:
    figure = plot_instance_losses(study_of([[1.0, 2.0, 3.0]]), criterion="iqr")
    criteria = figure.data[-1]
    assert criteria.y.tolist() == [2.0]  # at the median, for the text
    assert criteria.marker.opacity.tolist() == [0.0]
    level = plot_instance_losses(study_of([[1.0, 2.0, 3.0]]), criterion="max").data[-1]
    assert (level.y.tolist(), level.marker.opacity.tolist()) == ([3.0], [1.0])


def test_one_instance_has_no_spread() -> None:
    figure = plot_instance_losses(study_of([[2.0], [1.0]], criterion="q3+iqr"))
    assert "one instance each: no spread" in figure.layout.title.text
    assert list(figure.layout.xaxis.ticktext) == ["1", "0"]


@pytest.mark.parametrize("kind", ["box", "violin"])
def test_a_thousand_models_are_cut_to_the_best(kind: str) -> None:
    study = study_of(many(1000, 20).tolist())
    figure = plot_instance_losses(study, kind=kind)  # type: ignore[arg-type]
    assert "best 20 of 1000 trials" in figure.layout.title.text
    assert len(figure.layout.xaxis.ticktext) == 20
    assert len(figure.to_json()) < 60_000


def test_an_instance_has_the_same_place_in_every_box() -> None:
    points = plot_instance_losses(study_of([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]])).data[1]
    np.testing.assert_allclose(points.x[3:] - points.x[:3], 1.0, atol=1e-6)


def test_a_selection_is_drawn() -> None:
    result = selection_of(many(8, 10), criterion="median", n_warmup_instances=2)
    figure = plot_instance_losses(result)
    assert drawn(figure)[:2] == ["survivor", "removed"]
    assert figure.layout.xaxis.ticktext[0] == str(result.best_index)


def test_without_data_the_figure_is_empty(caplog: pytest.LogCaptureFixture) -> None:
    figure = plot_instance_losses(optuna.create_study())
    assert not figure.data
    assert "No trial has finished." in caplog.text
    assert "All instances failed." in (
        plot_instance_losses(study_of([[WORST, WORST]])).layout.annotations[0].text
    )


def test_users_text_is_escaped() -> None:
    study = study_of([[1.0, 2.0]], params={"<b>p</b>": "%{x}<script>"})
    text = plot_instance_losses(study, loss_name="<i>$e$</i>").to_json()
    assert "<b>p</b>" not in text
    assert "<script>" not in text
    assert "<i>" not in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_models": 0}, "n_models must be at least 1, but was 0"),
        ({"kind": "bar"}, "kind='bar' is unknown"),
    ],
)
def test_bad_options_are_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_instance_losses(study_of([[1.0]]), **options)  # type: ignore[arg-type]
