"""Level against spread of every model: what is good, what is stable, and what is both."""

from __future__ import annotations

from typing import NamedTuple
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]

from optuna_robust._base.arguments import check_count
from optuna_robust._base.arrays import FloatArray
from optuna_robust._reporting.visualization import _style
from optuna_robust._reporting.visualization._models import CriterionLike
from optuna_robust._reporting.visualization._models import display_sign
from optuna_robust._reporting.visualization._models import Models
from optuna_robust._reporting.visualization._models import models_of
from optuna_robust._search.confirmation import ConfirmationResult
from optuna_robust._statistics.comparison import value_at
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion
from optuna_robust._statistics.criteria import identical


if TYPE_CHECKING:
    from optuna.study import Study

    from optuna_robust._search.selection import SelectionResult


_TITLE = "Level and spread"
# Above the widest spread, as a share of the axis, which begins at 0: markers are not cut there.
_ROOM = 0.03


class _Confirmed(NamedTuple):
    """A model on fresh instances, as of equally many as the search had of it."""

    number: int
    level: float
    spread: float
    hover: str


class _LevelSpreadInfo(NamedTuple):
    """Models with a spread, in the order of their numbers; ``front`` and ``best`` index them.

    ``n_added`` of those that are shown are not among the best ones, but in the front.
    """

    numbers: list[int]
    levels: list[float]
    spreads: list[float]
    finished: list[bool]
    hovers: list[str]
    front: list[int]
    best: int | None
    confirmed: list[_Confirmed]
    n_models: int
    n_without_spread: int
    n_added: int
    noun: str
    group_names: tuple[str, str]
    loss_name: str
    direction: str
    level_name: str
    spread_name: str
    criterion: str


def plot_level_spread(
    source: Study | SelectionResult,
    *,
    n_models: int = 1000,
    criterion: CriterionLike | None = None,
    loss_name: str | None = None,
    level: str = "median",
    spread: str = "iqr",
    confirmation: ConfirmationResult | None = None,
) -> go.Figure:
    """Plot where every model's losses lie against how widely they are spread.

    The line joins the models that no other one beats in both (the Pareto front). Look at where it
    bends: there, a little quality buys much stability. Spreads of few instances are smaller and
    uncertain: stopped models are grey and not in the front. Nor are models whose losses are all
    the same: they fix their own seed, and tell nothing of their spread. Confirmed models are shown
    again where their fresh instances put them: level and spread that are to be expected of as many
    of these as the search had of the model, since spreads of other numbers of instances cannot be
    compared (of all of them, if the search had more, or no spread). What is far off the others, or
    infinite because instances failed, is a triangle at the edge.

    Example:
        >>> import optuna
        >>> import optuna_robust as opr
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> def objective(trial, instance):
        ...     x = trial.suggest_float("x", -1, 1)
        ...     return x**2 + (0.1 + abs(x)) * instance.rng.normal()
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(opr.MultiInstanceObjective(objective, n_instances=5), n_trials=3)
        >>> figure = opr.visualization.plot_level_spread(study)
        >>> figure.layout.yaxis.title.text
        'IQR of loss (smaller is better)'

    Args:
        source:
            A study, or what :func:`~optuna_robust.robust_select` found. Without recorded
            instances, a trial's intermediate values are losses and its steps instance numbers.
        n_models:
            Most models that are shown, the best ones, and the Pareto front of all models.
            Default: 1000.
        criterion:
            What the best model is chosen by, a name or a callable. Default: that of the search.
        loss_name:
            Name of the losses, and their unit if there is one. Default: the study's metric name,
            else ``"loss"`` or, if it is maximised, ``"objective value"``.
        level:
            A criterion of level. Default: ``"median"``.
        spread:
            A criterion of spread. Default: ``"iqr"``.
        confirmation:
            What :func:`~optuna_robust.confirm` found. Default: what the study keeps of it.

    Returns:
        The figure; an empty one, and a line in the log, without data.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has no allowed value.
    """
    check_count("n_models", n_models, minimum=1)
    of_level, of_spread = get_criterion(level), get_criterion(spread)
    for name, chosen, kind in (("level", of_level, "level"), ("spread", of_spread, "spread")):
        if chosen.kind != kind:
            raise ValueError(f"{name} must be a criterion of {kind}, but was {chosen.name!r}.")
    if confirmation is not None and not isinstance(confirmation, ConfirmationResult):
        raise TypeError(
            "confirmation must be a ConfirmationResult, but was of type "
            f"{type(confirmation).__name__}."
        )
    models = models_of(source, criterion=criterion, loss_name=loss_name)
    return _get_level_spread_plot(
        _get_level_spread_info(models, n_models, of_level, of_spread, confirmation)
    )


