"""Figures of the page: boxes by sample size, winners in pairs, and what searches promised."""

from __future__ import annotations

import math

import plotly.graph_objects as go  # type: ignore[import-untyped]

from benchmarks.nas_vs_robust import statistics
from benchmarks.nas_vs_robust.plan import ArmName
from benchmarks.nas_vs_robust.report import Findings
from benchmarks.nas_vs_robust.report import HEADINGS
from benchmarks.nas_vs_robust.statistics import DECISIVE
from benchmarks.pages import logarithmic_axis


def figures(found: Findings) -> tuple[go.Figure, ...]:
    """Return all figures."""
    return boxes(found), pairs(found), promises(found)


def boxes(found: Findings) -> go.Figure:
    """Return boxes of fresh losses by sample size: winners of all seeds, and fixed models."""
    of_arms = [(each.search.arm, each.fresh_losses) for each in found.outcomes]
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
    arms = statistics.arms_of(found.outcomes)
    values = {
        arm: {
            each.search.seed: statistics.confirmed(each.fresh(), DECISIVE).value
            for each in statistics.of_arm(found.outcomes, arm)
        }
        for arm in arms
    }
    seeds = sorted({outcome.search.seed for outcome in found.outcomes})
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
        outcomes = statistics.of_arm(found.outcomes, arm)
        said = [statistics.search_value(each) for each in outcomes]
        return said, [
            value + statistics.optimism(each) for value, each in zip(said, outcomes, strict=True)
        ]

    by_arm = {arm: promised(arm) for arm in statistics.arms_of(found.outcomes)}
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
