"""Learning curves of the best models' instances."""

from __future__ import annotations

from typing import NamedTuple
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go  # type: ignore[import-untyped]

from optuna_robust._base.arguments import check_count
from optuna_robust._base.arguments import check_text
from optuna_robust._reporting.visualization import _style
from optuna_robust._reporting.visualization._curves import Curves
from optuna_robust._reporting.visualization._curves import curves_of
from optuna_robust._reporting.visualization._models import CriterionLike
from optuna_robust._statistics.criteria import get_criterion


if TYPE_CHECKING:
    from optuna.study import Study

    from optuna_robust._running.store import InstanceStore
    from optuna_robust._search.selection import SelectionResult


_TITLE = "Learning curves"
# Of longer curves, and of many, fewer epochs are drawn.
_MOST_EPOCHS = 200
_MOST_POINTS = 10_000


class _ModelCurves(NamedTuple):
    """One model: values by instance number, and their median over the instances."""

    number: int
    curves: dict[int, list[float]]
    medians: list[float]
    hover: str


class _LearningCurvesInfo(NamedTuple):
    """NaN is an epoch of which nothing was reported."""

    models: list[_ModelCurves]
    epochs: list[int]
    n_models: int
    noun: str
    value_name: str
    step_name: str
    direction: str
    criterion: str


def plot_learning_curves(
    source: Study | SelectionResult | npt.ArrayLike,
    *,
    store: InstanceStore | None = None,
    n_models: int = 3,
    criterion: CriterionLike | None = None,
    direction: str | None = None,
    value_name: str | None = None,
    step_name: str = "epoch",
) -> go.Figure:
    """Plot the learning curves of the best models' instances.

    Thin lines are instances, thick ones their medians. Look where the bundles of two models come
    apart: before, the epochs cannot tell which one is better.

    Example:
        >>> import numpy as np
        >>> import optuna_robust as opr
        >>> curves = 1 / np.arange(1, 11) + np.random.default_rng(0).normal(0, 0.1, (4, 5, 10))
        >>> opr.visualization.plot_learning_curves(curves).layout.xaxis.title.text
        'epoch'

    Args:
        source:
            A study; what :func:`~optuna_robust.robust_select` found, with ``store``; or the
            curves themselves, shape ``(n_models, n_instances, n_epochs)``, NaN where nothing was
            reported.
        store:
            The :class:`~optuna_robust.InstanceStore` that the search was run with, which keeps all
            that objectives report by ``trial.report``. Default: what a study's trials keep, at
            most 200 points of an instance and 2000 of a trial.
        n_models:
            Number of models, the best ones.
        criterion:
            What the best are chosen by. Default: that of the search; of curves alone, q3+iqr of
            the last epoch.
        direction:
            Which way of the curves is better, ``"minimize"`` or ``"maximize"``, if it is not that
            of the losses.
        value_name:
            Name of the values, and their unit if there is one. Default: as the losses.
        step_name:
            Name of the steps.

    Returns:
        The figure; an empty one, and a line in the log, without data.

    Raises:
        TypeError: If an argument has the wrong type, or ``store`` is missing for a selection.
        ValueError: If an argument has no allowed value.
    """
    check_count("n_models", n_models, minimum=1)
    check_text("step_name", step_name)
    curves = curves_of(
        source, store=store, criterion=criterion, direction=direction, value_name=value_name
    )
    return _get_learning_curves_plot(_get_learning_curves_info(curves, n_models, step_name))


