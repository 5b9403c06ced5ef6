"""Moderated variances: empirical Bayes for many models with few instances each."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._variance_prior import fit_censored
from optuna_robust._statistics.comparison._variance_prior import fit_moments
from optuna_robust._statistics.comparison._variance_prior import prior_df_of_outliers
from optuna_robust._statistics.comparison._variance_prior import with_order


# Relative to their median: smaller variances are raised to it, as in limma.
_SMALLEST = 1e-5


@dataclass(frozen=True)
class ModeratedVariances:
    """Variances that have borrowed strength from each other.

    Attributes:
        posterior: Moderated variances, of the shape of the given ones.
        prior_variance: What they are drawn to; NaN if no prior could be fitted.
        prior_df: Degrees of freedom that the prior is worth; may be infinite, and is 0 if no
            prior could be fitted.
        own_prior_df: ``prior_df`` of every variance: less for an outlying one.
        total_df: Degrees of freedom of ``posterior``: those of the variance and its
            prior together, but no more than ``pooled_df``.
        pooled_df: Sum of the degrees of freedom that the prior was fitted to; infinite for a
            given prior.
    """

    posterior: FloatArray
    prior_variance: float
    prior_df: float
    own_prior_df: FloatArray
    total_df: FloatArray
    pooled_df: float


def moderate_variances(
    variances: npt.ArrayLike,
    df: npt.ArrayLike,
    *,
    robust: bool = False,
    outlier_share: float = 0.1,
    keep_order: bool = False,
    prior_variance: float | None = None,
    prior_df: float | None = None,
) -> ModeratedVariances:
    """Moderate variances towards what they have in common.

    In the model of Smyth (2004) a sample variance with d degrees of freedom is
    ``s2 ~ sigma2 chi2(d) / d``, and the true variances vary as ``1 / sigma2 ~ chi2(d0) / (d0
    s02)`` (section 3). The moderated variance is ``(d0 s02 + d s2) / (d0 + d)``, and a t statistic
    made with it has d0 + d degrees of freedom.

    ``robust=False`` fits the prior to the mean and the variance of log s2 (Smyth 2004, section
    6.2), as limma does (``fitFDist``): variances are first raised to 1e-5 times their median, and
    if they vary no more than chance does, d0 is infinite and s02 their mean. Where d differs
    between models, the moments are weighted with the inverse of their variances (Paule & Mandel
    1982) and that mean with d, for which limma has no weights; with equal d it makes no
    difference.

    ``robust=True`` follows the idea of Phipson et al. (2016): variances that are outlying (those
    of hypervariable models) neither inflate the prior nor are drawn to it. The prior maximises the
    likelihood of ``s2 / s02 ~ F(d, d0)``, where of a share of the largest variances nothing is
    used but that they are larger than the others (type II censoring). Phipson et al. match the
    moments of Winsorised log s2; the likelihood needs no equal d, and with one degree of freedom,
    when log s2 has a long left tail, its error in trigamma(d0 / 2) is 0.3 to 0.7 times that of
    moments, also where nothing is outlying. If 5 % of the models have a hundredfold variance,
    trigamma(d0 / 2), the variance of log sigma2 among models, rises by 0.1 to 0.5 and s02 stays,
    where moments rise by about 1. Outlying variances then get a smaller d0, as in limma's
    ``fitFDistRobustly``: smaller, the less probable it is that they are none, down to the d0 that
    makes the largest of them a median one. If more variances are outlying than the share, d0 is
    too small: models borrow little strength, which costs power.

    Args:
        variances:
            Sample variances, shape ``(n_models,)``; NaN = none. 0 is a variance like others.
        df:
            Their degrees of freedom, a number or of the same shape; 0 = none.
        robust:
            Whether to guard against outlying variances.
        outlier_share:
            Share of the variances, rounded down, that ``robust`` lets be outlying without harm;
            0 = plain maximum likelihood, which is the most efficient for clean variances.
        keep_order:
            Whether models' variances are held to differ, however little the given ones say so.
            With an infinite d0 all moderated variances are equal and a ranking by them arbitrary.
            With this, the variance of log sigma2 among models, trigamma(d0 / 2), is at least one
            standard error of its best estimate for models that do not differ, ``sqrt(8 /
            sum(d (d + 2)))`` (the inverse of its Fisher information), so that d0 is finite and
            models with equal d keep their order. One standard error is about what a weak prior
            gives where the estimate is 0 (Chung et al. 2013). Of a given prior, this changes
            an infinite d0 only.
        prior_variance:
            A known s02, for example from when there were more models.
        prior_df:
            The known d0 that goes with it, possibly infinite. Then nothing is fitted, no variance
            is outlying, and ``total_df`` has no bound: pass ``min(prior_df, pooled_df)`` of the
            fit to keep its bound.

    Returns:
        The moderated variances. A model without a variance has ``prior_variance`` and d0 degrees
        of freedom. With fewer than two variances, or if all are 0, no prior is fitted: the
        variances stay as they are.

        An infinite variance stays infinite, and does not take part in the fit.

    Raises:
        ValueError: If shapes do not fit, a variance or ``df`` is negative, ``outlier_share`` is
            not in [0, 0.5], a known prior is not positive, or only half of it is given.

    Example:
        >>> from optuna_robust.comparison import moderate_variances
        >>> found = moderate_variances([0.5, 1.0, 2.0, 9.0, float("nan")], [2, 2, 2, 2, 0])
        >>> round(found.prior_variance, 3), round(found.prior_df, 3)
        (3.125, inf)
        >>> found = moderate_variances([0.5, 1.0, 2.0, 30.0, float("nan")], [2, 2, 2, 2, 0])
        >>> found.posterior.round(2), found.total_df.round(2)
        (array([ 1.46,  1.71,  2.2 , 15.97,  2.39]), array([4.07, 4.07, 4.07, 4.07, 2.07]))
    """
    matrix, dfs = _check_variances(variances, df)
    check_between("outlier_share", outlier_share, 0.0, 0.5, closed=True)
    usable = (dfs > 0.0) & np.isfinite(matrix)
    s2, d = matrix[usable], dfs[usable]
    own_prior_df = np.zeros(len(matrix))
    pooled_df = math.inf
    if prior_variance is not None and prior_df is not None:
        s02 = check_between("prior_variance", prior_variance, 0.0, math.inf)
        d0 = check_between("prior_df", prior_df, 0.0, math.inf, closed=True)
        if keep_order and math.isinf(d0):
            s02, d0 = with_order(s02, d0, d)
        own_prior_df[:] = d0
    elif prior_variance is not None or prior_df is not None:
        raise ValueError("prior_variance and prior_df must be given together.")
    else:
        pooled_df = float(d.sum())
        s02, d0 = math.nan, 0.0
        if len(s2) > 1 and (s2 > 0.0).any():
            s2 = np.maximum(s2, _SMALLEST * _typical(s2))
            s02, d0 = fit_censored(s2, d, outlier_share) if robust else fit_moments(s2, d)
            if keep_order:
                s02, d0 = with_order(s02, d0, d)
            own_prior_df[:] = d0
            if robust:
                own_prior_df[usable] = prior_df_of_outliers(s2, d, s02, d0)
    posterior = _posterior(matrix, dfs, s02, own_prior_df)
    total_df = np.minimum(dfs + own_prior_df, pooled_df)
    return ModeratedVariances(posterior, s02, d0, own_prior_df, total_df, pooled_df)


def _check_variances(variances: npt.ArrayLike, df: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return variances and degrees of freedom of one shape, 0 where there is no variance."""
    values = np.asarray(variances, dtype=np.float64)
    dfs = np.asarray(df, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"variances must have one dimension, but had the shape {values.shape}.")
    if dfs.shape not in ((), values.shape):
        raise ValueError(
            f"df must be a number or have the shape of the variances, {values.shape}, "
            f"but had {dfs.shape}."
        )
    if (values < 0.0).any():
        raise ValueError(f"variances must not be negative, but one was {values.min()}.")
    if not (np.isfinite(dfs) & (dfs >= 0.0)).all():
        raise ValueError("df must be finite and not negative.")
    return values, np.where(np.isnan(values), 0.0, dfs)


def _typical(s2: FloatArray) -> float:
    median = float(np.median(s2))
    return median if median > 0.0 else float(np.median(s2[s2 > 0.0]))


def _posterior(s2: FloatArray, d: FloatArray, s02: float, d0: FloatArray) -> FloatArray:
    """Return the moderated variances."""
    without = np.isinf(s2) | (d0 == 0.0)
    weight = np.ones(len(s2))  # of the variance as it is
    with np.errstate(invalid="ignore"):
        np.divide(d, d + d0, out=weight, where=~without)
    own = np.where(d > 0.0, s2, np.where(without, np.nan, 0.0))
    posterior = own.copy()
    # Smyth (2004), section 3: (d0 s02 + d s2) / (d0 + d).
    posterior[~without] = (weight * own + (1.0 - weight) * s02)[~without]
    return posterior
