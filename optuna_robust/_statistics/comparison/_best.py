"""Who is the best of many models, from the distributions of their criteria."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._completion import CriterionPosterior


# Probability that one of the models is the best that are not looked at.
_NEGLECTED = 1e-3
# The best is surely better than a value that so many models are expected to be better than.
_N_BETTER = 4.0
_N_BISECTIONS = 15
# The grid of criterion values: even ones, and some around each of the best models.
_N_EVEN = 96
_N_BEST = 10
_AROUND = np.array([-4.0, -3.0, -2.2, -1.5, -0.9, -0.4, 0.0, 0.4, 0.9, 1.5, 2.2, 3.0])
# Relative to a typical standard deviation: differences below it are ties.
_TIE = 1e-6


class Contest:
    """The models' criteria as independent random variables, integrated on a grid of values.

    A model that is infinitely bad for sure is never the best. The cost is linear in models.

    Args:
        posterior:
            Distributions of the models' criteria.
        tolerance:
            How much worse than the best a model may be, in units of the criterion.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.comparison import Contest
        >>> from optuna_robust.comparison import CriterionPosterior
        >>> means, stds = np.array([[0.0], [1.0], [9.0]]), np.array([[1.0], [1.0], [1.0]])
        >>> contest = Contest(CriterionPosterior(np.ones((3, 1)), means, stds))
        >>> contest.probabilities().round(2)
        array([0.76, 0.24, 0.  ])
        >>> contest.risks([2, 1, 0]).round(2)
        array([0.  , 0.24, 1.  ])
    """

    def __init__(self, posterior: CriterionPosterior, tolerance: float = 0.0) -> None:
        from scipy import special  # noqa: PLC0415

        self._n_models = len(posterior.means)
        means, stds = posterior.mean, posterior.std
        self._models = np.nonzero(np.isfinite(means))[0]
        if not len(self._models):
            return
        means, stds = means[self._models], stds[self._models]
        unit = float(np.median(stds[stds > 0.0])) if (stds > 0.0).any() else 1.0
        tie = max(_TIE * unit, 1e-12 * float(np.abs(means).min()))
        self._tolerance = tolerance + tie
        stds = np.maximum(stds, tie / 10.0)
        there = _contenders(means, stds, self._tolerance)
        self._models, means, stds = self._models[there], means[there], stds[there]
        self._grid = _grid(means, stds, self._tolerance)
        above = np.zeros((len(means), len(self._grid)))
        for weight, mean, std in zip(
            posterior.weights[self._models].T,
            posterior.means[self._models].T,
            np.maximum(posterior.stds[self._models], tie / 10.0).T,
            strict=True,
        ):
            above += weight[:, None] * special.ndtr((mean[:, None] - self._grid) / std[:, None])
        self._density = -np.diff(above, axis=1)
        self._density[:, 0] += 1.0 - above[:, 0]
        self._log_above = np.log(np.maximum(above, 1e-300))

    def probabilities(self) -> FloatArray:
        """Return every model's probability of being within the tolerance of the best.

        Shape ``(n_models,)``. Without a finite criterion among them, all models are the best.
        """
        return self._probabilities(self._tolerance if len(self._models) else 0.0)

    def probabilities_of_best(self) -> FloatArray:
        """Return every model's probability of being the best, shape ``(n_models,)``."""
        return self._probabilities(0.0)

    def risks(self, order: Sequence[int] | npt.NDArray[np.intp]) -> FloatArray:
        """Return what is lost if models are dropped one after the other.

        Args:
            order:
                All models, in the order in which they are dropped.

        Returns:
            The probability, shape ``(n_models,)``, that no model within the tolerance of the best
            is left when the first, the first two, ... are dropped.
        """
        found = np.zeros(self._n_models)
        found[-1] = 1.0
        row = np.full(self._n_models, -1)
        row[self._models] = np.arange(len(self._models))
        rows = row[np.asarray(order, dtype=np.intp)]
        steps = np.nonzero(rows >= 0)[0]
        if not len(steps):
            return found
        dropped = np.cumsum(self._log_above[rows[steps]], axis=0)
        later = np.cumsum(self._log_above_shifted(self._tolerance)[rows[steps]], axis=0)
        left = np.exp(np.minimum(later[-1] - later, 0.0))
        density = -np.diff(np.exp(dropped), axis=1)
        risks = (density * (left[:, 1:] + left[:, :-1])).sum(axis=1) / 2.0
        found[steps] = np.diff(np.maximum.accumulate(risks), prepend=0.0)
        found[-1] = 0.0
        found = np.cumsum(found)
        found[-1] = 1.0
        return found

    def _probabilities(self, tolerance: float) -> FloatArray:
        if not len(self._models):
            return np.ones(self._n_models)
        above = self._log_above_shifted(-tolerance)
        others = above.sum(axis=0) - above
        found = np.zeros(self._n_models)
        found[self._models] = (self._density * np.exp((others[:, 1:] + others[:, :-1]) / 2.0)).sum(
            axis=1
        )
        return np.minimum(found, 1.0)

    def _log_above_shifted(self, tolerance: float) -> FloatArray:
        """Return log P(criterion > value + tolerance), linear between values of the grid."""
        if tolerance == 0.0:
            return self._log_above
        grid, values = self._grid, self._grid + tolerance
        left = np.clip(np.searchsorted(grid, values, side="right") - 1, 0, len(grid) - 2)
        share = np.clip((values - grid[left]) / (grid[left + 1] - grid[left]), 0.0, 1.0)
        log_above = self._log_above
        shifted = log_above[:, left] + share * (log_above[:, left + 1] - log_above[:, left])
        shifted[:, values < grid[0]] = 0.0
        return np.asarray(shifted)


def _contenders(means: FloatArray, stds: FloatArray, tolerance: float) -> npt.NDArray[np.intp]:
    """Return the models but those that are hardly ever within the tolerance of the best."""
    from scipy import special  # noqa: PLC0415

    low, high = (means - 5.0 * stds).min(), (means + 2.0 * stds).min()
    for _ in range(_N_BISECTIONS):
        value = (low + high) / 2.0
        if special.ndtr((value - means) / stds).sum() < _N_BETTER:
            low = value
        else:
            high = value
    chance = special.ndtr((high + tolerance - means) / stds)
    unlikely = np.argsort(chance, kind="stable")
    unlikely = unlikely[np.cumsum(chance[unlikely]) < _NEGLECTED]
    return np.setdiff1d(np.arange(len(means)), unlikely)


def _grid(means: FloatArray, stds: FloatArray, tolerance: float) -> FloatArray:
    """Return values from the least to the greatest that a model near the best may have."""
    low, high = (means - 5.0 * stds).min(), (means + 4.5 * stds).min()
    best = np.unique(
        np.concatenate([np.argsort(means, kind="stable")[:_N_BEST], np.argsort(stds)[:4]])
    )
    around = (means[best, None] + stds[best, None] * _AROUND).ravel()
    parts = [np.linspace(low, high, _N_EVEN), around]
    if tolerance > _TIE * (high - low):
        parts += [
            np.linspace(high, high + tolerance, _N_EVEN),
            around - tolerance,
            around + tolerance,
        ]
    grid = np.concatenate(parts)
    return np.unique(grid[(grid >= low) & (grid <= high + tolerance)])
