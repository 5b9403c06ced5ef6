"""Power of tests that tell two models apart: exact where possible, else from simulation."""

from __future__ import annotations

from functools import lru_cache
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.criteria import CRITERIA
from optuna_robust._statistics.criteria import Criterion


# Of integrals over chi-squared distributions.
_NODES = 100
# Pairs of models that are simulated: standard deviations err by 0.5 % ...
_MOST_PAIRS = 20_000
# ... or, of a user's function, which is called once a model, by 1.6 %.
_FEW_PAIRS = 2_000
# Losses of all first models of the pairs, which bounds the memory (32 MiB).
_MOST_LOSSES = 2**22
# With more instances, statistics that are asymptotically normal follow their square root.
_ASYMPTOTIC = 128


class SimulatedDifference(NamedTuple):
    """A criterion of two models that are alike, over many pairs of them.

    Attributes:
        mean: Mean of the criterion.
        std: Standard deviation of the difference of the two.
        log_std: Standard deviation of the difference of their logarithms; NaN for a criterion
            that is not a spread.
    """

    mean: float
    std: float
    log_std: float


def t_test_power(noncentrality: npt.ArrayLike, df: float, alpha: float) -> FloatArray:
    """Return the power of two-sided t tests.

    The noncentral t distribution, ``T = (Z + noncentrality) / sqrt(chi2(df) / df)``, as an
    integral over the chi-squared variable. (``scipy.stats.nct`` is NaN in the far tail.)

    Args:
        noncentrality:
            Difference over its standard error, of any shape.
        df:
            Degrees of freedom of the standard error.
        alpha:
            Level.

    Returns:
        Power, of the shape of ``noncentrality``.
    """
    from scipy import special  # noqa: PLC0415

    shares, weights = _chi_squared_nodes()
    scale = np.sqrt(2.0 * special.gammaincinv(df / 2.0, shares) / df)
    critical = -special.stdtrit(df, alpha / 2.0) * scale
    shift = np.asarray(noncentrality, dtype=np.float64)[..., None]
    rejected = special.ndtr(shift - critical) + special.ndtr(-shift - critical)
    return np.asarray(rejected @ weights)


def normal_test_power(noncentrality: float, alpha: float) -> float:
    """Return the power of a two-sided test whose standard error is known."""
    from scipy import special  # noqa: PLC0415

    critical = -special.ndtri(alpha / 2.0)
    shift = noncentrality
    return float(special.ndtr(shift - critical) + special.ndtr(-shift - critical))


def variance_ratio_power(ratio: float, n: int, alpha: float) -> float:
    """Return the power of the two-sided F test of two models with n instances each.

    For normal losses ``s2_y / s2_x`` is ``ratio**2`` times an F(n - 1, n - 1) variable.

    Args:
        ratio:
            Of the true standard deviations, above 1.
        n:
            Instances of each model.
        alpha:
            Level.
    """
    from scipy import special  # noqa: PLC0415

    df = n - 1.0
    critical = special.fdtri(df, df, 1.0 - alpha / 2.0)
    # Lehmann & Romano (2005), section 5.3.
    upper = special.fdtrc(df, df, critical / ratio**2)
    return float(upper + special.fdtr(df, df, 1.0 / (critical * ratio**2)))


def pitman_morgan_power(ratio: float, correlation: float, n: int, alpha: float) -> float:
    """Return the power of the two-sided test of Pitman (1939) and Morgan (1939).

    The variances of x and y differ if x + y and x - y are correlated, and given the sums the t
    statistic of that correlation, with n - 2 degrees of freedom, is a noncentral t variable. Its
    noncentrality is the slope of x - y on x + y, over its residual standard deviation, times the
    root of the sum of squares of x + y: ``(ratio**2 - 1) / (2 sqrt(ratio**2 - correlation**2))``
    times the root of a chi2(n - 1) variable, which is integrated out. Exact for normal losses.

    Args:
        ratio:
            Of the true standard deviations, above 1.
        correlation:
            Covariance of the two models' losses over the variance of the less variable one.
        n:
            Common instances.
        alpha:
            Level.
    """
    from scipy import special  # noqa: PLC0415

    shares, weights = _chi_squared_nodes()
    size = np.sqrt(2.0 * special.gammaincinv((n - 1) / 2.0, shares))
    slope = (ratio**2 - 1.0) / (2.0 * math.sqrt(ratio**2 - correlation**2))
    return float(t_test_power(slope * size, n - 2.0, alpha) @ weights)


