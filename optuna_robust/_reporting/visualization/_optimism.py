"""What a search said of models, and what fresh instances say."""

from __future__ import annotations

import math
from typing import NamedTuple
from typing import TYPE_CHECKING

import numpy as np
from optuna.study import Study
import plotly.graph_objects as go  # type: ignore[import-untyped]

from optuna_robust._base.arguments import check_count
from optuna_robust._base.arguments import check_text
from optuna_robust._base.wording import counted
from optuna_robust._reporting.visualization import _style
from optuna_robust._reporting.visualization._models import kept_confirmation
from optuna_robust._search.confirmation import ConfirmationResult
from optuna_robust._statistics.comparison import bootstrap_interval
from optuna_robust._statistics.criteria import CRITERIA
from optuna_robust._statistics.criterion_names import shown_sign


if TYPE_CHECKING:
    from optuna_robust._search.confirmation import ConfirmedModel


_TITLE = "Optimism of the search"


class _Confirmed(NamedTuple):
    """A model: the search's estimate, what fresh instances say (with an interval)."""

    number: int
    search: float
    value: float
    low: float
    high: float
    optimism: float
    is_best: bool
    is_feasible: bool
    hover: str


class _OptimismInfo(NamedTuple):
    """``once``: the search trained every model once, which is compared with means.

    ``n_compared`` is the most instances that an optimism compares; others compare fewer if
    ``is_most``.
    """

    models: list[_Confirmed]
    n_models: int
    noun: str
    loss_name: str
    direction: str
    statistic: str
    confidence: float
    n_instances: int
    n_compared: int
    is_most: bool
    once: bool


def plot_optimism(
    source: Study | ConfirmationResult, *, n_models: int = 20, loss_name: str | None = None
) -> go.Figure:
    """Plot what the search said of its best models, and what fresh instances say.

    Diamonds are values on fresh instances, with intervals: the criterion, or the mean if the
    search trained every model once. The column at the right is the optimism: how much better the
    search had found the model, by the same statistic of equally many instances; positive is too
    optimistic. Circles lie so far from the diamonds: they are what the search would have found
    with as many instances as the fresh ones. The value that it did find is in the hover text; with
    more instances, a criterion such as q3+iqr grows by itself. If all circles lie on the better
    side, the search chose models that were lucky.

    Example:
        >>> import optuna
        >>> import optuna_robust as opr
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> def objective(trial, instance=opr.Instance(0)):
        ...     return trial.suggest_float("x", -1, 1) ** 2 + 0.2 * instance.rng.normal()
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(lambda t: objective(t, opr.Instance(t.number)), n_trials=9)
        >>> result = opr.confirm(study, objective, n_models=2, n_instances=8)
        >>> opr.visualization.plot_optimism(result).layout.xaxis.title.text
        'mean of loss (smaller is better)'

    Args:
        source:
            What :func:`~optuna_robust.confirm` found, or a study that keeps it.
        n_models:
            Number of models, in the order in which the search ranked them.
        loss_name:
            Name of the losses, and their unit if there is one. Default: the study's metric name,
            else ``"loss"`` or, if it is maximised, ``"objective value"``.

    Returns:
        The figure; an empty one, and a line in the log, if nothing was confirmed.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``n_models`` is not positive.
    """
    check_count("n_models", n_models, minimum=1)
    check_text("loss_name", loss_name)
    if isinstance(source, ConfirmationResult):
        return _get_optimism_plot(_get_optimism_info(source, n_models, "model", loss_name))
    if not isinstance(source, Study):
        raise TypeError(
            "plot_optimism takes the result of confirm or a study that keeps it, but got "
            f"{type(source).__name__}."
        )
    kept = kept_confirmation(source)
    if loss_name is None and len(source.directions) == 1 and source.metric_names:
        loss_name = source.metric_names[0]
    return _get_optimism_plot(_get_optimism_info(kept, n_models, "trial", loss_name))


