"""Differences of a criterion on common instances: their errors, intervals and p-values."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arguments import check_count
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._error_scale import error_factor
from optuna_robust._statistics.comparison._error_scale import rank_correlations
from optuna_robust._statistics.comparison._exchange import difference_of
from optuna_robust._statistics.comparison._exchange import exchange_p_value
from optuna_robust._statistics.comparison._intervals import Interval
from optuna_robust._statistics.comparison._resampling import resamples
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion
from optuna_robust._statistics.criteria import identical


# Fewer instances tell too little of the error of a difference.
_FEWEST_INSTANCES = 5
# Resampling cannot go beyond the largest loss seen.
_EXTREMES = ("max", "min")
# Of the bootstrap samples, at either end, that count as the next one: a few samples of few
# instances are made of an outlier, which would make the error of a median useless.
_SHARE_CUT = 0.005
# The standard deviation of a normal distribution that is cut so.
_STD_CUT = 0.99089
# Errors below this, relative to the criterion, are rounding.
_ROUNDING = 1e-12


class PairedComparison(NamedTuple):
    """How two models differ on their common instances."""

    difference: float
    interval: Interval
    p_value: float


_NO_INTERVAL = Interval(math.nan, math.nan)
_UNDEFINED = PairedComparison(math.nan, _NO_INTERVAL, math.nan)


def paired_criterion_test(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    criterion: str | Callable[[FloatArray], float] | Criterion,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> PairedComparison:
    """Compare the criterion of two models on their common instances.

    Interval and p-value are those of one statistic, and agree in every case: p is at most
    ``alpha`` where the interval of confidence 1 - ``alpha`` leaves 0 out. The statistic is the
    difference of the two criteria over its standard error, which is that of a bootstrap of the
    instances (Efron 1979; Efron & Tibshirani 1993, eq. 6.6), drawn for both models jointly, so
    that what instances have in common cancels. It is referred to Student's t distribution with
    n - 1 degrees of freedom. For ``mean`` this is the paired t test but for the randomness of the
    bootstrap. For other criteria the standard error is multiplied by a factor that was found by
    simulation, since that of a few losses is too large for quantiles, and too small for ``std``
    and ``cvar``.

    For normal losses, n from 10 to 100 and any share of noise in common, intervals of 95 %
    cover in 93 to 97 % of all cases (``std`` from 20 on), whether both models vary alike or one
    twice as much as the other. For skewed or heavy-tailed losses, those of ``std`` cover in 87 to
    91 %, those of ``cvar`` in 91 to 94 %. The tables in ``benchmarks/RESULTS.md``, made by
    ``python -m benchmarks confirm-levels``, have the power, too.

    With fewer than 5 instances, an infinite loss, and for ``max`` and ``min`` there is no
    interval, and the p-value is that of an exchange test (Fisher 1935, Pitman 1937). It has its
    level if choosing one or the other model does not matter, cannot go below 2^(1 - n), and has
    little power where models differ in more than what is tested.

    Args:
        x:
            One model's losses, shape ``(n_instances,)``, smaller is better; NaN = not trained.
        y:
            The other model's losses for the same instances. An instance that either lacks is left
            out for both.
        criterion:
            A name or callable as in :func:`~optuna_robust.criteria.get_criterion`. The standard
            error of a callable is that of the bootstrap.
        confidence:
            Nominal coverage of the interval.
        n_resamples:
            Bootstrap samples, or random exchanges.
        seed:
            Seed of both.

    Returns:
        The difference criterion(x) - criterion(y), so that a negative one speaks for x, its
        interval, and the two-sided p-value.

        Everything is NaN with fewer than two common instances, where the criterion of a model is
        undefined, and for a criterion of pure spread if the losses of a model are identical
        (a fixed seed says nothing about spread), unless all pairs are equal: then the difference
        is 0 and p is 1. Two criteria that are infinite alike differ by 0, since neither is
        better; one that is infinite differs infinitely from one that is not, and p counts how
        many exchanges differ as much.

        The interval alone is NaN, and the test an exchange test, in the cases above; if the
        losses of both models are identical over the instances; and if the difference is the same
        in all bootstrap samples, but not 0, so that nothing tells its error. If it is the same in
        every instance, p is 2^(1 - n).

    Raises:
        ValueError: If the shapes do not fit, ``confidence`` is outside (0, 1), or ``n_resamples``
            is below 1.

    Example:
        >>> from optuna_robust.comparison import paired_criterion_test
        >>> x, y = [1.0, 2.0, 3.0, 5.0, 4.0], [2.0, 3.0, 5.0, 6.0, 4.5]
        >>> result = paired_criterion_test(x, y, "mean")
        >>> round(result.difference, 2), round(result.p_value, 2)
        (-1.1, 0.01)
    """
    chosen = get_criterion(criterion)
    pair = losses_of_one_model("x", x), losses_of_one_model("y", y)
    if len(pair[0]) != len(pair[1]):
        raise ValueError(
            "x and y must have the same number of instances, "
            f"but they had {len(pair[0])} and {len(pair[1])}."
        )
    return compare_pairs(
        np.stack(pair), chosen, confidence=confidence, n_resamples=n_resamples, seed=seed
    )[0]


def compare_pairs(
    losses: npt.ArrayLike,
    criterion: str | Callable[[FloatArray], float] | Criterion,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> list[PairedComparison]:
    """Compare the criterion of every two models, as :func:`paired_criterion_test` does.

    One bootstrap serves all pairs of models that have every instance.

    Args:
        losses:
            Losses to be minimised, shape ``(n_models, n_instances)``, with common instances in
            the columns; NaN = not trained.
        criterion:
            As there.
        confidence:
            As there.
        n_resamples:
            As there.
        seed:
            As there.

    Returns:
        A comparison for every pair in the order of ``itertools.combinations``. p-values are not
        corrected for the number of pairs: see :func:`~optuna_robust.comparison.holm`.

    Raises:
        ValueError: If the losses do not have two dimensions, ``confidence`` is outside (0, 1), or
            ``n_resamples`` is below 1.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.comparison import compare_pairs
        >>> losses = np.random.default_rng(0).normal([[0.0], [0.2], [3.0]], 1.0, size=(3, 20))
        >>> [pair.p_value < 0.05 for pair in compare_pairs(losses, "q3+iqr")]
        [False, True, True]
    """
    chosen = get_criterion(criterion)
    check_between("confidence", confidence, 0.0, 1.0)
    check_count("n_resamples", n_resamples, minimum=1)
    matrix = losses_of_models(losses)
    complete = np.logical_not(np.isnan(matrix).any(axis=1))
    errors = np.full((len(matrix), len(matrix)), np.nan)
    errors[np.ix_(complete, complete)] = difference_errors(
        matrix[complete], chosen, n_resamples=n_resamples, seed=seed
    )

    def compare(first: int, second: int) -> PairedComparison:
        pair, error = matrix[[first, second]], float(errors[first, second])
        if not (complete[first] and complete[second]):
            pair = pair[:, ~np.isnan(pair).any(axis=0)]
            error = float(
                difference_errors(pair, chosen, n_resamples=n_resamples, seed=seed)[0, 1]
            )
        compared = _compare(pair, chosen, error, confidence)
        if compared is not None:
            return compared
        values = chosen(pair)
        p_value = exchange_p_value(pair, chosen, n_resamples=n_resamples, seed=seed)
        return PairedComparison(float(difference_of(*values)), _NO_INTERVAL, p_value)

    return [compare(*pair) for pair in combinations(range(len(matrix)), 2)]


def difference_errors(
    losses: FloatArray, criterion: Criterion, *, n_resamples: int, seed: int
) -> FloatArray:
    """Return the standard errors of the differences of every two models' criteria.

    Args:
        losses:
            Losses of shape ``(n_models, n_instances)``, without NaN.
        criterion:
            What is compared.
        n_resamples:
            Bootstrap samples.
        seed:
            Seed of the resampling.

    Returns:
        Errors of shape ``(n_models, n_models)``: NaN where there is no valid one, 0 where the
        difference is the same in all samples.
    """
    n_models, n = losses.shape
    errors = np.full((n_models, n_models), np.nan)
    usable = np.flatnonzero(np.isfinite(losses).all(axis=1))
    if n < _FEWEST_INSTANCES or criterion.name in _EXTREMES or not len(usable):
        return errors
    values = np.concatenate(
        [criterion(sample) for sample in resamples(losses[usable], n_resamples, seed)]
    )
    factors = error_factor(criterion, n, rank_correlations(losses[usable]))
    sizes = np.median(np.abs(values), axis=0)
    for row, model in enumerate(usable):
        with np.errstate(invalid="ignore", over="ignore"):
            spread = bootstrap_spread(values[:, [row]] - values)
        spread[spread <= _ROUNDING * np.maximum(sizes, sizes[row])] = 0.0
        errors[model, usable] = factors[row] * spread
    errors[~np.isfinite(errors)] = np.nan
    return errors


def bootstrap_spread(differences: FloatArray) -> FloatArray:
    """Return the Winsorised standard deviation over bootstrap samples.

    Args:
        differences:
            Shape ``(n_resamples, ...)``.
    """
    ordered = np.sort(differences, axis=0)
    n_cut = int(_SHARE_CUT * len(ordered))
    # Tukey & McLaughlin (1963).
    cut = np.clip(differences, ordered[n_cut], ordered[len(ordered) - 1 - n_cut])
    # Efron & Tibshirani (1993), eq. 6.6.
    return np.asarray(cut.std(axis=0) / (_STD_CUT if n_cut else 1.0))


def losses_of_one_model(name: str, losses: npt.ArrayLike) -> FloatArray:
    """Return the losses of one model as an array.

    Raises:
        ValueError: If they do not have one dimension.
    """
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"{name} must be those of one model, but had the shape {values.shape}.")
    return values


def losses_of_models(losses: npt.ArrayLike) -> FloatArray:
    """Return the losses of several models as an array.

    Raises:
        ValueError: If they do not have two dimensions.
    """
    matrix = np.asarray(losses, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(
            f"losses must have the shape (n_models, n_instances), but had {matrix.shape}."
        )
    return matrix


def _compare(
    losses: FloatArray, criterion: Criterion, error: float, confidence: float
) -> PairedComparison | None:
    """Return the comparison of two models; None where nothing tells the error."""
    from scipy import special  # noqa: PLC0415

    values = criterion(losses)
    same = np.array_equal(losses[0], losses[1])
    fixed = identical(losses)
    n = losses.shape[1]
    if n < 2 or np.isnan(values).any():
        return _UNDEFINED
    if criterion.kind == "spread" and fixed.any() and not same:
        return _UNDEFINED
    if math.isnan(error) or fixed.all():
        return None
    difference = float(difference_of(*values))
    if same:
        return PairedComparison(0.0, Interval(0.0, 0.0), 1.0)
    if error == 0.0:
        return _without_noise(losses, difference)
    # Student (1908), with the standard error of the bootstrap.
    half_width = float(special.stdtrit(n - 1, (1.0 + confidence) / 2.0)) * error
    p_value = 2.0 * float(special.stdtr(n - 1, -abs(difference) / error))
    return PairedComparison(
        difference, Interval(difference - half_width, difference + half_width), p_value
    )


def _without_noise(losses: FloatArray, difference: float) -> PairedComparison | None:
    """Return the comparison of losses that differ by the same in every instance."""
    gaps = losses[0] - losses[1]
    if np.ptp(gaps) > _ROUNDING * np.abs(losses).max():
        return None
    # No exchange of some of the instances makes the mean differ as much.
    return PairedComparison(difference, _NO_INTERVAL, 2.0 ** (1 - len(gaps)))
