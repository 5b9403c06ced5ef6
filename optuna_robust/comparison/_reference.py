"""Tests of many models against one reference model."""

from __future__ import annotations

from functools import lru_cache
from typing import get_args

import numpy as np
import numpy.typing as npt

from optuna_robust.arguments import check_between
from optuna_robust.arguments import check_choice
from optuna_robust.comparison._tests import Alternative
from optuna_robust.comparison._tests import get_test
from optuna_robust.criteria import FloatArray


# Beyond this many instances no test has a floor worth telling about.
_MOST_INSTANCES_FOR_FLOORS = 100


def compare_with_reference(
    losses: npt.ArrayLike,
    reference: npt.ArrayLike,
    test: str,
    *,
    alternative: Alternative = "two-sided",
) -> FloatArray:
    """Test every model against one reference model.

    Args:
        losses:
            Losses to be minimised, shape ``(n_models, n_instances)``; NaN = not trained.
        reference:
            The reference model's losses, shape ``(n_instances,)``; the columns are the same
            instances, which paired tests rely on.
        test:
            A name that :func:`~optuna_robust.comparison.get_test` knows.
        alternative:
            ``"greater"``: the model's level (or spread, for a test of spread) is greater than the
            reference's, that is, the model is worse; ``"less"``: better; or ``"two-sided"``.
            Bartlett, Levene and Fligner-Killeen are directed by the sign of the difference that
            their statistic squares.

    Returns:
        p-values of shape ``(n_models,)``. NaN where the test is undefined: too few instances,
        or, for all but the rank tests, an infinite loss. Rank tests cannot go below a floor,
        however different the losses are: see :func:`smallest_p_value`. On common instances, whose
        losses are correlated, unpaired tests reject far less often than ``alpha``; paired ones
        (``paired-t``, ``wilcoxon``, ``pitman-morgan``) keep their level and see more.

    Raises:
        ValueError: If the test or the alternative is unknown, or the shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.comparison import compare_with_reference
        >>> reference = [1.0, 1.1, 0.9, 1.2]
        >>> losses = [[2.0, 2.1, 2.3, 1.9], [1.1, 1.0, np.nan, np.nan]]
        >>> p_values = compare_with_reference(losses, reference, "welch", alternative="greater")
        >>> p_values.round(4).tolist()
        [0.0001, 0.5]
    """
    chosen = get_test(test)
    check_choice("alternative", alternative, get_args(Alternative))
    matrix = np.asarray(losses, dtype=np.float64)
    other = np.asarray(reference, dtype=np.float64)
    if matrix.ndim != 2 or other.ndim != 1:
        raise ValueError(
            "losses must have the shape (n_models, n_instances) and reference (n_instances,), "
            f"but they were {matrix.shape} and {other.shape}."
        )
    if chosen.paired and matrix.shape[1] != len(other):
        raise ValueError(
            f"{test} pairs instances: losses and reference must have the same number of "
            f"instances, but they had {matrix.shape[1]} and {len(other)}."
        )
    there = ~np.isnan(matrix)
    if chosen.paired:
        there &= ~np.isnan(other)
    p_values = np.full(len(matrix), np.nan)
    # Models with the same instances are tested in one vectorised call.
    patterns, pattern_of = np.unique(there, axis=0, return_inverse=True)
    for number, columns in enumerate(patterns):
        rows = np.flatnonzero(pattern_of.reshape(-1) == number)
        y = other[columns] if chosen.paired else other[~np.isnan(other)]
        if min(int(np.count_nonzero(columns)), len(y)) >= chosen.min_instances:
            with np.errstate(all="ignore"):
                p_values[rows] = chosen.p_value(matrix[rows][:, columns], y, alternative)
    return p_values


@lru_cache(maxsize=1024)
def smallest_p_value(test: str, n_instances: int, alternative: Alternative = "two-sided") -> float:
    """Return the floor of a test: the p-value of two models that could not differ more.

    Wilcoxon's floor is 2^-n (directed), that of Mann-Whitney and Kolmogorov-Smirnov 2 / C(2n, n)
    (two-sided), and Fligner-Killeen, on ranks too, has one; below it a test eliminates nothing,
    however different the models are. The other tests have no floor. With ties, and for n > 8,
    Mann-Whitney's p-value is SciPy's normal approximation, which can lie on either side.

    Args:
        test:
            A name that :func:`~optuna_robust.comparison.get_test` knows.
        n_instances:
            Instances of each model.
        alternative:
            As in :func:`compare_with_reference`.

    Example:
        >>> from optuna_robust.comparison import smallest_p_value
        >>> smallest_p_value("wilcoxon", 4, "greater")
        0.0625
        >>> round(smallest_p_value("ks", 3), 6)
        0.1
    """
    chosen = get_test(test)
    check_choice("alternative", alternative, get_args(Alternative))
    if n_instances < chosen.min_instances:
        return 1.0
    if not chosen.ranks:
        return 0.0
    near = np.arange(n_instances, dtype=np.float64)
    if chosen.kind == "level":
        far = 1e6 * (near + 1.0)
    else:  # deviations from the median that are as equal as can be, beside none
        near, far = np.zeros(n_instances), np.sign(near - near.mean())
    if alternative == "less":
        near, far = far, near
    return float(compare_with_reference(far[None, :], near, test, alternative=alternative)[0])


def instances_to_reject(
    test: str, alpha: float, alternative: Alternative = "two-sided"
) -> int | None:
    """Return the fewest instances with which a test can reject at ``alpha`` at all.

    Args:
        test:
            A name that :func:`~optuna_robust.comparison.get_test` knows.
        alpha:
            Significance level.
        alternative:
            As in :func:`compare_with_reference`.

    Returns:
        The number of instances of each model, or None if 100 are not enough.

    Example:
        >>> from optuna_robust.comparison import instances_to_reject
        >>> instances_to_reject("mannwhitneyu", 0.05), instances_to_reject("welch", 0.05)
        (4, 2)
    """
    check_between("alpha", alpha, 0.0, 1.0)
    for n_instances in range(get_test(test).min_instances, _MOST_INSTANCES_FOR_FLOORS + 1):
        if smallest_p_value(test, n_instances, alternative) < alpha:
            return n_instances
    return None
