"""The exchange test of two models' criterion: exact where choosing one or the other is chance."""

from __future__ import annotations

import math

import numpy as np

from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._resampling import MOST_LOSSES
from optuna_robust._statistics.criteria import Criterion


# Relative difference below which two values of a criterion are the same value.
_TIE_TOLERANCE = 1e-12


def exchange_p_value(
    losses: FloatArray, criterion: Criterion, *, n_resamples: int, seed: int
) -> float:
    """Return the two-sided p-value of exchanging two models' losses within instances.

    Over all 2^n exchanges (Fisher 1935, Pitman 1937) if they are at most ``n_resamples``,
    otherwise over random ones with the observed one counted in (Phipson & Smyth 2010).

    Args:
        losses:
            Losses of the two models, shape ``(2, n_instances)``, without NaN.
        criterion:
            Statistic that is compared; it has a value for both models.
        n_resamples:
            Most exchanges.
        seed:
            Seed of random exchanges.
    """
    from scipy import stats  # noqa: PLC0415

    def statistic(x: FloatArray, y: FloatArray, axis: int) -> FloatArray:
        return difference_of(
            criterion(np.moveaxis(x, axis, -1)), criterion(np.moveaxis(y, axis, -1))
        )

    with np.errstate(invalid="ignore", over="ignore"):
        null = stats.permutation_test(
            (losses[0], losses[1]),
            statistic,
            permutation_type="samples",
            vectorized=True,
            n_resamples=n_resamples,
            batch=max(1, MOST_LOSSES // losses.size),
            rng=np.random.default_rng(seed),
        ).null_distribution
    # SciPy's own p-value compares with a tolerance relative to the difference, which rounding of
    # much larger values exceeds, and which an infinite difference turns into NaN. The null
    # distribution is symmetric: exchanging every instance changes the sign.
    values = criterion(losses)
    observed = abs(float(difference_of(values[0], values[1])))
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    # An exchange that leaves the criterion undefined (NaN) counts as extreme, the safe side.
    n_extreme = np.count_nonzero(~(np.abs(null) < observed - _TIE_TOLERANCE * largest))
    if len(null) == 2 ** losses.shape[1]:
        return float(n_extreme / len(null))
    return float((n_extreme + 1) / (len(null) + 1))  # Phipson & Smyth (2010): (b + 1) / (m + 1)


def difference_of(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return a - b, and 0 for two values that are infinite alike."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(np.equal(a, b), 0.0, np.subtract(a, b))
