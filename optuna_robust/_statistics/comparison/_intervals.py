"""Intervals and bounds for what a model's losses estimate."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
import warnings

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arguments import check_numbers
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion


# An interval from fewer values is not worth its name.
_MIN_BOOTSTRAP_INSTANCES = 10
# Statistics of the tail: resampling cannot go beyond the largest value seen.
_TAILS = ("max", "min", "cvar")


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def is_tail(criterion: Criterion) -> bool:
    """Return True if a criterion describes the tail, where bootstrap intervals are not valid."""
    return criterion.name in _TAILS


def bootstrap_interval(
    losses: npt.ArrayLike,
    criterion: str | Callable[[FloatArray], float] | Criterion = "mean",
    *,
    confidence: float = 0.95,
    n_resamples: int = 9999,
    seed: int = 0,
) -> Interval:
    """Return a bootstrap interval of a criterion.

    BCa (Efron 1987, ``scipy.stats.bootstrap``), or the percentile interval where ties leave BCa
    undefined. Intervals of level and of quantiles cover about as often as they say from 20 losses
    on; those of ``std`` and ``mean+std`` less often, above all for skewed losses.

    Args:
        losses:
            One model's losses, shape ``(n_instances,)``; NaN = not trained.
        criterion:
            A name or callable as in :func:`~optuna_robust.criteria.get_criterion`, but not
            ``max``, ``min`` or ``cvar``: resampling cannot go beyond the largest value seen, so a
            nominal 95 % interval of the maximum of 30 covers it in less than half of all cases.
        confidence:
            Nominal coverage.
        n_resamples:
            Bootstrap samples.
        seed:
            Seed of the resampling.

    Returns:
        The interval. NaN where there are fewer than 10 losses, an infinite one, or only identical
        ones.

    Raises:
        ValueError: If the criterion describes the tail, ``confidence`` is outside (0, 1), or the
            losses have more than one dimension.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.comparison import bootstrap_interval
        >>> low, high = bootstrap_interval(np.random.default_rng(0).normal(size=50), "median")
        >>> bool(low < 0 < high)
        True
    """
    chosen = get_criterion(criterion)
    if is_tail(chosen):
        raise ValueError(
            f"criterion={chosen.name!r} has no valid bootstrap interval; choose a quantile, "
            "the mean, or a spread."
        )
    check_between("confidence", confidence, 0.0, 1.0)
    values = check_numbers("losses", losses)
    if values.ndim != 1:
        raise ValueError(f"losses must be those of one model, but had the shape {values.shape}.")
    values = values[~np.isnan(values)]
    finite = np.isfinite(values).all()
    if len(values) < _MIN_BOOTSTRAP_INSTANCES or not finite or np.ptp(values) == 0.0:
        return Interval(np.nan, np.nan)

    from scipy import stats  # noqa: PLC0415

    def statistic(sample: FloatArray, axis: int) -> FloatArray:
        return chosen(np.moveaxis(sample, axis, -1))

    def interval(method: str) -> Interval:
        found = stats.bootstrap(
            (values,),
            statistic,
            confidence_level=confidence,
            n_resamples=n_resamples,
            vectorized=True,
            method=method,
            rng=np.random.default_rng(seed),
        ).confidence_interval
        return Interval(float(found.low), float(found.high))

    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        corrected = interval("BCa")
    return interval("percentile") if np.isnan(corrected).any() else corrected


def std_lower_bound(losses: npt.ArrayLike, alpha: float = 0.05) -> FloatArray:
    """Return the lower confidence bound of every model's standard deviation.

    A spread estimated from few instances is uncertain: (n - 1) s² / sigma² is chi-squared with
    n - 1 degrees of freedom for normal losses (e.g. Casella & Berger 2002, theorem 5.3.1).

    Args:
        losses:
            Losses of shape ``(..., n_instances)``; NaN = not trained.
        alpha:
            The bound lies above the true standard deviation with this probability.

    Returns:
        Bounds of shape ``(...)``; NaN with fewer than two losses, ``+inf`` with an infinite one.

    Example:
        >>> from optuna_robust.comparison import std_lower_bound
        >>> float(std_lower_bound([1.0, 2.0, 3.0, 4.0]).round(3))
        0.8
    """
    from scipy import special  # noqa: PLC0415

    check_between("alpha", alpha, 0.0, 1.0)
    std = get_criterion("std")(losses)
    n = np.count_nonzero(~np.isnan(np.asarray(losses, dtype=np.float64)), axis=-1)
    df = np.maximum(n - 1, 1)
    # Casella & Berger (2002), theorem 5.3.1.
    return np.asarray(std * np.sqrt(df / special.chdtri(df, alpha)))
