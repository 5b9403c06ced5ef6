"""Tests of many models against one reference model."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_numbers
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._tests import Alternative
from optuna_robust._statistics.comparison._tests import get_test


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
        or, for all but the rank tests, an infinite loss. Some tests cannot go below a floor,
        however different the losses are: see :func:`~optuna_robust.comparison.smallest_p_value`.
        On common instances, whose losses are correlated, unpaired tests reject far less often
        than ``alpha``; paired ones (``paired-t``, ``wilcoxon``, ``pitman-morgan``) keep their
        level and see more.

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
    matrix = check_numbers("losses", losses)
    other = check_numbers("reference", reference)
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
                p_values[rows] = chosen.p_value(matrix[rows][:, columns], y[None], alternative)
    return p_values
