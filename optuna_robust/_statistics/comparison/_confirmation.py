"""Several p-values, and criteria of equally many instances."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from itertools import combinations
from itertools import islice
import math

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arguments import check_count
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._paired import losses_of_one_model
from optuna_robust._statistics.comparison._resampling import MOST_LOSSES
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion


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
    # Holm (1979), as adjusted p-values.
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
        >>> from optuna_robust._statistics.comparison import value_at
        >>> value_at([1.0, 2.0, 4.0], "max", 2)  # of the pairs (1, 2), (1, 4) and (2, 4)
        3.3333333333333335
    """
    chosen = get_criterion(criterion)
    check_count("n", n, minimum=1)
    check_count("n_subsets", n_subsets, minimum=1)
    values = losses_of_one_model("losses", losses)
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
        mean = float(found.mean())  # a U-statistic: Hoeffding (1948)
    return math.inf if math.isnan(mean) else mean  # infinity minus infinity, as for a criterion


def _subsets(n_losses: int, n: int, n_subsets: int, seed: int) -> Iterator[npt.NDArray[np.intp]]:
    """Yield subsets, some at a time, as indices ``(some, n)`` in the order of the instances."""
    at_once = max(1, MOST_LOSSES // n_losses)
    if math.comb(n_losses, n) <= n_subsets:
        every = combinations(range(n_losses), n)
        while some := list(islice(every, at_once)):
            yield np.array(some, dtype=np.intp)
        return
    rng = np.random.default_rng(seed)
    for start in range(0, n_subsets, at_once):
        ranks = rng.random((min(at_once, n_subsets - start), n_losses))
        yield np.sort(np.argpartition(ranks, n - 1, axis=1)[:, :n], axis=1)
