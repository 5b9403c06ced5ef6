"""The losses of the best models' instances: a box or a violin, and every loss."""

from __future__ import annotations

from typing import Any
from typing import Literal
from typing import NamedTuple
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]

from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_count
from optuna_robust._base.arrays import FloatArray
from optuna_robust._reporting.visualization import _style
from optuna_robust._reporting.visualization._models import CriterionLike
from optuna_robust._reporting.visualization._models import Models
from optuna_robust._reporting.visualization._models import models_of


if TYPE_CHECKING:
    from optuna.study import Study

    from optuna_robust._search.selection import SelectionResult


_TITLE = "Losses of instances"
# Stands for infinity.
_HUGE = 1e300
# Characters of hyperparameters at all points of a figure.
_MOST_PARAMS_TEXT = 9_000
# In JSON a line break is so long.
_BREAK_LENGTH = 14
# Half the width of a model's points; models are 1 apart.
_JITTER = 0.28


class _ModelLosses(NamedTuple):
    """One model: losses by instance number, criterion, whether it was evaluated to the end."""

    number: int
    losses: dict[int, float]
    value: float
    finished: bool
    params: list[str]
    hover: str


class _InstanceLossesInfo(NamedTuple):
    models: list[_ModelLosses]
    n_models: int
    noun: str
    group_names: tuple[str, str]
    loss_name: str
    direction: str
    criterion: str
    is_level: bool


def plot_instance_losses(
    source: Study | SelectionResult,
    *,
    n_models: int = 20,
    criterion: CriterionLike | None = None,
    loss_name: str | None = None,
    kind: Literal["box", "violin"] = "box",
) -> go.Figure:
    """Plot the losses of the best models' instances, a box or violin each, best first.

    Look for boxes that are low *and* narrow (in a study that maximises: high). Models that were
    evaluated to the end come first, by the criterion (diamonds), then pruned ones by how far they
    got, and infeasible ones last. A loss far off the others, and a failed instance, is a triangle
    at the edge, a criterion there is an open diamond; the hover text says what it is. An instance
    stands at the same place in every box.

    Example:
        >>> import optuna
        >>> import optuna_robust as opr
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> def objective(trial, instance):
        ...     x = trial.suggest_float("x", -1, 1)
        ...     return x**2 + (0.1 + abs(x)) * instance.rng.normal()
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(opr.MultiInstanceObjective(objective, n_instances=5), n_trials=3)
        >>> figure = opr.visualization.plot_instance_losses(study)
        >>> figure.layout.yaxis.title.text
        'loss (smaller is better)'

    Args:
        source:
            A study, or what :func:`~optuna_robust.robust_select` found. Without recorded
            instances, a trial's intermediate values are losses and its steps instance numbers.
        n_models:
            Number of models, the best ones.
        criterion:
            What models are sorted by, a name or a callable. Default: that of the search.
        loss_name:
            Name of the losses, and their unit if there is one. Default: the study's metric name,
            else ``"loss"`` or, if it is maximised, ``"objective value"``.
        kind:
            ``"box"`` (quartiles as criteria have them, or the edge if they are off the scale;
            whiskers reach the farthest loss within 1.5 interquartile ranges) or ``"violin"`` (a
            kernel density estimate).

    Returns:
        The figure; an empty one, and a line in the log, without data.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has no allowed value.
    """
    check_count("n_models", n_models, minimum=1)
    check_choice("kind", kind, ("box", "violin"))
    models = models_of(source, criterion=criterion, loss_name=loss_name)
    return _get_instance_losses_plot(_get_instance_losses_info(models, n_models), kind=kind)