def _get_learning_curves_info(
    curves: Curves, n_models: int, step_name: str = "epoch"
) -> _LearningCurvesInfo:
    n_epochs = len(curves.epochs)
    most = max(20, _MOST_POINTS // max(1, n_models * len(curves.instances)))
    n_kept = min(n_epochs, most, _MOST_EPOCHS)
    kept = np.unique(np.linspace(0, n_epochs - 1, n_kept).round().astype(int))
    values = curves.values[:, :, kept]
    medians = curves.sign * get_criterion("median")(curves.sign * np.moveaxis(values, 1, 2))
    has_any = np.asarray((~np.isnan(values)).any(axis=(1, 2)))
    rows = [int(row) for row in curves.models.ranked if has_any[row]]
    shown = curves.models.rows(rows[:n_models])
    return _LearningCurvesInfo(
        models=[
            _ModelCurves(
                number=curves.models.numbers[row],
                curves={
                    number: values[row, column].tolist()
                    for column, number in enumerate(curves.instances)
                    if not np.isnan(values[row, column]).all()
                },
                medians=medians[row].tolist(),
                hover=hover,
            )
            for row, hover in zip(rows, _style.hovers(shown), strict=False)
        ],
        epochs=[curves.epochs[place] for place in kept],
        n_models=len(rows),
        noun=curves.models.noun,
        value_name=curves.value_name,
        step_name=step_name,
        direction=curves.direction,
        criterion=_style.criterion_label(curves.models.criterion, curves.models.direction),
    )


def _get_learning_curves_plot(info: _LearningCurvesInfo) -> go.Figure:
    x_title = _style.escaped(info.step_name)
    y_title = _style.loss_axis(info.value_name, info.direction)
    sign = -1 if info.direction == "maximize" else 1
    values = np.array([v for m in info.models for curve in m.curves.values() for v in curve])
    scale = _style.scale_of(values, sign)
    if scale is None:
        reason = "Every curve diverged at once." if info.models else "No learning curves."
        return _style.empty(_TITLE, reason, x_title, y_title)
    told = f"{_style.best_of(len(info.models), info.n_models, info.noun)} by {info.criterion}; "
    told += "thin: an instance, thick: the median of them"
    figure = _style.new_figure(
        _TITLE,
        told,
        xaxis=_style.axis(x_title, range=_style.padded(info.epochs)),
        yaxis=_style.axis(y_title, range=[scale.low, scale.high]),
    )
    if _style.off_scale(values, scale, sign).any():
        _style.mark_edge(figure, scale)
    for place, model in enumerate(info.models):
        color = _style.SERIES[place % len(_style.SERIES)]
        figure.add_trace(_instance_lines(info, model, scale, color))
    for place, model in enumerate(info.models):
        color = _style.SERIES[place % len(_style.SERIES)]
        dash = _style.DASHES[place // len(_style.SERIES) % len(_style.DASHES)]
        medians = np.array(model.medians)
        last = int(np.flatnonzero(~np.isnan(medians))[-1])
        figure.add_trace(
            go.Scatter(
                x=info.epochs,
                y=_style.on_scale(medians, scale, sign),
                mode="lines+markers",
                line={"color": color, "width": 3, "dash": dash},
                marker={"size": [9 if i == last else 0 for i in range(len(medians))]},
                hovertext=[
                    f"{x_title} {epoch}, median {_style.number(value)}<br>"
                    + (model.hover if i == last else f"{info.noun} {model.number}")
                    for i, (epoch, value) in enumerate(
                        zip(info.epochs, model.medians, strict=True)
                    )
                ],
                hoverinfo="text",
                name=f"{info.noun} {model.number}",
            )
        )
    return figure


def _instance_lines(
    info: _LearningCurvesInfo, model: _ModelCurves, scale: _style.Scale, color: str
) -> go.Scatter:
    """Return all instances of a model as one line with gaps."""
    sign = -1 if info.direction == "maximize" else 1
    n_curves = len(model.curves)
    gap = [np.nan]
    return go.Scatter(
        x=np.tile([*info.epochs, np.nan], n_curves).astype(np.float32),
        y=np.concatenate(
            [[*_style.on_scale(np.array(c), scale, sign), *gap] for c in model.curves.values()]
        ),
        customdata=np.repeat(list(model.curves), len(info.epochs) + 1).astype(np.int32),
        hovertemplate=f"{info.noun} {model.number}, instance %{{customdata}}<br>"
        "%{x}: %{y:.4g}<extra></extra>",
        mode="lines",
        line={"color": color, "width": 1},
        opacity=0.35,
        showlegend=False,
    )
