"""The two-sample tests, each vectorised over models; SciPy is imported at the first call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
import math
from typing import Literal
from typing import TypeAlias
import warnings

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arrays import FloatArray


# Relative difference below which two losses are the same loss.
_TIE_TOLERANCE = 1e-12
# Up to so many differences, SciPy's p-value of signed ranks with ties is that of all signs.
MOST_SIGNS = 13

Alternative: TypeAlias = Literal["two-sided", "greater", "less"]


@dataclass(frozen=True)
class TwoSampleTest:
    """A test of a model's losses against those of a reference model.

    Args:
        name:
            What users call it.
        p_value:
            Maps losses ``(n_models, n)``, those of a reference, ``(1, n_reference)``, or of one
            for each model, ``(n_models, n_reference)``, and the alternative to p-values
            ``(n_models,)``.
        kind:
            ``"level"`` or ``"spread"``: what the test compares.
        paired:
            Whether it compares the same instances one by one.
        min_instances:
            Fewest instances of each model; with fewer the p-value is NaN.
        has_floor:
            Whether there are p-values that no losses get below; see
            :func:`~optuna_robust.comparison.smallest_p_value`.
    """

    name: str
    p_value: Callable[[FloatArray, FloatArray, Alternative], FloatArray]
    kind: Literal["level", "spread"]
    paired: bool
    min_instances: int
    has_floor: bool


def get_test(name: str) -> TwoSampleTest:
    """Return a test by its name.

    Args:
        name:
            Level: ``welch`` (Welch 1947), ``student`` (pooled variance), ``paired-t``,
            ``mannwhitneyu`` (Mann & Whitney 1947), ``ks`` (Kolmogorov-Smirnov), ``wilcoxon``
            (signed ranks, Wilcoxon 1945). Spread: ``bartlett`` (Bartlett 1937), ``levene`` (with
            medians: Brown & Forsythe 1974), ``fligner`` (Fligner & Killeen 1976) and the paired
            ``pitman-morgan`` (Pitman 1939, Morgan 1939).

    Raises:
        ValueError: If the name is unknown.
    """
    return TESTS[check_choice("test", name, TESTS)]


def _t_p_value(t: FloatArray, df: FloatArray | float, alternative: Alternative) -> FloatArray:
    from scipy import special  # noqa: PLC0415

    if alternative == "two-sided":
        return np.asarray(2.0 * special.stdtr(df, -np.abs(t)))
    return np.asarray(special.stdtr(df, -t if alternative == "greater" else t))


def _mean_and_variance(losses: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return them as they are for equal losses, too, which rounding would make vary."""
    first = losses[:, 0]
    constant = (losses == first[:, None]).all(axis=1) & np.isfinite(first)
    mean = np.where(constant, first, losses.mean(axis=1))
    return mean, np.where(constant, 0.0, losses.var(axis=1, ddof=1))


def _welch(x: FloatArray, y: FloatArray, alternative: Alternative) -> FloatArray:
    """Compare two means without equal variances (Welch 1947)."""
    nx, ny = x.shape[1], y.shape[1]
    (mx, vx), (my, vy) = _mean_and_variance(x), _mean_and_variance(y)
    vx, vy = vx / nx, vy / ny
    # Satterthwaite (1946).
    df = (vx + vy) ** 2 / (vx**2 / (nx - 1) + vy**2 / (ny - 1))
    df = np.where(vx + vy == 0.0, 1.0, df)  # two constant models: t is infinite for any df
    return _t_p_value((mx - my) / np.sqrt(vx + vy), df, alternative)


def _student(x: FloatArray, y: FloatArray, alternative: Alternative) -> FloatArray:
    nx, ny = x.shape[1], y.shape[1]
    (mx, vx), (my, vy) = _mean_and_variance(x), _mean_and_variance(y)
    df = nx + ny - 2
    pooled = ((nx - 1) * vx + (ny - 1) * vy) / df
    return _t_p_value((mx - my) / np.sqrt(pooled * (1 / nx + 1 / ny)), df, alternative)


