"""Logarithms of spreads: moments of the posterior, coverage, and models without a variance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from optuna_robust.comparison import moderate_variances
from optuna_robust.comparison import moderated_log_spread
from tests.comparison.variances import sample_variances
from tests.comparison.variances import true_variances


pytestmark = pytest.mark.filterwarnings("error")

either = pytest.mark.parametrize("robust", [False, True])


@either
def test_log_spreads_are_the_moments_of_the_posterior(robust):
    rng = np.random.default_rng(13)
    s2 = sample_variances(rng, true_variances(rng, 100, 4.0), 2.0)
    fit = moderate_variances(s2, 2.0, robust=robust, keep_order=True)
    spread = moderated_log_spread(s2, 2.0, robust=robust)
    df = 2.0 + fit.own_prior_df[0]
    draws = np.log(df * fit.posterior[0] / rng.chisquare(df, size=200_000))
    assert spread.mean[0] == pytest.approx(draws.mean(), abs=0.01)
    assert spread.standard_error[0] == pytest.approx(draws.std(), rel=0.01)


@pytest.mark.parametrize("df", [1.0, 3.0, 14.0])
def test_log_spreads_cover_the_truth(df):
    """Intervals of 1.96 standard errors over 300 models and 12 repeats; nominally 95 %."""
    rng = np.random.default_rng(14)
    covered, squares, raw = [], [], []
    for _ in range(12):
        true = true_variances(rng, 300, 5.0)
        s2 = sample_variances(rng, true, df)
        mean, error = moderated_log_spread(s2, df, robust=True)
        covered.append(np.abs(mean - np.log(true)) < 1.96 * error)
        squares.append((mean - np.log(true)) ** 2)
        raw.append((np.log(s2) - special.digamma(df / 2) + np.log(df / 2) - np.log(true)) ** 2)
    assert 0.86 < np.mean(covered) < 0.98  # d0 is estimated
    assert np.mean(squares) < {1.0: 0.15, 3.0: 0.5, 14.0: 0.95}[df] * np.mean(raw)


def test_nearly_equal_losses_have_no_boundless_log_spread():
    rng = np.random.default_rng(15)
    s2 = sample_variances(rng, true_variances(rng, 50, 4.0), 1.0)
    s2[:2] = 1e-30, 0.0
    mean, error = moderated_log_spread(s2, 1.0, robust=True)
    assert mean[1] <= mean[0] < np.delete(mean, [0, 1]).min()
    assert mean.max() - mean.min() < 8.0
    assert np.isfinite(error).all()


def test_log_spreads_of_unknown_models():
    spread = moderated_log_spread([1.0, 3.0, math.nan], 4.0, prior_variance=2.0, prior_df=6.0)
    center = math.log(2.0) - special.digamma(3.0) + math.log(3.0)
    assert spread.mean[2] == pytest.approx(center)
    assert spread.standard_error[2] == pytest.approx(math.sqrt(special.polygamma(1, 3.0)))
    spread = moderated_log_spread([2.0, math.nan], 4.0)
    assert spread.mean[0] == pytest.approx(math.log(2.0) - special.digamma(2.0) + math.log(2.0))
    np.testing.assert_array_equal(np.isnan(spread), [[False, True]] * 2)
    assert moderated_log_spread([0.0, 0.0], 4.0).mean.tolist() == [-math.inf] * 2
