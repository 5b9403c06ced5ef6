"""The replay of an elimination rule on a table of losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optuna_robust._base.arrays import FloatArray
from optuna_robust.criteria import rank_models
from optuna_robust.elimination import Decision
from optuna_robust.elimination import EliminationRule


@dataclass(frozen=True)
class Outcome:
    """How a selection ended.

    Attributes:
        winner: The model that it chose.
        survivors: The models that it did not remove.
        n_trainings: What it cost.
    """

    winner: int
    survivors: tuple[int, ...]
    n_trainings: int


def run_race(rule: EliminationRule, losses: FloatArray) -> Outcome:
    """Select one model, as :func:`optuna_robust.robust_select` does with an objective.

    Args:
        rule:
            Eliminates models, for ``n_select=1``.
        losses:
            Oriented losses, shape ``(n_models, n_instances)``; a model's instances are trained
            in their order.
    """
    n_models, n_instances = losses.shape
    trained = np.zeros(n_models, dtype=np.intp)
    alive = due = tuple(range(n_models))
    while True:
        trained[list(due)] += 1
        numbers = np.arange(trained.max())
        known = np.where(numbers < trained[:, None], losses[:, numbers], np.nan)
        decision = rule.eliminate(known, alive)
        alive = decision.kept
        wanted = alive if decision.next_models is None else decision.next_models
        due = tuple(model for model in wanted if trained[model] < n_instances)
        if len(alive) == 1 or not due:
            return Outcome(_winner(decision), alive, int(trained.sum()))


def _winner(decision: Decision) -> int:
    if decision.incumbent in decision.kept:
        return decision.incumbent
    kept = list(decision.kept)
    return kept[int(rank_models(decision.scores[kept])[0])]
