"""Losses and their spread against the size of the training sample."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go  # type: ignore[import-untyped]

from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_text
from optuna_robust._base.arrays import FloatArray
from optuna_robust._base.wording import counted
from optuna_robust._reporting.visualization import _style
from optuna_robust._statistics.criteria import get_criterion


_TITLE = "Sample size"


class _SizeCurve(NamedTuple):
    """Median and quartiles of a model's losses, by ascending size."""

    name: str
    sizes: list[float]
    medians: list[float]
    q1: list[float]
    q3: list[float]
    n_instances: list[int]
    n_failed: list[int]


class _SampleSizeInfo(NamedTuple):
    curves: list[_SizeCurve]
    loss_name: str
    size_name: str
    direction: str


def plot_sample_size(
    losses: Mapping[str, Mapping[Any, Sequence[float] | npt.NDArray[np.float64]]],
    *,
    direction: str = "minimize",
    loss_name: str | None = None,
    size_name: str = "size of the training sample",
) -> go.Figure:
    """Plot losses of instances against the size of their training sample, for several models.

    The line is the median of the instances, the band reaches from the lower to the upper quartile.
    Look where the band becomes narrow: from there on the sample no longer decides what a training
    is worth.

    Example:
        >>> import optuna_robust as opr
        >>> losses = {"small": {100: [0.3, 0.5, 0.4], 1000: [0.2, 0.21, 0.22]}}
        >>> opr.visualization.plot_sample_size(losses).layout.xaxis.type
        'log'

    Args:
        losses:
            Losses of instances by sample size, for every model by its name. NaN is left out,
            infinity is a failed instance.
        direction:
            ``"minimize"`` or ``"maximize"``.
        loss_name:
            Name of the losses, and their unit if there is one. Default: ``"loss"``, or
            ``"objective value"`` if it is maximised.
        size_name:
            Name of the sizes, and their unit if there is one.

    Returns:
        The figure; an empty one, and a line in the log, without data.

    Raises:
        TypeError: If ``losses`` is not a mapping of mappings.
        ValueError: If the direction is unknown, or a size is not positive.
    """
    check_choice("direction", direction, ("minimize", "maximize"))
    check_text("loss_name", loss_name)
    check_text("size_name", size_name)
    return _get_sample_size_plot(
        _get_sample_size_info(
            losses,
            direction=direction,
            loss_name=loss_name or ("loss" if direction == "minimize" else "objective value"),
            size_name=size_name,
        )
    )


def _get_sample_size_info(
    losses: Mapping[str, Mapping[Any, Sequence[float] | npt.NDArray[np.float64]]],
    *,
    direction: str,
    loss_name: str,
    size_name: str,
) -> _SampleSizeInfo:
    if not isinstance(losses, Mapping) or not all(
        isinstance(by_size, Mapping) for by_size in losses.values()
    ):
        raise TypeError(
            "losses must be a mapping from names to mappings from sizes to losses, such as "
            f"{{'small': {{100: [0.3, 0.5]}}}}, but was {losses!r:.200}."
        )
    sign = -1 if direction == "maximize" else 1
    return _SampleSizeInfo(
        [_size_curve(str(name), by_size, sign) for name, by_size in losses.items()],
        loss_name,
        size_name,
        direction,
    )


def _size_curve(
    name: str, by_size: Mapping[float, Sequence[float] | npt.NDArray[np.float64]], sign: int
) -> _SizeCurve:
    rows = []
    for size in sorted(by_size):
        if not size > 0:
            raise ValueError(f"Sizes must be positive, but one of {name!r} was {size!r}.")
        oriented = sign * np.asarray(by_size[size], dtype=np.float64).ravel()
        oriented = oriented[~np.isnan(oriented)]
        if len(oriented):
            median, upper = (sign * float(get_criterion(c)(oriented)) for c in ("median", "q3"))
            # The better quartile is the worse one of the losses turned round.
            lower = -sign * float(get_criterion("q3")(-oriented))
            q1, q3 = sorted((lower, upper))
            failed = int(np.count_nonzero(np.isinf(oriented)))
            rows.append((float(size), median, q1, q3, len(oriented), failed))
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(6)]
    return _SizeCurve(name, *columns)


