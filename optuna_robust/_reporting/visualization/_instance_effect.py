"""What common instances do to every model's loss, and what is left."""

from __future__ import annotations

import math
from typing import NamedTuple
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]

from optuna_robust._base.arguments import check_count
from optuna_robust._base.arrays import FloatArray
from optuna_robust._reporting.visualization import _style
from optuna_robust._reporting.visualization._models import CriterionLike
from optuna_robust._reporting.visualization._models import Models
from optuna_robust._reporting.visualization._models import models_of
from optuna_robust._statistics.comparison import AdditiveFit
from optuna_robust._statistics.comparison import fit_additive


if TYPE_CHECKING:
    from optuna.study import Study

    from optuna_robust._search.selection import SelectionResult


_TITLE = "Instance effect"
_MOST_LABELS = 12
# Where models' marks are, beside the first instance, as a share of the number of instances.
_MARK_GAP = 0.03
# Quantile of the sizes of differences that has the full colour: one wild loss must not pale
# all others.
_FULL_COLOR = 0.98


class _InstanceEffectInfo(NamedTuple):
    """Losses less their model's level, NaN where there is no finite loss; effects of instances.

    ``why_not`` says why they cannot be told apart, if they cannot.
    """

    instances: list[int]
    effects: list[float]
    numbers: list[int]
    differences: list[list[float]]
    failed: list[tuple[int, int]]
    finished: list[bool]
    hovers: list[str]
    effect_std: float
    noise_std: float
    n_models: int
    noun: str
    loss_name: str
    direction: str
    group_names: tuple[str, str]
    why_not: str


def plot_instance_effect(
    source: Study | SelectionResult,
    *,
    n_models: int = 20,
    criterion: CriterionLike | None = None,
    loss_name: str | None = None,
) -> go.Figure:
    """Plot what an instance adds to the losses of all models, and every model's differences.

    The bars are the effects of the common instances (a two-way additive fit of all models): some
    seeds and training samples are harder than others for everybody. The bars hold some noise, too,
    the more of it the fewer models there are; the standard deviation of the effects that is told
    is without it. The heat map shows how much each loss differs from its model's level. Stripes
    from top to bottom are common effects, which comparisons on the same instances cancel; what has
    no stripes is each model's own noise. A cross is a failed instance; the marks at the left tell
    of their models.

    Example:
        >>> import optuna_robust as opr
        >>> def objective(trial, instance):
        ...     return trial.suggest_float("x", -1, 1) ** 2 + 0.1 * instance.rng.normal()
        >>> models = [{"x": 0.0}, {"x": 0.1}, {"x": 0.9}]
        >>> result = opr.robust_select(objective, models, n_instances=8, rule="halving")
        >>> opr.visualization.plot_instance_effect(result).layout.xaxis2.title.text
        'instance number'

    Args:
        source:
            A study, or what :func:`~optuna_robust.robust_select` found. Without recorded
            instances, a trial's intermediate values are losses and its steps instance numbers.
        n_models:
            Number of models in the heat map, the best ones. Effects are those of all models.
        criterion:
            What models are sorted by, a name or a callable. Default: that of the search.
        loss_name:
            Name of the losses, and their unit if there is one. Default: the study's metric name,
            else ``"loss"`` or, if it is maximised, ``"objective value"``.

    Returns:
        The figure; an empty one, and a line in the log, without data, with losses of one model
        only, and without common instances.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has no allowed value.
    """
    check_count("n_models", n_models, minimum=1)
    models = models_of(source, criterion=criterion, loss_name=loss_name)
    return _get_instance_effect_plot(_get_instance_effect_info(models, n_models))


