"""Noise that depends on the level."""

from __future__ import annotations

import numpy as np

from optuna_robust._statistics.comparison._variance_trend import fit_variance_trend
from optuna_robust.comparison import fit_random_levels


def draw(slope, seed, n_models=40, n_instances=3):
    rng = np.random.default_rng(seed)
    levels = np.sort(rng.gamma(2.0, 1.0, n_models))
    stds = 0.1 * np.exp(0.5 * slope * np.arcsinh(levels - levels[0]))
    losses = levels[:, None] + stds[:, None] * rng.normal(size=(n_models, n_instances))
    return losses, stds


def test_variances_follow_a_trend():
    ratios = []
    for seed in range(6):
        losses, stds = draw(3.0, seed)
        fit = fit_random_levels(losses, common_instances=False)
        assert fit.trend.slope > 0.5
        ratios.append(np.sqrt(fit.variances[:8]) / stds[:8])
    # One pooled variance is three times too large for the best of these models.
    assert 0.6 < np.median(ratios) < 1.6


def test_without_a_trend_nothing_changes():
    n_trends = sum(
        fit_random_levels(draw(0.0, seed)[0], common_instances=False).trend.slope != 0.0
        for seed in range(40)
    )
    assert n_trends <= 2


def test_few_variances_tell_no_trend():
    levels = np.arange(7.0)
    assert fit_variance_trend(levels, np.ones(7), np.exp(levels), np.full(7, 9.0)).slope == 0.0


def test_diverged_models_tell_no_trend():
    rng = np.random.default_rng(0)
    levels = np.concatenate([rng.normal(size=30), [1e6] * 5])
    s2 = np.concatenate([rng.chisquare(4, size=30) / 4, [1e10] * 5])
    assert fit_variance_trend(levels, np.full(35, 0.1), s2, np.full(35, 4.0)).slope == 0.0


def test_beyond_what_was_measured_a_trend_is_flat():
    losses, _ = draw(3.0, 0)
    trend = fit_random_levels(losses, common_instances=False).trend
    low, high, beyond = trend.factor(np.array([-1e9, 1e6, 1e9]))
    assert low == 1.0
    assert high == beyond
