from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

import optuna_robust as opr
from optuna_robust._reporting.visualization._curves import curves_of
from optuna_robust._reporting.visualization._top_overlap import _get_top_overlap_info
from optuna_robust._reporting.visualization._top_overlap import _overlaps
from optuna_robust._reporting.visualization._top_overlap import _TopOverlapInfo
from optuna_robust.visualization import plot_top_overlap
from tests.reporting.visualization.sources import axis_titles
from tests.reporting.visualization.sources import drawn
from tests.reporting.visualization.sources import study_of


# Four models on two instances; in the end the first two are the best. At epoch 1 one of them is
# (instance 0) or none (instance 1), at epoch 2 both.
CURVES = np.array(
    [
        [[1.0, 1.0, 0.0], [3.0, 1.0, 0.0]],
        [[4.0, 2.0, 1.0], [4.0, 2.0, 1.0]],
        [[2.0, 3.0, 2.0], [1.0, 3.0, 2.0]],
        [[3.0, 4.0, 3.0], [2.0, 4.0, 3.0]],
    ]
)


def test_info_holds_the_overlap_by_epoch() -> None:
    curves = curves_of(CURVES, store=None, direction=None, value_name=None)
    assert _get_top_overlap_info(curves, 0.5) == _TopOverlapInfo(
        epochs=[1, 2, 3],
        means=[0.25, 1.0, 1.0],
        stds=[0.25, 0.0, 0.0],
        chance=0.5,
        best="2 of 4",
        n_instances=2,
        n_models=4,
        noun="model",
        step_name="epoch",
    )
    # At least one model.
    assert _get_top_overlap_info(curves, 0.1).means == [0.5, 1.0, 1.0]


def test_the_largest_are_the_best_if_they_are_maximised() -> None:
    curves = curves_of(CURVES, store=None, direction="maximize", value_name=None)
    assert _get_top_overlap_info(curves, 0.25).means == [0.0, 1.0, 1.0]


@given(st.integers(2, 20).flatmap(lambda n: st.permutations(range(n))), st.floats(0.01, 0.99))
def test_overlap_is_a_share_and_complete_in_the_end(order: list[int], share: float) -> None:
    n = len(order)
    values = np.column_stack([order, np.arange(n)]).astype(np.float64)
    first, last = _overlaps(values, share)
    n_best = max(1, round(share * n))
    assert last == 1.0
    assert first == sum(rank < n_best for rank in order[:n_best]) / n_best
    # Two sets of so many of n models cannot miss each other altogether.
    assert first >= (2 * n_best - n) / n_best - 1e-12


def test_a_model_that_did_not_report_is_not_among_the_best() -> None:
    values = CURVES[:, 0].copy()
    values[0, 0] = np.nan
    assert _overlaps(values, 0.5).tolist() == [0.0, 1.0, 1.0]


def test_models_that_are_tied_at_the_cut_share_its_places() -> None:
    # Nothing is known at epoch 1: two of ten models are the best by chance.
    nothing = np.column_stack([np.ones(10), np.arange(10)]).astype(np.float64)
    assert _overlaps(nothing, 0.2).tolist() == pytest.approx([0.2, 1.0])
    # One model is the best at both, two share a place at epoch 1, of which one is in the end.
    tied = np.array([[1.0, 1.0], [2.0, 2.0], [2.0, 3.0], [4.0, 4.0]])
    assert _overlaps(tied, 0.5).tolist() == pytest.approx([0.75, 1.0])
    # The order of the models does not matter, and what is infinite is tied, too.
    assert _overlaps(tied[[2, 1, 0, 3]], 0.5).tolist() == pytest.approx([0.75, 1.0])
    failed = np.array([[np.inf, 1.0], [np.inf, 2.0], [np.inf, 3.0], [0.0, 4.0]])
    assert _overlaps(failed, 0.5).tolist() == pytest.approx([1.0 / 3.0, 1.0])


def test_the_axis_says_how_many_models_are_the_best() -> None:
    curves = np.arange(20.0).reshape(5, 2, 2)
    assert axis_titles(plot_top_overlap(curves))[1] == "overlap of the best 1 of 5 (%)"
    curves[0, 1] = np.nan  # five models on an instance, four on the other
    assert axis_titles(plot_top_overlap(curves))[1] == "overlap of the best 10% (%)"


def test_line_band_and_chance_are_drawn_in_percent() -> None:
    figure = plot_top_overlap(CURVES, share=0.5)
    assert drawn(figure) == [
        "chance",
        "± standard deviation over instances",
        "mean over instances",
    ]
    assert list(figure.data[0].y) == [50.0, 50.0]
    assert list(figure.data[2].y) == [25.0, 100.0, 100.0]
    assert axis_titles(figure) == ["epoch", "overlap of the best 2 of 4 (%)"]


def test_without_two_models_the_figure_is_empty(caplog: pytest.LogCaptureFixture) -> None:
    assert not plot_top_overlap(CURVES[:1]).data
    assert "No learning curves of two models" in caplog.text
    assert not plot_top_overlap(study_of([[1.0]]), store=opr.InstanceStore()).data


def test_a_share_beyond_all_models_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"share must lie in \(0, 1\), but was 10"):
        plot_top_overlap(CURVES, share=10)