def _get_instance_effect_info(models: Models, n_models: int) -> _InstanceEffectInfo:
    fit = fit_additive(models.losses, common_instances=models.common_instances)
    freedom = fit.df.sum()
    noise_std = float(np.sqrt(np.nansum(fit.s2 * fit.df) / freedom)) if freedom else math.nan
    # A model with one loss differs from its level by nothing.
    several = models.counts >= 2
    rows = [row for row in models.ranked if several[row]][:n_models]
    finite = np.where(np.isfinite(models.losses), models.losses, np.nan)
    differences, failed = [], []
    for place, row in enumerate(rows):
        without = finite[row] - fit.effects
        level = float(np.nanmean(without)) if not np.isnan(without).all() else math.nan
        differences.append((finite[row] - level).tolist())
        failed += [
            (models.instances[column], place)
            for column in np.flatnonzero(np.isinf(models.losses[row]))
        ]
    return _InstanceEffectInfo(
        instances=list(models.instances),
        effects=fit.effects.tolist(),
        numbers=[models.numbers[row] for row in rows],
        differences=differences,
        failed=failed,
        finished=models.finished[rows].tolist(),
        hovers=_style.hovers(models.rows(rows)),
        effect_std=_effect_std(fit, noise_std),
        noise_std=noise_std,
        n_models=len(models.numbers),
        noun=models.noun,
        loss_name=models.loss_name,
        direction=models.direction,
        group_names=models.group_names,
        why_not=_why_not(models),
    )


def _effect_std(fit: AdditiveFit, noise_std: float) -> float:
    """Return the standard deviation of effects without the noise in their estimates.

    Estimated effects that sum to zero have, in expectation, a variance that is that of the effects
    and the sum of the variances of their errors, divided by their number less one (an estimate
    of a variance component by moments; Searle, Casella & McCulloch 1992).
    """
    known = ~np.isnan(fit.effects)
    n = int(np.count_nonzero(known))
    if n < 2:
        return math.nan
    errors = noise_std**2 * float(np.diag(fit.effects_covariance)[known].sum()) / (n - 1)
    variance = float(np.var(fit.effects[known], ddof=1)) - errors
    return math.nan if math.isnan(variance) else math.sqrt(max(0.0, variance))


def _why_not(models: Models) -> str:
    """Return why effects cannot be told from models or noise; an empty text if they can."""
    n_finite = np.count_nonzero(np.isfinite(models.losses), axis=1)
    if not models.common_instances:
        return f"Every {models.noun} had instances of its own (reshuffle=True): none are common."
    if not models.counts.any():
        return _style.no_losses(len(models.numbers), models.noun)
    if not n_finite.any():
        return "All instances failed."
    if models.counts.max() < 2:
        return f"Every {models.noun} has one instance: it cannot be told from the {models.noun}."
    if np.count_nonzero(n_finite >= 2) < 2:
        return f"Effects of instances need two {models.noun}s with two losses each."
    return ""


def _get_instance_effect_plot(info: _InstanceEffectInfo) -> go.Figure:
    name = _style.escaped(info.loss_name, 40)
    title, x_title, y_title = f"{_TITLE} on {name}", "instance number", "effect"
    differences = np.array(info.differences, dtype=np.float64)
    if info.why_not or np.isnan(differences).all():
        return _style.empty(title, info.why_not or "All instances failed.", x_title, y_title)
    n = len(info.numbers)
    labelled = list(range(0, n, math.ceil(n / _MOST_LABELS)))
    first, last = min(info.instances) - 0.5, max(info.instances) + 0.5
    marks_at = first - _MARK_GAP * (last - first)
    ends = [first - 2 * _MARK_GAP * (last - first), last]
    figure = _style.new_figure(
        title,
        f"effects of instances have a standard deviation of {_style.number(info.effect_std)}, "
        f"what is left {_style.number(info.noise_std)}; red is worse"
        + (", grey not trained" if np.isnan(differences).any() else ""),
        xaxis=_style.axis("", range=ends, showticklabels=False, anchor="y"),
        xaxis2=_style.axis(x_title, range=ends, tickformat="d", anchor="y2", showgrid=False),
        yaxis=_style.axis(y_title, domain=[0.7, 1.0], zeroline=True, zerolinecolor=_style.GREY),
        yaxis2=_style.axis(
            f"{info.noun}, the best on top",
            domain=[0.0, 0.64],
            anchor="x2",
            range=[n - 0.5, -0.5],
            tickvals=labelled,
            ticktext=[str(info.numbers[place]) for place in labelled],
            showgrid=False,
        ),
        margin={"l": 60, "r": 20, "t": 76, "b": 50},
    )
    if np.isnan(differences).any():
        # White is no difference; what was not trained has another colour.
        figure.add_shape(
            type="rect",
            x0=first,
            x1=last,
            y0=-0.5,
            y1=n - 0.5,
            xref="x2",
            yref="y2",
            layer="below",
            line={"width": 0},
            fillcolor="#D0D0D0",
        )
    _add_effects(figure, info)
    _add_heat_map(figure, info, differences)
    _add_marks(figure, info, marks_at)
    _add_failures(figure, info)
    return figure


