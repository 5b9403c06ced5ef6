"""How figures look: colours, axes, titles, hover texts, and what is off the scale."""

from __future__ import annotations

from collections.abc import Mapping
import html
import logging
import math
from typing import Any
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]

from optuna_robust._base.arrays import FloatArray
from optuna_robust._base.wording import counted
from optuna_robust._reporting.visualization._models import Models
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criterion_names import better_side
from optuna_robust._statistics.criterion_names import shown_name


_logger = logging.getLogger(__name__)

# Okabe & Ito's colours, which colour-blind people tell apart.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#999999"
# For lines side by side; yellow is too light for a line on white.
SERIES = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
# What models are.
FINISHED, STOPPED, BEST, CONFIRMED = BLUE, GREY, VERMILLION, GREEN

_TEXT, _FAINT_TEXT, _LINE, _GRID = "#222222", "#555555", "#666666", "#E6E6E6"
_LONGEST_TEXT = 60
# Of losses and criteria, which stand beside axes of a small figure; and of a line there.
_LONGEST_NAME = 32
_LONGEST_LINE = 26
# Characters of hyperparameters in all hover texts of a figure: it is kept in a study.
_MOST_PARAMS_TEXT = 80_000
_MOST_PARAMS = 12
# A value is off the scale if it lies farther behind the upper quartile than the best value lies
# before it, so many times: a diverged training would leave nothing to see of the others.
_FAR = 5.0
_MARGIN = 0.05
# A share of less would vanish in rounding.
_LEAST_WIDTH = 1e-300


class Scale(NamedTuple):
    """The part of an axis that is shown, in the user's orientation.

    Attributes:
        low: Its lower end.
        high: Its upper end.
        edge: Where values are drawn that are off the scale: near the worse end.
        worst: The worst value that is on the scale.
    """

    low: float
    high: float
    edge: float
    worst: float


def scale_of(values: FloatArray, sign: int) -> Scale | None:
    """Return the scale that shows values, with room at its worse end if some are off it.

    Args:
        values:
            Values in the user's orientation; NaN is none, infinity is off the scale.
        sign:
            -1 if larger values are better, else 1.

    Returns:
        The scale; None without a finite value.
    """
    oriented = sign * values[~np.isnan(values)]
    finite = oriented[np.isfinite(oriented)]
    if not len(finite):
        return None
    best, quartile, worst = np.quantile(finite, [0.0, 0.75, 1.0])
    limit = quartile + _FAR * (quartile - best)
    if quartile > best and worst > limit:
        worst = finite[finite <= limit].max()
    width = max((worst - best) or abs(best) or 1.0, _LEAST_WIDTH)
    edge = worst + 2 * _MARGIN * width
    is_cut = bool((oriented > worst).any())
    ends = (best - _MARGIN * width, edge + _MARGIN * width if is_cut else worst + _MARGIN * width)
    low, high = sorted(float(sign * end) for end in ends)
    return Scale(low, high, float(sign * edge), float(sign * worst))


def on_scale(values: FloatArray, scale: Scale, sign: int) -> FloatArray:
    """Return values as they are drawn: those that are off the scale at its edge."""
    return np.where(sign * values > sign * scale.worst, scale.edge, values)


