"""Whose turn it is: a new model's, or that of a known one which may be the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np


if TYPE_CHECKING:
    from optuna_robust.sampler._models import Model
    from optuna_robust.sampler._standing import Standing

# A model that is less likely to be the best is not worth the last trainings.
_LEAST_CHANCE = 1e-3


@dataclass(frozen=True)
class Schedule:
    """How trainings are shared between new and known models.

    Attributes:
        repeat_share: Share of the trainings, after the first models, that known models get.
        n_startup_models: How many models are trained once before any is trained again.
    """

    repeat_share: float
    n_startup_models: int

    def is_repetition(self, n_models: int, n_trainings: int) -> bool:
        """Return True if the next training is one of a known model.

        Args:
            n_models:
                How many models have begun.
            n_trainings:
                How many trainings have begun.
        """
        if n_models < self.n_startup_models:
            return False
        due = self.repeat_share * (n_trainings + 1 - self.n_startup_models)
        return n_trainings - n_models < due


def model_to_repeat(
    standing: Standing, rng: np.random.Generator, n_left: int | None
) -> Model | None:
    """Return a known model to train again; None if none is free and has instances left.

    It is drawn by the probabilities of being the best (Thompson 1933). Where the end of the
    search is not known, the model that leads is completed before, so that the study has a best
    trial whenever it ends.

    Args:
        standing:
            Where the models stand.
        rng:
            Draws the model.
        n_left:
            How many trainings are left; None: nobody knows.
    """
    is_open = standing.is_free() & (standing.n_missing() > 0)
    if not is_open.any():
        return None
    leader = standing.best(np.ones(len(is_open), dtype=bool))
    several = len(standing.posteriors) > 1
    if n_left is None and not several and is_open[standing.models.index(leader)]:
        return leader
    chances = standing.chances_of_no_better(rng) if several else standing.chances_of_best()
    chances[~is_open] = 0.0
    if not chances.sum() > 0.0:
        return standing.best(is_open)
    return standing.models[int(rng.choice(len(chances), p=chances / chances.sum()))]


def model_to_complete(standing: Standing, n_left: int) -> Model | None:
    """Return the model whose missing instances are trained next, when the end is near.

    That is when the model that is expected to be the best can be completed, and should it fall
    behind, one more. Then the best of those that can be completed within what is left is trained,
    and when it is complete, the likeliest one to be better.

    Args:
        standing:
            Where the models stand.
        n_left:
            How many trainings are left.

    Returns:
        The model; None while there is time for others, or if none is worth it.
    """
    missing = standing.n_missing()
    is_open = standing.is_free() & (missing > 0)
    may_win = is_open | (missing == 0)
    if not may_win.any():
        return None
    n_to_complete = standing.n_instances - standing.best(may_win).n_instances
    if n_left > n_to_complete + standing.n_instances:
        return None
    reachable = may_win & (missing <= max(n_left, 0))
    best = standing.best(reachable if reachable.any() else may_win)
    if best.n_instances < standing.n_instances:
        return best
    chances = np.where(reachable & is_open, standing.chances_of_best(), 0.0)
    return standing.models[int(np.argmax(chances))] if chances.max() > _LEAST_CHANCE else None
