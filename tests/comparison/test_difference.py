"""Differences of levels with moderated variances: closed forms, error rates and power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate
from scipy import stats

from optuna_robust.comparison import difference_p_value
from optuna_robust.comparison import fit_additive
from optuna_robust.comparison import moderate_variances
from tests.comparison.variances import true_variances


pytestmark = pytest.mark.filterwarnings("error")

either = pytest.mark.parametrize("robust", [False, True])


def test_p_values_of_differences_have_their_closed_forms():
    x = np.array([-2.0, 0.0, 0.5, 3.0, 8.0, 40.0])
    # The sum of Cauchy variables is one; normal; one level known.
    found = difference_p_value(x, 1.0, 1.0, 4.0, 1.0)
    np.testing.assert_allclose(found, stats.cauchy.sf(x, scale=3.0), rtol=1e-3)
    found = difference_p_value(x, 1.0, math.inf, 4.0, math.inf)
    np.testing.assert_allclose(
        found, stats.norm.sf(x, scale=math.sqrt(5.0)), rtol=1e-3, atol=1e-12
    )
    for found in (
        difference_p_value(x, 4.0, 3.0, 0.0, 7.0),
        difference_p_value(x, 0.0, 7.0, 4.0, 3.0),
        difference_p_value(x, 0.0, 1.0, 4.0, 3.0),
    ):
        np.testing.assert_allclose(found, stats.t.sf(x / 2.0, 3.0), rtol=1e-3)
    rng = np.random.default_rng(16)
    draws = rng.standard_t(3, size=10**6) + 0.5 * rng.standard_t(6, size=10**6)
    found = difference_p_value(x, 1.0, 3.0, 0.25, 6.0)
    np.testing.assert_allclose(found, [(draws > limit).mean() for limit in x], atol=2e-3)
    np.testing.assert_allclose(difference_p_value(x, 0.25, 6.0, 1.0, 3.0), found)


@pytest.mark.parametrize("ratio", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("df", [1.0, 4.0, 50.0])
def test_small_p_values_of_differences_are_as_exact_as_large_ones(df, ratio):
    """Against an integral with the density of the reference level."""
    for x in (1.0, 4.0, 15.0):
        size = x * max(1.0, ratio) ** 0.5
        expected = integrate.quad(
            lambda t, size=size: stats.t.sf(size - ratio**0.5 * t, df) * stats.t.pdf(t, 5.0),
            -np.inf,
            np.inf,
            limit=500,
            epsabs=1e-13,
        )[0]
        found = difference_p_value([size, -size], 1.0, df, ratio, 5.0)
        np.testing.assert_allclose(found, [expected, 1.0 - expected], rtol=2e-3)


def test_p_values_of_differences_are_nan_where_nothing_is_known():
    found = difference_p_value(
        [1.0, 1.0, 1.0, math.nan, 1.0], [1.0, 1.0, math.nan, 1.0, 1.0], [0, 2, 2, 2, 2], 1.0, 3.0
    )
    np.testing.assert_array_equal(np.isnan(found), [True, False, True, True, False])
    assert difference_p_value(1.0, 1.0, 2.0, 1.0, 0.0).shape == ()
    assert np.isnan(difference_p_value(1.0, 1.0, 2.0, 1.0, 0.0))
    assert difference_p_value(np.zeros((2, 0)), 1.0, 2.0, 1.0, 3.0).shape == (2, 0)
    found = difference_p_value([1.0, 0.0, -1.0, np.inf, -np.inf], [0, 0, 0, 1, 1], 2.0, 0.0, 3.0)
    np.testing.assert_allclose(found, [0.0, 0.5, 1.0, 0.0, 1.0], atol=1e-3)


def noise(rng, kind, n_models, n):
    if kind == "t3":
        return rng.standard_t(3, size=(n_models, n)) / math.sqrt(3.0)
    prior_df = 4.0 if kind == "unequal" else math.inf
    return np.sqrt(true_variances(rng, n_models, prior_df))[:, None] * rng.normal(
        size=(n_models, n)
    )


def rejections(kind, n, shift, *, robust, common):
    """Share of pairs among 200 models that differ at 5 %, moderated and by Welch's test."""
    rng = np.random.default_rng(17)
    moderated, welch = [], []
    n_models, n_repeats = 200, 30
    for _ in range(n_repeats):
        losses = noise(rng, kind, n_models, n)
        losses[: n_models // 2] += shift
        worse, better = np.split(np.arange(n_models), 2)
        welch.append(
            stats.ttest_ind(losses[worse], losses[better], axis=1, equal_var=False).pvalue
        )
        fit = fit_additive(losses + 3.0 * rng.normal(size=n) * common, common_instances=common)
        found = moderate_variances(fit.s2, fit.df, robust=robust)
        difference = np.abs(fit.levels[worse] - fit.levels[better])
        variance = found.posterior / fit.n
        moderated.append(
            2.0
            * difference_p_value(
                difference,
                variance[worse],
                found.total_df[worse],
                variance[better],
                found.total_df[better],
            )
        )
    p_values = np.array(moderated)
    assert p_values.size == 3000
    return (p_values < 0.05).mean(), (np.array(welch) < 0.05).mean()


@either
@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize("kind", ["unequal", "equal"])
@pytest.mark.parametrize("n", [2, 3])
def test_moderated_t_tests_keep_their_level(robust, common, kind, n):
    """3000 pairs of equal levels; 99 % of binomial shares lie within 0.0397 and 0.0603.

    The prior is estimated, which adds a little: 0.005 at most.
    """
    level, _ = rejections(kind, n, 0.0, robust=robust, common=common)
    assert 0.0397 - 0.005 < level < 0.0603 + 0.005


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("kind", ["unequal", "equal", "t3"])
def test_moderated_t_tests_have_more_power_than_welchs(kind, n):
    moderated, welch = rejections(kind, n, 2.0, robust=True, common=True)
    assert moderated > (2.5 if n == 2 else 1.35) * welch


@pytest.mark.parametrize("n", [2, 3])
def test_moderated_t_tests_are_cautious_if_tails_are_heavy(n):
    """t3 noise: 3.1 to 3.5 % instead of 5 %."""
    level, _ = rejections("t3", n, 0.0, robust=True, common=True)
    assert 0.02 < level < 0.05
