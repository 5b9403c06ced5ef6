import math

import numpy as np
import pytest
from scipy import stats

from benchmarks import estimates


def test_wilson_interval_is_scipys():
    for successes, n in ((0, 20), (7, 20), (20, 20)):
        found = estimates.wilson(successes, n)
        expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_mean_has_scipys_t_interval():
    values = np.random.default_rng(0).normal(size=12)
    found = estimates.mean(values)
    expected = stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)
    assert math.isnan(estimates.mean([1.0]).low)


def test_an_infinite_value_makes_the_mean_infinite_without_an_interval():
    found = estimates.mean([1.0, math.inf, 2.0])
    assert found.value == math.inf
    assert not found.has_interval


def test_geometric_mean_is_that_of_scipy_and_symmetric_in_ratios():
    ratios = np.random.default_rng(0).lognormal(size=10)
    found, inverse = estimates.geometric_mean(ratios), estimates.geometric_mean(1 / ratios)
    assert found.value == pytest.approx(stats.gmean(ratios))
    assert (1 / inverse.value, 1 / inverse.high, 1 / inverse.low) == pytest.approx(
        (found.value, found.low, found.high)
    )
