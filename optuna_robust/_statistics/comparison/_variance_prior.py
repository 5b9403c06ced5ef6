"""The prior that variances are moderated to, fitted to them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arrays import FloatArray


# Range in which prior degrees of freedom are looked for by likelihood; more are infinite.
_FEWEST_PRIOR_DF = 0.01
_MOST_PRIOR_DF = 1e4
_MOST_STEPS = 100


def fit_moments(s2: FloatArray, d: FloatArray) -> tuple[float, float]:
    """Return s02 and d0 by the moments of log s2 (Smyth 2004, section 6.2)."""
    from scipy import special  # noqa: PLC0415

    # Smyth (2004), section 6.2: e has the mean log s02 less the same moment of chi2(d0), and the
    # variance trigamma(d / 2) + trigamma(d0 / 2).
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


def with_order(s02: float, d0: float, d: FloatArray) -> tuple[float, float]:
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


def fit_censored(s2: FloatArray, d: FloatArray, outlier_share: float) -> tuple[float, float]:
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


def prior_df_of_outliers(s2: FloatArray, d: FloatArray, s02: float, d0: float) -> FloatArray:
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
            # The density of log F(d, d0), where s2 / s02 is the F (Smyth 2004, section 3).
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


def _f_tail(ratio: npt.ArrayLike, d: npt.ArrayLike, d0: float) -> FloatArray:
    """Return the probability that F(d, d0) is at least the ratio."""
    from scipy import special  # noqa: PLC0415

    half, size = np.asarray(d) / 2.0, np.asarray(d) * np.asarray(ratio)
    if math.isinf(d0):
        return np.asarray(special.gammaincc(half, size / 2.0))
    return np.asarray(special.betainc(d0 / 2.0, half, d0 / (d0 + size)))