def _get_optimism_info(
    confirmation: ConfirmationResult | None, n_models: int, noun: str, loss_name: str | None
) -> _OptimismInfo:
    if confirmation is None:
        return _OptimismInfo(
            [], 0, noun, loss_name or "loss", "minimize", "", 0.0, 0, 0, False, False
        )
    direction = confirmation.direction
    # One training before is compared with the mean of the fresh ones, not with a criterion.
    once = all(m.statistic == "mean" and m.n_compared == 1 for m in confirmation.models)
    name = "mean" if once else confirmation.criterion
    counts = [model.n_compared for model in confirmation.models]
    turned = shown_sign(name, direction)
    return _OptimismInfo(
        models=[
            _of_model(confirmation, place, noun, turned=turned, once=once)
            for place in range(min(n_models, len(confirmation.models)))
        ],
        n_models=len(confirmation.models),
        noun=noun,
        loss_name=loss_name or ("loss" if direction == "minimize" else "objective value"),
        direction="minimize" if turned < 0 else direction,
        statistic=_style.criterion_label(name, direction),
        confidence=confirmation.confidence,
        n_instances=len(confirmation.instance_numbers),
        n_compared=max(counts),
        is_most=min(counts) < max(counts),
        once=once,
    )


def _of_model(
    confirmation: ConfirmationResult, place: int, noun: str, *, turned: int, once: bool
) -> _Confirmed:
    model = confirmation.models[place]
    value, interval = model.value, model.interval
    if once:
        losses = confirmation.losses[place]
        value = float(CRITERIA["mean"](losses))
        interval = bootstrap_interval(losses, "mean", confidence=confirmation.confidence)
    low, high = sorted((turned * interval.low, turned * interval.high))
    criterion = _style.criterion_label(confirmation.criterion, confirmation.direction)
    sign = -1 if confirmation.direction == "maximize" else 1
    # Values at other numbers of instances differ by more than luck; optimism does not.
    search = value - sign * model.optimism
    is_known = math.isfinite(search)
    if not is_known:
        search = model.search_value
    return _Confirmed(
        number=model.index,
        search=turned * search,
        value=turned * value,
        low=low,
        high=high,
        optimism=model.optimism,
        is_best=place == confirmation.best_index,
        is_feasible=model.violation == 0.0,
        hover="<br>".join(
            [
                f"<b>{noun} {model.index}</b>",
                f"the search's value {_style.number(turned * model.search_value)}",
                *(
                    [f"as of n = {_n(confirmation, place)}: {_style.number(turned * search)}"]
                    if is_known and not once
                    else []
                ),
                *([f"confirmed mean {_style.number(value)}"] if once else []),
                f"confirmed {criterion} {_style.number(turned * model.value)}",
                f"n = {counted(_n(confirmation, place), 'fresh instance')}",
                *(
                    [f"infeasible: it violates its constraints by {model.violation:.4g}"]
                    if model.violation > 0.0
                    else []
                ),
                _optimism_text(model, confirmation.direction),
                f"the best of them with probability {model.probability_best:.2f}",
                *_style.params_lines(model.params),
            ]
        ),
    )


def _n(confirmation: ConfirmationResult, place: int) -> int:
    return int(np.count_nonzero(~np.isnan(confirmation.losses[place])))


def _optimism_text(model: ConfirmedModel, direction: str) -> str:
    told = "unknown" if math.isnan(model.optimism) else _signed(model.optimism)
    of = counted(model.n_compared, "instance")
    return f"optimism {told} ({_style.criterion_label(model.statistic, direction)} of {of})"


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.3g}".replace("-", "−").replace("inf", "∞")


