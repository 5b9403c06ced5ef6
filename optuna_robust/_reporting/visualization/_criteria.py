"""What share of models is at least so good, by six criteria."""

from __future__ import annotations

from typing import NamedTuple
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]

from optuna_robust._base.arguments import check_count
from optuna_robust._base.wording import counted
from optuna_robust._reporting.visualization import _style
from optuna_robust._reporting.visualization._models import Models
from optuna_robust._reporting.visualization._models import models_of
from optuna_robust._statistics.criteria import CRITERIA


if TYPE_CHECKING:
    from optuna.study import Study

    from optuna_robust._search.selection import SelectionResult


_TITLE = "Criteria"
_CRITERIA = ("min", "median", "mean", "q3", "q3+iqr", "max")
# Of more models so many quantiles are drawn.
_MOST_POINTS = 100


class _CriterionValues(NamedTuple):
    """Values of the models that have one, the best first; infinite ones are the worst."""

    name: str
    values: list[float]


class _CriteriaInfo(NamedTuple):
    criteria: list[_CriterionValues]
    n_compared: int
    n_models: int
    n_instances: int
    noun: str
    loss_name: str
    direction: str


def plot_criteria(
    source: Study | SelectionResult,
    *,
    n_instances: int | None = None,
    loss_name: str | None = None,
) -> go.Figure:
    """Plot the share of models that are at least so good, by six criteria.

    The farther a curve lies from that of the best instance, the more models vary between their
    instances; a criterion whose curve is flat tells models apart, a steep one does not. Criteria
    of different numbers of instances cannot be compared: all are of the first ``n_instances`` of
    the models that have so many. Infeasible models count only where none is feasible.

    Example:
        >>> import optuna
        >>> import optuna_robust as opr
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> def objective(trial, instance):
        ...     return trial.suggest_float("x", -1, 1) ** 2 + 0.1 * instance.rng.normal()
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(opr.MultiInstanceObjective(objective, n_instances=5), n_trials=3)
        >>> [trace.name for trace in opr.visualization.plot_criteria(study).data]
        ['best', 'median', 'mean', 'Q3', 'Q3 + IQR', 'worst']

    Args:
        source:
            A study, or what :func:`~optuna_robust.robust_select` found. Without recorded
            instances, a trial's intermediate values are losses and its steps instance numbers.
        n_instances:
            Of how many instances criteria are. Fewer leave more models to compare, since stopped
            ones are among them. Default: as many as all models have that were evaluated to the
            end.
        loss_name:
            Name of the losses, and their unit if there is one. Default: the study's metric name,
            else ``"loss"`` or, if it is maximised, ``"objective value"``.

    Returns:
        The figure; an empty one, and a line in the log, without data.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``n_instances`` is not positive.
    """
    if n_instances is not None:
        check_count("n_instances", n_instances, minimum=1)
    models = models_of(source, loss_name=loss_name)
    return _get_criteria_plot(_get_criteria_info(models, n_instances))


def _get_criteria_info(models: Models, n_instances: int | None) -> _CriteriaInfo:
    noun, models = models.rivals_noun, models.rows(models.rivals.tolist())
    if n_instances is None:
        counts = models.counts[models.finished] if models.finished.any() else models.counts
        n_instances = int(counts[counts > 0].min(initial=models.counts.max(initial=0)))
    compared = models.oriented[(models.counts >= n_instances) & (models.counts > 0)]
    # The first ones of every model, in their order.
    first = np.cumsum(~np.isnan(compared), axis=1) <= n_instances
    compared = np.where(first, compared, np.nan)
    found = []
    for name in _CRITERIA:
        values = CRITERIA[name](compared)
        ordered = models.sign * np.sort(values[~np.isnan(values)])
        if len(ordered):
            label = _style.criterion_label(CRITERIA[name], models.direction)
            found.append(_CriterionValues(label, ordered.tolist()))
    return _CriteriaInfo(
        criteria=found,
        n_compared=len(compared),
        n_models=len(models.numbers),
        n_instances=n_instances,
        noun=noun,
        loss_name=models.loss_name,
        direction=models.direction,
    )


def _get_criteria_plot(info: _CriteriaInfo) -> go.Figure:
    x_title = _style.loss_axis(info.loss_name, info.direction, "criterion")
    y_title = f"{info.noun}s at least so good (%)"
    sign = -1 if info.direction == "maximize" else 1
    scale = _style.scale_of(np.array([v for each in info.criteria for v in each.values]), sign)
    if scale is None:
        reason = (
            "All criteria are infinite: instances failed."
            if info.criteria
            else f"No {info.noun} has {counted(info.n_instances, 'instance')}."
            if info.n_models
            else f"No {info.noun} has finished."
        )
        return _style.empty(_TITLE, reason, x_title, y_title)
    figure = _style.new_figure(
        _TITLE,
        f"{info.n_compared} of {counted(info.n_models, info.noun)}, those with at least "
        + (
            "1 instance: all criteria are the same"
            if info.n_instances == 1
            else f"{info.n_instances} instances, of which the first {info.n_instances} count"
        ),
        xaxis=_style.axis(x_title, range=[scale.low, scale.high]),
        yaxis=_style.axis(y_title, range=[0, 103]),
    )
    order = (_style.SKY, _style.BLUE, _style.GREEN, _style.ORANGE, _style.VERMILLION, _style.BLACK)
    labels = {_style.criterion_label(CRITERIA[c], info.direction): c for c in _CRITERIA}
    for each in info.criteria:
        place = _CRITERIA.index(labels[each.name])
        shares, values = _steps(each.values)
        off = _style.off_scale(values, scale, sign)
        # Where the rest is off the scale, the curve ends below 100 %.
        drawn_x = np.where(off, scale.high if sign > 0 else scale.low, values)
        drawn_y = np.where(off, shares[~off].max(initial=0.0), shares)
        figure.add_trace(
            go.Scatter(
                x=drawn_x,
                y=100 * drawn_y,
                mode="lines",
                line={
                    "color": order[place],
                    "width": 2,
                    "dash": _style.DASHES[place],
                    "shape": "hv",
                },
                hovertext=[
                    f"{each.name} {_style.number(float(value))}<br>{share:.1%} of "
                    f"{counted(info.n_compared, info.noun)}, "
                    f"n = {counted(info.n_instances, 'instance')}"
                    for share, value in zip(shares, values, strict=True)
                ],
                hoverinfo="text",
                name=each.name,
            )
        )
    return figure


def _steps(values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return shares of models and the values that they reach, from 0 on; of many, quantiles."""
    n = len(values)
    rows = np.unique(np.linspace(0, n - 1, min(n, _MOST_POINTS)).round().astype(int))
    reached = np.array(values)[rows]
    return np.concatenate([[0.0], (rows + 1) / n]), np.concatenate([reached[:1], reached])
