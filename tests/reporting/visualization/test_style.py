from __future__ import annotations

import math

from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]
import pytest

from optuna_robust._reporting.visualization import _style
from optuna_robust._reporting.visualization._models import models_of
from optuna_robust.criteria import get_criterion
from tests.reporting.visualization.sources import study_of
from tests.reporting.visualization.sources import WORST


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr", "lr"),
        ("<b>a</b> & b", "&lt;b&gt;a&lt;/b&gt; &amp; b"),
        ("$x$", "&#36;x&#36;"),
        ("two\nlines\t\x1b[31m", "two lines [31m"),
        ("x" * 80, "x" * 59 + "…"),
    ],
)
def test_users_text_has_no_markup(text: str, expected: str) -> None:
    assert _style.escaped(text) == expected


def test_a_scale_shows_everything_without_outliers() -> None:
    scale = _style.scale_of(np.array([1.0, 2.0, 3.0, math.nan]), 1)
    assert scale is not None
    assert scale == pytest.approx((0.9, 3.1, 3.2, 3.0))


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_off_the_scale_is_drawn_at_its_worse_edge(sign: int) -> None:
    values = sign * np.array([1.0, 2.0, 2.0, 2.0, 1000.0, math.inf])
    scale = _style.scale_of(values, sign)
    assert scale is not None
    assert scale.worst == sign * 2.0
    assert _style.off_scale(values, scale, sign).tolist() == [False] * 4 + [True] * 2
    shown = _style.on_scale(values, scale, sign)
    np.testing.assert_allclose(shown, sign * np.array([1.0, 2.0, 2.0, 2.0, 2.1, 2.1]))
    assert scale.low <= shown.min() <= shown.max() <= scale.high


def test_there_is_no_scale_without_a_finite_value() -> None:
    assert _style.scale_of(np.array([math.inf, math.nan]), 1) is None
    assert _style.scale_of(np.array([]), 1) is None


@example([5e-324], 1)
@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.inf), min_size=1), st.sampled_from([1, -1]))
def test_a_scale_holds_all_that_is_drawn(values: list[float], sign: int) -> None:
    array = sign * np.array(values)
    scale = _style.scale_of(array, sign)
    if scale is None:
        assert np.isinf(array).all()
        return
    assert np.isfinite(scale).all()
    assert scale.low < scale.high
    shown = _style.on_scale(array, scale, sign)
    assert (shown >= scale.low).all()
    assert (shown <= scale.high).all()
    # The better three quarters of the finite values are never cut off.
    off = _style.off_scale(array, scale, sign) & np.isfinite(array)
    assert off.sum() <= 0.25 * np.isfinite(array).sum()


def test_hover_tells_of_number_criterion_instances_and_hyperparameters() -> None:
    study = study_of([[1.0, 2.0, WORST]], params={"lr": 0.123456, "<i>act</i>": "$relu$"})
    assert _style.hovers(models_of(study))[0].split("<br>") == [
        "<b>trial 0</b> (complete)",
        "median 2",
        "n = 3 instances, 1 failed",
        "lr = 0.1235",
        "&lt;i&gt;act&lt;/i&gt; = &#36;relu&#36;",
    ]


def test_other_criteria_are_told_too() -> None:
    hover = _style.hovers(
        models_of(study_of([[1.0, 2.0]])), get_criterion("iqr"), get_criterion("median")
    )[0]
    assert hover.split("<br>")[1:3] == ["median 1.5", "IQR 0.5"]


def test_hyperparameters_of_very_many_are_left_out_from_the_worst_on() -> None:
    params = {f"name {i}": "x" * 50 for i in range(12)}
    models = models_of(study_of([[float(i)] for i in range(1000)], params=params))
    hovers = _style.hovers(models)
    assert "name 0 = xxx" in hovers[0]
    assert "name 0" not in hovers[-1]
    assert sum(map(len, hovers)) < 200_000


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loss", "Q3 of loss (smaller is better)"),
        (
            "root mean square error in cm",
            "Q3 of root mean square error in cm<br>(smaller is better)",
        ),
        ("x" * 80, "Q3 of " + "x" * 31 + "…<br>(smaller is better)"),
    ],
)
def test_long_titles_are_broken(name: str, expected: str) -> None:
    assert _style.loss_axis(name, "minimize", "Q3") == expected


def test_of_many_hyperparameters_the_first_are_told() -> None:
    lines = _style.params_lines({f"p{i}": i for i in range(15)})
    assert lines == [*(f"p{i} = {i}" for i in range(12)), "… and 3 more"]


def test_criteria_are_named_in_the_users_orientation() -> None:
    names = [
        [_style.criterion_label(get_criterion(name), direction) for name in ("q3+iqr", "max")]
        for direction in ("minimize", "maximize")
    ]
    assert names == [["Q3 + IQR", "worst"], ["Q1 − IQR", "worst"]]
    assert _style.criterion_label(get_criterion(max), "minimize") == "max"


def test_an_empty_figure_says_why(caplog: pytest.LogCaptureFixture) -> None:
    figure = _style.empty("Losses", "There are none.", "trial", "loss")
    assert "Losses: There are none." in caplog.text
    assert figure.layout.annotations[0].text == "There are none."
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("trial", "loss")


def test_figures_carry_no_template() -> None:
    figure = _style.new_figure("Title", "", xaxis=_style.axis("x"), yaxis=_style.axis("y"))
    assert len(figure.to_json()) < 1500 < len(go.Figure().to_json())


def test_series_are_told_apart() -> None:
    assert len(set(_style.SERIES)) == len(_style.SERIES)
    assert _style.faint("#0072B2") == "rgba(0,114,178,0.25)"
