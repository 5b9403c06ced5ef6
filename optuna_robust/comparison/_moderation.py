"""Moderated variances: empirical Bayes for many models with few instances each."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from optuna_robust.arguments import check_between
from optuna_robust.criteria import FloatArray


# Relative to their median: smaller variances are raised to it, as in limma.
_SMALLEST = 1e-5
# Range in which prior degrees of freedom are looked for by likelihood; more are infinite.
_FEWEST_PRIOR_DF = 0.01
_MOST_PRIOR_DF = 1e4
_MOST_STEPS = 100
# As good as infinite for a t distribution.
_MOST_DF = 1e6
# As good as known: the smaller of two standard errors, relative to the larger one.
_SMALLEST_SCALE = 1e-9
# Of integrals over a t distribution, and how far they go.
_NODES = 24
_MOST_T = 1e3


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


class LogSpread(NamedTuple):
    """Estimated logarithms of variances."""

    mean: FloatArray
    standard_error: FloatArray


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
    made with it has d0 + d degrees of freedom; :func:`difference_p_value` tests the difference of
    two levels with such variances.

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
            s02, d0 = _with_order(s02, d0, d)
        own_prior_df[:] = d0
    elif prior_variance is not None or prior_df is not None:
        raise ValueError("prior_variance and prior_df must be given together.")
    else:
        pooled_df = float(d.sum())
        s02, d0 = math.nan, 0.0
        if len(s2) > 1 and (s2 > 0.0).any():
            s2 = np.maximum(s2, _SMALLEST * _typical(s2))
            s02, d0 = _fit_censored(s2, d, outlier_share) if robust else _fit_moments(s2, d)
            if keep_order:
                s02, d0 = _with_order(s02, d0, d)
            own_prior_df[:] = d0
            if robust:
                own_prior_df[usable] = _prior_df_of_outliers(s2, d, s02, d0)
    posterior = _posterior(matrix, dfs, s02, own_prior_df)
    total_df = np.minimum(dfs + own_prior_df, pooled_df)
    return ModeratedVariances(posterior, s02, d0, own_prior_df, total_df, pooled_df)


def moderated_log_spread(
    variances: npt.ArrayLike,
    df: npt.ArrayLike,
    *,
    robust: bool = False,
    outlier_share: float = 0.1,
    prior_variance: float | None = None,
    prior_df: float | None = None,
) -> LogSpread:
    """Return what is known of the logarithm of every model's variance.

    The posterior of sigma2 in the model of :func:`moderate_variances` is ``D s2_post / chi2(D)``
    with D = d0 + d, so that log sigma2 has the mean ``log(s2_post) + log(D / 2) - digamma(D / 2)``
    and the variance ``trigamma(D / 2)``. Weighting log s2 and the prior with their inverse
    variances instead, the best linear estimate, gives models with equal d the same order. Its
    squared error is up to a third larger with one or two degrees of freedom, since a lucky tiny
    variance, of two nearly equal losses, has no bound there; it is smaller, up to a quarter, where
    d is larger and variances differ more than by a factor of 10.

    The prior never says that all models are alike (``keep_order=True``), so that criteria of
    spread can be ranked by the mean. The standard deviation is ``exp(mean / 2)``.

    Args:
        variances:
            Sample variances, as for :func:`moderate_variances`; for criteria of spread those of
            the losses as measured, with the instances' effects in.
        df:
            Their degrees of freedom.
        robust:
            Whether to guard against outlying variances.
        outlier_share:
            As for :func:`moderate_variances`.
        prior_variance:
            As for :func:`moderate_variances`.
        prior_df:
            As for :func:`moderate_variances`.

    Returns:
        Posterior means and standard deviations of the (natural) logarithm of the variances, each
        of shape ``(n_models,)``: those of the prior for a model without a variance; NaN if there
        is no prior either, and minus infinity if a model's losses are identical and there is no
        prior.

    Raises:
        ValueError: As for :func:`moderate_variances`.

    Example:
        >>> from optuna_robust.comparison import moderated_log_spread
        >>> spread = moderated_log_spread([1.0, 1.1, 1.2, float("nan")], [4, 4, 4, 0])
        >>> spread.mean.round(3), spread.standard_error.round(3)
        (array([0.059, 0.096, 0.132, 0.095]), array([0.448, 0.448, 0.448, 0.577]))
    """
    found = moderate_variances(
        variances,
        df,
        robust=robust,
        outlier_share=outlier_share,
        keep_order=True,
        prior_variance=prior_variance,
        prior_df=prior_df,
    )
    from scipy import special  # noqa: PLC0415

    half = (_check_variances(variances, df)[1] + found.own_prior_df) / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.log(found.posterior) - _log_moment(half)
        standard_error = np.sqrt(special.polygamma(1, half))
    unknown = np.isnan(mean)
    standard_error[unknown] = np.nan
    return LogSpread(mean, standard_error)


def difference_p_value(
    difference: npt.ArrayLike,
    variance: npt.ArrayLike,
    df: npt.ArrayLike,
    reference_variance: npt.ArrayLike,
    reference_df: npt.ArrayLike,
) -> FloatArray:
    """Return the one-sided p-value of a difference of two levels with moderated variances.

    In the model of Smyth (2004) the t statistic of a level has ``total_df`` degrees of freedom
    and is independent of its moderated variance. The difference of two levels is thus distributed
    as ``s1 t1 + s2 t2`` given both standard errors (Behrens 1929, Fisher 1935), with no
    approximation but that of the prior. The degrees of freedom of Welch (1947) and Satterthwaite
    (1946) are too many here: 8 % instead of 5 % with two instances each and d0 = 4.

    The p-value is also the posterior probability, for a flat prior of levels, that the sign of
    the difference is wrong.

    Args:
        difference:
            Level less reference level (less a tolerance, if differences up to it do not count);
            large ones have small p-values. All arguments broadcast.
        variance:
            Variance of the level: the moderated variance over the number of instances.
        df:
            Its degrees of freedom; may be infinite.
        reference_variance:
            Variance of the reference level.
        reference_df:
            Its degrees of freedom.

    Returns:
        P-values, with an error of about 1e-3 of them in the tail too; NaN where a variance or the
        difference is NaN, or a degree of freedom is 0.

    Example:
        >>> from optuna_robust.comparison import difference_p_value
        >>> difference_p_value([0.0, 1.0, 2.0], 0.1, 4.0, 0.2, float("inf")).round(3)
        array([0.5  , 0.051, 0.003])
    """
    from scipy import special  # noqa: PLC0415

    x, v1, d1, v2, d2 = np.broadcast_arrays(
        *(
            np.asarray(value, dtype=np.float64)
            for value in (difference, variance, df, reference_variance, reference_df)
        )
    )
    known = (d1 > 0.0) & (d2 > 0.0) & (v1 >= 0.0) & (v2 >= 0.0)
    with np.errstate(invalid="ignore", over="ignore"):
        s1, s2 = np.sqrt(v1), np.sqrt(v2)
        smallest = np.maximum(_SMALLEST_SCALE * np.maximum(s1, s2), 1e-300)
        s1, s2 = np.maximum(s1, smallest), np.maximum(s2, smallest)
        d1, d2 = np.where(known, np.minimum([d1, d2], _MOST_DF), 1.0)
        half = np.abs(x) / 2.0
        # The sum exceeds 2 half if both terms exceed half, or one of them does and the other
        # does not, but leaves it little enough to exceed.
        tail = special.stdtr(d1, -half / s1) * special.stdtr(d2, -half / s2)
        tail += _tail_beside(half, s1, d1, s2, d2) + _tail_beside(half, s2, d2, s1, d1)
        p_values = np.where(x < 0.0, 1.0 - tail, tail)
    return np.where(known, p_values, np.nan)


def _tail_beside(
    half: FloatArray, s1: FloatArray, d1: FloatArray, s2: FloatArray, d2: FloatArray
) -> FloatArray:
    """Return the probability that ``s1 t1 + s2 t2 > 2 half`` and ``s2 t2 < half``.

    The integral over ``t2 = sinh(v)``: the tail of t1 is beyond ``half`` and smooth.
    """
    from scipy import special  # noqa: PLC0415

    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    some_d, which = np.unique(d2, return_inverse=True)
    farthest = np.minimum(-special.stdtrit(some_d, 1e-10), _MOST_T)[which].reshape(d2.shape)
    peak = (special.poch(some_d / 2.0, 0.5) / np.sqrt(np.pi * some_d))[which].reshape(d2.shape)
    low, high = -np.arcsinh(farthest), np.arcsinh(np.minimum(half / s2, farthest))
    v = ((low + high)[..., None] + (high - low)[..., None] * nodes) / 2.0
    t = np.sinh(v)
    d = d2[..., None]
    density = np.exp(-(d + 1.0) / 2.0 * np.log1p(t**2 / d)) * np.cosh(v)
    gap = (2.0 * half[..., None] - s2[..., None] * t) / s1[..., None]
    integral = (special.stdtr(d1[..., None], -gap) * density) @ weights
    return np.asarray(integral * peak * (high - low) / 2.0)


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
    """Smyth (2004), section 3."""
    without = np.isinf(s2) | (d0 == 0.0)
    weight = np.ones(len(s2))  # of the variance as it is
    with np.errstate(invalid="ignore"):
        np.divide(d, d + d0, out=weight, where=~without)
    own = np.where(d > 0.0, s2, np.where(without, np.nan, 0.0))
    posterior = own.copy()
    posterior[~without] = (weight * own + (1.0 - weight) * s02)[~without]
    return posterior


def _log_moment(half_df: npt.ArrayLike) -> FloatArray:
    """Return E log(chi2(d) / d) for d / 2; 0 for infinite d."""
    from scipy import special  # noqa: PLC0415

    half = np.asarray(half_df, dtype=np.float64)
    finite = np.minimum(half, 1e15)  # infinity minus infinity
    return np.asarray(special.digamma(finite) - np.log(finite))


def _inverse_trigamma(value: float) -> float:
    """Solve ``trigamma(x) = value`` by Newton's method on 1 / trigamma (Smyth 2004, appendix).

    It is convex and nearly linear, so that the steps go up to the solution from below.
    """
    from scipy import special  # noqa: PLC0415

    x = 0.5 + 1.0 / value
    for _ in range(_MOST_STEPS):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1.0 - trigamma / value) / float(special.polygamma(2, x))
        x += step
        if abs(step) <= 1e-13 * x:
            break
    return x


def _fit_moments(s2: FloatArray, d: FloatArray) -> tuple[float, float]:
    """Return s02 and d0 by the moments of log s2 (Smyth 2004, section 6.2)."""
    from scipy import special  # noqa: PLC0415

    e = np.log(s2) - _log_moment(d / 2.0)
    chance = special.polygamma(1, d / 2.0)
    between = 0.0
    # Paule & Mandel (1982): the weighted sum of squares is convex and falls in what is between
    # the models, so that Newton's steps go up to the solution from below.
    for _ in range(_MOST_STEPS):
        weights = 1.0 / (chance + between)
        mean = float(weights @ e / weights.sum())
        squares = weights * (e - mean) ** 2
        excess = float(squares.sum()) - (len(e) - 1)
        if excess <= 1e-13 * len(e):
            break
        between += excess / float(squares @ weights)
    if between <= 0.0:
        return float(d @ s2 / d.sum()), math.inf
    d0 = 2.0 * _inverse_trigamma(between)
    return math.exp(mean + float(_log_moment(d0 / 2.0))), d0


def _with_order(s02: float, d0: float, d: FloatArray) -> tuple[float, float]:
    """Return a prior in which models differ by what the variances cannot exclude, at least."""
    from scipy import special  # noqa: PLC0415

    information = float((d * (d + 2.0)).sum()) / 8.0
    if information == 0.0:
        return s02, d0
    least = 1.0 / math.sqrt(information)
    if math.isfinite(d0) and float(special.polygamma(1, d0 / 2.0)) >= least:
        return s02, d0
    wider = 2.0 * _inverse_trigamma(least)
    # The mean of log sigma2 stays.
    change = float(_log_moment(wider / 2.0)) - float(_log_moment(d0 / 2.0))
    return s02 * math.exp(change), wider


def _fit_censored(s2: FloatArray, d: FloatArray, outlier_share: float) -> tuple[float, float]:
    """Return s02 and d0 by likelihood, with the largest variances censored."""
    from scipy import optimize  # noqa: PLC0415

    order = np.argsort(s2, kind="stable")
    n_censored = int(outlier_share * len(s2))
    n_used = len(s2) - n_censored
    z, d = np.log(s2[order]), d[order]
    z[n_used:] = z[n_used - 1]

    grid = np.linspace(math.log(_FEWEST_PRIOR_DF), math.log(_MOST_PRIOR_DF), 9)
    fits = [_fit_location(z, d, n_used, math.exp(log_d0)) for log_d0 in grid]
    best = int(np.argmax([likelihood for likelihood, _ in fits]))
    start = fits[best][1]

    def loss(log_d0: float) -> float:
        return -_fit_location(z, d, n_used, math.exp(log_d0), start)[0]

    bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = optimize.minimize_scalar(
        loss, bounds=bounds, method="bounded", options={"xatol": 1e-7}
    )
    d0 = math.exp(found.x)
    likelihood, location = _fit_location(z, d, n_used, d0, start)
    likelihood_alike, location_alike = _fit_location(z, d, n_used, math.inf, start)
    if likelihood_alike >= likelihood - 1e-9 * len(z):
        return math.exp(location_alike), math.inf
    return math.exp(location), d0


def _fit_location(
    z: FloatArray, d: FloatArray, n_used: int, d0: float, start: float | None = None
) -> tuple[float, float]:
    """Return the largest log-likelihood of log s2 for a d0, and the log s02 that has it.

    ``z - log s02`` is the logarithm of F(d, d0); of those after the first ``n_used``, which equal
    the last used, it is known that they are larger. The likelihood is concave in log s02.
    """
    from scipy import special  # noqa: PLC0415

    half = d / 2.0
    location = float(np.median(z[:n_used])) if start is None else start
    for _ in range(_MOST_STEPS):
        if math.isinf(d0):
            power = half * np.exp(np.minimum(z - location, 500.0))
            log_density = half * np.log(power) - power - special.gammaln(half)
            slope, bend = half - power, -power
            log_tail = np.log(np.maximum(special.gammaincc(half[n_used:], power[n_used:]), 1e-300))
        else:
            log_odds = z - location + np.log(d / d0)
            odds = special.expit(log_odds)
            log_density = (
                half * log_odds
                - (half + d0 / 2.0) * np.logaddexp(0.0, log_odds)
                - special.betaln(half, d0 / 2.0)
            )
            slope = half - (half + d0 / 2.0) * odds
            bend = -(half + d0 / 2.0) * odds * (1.0 - odds)
            tail = special.betainc(d0 / 2.0, half[n_used:], special.expit(-log_odds[n_used:]))
            log_tail = np.log(np.maximum(tail, 1e-300))
        hazard = np.exp(log_density[n_used:] - log_tail)
        gradient = float(hazard.sum() - slope[:n_used].sum())
        curvature = float((hazard * (slope[n_used:] + hazard)).sum() - bend[:n_used].sum())
        step = min(max(gradient / curvature, -1.0), 1.0) if curvature > 0.0 else 0.0
        if abs(step) < 1e-10:
            break
        location += step
    return float(log_density[:n_used].sum() + log_tail.sum()), location


def _prior_df_of_outliers(s2: FloatArray, d: FloatArray, s02: float, d0: float) -> FloatArray:
    """Return a smaller d0 for variances that are too large for the prior.

    Phipson et al. (2016), as in limma: p is the probability of such a variance, and a variance is
    no outlier with the probability p over the share of variances that are as extreme.
    """
    from scipy import optimize  # noqa: PLC0415

    ratio = s2 / s02
    tail = _f_tail(ratio, d, d0)
    _, which, ties = np.unique(tail, return_inverse=True, return_counts=True)
    share = (np.cumsum(ties) - ties / 2.0)[which] / len(s2)
    regular = np.minimum(tail / share, 1.0)
    if (regular >= 1.0).all():
        return np.full(len(s2), d0)
    order = np.argsort(tail, kind="stable")
    if math.isinf(d0):
        found = np.where(regular < 1.0, regular * d.sum(), math.inf)
    else:
        first = order[0]

        def excess(log_d0: float) -> float:
            return float(_f_tail(ratio[first], d[first], math.exp(log_d0))) - 0.5

        low, high = math.log(_FEWEST_PRIOR_DF), math.log(d0)
        smallest = _FEWEST_PRIOR_DF
        if low < high and excess(low) > 0.0 > excess(high):
            smallest = math.exp(optimize.brentq(excess, low, high))
        found = regular * d0 + (1.0 - regular) * min(smallest, d0)
        # The most extreme ones share a d0, so that it rises with the probability.
        means = np.cumsum(found[order]) / np.arange(1, len(order) + 1)
        n_extreme = int(np.argmin(means)) + 1
        found[order[:n_extreme]] = means[n_extreme - 1]
    found[order] = np.maximum.accumulate(found[order])
    return np.asarray(found)


def _f_tail(ratio: npt.ArrayLike, d: npt.ArrayLike, d0: float) -> FloatArray:
    """Return the probability that F(d, d0) is at least the ratio."""
    from scipy import special  # noqa: PLC0415

    half, size = np.asarray(d) / 2.0, np.asarray(d) * np.asarray(ratio)
    if math.isinf(d0):
        return np.asarray(special.gammaincc(half, size / 2.0))
    return np.asarray(special.betainc(d0 / 2.0, half, d0 / (d0 + size)))
