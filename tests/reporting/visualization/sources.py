"""Studies and selections with losses that tests can count on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.distributions import IntDistribution
from optuna.trial import create_trial
from optuna.trial import TrialState
import plotly.graph_objects as go  # type: ignore[import-untyped]

import optuna_robust as opr
from optuna_robust._search.confirmation import ConfirmedModel
from optuna_robust.comparison import Interval
from tests.search.selection.tables import of_table


WORST = "worst"


def study_of(
    losses: Sequence[Sequence[float | str | None]],
    *,
    n_instances: int | None = None,
    direction: str = "minimize",
    criterion: str = "median",
    params: dict[str, Any] | None = None,
    **settings: Any,
) -> optuna.Study:
    """A study as MultiInstanceObjective leaves it; fewer losses than others have: pruned."""
    n = n_instances or max(map(len, losses))
    study = optuna.create_study(direction=direction)
    kept = {"n_instances": n, "criterion": [criterion], "reshuffle": False, **settings}
    study.set_user_attr("robust:settings", kept)
    found = []
    for number, each in enumerate(losses):
        chosen = {"model": number} if params is None else params
        complete = len(each) == n
        attrs: dict[str, Any] = {"robust:losses": list(each)}
        if not complete:
            attrs["robust:stopped"] = "halving: not among the better half"
        found.append(
            create_trial(
                state=TrialState.COMPLETE if complete else TrialState.PRUNED,
                value=0.0,
                params=chosen,
                distributions={
                    name: IntDistribution(0, len(losses))
                    if params is None
                    else CategoricalDistribution((value,))
                    for name, value in chosen.items()
                },
                user_attrs=attrs,
            )
        )
    study.add_trials(found)
    return study


def with_constraints(study: optuna.Study, *infeasible: int) -> None:
    """Make trials of a study in memory infeasible."""
    storage = study._storage
    for number in infeasible:
        storage._get_trial(number).system_attrs["constraints:memory"] = 1.0  # type: ignore[attr-defined]


def selection_of(
    table: npt.ArrayLike, *, rule: str = "halving", **options: Any
) -> opr.SelectionResult:
    """What a real selection finds of a table of losses."""
    losses = np.asarray(table, dtype=np.float64)
    return opr.robust_select(
        of_table(losses.tolist()),
        [{"model": number} for number in range(len(losses))],
        rule=rule,
        n_instances=losses.shape[1],
        **options,
    )


def confirmation_of(
    *models: ConfirmedModel, losses: list[list[float]], criterion: str = "median"
) -> opr.ConfirmationResult:
    """What a confirmation found of models; ``losses`` are those of fresh instances."""
    return opr.ConfirmationResult(
        best_params={},
        best_index=0,
        models=models,
        pairs=(),
        losses=np.array(losses),
        instance_numbers=tuple(range(len(losses[0]))),
        n_trainings=0,
        n_reused=0,
        seconds=0.0,
        failures={},
        criterion=criterion,
        confidence=0.95,
        direction="minimize",
        stopped_early=False,
    )


def model_of(
    index: int, *, search_value: float, value: float, optimism: float, statistic: str, n: int
) -> ConfirmedModel:
    """A confirmed model without hyperparameters; its interval reaches 1 to both sides."""
    interval = Interval(value - 1.0, value + 1.0)
    return ConfirmedModel(
        {}, index, search_value, value, interval, optimism, statistic, n, probability_best=1.0
    )


def many(n_models: int, n_instances: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """Losses of models that differ in level and spread."""
    rng = np.random.default_rng(seed)
    levels = rng.exponential(size=(n_models, 1))
    noise: npt.NDArray[np.float64] = rng.normal(size=(n_models, n_instances))
    return levels + (0.05 + 0.2 * levels) * noise


def drawn(figure: go.Figure) -> list[str]:
    """Names of the traces; the figure can be written as JSON without NaN or infinity."""
    text = figure.to_json()
    assert "NaN" not in text
    assert "Infinity" not in text
    return [trace.name for trace in figure.data]


def axis_titles(figure: go.Figure) -> list[str]:
    """Titles of all axes that have tick labels."""
    return [
        axis.title.text
        for axis in (*figure.select_xaxes(), *figure.select_yaxes())
        if axis.showticklabels is not False
    ]