def _get_instance_losses_info(models: Models, n_models: int) -> _InstanceLossesInfo:
    shown = models.top(n_models)
    values = shown.values(shown.criterion)
    hovers = _style.hovers(shown)
    return _InstanceLossesInfo(
        models=[
            _ModelLosses(
                number=shown.numbers[row],
                losses={
                    instance: float(loss)
                    for instance, loss in zip(shown.instances, shown.losses[row], strict=True)
                    if not np.isnan(loss)
                },
                value=float(values[row]),
                finished=bool(shown.finished[row]),
                params=_style.params_lines(shown.params[row]),
                hover=hovers[row],
            )
            for row in range(len(shown.numbers))
            if shown.counts[row]
        ],
        n_models=len(models.numbers),
        noun=models.noun,
        group_names=models.group_names,
        loss_name=models.loss_name,
        direction=models.direction,
        criterion=_style.criterion_label(models.criterion, models.direction),
        is_level=models.criterion.kind != "spread",
    )


def _get_instance_losses_plot(info: _InstanceLossesInfo, *, kind: str) -> go.Figure:
    x_title = _order(info)
    y_title = _style.loss_axis(info.loss_name, info.direction)
    sign = -1 if info.direction == "maximize" else 1
    losses = [loss for model in info.models for loss in model.losses.values()]
    values = [model.value for model in info.models if info.is_level]
    scale = _style.scale_of(np.array(losses + values), sign)
    if scale is None:
        reason = (
            "All instances failed." if info.models else _style.no_losses(info.n_models, info.noun)
        )
        return _style.empty(_TITLE, reason, x_title, y_title)
    n_most = max(len(model.losses) for model in info.models)
    figure = _style.new_figure(
        _TITLE,
        f"{_style.best_of(len(info.models), info.n_models, info.noun)}, "
        + ("one instance each: no spread" if n_most == 1 else f"up to {n_most} instances each")
        + "; a point is one training",
        xaxis=_style.axis(
            x_title,
            tickvals=list(range(len(info.models))),
            ticktext=[str(model.number) for model in info.models],
            range=[-0.6, len(info.models) - 0.4],
            showgrid=False,
        ),
        yaxis=_style.axis(y_title, range=[scale.low, scale.high]),
    )
    colors = (_style.FINISHED, _style.STOPPED)
    for group, color, finished in zip(info.group_names, colors, (True, False), strict=True):
        places = [i for i, model in enumerate(info.models) if model.finished == finished]
        style = {
            "name": group,
            "line": {"color": color, "width": 1.5},
            "fillcolor": _style.faint(color),
            "hoverinfo": "skip",
            "width": 0.7,
        }
        if places and kind == "box":
            figure.add_trace(_boxes(info, places, scale, sign, **style))
        elif places:
            figure.add_traces(_violins(info, places, scale, sign, **style))
    for off_scale in (False, True):
        points = _points(info, scale, sign, off_scale=off_scale)
        if len(points.x):
            figure.add_trace(points)
    figure.add_trace(_criteria(info, scale, sign))
    return figure


def _order(info: _InstanceLossesInfo) -> str:
    """Return by what models are sorted, as the name of their axis."""
    best_first = f"the best by {info.criterion} first"
    groups = {model.finished for model in info.models}
    if groups == {True, False}:
        return f"{info.noun} number: {best_first}; {info.group_names[1]} by their instances"
    if groups == {False}:
        return f"{info.noun} number, those with the most instances first"
    return f"{info.noun} number, {best_first}"


def _boxes(
    info: _InstanceLossesInfo, places: list[int], scale: _style.Scale, sign: int, **style: Any
) -> go.Box:
    """Return boxes with Tukey's (1977) whiskers: to the last loss within 1.5 IQR of the box."""
    rows = []
    for place in places:
        losses = _all_losses(info.models[place])
        q1, median, q3 = np.quantile(losses, [0.25, 0.5, 0.75])
        reach = 1.5 * (q3 - q1)
        near = losses[(losses >= q1 - reach) & (losses <= q3 + reach)]
        rows.append((min(near.min(), q1), q1, median, q3, max(near.max(), q3)))
    low, q1, median, q3, high = _style.on_scale(np.array(rows), scale, sign).T
    return go.Box(x=places, lowerfence=low, q1=q1, median=median, q3=q3, upperfence=high, **style)


