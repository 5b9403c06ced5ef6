"""The figure: what a selection costs, and how much worse than the best its winner is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import plotly.graph_objects as go  # type: ignore[import-untyped]

from benchmarks.selection_cost.arms import KINDS
from benchmarks.selection_cost.runner import Case
from benchmarks.selection_cost.statistics import summaries
from benchmarks.selection_cost.statistics import Summary


# Okabe & Ito's colours, which colour-blind people tell apart.
_COLORS = dict(
    zip(
        KINDS,
        ("#999999", "#0072B2", "#56B4E9", "#E69F00", "#F0E442", "#D55E00", "#009E73", "#CC79A7"),
        strict=True,
    )
)
_TICKS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50, 100)


@dataclass(frozen=True)
class Panel:
    """What one panel shows."""

    title: str
    arms: tuple[Summary, ...]


def get_panels(cases: Sequence[Case]) -> list[Panel]:
    """Return the figure's numbers."""
    return [
        Panel(
            f"{case.problem}, {case.criterion}: {case.n_models} models, {case.n_replays} replays",
            tuple(summaries(case)),
        )
        for case in cases
    ]


def get_figure(panels: Sequence[Panel]) -> go.Figure:
    """Draw the panels, one of which is seen at a time."""
    figure = go.Figure()
    panel_of_trace = []
    for number, panel in enumerate(panels):
        for kind in KINDS:
            arms = [arm for arm in panel.arms if arm.kind == kind]
            if arms:
                figure.add_trace(_trace(kind, arms, visible=number == 0))
                panel_of_trace.append(number)
    buttons = [
        {
            "label": panel.title,
            "method": "update",
            "args": [
                {"visible": [each == number for each in panel_of_trace]},
                {"title.text": panel.title},
            ],
        }
        for number, panel in enumerate(panels)
    ]
    figure.update_layout(
        title={"text": panels[0].title},
        template="plotly_white",
        xaxis={
            "type": "log",
            "title": "trainings a model",
            "tickvals": _TICKS,
            "ticktext": [str(tick) for tick in _TICKS],
        },
        yaxis={"title": "mean regret, with 95 % t intervals", "rangemode": "tozero"},
        legend={"title": "arms"},
        updatemenus=(
            [{"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}]
            if len(panels) > 1
            else []
        ),
        height=700,
    )
    return figure


def write_figure(cases: Sequence[Case], folder: Path, name: str) -> list[Path]:
    """Write the figure as HTML, and as PNG (the first panel) where Kaleido works.

    Returns:
        The files.
    """
    figure = get_figure(get_panels(cases))
    html = folder / f"{name}.html"
    figure.write_html(html, include_plotlyjs=True)
    if find_spec("kaleido") is None:
        return [html]
    image = folder / f"{name}.png"
    try:
        figure.write_image(image, width=1200, height=700)
    except (OSError, RuntimeError, ValueError):  # Kaleido without a browser
        return [html]
    return [html, image]


def _trace(kind: str, arms: Sequence[Summary], *, visible: bool) -> go.Scatter:
    return go.Scatter(
        name=kind,
        x=[arm.trainings.value for arm in arms],
        y=[arm.regret.value for arm in arms],
        error_y={
            "array": [arm.regret.high - arm.regret.value for arm in arms],
            "arrayminus": [arm.regret.value - arm.regret.low for arm in arms],
            "thickness": 1,
        },
        text=[arm.name for arm in arms],
        hovertemplate="%{text}<br>%{x:.2f} trainings a model<br>regret %{y:.3g}<extra></extra>",
        mode="markers",
        marker={"color": _COLORS[kind], "size": 9, "line": {"color": "#333333", "width": 0.5}},
        cliponaxis=False,
        visible=visible,
    )
