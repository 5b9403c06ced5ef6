"""Whose turn it is: a new model's, or that of a known one which may be the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np


if TYPE_CHECKING:
    from optuna_robust.sampler._models import Model
    from optuna_robust.sampler._standing import Standing


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


def model_to_repeat(standing: Standing, rng: np.random.Generator) -> Model | None:
    """Return a model that is trained again, drawn by the probabilities of being the best.

    As Thompson (1933) does: a model gets the next training with the probability that it is the
    best one. While nothing tells the noise, the best one so far gets it.

    Args:
        standing:
            Where the models stand.
        rng:
            Draws the model.

    Returns:
        A model that is free and has instances left; None if there is none.
    """
    is_open = standing.is_free() & (standing.n_missing() > 0)
    if not is_open.any():
        return None
    several = len(standing.posteriors) > 1
    chances = standing.chances_of_no_better(rng) if several else standing.chances_of_best()
    chances[~is_open] = 0.0
    if not chances.sum() > 0.0:
        return standing.best(is_open)
    return standing.models[int(rng.choice(len(chances), p=chances / chances.sum()))]


def model_to_complete(standing: Standing, n_left: int) -> Model | None:
    """Return the model whose missing instances must be trained now.

    The best model of those that can be completed is to be fully trained when the budget ends.

    Args:
        standing:
            Where the models stand.
        n_left:
            How many trainings are left.

    Returns:
        The model; None if there is time for other trainings, or the best one is complete.
    """
    missing = standing.n_missing()
    may_win = standing.is_free() | (missing == 0)
    if not may_win.any():
        return None
    reachable = may_win & (missing <= max(n_left, 0))
    best = standing.best(reachable if reachable.any() else may_win)
    n_missing = standing.n_instances - best.n_instances
    return best if 0 < n_missing >= n_left else None
