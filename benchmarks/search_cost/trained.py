"""What a search trained, and what it would have ended with, had it ended earlier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optuna_robust.criteria import rank_models


@dataclass(frozen=True)
class Trained:
    """A model that a search has done with.

    Attributes:
        params: The model.
        value: What it is judged by, smaller is better; NaN if it cannot win.
        n_trainings: What it took.
    """

    params: dict[str, Any]
    value: float
    n_trainings: int


@dataclass(frozen=True)
class Found:
    """What a search ended with.

    Attributes:
        budget: Trainings that it was given.
        params: The model that it returned.
        n_trainings: Trainings that it spent.
    """

    budget: int
    params: dict[str, Any]
    n_trainings: int


def prefixes(trained: Sequence[Trained], budgets: Sequence[int]) -> list[Found]:
    """Return what a search had found when it had spent each budget.

    A model that is begun within the budget is finished.

    Args:
        trained:
            All models, in order.
        budgets:
            In rising order.
    """
    spent = np.cumsum([model.n_trainings for model in trained])
    found = []
    for budget in budgets:
        n = min(int(np.searchsorted(spent, budget)) + 1, len(trained))
        values = np.array([model.value for model in trained[:n]])
        can_win = np.flatnonzero(~np.isnan(values))
        winner = can_win[rank_models(values[can_win])[0]]
        found.append(Found(budget, trained[winner].params, int(spent[n - 1])))
    return found
