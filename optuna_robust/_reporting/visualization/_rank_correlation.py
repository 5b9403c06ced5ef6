"""How well the ranking of models at an epoch foretells that of the last one."""

from __future__ import annotations

from typing import NamedTuple
from typing import TYPE_CHECKING
import warnings

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go  # type: ignore[import-untyped]

from optuna_robust._base.arrays import FloatArray
from optuna_robust._base.wording import counted
from optuna_robust._reporting.visualization import _style
from optuna_robust._reporting.visualization._curves import Curves
from optuna_robust._reporting.visualization._curves import curves_of


if TYPE_CHECKING:
    from optuna.study import Study

    from optuna_robust._running.store import InstanceStore
    from optuna_robust._search.selection import SelectionResult


_TITLE = "Rank correlation with the last epoch"


class _RankCorrelationInfo(NamedTuple):
    """Mean of tau over the instances, and its standard deviation, by epoch."""

    epochs: list[int]
    means: list[float]
    stds: list[float]
    n_instances: int
    n_models: int
    noun: str
    step_name: str


def plot_rank_correlation(
    source: Study | SelectionResult | npt.ArrayLike,
    *,
    store: InstanceStore | None = None,
    direction: str | None = None,
    step_name: str = "epoch",
) -> go.Figure:
    """Plot how well an epoch's ranking of the models agrees with that of the last epoch.

    Kendall's tau-b of the models' values at an epoch and at the last one: 1 is the same ranking, 0
    is chance. Models are ranked on the same instance, infeasible ones only where none is feasible;
    the line is the mean over instances, the band their standard deviation. Where it is low,
    pruning on epochs (Optuna's pruners inside an instance) drops models that would have been among
    the best; with one-cycle learning rates it was near 0 until shortly before the end (Boldyrev et
    al. 2025, doi:10.1109/ACCESS.2025.3578926).

    Example:
        >>> import numpy as np
        >>> import optuna_robust as opr
        >>> level = np.linspace(0, 1, 8)[:, None, None]
        >>> curves = level + np.random.default_rng(0).normal(0, 1, (8, 5, 10)) / np.arange(1, 11)
        >>> figure = opr.visualization.plot_rank_correlation(curves)
        >>> round(figure.data[-1].y[-1].item(), 6)
        1.0

    Args:
        source:
            A study; what :func:`~optuna_robust.robust_select` found, with ``store``; or learning
            curves, shape ``(n_models, n_instances, n_epochs)``, NaN where nothing was reported.
            Instances that fewer than half as many models have as the most frequent one are left
            out: those are survivors, which are more alike. So are instances that an
            ``instance_pruner`` let end: ask a study without one.
        store:
            The :class:`~optuna_robust.InstanceStore` that the search was run with, which keeps all
            that objectives report by ``trial.report``. Default: what a study's trials keep, at
            most 200 points of an instance and 2000 of a trial.
        direction:
            Which way of the curves is better, ``"minimize"`` or ``"maximize"``, if it is not that
            of the losses.
        step_name:
            Name of the steps.

    Returns:
        The figure; an empty one, and a line in the log, without curves of two models.

    Raises:
        TypeError: If an argument has the wrong type, or ``store`` is missing for a selection.
        ValueError: If an argument has no allowed value.
    """
    curves = curves_of(source, store=store, direction=direction, value_name=None)
    return _get_rank_correlation_plot(_get_rank_correlation_info(curves, step_name))


def _get_rank_correlation_info(curves: Curves, step_name: str = "epoch") -> _RankCorrelationInfo:
    rankable = curves.rankable()
    taus = np.array([_taus(values) for values in rankable])
    taus = taus.reshape(len(rankable), len(curves.epochs))
    known = ~np.isnan(taus).all(axis=0)
    return _RankCorrelationInfo(
        epochs=[epoch for epoch, seen in zip(curves.epochs, known, strict=True) if seen],
        means=np.nanmean(taus[:, known], axis=0).tolist(),
        stds=np.nanstd(taus[:, known], axis=0).tolist(),
        n_instances=len(rankable),
        n_models=max((len(values) for values in rankable), default=0),
        noun=curves.models.rivals_noun,
        step_name=step_name,
    )


def _taus(values: FloatArray) -> FloatArray:
    """Return tau-b of every epoch with the last, ``(n_epochs,)``; NaN of fewer than two models."""
    from scipy import stats  # noqa: PLC0415

    found = np.full(values.shape[1], np.nan)
    for epoch in range(values.shape[1]):
        there = ~np.isnan(values[:, epoch])
        if np.count_nonzero(there) >= 2:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a constant ranking has no tau
                tau = stats.kendalltau(values[there, epoch], values[there, -1]).statistic
            found[epoch] = tau
    return found


def _get_rank_correlation_plot(info: _RankCorrelationInfo) -> go.Figure:
    x_title = _style.escaped(info.step_name)
    y_title = f"Kendall's tau-b with the last {x_title}"
    if not info.epochs:
        reason = f"No learning curves of two {info.noun}s on the same instance."
        return _style.empty(_TITLE, reason, x_title, y_title)
    means, stds = np.array(info.means), np.array(info.stds)
    low, high = np.maximum(means - stds, -1.0), np.minimum(means + stds, 1.0)
    figure = _style.new_figure(
        _TITLE,
        f"{info.n_models} {info.noun}s, {counted(info.n_instances, 'instance')}; "
        "1: the same ranking, 0: chance",
        xaxis=_style.axis(x_title, range=_style.padded(info.epochs)),
        yaxis=_style.axis(y_title, range=[min(-0.1, float(low.min()) - 0.05), 1.05]),
    )
    add_reference(figure, info.epochs, 0.0, "chance")
    if info.n_instances > 1:
        add_band(figure, info.epochs, low, high)
    figure.add_trace(
        go.Scatter(
            x=info.epochs,
            y=means,
            mode="lines+markers",
            line={"color": _style.FINISHED, "width": 2.5},
            marker={"size": 5},
            hovertext=[
                f"{x_title} {epoch}<br>tau {mean:.3f} ± {std:.3f}<br>n = {info.n_models} "
                f"{info.noun}s, {counted(info.n_instances, 'instance')}"
                for epoch, mean, std in zip(info.epochs, info.means, info.stds, strict=True)
            ],
            hoverinfo="text",
            name="mean over instances",
        )
    )
    return figure


def add_reference(figure: go.Figure, epochs: list[int], level: float, name: str) -> None:
    """Draw a dotted line at a level."""
    figure.add_trace(
        go.Scatter(
            x=[epochs[0], epochs[-1]],
            y=[level, level],
            mode="lines",
            line={"color": _style.BLACK, "width": 1.2, "dash": "dot"},
            hoverinfo="skip",
            name=name,
        )
    )


def add_band(figure: go.Figure, epochs: list[int], low: FloatArray, high: FloatArray) -> None:
    """Draw what lies between two lines."""
    figure.add_trace(
        go.Scatter(
            x=[*epochs, *reversed(epochs)],
            y=np.concatenate([low, high[::-1]]),
            mode="lines",
            fill="toself",
            fillcolor=_style.faint(_style.FINISHED),
            line={"width": 0},
            hoverinfo="skip",
            name="± standard deviation over instances",
        )
    )