def _get_level_spread_info(
    models: Models,
    n_models: int,
    level: Criterion,
    spread: Criterion,
    confirmation: ConfirmationResult | None,
) -> _LevelSpreadInfo:
    levels, spreads = models.values(level), models.values(spread)
    # Identical losses say nothing on a model's spread (it fixes its own seed).
    eligible = models.finished & ~np.isnan(spreads) & ~identical(models.oriented)
    front = _front(models.sign * levels, spreads, eligible)
    best_rows = models.ranked[:n_models].tolist()
    added = sorted(set(front).difference(best_rows))
    chosen = [*best_rows, *added]
    shown = models.rows(chosen)
    place = {row: i for i, row in enumerate(chosen)}
    levels, spreads = levels[chosen], spreads[chosen]
    has_spread = ~np.isnan(spreads)
    rows = sorted(np.flatnonzero(has_spread).tolist(), key=lambda row: shown.numbers[row])
    position = {row: i for i, row in enumerate(rows)}
    best = models.best
    hovers = _style.hovers(shown, level, spread)
    return _LevelSpreadInfo(
        numbers=[shown.numbers[row] for row in rows],
        levels=levels[rows].tolist(),
        spreads=spreads[rows].tolist(),
        finished=shown.finished[rows].tolist(),
        hovers=[hovers[row] for row in rows],
        front=[position[place[row]] for row in front],
        best=None if best is None else position.get(place[best]),
        confirmed=_confirmed(models, level, spread, confirmation or models.confirmation),
        n_models=len(models.numbers),
        n_without_spread=int(np.count_nonzero(~has_spread)),
        n_added=len(added),
        noun=models.noun,
        group_names=models.group_names,
        loss_name=models.loss_name,
        direction=models.direction,
        level_name=_style.criterion_label(level, models.direction),
        spread_name=_style.criterion_label(spread, models.direction),
        criterion=_style.criterion_label(models.criterion, models.direction),
    )


