"""How every model's criterion went while it got instances, and where it was dropped."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]

from optuna_robust._base.arguments import check_count
from optuna_robust._base.wording import counted
from optuna_robust._reporting.visualization import _style
from optuna_robust._reporting.visualization._models import CriterionLike
from optuna_robust._reporting.visualization._models import display_sign
from optuna_robust._reporting.visualization._models import Models
from optuna_robust._reporting.visualization._models import models_of


if TYPE_CHECKING:
    from optuna.study import Study

    from optuna_robust._search.selection import SelectionResult


_TITLE = "Selection path"
# Paths with a colour and a name of their own.
_N_NAMED = 3


class _Path(NamedTuple):
    """A model's criterion over its first n instances, for each n at which it is defined."""

    number: int
    n_instances: list[int]
    values: list[float]
    finished: bool
    hover: str


class _SelectionPathInfo(NamedTuple):
    paths: list[_Path]
    n_models: int
    n_too_short: int
    noun: str
    group_names: tuple[str, str]
    loss_name: str
    direction: str
    criterion: str
    is_spread: bool


def plot_selection_path(
    source: Study | SelectionResult,
    *,
    n_models: int = 100,
    criterion: CriterionLike | None = None,
    loss_name: str | None = None,
) -> go.Figure:
    """Plot every model's criterion against the number of its instances.

    Compare models at the same number of instances only. Grey paths end, with a cross, where a
    model was stopped; coloured ones are the best of those that were evaluated to the end. If
    they still cross each other at the right, more instances are needed to tell them apart.

    Example:
        >>> import optuna_robust as opr
        >>> def objective(trial, instance):
        ...     return trial.suggest_float("x", -1, 1) ** 2 + 0.1 * instance.rng.normal()
        >>> models = [{"x": 0.0}, {"x": 0.1}, {"x": 0.9}]
        >>> result = opr.robust_select(objective, models, n_instances=8, rule="halving")
        >>> figure = opr.visualization.plot_selection_path(result)
        >>> figure.layout.xaxis.title.text
        'instances of the model (trainings)'

    Args:
        source:
            A study, or what :func:`~optuna_robust.robust_select` found. Without recorded
            instances, a trial's intermediate values are losses and its steps instance numbers.
        n_models:
            Number of models, the best ones and those that got farthest. Default: 100.
        criterion:
            A name or a callable. Default: that of the search.
        loss_name:
            Name of the losses, and their unit if there is one. Default: the study's metric name,
            else ``"loss"`` or, if it is maximised, ``"objective value"``.

    Returns:
        The figure; an empty one, and a line in the log, without data.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has no allowed value.
    """
    check_count("n_models", n_models, minimum=1)
    models = models_of(source, criterion=criterion, loss_name=loss_name)
    return _get_selection_path_plot(_get_selection_path_info(models, n_models))


def _get_selection_path_info(models: Models, n_models: int) -> _SelectionPathInfo:
    shown = models.top(n_models)
    sign = display_sign(shown.criterion, shown.direction)
    hovers = _style.hovers(shown)
    paths = []
    for row in range(len(shown.numbers)):
        losses = shown.oriented[row][~np.isnan(shown.oriented[row])]
        prefixes = np.where(np.tri(len(losses), dtype=np.bool_), losses, np.nan)
        values = sign * shown.criterion(prefixes) if len(losses) else np.empty(0)
        defined = np.flatnonzero(~np.isnan(values))
        if len(defined):
            paths.append(
                _Path(
                    number=shown.numbers[row],
                    n_instances=(defined + 1).tolist(),
                    values=values[defined].tolist(),
                    finished=bool(shown.finished[row]),
                    hover=hovers[row],
                )
            )
    return _SelectionPathInfo(
        paths=paths,
        n_models=len(models.numbers),
        n_too_short=len(shown.numbers) - len(paths),
        noun=models.noun,
        group_names=models.group_names,
        loss_name=models.loss_name,
        direction=models.direction,
        criterion=_style.criterion_label(models.criterion, models.direction),
        is_spread=models.criterion.kind == "spread",
    )