def _without_rounding(difference: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return differences of pairs, 0 where all of two models are no more than rounding."""
    scale = np.maximum(np.abs(x), np.abs(y)).max(axis=1)
    is_rounding = np.abs(difference).max(axis=1) <= _TIE_TOLERANCE * scale
    return np.where(is_rounding[:, None], 0.0, difference)


def _paired_t(x: FloatArray, y: FloatArray, alternative: Alternative) -> FloatArray:
    difference = _without_rounding(x - y, x, y)
    n = difference.shape[1]
    t = difference.mean(axis=1) / (difference.std(axis=1, ddof=1) / np.sqrt(n))
    return _t_p_value(t, n - 1, alternative)


def _mannwhitneyu(x: FloatArray, y: FloatArray, alternative: Alternative) -> FloatArray:
    """Mann-Whitney U, exact or asymptotic pair by pair, as SciPy chooses for one pair.

    SciPy's vectorised ``method="auto"`` takes the asymptotic p-value for all pairs if one has
    ties. That of few losses with ties can fall below what any order of the losses can give, and
    is then this.
    """
    from scipy import stats  # noqa: PLC0415

    nx, ny = x.shape[1], y.shape[1]
    ys = np.broadcast_to(y, (len(x), ny))
    everything = np.sort(np.hstack([x, ys]), axis=1)
    tied = (everything[:, 1:] == everything[:, :-1]).any(axis=1)
    small = min(nx, ny) <= 8
    p_values = np.full(len(x), np.nan)
    for method, rows in (("exact", ~tied & small), ("asymptotic", tied | (not small))):
        if rows.any():
            p_values[rows] = stats.mannwhitneyu(
                x[rows], ys[rows], alternative=alternative, axis=1, method=method
            ).pvalue
    if not small:
        return p_values
    least = (2.0 if alternative == "two-sided" else 1.0) / math.comb(nx + ny, nx)
    return np.asarray(np.maximum(p_values, min(least, 1.0)))


def _ks(x: FloatArray, y: FloatArray, alternative: Alternative) -> FloatArray:
    """Kolmogorov-Smirnov. SciPy goes pair by pair: it is asked once for each statistic."""
    from scipy import stats  # noqa: PLC0415

    # SciPy's alternative is about distribution functions: greater losses have a smaller one.
    flipped = {"two-sided": "two-sided", "greater": "less", "less": "greater"}[alternative]
    ys = np.broadcast_to(y, (len(x), y.shape[1]))
    _, first, value_of = np.unique(
        _ks_statistic(x, ys, alternative), return_index=True, return_inverse=True
    )
    with warnings.catch_warnings():
        # Where the exact p-value is 1, SciPy may find it greater and warn that it switches.
        warnings.simplefilter("ignore", RuntimeWarning)
        p_values = stats.ks_2samp(x[first], ys[first], alternative=flipped, axis=1).pvalue
    return np.asarray(p_values[value_of.reshape(-1)])


def _ks_statistic(
    x: FloatArray, y: FloatArray, alternative: Alternative
) -> npt.NDArray[np.signedinteger]:
    """Return the greatest distance of the distribution functions, times both numbers of losses."""
    nx, ny = x.shape[1], y.shape[1]
    both = np.hstack([x, y])
    order = np.argsort(both, axis=1)
    ahead = np.cumsum(np.where(order < nx, -ny, nx), axis=1)  # y's function, less x's
    values = np.take_along_axis(both, order, axis=1)
    # Between equal losses no function has a value.
    ahead[:, :-1][values[:, 1:] == values[:, :-1]] = 0
    if alternative == "two-sided":
        ahead = np.abs(ahead)
    return np.asarray((-ahead if alternative == "less" else ahead).max(axis=1))


def _wilcoxon(x: FloatArray, y: FloatArray, alternative: Alternative) -> FloatArray:
    """Wilcoxon signed ranks; pairs with ties apart, so that they do not decide for the others."""
    from scipy import stats  # noqa: PLC0415

    difference = x - y
    sizes = np.sort(np.abs(difference), axis=1)
    tied = (sizes[:, 0] == 0.0) | (sizes[:, 1:] == sizes[:, :-1]).any(axis=1)
    undefined = np.isnan(difference).any(axis=1) | (sizes[:, -1] == 0.0)
    p_values = np.full(len(x), np.nan)
    plain = ~tied & ~undefined
    if plain.any():
        p_values[plain] = stats.wilcoxon(difference[plain], alternative=alternative, axis=1).pvalue
    for row in np.flatnonzero(tied & ~undefined):
        if difference.shape[1] <= MOST_SIGNS:
            p_values[row] = _p_value_of_all_signs(difference[row], alternative)
        else:
            p_values[row] = stats.wilcoxon(difference[row], alternative=alternative).pvalue
    return p_values


def _p_value_of_all_signs(difference: FloatArray, alternative: Alternative) -> float:
    """Return the exact p-value of signed ranks with ties: SciPy's, without going sign by sign."""
    from scipy import stats  # noqa: PLC0415

    ranks = np.where(difference == 0.0, 0.0, 1.0)
    ranks[ranks > 0.0] = stats.rankdata(np.abs(difference[ranks > 0.0]))
    possible = _all_signs(len(difference)) @ ranks  # halves: sums are exact
    sum_of_ranks = ranks[difference > 0.0].sum()
    greater, less = np.mean(possible >= sum_of_ranks), np.mean(possible <= sum_of_ranks)
    if alternative == "two-sided":
        return min(2.0 * float(min(greater, less)), 1.0)
    return float(greater if alternative == "greater" else less)


@lru_cache(maxsize=MOST_SIGNS)
def _all_signs(n: int) -> FloatArray:
    """Return which of n differences are positive, in all cases, shape ``(2**n, n)``."""
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(np.float64)


def _directed(
    two_sided: FloatArray, difference: FloatArray, alternative: Alternative
) -> FloatArray:
    """Halve a p-value whose statistic is the square of a signed one."""
    if alternative == "two-sided":
        return two_sided
    agrees = difference >= 0.0 if alternative == "greater" else difference <= 0.0
    return np.where(agrees, two_sided / 2.0, 1.0 - two_sided / 2.0)


def _bartlett(x: FloatArray, y: FloatArray, alternative: Alternative) -> FloatArray:
    from scipy import stats  # noqa: PLC0415

    vx, vy = _mean_and_variance(x)[1], _mean_and_variance(y)[1]
    two_sided = np.asarray(stats.bartlett(x, y, axis=1).pvalue)
    two_sided[vx + vy == 0.0] = np.nan  # rounding would decide
    return _directed(two_sided, vx - vy, alternative)


def _absolute_deviations(losses: FloatArray) -> FloatArray:
    return np.asarray(np.abs(losses - np.median(losses, axis=-1, keepdims=True)))


def _levene(x: FloatArray, y: FloatArray, alternative: Alternative) -> FloatArray:
    from scipy import stats  # noqa: PLC0415

    two_sided = np.asarray(stats.levene(x, y, axis=1).pvalue)
    difference = _absolute_deviations(x).mean(axis=1) - _absolute_deviations(y).mean(axis=1)
    return _directed(two_sided, difference, alternative)


def _fligner(x: FloatArray, y: FloatArray, alternative: Alternative) -> FloatArray:
    from scipy import special  # noqa: PLC0415
    from scipy import stats  # noqa: PLC0415

    two_sided = np.asarray(stats.fligner(x, y, axis=1).pvalue)
    # Deviations from an infinite median are undefined, but SciPy ranks them.
    medians = np.median(x, axis=1) + np.median(y, axis=1)
    two_sided[~np.isfinite(medians)] = np.nan
    ys = np.broadcast_to(y, (len(x), y.shape[1]))
    both = np.hstack([_absolute_deviations(x), _absolute_deviations(ys)])
    # No ranks differ: what rounding makes of 0 / 0 is no p-value.
    two_sided[(both == both[:, :1]).all(axis=1)] = np.nan
    n = both.shape[1]
    # The normal scores that the statistic is made of (Fligner & Killeen 1976, with the centring
    # of Conover, Johnson & Johnson 1981).
    scores = special.ndtri(0.5 + stats.rankdata(both, axis=1) / (2.0 * (n + 1.0)))
    nx = x.shape[1]
    difference = scores[:, :nx].mean(axis=1) - scores[:, nx:].mean(axis=1)
    return _directed(two_sided, difference, alternative)


def _pitman_morgan(x: FloatArray, y: FloatArray, alternative: Alternative) -> FloatArray:
    """Compare two variances on common instances: the correlation of sums and differences."""
    # Pitman (1939), Morgan (1939): cov(x + y, x - y) = var(x) - var(y).
    total, difference = x + y, x - y
    total = total - total.mean(axis=1, keepdims=True)
    difference = _without_rounding(difference - difference.mean(axis=1, keepdims=True), x, y)
    r = (total * difference).sum(axis=1) / np.sqrt(
        (total**2).sum(axis=1) * (difference**2).sum(axis=1)
    )
    r = np.clip(r, -1.0, 1.0)
    df = x.shape[1] - 2
    return _t_p_value(r * np.sqrt(df / (1.0 - r**2)), df, alternative)


TESTS: dict[str, TwoSampleTest] = {
    test.name: test
    for test in (
        TwoSampleTest("welch", _welch, "level", False, 2, False),
        TwoSampleTest("student", _student, "level", False, 2, False),
        TwoSampleTest("paired-t", _paired_t, "level", True, 2, False),
        TwoSampleTest("mannwhitneyu", _mannwhitneyu, "level", False, 1, True),
        TwoSampleTest("ks", _ks, "level", False, 1, True),
        TwoSampleTest("wilcoxon", _wilcoxon, "level", True, 1, True),
        TwoSampleTest("bartlett", _bartlett, "spread", False, 2, False),
        # From two losses each, deviations from the median are equal within a model: any two models
        # differ as much as models can.
        TwoSampleTest("levene", _levene, "spread", False, 3, True),
        TwoSampleTest("fligner", _fligner, "spread", False, 3, True),
        TwoSampleTest("pitman-morgan", _pitman_morgan, "spread", True, 3, False),
    )
}
