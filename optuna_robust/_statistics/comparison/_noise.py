"""The noise of models' losses: variances moderated to the pool, or to a trend on the level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._level_prior import level_prior
from optuna_robust._statistics.comparison._level_prior import Predicted
from optuna_robust._statistics.comparison._level_prior import shrunk
from optuna_robust._statistics.comparison._moderation import moderate_variances
from optuna_robust._statistics.comparison._variance_trend import VarianceTrend


_ROUGH_DF = 4.0
_N_TREND_ITERATIONS = 3


@dataclass(frozen=True)
class Noise:
    variances: FloatArray
    df: FloatArray
    prior_variances: FloatArray
    prior_df: FloatArray


def moderated(s2: FloatArray, df: FloatArray) -> Noise:
    """Return variances and their degrees of freedom for all models, those without one too."""
    moderated = moderate_variances(s2, df, robust=True, keep_order=True)
    if moderated.prior_df > 0.0:
        # Of a model without a variance: the same for all.
        prior_df = np.where(df > 0.0, moderated.own_prior_df, moderated.prior_df)
        return Noise(
            moderated.posterior,
            moderated.total_df,
            np.full(len(s2), moderated.prior_variance),
            np.minimum(prior_df, moderated.pooled_df),
        )
    there = df > 0.0  # one variance, or all are 0
    pooled = float(np.average(s2[there], weights=df[there])) if there.any() else 0.0
    pooled_df = max(moderated.pooled_df, 1.0)
    alike, all_df = np.full(len(s2), pooled), np.full(len(s2), pooled_df)
    return Noise(alike, all_df, alike, all_df)


def moderated_with(
    trend: VarianceTrend,
    predicted: Predicted | None,
    means: FloatArray,
    own: tuple[FloatArray, FloatArray],
    n: npt.NDArray[np.intp],
) -> Noise:
    """Return variances moderated to a trend on the level (Sartor et al. 2006)."""
    s2, df = own
    factor = np.ones(len(means))
    for _ in range(_N_TREND_ITERATIONS):  # the noisier a model, the less is known of its level
        flat = moderated(s2 / factor, df)
        errors = factor * flat.prior_variances / np.maximum(n, 1)
        factor = trend.factor(shrunk(level_prior(predicted, means, errors)[0], means, errors))
    flat = moderated(s2 / factor, df)
    return Noise(factor * flat.variances, flat.df, factor * flat.prior_variances, flat.prior_df)


def roughly_moderated(s2: FloatArray, df: FloatArray) -> FloatArray:
    """Return variances drawn to a typical one, as if that were worth a few degrees of freedom.

    As for noise with a t distribution (Lange, Little & Taylor 1989); the typical variance is the
    median, by that of a chi-squared distribution.
    """
    there = df > 0.0
    if not (s2[there] > 0.0).any():
        return np.ones(len(s2))
    # Median of chi2(d) / d: Wilson & Hilferty (1931).
    medians = s2[there] / (1.0 - 2.0 / (9.0 * np.maximum(df[there], 0.5))) ** 3
    typical = float(np.median(medians)) or float(np.median(medians[medians > 0.0]))
    return moderate_variances(s2, df, prior_variance=typical, prior_df=_ROUGH_DF).posterior
