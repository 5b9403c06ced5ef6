"""Figures of the page: boxes by sample size, winners in pairs, and what searches promised."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]

from benchmarks.nas_vs_robust import statistics
from benchmarks.nas_vs_robust.plan import ArmName
from benchmarks.nas_vs_robust.plan import REFERENCE
from benchmarks.nas_vs_robust.report import Findings
from benchmarks.nas_vs_robust.report import HEADINGS
from benchmarks.nas_vs_robust.statistics import Comparison
from benchmarks.nas_vs_robust.statistics import DECISIVE
from benchmarks.pages import logarithmic_axis


_TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0)
_RATIOS = {"type": "log", "tickvals": _TICKS, "ticktext": [f"{tick:g}" for tick in _TICKS]}
_BUTTONS = ("zoom", "pan", "select", "lasso", "zoomin", "zoomout", "autoscale", "resetscale")
_LEGEND_BELOW: dict[str, Any] = {"legend": {"orientation": "h", "y": -0.25, "yanchor": "top"}}


def lead_figure(found: Findings) -> go.Figure:
    """Return what goes with the verdict: changes, or all losses where nothing is compared."""
    compared = set(statistics.arms_of(found.outcomes)) - {REFERENCE}
    has_both = compared and statistics.of_arm(found.outcomes, REFERENCE)
    return changes(found) if has_both else boxes(found)


def figures(found: Findings) -> tuple[go.Figure, ...]:
    """Return all other figures."""
    curves = (curve(found),) if len(found.budgets) > 1 else ()
    return *curves, boxes(found), pairs(found), promises(found)


def changes(found: Findings) -> go.Figure:
    """Return the change of the decisive statistic beside the reference: seeds, mean, interval."""
    by_ratio = statistics.has_ratios(found.outcomes)
    rows: list[tuple[str, Comparison]] = []
    for trainings in found.budgets:
        outcomes = statistics.at_budget(found.outcomes, trainings)
        label = f", {trainings}" if len(found.budgets) > 1 else ""
        rows += [
            (f"{each.arm}{label}", each)
            for each in statistics.compare(outcomes, by_ratio=by_ratio)
        ]
    seeds = [
        (value, name, seed)
        for name, each in rows
        for seed, value in zip(_seeds(found), each.changes, strict=True)
        if math.isfinite(value)
    ]
    means = [(each.change, name) for name, each in rows if math.isfinite(each.change.value)]
    n_left_out = sum(not math.isfinite(value) for _, each in rows for value in each.changes)
    figure = go.Figure(
        [
            go.Scatter(
                name="a search seed",
                x=[value for value, *_ in seeds],
                y=[name for _, name, _ in seeds],
                text=[f"seed {seed}" for *_, seed in seeds],
                mode="markers",
                marker={"size": 9, "color": "rgba(31, 119, 180, 0.45)"},
            ),
            go.Scatter(
                name="mean, 95 % interval",
                x=[change.value for change, _ in means],
                y=[name for _, name in means],
                mode="markers",
                marker={"size": 13, "symbol": "diamond", "color": "black"},
                error_x={
                    "symmetric": False,
                    "array": [_reach(change.high - change.value) for change, _ in means],
                    "arrayminus": [_reach(change.value - change.low) for change, _ in means],
                    "thickness": 3,
                },
            ),
        ]
    )
    figure.add_vline(1.0 if by_ratio else 0.0, line={"dash": "dot", "color": "grey"})
    statistic = HEADINGS[DECISIVE]
    how = f"arm / {REFERENCE}" if by_ratio else f"arm − {REFERENCE}"
    left_out = f"; {n_left_out} failed ones are left out" if n_left_out else ""
    figure.update_layout(
        title={"text": f"Winners, trained again: left is better{left_out}", "font": {"size": 15}},
        margin={"t": 60, "l": 10, "r": 20},
        xaxis={
            "title": f"{statistic} of {found.about['loss']}, {how}",
            **(_RATIOS if by_ratio else {}),
        },
        yaxis={"type": "category", "autorange": "reversed", "automargin": True},
        modebar={"remove": list(_BUTTONS)},  # they would cover the title on a telephone
        height=260 + 50 * len(rows),
        **_LEGEND_BELOW,
    )
    return figure


def curve(found: Findings) -> go.Figure:
    """Return the decisive statistic of each arm's winners by budget, means with intervals."""
    figure = go.Figure()
    for arm in statistics.arms_of(found.outcomes):
        means = [
            statistics.over_seeds(
                statistics.of_arm(statistics.at_budget(found.outcomes, trainings), arm), DECISIVE
            )
            for trainings in found.budgets
        ]
        figure.add_scatter(
            name=arm,
            x=found.budgets,
            y=[each.value if math.isfinite(each.value) else None for each in means],
            mode="lines+markers",
            error_y={"array": [_reach(each.high - each.value) for each in means]},
        )
    figure.update_layout(
        title="Winners by budget, means over search seeds",
        xaxis={
            "title": "trainings of a search",
            "type": "log",
            "tickvals": found.budgets,
            "ticktext": [str(each) for each in found.budgets],
        },
        yaxis={"title": f"{HEADINGS[DECISIVE]} of {found.about['loss']}"},
        **_LEGEND_BELOW,
    )
    return figure


