"""The figures: what searches find for their trainings, and how much better than the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

import plotly.graph_objects as go  # type: ignore[import-untyped]
from plotly.subplots import make_subplots  # type: ignore[import-untyped]

from benchmarks.estimates import Estimate
from benchmarks.search_cost import statistics
from benchmarks.search_cost.arms import ARMS
from benchmarks.search_cost.report import Findings
from benchmarks.search_cost.statistics import Point
from benchmarks.search_cost.statistics import Versus


# Okabe & Ito's colours, which colour-blind people tell apart; robust searches stand out.
_PALETTE = (
    "#999999",
    "#56B4E9",
    "#E69F00",
    "#CC79A7",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#F0E442",
    "#000000",
    "#8C564B",
    "#9467BD",
)
_COLORS = dict(zip(ARMS, _PALETTE, strict=True))
_N_COLUMNS = 2
_PANEL_HEIGHT = 330
_ROW_HEIGHT = 26
# Nothing is better than the best possible; where there is little to gain, shares are huge.
_LEFT, _RIGHT = -110.0, 200.0


@dataclass(frozen=True)
class Curve:
    """An arm's excess on a problem, by budget."""

    problem: str
    arm: str
    points: tuple[Point, ...]


def figures(found: Findings) -> tuple[go.Figure, ...]:
    """Return all figures."""
    return get_curves_figure(get_curves(found)), get_shares_figure(get_shares(found))


def get_curves(found: Findings) -> list[Curve]:
    """Return the numbers of the first figure."""
    by_arm: dict[tuple[str, str], list[Point]] = {}
    for point in statistics.points(found.outcomes):
        by_arm.setdefault((point.problem, point.arm), []).append(point)
    return [
        Curve(problem, arm, tuple(sorted(points, key=lambda each: each.budget)))
        for (problem, arm), points in by_arm.items()
    ]


def get_shares(found: Findings) -> list[Versus]:
    """Return the numbers of the second figure."""
    return [
        each
        for each in statistics.versus(found.outcomes, found.reference)
        if each.budget == found.main_budget and not math.isnan(each.share.value)
    ]


def get_curves_figure(curves: Sequence[Curve]) -> go.Figure:
    """Draw the excess over the best possible against trainings spent, a panel a problem."""
    problems = list(dict.fromkeys(curve.problem for curve in curves))
    figure = make_subplots(
        rows=math.ceil(len(problems) / _N_COLUMNS),
        cols=_N_COLUMNS,
        subplot_titles=problems,
        horizontal_spacing=0.08,
    )
    named: set[str] = set()
    for curve in curves:
        row, column = divmod(problems.index(curve.problem), _N_COLUMNS)
        figure.add_trace(_trace(curve, is_first=curve.arm not in named), row + 1, column + 1)
        named.add(curve.arm)
    budgets = sorted({point.budget for curve in curves for point in curve.points})
    figure.update_xaxes(type="log", tickvals=budgets, ticktext=[str(each) for each in budgets])
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(
        title="Excess of the returned model's true Q3 + IQR over the best possible, against "
        "trainings spent (95 % t intervals over search seeds)",
        template="plotly_white",
        height=_PANEL_HEIGHT * math.ceil(len(problems) / _N_COLUMNS) + 120,
        legend={"title": "arm"},
    )
    return figure


def get_shares_figure(shares: Sequence[Versus]) -> go.Figure:
    """Draw the differences to the reference as shares of its excess, a line a problem."""
    figure = go.Figure()
    for arm in dict.fromkeys(each.arm for each in shares):
        of_arm = [each for each in shares if each.arm == arm]
        figure.add_scatter(
            name=arm,
            y=[each.problem for each in of_arm],
            x=[100 * each.share.value for each in of_arm],
            error_x=_error([each.share for each in of_arm], scale=100),
            orientation="h",
            mode="markers",
            marker={"color": _COLORS[arm], "size": 8},
        )
    budget = f" with {shares[0].budget} trainings" if shares else ""
    n_rows = len(shares) + 8
    worst = max((100 * each.share.value for each in shares), default=0.0)
    figure.add_vline(x=0, line={"color": "#333333", "width": 1})
    figure.update_layout(
        title=f"Difference to the reference{budget}, in % of its excess; left is better",
        template="plotly_white",
        scattermode="group",
        xaxis={
            "title": "% (bootstrap intervals over search seeds)",
            "range": [_LEFT, min(_RIGHT, max(1.2 * worst, -_LEFT))],
        },
        yaxis={"autorange": "reversed"},
        height=max(400, _ROW_HEIGHT * n_rows),
    )
    return figure


def _trace(curve: Curve, *, is_first: bool) -> go.Scatter:
    return go.Scatter(
        name=curve.arm,
        legendgroup=curve.arm,
        showlegend=is_first,
        x=[point.n_trainings.value for point in curve.points],
        y=[point.excess.value for point in curve.points],
        error_y=_error([point.excess for point in curve.points]),
        mode="lines+markers",
        line={"color": _COLORS[curve.arm], "width": 3 if curve.arm.startswith("robust") else 1.5},
        hovertemplate="%{x:.0f} trainings: %{y:.3g}",
    )


def _error(estimates: Sequence[Estimate], *, scale: float = 1) -> dict[str, object]:
    found = [each if each.has_interval else Estimate(*[each.value] * 3) for each in estimates]
    return {
        "array": [scale * (each.high - each.value) for each in found],
        "arrayminus": [scale * (each.value - each.low) for each in found],
        "thickness": 1,
    }
