"""Comparison: tests against SciPy pair by pair, error rates, intervals and bounds."""

from __future__ import annotations

import math
import warnings

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
import numpy as np
import pytest
from scipy import stats

from optuna_robust.comparison import bootstrap_interval
from optuna_robust.comparison import compare_with_reference
from optuna_robust.comparison import get_test
from optuna_robust.comparison import std_lower_bound
from optuna_robust.comparison import TESTS
from optuna_robust.criteria import get_criterion


pytestmark = pytest.mark.filterwarnings("error")

examples = settings(derandomize=True, deadline=None, max_examples=12)
NAMES = tuple(TESTS)
ALTERNATIVES = ("two-sided", "greater", "less")
PAIRED = ("paired-t", "wilcoxon", "pitman-morgan")
RANKS = ("mannwhitneyu", "ks", "wilcoxon")
SPREAD = ("bartlett", "levene", "fligner", "pitman-morgan")
FLIPPED = {"two-sided": "two-sided", "greater": "less", "less": "greater"}

every_test = pytest.mark.parametrize("name", NAMES)
every_alternative = pytest.mark.parametrize("alternative", ALTERNATIVES)


def from_squared(chi2, sign, alternative):
    """p-value of the signed root of a chi-squared statistic with one degree of freedom."""
    if alternative == "two-sided":
        return stats.chi2.sf(chi2, 1)
    z = np.sign(sign) * math.sqrt(chi2)
    return stats.norm.sf(z) if alternative == "greater" else stats.norm.cdf(z)


def deviations(x):
    return np.abs(x - np.median(x))


def fligner_sign(x, y):
    ranks = stats.rankdata(np.concatenate([deviations(x), deviations(y)]))
    scores = stats.norm.ppf(0.5 + ranks / (2 * (len(ranks) + 1)))
    return scores[: len(x)].mean() - scores[len(x) :].mean()


def plain_ks(x, y, alternative):
    with warnings.catch_warnings():
        # SciPy warns where its exact p-value of 1 is rounded to more than 1.
        warnings.filterwarnings("ignore", "ks_2samp", RuntimeWarning)
        return stats.ks_2samp(x, y, alternative=alternative).pvalue


# One pair of models at a time, by SciPy's plain functions.
ORACLES = {
    "welch": lambda x, y, a: stats.ttest_ind(x, y, equal_var=False, alternative=a).pvalue,
    "student": lambda x, y, a: stats.ttest_ind(x, y, alternative=a).pvalue,
    "paired-t": lambda x, y, a: stats.ttest_rel(x, y, alternative=a).pvalue,
    "mannwhitneyu": lambda x, y, a: stats.mannwhitneyu(x, y, alternative=a).pvalue,
    "ks": lambda x, y, a: plain_ks(x, y, FLIPPED[a]),
    "wilcoxon": lambda x, y, a: stats.wilcoxon(x, y, alternative=a).pvalue,
    "bartlett": lambda x, y, a: from_squared(
        stats.bartlett(x, y).statistic, np.var(x) - np.var(y), a
    ),
    # With two groups, Levene's F is the square of Student's t of the deviations.
    "levene": lambda x, y, a: (
        stats.levene(x, y).pvalue
        if a == "two-sided"
        else stats.ttest_ind(deviations(x), deviations(y), alternative=a).pvalue
    ),
    "fligner": lambda x, y, a: from_squared(stats.fligner(x, y).statistic, fligner_sign(x, y), a),
    "pitman-morgan": lambda x, y, a: stats.pearsonr(x + y, x - y, alternative=a).pvalue,
}