def _get_selection_path_plot(info: _SelectionPathInfo) -> go.Figure:
    direction = "minimize" if info.is_spread else info.direction
    x_title = "instances of the model (trainings)"
    y_title = _style.loss_axis(info.loss_name, direction, info.criterion)
    sign = -1 if direction == "maximize" else 1
    scale = _style.scale_of(np.array([v for path in info.paths for v in path.values]), sign)
    if scale is None:
        reason = (
            "All criteria are infinite: instances failed."
            if info.paths
            else f"No {info.noun} has instances enough."
            if info.n_models
            else f"No {info.noun} has finished."
        )
        return _style.empty(_TITLE, reason, x_title, y_title)
    told = _style.best_of(len(info.paths) + info.n_too_short, info.n_models, info.noun)
    if info.n_too_short:
        told += f", {info.n_too_short} of them stopped before there is a criterion"
    most = max(path.n_instances[-1] for path in info.paths)
    least = min(path.n_instances[0] for path in info.paths)
    if most == 1:
        told += "; one instance each: there is no path yet"
    figure = _style.new_figure(
        _TITLE,
        told,
        xaxis=_style.axis(
            x_title,
            range=[least - 0.02 * (most - least) - 0.3, most + 0.02 * (most - least) + 0.3],
            tickformat="d",
            **({"dtick": 1} if most - least < 12 else {}),
        ),
        yaxis=_style.axis(y_title, range=[scale.low, scale.high]),
    )
    if any(_style.off_scale(np.array(path.values), scale, sign).any() for path in info.paths):
        _style.mark_edge(figure, scale)
    finished = [path for path in info.paths if path.finished]
    stopped = [path for path in info.paths if not path.finished]
    groups = (
        (stopped, info.group_names[1], _style.STOPPED, "x-thin-open"),
        (finished[_N_NAMED:], f"{info.group_names[0]}, others", _style.SKY, "circle"),
    )
    for paths, label, color, symbol in groups:
        if paths:
            marker = {"color": color, "symbol": symbol, "size": 6, "line": {"color": color}}
            figure.add_traces(_group(paths, scale, sign, label, marker))
    # The best last: nothing is drawn over it.
    named = list(zip(finished[:_N_NAMED], (_style.BEST, *_other_colors()), strict=False))
    for rank, (path, color) in reversed(list(enumerate(named))):
        label = f"{info.noun} {path.number}" + (" (best)" if rank == 0 else "")
        figure.add_trace(
            go.Scatter(
                x=path.n_instances,
                y=_style.on_scale(np.array(path.values), scale, sign),
                mode="lines+markers",
                line={"color": color, "width": 3 if rank == 0 else 1.8},
                marker={"size": 5},
                hovertext=[
                    f"{info.criterion} of {counted(n, 'instance')}: {_style.number(value)}"
                    f"<br>{path.hover}"
                    for n, value in zip(path.n_instances, path.values, strict=True)
                ],
                hoverinfo="text",
                name=label,
                legendrank=rank + 1,
            )
        )
    return figure


def _other_colors() -> list[str]:
    return [color for color in _style.SERIES if color != _style.BEST]


def _group(
    paths: list[_Path],
    scale: _style.Scale,
    sign: int,
    label: str,
    marker: dict[str, Any],
) -> list[go.Scatter]:
    """Return many paths as one line with gaps, and their ends, which tell of the models."""
    x: list[float] = []
    y: list[float] = []
    for path in paths:
        x += [*path.n_instances, np.nan]
        y += [*_style.on_scale(np.array(path.values), scale, sign), np.nan]
    ends = _style.on_scale(np.array([path.values[-1] for path in paths]), scale, sign)
    shared: dict[str, Any] = {"legendgroup": label, "name": label}
    lines = go.Scatter(
        x=np.array(x, dtype=np.float32),
        y=np.array(y),
        mode="lines",
        line={"color": marker["color"], "width": 1},
        opacity=0.5,
        hoverinfo="skip",
        showlegend=False,
        **shared,
    )
    markers = go.Scatter(
        x=[path.n_instances[-1] for path in paths],
        y=ends,
        mode="markers",
        marker=marker,
        hovertext=[path.hover for path in paths],
        hoverinfo="text",
        **shared,
    )
    return [lines, markers]