def is_known(criterion: Criterion) -> bool:
    """Return True if a criterion is one of this package."""
    return CRITERIA.get(criterion.name) is criterion


def is_asymptotically_normal(criterion: Criterion) -> bool:
    """Return True if the standard deviation of a criterion is known to fall with root n."""
    return is_known(criterion) and criterion.name not in ("max", "min")


def simulated_difference(
    criterion: Criterion, n: int, *, level: float, noise: float, instances: float
) -> SimulatedDifference:
    """Return how a criterion of two models that are alike differs by chance.

    Losses are normal: ``level + noise + instance effect``. The criteria of this package follow
    shift and scale, so that they are simulated for losses of variance 1 and once for all.

    Args:
        criterion:
            The criterion.
        n:
            Instances of each model.
        level:
            Mean of the losses.
        noise:
            Variance of a model's own noise.
        instances:
            Variance of the effects of instances, which are common to both models.
    """
    if not is_known(criterion):
        return _simulate(criterion, n, _FEW_PAIRS, level=level, noise=noise, instances=instances)
    total = noise + instances
    simulated = min(n, _ASYMPTOTIC) if is_asymptotically_normal(criterion) else n
    unit = _simulate_unit(criterion.name, simulated, instances / total)
    scale, shrinks = math.sqrt(total), math.sqrt(simulated / n)
    return SimulatedDifference(
        scale * unit.mean + (0.0 if criterion.kind == "spread" else level),
        scale * shrinks * unit.std,
        shrinks * unit.log_std,
    )


@lru_cache(maxsize=4096)
def _simulate_unit(name: str, n: int, correlation: float) -> SimulatedDifference:
    return _simulate(
        CRITERIA[name],
        n,
        _MOST_PAIRS,
        level=0.0,
        noise=1.0 - correlation,
        instances=correlation,
    )


def _simulate(
    criterion: Criterion, n: int, n_pairs: int, *, level: float, noise: float, instances: float
) -> SimulatedDifference:
    n_pairs = max(min(n_pairs, _MOST_LOSSES // n), 1)
    # The first instances are the same for every n, so that chance hardly disturbs how the
    # deviation falls with n. Three streams, since the number of draws depends on n.
    common, *own = (np.random.default_rng([stream, 0]) for stream in range(3))
    shared = np.full((n, n_pairs), level)
    if instances > 0.0:
        shared += math.sqrt(instances) * common.standard_normal((n, n_pairs))
    values = np.empty((2, n_pairs))
    for model, rng in enumerate(own):
        losses = shared + math.sqrt(noise) * rng.standard_normal((n, n_pairs))
        values[model] = criterion(losses.T)
    log_std = math.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        if criterion.kind == "spread":
            log_std = _root_mean_square(np.log(values[0]) - np.log(values[1]))
        return SimulatedDifference(
            float(values.mean()), _root_mean_square(values[0] - values[1]), log_std
        )


def _root_mean_square(differences: FloatArray) -> float:
    """Return the standard deviation of differences whose mean is 0 by symmetry."""
    return float(np.sqrt(np.mean(differences**2)))


@lru_cache(maxsize=1)
def _chi_squared_nodes() -> tuple[FloatArray, FloatArray]:
    """Return probabilities, denser at both ends where quantiles are far apart, and weights."""
    from scipy import special  # noqa: PLC0415

    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    v = (nodes + 1.0) / 2.0
    return special.betainc(4.0, 4.0, v), 70.0 * weights * (v * (1.0 - v)) ** 3
