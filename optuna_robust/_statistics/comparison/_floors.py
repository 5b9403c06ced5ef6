"""How small the p-values of tests can get, and how many instances it takes to reject at all."""

from __future__ import annotations

from functools import lru_cache
from typing import get_args

import numpy as np

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_count
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._reference import compare_with_reference
from optuna_robust._statistics.comparison._tests import Alternative
from optuna_robust._statistics.comparison._tests import get_test
from optuna_robust._statistics.comparison._tests import MOST_SIGNS
from optuna_robust._statistics.comparison._tests import TwoSampleTest


# Beyond this many instances no floor is worth a warning.
_MOST_INSTANCES = 100


@lru_cache(maxsize=4096)
def smallest_p_value(test: str, n_instances: int, alternative: Alternative = "two-sided") -> float:
    r"""Return the floor of a test: no losses whatever have a smaller p-value, and some have this.

    At or above alpha, the test eliminates nothing, however different the models are. Two-sided,
    with n instances of each model (directed floors are half of it):

    * ``wilcoxon``: :math:`2^{1-n}`, one of all signs of n differences (Wilcoxon 1945).
    * ``mannwhitneyu`` (Mann & Whitney 1947) and ``ks``: :math:`2 / \binom{2n}{n}`, one of all
      orders of 2n losses. From n = 9 on, ``mannwhitneyu`` is SciPy's normal approximation, which
      is smallest if all losses of a model are equal.
    * ``levene`` (Brown & Forsythe 1974): of an odd number of losses one is the median itself, so
      that at most n - 1 deviations can be alike. t, whose square the statistic is, is then at
      most n - 1, with 2n - 2 degrees of freedom: 0.116 at n = 3, 0.0039 at n = 5. Even numbers
      have no floor.
    * ``fligner`` (Fligner & Killeen 1976): the statistic is 2n - 1 times a squared correlation,
      which can be 1 if n is even. If it is odd, the two medians have the same rank, and the
      correlation is at most :math:`\sqrt{(n - 1) / (n + 1)}`: 0.114 at n = 3, 0.0082 at n = 4,
      0.0143 at n = 5. Losses that are all different stay above: 0.288, 0.021, 0.068.
    * ``welch``, ``student``, ``paired-t``, ``bartlett`` (Bartlett 1937) and ``pitman-morgan``
      (Pitman 1939, Morgan 1939) have no floor: their statistics grow without limit as the noise
      of one model, or of a difference, goes to zero.

    ``levene`` and ``fligner`` are undefined with two instances, whose deviations are equal, and
    ``pitman-morgan`` is too. How often tests reject in truth: ``docs/levels.md``.

    Args:
        test:
            A name that :func:`~optuna_robust.comparison.get_test` knows.
        n_instances:
            Instances of each model.
        alternative:
            As in :func:`~optuna_robust.comparison.compare_with_reference`.

    Returns:
        The floor: 0 if there is none, 1 with fewer instances than the test needs.

    Raises:
        TypeError: If ``n_instances`` is no integer.
        ValueError: If the test or the alternative is unknown, or ``n_instances`` less than 1.

    Example:
        >>> from optuna_robust.comparison import smallest_p_value
        >>> smallest_p_value("wilcoxon", 4, "greater")
        0.0625
        >>> [round(smallest_p_value("levene", n), 4) for n in (3, 4, 5)]
        [0.1161, 0.0, 0.0039]
    """
    chosen = get_test(test)
    check_choice("alternative", alternative, get_args(Alternative))
    check_count("n_instances", n_instances, minimum=1)
    if n_instances < chosen.min_instances:
        return 1.0
    if not chosen.has_floor:
        return 0.0
    p_values: list[float] = []
    for far, near in _most_different(chosen, n_instances):
        x, y = (near, far) if alternative == "less" else (far, near)
        p_values.extend(compare_with_reference(x[None], y, test, alternative=alternative))
    return float(min(p_values))


def _most_different(test: TwoSampleTest, n: int) -> list[tuple[FloatArray, FloatArray]]:
    """Return pairs of models one of which has the smallest p-value of all.

    Level: all losses of one model are greater than all of the other. Exact p-values are the same
    then, normal approximations are smallest where ties make the variance of the ranks smallest.

    Spread: the deviations from the median of one model are 0, those of the other are equal, but
    for the median itself, if n is odd. Brown-Forsythe: by Cauchy-Schwarz, n - 1 deviations have
    the largest mean beside their own standard deviation if they are equal, and those of the other
    model only lessen the difference of means and add to the variance. Fligner-Killeen: of all
    scores that grow with the deviations, those with the greatest correlation with the models are
    the isotonic regression of the models' indicator, which pools the medians, the least of all
    deviations, with all of the narrower model (Barlow et al. 1972, chapter 1).
    """
    if test.kind == "spread":
        return [(np.sign(np.arange(n) - (n - 1) / 2.0), np.zeros(n))]
    near = np.arange(n, dtype=np.float64)
    untied = 1e6 * (near + 1.0), near
    if test.name == "wilcoxon" and n <= MOST_SIGNS:
        return [untied]
    return [untied, (np.ones(n), np.zeros(n))]


def instances_to_reject(
    test: str, alpha: float, alternative: Alternative = "two-sided", *, at_least: int = 1
) -> int | None:
    """Return the fewest instances with which a test can reject at ``alpha`` at all.

    With one more it may not: Brown-Forsythe and Fligner-Killeen have floors that are lower for
    even numbers (:func:`smallest_p_value`).

    Args:
        test:
            A name that :func:`~optuna_robust.comparison.get_test` knows.
        alpha:
            Significance level; a test rejects if p is less.
        alternative:
            As in :func:`~optuna_robust.comparison.compare_with_reference`.
        at_least:
            Fewest instances that come into question.

    Returns:
        The number of instances of each model, or None if 100 are not enough.

    Raises:
        TypeError: If ``at_least`` is no integer.
        ValueError: If the test or the alternative is unknown, or a number is out of range.

    Example:
        >>> from optuna_robust.comparison import instances_to_reject
        >>> instances_to_reject("mannwhitneyu", 0.05), instances_to_reject("welch", 0.05)
        (4, 2)
        >>> instances_to_reject("levene", 0.001), instances_to_reject("levene", 0.001, at_least=5)
        (4, 6)
    """
    get_test(test)
    check_between("alpha", alpha, 0.0, 1.0)
    check_count("at_least", at_least, minimum=1)
    for n_instances in range(at_least, max(at_least, _MOST_INSTANCES) + 1):
        if smallest_p_value(test, n_instances, alternative) < alpha:
            return n_instances
    return None
