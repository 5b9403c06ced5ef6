from __future__ import annotations

import math

import numpy as np
import pytest

from optuna_robust._reporting.visualization._sample_size import _get_sample_size_info
from optuna_robust._reporting.visualization._sample_size import _SampleSizeInfo
from optuna_robust._reporting.visualization._sample_size import _SizeCurve
from optuna_robust.visualization import plot_sample_size
from tests.reporting.visualization.sources import axis_titles
from tests.reporting.visualization.sources import drawn


def test_info_holds_quartiles_by_ascending_size() -> None:
    losses = {
        "net": {1000: [1.0, 2.0, 3.0, 4.0, 5.0], 100: [2.0, 4.0, math.nan, 6.0, math.inf]},
        "none": {},
    }
    info = _get_sample_size_info(losses, direction="minimize", loss_name="RMSE", size_name="size")
    assert info == _SampleSizeInfo(
        curves=[
            _SizeCurve(
                "net", [100.0, 1000.0], [5.0, 3.0], [3.5, 2.0], [math.inf, 4.0], [4, 5], [1, 0]
            ),
            _SizeCurve("none", [], [], [], [], [], []),
        ],
        loss_name="RMSE",
        size_name="size",
        direction="minimize",
    )


def test_a_failed_instance_is_the_worst_if_losses_are_maximised() -> None:
    losses = {"net": {10: [1.0, 2.0, -math.inf]}}
    info = _get_sample_size_info(losses, direction="maximize", loss_name="", size_name="")
    curve = info.curves[0]
    assert (curve.q1, curve.medians, curve.q3) == ([-math.inf], [1.0], [1.5])


def test_a_line_and_a_band_a_model_are_drawn() -> None:
    rng = np.random.default_rng(0)
    losses = {
        name: {size: rng.normal(1 / size, 0.1, 20) for size in (100, 1000, 10_000)}
        for name in ("<b>a</b>", "b")
    }
    figure = plot_sample_size(losses, loss_name="RMSE(E)/E")
    assert drawn(figure) == [None, "&lt;b&gt;a&lt;/b&gt;", None, "b"]
    line, band = figure.data[1], figure.data[0]
    np.testing.assert_allclose(line.y, [np.median(each) for each in losses["<b>a</b>"].values()])
    assert list(band.x) == [100, 1000, 10_000, 10_000, 1000, 100]
    assert axis_titles(figure) == [
        "size of the training sample",
        "RMSE(E)/E (smaller is better)",
    ]
    assert figure.layout.xaxis.type == "log"
    assert "10 000" in figure.layout.xaxis.ticktext
    assert line.hovertext[0].split("<br>")[1] == "size of the training sample: 100"


def test_a_size_at_which_most_failed_is_at_the_edge() -> None:
    losses = {"net": {10: [math.inf, math.inf, 1.0], 100: [1.0, 2.0, 3.0]}}
    figure = plot_sample_size(losses)
    assert drawn(figure)[-1] == "more than half failed"
    assert figure.data[-1].y[0] > 2.5
    assert np.isfinite(figure.data[1].y).all()


def test_without_data_the_figure_is_empty(caplog: pytest.LogCaptureFixture) -> None:
    assert not plot_sample_size({}).data
    assert "No losses." in caplog.text
    assert not plot_sample_size({"net": {10: []}}).data
    assert not plot_sample_size({"net": {10: [math.inf]}}).data


def test_one_size_with_one_loss_is_a_point() -> None:
    figure = plot_sample_size({"net": {10: [0.5]}})
    assert list(figure.data[1].y) == [0.5]


def test_bad_input_is_an_error() -> None:
    with pytest.raises(TypeError, match="losses must be a mapping from names to mappings"):
        plot_sample_size([1.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Sizes must be positive, but one of 'net' was 0"):
        plot_sample_size({"net": {0: [1.0]}})
    with pytest.raises(ValueError, match="direction='up' is unknown"):
        plot_sample_size({}, direction="up")
