"""What a confirmation says beyond a criterion: equal n, who is best, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from itertools import combinations
from itertools import islice
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from optuna_robust.arguments import check_between
from optuna_robust.arguments import check_count
from optuna_robust.comparison._intervals import _MIN_BOOTSTRAP_INSTANCES
from optuna_robust.comparison._intervals import Interval
from optuna_robust.comparison._intervals import is_tail
from optuna_robust.criteria import Criterion
from optuna_robust.criteria import FloatArray
from optuna_robust.criteria import get_criterion
from optuna_robust.criteria import identical
from optuna_robust.criteria import is_better


# Relative difference below which two values of a criterion are the same value.
_TIE_TOLERANCE = 1e-12
# Most losses that are resampled at once (8 MiB), which bounds the memory.
_MOST_LOSSES = 2**20


class PairedComparison(NamedTuple):
    """How two models differ on their common instances."""

    difference: float
    interval: Interval
    p_value: float


_UNDEFINED = PairedComparison(math.nan, Interval(math.nan, math.nan), math.nan)


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Adjust the p-values of several hypotheses, so that no true one is rejected too often.

    The step-down procedure of Holm (1979): rejecting where the adjusted p-value is at most
    ``alpha`` keeps the probability of any false rejection at or below ``alpha``, however the
    p-values depend on each other.

    Args:
        p_values:
            Shape ``(n_hypotheses,)``; NaN = not tested, which does not count as a hypothesis.

    Returns:
        Adjusted p-values of the same shape, in the same order; NaN where the p-value is.

    Raises:
        ValueError: If there is more than one dimension, or a value outside [0, 1].

    Example:
        >>> from optuna_robust.comparison import holm
        >>> holm([0.01, 0.04, float("nan"), 0.03]).round(4).tolist()
        [0.03, 0.06, nan, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"p_values must have one dimension, but had the shape {values.shape}.")
    outside = (values < 0.0) | (values > 1.0)
    if outside.any():
        raise ValueError(f"p_values must lie in [0, 1], but one was {values[outside][0]}.")
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    left = np.arange(len(order), 0, -1)  # hypotheses that are not rejected yet
    adjusted = np.full(len(values), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(left * values[order]), 1.0)
    return adjusted


def value_at(
    losses: npt.ArrayLike,
    criterion: str | Callable[[FloatArray], float] | Criterion,
    n: int,
    *,
    n_subsets: int = 2000,
    seed: int = 0,
) -> float:
    """Return what a criterion is expected to be on ``n`` of a model's instances.

    Values of a criterion are comparable at equal numbers of instances only: the expectation of
    ``q3+iqr`` for standard normal losses is 0.85 at n = 2, 1.48 at 5 and 1.88 at 20. This is the
    mean over all subsets of ``n`` instances (a U-statistic, Hoeffding 1948), which is unbiased
    for that expectation; where they are too many, over random ones (an incomplete U-statistic,
    Blom 1976), which is unbiased too.

    Args:
        losses:
            One model's losses, shape ``(n_instances,)``; NaN = not trained, and left out.
        criterion:
            A name or callable as in :func:`~optuna_robust.criteria.get_criterion`.
        n:
            Number of instances; with all of them it is the criterion itself.
        n_subsets:
            Most subsets that are looked at.
        seed:
            Seed of the random subsets. They depend on the number of losses, not on their values,
            so that models with equally many instances are judged on the same subsets.

    Returns:
        The value; NaN with fewer than ``n`` losses, or where the criterion is undefined at ``n``.
        It is infinite if the criterion is so for some subset, seen or not. As when calling a
        criterion, a spread of identical losses is 0: rank by
        :meth:`~optuna_robust.criteria.Criterion.score`, or keep such models out.

    Raises:
        ValueError: If ``n`` or ``n_subsets`` is below 1, or the losses have more than one
            dimension.

    Example:
        >>> from optuna_robust.comparison import value_at
        >>> value_at([1.0, 2.0, 4.0], "max", 2)  # of the pairs (1, 2), (1, 4) and (2, 4)
        3.3333333333333335
    """
    chosen = get_criterion(criterion)
    check_count("n", n, minimum=1)
    check_count("n_subsets", n_subsets, minimum=1)
    values = _losses_of_one_model("losses", losses)
    values = values[~np.isnan(values)]
    if len(values) < n:
        return math.nan
    subsets = _subsets(len(values), n, n_subsets, seed)
    found = np.concatenate([chosen(values[columns]) for columns in subsets])
    if np.isinf(values).any():
        # Whether random subsets hold enough infinite losses to make the criterion infinite is
        # luck; the subsets with the most of them tell.
        order = np.argsort(values, kind="stable")
        ends = chosen(values[np.sort([order[:n], order[-n:]], axis=1)])
        found = np.concatenate([found, ends[np.isinf(ends)]])
    if np.isnan(found).any():
        return math.nan
    with np.errstate(invalid="ignore"):
        mean = float(found.mean())
    return math.inf if math.isnan(mean) else mean  # infinity minus infinity, as for a criterion


def probability_of_best(
    losses: npt.ArrayLike,
    criterion: str | Callable[[FloatArray], float] | Criterion,
    *,
    n_resamples: int = 4000,
    seed: int = 0,
) -> FloatArray:
    """Return in which share of bootstrap samples of the instances every model is the best.

    Instances are drawn with replacement for all models jointly, since they are common to the
    models. It is a bootstrap probability, the confidence value of the problem of regions (Efron &
    Tibshirani 1998; for phylogenetic trees Felsenstein 1985), and no posterior probability: it
    says how firmly these instances, had they been others of their kind, point at a model. It
    means little with fewer than about 10 instances, and for ``max``, ``min`` and ``cvar``, since
    resampling cannot go beyond the largest loss seen.

    Args:
        losses:
            Losses to be minimised, shape ``(n_models, n_instances)``, with common instances in
            the columns; NaN = not trained. A model that lacks instances is judged on fewer of
            them, which flatters its spread: pass common columns where it lacks many.
        criterion:
            A name or callable as in :func:`~optuna_robust.criteria.get_criterion`.
        n_resamples:
            Bootstrap samples.
        seed:
            Seed of the resampling.

    Returns:
        Shares of shape ``(n_models,)`` that sum to 1, or NaN if no sample has a best model. Of
        models that tie within 1e-12 relative the lowest index is the best. A model without a
        value in a sample is not the best there; samples in which no model has one do not count. A
        spread of identical losses is infinite, as in
        :meth:`~optuna_robust.criteria.Criterion.score`; a sample that repeats a loss by chance is
        not meant by that.

    Raises:
        ValueError: If the losses do not have two dimensions, or ``n_resamples`` is below 1.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.comparison import probability_of_best
        >>> rng = np.random.default_rng(1)
        >>> losses = rng.normal([[0.0], [0.3], [2.0]], 1.0, size=(3, 30))
        >>> probability_of_best(losses, "mean").round(1).tolist()
        [0.9, 0.1, 0.0]
    """
    chosen = get_criterion(criterion)
    check_count("n_resamples", n_resamples, minimum=1)
    matrix = np.asarray(losses, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(
            f"losses must have the shape (n_models, n_instances), but had {matrix.shape}."
        )
    wins = np.zeros(len(matrix), dtype=np.intp)
    without_spread = identical(matrix) & (chosen.kind == "spread")
    for sample in _resamples(matrix, n_resamples, seed):
        scores = chosen(sample)
        # Not chosen.score: drawing one loss n times is chance and no sign of a fixed seed.
        scores[without_spread & ~np.isnan(scores)] = np.inf
        valid = ~np.isnan(scores)
        lowest = np.where(valid, scores, np.inf).min(axis=1, keepdims=True)
        best = valid & ~is_better(lowest, scores)
        first = best.argmax(axis=1)[best.any(axis=1)]
        wins += np.bincount(first, minlength=len(matrix))
    n_decided = wins.sum()
    return wins / n_decided if n_decided else np.full(len(matrix), np.nan)


def paired_criterion_test(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    criterion: str | Callable[[FloatArray], float] | Criterion,
    *,
    confidence: float = 0.95,
    n_resamples: int = 9999,
    seed: int = 0,
) -> PairedComparison:
    """Compare the criterion of two models on their common instances.

    The p-value is that of the two-sided permutation test that exchanges the two models' losses
    within an instance (Fisher 1935, Pitman 1937): over all 2^n exchanges if they are at most
    ``n_resamples``, otherwise over random ones with the observed one counted in (Phipson & Smyth
    2010). It keeps its level for any criterion and distribution if the models are exchangeable,
    that is, if choosing one or the other does not matter. It cannot go below 2^(1 - n).

    Where a criterion holds a spread, a difference in level costs the test power, since exchanges
    mix the two levels and a mixture is wide: with 30 normal losses of models whose levels are two
    standard deviations apart it tells ``q3+iqr`` apart in 6 of 10 cases, when the interval lies
    beside 0 in 9 and the test of the mean never fails. A large p-value is then no sign of equal
    models; read the interval, or test level and spread on their own (``paired-t``, ``wilcoxon``,
    ``pitman-morgan`` of :func:`~optuna_robust.comparison.compare_with_reference`). For normal
    losses the 95 % interval covers in about 90 % of all cases with 10 instances and in 93 to 95 %
    with 30; for criteria of quantiles alone in 97 to 99 %.

    Args:
        x:
            One model's losses, shape ``(n_instances,)``, smaller is better; NaN = not trained.
        y:
            The other model's losses for the same instances. An instance that either lacks is left
            out for both.
        criterion:
            A name or callable as in :func:`~optuna_robust.criteria.get_criterion`.
        confidence:
            Nominal coverage of the interval.
        n_resamples:
            Random exchanges, and bootstrap samples.
        seed:
            Seed of both.

    Returns:
        The difference criterion(x) - criterion(y), so that a negative one speaks for x; its
        percentile interval of a bootstrap of the instances (Efron & Tibshirani 1993, ch. 13); and
        the p-value.

        Everything is NaN with fewer than two common instances, where the criterion of a model is
        undefined, and for a criterion of pure spread if the losses of a model are identical
        (a fixed seed says nothing about spread), unless all pairs are equal: then the difference
        is 0 and p is 1. Two criteria that are infinite alike differ by 0, since neither is
        better; one that is infinite differs infinitely from one that is not, and p counts how
        many exchanges differ as much.

        The interval alone is NaN for ``max``, ``min`` and ``cvar``, which have no valid one, with
        fewer than 10 common instances, with an infinite loss, and if the losses of both models
        are identical over the instances.

    Raises:
        ValueError: If the shapes do not fit, ``confidence`` is outside (0, 1), or ``n_resamples``
            is below 1.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.comparison import paired_criterion_test
        >>> found = paired_criterion_test([1.0, 2.0, 3.0, 5.0], [2.0, 3.0, 5.0, 6.0], "mean")
        >>> found.difference, found.p_value  # the least p-value of four instances
        (-1.25, 0.125)
    """
    chosen = get_criterion(criterion)
    check_between("confidence", confidence, 0.0, 1.0)
    check_count("n_resamples", n_resamples, minimum=1)
    pair = _losses_of_one_model("x", x), _losses_of_one_model("y", y)
    if len(pair[0]) != len(pair[1]):
        raise ValueError(
            "x and y must have the same number of instances, "
            f"but they had {len(pair[0])} and {len(pair[1])}."
        )
    losses = np.stack(pair)
    losses = losses[:, ~np.isnan(losses).any(axis=0)]
    values = chosen(losses)
    same = np.array_equal(losses[0], losses[1])
    fixed = identical(losses)
    if losses.shape[1] < 2 or np.isnan(values).any():
        return _UNDEFINED
    if chosen.kind == "spread" and fixed.any() and not same:
        return _UNDEFINED
    interval = Interval(math.nan, math.nan)
    if (
        not is_tail(chosen)
        and losses.shape[1] >= _MIN_BOOTSTRAP_INSTANCES
        and np.isfinite(losses).all()
        and not fixed.all()
    ):
        interval = _paired_interval(losses, chosen, confidence, n_resamples, seed)
    difference = float(_difference(values[0], values[1]))
    p_value = _exchange_p_value(losses, chosen, values, n_resamples, seed)
    return PairedComparison(difference, interval, p_value)


def _losses_of_one_model(name: str, losses: npt.ArrayLike) -> FloatArray:
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"{name} must be those of one model, but had the shape {values.shape}.")
    return values


def _subsets(n_losses: int, n: int, n_subsets: int, seed: int) -> Iterator[npt.NDArray[np.intp]]:
    """Yield subsets, some at a time, as indices ``(some, n)`` in the order of the instances."""
    at_once = max(1, _MOST_LOSSES // n_losses)
    if math.comb(n_losses, n) <= n_subsets:
        every = combinations(range(n_losses), n)
        while some := list(islice(every, at_once)):
            yield np.array(some, dtype=np.intp)
        return
    rng = np.random.default_rng(seed)
    for start in range(0, n_subsets, at_once):
        ranks = rng.random((min(at_once, n_subsets - start), n_losses))
        yield np.sort(np.argpartition(ranks, n - 1, axis=1)[:, :n], axis=1)


def _resamples(losses: FloatArray, n_resamples: int, seed: int) -> Iterator[FloatArray]:
    """Yield bootstrap samples of the instances, some at a time: ``(some, n_models, n)``."""
    n = losses.shape[1]
    if losses.size == 0:
        return
    rng = np.random.default_rng(seed)
    at_once = max(1, _MOST_LOSSES // losses.size)
    for start in range(0, n_resamples, at_once):
        columns = rng.integers(n, size=(min(at_once, n_resamples - start), n))
        yield losses[:, columns].swapaxes(0, 1)


def _difference(a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
    """Return a - b, and 0 for two values that are infinite alike."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(np.equal(a, b), 0.0, np.subtract(a, b))


