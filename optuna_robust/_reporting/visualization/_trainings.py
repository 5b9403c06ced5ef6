"""What a search spent: models alive and trainings, step by step."""

from __future__ import annotations

from typing import NamedTuple
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]

from optuna_robust._base.wording import counted
from optuna_robust._reporting.visualization import _style
from optuna_robust._reporting.visualization._models import Models
from optuna_robust._reporting.visualization._models import models_of


if TYPE_CHECKING:
    from optuna.study import Study

    from optuna_robust._search.selection import SelectionResult


_TITLE = "Trainings"
# More models alive are seen better on a logarithmic axis; more have one tick a decade.
_MANY = 20
_VERY_MANY = 200
_GAP = 0.16


class _TrainingsInfo(NamedTuple):
    """Steps from 1; models that were in them, trainings up to their end.

    ``n_left_out`` trials failed or still run.
    """

    steps: list[int]
    n_alive: list[int]
    n_trained: list[int]
    n_models: int
    n_exhaustive: int
    n_left_out: int
    noun: str
    step_name: str


def plot_trainings(source: Study | SelectionResult) -> go.Figure:
    """Plot how many models were still alive, and how many trainings that took, step by step.

    A step of a selection is a wave; in a study step n is the n-th instance of every trial. The
    dashed line is what training every instance of every model would have taken: the farther the
    curve stays below it, the more was saved. Trainings from a store, dropped instances, and those
    of infeasible models count as trained; those of trials that failed or still run do not.

    Example:
        >>> import optuna_robust as opr
        >>> def objective(trial, instance):
        ...     return trial.suggest_float("x", -1, 1) ** 2 + 0.1 * instance.rng.normal()
        >>> models = [{"x": 0.0}, {"x": 0.1}, {"x": 0.9}]
        >>> result = opr.robust_select(objective, models, n_instances=8, rule="halving")
        >>> opr.visualization.plot_trainings(result).layout.xaxis2.title.text
        'wave of the selection'

    Args:
        source:
            A study, or what :func:`~optuna_robust.robust_select` found. Without recorded
            instances, a trial's intermediate values are losses and its steps instance numbers.

    Returns:
        The figure; an empty one, and a line in the log, without data.

    Raises:
        TypeError: If ``source`` is neither.
    """
    return _get_trainings_plot(_get_trainings_info(models_of(source)))


def _get_trainings_info(models: Models) -> _TrainingsInfo:
    n_models = len(models.numbers)
    if models.steps:
        alive = [n_models, *(len(step.kept) for step in models.steps[:-1])]
        trained = [step.n_trained for step in models.steps]
    else:
        n_most = int(models.n_run.max(initial=0))
        alive = [int(np.count_nonzero(models.n_run >= n)) for n in range(1, n_most + 1)]
        trained = alive
    return _TrainingsInfo(
        steps=list(range(1, len(alive) + 1)),
        n_alive=alive,
        n_trained=np.cumsum(trained).tolist(),
        n_models=n_models,
        n_exhaustive=n_models * models.n_instances,
        n_left_out=models.n_left_out,
        noun=models.noun,
        step_name="wave of the selection" if models.steps else "instance of the trial (from 1)",
    )


def _get_trainings_plot(info: _TrainingsInfo) -> go.Figure:
    if not info.steps:
        return _style.empty(
            _TITLE,
            _style.no_losses(info.n_models, info.noun),
            info.step_name,
            "trainings so far",
        )
    total = info.n_trained[-1]
    left_out = counted(info.n_left_out, "failed or running trial")
    few_steps = {"dtick": 1} if len(info.steps) <= 20 else {}
    shared = {
        "range": [0.5, len(info.steps) + 0.5],
        "tickformat": "d",
        **few_steps,
    }
    figure = _style.new_figure(
        _TITLE,
        f"{counted(info.n_models, info.noun)}, {total} trainings"
        + (
            f" instead of {info.n_exhaustive}: {_style.number(info.n_exhaustive / total)} times "
            "fewer"
            if total < info.n_exhaustive
            else ""
        )
        + (f"; without those of {left_out}" if info.n_left_out else ""),
        xaxis=_style.axis("", showticklabels=False, anchor="y", **shared),
        xaxis2=_style.axis(info.step_name, anchor="y2", **shared),
        yaxis=_style.axis(
            f"{info.noun}s alive", domain=[0.5 + _GAP / 2, 1.0], **_alive_range(info)
        ),
        yaxis2=_style.axis(
            "trainings so far",
            domain=[0.0, 0.5 - _GAP / 2 + 0.06],
            range=[0, 1.12 * max(info.n_exhaustive, total)],
            anchor="x2",
        ),
    )
    figure.add_trace(
        go.Scatter(
            x=info.steps,
            y=info.n_alive,
            mode="lines+markers",
            line={"color": _style.FINISHED, "width": 2.5},
            marker={"size": 5},
            showlegend=False,
            hovertemplate=f"step %{{x}}: %{{y}} {info.noun}s<extra></extra>",
            name=f"{info.noun}s alive",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=info.steps,
            y=info.n_trained,
            mode="lines+markers",
            line={"color": _style.BEST, "width": 2.5},
            marker={"size": 5},
            showlegend=False,
            hovertemplate="up to step %{x}: %{y} trainings<extra></extra>",
            name="trainings so far",
            xaxis="x2",
            yaxis="y2",
        )
    )
    lines = (
        (f"every instance of every {info.noun}", info.n_exhaustive, "dash"),
        (f"one training a {info.noun}", info.n_models, "dot"),
    )
    for label, level, dash in lines:
        figure.add_trace(
            go.Scatter(
                x=[0.5, len(info.steps) + 0.5],
                y=[level, level],
                mode="lines",
                line={"color": _style.BLACK, "width": 1.2, "dash": dash},
                hovertemplate=f"{label}: {level}<extra></extra>",
                name=label,
                xaxis="x2",
                yaxis="y2",
            )
        )
    return figure


def _alive_range(info: _TrainingsInfo) -> dict[str, object]:
    if info.n_models <= _MANY:
        return {"range": [0, 1.1 * info.n_models], "tickformat": "d"}
    return {
        "type": "log",
        "range": [np.log10(0.7), np.log10(1.5 * info.n_models)],
        "tickvals": [
            base * 10**power
            for power in range(len(str(info.n_models)))
            for base in ((1,) if info.n_models > _VERY_MANY else (1, 2, 5))
        ],
    }