def _front(
    levels: FloatArray, spreads: FloatArray, eligible: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> list[int]:
    """Return the rows that no other one is better than in both, by level; both are minimised."""
    front: list[int] = []
    for row in np.lexsort((spreads, levels)):
        if not eligible[row] or not np.isfinite(levels[row]) or not np.isfinite(spreads[row]):
            continue
        if not front or spreads[row] < spreads[front[-1]]:
            front.append(int(row))
    return front


def _confirmed(
    models: Models,
    level: Criterion,
    spread: Criterion,
    confirmation: ConfirmationResult | None,
) -> list[_Confirmed]:
    if confirmation is None:
        return []
    searched = dict(zip(models.numbers, models.counts.tolist(), strict=True))
    least = max(level.min_instances, spread.min_instances)
    found = []
    for model, losses in zip(confirmation.models, confirmation.losses, strict=True):
        n_fresh = int(np.count_nonzero(~np.isnan(losses)))
        n_search = searched.get(model.index, 0)
        n = n_search if least <= n_search <= n_fresh else n_fresh
        if n < least:
            continue
        of_level, of_spread = (
            display_sign(each, models.direction) * value_at(models.sign * losses, each, n)
            for each in (level, spread)
        )
        told = [
            f"{_style.criterion_label(each, models.direction)} {_style.number(value)}"
            for each, value in ((level, of_level), (spread, of_spread))
        ]
        of = f"n = {n_fresh} fresh instances" + (f", values as of {n}" if n < n_fresh else "")
        infeasible = "" if model.violation == 0.0 else ", but infeasible"
        title = f"<b>{models.noun} {model.index}, confirmed{infeasible}</b>"
        hover = "<br>".join([title, *told, of, *_style.params_lines(model.params)])
        if not np.isnan([of_level, of_spread]).any():
            found.append(_Confirmed(model.index, of_level, of_spread, hover))
    return found


def _get_level_spread_plot(info: _LevelSpreadInfo) -> go.Figure:
    x_title = _style.loss_axis(info.loss_name, info.direction, info.level_name)
    y_title = _style.loss_axis(info.loss_name, "minimize", info.spread_name)
    sign = -1 if info.direction == "maximize" else 1
    levels = np.array([*info.levels, *(model.level for model in info.confirmed)])
    spreads = np.array([*info.spreads, *(model.spread for model in info.confirmed)])
    x_scale, y_scale = _style.scale_of(levels, sign), _style.scale_of(spreads, 1)
    if x_scale is None or y_scale is None:
        return _style.empty(_TITLE, _why_empty(info), x_title, y_title)
    x = _style.on_scale(levels, x_scale, sign)
    y = _style.on_scale(spreads, y_scale, 1)
    off = _style.off_scale(levels, x_scale, sign) | _style.off_scale(spreads, y_scale, 1)
    n = len(info.numbers)
    n_best = n + info.n_without_spread - info.n_added
    told = _style.best_of(n_best, info.n_models, info.noun)
    if info.n_added:
        told += f" and {info.n_added} more of the Pareto front"
    if info.n_without_spread:
        told += f", {info.n_without_spread} of them without a spread: one instance"
    bottom = min(0.0, y_scale.low)
    figure = _style.new_figure(
        _TITLE,
        f"{told}; good and stable is {'right' if sign < 0 else 'left'} and low",
        xaxis=_style.axis(x_title, range=[x_scale.low, x_scale.high]),
        yaxis=_style.axis(y_title, range=[bottom, y_scale.high + _ROOM * (y_scale.high - bottom)]),
    )
    finished = np.array(info.finished, dtype=np.bool_)
    groups = (
        (info.group_names[1], ~finished & ~off[:n], {"color": _style.STOPPED, "size": 5}),
        (info.group_names[0], finished & ~off[:n], {"color": _style.FINISHED, "size": 7}),
        (
            "failed or off the scale",
            off[:n],
            {"color": _style.BLACK, "size": 8, "symbol": "triangle-up-open"},
        ),
    )
    for label, chosen, marker in groups:
        rows = np.flatnonzero(chosen)
        if len(rows):
            figure.add_trace(
                _markers(x[rows], y[rows], [info.hovers[i] for i in rows], label, marker)
            )
    if info.best is not None:
        marker = {
            "color": _style.BEST,
            "size": 14,
            "symbol": "star",
            "line": {"color": _style.BLACK, "width": 1},
        }
        figure.add_trace(
            _markers(
                x[[info.best]],
                y[[info.best]],
                [info.hovers[info.best]],
                f"best by {info.criterion}",
                marker,
            )
        )
    if len(info.front) > 1:
        front = [i for i in info.front if not off[i]]
        figure.add_trace(
            go.Scatter(
                x=x[front],
                y=y[front],
                mode="lines",
                line={"color": _style.BLACK, "width": 1.5, "dash": "dot"},
                hoverinfo="skip",
                name="Pareto front",
            )
        )
    if info.confirmed:
        figure.add_traces(_confirmed_traces(info, x, y))
    return figure


def _why_empty(info: _LevelSpreadInfo) -> str:
    if info.n_without_spread:
        return f"Every {info.noun} has one instance: there is no spread to show."
    return (
        "So many instances failed that no spread is finite."
        if info.numbers
        else _style.no_losses(info.n_models, info.noun)
    )


def _markers(
    x: FloatArray,
    y: FloatArray,
    hovers: list[str],
    name: str,
    marker: dict[str, object],
) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        marker=marker,
        hovertext=hovers,
        hoverinfo="text",
        name=name,
    )


def _confirmed_traces(info: _LevelSpreadInfo, x: FloatArray, y: FloatArray) -> list[go.Scatter]:
    """Return the confirmed models, and lines from where the search had found them."""
    n = len(info.numbers)
    position = {number: i for i, number in enumerate(info.numbers)}
    line_x: list[float | None] = []
    line_y: list[float | None] = []
    for i, model in enumerate(info.confirmed, start=n):
        if model.number in position:
            at = position[model.number]
            line_x += [float(x[at]), float(x[i]), None]
            line_y += [float(y[at]), float(y[i]), None]
    lines = go.Scatter(
        x=line_x,
        y=line_y,
        mode="lines",
        line={"color": _style.CONFIRMED, "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    marker = {
        "color": _style.CONFIRMED,
        "size": 10,
        "symbol": "diamond",
        "line": {"color": _style.BLACK, "width": 1},
    }
    hovers = [model.hover for model in info.confirmed]
    return [lines, _markers(x[n:], y[n:], hovers, "confirmed, fresh instances", marker)]