def _get_sample_size_plot(info: _SampleSizeInfo) -> go.Figure:
    x_title = _style.escaped(info.size_name)
    y_title = _style.loss_axis(info.loss_name, info.direction)
    sign = -1 if info.direction == "maximize" else 1
    ends = np.array([end for curve in info.curves for end in (*curve.q1, *curve.q3)])
    finite = ends[np.isfinite(ends)]
    if not len(finite):
        reason = "So many instances failed that no quartile is finite."
        return _style.empty(_TITLE, reason if len(ends) else "No losses.", x_title, y_title)
    width = float(np.ptp(finite)) or abs(float(finite[0])) or 1.0
    worst = float((sign * finite).max())
    edge = sign * (worst + 0.1 * width)
    figure = _style.new_figure(
        _TITLE,
        "median of a model's instances; the band holds the middle half of them (IQR)",
        xaxis=_style.axis(x_title, type="log", **_size_ticks(info)),
        yaxis=_style.axis(y_title),
    )
    for place, curve in enumerate(info.curves):
        figure.add_traces(_size_traces(info, curve, place, edge))
    failed = [
        (size, curve, i)
        for curve in info.curves
        for i, size in enumerate(curve.sizes)
        if np.isinf(curve.medians[i])
    ]
    if failed:
        figure.add_trace(
            go.Scatter(
                x=[size for size, *_ in failed],
                y=[edge] * len(failed),
                mode="markers",
                marker={
                    "symbol": "triangle-up" if sign > 0 else "triangle-down",
                    "color": _style.BLACK,
                    "size": 9,
                },
                hovertext=[_size_hover(info, curve, i) for _, curve, i in failed],
                hoverinfo="text",
                name="more than half failed",
            )
        )
    return figure


def _size_ticks(info: _SampleSizeInfo) -> dict[str, object]:
    """Return ticks at 1, 2 and 5 of every decade, written out, if sizes span few decades."""
    sizes = [size for curve in info.curves for size in curve.sizes]
    decades = np.log10(max(sizes) / min(sizes))
    bases = (1, 2, 5) if decades <= 3.5 else (1,)
    low, high = int(np.floor(np.log10(min(sizes)))), int(np.ceil(np.log10(max(sizes))))
    ticks = [base * 10.0**power for power in range(low, high + 1) for base in bases]
    return {"tickvals": ticks, "ticktext": [f"{tick:,.6g}".replace(",", " ") for tick in ticks]}


def _size_traces(
    info: _SampleSizeInfo, curve: _SizeCurve, place: int, edge: float
) -> list[go.Scatter]:
    color = _style.SERIES[place % len(_style.SERIES)]
    dash = _style.DASHES[place // len(_style.SERIES) % len(_style.DASHES)]
    q1, q3, medians = (_at_edge(each, edge) for each in (curve.q1, curve.q3, curve.medians))
    name = _style.escaped(curve.name)
    band = go.Scatter(
        x=[*curve.sizes, *reversed(curve.sizes)],
        y=[*q1, *reversed(q3)],
        fill="toself",
        fillcolor=_style.faint(color),
        mode="lines",
        line={"width": 0},
        hoverinfo="skip",
        legendgroup=str(place),
        showlegend=False,
    )
    line = go.Scatter(
        x=curve.sizes,
        y=medians,
        mode="lines+markers",
        line={"color": color, "width": 2.2, "dash": dash},
        marker={"size": 6},
        hovertext=[_size_hover(info, curve, i) for i in range(len(curve.sizes))],
        hoverinfo="text",
        legendgroup=str(place),
        name=name,
    )
    return [band, line]


def _at_edge(values: list[float], edge: float) -> FloatArray:
    return np.where(np.isinf(values), edge, values)


def _size_hover(info: _SampleSizeInfo, curve: _SizeCurve, i: int) -> str:
    failed = f", {curve.n_failed[i]} failed" if curve.n_failed[i] else ""
    return "<br>".join(
        [
            f"<b>{_style.escaped(curve.name)}</b>",
            f"{_style.escaped(info.size_name)}: {curve.sizes[i]:,.10g}".replace(",", " "),
            f"median {_style.number(curve.medians[i])}",
            f"IQR {_style.number(curve.q3[i] - curve.q1[i])}",
            f"n = {counted(curve.n_instances[i], 'instance')}{failed}",
        ]
    )