def off_scale(values: FloatArray, scale: Scale, sign: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Tell which values are off the scale."""
    return np.asarray(sign * values > sign * scale.worst)


def faint(color: str) -> str:
    """Return a colour that lets others through, for areas."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.25)"


def escaped(text: object, longest: int = _LONGEST_TEXT) -> str:
    """Return a user's text as plotly shows it: no markup, no formula, one line, not too long."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())
    if len(plain) > longest:
        plain = plain[: longest - 1] + "…"
    return html.escape(plain, quote=False).replace("$", "&#36;")


def number(value: float) -> str:
    """Return a number with four significant digits."""
    return "–" if math.isnan(value) else f"{value:.4g}".replace("inf", "∞")


def hovers(models: Models, *others: Criterion) -> list[str]:
    """Return what is told of models: number, criteria, instances and hyperparameters.

    Of thousands of models with many hyperparameters, the last ones' are left out.

    Args:
        models:
            The models, the best first.
        others:
            Criteria to tell beside that of the models.
    """
    criteria = [models.criterion, *(each for each in others if each != models.criterion)]
    values = {criterion_label(c, models.direction): models.values(c) for c in criteria}
    texts, n_characters = [], 0
    for row, params in enumerate(models.params):
        failed = f", {models.n_failed[row]} failed" if models.n_failed[row] else ""
        told = params_lines(params)
        n_characters += sum(map(len, told))
        texts.append(
            "<br>".join(
                [
                    f"<b>{models.noun} {models.numbers[row]}</b> "
                    f"({escaped(models.fates[row], 90)})",
                    *(f"{name} {number(float(each[row]))}" for name, each in values.items()),
                    f"n = {counted(int(models.counts[row]), 'instance')}{failed}",
                    *(told if n_characters <= _MOST_PARAMS_TEXT else []),
                ]
            )
        )
    return texts


def params_lines(params: Mapping[str, Any]) -> list[str]:
    """Return hyperparameters, one a line; of many, the first."""
    lines = [
        f"{escaped(name)} = {number(value) if isinstance(value, float) else escaped(value)}"
        for name, value in list(params.items())[:_MOST_PARAMS]
    ]
    more = len(params) - _MOST_PARAMS
    return [*lines, f"… and {more} more"] if more > 0 else lines


def criterion_label(criterion: str | Criterion, direction: str) -> str:
    """Return the name of a criterion as figures show it."""
    return escaped(shown_name(criterion, direction), _LONGEST_NAME)


def loss_axis(loss_name: str, direction: str, statistic: str = "") -> str:
    """Return the title of an axis of losses, or of a statistic of them; a long one is broken."""
    what = escaped(loss_name, _LONGEST_NAME)
    if statistic:
        what = f"{statistic} of {what}"
    line_break = "<br>" if len(what) > _LONGEST_LINE else " "
    return f"{what}{line_break}({better_side(None, direction)})"


def no_losses(n_models: int, noun: str) -> str:
    """Return why there is nothing to show."""
    return f"No {noun} has losses of instances." if n_models else f"No {noun} has finished."


def best_of(n_shown: int, n_models: int, noun: str) -> str:
    """Return how many models are shown of how many."""
    return (
        counted(n_models, noun) if n_shown == n_models else f"best {n_shown} of {n_models} {noun}s"
    )


def padded(epochs: list[int]) -> list[float]:
    """Return the range of an axis that shows all epochs."""
    room = max(0.02 * (epochs[-1] - epochs[0]), 0.2)
    return [epochs[0] - room, epochs[-1] + room]


def mark_edge(figure: go.Figure, scale: Scale) -> None:
    """Say beside the edge of the vertical axis that what is drawn there lies beyond."""
    figure.add_hline(scale.edge, line={"color": _LINE, "width": 1, "dash": "dot"}, layer="below")
    figure.add_annotation(
        text="off the scale, or failed",
        x=1.0,
        y=scale.edge,
        xref="paper",
        xanchor="right",
        yanchor="top" if scale.edge > scale.worst else "bottom",
        showarrow=False,
        font={"size": 10, "color": _FAINT_TEXT},
    )


def axis(title: str, **options: Any) -> dict[str, Any]:
    """Return an axis with a name."""
    return {
        "title": {"text": title, "standoff": 8},
        "showline": True,
        "linecolor": _LINE,
        "ticks": "outside",
        "tickcolor": _LINE,
        "gridcolor": _GRID,
        "zeroline": False,
        "automargin": True,
        **options,
    }


def new_figure(title: str, subtitle: str, **layout: Any) -> go.Figure:
    """Return a figure without data.

    It has no template, whose 6 kB would be kept in a study with every figure.
    """
    told = f"<br><span style='font-size:12px;color:{_FAINT_TEXT}'>{subtitle}</span>"
    common: dict[str, Any] = {
        "template": "none",
        "title": {
            "text": f"<b>{title}</b>{told if subtitle else ''}",
            "font": {"size": 16, "color": _TEXT},
            "x": 0.01,
            "xanchor": "left",
            "y": 1.0,
            "yanchor": "top",
            "pad": {"t": 16},
        },
        "font": {"size": 12, "color": _TEXT},
        "margin": {"l": 60, "r": 20, "t": 96, "b": 50},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.0,
            "yanchor": "bottom",
            "font": {"size": 11},
        },
        "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"color": _TEXT}},
        "hovermode": "closest",
    }
    return go.Figure(layout={**common, **layout})


def empty(title: str, reason: str, x_title: str, y_title: str) -> go.Figure:
    """Return a figure without data that says why, and log it."""
    _logger.warning("%s: %s", title, reason)
    figure = new_figure(
        title,
        "",
        xaxis=axis(x_title, showticklabels=False, showgrid=False),
        yaxis=axis(y_title, showticklabels=False, showgrid=False),
    )
    figure.add_annotation(
        text=reason,
        x=0.5,
        y=0.5,
        xref="paper",
        yref="paper",
        showarrow=False,
        font={"size": 14, "color": _FAINT_TEXT},
    )
    return figure
