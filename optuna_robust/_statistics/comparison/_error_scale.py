"""By how much the bootstrap's standard error of a criterion's difference is off for few losses."""

from __future__ import annotations

import numpy as np

from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.criteria import CRITERIA
from optuna_robust._statistics.criteria import Criterion


# Factors with which a difference of normal losses over its standard error exceeds the 97.5 %
# quantile of Student's t in about 5 % of all cases, by simulation, at these numbers of instances:
# a compromise between models that vary alike and one twice as much as the other. First for models
# whose noise is their own, then for models that have nearly all of it in common. Between these
# they are linear in the squared rank correlation, and between numbers of instances in 1 / sqrt(n).
# ``python -m benchmarks confirm-levels`` shows the coverage that they give; with ``--fit`` it fits
# them anew.
KNOTS = np.array([5.0, 7.0, 9.0, 12.0, 20.0, 30.0, 51.0, 100.0])
SCALES = {
    "median": (
        (0.74, 0.83, 0.84, 0.90, 0.94, 0.97, 1.00, 1.02),
        (0.80, 0.84, 0.86, 0.87, 0.88, 0.87, 0.86, 0.84),
    ),
    "q3": (
        (0.84, 0.93, 0.87, 0.91, 0.95, 0.98, 1.00, 1.03),
        (0.84, 0.92, 0.89, 0.92, 0.89, 0.89, 0.87, 0.85),
    ),
    "cvar": (
        (1.40, 1.42, 1.37, 1.30, 1.20, 1.15, 1.10, 1.07),
        (1.36, 1.29, 1.24, 1.19, 1.12, 1.08, 1.04, 1.03),
    ),
    "std": (
        (1.10, 1.15, 1.17, 1.16, 1.13, 1.11, 1.08, 1.07),
        (0.97, 1.03, 1.07, 1.12, 1.12, 1.11, 1.07, 1.06),
    ),
    "iqr": (
        (0.60, 0.70, 0.71, 0.76, 0.85, 0.89, 0.94, 0.97),
        (0.71, 0.80, 0.85, 0.89, 0.91, 0.90, 0.87, 0.87),
    ),
    "mad": (
        (0.87, 0.74, 0.73, 0.75, 0.82, 0.87, 0.93, 0.97),
        (0.76, 0.73, 0.72, 0.76, 0.78, 0.79, 0.79, 0.79),
    ),
    "q3+iqr": (
        (0.67, 0.76, 0.75, 0.81, 0.88, 0.92, 0.96, 1.00),
        (0.73, 0.82, 0.86, 0.90, 0.90, 0.90, 0.87, 0.86),
    ),
    "mean+std": (
        (1.11, 1.15, 1.13, 1.13, 1.09, 1.08, 1.06, 1.05),
        (1.12, 1.15, 1.13, 1.14, 1.11, 1.09, 1.07, 1.05),
    ),
}


def error_factor(criterion: Criterion, n_instances: int, correlations: FloatArray) -> FloatArray:
    """Return what makes a bootstrap's standard deviation a standard error.

    Args:
        criterion:
            What is compared.
        n_instances:
            Number of instances.
        correlations:
            Rank correlations of two models' losses; any shape.

    Returns:
        Factors of the same shape.
    """
    # The bootstrap's variance of a mean is (n - 1) / n of the unbiased one.
    unbiased = np.sqrt(n_instances / (n_instances - 1.0))
    scales = SCALES.get(criterion.name)
    if scales is None or CRITERIA.get(criterion.name) is not criterion:
        return np.full(np.shape(correlations), unbiased)
    positions = -1.0 / np.sqrt(KNOTS)
    own, common = (
        np.interp(-1.0 / np.sqrt(n_instances), positions, factors) for factors in scales
    )
    share = np.clip(correlations, 0.0, 1.0) ** 2
    return np.asarray(unbiased * (own + (common - own) * share))


def rank_correlations(losses: FloatArray) -> FloatArray:
    """Return the rank correlations of every two models; 0 for a constant one.

    Args:
        losses:
            Finite losses of shape ``(n_models, n_instances)``.
    """
    from scipy import stats  # noqa: PLC0415

    ranks = stats.rankdata(losses, axis=1)  # Spearman (1904)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.atleast_2d(np.nan_to_num(np.corrcoef(ranks)))
