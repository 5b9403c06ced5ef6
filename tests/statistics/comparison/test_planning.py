"""Numbers of instances: closed forms, achieved power, and how plans follow their arguments."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy import integrate
from scipy import stats

from optuna_robust._statistics.comparison._pilot import pilot_noise
from optuna_robust._statistics.comparison._power import pitman_morgan_power
from optuna_robust._statistics.comparison._power import simulated_difference
from optuna_robust._statistics.comparison._power import t_test_power
from optuna_robust._statistics.comparison._power import variance_ratio_power
from optuna_robust.comparison import compare_with_reference
from optuna_robust.comparison import detectable_effect
from optuna_robust.comparison import required_instances
from optuna_robust.criteria import CRITERIA
from optuna_robust.criteria import Criterion
from optuna_robust.criteria import get_criterion


pytestmark = pytest.mark.filterwarnings("error")

examples = settings(derandomize=True, deadline=None, max_examples=10)
every_criterion = pytest.mark.parametrize("criterion", CRITERIA)
nan, inf = np.nan, np.inf
INSTANCE_VARIANCE = 0.45  # beside noise of 1, as in measured data


def orthonormal(n):
    """Return two uncorrelated columns with mean 0 and variance 1."""
    draws = np.column_stack([np.ones(n), np.random.default_rng(0).normal(size=(n, 2))])
    return np.linalg.qr(draws)[0][:, 1:].T * math.sqrt(n - 1)


def one_model(std=1.0):
    """Return a pilot of one model with an exact standard deviation."""
    return std * orthonormal(20)[0]


def two_models(instance_variance=INSTANCE_VARIANCE):
    """Return a pilot of two models from which noise of 1 and that variance are estimated.

    Residuals of two models mirror each other, and half of the noise goes with the instances.
    """
    common, own = orthonormal(20)
    common = math.sqrt(instance_variance + 0.5) * common
    return np.stack([common + math.sqrt(0.5) * own, common - math.sqrt(0.5) * own])


def pairs(rng, n, n_pairs, instance_variance):
    """Return losses of pairs of models that are alike, each ``(n_pairs, n)``."""
    common = math.sqrt(instance_variance) * rng.normal(size=(n_pairs, n))
    return common + rng.normal(size=(n_pairs, n)), common + rng.normal(size=(n_pairs, n))


def studentised_rejections(criterion, x, y, *, instance_variance):
    """Test differences of a criterion over their standard error, estimated from the same losses.

    Noise has the variance 1, so that the simulated error is in units of its standard deviation.
    """
    chosen, n = get_criterion(criterion), x.shape[1]
    error = simulated_difference(chosen, n, level=0.0, noise=1.0, instances=instance_variance).std
    if instance_variance:
        variance, df = (x - y).var(axis=1, ddof=1) / 2.0, n - 1
    else:
        variance, df = (x.var(axis=1, ddof=1) + y.var(axis=1, ddof=1)) / 2.0, 2 * n - 2
    statistic = np.abs(chosen(x) - chosen(y)) / (error * np.sqrt(variance))
    return float((statistic > stats.t.isf(0.025, df)).mean())


def within(share, expected, n, model_error=0.0):
    """Return True if a share of n cases lies in the 99.9 % binomial interval of the expected."""
    error = 3.29 * math.sqrt(expected * (1.0 - expected) / n)
    return abs(share - expected) < error + model_error


@pytest.mark.parametrize(
    ("effect", "n_unpaired", "n_paired"), [(0.2, 394, 199), (0.5, 64, 34), (0.8, 26, 15)]
)
def test_means_take_the_instances_of_the_tables(effect, n_unpaired, n_paired):
    """Those of Cohen (1988) for small, medium and large effects, as G*Power gives them."""
    assert required_instances(one_model(), effect, criterion="mean") == n_unpaired
    pilot = two_models()
    assert pilot_noise(pilot, common_instances=True) == pytest.approx(
        (0.0, 1.0, INSTANCE_VARIANCE, True), abs=1e-9
    )
    # The paired effect is in units of the standard deviation of differences.
    effect *= math.sqrt(2.0)
    assert required_instances(pilot, effect, criterion="mean") == n_paired


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.01])
@pytest.mark.parametrize("df", [1, 2, 5, 30, 400])
def test_power_of_t_tests_is_that_of_the_noncentral_t_distribution(df, alpha):
    critical = stats.t.isf(alpha / 2.0, df)
    # The other tail, which is NaN or inaccurate in SciPy, is beyond five standard deviations.
    shift = np.array([5.0, 6.0, 9.0])
    np.testing.assert_allclose(
        t_test_power(shift, df, alpha), stats.nct.sf(critical, df, shift), atol=1e-6
    )
    for size in (0.5, 1.0, 2.0, 3.0):
        expected = integrate.quad(
            lambda z, size=size: (
                stats.norm.pdf(z) * stats.chi2.cdf(df * ((z + size) / critical) ** 2, df)
            ),
            -9.0,
            9.0,
            limit=500,
        )[0]
        assert t_test_power(size, df, alpha) == pytest.approx(expected, abs=1e-6)
    assert t_test_power(0.0, df, alpha) == pytest.approx(alpha, rel=1e-5)
    assert t_test_power(1e6, df, alpha) == pytest.approx(1.0, abs=1e-4)


def test_power_of_t_tests_with_many_degrees_of_freedom_is_normal():
    shift = np.array([0.0, 2.8, 5.0])
    expected = stats.norm.sf(1.959964 - shift) + stats.norm.cdf(-1.959964 - shift)
    np.testing.assert_allclose(t_test_power(shift, 2e6, 0.05), expected, atol=1e-6)


@pytest.mark.parametrize("n", [2, 5, 30])
def test_power_of_variance_ratios_is_that_of_the_f_distribution(n):
    critical = stats.f.isf(0.025, n - 1, n - 1)
    expected = stats.f.sf(critical / 4.0, n - 1, n - 1) + stats.f.cdf(
        1.0 / critical / 4.0, n - 1, n - 1
    )
    assert variance_ratio_power(2.0, n, 0.05) == pytest.approx(expected)
    assert variance_ratio_power(1.0, n, 0.05) == pytest.approx(0.05)
    effect = detectable_effect(one_model(3.0), n, criterion="std")
    assert variance_ratio_power(1.0 + effect / 3.0, n, 0.05) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("ratio", "correlation", "n"),
    [(3.0, 0.0, 6), (20.0, 0.31, 3), (2.0, 0.31, 12), (1.5, 0.9, 12)],
)
def test_power_of_pitman_morgan_by_simulation(ratio, correlation, n):
    rng = np.random.default_rng(1)
    covariance = [[1.0, correlation], [correlation, ratio**2]]
    draws = rng.multivariate_normal([0.0, 5.0], covariance, size=(2000, n))
    p_values = [
        compare_with_reference(x[None, :], y, "pitman-morgan")[0]
        for x, y in np.swapaxes(draws, 1, 2)
    ]
    share = float((np.array(p_values) < 0.05).mean())
    assert 0.2 < share < 0.99
    assert within(share, pitman_morgan_power(ratio, correlation, n, 0.05), 2000)


@pytest.mark.parametrize(
    ("criterion", "variance"),
    [
        ("mean", 1.0),
        ("median", math.pi / 2.0),
        ("q3", 0.1875 / stats.norm.pdf(stats.norm.isf(0.25)) ** 2),
        ("q3+iqr", 0.6875 / stats.norm.pdf(stats.norm.isf(0.25)) ** 2),
        ("mean+std", 1.5),
    ],
)
def test_with_many_instances_criteria_are_asymptotically_normal(criterion, variance):
    """Variances of quantiles by their densities (e.g. van der Vaart 1998, corollary 21.5)."""
    chance = simulated_difference(
        get_criterion(criterion), 10_000, level=0.0, noise=1.0, instances=0.0
    )
    assert chance.std == pytest.approx(math.sqrt(2.0 * variance / 10_000), rel=0.02)


def test_maxima_of_two_and_of_many():
    """The variance of the maximum of two normal variables is 1 - 1 / pi."""
    chance = simulated_difference(CRITERIA["max"], 2, level=0.0, noise=4.0, instances=0.0)
    assert chance.std == pytest.approx(2.0 * math.sqrt(2.0 - 2.0 / math.pi), rel=0.02)
    assert chance.mean == pytest.approx(2.0 / math.sqrt(math.pi), rel=0.02)
    least = [detectable_effect(one_model(), n, criterion="max") for n in (10, 1000)]
    assert 0.5 < least[1] / least[0] < 0.6
    assert detectable_effect(-one_model(), 10, criterion="min") == pytest.approx(
        least[0], rel=0.05
    )


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("n", [3, 8, 25])
def test_means_have_the_power_that_is_asked_for(n, paired):
    pilot = two_models() if paired else one_model()
    effect = detectable_effect(pilot, n, criterion="mean", power=0.7)
    instance_variance = INSTANCE_VARIANCE if paired else 0.0
    x, y = pairs(np.random.default_rng(2), n, 10_000, instance_variance)
    test = stats.ttest_rel if paired else stats.ttest_ind
    assert within((test(x + effect, y, axis=1).pvalue < 0.05).mean(), 0.7, 10_000)


def test_standard_deviations_have_the_power_that_is_asked_for():
    n = 12
    effect = detectable_effect(one_model(), n, criterion="std")
    x, y = pairs(np.random.default_rng(3), n, 10_000, 0.0)
    ratios = ((1.0 + effect) * x).var(axis=1, ddof=1) / y.var(axis=1, ddof=1)
    critical = stats.f.isf(0.025, n - 1, n - 1)
    assert within(((ratios > critical) | (ratios < 1.0 / critical)).mean(), 0.8, 10_000)


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("criterion", ["q3+iqr", "median", "q3", "cvar", "mean+std", "max"])
@pytest.mark.parametrize("n", [5, 16])
def test_simulated_criteria_have_the_power_that_is_asked_for(criterion, n, paired):
    """And the test keeps its level; it is a little cautious with few instances."""
    pilot = two_models() if paired else one_model()
    instance_variance = INSTANCE_VARIANCE if paired else 0.0
    effect = detectable_effect(pilot, n, criterion=criterion)
    x, y = pairs(np.random.default_rng(4), n, 10_000, instance_variance)
    share = studentised_rejections(criterion, x + effect, y, instance_variance=instance_variance)
    assert within(share, 0.8, 10_000, model_error=0.01)
    level = studentised_rejections(criterion, x, y, instance_variance=instance_variance)
    assert level < 0.05 + 3.29 * math.sqrt(0.05 * 0.95 / 10_000)


@pytest.mark.parametrize("criterion", ["iqr", "mad"])
@pytest.mark.parametrize("n", [6, 20])
def test_spreads_have_the_power_that_is_asked_for(criterion, n):
    chosen = get_criterion(criterion)
    effect = detectable_effect(one_model(), n, criterion=criterion)
    chance = simulated_difference(chosen, n, level=0.0, noise=1.0, instances=0.0)
    x, y = pairs(np.random.default_rng(5), n, 10_000, 0.0)
    ratios = np.log((1.0 + effect / chance.mean) * chosen(x) / chosen(y))
    share = (np.abs(ratios) > 1.959964 * chance.log_std).mean()
    assert within(share, 0.8, 10_000, model_error=0.02)


@every_criterion
def test_required_instances_and_detectable_effect_are_inverse(criterion):
    pilot = one_model(0.1)
    exact = criterion in ("mean", "std")
    for n in (2, 3, 5, 9, 17, 40):
        effect = detectable_effect(pilot, n, criterion=criterion)
        found = required_instances(pilot, effect, criterion=criterion)
        assert found == n if exact else found <= n + 3 * (n > 32)
        assert detectable_effect(pilot, found, criterion=criterion) <= effect * (1 + 1e-6)
        if found > 2:
            less = detectable_effect(pilot, found - 1, criterion=criterion)
            assert less > effect * (1 - 1e-6)


@every_criterion
@examples
@given(st.floats(0.9, 5.0), st.floats(1.0, 3.0), st.floats(0.3, 0.9), st.floats(0.01, 0.2))
def test_larger_effects_less_power_and_a_larger_level_take_fewer(
    criterion, effect, factor, power, alpha
):
    pilot = one_model(0.3)
    n = required_instances(pilot, effect, criterion=criterion, power=power, alpha=alpha)
    for more in (
        {"effect": factor * effect, "power": power, "alpha": alpha},
        {"effect": effect, "power": alpha + (power - alpha) / factor, "alpha": alpha},
        {"effect": effect, "power": power, "alpha": alpha + (power - alpha) * (factor - 1) / 4},
    ):
        assert 2 <= required_instances(pilot, criterion=criterion, **more) <= n


@pytest.mark.parametrize("criterion", ["mean", "std", "q3+iqr", "mad"])
@examples
@given(st.integers(0, 10**6), st.floats(1e-6, 1e6), st.floats(-5.0, 5.0))
def test_plans_follow_the_scale_of_losses_and_not_their_level(criterion, seed, factor, shift):
    pilot = np.random.default_rng(seed).normal(size=(3, 6))
    pilot[0, 3:] = nan
    effect = detectable_effect(pilot, 6, criterion=criterion, common_instances=False)
    scaled = factor * (pilot + shift)
    found = detectable_effect(scaled, 6, criterion=criterion, common_instances=False)
    assert found == pytest.approx(factor * effect, rel=1e-5)
    numbers = [
        required_instances(losses, 1.01 * size, criterion=criterion, common_instances=False)
        for losses, size in ((pilot, effect), (scaled, factor * effect), (-pilot, effect))
    ]
    assert numbers[0] <= 6
    assert numbers == [numbers[0]] * 3


@every_criterion
def test_common_instances_save_some(criterion):
    """All of the noise that they share for the mean, part of it for others."""
    rng = np.random.default_rng(6)
    pilot = 3.0 * rng.normal(size=8) + rng.normal(size=(30, 8))
    paired, unpaired = (
        detectable_effect(pilot, 40, criterion=criterion, common_instances=common)
        for common in (True, False)
    )
    assert paired < 0.9 * unpaired
    if criterion == "mean":
        assert paired == pytest.approx(math.sqrt(2.0 / 40) * 2.87, rel=0.15)


def test_a_typical_model_is_planned_for():
    """The median of true variances; wild models do not count, nor do failed instances."""
    rng = np.random.default_rng(7)
    pilot = rng.normal(size=(40, 20))
    n = required_instances(pilot, 1.0, criterion="mean")
    assert n in (16, 17, 18)
    wild = pilot.copy()
    wild[:3] *= 100.0
    assert abs(required_instances(wild, 1.0, criterion="mean") - n) <= 2
    failed = pilot.copy()
    failed[0, 3] = inf
    failed[5] = [inf] * 20
    missing = np.where(np.isinf(failed), nan, failed)
    noise = pilot_noise(failed, common_instances=True)
    assert noise == pilot_noise(missing, common_instances=True)
    assert noise == pilot_noise(np.delete(failed, 5, axis=0), common_instances=True)
    scales = np.sqrt(4.0 / rng.chisquare(4.0, size=400))
    noise = pilot_noise(scales[:, None] * rng.normal(size=(400, 5)), common_instances=True).noise
    assert noise == pytest.approx(4.0 / stats.chi2.median(4.0), rel=0.2)


def test_one_model_does_not_tell_instances_from_noise():
    pilot = one_model()
    alone = required_instances(pilot, 0.5, criterion="mean")
    for losses in (pilot[None, :], [pilot, [nan] * 20], [pilot, [inf] * 20]):
        assert required_instances(losses, 0.5, criterion="mean") == alone


def test_callables_are_planned_like_the_criteria_that_they_are():
    def upper(losses):
        return float(np.quantile(losses, 0.75))

    pilot = two_models()
    for n in (5, 12):
        found = detectable_effect(pilot, n, criterion=upper)
        assert found == pytest.approx(detectable_effect(pilot, n, criterion="q3"), rel=0.06)
    # A callable that depends on the level is planned at that of the pilot.
    relative = detectable_effect(pilot + 100.0, 5, criterion=lambda x: float(np.log(x.mean())))
    assert relative == pytest.approx(detectable_effect(pilot, 5, criterion="mean") / 100, rel=0.06)


def test_callables_need_their_least_number_of_instances():
    def late(losses):
        return float(losses.mean()) if len(losses) > 6 else nan

    assert required_instances(one_model(), 50.0, criterion=late) == 7
    late.min_instances = 9
    assert required_instances(one_model(), 50.0, criterion=late) == 9
    with pytest.raises(ValueError, match="n_instances must be at least 9, but was 8"):
        detectable_effect(one_model(), 8, criterion=late)
    del late.min_instances
    with pytest.raises(ValueError, match="'late' must have finite values that differ"):
        detectable_effect(one_model(), 6, criterion=late)


def test_a_spread_of_ones_own():
    own = Criterion("half", lambda losses: losses.std(axis=1, ddof=1) / 2.0, "spread", 2)
    found = 2.0 * detectable_effect(one_model(), 15, criterion=own)
    assert found == pytest.approx(detectable_effect(one_model(), 15, criterion="std"), rel=0.08)


def no_spread(losses):
    return np.zeros(len(losses))


@pytest.mark.parametrize(
    "criterion",
    [lambda losses: 3.0, lambda losses: inf, Criterion("none", no_spread, "spread", 2)],
)
def test_callables_that_tell_nothing(criterion):
    with pytest.raises(ValueError, match=r"takes more than 1000 .* the criterion has no value"):
        required_instances(one_model(), 1.0, criterion=criterion)
    with pytest.raises(ValueError, match="must have finite values that differ between models"):
        detectable_effect(one_model(), 5, criterion=criterion)


def test_what_is_out_of_reach():
    with pytest.raises(ValueError, match=r"effect=0\.001 .* more than 1000000 .* be 0\.00396"):
        required_instances(one_model(), 0.001, criterion="mean")
    with pytest.raises(ValueError, match=r"'max' takes more than 1000 instances .* must be 1\.41"):
        required_instances(one_model(), 0.5, criterion="max")
    with pytest.raises(ValueError, match="n_instances must be at most 1000 for criterion 'min'"):
        detectable_effect(one_model(), 1001, criterion="min")
    n = required_instances(one_model(), 0.004, criterion="mean")
    assert 900_000 < n <= 1_000_000


@pytest.mark.parametrize(
    ("pilot", "message"),
    [
        (1.0, r"shape \(n_models, n_instances\) or \(n_instances,\), but had \(\)"),
        (np.zeros((2, 2, 2)), r"but had \(2, 2, 2\)"),
        ([], "at least two finite losses, but the most of any model was 0"),
        (np.zeros((0, 3)), "the most of any model was 0"),
        ([1.0, nan, inf], "the most of any model was 1"),
        ([[1.0, nan], [nan, 2.0]], "the most of any model was 1"),
        ([[1.0, 2.0, nan], [nan, 2.0, nan]], "two instances that two models have in common"),
        ([0.1, 0.1, 0.1], "identical over its instances. The objective seems to fix its own"),
        ([[0.1, 0.1], [0.2, 0.2]], "or differ by the same amounts for all models"),
        ([[1.0, 2.0, 4.0], [3.0, 4.0, 6.0]], "or differ by the same amounts for all models"),
    ],
)
def test_pilots_that_do_not_tell(pilot, message):
    for plan in (
        lambda: required_instances(pilot, 1.0, criterion="mean"),
        lambda: detectable_effect(pilot, 5, criterion="mean"),
    ):
        with pytest.raises(ValueError, match="pilot must have .*" + message):
            plan()


def test_pilots_without_common_instances():
    losses = [[1.0, 2.0, nan], [nan, 2.0, nan]]
    alone = required_instances([1.0, 2.0], 1.0, criterion="mean")
    assert required_instances(losses, 1.0, criterion="mean", common_instances=False) == alone


def test_wrong_arguments():
    pilot = one_model()
    for effect in (0.0, -1.0, nan, inf):
        with pytest.raises(ValueError, match=r"effect must lie in \(0, inf\), but was"):
            required_instances(pilot, effect, criterion="mean")
    for plan in (required_instances, detectable_effect):
        for power in (0.05, 0.01, 1.0, nan):
            with pytest.raises(ValueError, match=r"power must lie in \(0\.05, 1\), but was"):
                plan(pilot, 5, criterion="mean", power=power)
        for alpha in (0.0, 1.0, nan):
            with pytest.raises(ValueError, match=r"alpha must lie in \(0, 1\), but was"):
                plan(pilot, 5, criterion="mean", alpha=alpha)
        with pytest.raises(ValueError, match="criterion='best' is unknown; choose one of mean"):
            plan(pilot, 5, criterion="best")
    with pytest.raises(ValueError, match="n_instances must be at least 2, but was 1"):
        detectable_effect(pilot, 1, criterion="mean")
    with pytest.raises(ValueError, match="n_instances must be at least 3, but was 2"):
        detectable_effect(two_models(), 2, criterion="std")
    with pytest.raises(TypeError, match="n_instances must be an integer"):
        detectable_effect(pilot, 2.5, criterion="mean")