def _add_effects(figure: go.Figure, info: _InstanceEffectInfo) -> None:
    worse_is_positive = info.direction == "minimize"
    figure.add_trace(
        go.Bar(
            x=info.instances,
            y=info.effects,
            marker={
                "color": [
                    _style.VERMILLION if (effect > 0) == worse_is_positive else _style.BLUE
                    for effect in info.effects
                ]
            },
            hovertemplate="instance %{x}: %{y:+.3g}<extra></extra>",
            showlegend=False,
        )
    )


def _add_heat_map(figure: go.Figure, info: _InstanceEffectInfo, differences: FloatArray) -> None:
    colors = [_style.BLUE, "#FFFFFF", _style.VERMILLION]
    if info.direction != "minimize":
        colors.reverse()
    sizes = np.abs(differences[~np.isnan(differences)])
    full = float(np.quantile(sizes, _FULL_COLOR)) or float(sizes.max()) or 1.0
    figure.add_trace(
        go.Heatmap(
            x=info.instances,
            y=list(range(len(info.numbers))),
            z=differences.astype(np.float32),
            zmin=-full,
            zmax=full,
            colorscale=[[place / 2, color] for place, color in enumerate(colors)],
            colorbar={
                "title": {"text": f"difference from<br>the {info.noun}'s level"},
                "len": 0.64,
                "y": 0.32,
                "thickness": 14,
            },
            customdata=np.repeat(np.array(info.numbers, np.int32), len(info.instances)).reshape(
                differences.shape
            ),
            hovertemplate=f"{info.noun} %{{customdata}}, instance %{{x}}: "
            "%{z:+.3g}<extra></extra>",
            xaxis="x2",
            yaxis="y2",
        )
    )


def _add_marks(figure: go.Figure, info: _InstanceEffectInfo, at: float) -> None:
    """Add a mark for each model, which tells its number, n and hyperparameters."""
    for group, color, finished in zip(
        info.group_names, (_style.FINISHED, _style.STOPPED), (True, False), strict=True
    ):
        places = [place for place in range(len(info.numbers)) if info.finished[place] == finished]
        if places:
            figure.add_trace(
                go.Scatter(
                    x=np.full(len(places), at),
                    y=places,
                    mode="markers",
                    marker={"color": color, "size": 7, "symbol": "square"},
                    hovertext=[info.hovers[place] for place in places],
                    hoverinfo="text",
                    name=group,
                    showlegend=True,
                    xaxis="x2",
                    yaxis="y2",
                )
            )


def _add_failures(figure: go.Figure, info: _InstanceEffectInfo) -> None:
    if info.failed:
        figure.add_trace(
            go.Scatter(
                x=[instance for instance, _ in info.failed],
                y=[place for _, place in info.failed],
                mode="markers",
                marker={"symbol": "x", "color": _style.BLACK, "size": 7},
                hovertext=[
                    f"{info.noun} {info.numbers[place]}, instance {instance}: failed"
                    for instance, place in info.failed
                ],
                hoverinfo="text",
                name="failed",
                showlegend=True,
                xaxis="x2",
                yaxis="y2",
            )
        )
