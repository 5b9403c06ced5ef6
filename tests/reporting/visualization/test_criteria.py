from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import optuna
import pytest

from optuna_robust._reporting.visualization._criteria import _get_criteria_info
from optuna_robust._reporting.visualization._criteria import _steps
from optuna_robust._reporting.visualization._models import models_of
from optuna_robust.visualization import plot_criteria
from tests.reporting.visualization.sources import axis_titles
from tests.reporting.visualization.sources import drawn
from tests.reporting.visualization.sources import many
from tests.reporting.visualization.sources import selection_of
from tests.reporting.visualization.sources import study_of
from tests.reporting.visualization.sources import with_constraints
from tests.reporting.visualization.sources import WORST


def values_of(study: optuna.Study, n_instances: int | None = None) -> dict[str, list[float]]:
    info = _get_criteria_info(models_of(study), n_instances)
    return {each.name: each.values for each in info.criteria}


def test_info_holds_six_criteria_of_equally_many_instances() -> None:
    study = study_of([[4.0, 4.0, 4.0], [1.0, 2.0, 6.0], [0.0]])
    assert values_of(study) == {
        "best": [1.0, 4.0],
        "median": [2.0, 4.0],
        "mean": [3.0, 4.0],
        "Q3": [4.0, 4.0],
        "Q3 + IQR": [4.0, 6.5],
        "worst": [4.0, 6.0],
    }
    assert values_of(study, n_instances=1)["worst"] == [0.0, 1.0, 4.0]
    assert "Q3 + IQR" not in values_of(study, n_instances=1)


def test_the_best_come_first_if_losses_are_maximised() -> None:
    study = study_of([[1.0, 3.0], [5.0, 6.0]], direction="maximize")
    assert values_of(study)["best"] == [6.0, 3.0]
    assert values_of(study)["worst"] == [5.0, 1.0]
    assert values_of(study)["Q1 − IQR"] == [4.75, 0.5]


def test_the_first_instances_count_also_after_a_dropped_one() -> None:
    study = study_of([[None, 2.0, 1.0, 9.0], [3.0, 4.0, 9.0, 9.0]])
    assert values_of(study, n_instances=2)["worst"] == [2.0, 4.0]


@pytest.mark.skipif(not hasattr(optuna.Trial, "set_constraint"), reason="needs Optuna 5")
def test_infeasible_models_count_only_where_none_is_feasible() -> None:
    feasible = study_of([[2.0, 3.0], [4.0, 5.0]])
    mixed = study_of([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    with_constraints(mixed, 0)
    assert values_of(mixed) == values_of(feasible)
    figure = plot_criteria(mixed)
    assert "2 of 2 feasible trials, those with" in figure.layout.title.text
    assert figure.layout.yaxis.title.text == "feasible trials at least so good (%)"
    with_constraints(feasible, 0, 1)
    assert values_of(feasible) == values_of(study_of([[2.0, 3.0], [4.0, 5.0]]))
    assert "2 of 2 trials" in plot_criteria(feasible).layout.title.text


def test_failures_end_a_curve_below_all_models() -> None:
    figure = plot_criteria(study_of([[1.0, 2.0], [1.5, WORST]]))
    assert drawn(figure) == ["best", "median", "mean", "Q3", "Q3 + IQR", "worst"]
    worst = figure.data[-1]
    assert list(worst.y) == [0.0, 50.0, 50.0]
    assert worst.x[-1] == figure.layout.xaxis.range[1]
    assert list(figure.data[0].y) == [0.0, 50.0, 100.0]
    assert axis_titles(figure) == [
        "criterion of loss (smaller is better)",
        "trials at least so good (%)",
    ]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=500))
def test_steps_rise_from_nothing_to_all(values: list[float]) -> None:
    shares, reached = _steps(sorted(values))
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert (np.diff(shares) > 0).all()
    assert (np.diff(reached) >= 0).all()
    assert len(shares) == min(len(values), 100) + 1
    for share, value in zip(shares[1:], reached[1:], strict=True):
        assert np.mean(np.array(values) <= value) >= share - 1e-12


def test_a_thousand_models_are_thinned() -> None:
    figure = plot_criteria(study_of(many(1000, 5).tolist()))
    assert all(len(trace.x) == 101 for trace in figure.data)
    assert len(figure.to_json()) < 70_000


def test_one_instance_is_said() -> None:
    assert "1 instance: all criteria are the same" in (
        plot_criteria(study_of([[1.0], [2.0]])).layout.title.text
    )


def test_a_selection_is_drawn() -> None:
    result = selection_of(many(8, 10), criterion="median", n_warmup_instances=2)
    info = _get_criteria_info(models_of(result), 3)
    assert (info.n_compared, info.n_models) == (8, 8)
    assert drawn(plot_criteria(result))[0] == "best"


def test_without_data_the_figure_is_empty(caplog: pytest.LogCaptureFixture) -> None:
    assert not plot_criteria(optuna.create_study()).data
    assert "No trial has finished." in caplog.text
    assert not plot_criteria(study_of([[1.0]]), n_instances=3).data
    assert "No trial has 3 instances." in caplog.text
    assert not plot_criteria(study_of([[WORST]])).data


def test_bad_input_is_an_error() -> None:
    with pytest.raises(ValueError, match="n_instances must be at least 1, but was 0"):
        plot_criteria(study_of([[1.0]]), n_instances=0)


def test_infinite_values_are_the_last() -> None:
    assert values_of(study_of([[WORST, 1.0], [2.0, 2.0]]))["worst"] == [2.0, math.inf]