def boxes(found: Findings) -> go.Figure:
    """Return boxes of fresh losses by sample size: winners of all seeds, and fixed models."""
    of_arms = [(each.search.arm, each.fresh_losses) for each in found.main]
    of_rows = [(row.name, row.fresh_losses) for row in found.rows]
    points: dict[str, list[tuple[str, float]]] = {}
    for name, by_size in [*of_arms, *of_rows]:
        points.setdefault(name, []).extend(
            (str(size), loss) for size, losses in by_size.items() for loss in losses
        )
    n_failed = sum(not math.isfinite(loss) for each in points.values() for _, loss in each)
    points = {
        name: [(size, loss) for size, loss in each if math.isfinite(loss)]
        for name, each in points.items()
    }
    figure = go.Figure(
        [
            go.Box(
                name=name,
                x=[size for size, _ in each],
                y=[loss for _, loss in each],
                boxpoints="outliers",
            )
            for name, each in points.items()
        ]
    )
    left_out = f"; {n_failed} failed ones are left out" if n_failed else ""
    lowest = min((loss for each in points.values() for _, loss in each), default=0.0)
    figure.update_layout(
        title=f"Fresh instances on the test part (winners of all seeds together{left_out})",
        boxmode="group",
        xaxis={"title": "size of the training sample", "type": "category"},
        yaxis={"title": found.about["loss"], **(logarithmic_axis() if lowest > 0.0 else {})},
    )
    return figure


def pairs(found: Findings) -> go.Figure:
    """Return the decisive statistic of each arm's winners, with a line for each search seed."""
    arms = statistics.arms_of(found.main)
    values = {
        arm: {
            each.search.seed: statistics.confirmed(each.fresh(), DECISIVE).value
            for each in statistics.of_arm(found.main, arm)
        }
        for arm in arms
    }
    seeds = sorted({outcome.search.seed for outcome in found.main})
    figure = go.Figure(
        [
            go.Scatter(
                name=f"seed {seed}",
                x=list(arms),
                y=[values[arm].get(seed) for arm in arms],
                mode="lines+markers",
            )
            for seed in seeds
        ]
    )
    figure.update_layout(
        title=f"{HEADINGS[DECISIVE]} of winners, trained again",
        xaxis={"title": "arm"},
        yaxis={"title": f"{HEADINGS[DECISIVE]} of {found.about['loss']}"},
    )
    return figure


def promises(found: Findings) -> go.Figure:
    """Return what searches said of their winners against what fresh instances say."""

    def promised(arm: ArmName) -> tuple[list[float], list[float]]:
        outcomes = statistics.of_arm(found.main, arm)
        said = [statistics.search_value(each) for each in outcomes]
        return said, [
            value + statistics.optimism(each) for value, each in zip(said, outcomes, strict=True)
        ]

    by_arm = {arm: promised(arm) for arm in statistics.arms_of(found.main)}
    every = [
        value
        for both in by_arm.values()
        for values in both
        for value in values
        if math.isfinite(value)
    ]
    ends = [min(every), max(every)] if every else []
    figure = go.Figure(
        [
            go.Scatter(name=arm, x=said, y=worth, mode="markers")
            for arm, (said, worth) in by_arm.items()
        ]
    )
    figure.add_scatter(
        name="honest", x=ends, y=ends, mode="lines", line={"dash": "dot", "color": "grey"}
    )
    figure.update_layout(
        title="What searches promised; above the line they promised too much",
        xaxis={"title": f"search value ({found.about['loss']})"},
        yaxis={"title": "the same statistic of fresh instances"},
    )
    return figure


def _seeds(found: Findings) -> list[int]:
    return sorted({outcome.search.seed for outcome in found.outcomes})


def _reach(length: float) -> float | None:
    """Return the length of an error bar; None where there is no interval."""
    return length if math.isfinite(length) else None