def _violins(
    info: _InstanceLossesInfo, places: list[int], scale: _style.Scale, sign: int, **style: Any
) -> list[go.Violin]:
    return [
        go.Violin(
            x0=place,
            y=_drawn(info.models[place], scale, sign),
            points=False,
            spanmode="hard",
            legendgroup=style["name"],
            showlegend=place == places[0],
            **style,
        )
        for place in places
    ]


def _drawn(model: _ModelLosses, scale: _style.Scale, sign: int) -> FloatArray:
    return _style.on_scale(_all_losses(model), scale, sign)


def _all_losses(model: _ModelLosses) -> FloatArray:
    """Return losses with a huge one for an infinite one, which quantiles cannot be made of."""
    losses = np.array(list(model.losses.values()), dtype=np.float64)
    return np.asarray(np.clip(losses, -_HUGE, _HUGE))


def _points(
    info: _InstanceLossesInfo, scale: _style.Scale, sign: int, *, off_scale: bool = False
) -> go.Scatter:
    """Return the losses that are on the scale, or those that are off it."""
    numbers = sorted({number for model in info.models for number in model.losses})
    offset = dict(
        zip(numbers, np.linspace(-_JITTER, _JITTER, len(numbers)), strict=True)
        if len(numbers) > 1
        else [(numbers[0], 0.0)]
    )
    texts = _texts_of_models(info)
    chosen = [
        (place + offset[number], loss, texts[place], number)
        for place, model in enumerate(info.models)
        for number, loss in model.losses.items()
        if bool(_style.off_scale(np.array(loss), scale, sign)) == off_scale
    ]
    loss_name = _style.escaped(info.loss_name)
    return go.Scatter(
        x=np.array([round(x, 3) for x, *_ in chosen], dtype=np.float32),
        y=[scale.edge if off_scale else loss for _, loss, *_ in chosen],
        hovertext=[
            f"{told[0]}, instance {number}<br>{loss_name} "
            + (_style.number(loss) if np.isfinite(loss) else "none: failed")
            + told[1]
            for _, loss, told, number in chosen
        ],
        hoverinfo="text",
        mode="markers",
        marker=(
            {
                "symbol": "triangle-up" if sign > 0 else "triangle-down",
                "color": _style.BLACK,
                "size": 8,
            }
            if off_scale
            else {"color": "rgba(0,0,0,0.45)", "size": 4}
        ),
        name="failed or off the scale" if off_scale else "instance",
    )


def _texts_of_models(info: _InstanceLossesInfo) -> list[tuple[str, str]]:
    """Return how every model is called at its points, and its hyperparameters.

    Of many models, or of many hyperparameters, only those of the first ones are told.
    """
    texts, n_characters = [], 0
    for model in info.models:
        n = len(model.losses)
        n_characters += n * sum(len(line) + _BREAK_LENGTH for line in model.params)
        params = model.params if n_characters <= _MOST_PARAMS_TEXT else []
        texts.append((f"{info.noun} {model.number} (n = {n})", "<br>".join(["", *params])))
    return texts


def _criteria(info: _InstanceLossesInfo, scale: _style.Scale, sign: int) -> go.Scatter:
    """Return every model's criterion, and whatever else is told of it."""
    values = np.array([model.value for model in info.models])
    is_drawn = ~np.isnan(values) & info.is_level
    is_off = _style.off_scale(values, scale, sign)
    medians = np.array([np.median(_all_losses(model)) for model in info.models])
    return go.Scatter(
        x=list(range(len(info.models))),
        # A spread is no place on this axis: then the text is at the median.
        y=_style.on_scale(np.where(is_drawn, values, medians), scale, sign),
        hovertext=[model.hover for model in info.models],
        hoverinfo="text",
        mode="markers",
        marker={
            "symbol": np.where(is_off, "diamond-open", "diamond"),
            "color": _style.ORANGE,
            "size": 9,
            "opacity": np.where(is_drawn, 1.0, 0.0),
            "line": {"color": _style.BLACK, "width": 1},
        },
        name=info.criterion,
        showlegend=info.is_level,
    )