def _get_optimism_plot(info: _OptimismInfo) -> go.Figure:
    x_title = _style.loss_axis(info.loss_name, info.direction, info.statistic or "criterion")
    y_title = f"{info.noun}, the search's best on top"
    sign = -1 if info.direction == "maximize" else 1
    values = np.array([each for m in info.models for each in (m.search, m.value)])
    scale = _style.scale_of(values, sign)
    if scale is None:
        reason = "All values are infinite: instances failed." if info.models else "Not confirmed."
        return _style.empty(_TITLE, reason, x_title, y_title)
    ends = np.array(
        [
            end
            for m in info.models
            for end in (m.low, m.high)
            if np.isfinite(end) and not _style.off_scale(np.array(m.value), scale, sign)
        ]
    )
    pad = 0.03 * (scale.high - scale.low)
    places = list(range(len(info.models)))
    figure = _style.new_figure(
        _TITLE,
        f"{info.statistic} of {info.n_instances} fresh instances, {info.confidence:.0%} intervals"
        + (
            "; the search trained every model once"
            if info.once
            else f"; optimism compares {'up to ' if info.is_most else ''}{info.n_compared} with "
            "as many"
        ),
        xaxis=_style.axis(
            x_title,
            range=[
                min([scale.low, *(ends - pad)]),
                max([scale.high, *(ends + pad)]),
            ],
        ),
        yaxis=_style.axis(
            y_title,
            tickvals=places,
            ticktext=[str(model.number) for model in info.models],
            range=[len(places) - 0.5, -0.5],
            showgrid=False,
        ),
        margin={"l": 60, "r": 90, "t": 96, "b": 50},
    )
    figure.add_traces(_optimism_traces(info, scale, sign))
    figure.add_annotation(
        text="<b>optimism</b>",
        x=1.01,
        y=1.0,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        showarrow=False,
    )
    for place, model in enumerate(info.models):
        figure.add_annotation(
            text=_signed(model.optimism),
            x=1.01,
            y=place,
            xref="paper",
            xanchor="left",
            showarrow=False,
        )
    return figure


def _optimism_traces(info: _OptimismInfo, scale: _style.Scale, sign: int) -> list[go.Scatter]:
    places = list(range(len(info.models)))
    search = _style.on_scale(np.array([m.search for m in info.models]), scale, sign)
    raw = np.array([m.value for m in info.models])
    values = _style.on_scale(raw, scale, sign)
    off = _style.off_scale(raw, scale, sign)
    known = np.array([math.isfinite(m.high - m.low) for m in info.models]) & ~off
    # An error bar that is NaN is not drawn.
    up, down = np.full(len(raw), np.nan), np.full(len(raw), np.nan)
    up[known] = np.array([m.high for m in info.models])[known] - raw[known]
    down[known] = raw[known] - np.array([m.low for m in info.models])[known]
    lines_x, lines_y = [], []
    for place in places:
        lines_x += [search[place], values[place], None]
        lines_y += [place, place, None]
    traces = [
        go.Scatter(
            x=lines_x,
            y=lines_y,
            mode="lines",
            line={"color": _style.GREY, "width": 1.5, "dash": "dot"},
            hoverinfo="skip",
            showlegend=False,
        )
    ]
    best = np.array([m.is_best for m in info.models])
    feasible = np.array([m.is_feasible for m in info.models])
    edge_symbol = "triangle-right" if sign > 0 else "triangle-left"
    groups = (
        ("fresh instances", ~best & feasible & ~off, _style.CONFIRMED, "diamond"),
        ("fresh instances, infeasible", ~best & ~feasible & ~off, _style.STOPPED, "diamond"),
        (
            "fresh instances, the best" + ("" if feasible.any() else "; none is feasible"),
            best & ~off,
            _style.BEST,
            "diamond",
        ),
        ("fresh instances: off the scale, or failed", off, _style.BLACK, edge_symbol),
        ("search", np.ones(len(best), dtype=np.bool_), "white", "circle"),
    )
    for name, chosen, color, symbol in groups:
        rows = np.flatnonzero(chosen)
        if not len(rows):
            continue
        is_search = name == "search"
        errors = {} if is_search else {"array": up[rows], "arrayminus": down[rows]}
        traces.append(
            go.Scatter(
                x=(search if is_search else values)[rows],
                y=rows,
                error_x={**errors, "symmetric": False, "thickness": 1.5, "color": color},
                mode="markers",
                marker={
                    "color": color,
                    "symbol": symbol,
                    "size": 10,
                    "line": {
                        "color": _style.FINISHED if is_search else _style.BLACK,
                        "width": 2 if is_search else 1,
                    },
                },
                hovertext=[info.models[row].hover for row in rows],
                hoverinfo="text",
                name=name,
            )
        )
    return traces
