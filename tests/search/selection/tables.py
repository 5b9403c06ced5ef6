"""Objectives that look losses up in a table, and what selections found of it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import math
from typing import Any

import numpy.typing as npt
import optuna

from optuna_robust import Instance
from optuna_robust import SelectionResult


def of_table(
    table: Sequence[Sequence[Any]] | npt.NDArray[Any], calls: list[tuple[int, int]] | None = None
) -> Callable[..., Any]:
    """An objective that returns, or raises, what the table says for a model and an instance."""

    def objective(trial: optuna.Trial, instance: Instance) -> Any:
        model = trial.suggest_int("model", 0, len(table) - 1)
        outcome = table[model][instance.number]
        if isinstance(outcome, BaseException):
            raise outcome
        if calls is not None:
            calls.append((model, instance.number))
        return outcome

    return objective


def found(result: SelectionResult) -> dict[str, Any]:
    """What a selection found, whoever trained the instances, in a form that compares."""
    steps = [{**step.__dict__, "seconds": 0.0} for step in result.steps]
    arrays = {name: getattr(result, name).tolist() for name in ("losses", "values")}
    rest = {
        name: value
        for name, value in result.__dict__.items()
        if name not in ("losses", "values", "steps", "seconds", "n_trainings", "n_reused")
    }
    return {**rest, **_nan_as_none(arrays), **_nan_as_none({"steps": steps})}


def _nan_as_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _nan_as_none(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_nan_as_none(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
