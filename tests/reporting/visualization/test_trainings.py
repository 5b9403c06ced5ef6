from __future__ import annotations

import optuna
from optuna.trial import create_trial
from optuna.trial import TrialState
import pytest

from optuna_robust._reporting.visualization._models import models_of
from optuna_robust._reporting.visualization._trainings import _get_trainings_info
from optuna_robust._reporting.visualization._trainings import _TrainingsInfo
from optuna_robust.visualization import plot_trainings
from tests.reporting.visualization.sources import axis_titles
from tests.reporting.visualization.sources import drawn
from tests.reporting.visualization.sources import many
from tests.reporting.visualization.sources import selection_of
from tests.reporting.visualization.sources import study_of


def test_steps_of_a_study_are_instances() -> None:
    study = study_of([[1.0, 1.0, 1.0, 1.0], [2.0], [3.0, None, 3.0]])
    assert _get_trainings_info(models_of(study)) == _TrainingsInfo(
        steps=[1, 2, 3, 4],
        n_alive=[3, 2, 2, 1],
        n_trained=[3, 5, 7, 8],
        n_models=3,
        n_exhaustive=12,
        n_left_out=0,
        noun="trial",
        step_name="instance of the trial (from 1)",
    )


def test_dropped_instances_were_trained_even_the_last_ones() -> None:
    study = study_of([[1.0] * 5 + [None] * 5, [2.0] * 4, [None] * 10])
    info = _get_trainings_info(models_of(study))
    assert info.n_alive == [3, 3, 3, 3, 2, 2, 2, 2, 2, 2]
    assert info.n_trained[-1] == 24


def test_it_is_told_whose_trainings_are_left_out() -> None:
    study = study_of([[1.0, 1.0], [2.0]])
    assert "without" not in plot_trainings(study).layout.title.text
    study.add_trial(create_trial(state=TrialState.FAIL))
    study.ask()
    text = plot_trainings(study).layout.title.text
    assert "3 trainings" in text
    assert "without those of 2 failed or running trials" in text


def test_many_times_fewer_is_a_plain_number() -> None:
    # 240 of which 2 were trained: 120 times fewer.
    text = plot_trainings(study_of([[1.0], [2.0]], n_instances=120)).layout.title.text
    assert "2 trainings instead of 240: 120 times fewer" in text


@pytest.mark.parametrize("rule", ["halving", "race"])
def test_steps_of_a_selection_are_waves(rule: str) -> None:
    result = selection_of(many(16, 10), rule=rule, criterion="median")
    info = _get_trainings_info(models_of(result))
    assert info.steps == [step.step for step in result.steps]
    assert info.n_trained[-1] == result.n_trainings
    assert info.n_alive[0] == 16
    assert info.n_alive[-1] == len(result.steps[-1].kept) + len(result.steps[-1].removed)
    assert info.n_exhaustive == 160


def test_both_panels_are_drawn_with_what_they_are_measured_by() -> None:
    figure = plot_trainings(study_of([[1.0, 1.0], [2.0]]))
    assert drawn(figure) == [
        "trials alive",
        "trainings so far",
        "every instance of every trial",
        "one training a trial",
    ]
    assert [trace.y[0] for trace in figure.data] == [2, 2, 4, 2]
    assert "2 trials, 3 trainings instead of 4: 1.333 times fewer" in figure.layout.title.text
    assert axis_titles(figure) == [
        "instance of the trial (from 1)",
        "trials alive",
        "trainings so far",
    ]


def test_nothing_saved_is_not_called_fewer() -> None:
    title = plot_trainings(study_of([[1.0, 1.0]])).layout.title.text
    assert "1 trial, 2 trainings" in title
    assert "instead" not in title


def test_many_models_are_seen_on_a_logarithmic_axis() -> None:
    figure = plot_trainings(study_of(many(1000, 5).tolist()))
    assert figure.layout.yaxis.type == "log"
    assert list(figure.layout.yaxis.tickvals) == [1, 10, 100, 1000]
    assert len(figure.to_json()) < 5000
    assert plot_trainings(study_of([[1.0]])).layout.yaxis.type is None


def test_without_data_the_figure_is_empty(caplog: pytest.LogCaptureFixture) -> None:
    assert not plot_trainings(optuna.create_study()).data
    assert "No trial has finished." in caplog.text
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.add_trial(create_trial(values=[0.0, 1.0]))
    assert not plot_trainings(study).data
    assert "No trial has losses of instances." in caplog.text