def model_losses(n_models, n_instances, seed=0):
    """Models of several levels and spreads on common instances."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=(n_models, 1))
    spread = rng.uniform(0.3, 3.0, size=(n_models, 1))
    return level + spread * rng.normal(size=(n_models, n_instances)) + rng.normal(size=n_instances)


def tolerance(name):
    # The two middle ones of an even number of losses are equally far from their median, but for
    # rounding, which Fligner-Killeen ranks.
    return {"rtol": 1e-9, "atol": 2e-3 if name == "fligner" else 0.0}


def p_value(x, y, name, alternative="two-sided"):
    return float(compare_with_reference([x], y, name, alternative=alternative)[0])


def test_every_test_has_an_oracle():
    assert set(NAMES) == set(ORACLES)
    assert {name for name in NAMES if get_test(name).paired} == set(PAIRED)
    assert {name for name in NAMES if get_test(name).kind == "spread"} == set(SPREAD)


@every_test
@every_alternative
@pytest.mark.parametrize("n_instances", [3, 5, 8, 9, 20, 60])
def test_p_values_are_those_of_scipy_pair_by_pair(name, alternative, n_instances):
    losses = model_losses(6, n_instances, seed=n_instances)
    p_values = compare_with_reference(losses[1:], losses[0], name, alternative=alternative)
    expected = [ORACLES[name](row, losses[0], alternative) for row in losses[1:]]
    np.testing.assert_allclose(p_values, expected, rtol=1e-7, atol=1e-15)


@every_test
@every_alternative
@pytest.mark.parametrize("n_instances", [5, 8, 16])
def test_p_values_of_losses_with_ties_are_those_of_scipy(name, alternative, n_instances):
    losses = np.round(model_losses(8, n_instances, seed=n_instances))
    losses[5] = losses[0]
    losses[5, :2] += [1.0, -1.0]
    p_values = compare_with_reference(losses[1:], losses[0], name, alternative=alternative)
    expected = [ORACLES[name](row, losses[0], alternative) for row in losses[1:]]
    np.testing.assert_allclose(p_values, expected, rtol=1e-7, atol=1e-15)


@pytest.mark.parametrize(("n", "n_reference"), [(1, 1), (2, 2), (3, 3), (5, 5), (8, 8), (2, 9)])
def test_ties_are_no_more_significant_than_any_order_can_be(n, n_reference):
    far, near = [1.0] * n, [0.0] * n_reference
    least = 1.0 / math.comb(n + n_reference, n)
    for x, y in ((far, near), (near, far)):
        expected = max(least, stats.mannwhitneyu(x, y, alternative="greater").pvalue)
        assert p_value(x, y, "mannwhitneyu", "greater") == pytest.approx(expected)
    assert p_value(far, near, "mannwhitneyu") == pytest.approx(2.0 * least)


@pytest.mark.parametrize("name", ["mannwhitneyu", "wilcoxon"])
@every_alternative
@pytest.mark.parametrize("n_instances", [4, 7, 20])
def test_models_with_ties_leave_the_p_values_of_others(name, alternative, n_instances):
    losses = model_losses(5, n_instances)
    differences = [np.resize([1.0, 1.0, 2.0], n_instances), np.arange(n_instances)]
    tied = np.vstack([losses[1:], losses[0] + differences, losses[0]])
    alone = compare_with_reference(losses[1:], losses[0], name, alternative=alternative)
    beside = compare_with_reference(tied, losses[0], name, alternative=alternative)
    np.testing.assert_array_equal(beside[:4], alone)


@every_alternative
@pytest.mark.parametrize("n_instances", [1, 4, 8])
def test_signed_ranks_with_ties_are_scipys(alternative, n_instances):
    differences = np.random.default_rng(0).integers(-3, 4, size=(6, n_instances)) / 10.0
    p_values = compare_with_reference(
        differences, np.zeros(n_instances), "wilcoxon", alternative=alternative
    )
    for row, p in zip(differences, p_values, strict=True):
        if row.any():
            assert p == pytest.approx(stats.wilcoxon(row, alternative=alternative).pvalue)
        else:
            assert np.isnan(p)


@every_test
@every_alternative
def test_p_values_with_gaps_are_those_of_the_trained_instances(name, alternative):
    losses = model_losses(30, 12)
    rng = np.random.default_rng(1)
    losses[rng.random(losses.shape) < 0.3] = np.nan
    reference, models = losses[0], losses[1:]
    p_values = compare_with_reference(models, reference, name, alternative=alternative)
    for x, p in zip(models, p_values, strict=True):
        if name in PAIRED:
            both = ~np.isnan(x) & ~np.isnan(reference)
            pair = x[both], reference[both]
        else:
            pair = x[~np.isnan(x)], reference[~np.isnan(reference)]
        assert p == pytest.approx(ORACLES[name](*pair, alternative), rel=1e-7)


@every_test
def test_p_value_of_too_few_instances_is_nan(name):
    n = get_test(name).min_instances
    losses = model_losses(2, n + 2)
    few, enough = losses[1].copy(), losses[1].copy()
    few[n - 1 :] = np.nan
    enough[n:] = np.nan
    p_values = compare_with_reference([few, enough, np.full(n + 2, np.nan)], losses[0], name)
    assert np.isnan(p_values).tolist() == [True, False, True]


@pytest.mark.parametrize("name", PAIRED)
def test_paired_p_value_without_common_instances_is_nan(name):
    x = [1.0, 2.0, 4.0, 3.0, np.nan, np.nan, np.nan, np.nan]
    assert np.isnan(p_value(x, x[::-1], name))


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(PAIRED)))
def test_unpaired_reference_may_have_another_number_of_instances(name):
    losses = model_losses(2, 9)
    expected = ORACLES[name](losses[1], losses[0, :5], "two-sided")
    assert p_value(losses[1], losses[0, :5], name) == pytest.approx(expected, rel=1e-7)


@every_test
@every_alternative
@given(
    losses=hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 4), st.integers(1, 7)),
        elements=st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 0.1, 0.25, 0.7, 2.0, -3.0]),
    )
)
@examples
def test_p_value_of_any_losses_is_a_probability_or_nan(name, alternative, losses):
    p_values = compare_with_reference(losses, losses[0], name, alternative=alternative)
    assert p_values.shape == (len(losses),)
    assert (np.isnan(p_values) | ((p_values >= 0.0) & (p_values <= 1.0))).all()


@pytest.mark.parametrize("name", sorted(set(NAMES) - {*RANKS, "fligner"}))
@every_alternative
def test_infinite_loss_leaves_moment_tests_undefined(name, alternative):
    reference = np.array([0.1, 0.3, 0.2, 0.5, 0.9])
    diverging = np.array([0.1, np.inf, 0.2, 0.4, 0.3])
    usual = np.array([0.2, 0.6, 0.1, 0.4, 0.3])
    p_values = compare_with_reference([diverging, usual], reference, name, alternative=alternative)
    assert np.isnan(p_values).tolist() == [True, False]
    assert np.isnan(p_value(usual, diverging, name, alternative))


@pytest.mark.parametrize("name", RANKS)
@every_alternative
def test_infinite_loss_is_the_greatest_for_rank_tests(name, alternative):
    reference = np.array([0.1, 0.3, 0.2, 0.5, 0.9])
    diverging = np.array([0.2, np.inf, 0.0, 0.7, 0.35])
    huge = np.where(np.isinf(diverging), 1e9, diverging)
    infinite = p_value(diverging, reference, name, alternative)
    assert infinite == p_value(huge, reference, name, alternative)


@every_test
def test_swapped_roles_mirror_directed_p_values(name):
    for x, y in zip(model_losses(8, 7), model_losses(8, 7, seed=1), strict=True):
        assert p_value(x, y, name) == pytest.approx(p_value(y, x, name))
        for alternative in ("greater", "less"):
            mirrored = p_value(y, x, name, FLIPPED[alternative])
            assert p_value(x, y, name, alternative) == pytest.approx(mirrored)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(RANKS)))
def test_directed_p_values_are_complements(name):
    losses = model_losses(20, 7)
    greater, less, both = (
        compare_with_reference(losses[1:], losses[0], name, alternative=alternative)
        for alternative in ("greater", "less", "two-sided")
    )
    np.testing.assert_allclose(greater + less, 1.0)
    np.testing.assert_allclose(2 * np.minimum(greater, less), both)


@every_test
def test_greater_means_worse(name):
    x = np.random.default_rng(3).normal(size=12)
    worse = 5.0 + x[::-1] if get_test(name).kind == "level" else 20.0 * x[::-1]
    assert p_value(worse, x, name, "greater") < 0.01
    assert p_value(worse, x, name, "less") > 0.9
    assert p_value(worse, x, name) < 0.02


@every_test
@every_alternative
@pytest.mark.parametrize(("scale", "shift"), [(4.0, 0.0), (0.125, 0.0), (1.0, 16.0), (2.0, -8.0)])
def test_p_values_ignore_shift_and_scale_of_all_losses(name, alternative, scale, shift):
    losses = model_losses(10, 8)
    reference, models = losses[0], losses[1:]
    before = compare_with_reference(models, reference, name, alternative=alternative)
    after = compare_with_reference(
        shift + scale * models, shift + scale * reference, name, alternative=alternative
    )
    np.testing.assert_allclose(after, before, **tolerance(name))


@pytest.mark.parametrize("name", SPREAD)
@every_alternative
def test_p_values_of_spread_ignore_the_level_of_a_model(name, alternative):
    losses = model_losses(10, 8)
    before = compare_with_reference(losses[1:], losses[0], name, alternative=alternative)
    after = compare_with_reference(losses[1:] + 7.0, losses[0], name, alternative=alternative)
    np.testing.assert_allclose(after, before, **tolerance(name))


@every_test
def test_identical_model_is_never_told_apart(name):
    x = model_losses(1, 9)[0]
    p = p_value(x, x, name)
    assert np.isnan(p) or p == pytest.approx(1.0)


@every_test
@every_alternative
def test_604_models_of_20_instances(name, alternative):
    losses = model_losses(604, 20)
    p_values = compare_with_reference(losses, losses[17], name, alternative=alternative)
    assert p_values.shape == (604,)
    for row in (0, 16, 18, 300, 603):
        expected = ORACLES[name](losses[row], losses[17], alternative)
        assert p_values[row] == pytest.approx(expected, rel=1e-7)


@every_test
def test_no_models_give_no_p_values(name):
    assert compare_with_reference(np.empty((0, 5)), np.arange(5.0), name).shape == (0,)


def test_compare_bad_input():
    losses, reference = np.zeros((2, 4)), np.zeros(4)
    with pytest.raises(ValueError, match="test='walch' is unknown; choose one of welch, student"):
        compare_with_reference(losses, reference, "walch")
    with pytest.raises(ValueError, match="alternative='worse' is unknown; choose one of two-si"):
        compare_with_reference(losses, reference, "welch", alternative="worse")
    with pytest.raises(ValueError, match=r"they were \(4,\) and \(4,\)"):
        compare_with_reference(reference, reference, "welch")
    with pytest.raises(ValueError, match=r"they were \(2, 4\) and \(2, 4\)"):
        compare_with_reference(losses, losses, "welch")


@pytest.mark.parametrize("name", PAIRED)
def test_paired_tests_need_as_many_columns(name):
    with pytest.raises(ValueError, match=f"{name} pairs instances.*had 4 and 5"):
        compare_with_reference(np.zeros((2, 4)), np.zeros(5), name)


def rejection_rate(name, alternative, n_pairs, n_instances, correlation=0.0, alpha=0.05, seed=0):
    """How often two models of the same normal distribution are told apart."""
    rng = np.random.default_rng(seed)
    common = math.sqrt(correlation) * rng.normal(size=(n_pairs, 1, n_instances))
    own = math.sqrt(1.0 - correlation) * rng.normal(size=(n_pairs, 2, n_instances))
    p_values = [p_value(x, y, name, alternative) for x, y in common + own]
    return np.mean(np.array(p_values) < alpha)


def binomial_range(rate, n):
    """99.9 % of the rates that n trials show."""
    return stats.binom.ppf([0.0005, 0.9995], n, rate) / n


@pytest.mark.parametrize("name", ["welch", "student", "paired-t", "pitman-morgan"])
@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_level_is_alpha_for_normal_losses(name, alternative):
    low, high = binomial_range(0.05, 1500)
    assert low <= rejection_rate(name, alternative, 1500, 10) <= high


@pytest.mark.slow
@pytest.mark.parametrize("name", ["welch", "student", "paired-t", "pitman-morgan", "bartlett"])
@every_alternative
@pytest.mark.parametrize("n_instances", [5, 20])
def test_level_is_alpha_for_normal_losses_with_many_pairs(name, alternative, n_instances):
    low, high = binomial_range(0.05, 5000)
    rate = rejection_rate(name, alternative, 5000, n_instances, seed=1)
    # Welch's degrees of freedom and Bartlett's chi-squared are approximations.
    assert low - 0.005 <= rate <= high + 0.003


@pytest.mark.slow
@pytest.mark.parametrize("name", ["levene", "fligner", "mannwhitneyu", "ks", "wilcoxon"])
@every_alternative
@pytest.mark.parametrize("n_instances", [5, 10])
def test_level_of_rank_and_median_tests_is_at_most_alpha(name, alternative, n_instances):
    rate = rejection_rate(name, alternative, 3000, n_instances)
    assert rate <= binomial_range(0.05, 3000)[1]


def test_pitman_morgan_keeps_its_level_on_common_instances_and_bartlett_does_not():
    low, high = binomial_range(0.05, 2000)
    assert low <= rejection_rate("pitman-morgan", "two-sided", 2000, 10, correlation=0.8) <= high
    assert rejection_rate("bartlett", "two-sided", 2000, 10, correlation=0.8) < 0.015


@pytest.mark.parametrize("criterion", ["mean", "median", "q3", "q3+iqr", "std"])
def test_bootstrap_interval_is_that_of_scipy(criterion):
    losses = np.random.default_rng(5).normal(size=15)
    chosen = get_criterion(criterion)
    expected = stats.bootstrap(
        (losses,),
        lambda sample, axis: chosen(np.moveaxis(sample, axis, -1)),
        confidence_level=0.9,
        n_resamples=400,
        vectorized=True,
        rng=np.random.default_rng(3),
    ).confidence_interval
    found = bootstrap_interval(losses, criterion, confidence=0.9, n_resamples=400, seed=3)
    assert found == pytest.approx((expected.low, expected.high))


def test_bootstrap_interval_of_a_callable():
    losses = np.random.default_rng(5).normal(size=12)
    by_name = bootstrap_interval(losses, "mean", n_resamples=300)
    assert bootstrap_interval(losses, lambda x: x.mean(), n_resamples=300) == by_name


def test_bootstrap_interval_repeats_and_depends_on_the_seed():
    losses = np.random.default_rng(5).normal(size=12)
    first, again, other = (bootstrap_interval(losses, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_bootstrap_interval_leaves_out_what_is_not_trained():
    losses = np.random.default_rng(5).normal(size=12)
    with_gaps = np.insert(losses, [0, 5, 12], np.nan)
    assert bootstrap_interval(with_gaps) == bootstrap_interval(losses)


def test_bootstrap_interval_follows_shift_and_scale():
    losses = np.random.default_rng(5).normal(size=12)
    low, high = bootstrap_interval(losses, "q3+iqr", n_resamples=500)
    moved = bootstrap_interval(3.0 + 4.0 * losses, "q3+iqr", n_resamples=500)
    assert moved == pytest.approx((3.0 + 4.0 * low, 3.0 + 4.0 * high))


def test_bootstrap_interval_widens_with_confidence():
    losses = np.random.default_rng(5).normal(size=20)
    narrow, wide = (bootstrap_interval(losses, confidence=share) for share in (0.5, 0.99))
    assert wide.low < narrow.low < losses.mean() < narrow.high < wide.high


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [0.3, 0.1, 0.2, 0.5, 0.4, 0.6, 0.7, 0.9, 1.0],
        [0.3, 0.1, 0.2, 0.5, 0.4, 0.6, 0.7, 0.9, 1.0, np.nan, np.nan],
        [0.3, 0.1, 0.2, 0.5, 0.4, 0.6, 0.7, 0.8, 0.9, np.inf],
        [0.3] * 12,
    ],
)
def test_bootstrap_interval_is_nan_where_it_would_mean_nothing(losses):
    assert np.isnan(bootstrap_interval(losses)).all()


def test_bootstrap_interval_of_tied_losses_is_the_percentile_interval():
    losses = [1.0] * 9 + [2.0]
    assert bootstrap_interval(losses, "median") == (1.0, 1.0)
    low, high = bootstrap_interval([0.25, 0.5] * 8, "median")
    assert 0.25 <= low < high <= 0.5


def test_bootstrap_interval_takes_one_model():
    with pytest.raises(ValueError, match=r"losses must be those of one model.*\(2, 10\)"):
        bootstrap_interval(np.arange(20.0).reshape(2, 10))


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_fligner_is_undefined_beside_an_infinite_median(alternative):
    reference = [0.1, 0.2, 0.35, 0.4, 0.55, 0.6]
    losses = [[np.inf] * 6, [np.inf] * 3 + [0.1, 0.2, 0.3], [np.inf, 0.1, 0.2, 0.3, 0.4, 0.5]]
    p_values = compare_with_reference(losses, reference, "fligner", alternative=alternative)
    assert np.isnan(p_values).tolist() == [True, True, False]


def test_welch_tells_constant_models_apart():
    p_values = compare_with_reference([[0.5] * 4, [0.25] * 4], [0.25] * 4, "welch")
    assert p_values[0] == 0.0
    assert np.isnan(p_values[1])


@every_test
@every_alternative
@pytest.mark.parametrize("n_instances", [3, 7, 10])
def test_rounding_does_not_tell_constant_models_apart(name, alternative, n_instances):
    for constant in (0.1, 0.3, 1380691.42461921):
        same, reference = np.full((3, n_instances), constant), np.full(n_instances, constant)
        p_values = compare_with_reference(same, reference, name, alternative=alternative)
        assert (np.isnan(p_values) | (p_values >= 0.5)).all()


@pytest.mark.parametrize("name", sorted(SPREAD))
@every_alternative
@pytest.mark.parametrize("n_instances", [3, 7, 10])
def test_constant_models_have_no_p_value_of_spread(name, alternative, n_instances):
    losses = np.array([[0.1], [0.3], [1380691.42461921], [0.0002032]]) * np.ones(n_instances)
    p_values = compare_with_reference(losses[1:], losses[0], name, alternative=alternative)
    assert np.isnan(p_values).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("criterion", "truth"),
    [
        ("mean", 0.0),
        ("median", 0.0),
        ("q3", stats.norm.ppf(0.75)),
        ("iqr", 2.0 * stats.norm.ppf(0.75)),
        ("q3+iqr", 3.0 * stats.norm.ppf(0.75)),
        ("mad", 1.0),
    ],
)
@pytest.mark.parametrize("n_instances", [10, 20, 30])
def test_bootstrap_interval_covers_the_truth(criterion, truth, n_instances):
    rng = np.random.default_rng(n_instances)
    hits = 0
    for seed in range(1000):
        losses = rng.normal(size=n_instances)
        low, high = bootstrap_interval(losses, criterion, n_resamples=999, seed=seed)
        hits += low <= truth <= high
    # Nominally 0.95; at 10 instances the bootstrap is known to be too short.
    least = 0.90 if n_instances < 20 else 0.92
    assert binomial_range(least, 1000)[0] <= hits / 1000 <= binomial_range(0.96, 1000)[1]


@pytest.mark.parametrize("criterion", ["max", "min", "cvar", max, np.min, get_criterion("max")])
def test_bootstrap_interval_refuses_extremes(criterion):
    with pytest.raises(ValueError, match=r"criterion='.*' has no valid bootstrap interval"):
        bootstrap_interval(np.arange(20.0), criterion)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, np.nan])
def test_bootstrap_interval_bad_confidence(confidence):
    with pytest.raises(ValueError, match=r"confidence must lie in \(0, 1\)"):
        bootstrap_interval(np.arange(20.0), confidence=confidence)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.5])
def test_std_lower_bound_is_that_of_the_chi_squared_distribution(n, alpha):
    losses = model_losses(7, n)
    expected = losses.std(axis=1, ddof=1) * np.sqrt((n - 1) / stats.chi2.isf(alpha, n - 1))
    np.testing.assert_allclose(std_lower_bound(losses, alpha), expected)


def test_std_lower_bound_counts_what_is_trained():
    nan = np.nan
    losses = [[1.0, nan, 2.0, 4.0], [1.0, nan, nan, nan], [1.0, 2.0, np.inf, nan], [3.0] * 4]
    bounds = std_lower_bound(losses)
    assert bounds[0] == pytest.approx(float(std_lower_bound([1.0, 2.0, 4.0])))
    assert np.isnan(bounds[1])
    assert bounds[2:].tolist() == [np.inf, 0.0]


@pytest.mark.parametrize("n", [2, 5, 20])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_std_lower_bound_errs_with_probability_alpha(n, alpha):
    losses = np.random.default_rng(n).normal(scale=3.0, size=(20_000, n))
    low, high = binomial_range(alpha, 20_000)
    assert low <= np.mean(std_lower_bound(losses, alpha) > 3.0) <= high


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1])
def test_std_lower_bound_bad_alpha(alpha):
    with pytest.raises(ValueError, match=r"alpha must lie in \(0, 1\)"):
        std_lower_bound([1.0, 2.0], alpha)


@pytest.mark.parametrize("name", ["paired-t", "pitman-morgan"])
def test_small_differences_are_rounding_only_if_all_are(name):
    rng = np.random.default_rng(0)
    reference = 1e3 + 1e-9 * rng.normal(size=15)
    losses = reference + 1e-9 * rng.normal(size=(40, 15))
    exact = compare_with_reference(1e6 * (losses - 1e3), 1e6 * (reference - 1e3), name)
    found = compare_with_reference(losses, reference, name)
    np.testing.assert_allclose(found, exact, atol=1e-3)