def _paired_interval(
    losses: FloatArray, criterion: Criterion, confidence: float, n_resamples: int, seed: int
) -> Interval:
    samples = _resamples(losses, n_resamples, seed)
    differences = np.concatenate([_difference(*criterion(sample).T) for sample in samples])
    tail = (1.0 - confidence) / 2.0
    with np.errstate(invalid="ignore"):
        low, high = np.quantile(differences, [tail, 1.0 - tail])
    return Interval(float(low), float(high))


def _exchange_p_value(
    losses: FloatArray, criterion: Criterion, values: FloatArray, n_resamples: int, seed: int
) -> float:
    from scipy import stats  # noqa: PLC0415

    def statistic(x: FloatArray, y: FloatArray, axis: int) -> FloatArray:
        return _difference(
            criterion(np.moveaxis(x, axis, -1)), criterion(np.moveaxis(y, axis, -1))
        )

    with np.errstate(invalid="ignore", over="ignore"):
        null = stats.permutation_test(
            (losses[0], losses[1]),
            statistic,
            permutation_type="samples",
            vectorized=True,
            n_resamples=n_resamples,
            batch=max(1, _MOST_LOSSES // losses.size),
            rng=np.random.default_rng(seed),
        ).null_distribution
    # SciPy's own p-value compares with a tolerance relative to the difference, which rounding of
    # much larger values exceeds, and which an infinite difference turns into NaN. The null
    # distribution is symmetric: exchanging every instance changes the sign.
    observed = abs(float(_difference(values[0], values[1])))
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    # An exchange that leaves the criterion undefined (NaN) counts as extreme, the safe side.
    n_extreme = np.count_nonzero(~(np.abs(null) < observed - _TIE_TOLERANCE * largest))
    exact = len(null) == 2 ** losses.shape[1]
    return float(n_extreme / len(null) if exact else (n_extreme + 1) / (len(null) + 1))
