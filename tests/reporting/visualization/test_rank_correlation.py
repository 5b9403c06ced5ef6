from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import optuna
import pytest

import optuna_robust as opr
from optuna_robust._reporting.visualization._curves import curves_of
from optuna_robust._reporting.visualization._rank_correlation import _get_rank_correlation_info
from optuna_robust._reporting.visualization._rank_correlation import _RankCorrelationInfo
from optuna_robust._reporting.visualization._rank_correlation import _taus
from optuna_robust.visualization import plot_rank_correlation
from optuna_robust.visualization import plot_top_overlap
from tests.reporting.visualization.sources import axis_titles
from tests.reporting.visualization.sources import drawn
from tests.reporting.visualization.sources import study_of


# Rankings of three models on two instances: at epoch 1 one pair of three (instance 0) and all
# pairs (instance 1) are in another order than at epoch 3; at epoch 2 none is.
CURVES = np.array(
    [
        [[2.0, 1.0, 0.0], [3.0, 1.0, 0.0]],
        [[1.0, 2.0, 0.5], [2.0, 2.0, 0.5]],
        [[3.0, 3.0, 1.0], [1.0, 3.0, 1.0]],
    ]
)


def test_info_holds_tau_by_epoch() -> None:
    info = _get_rank_correlation_info(
        curves_of(CURVES, store=None, direction=None, value_name=None)
    )
    third = 1 / 3
    assert info == _RankCorrelationInfo(
        epochs=[1, 2, 3],
        means=pytest.approx([(third - 1) / 2, 1.0, 1.0]),
        stds=pytest.approx([(third + 1) / 2, 0.0, 0.0]),
        n_instances=2,
        n_models=3,
        noun="model",
        step_name="epoch",
    )


@pytest.mark.skipif(not hasattr(optuna.Trial, "set_constraint"), reason="needs Optuna 5")
@pytest.mark.parametrize("plot", [plot_rank_correlation, plot_top_overlap])
def test_infeasible_models_count_only_where_none_is_feasible(plot: Any) -> None:
    def searched(*levels: float, infeasible: float) -> optuna.Study:
        """Curves of three epochs; those of infeasible models are turned round at the second."""

        def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
            level = trial.suggest_float("level", 0, 100)
            violates = level < infeasible
            trial.set_constraint("level", float(violates))
            for epoch in range(3):
                trial.report(-level if violates and epoch < 2 else level, epoch)
            return level + 0.01 * float(instance.rng.normal())

        study = optuna.create_study()
        for level in levels:
            study.enqueue_trial({"level": level})
        study.optimize(opr.MultiInstanceObjective(objective, 2), n_trials=len(levels))
        return study

    alone = plot(searched(11, 12, 13, infeasible=0))
    mixed = plot(searched(1, 2, 3, 11, 12, 13, infeasible=10))
    np.testing.assert_array_equal(mixed.data[-1].y, alone.data[-1].y)
    assert "3 feasible trials" in mixed.layout.title.text
    none = plot(searched(1, 2, 3, infeasible=10))
    assert none.data[-1].y[0] < alone.data[-1].y[0]
    assert "3 trials" in none.layout.title.text


def test_tau_does_not_depend_on_the_direction() -> None:
    a, b = (
        _get_rank_correlation_info(curves_of(each, store=None, direction=way, value_name=None))
        for each, way in ((CURVES, "minimize"), (-CURVES, "maximize"))
    )
    assert a == b


@given(st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=2), min_size=2, max_size=8))
def test_tau_is_kendalls_tau_b(rows: list[list[int]]) -> None:
    """Kendall (1945): concordant less discordant pairs, over untied pairs of each."""
    values = np.array(rows, dtype=np.float64)
    a, b = (np.sign(values[:, None, i] - values[None, :, i]) for i in (0, 1))
    untied = np.sqrt((a**2).sum() * (b**2).sum())
    tau = _taus(values)[0]
    if untied == 0:
        assert np.isnan(tau)
    else:
        assert tau == pytest.approx((a * b).sum() / untied)


def test_models_that_did_not_report_are_left_out() -> None:
    values = CURVES[:, 0].copy()
    values[2, 0] = np.nan
    assert _taus(values).tolist() == pytest.approx([-1.0, 1.0, 1.0])
    values[1, 0] = np.nan
    assert np.isnan(_taus(values)[0])


def test_a_diverged_model_is_the_last() -> None:
    values = np.array([[np.inf, np.inf], [1.0, 1.0], [2.0, 2.0]])
    assert _taus(values).tolist() == pytest.approx([1.0, 1.0])


def test_line_band_and_chance_are_drawn() -> None:
    figure = plot_rank_correlation(CURVES)
    assert drawn(figure) == [
        "chance",
        "± standard deviation over instances",
        "mean over instances",
    ]
    band = figure.data[1]
    assert (min(band.y), max(band.y)) == (-1.0, 1.0)
    assert axis_titles(figure) == ["epoch", "Kendall's tau-b with the last epoch"]
    assert drawn(plot_rank_correlation(CURVES[:, :1])) == ["chance", "mean over instances"]


def test_without_two_models_the_figure_is_empty(caplog: pytest.LogCaptureFixture) -> None:
    assert not plot_rank_correlation(CURVES[:1]).data
    assert "No learning curves of two models" in caplog.text
    assert not plot_rank_correlation(study_of([[1.0]]), store=opr.InstanceStore()).data
    assert not plot_rank_correlation(np.empty((0, 0, 0))).data
