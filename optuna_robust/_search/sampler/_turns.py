"""Whose turn it is: a new model's, or that of a known one which may be the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optuna_robust._base.arrays import FloatArray


if TYPE_CHECKING:
    from optuna_robust._search.sampler._models import Model
    from optuna_robust._search.sampler._standing import Standing

# Share of the trainings that known models get while nothing tells the noise, and at most.
_SHARE_WITHOUT_NOISE, _MOST_REPETITIONS = 0.5, 0.75
# A model that is less likely to be the best is not worth the last trainings.
_LEAST_CHANCE = 1e-3


@dataclass(frozen=True)
class Schedule:
    """How trainings are shared between new and known models.

    Attributes:
        repeat_share: Share of the trainings, after the first models, that known models get. None:
            as :func:`share_by_noise` says.
        n_startup_models: How many models are trained once before any is trained again.
    """

    repeat_share: float | None
    n_startup_models: int

    def is_repetition(self, n_models: int, standing: Standing, rng: np.random.Generator) -> bool:
        """Return True if the next training is one of a known model.

        Args:
            n_models:
                How many models have begun.
            standing:
                Where the known ones stand.
            rng:
                Draws whether it is.
        """
        if n_models < self.n_startup_models:
            return False
        share = share_by_noise(standing) if self.repeat_share is None else self.repeat_share
        return bool(rng.random() < share)


def share_by_noise(standing: Standing) -> float:
    """Return the share of the trainings that known models get, by how unsure it is which is best.

    That is ``r / (r + 1/2)``, at most 3/4. In r, the standard deviations of what the likely best
    models are worth, weighted by their chances, stand over the difference of a typical model to
    the best one. Where noise is small beside the differences of models, nearly all trainings go to
    new ones; where it is large, most go to the known ones that may be the best. (A rule of thumb:
    benchmarks/RESULTS.md says what it was chosen on.)
    """
    if not standing.posteriors:
        return _SHARE_WITHOUT_NOISE
    chances, ratios = standing.chances_of_best, []
    for posterior in standing.posteriors:
        finite = np.isfinite(posterior.mean)
        expected, stds = posterior.mean[finite], posterior.std[finite]
        if not len(expected):
            return _SHARE_WITHOUT_NOISE
        differs = float(np.median(expected) - expected.min())
        doubt = float(chances[finite] @ stds)
        ratios.append(doubt / (doubt + differs / 2.0) if doubt > 0.0 else 0.0)
    return min(float(np.mean(ratios)), _MOST_REPETITIONS)


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
    chances = standing.chances_of_no_better(rng) if several else standing.chances_of_best
    chances = np.where(is_open, chances, 0.0)
    if not chances.sum() > 0.0:
        return standing.best(is_open)
    return standing.models[int(rng.choice(len(chances), p=chances / chances.sum()))]


def model_to_complete(standing: Standing, n_left: int, rng: np.random.Generator) -> Model | None:
    """Return the model whose missing instances are trained next, when the end is near.

    That is when the model that is expected to be the best can just be completed; the less sure it
    is to be the best, the earlier, since it may fall behind. Then the best of those that can be
    completed within what is left is trained, and when it is complete, the likeliest one to be
    better. With several criteria, the models that likely none is better than are completed with
    the last ``n_instances`` trainings, the nearly complete ones first.

    Args:
        standing:
            Where the models stand.
        n_left:
            How many trainings are left.
        rng:
            For several criteria, as for :func:`model_to_repeat`.

    Returns:
        The model; None while there is time for others, or if none is worth it.
    """
    missing, may_win = standing.n_missing(), standing.may_win()
    reachable = may_win & (missing <= max(n_left, 0))
    is_open = reachable & (missing > 0) & standing.is_free()
    if len(standing.values[0]) > 1:
        if n_left > standing.n_instances:
            return None
        chances = standing.chances_of_no_better(rng) / np.maximum(missing, 1)
        return _likeliest(standing, np.where(is_open, chances, 0.0))
    if not may_win.any():
        return None
    leader = standing.best(may_win)
    doubt = 1.0 - standing.chances_of_best[standing.models.index(leader)]
    n_reserved = (1.0 + doubt) * standing.n_instances - leader.n_instances
    if n_left > n_reserved:
        return None
    best = standing.best(reachable if reachable.any() else may_win)
    if best.n_instances < standing.n_instances:
        return best if best.is_free else None  # another trial trains it, and asks again
    return _likeliest(standing, np.where(is_open, standing.chances_of_best, 0.0))


def _likeliest(standing: Standing, chances: FloatArray) -> Model | None:
    return standing.models[int(np.argmax(chances))] if chances.max() > _LEAST_CHANCE else None
