"""How many of the best models at the last epoch are among the best at an earlier one."""

from __future__ import annotations

import math
from typing import NamedTuple
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go  # type: ignore[import-untyped]

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arrays import FloatArray
from optuna_robust._base.wording import counted
from optuna_robust._reporting.visualization import _style
from optuna_robust._reporting.visualization._curves import Curves
from optuna_robust._reporting.visualization._curves import curves_of
from optuna_robust._reporting.visualization._rank_correlation import add_band
from optuna_robust._reporting.visualization._rank_correlation import add_reference
from optuna_robust._statistics.criteria import is_better


if TYPE_CHECKING:
    from optuna.study import Study

    from optuna_robust._running.store import InstanceStore
    from optuna_robust._search.selection import SelectionResult


_TITLE = "Overlap of the best with those of the last epoch"


class _TopOverlapInfo(NamedTuple):
    """Mean over the instances, and standard deviation, by epoch; all are shares.

    ``best`` says which models count as the best.
    """

    epochs: list[int]
    means: list[float]
    stds: list[float]
    chance: float
    best: str
    n_instances: int
    n_models: int
    noun: str
    step_name: str


def plot_top_overlap(
    source: Study | SelectionResult | npt.ArrayLike,
    *,
    store: InstanceStore | None = None,
    share: float = 0.1,
    direction: str | None = None,
    step_name: str = "epoch",
) -> go.Figure:
    """Plot how many of the models that are best in the end are among the best at an epoch.

    The best ``share`` of the models at an epoch, and at the last one, on the same instance: which
    part do they have in common? The line is the mean over instances, the band their standard
    deviation; the dotted line is what chance gives. A pruner that keeps the best ``share`` at this
    epoch keeps that part of the models that it should (Boldyrev et al. 2025,
    doi:10.1109/ACCESS.2025.3578926). Models that are tied for the last places share them.
    Infeasible models count only where none is feasible.

    Example:
        >>> import numpy as np
        >>> import optuna_robust as opr
        >>> level = np.linspace(0, 1, 20)[:, None, None]
        >>> curves = level + np.random.default_rng(0).normal(0, 1, (20, 5, 10)) / np.arange(1, 11)
        >>> figure = opr.visualization.plot_top_overlap(curves, share=0.2)
        >>> figure.data[-1].y[-1].item()
        100.0

    Args:
        source:
            As in :func:`plot_rank_correlation`.
        store:
            The :class:`~optuna_robust.InstanceStore` that the search was run with, which keeps all
            that objectives report by ``trial.report``. Default: what a study's trials keep, at
            most 200 points of an instance and 2000 of a trial.
        share:
            Share of the models that count as the best, at least one model.
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
    check_between("share", share, 0.0, 1.0)
    curves = curves_of(source, store=store, direction=direction, value_name=None)
    return _get_top_overlap_plot(_get_top_overlap_info(curves, share, step_name))


def _get_top_overlap_info(
    curves: Curves, share: float, step_name: str = "epoch"
) -> _TopOverlapInfo:
    rankable = curves.rankable()
    overlaps = np.array([_overlaps(values, share) for values in rankable])
    overlaps = overlaps.reshape(len(rankable), len(curves.epochs))
    known = ~np.isnan(overlaps).all(axis=0)
    chances = [_n_best(len(values), share) / len(values) for values in rankable]
    return _TopOverlapInfo(
        epochs=[epoch for epoch, seen in zip(curves.epochs, known, strict=True) if seen],
        means=np.nanmean(overlaps[:, known], axis=0).tolist(),
        stds=np.nanstd(overlaps[:, known], axis=0).tolist(),
        chance=float(np.mean(chances)) if chances else math.nan,
        best=_best(sorted({len(values) for values in rankable}), share),
        n_instances=len(rankable),
        n_models=max((len(values) for values in rankable), default=0),
        noun=curves.models.rivals_noun,
        step_name=step_name,
    )


def _overlaps(values: FloatArray, share: float) -> FloatArray:
    """Return the shared part of the best at every epoch and at the last, ``(n_epochs,)``.

    A model of which nothing was reported at an epoch is not among the best there. A model is in
    common as far as it belongs to the best at both.
    """
    n_best = _n_best(len(values), share)
    in_the_end = _memberships(values[:, -1], n_best)
    found = np.full(values.shape[1], np.nan)
    for epoch in range(values.shape[1]):
        if np.count_nonzero(~np.isnan(values[:, epoch])) >= 2:
            then = _memberships(values[:, epoch], n_best)
            found[epoch] = np.minimum(in_the_end, then).sum() / n_best
    return found


def _memberships(values: FloatArray, n_best: int) -> FloatArray:
    """Return how far every model belongs to the best, ``(n_models,)``, from 0 to 1.

    Models that are tied at the cut have equal parts of the places that are left for them.
    """
    known = values[~np.isnan(values)]
    cut = np.sort(known)[min(n_best, len(known)) - 1]
    better = is_better(values, cut)
    tied = ~better & ~is_better(cut, values) & ~np.isnan(values)
    n_left = min(n_best, len(known)) - np.count_nonzero(better)
    return np.where(tied, n_left / np.count_nonzero(tied), better.astype(np.float64))


def _n_best(n_models: int, share: float) -> int:
    return max(1, round(share * n_models))


def _best(n_models: list[int], share: float) -> str:
    """Return which models count as the best; instances may have different numbers of models."""
    if len(n_models) == 1:
        return f"{_n_best(n_models[0], share)} of {n_models[0]}"
    return f"{share:.0%}"


def _get_top_overlap_plot(info: _TopOverlapInfo) -> go.Figure:
    x_title = _style.escaped(info.step_name)
    y_title = f"overlap of the best {info.best} (%)"
    if not info.epochs:
        reason = f"No learning curves of two {info.noun}s on the same instance."
        return _style.empty(_TITLE, reason, x_title, y_title)
    means, stds = 100 * np.array(info.means), 100 * np.array(info.stds)
    figure = _style.new_figure(
        _TITLE,
        f"{info.n_models} {info.noun}s, {counted(info.n_instances, 'instance')}; "
        "100 %: the same models are best as in the end",
        xaxis=_style.axis(x_title, range=_style.padded(info.epochs)),
        yaxis=_style.axis(y_title, range=[0, 105]),
    )
    add_reference(figure, info.epochs, 100 * info.chance, "chance")
    if info.n_instances > 1:
        low, high = np.maximum(means - stds, 0.0), np.minimum(means + stds, 100.0)
        add_band(figure, info.epochs, low, high)
    figure.add_trace(
        go.Scatter(
            x=info.epochs,
            y=means,
            mode="lines+markers",
            line={"color": _style.FINISHED, "width": 2.5},
            marker={"size": 5},
            hovertext=[
                f"{x_title} {epoch}<br>{mean:.0f} % ± {std:.0f} %<br>n = {info.n_models} "
                f"{info.noun}s, {counted(info.n_instances, 'instance')}"
                for epoch, mean, std in zip(info.epochs, means, stds, strict=True)
            ],
            hoverinfo="text",
            name="mean over instances",
        )
    )
    return figure
