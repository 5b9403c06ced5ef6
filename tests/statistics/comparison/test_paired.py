"""Two models on common instances: interval and test, beside enumeration and simulation."""

from __future__ import annotations

from itertools import combinations
from itertools import product
import math

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
import numpy as np
import pytest
from scipy import stats

from optuna_robust._statistics.comparison import _resampling
from optuna_robust.comparison import compare_pairs
from optuna_robust.comparison import paired_criterion_test
from optuna_robust.comparison import probability_of_best
from optuna_robust.criteria import CRITERIA
from optuna_robust.criteria import get_criterion
from tests.statistics.comparison.examples import every_criterion
from tests.statistics.comparison.examples import examples
from tests.statistics.comparison.examples import normal
from tests.statistics.comparison.examples import undefined_unless


pytestmark = pytest.mark.filterwarnings("error")

nan, inf = np.nan, np.inf


def enumerated_p_value(x, y, criterion):
    """Share of all exchanges within instances that differ as much as the pairs as they are."""
    chosen = get_criterion(criterion)
    exchanged = np.array(list(product([False, True], repeat=len(x))))
    differences = chosen(np.where(exchanged, y, x)) - chosen(np.where(exchanged, x, y))
    return np.mean(np.abs(differences) >= np.abs(differences[0]) - 1e-9)


@pytest.mark.parametrize(
    ("criterion", "n"),
    [*product(CRITERIA, [2, 3, 4]), *product(["max", "min"], [6, 9])],
)
def test_without_an_interval_p_is_that_of_all_exchanges(criterion, n):
    x, y = normal(2, n, seed=n)
    found = paired_criterion_test(x, y, criterion)
    assert found.p_value == pytest.approx(enumerated_p_value(x, y, criterion))
    assert np.isnan(found.interval).all()
    chosen = get_criterion(criterion)
    assert found.difference == pytest.approx(float(chosen(x) - chosen(y)))


@given(
    pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=4),
    offset=st.sampled_from([0, 10, 1000]),
)
@examples
def test_p_value_of_few_losses_counts_sums_of_signs(pairs, offset):
    # In tenths, rounding makes sums differ that are equal; integers know.
    differences = [x - y for x, y in pairs]
    sums = [
        sum(sign * difference for sign, difference in zip(signs, differences, strict=True))
        for signs in product([1, -1], repeat=len(pairs))
    ]
    expected = np.mean([abs(total) >= abs(sum(differences)) for total in sums])
    x, y = np.array([(offset + x, offset + y) for x, y in pairs]).T / 10.0
    assert paired_criterion_test(x, y, "mean").p_value == expected


def test_least_p_value_of_exchanges():
    for n in range(2, 10):
        x = np.arange(n, dtype=float)
        assert paired_criterion_test(x, x + n, "max").p_value == 2.0 ** (1 - n)


def test_random_exchanges_where_all_are_too_many():
    x, y = normal(2, 10, seed=4) + np.array([[0.0], [1.0]])
    exact = paired_criterion_test(x, y, "max", n_resamples=1024).p_value
    assert exact == pytest.approx(enumerated_p_value(x, y, "max"))
    found = paired_criterion_test(x, y, "max", n_resamples=999).p_value
    assert found != exact
    assert 1000.0 * found == pytest.approx(round(1000.0 * found))
    standard_error = math.sqrt(exact * (1.0 - exact) / 999)
    assert found == pytest.approx(exact, abs=4.0 * standard_error)


def test_random_exchanges_never_give_zero():
    x = normal(40)
    assert paired_criterion_test(x, x + 9.0, "max", n_resamples=99).p_value == 0.01


def test_swapped_models_mirror_the_comparison():
    for criterion in ("mean", "q3+iqr", "std"):
        x, y = normal(2, 12, seed=5)
        there = paired_criterion_test(x, y, criterion)
        back = paired_criterion_test(y, x, criterion)
        assert back.difference == -there.difference
        assert back.p_value == pytest.approx(there.p_value)
        assert back.interval == pytest.approx((-there.interval.high, -there.interval.low))


@pytest.mark.parametrize("criterion", ["mean", "q3+iqr", "mad"])
def test_comparison_follows_shift_and_scale(criterion):
    x, y = normal(2, 11, seed=6)
    before = paired_criterion_test(x, y, criterion)
    after = paired_criterion_test(3.0 + 4.0 * x, 3.0 + 4.0 * y, criterion)
    assert after.p_value == pytest.approx(before.p_value)
    assert after.difference == pytest.approx(4.0 * before.difference)
    assert after.interval == pytest.approx(tuple(4.0 * end for end in before.interval))


def test_p_value_hardly_depends_on_the_order_of_instances():
    x, y = normal(2, 9, seed=7)
    order = np.random.default_rng(0).permutation(9)
    found = paired_criterion_test(x, y, "q3+iqr").p_value
    again = paired_criterion_test(x[order], y[order], "q3+iqr").p_value
    assert again == pytest.approx(found, rel=0.1)


def test_comparison_repeats_and_depends_on_the_seed():
    x, y = normal(2, 20, seed=8)
    first, again, other = (
        paired_criterion_test(x, y, "mean", n_resamples=500, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.p_value != other.p_value
    assert first.interval != other.interval


def test_comparison_is_the_same_in_small_portions(monkeypatch):
    x, y = normal(2, 15, seed=9)
    found = paired_criterion_test(x, y, "mean", n_resamples=500)
    monkeypatch.setattr(_resampling, "MOST_LOSSES", 100)
    assert paired_criterion_test(x, y, "mean", n_resamples=500) == found


def test_comparison_is_that_of_common_instances():
    x, y = normal(2, 14, seed=10)
    gaps_x, gaps_y = x.copy(), y.copy()
    gaps_x[[2, 7]], gaps_y[[2, 13]] = nan, nan
    common = np.delete(np.arange(14), [2, 7, 13])
    found = paired_criterion_test(gaps_x, gaps_y, "q3+iqr")
    assert found == paired_criterion_test(x[common], y[common], "q3+iqr")
    assert not np.isnan([found.difference, *found.interval, found.p_value]).any()


def is_undefined(found):
    return bool(np.isnan([found.difference, *found.interval, found.p_value]).all())


@pytest.mark.parametrize(
    ("x", "y", "criterion"),
    [
        ([], [], "mean"),
        ([1.0], [2.0], "mean"),
        ([1.0], [1.0], "mean"),
        ([1.0, nan, 3.0], [nan, 2.0, 4.0], "mean"),
        ([1.0, 2.0], [2.0, 4.0], undefined_unless(lambda losses: losses[0] < 2.0)),
        ([1.0, 2.0], [1.0, 2.0], undefined_unless(lambda losses: False)),
        ([0.5] * 12, list(range(12)), "std"),
        (list(range(12)), [0.5] * 12, "iqr"),
        ([0.5] * 12, [0.25] * 12, "mad"),
        ([0.5, 0.5, 1.0], [0.25, 0.75, nan], "std"),
    ],
)
def test_comparison_is_nan_where_it_is_undefined(x, y, criterion):
    assert is_undefined(paired_criterion_test(x, y, criterion))


@every_criterion
@pytest.mark.parametrize("losses", [[0.3, 0.7, 0.1], [0.5] * 12, [inf, 1.0, 2.0], [inf, inf]])
def test_equal_pairs_do_not_differ(criterion, losses):
    found = paired_criterion_test(losses, losses, criterion)
    assert (found.difference, found.p_value) == (0.0, 1.0)
    assert np.isnan(found.interval).all()


def test_interval_of_equal_pairs_is_zero_where_losses_vary():
    x = normal(12)
    assert paired_criterion_test(x, x, "q3+iqr") == (0.0, (0.0, 0.0), 1.0)


@pytest.mark.parametrize("n", [5, 20, 100])
def test_comparison_of_means_is_the_paired_t_test(n):
    x, y = normal(2, n, seed=11) + normal(n)
    expected = stats.ttest_rel(x, y)
    found = paired_criterion_test(x, y, "mean", confidence=0.9, n_resamples=50_000)
    # Half a per cent: what is left of the bootstrap's randomness.
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.03)
    low, high = expected.confidence_interval(0.9)
    assert found.interval == pytest.approx((low, high), abs=0.01 * (high - low))


@pytest.mark.parametrize("criterion", ["median", "q3+iqr", "std", "mean+std"])
def test_interval_of_many_losses_is_near_that_of_scipy(criterion):
    x, y = normal(2, 300, seed=11) + normal(300)
    chosen = get_criterion(criterion)
    expected = stats.bootstrap(
        (x, y),
        lambda x, y, axis: chosen(np.moveaxis(x, axis, -1)) - chosen(np.moveaxis(y, axis, -1)),
        paired=True,
        vectorized=True,
        confidence_level=0.9,
        n_resamples=2000,
        method="basic",
        rng=np.random.default_rng(0),
    )
    found = paired_criterion_test(x, y, criterion, confidence=0.9).interval
    assert found == pytest.approx(expected.confidence_interval, abs=0.5 * expected.standard_error)


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(2, 40),
    name=st.sampled_from(sorted(CRITERIA)),
    ratio=st.sampled_from([0.01, 1.0, 100.0]),
    gap=st.floats(-3.0, 3.0),
    confidence=st.sampled_from([0.5, 0.9, 0.95, 0.999]),
    digits=st.sampled_from([0, 1, 8]),
)
@settings(examples, max_examples=150)
def test_interval_and_test_agree(seed, n, name, ratio, gap, confidence, digits):
    common = ratio * normal(n, seed=seed)
    x, y = (normal(2, n, seed=seed + 1) * [[1.0], [1.5]] + common).round(digits)
    found = paired_criterion_test(
        x + round(gap, digits), y, name, confidence=confidence, n_resamples=200
    )
    if not np.isnan(found.interval).any():
        low, high = found.interval
        assert low <= found.difference <= high
        assert (found.p_value <= 1.0 - confidence) == (low > 0.0 or high < 0.0)


def test_difference_beside_large_common_noise_is_told_by_both():
    # Own noise of 0.01 beside common noise of 1.
    x, y = normal(30) + 0.01 * normal(2, 30, seed=1) + np.array([[0.0], [0.1]])
    found = paired_criterion_test(x, y, "q3+iqr")
    assert found.p_value < 0.001
    assert found.interval.high < 0.0
    assert probability_of_best([x, y], "q3+iqr")[0] > 0.999


def test_interval_needs_five_common_instances():
    x, y = normal(2, 5, seed=13)
    assert not np.isnan(paired_criterion_test(x, y, "mean").interval).any()
    assert np.isnan(paired_criterion_test(x[1:], y[1:], "mean").interval).all()


def test_all_pairs_are_compared_as_two():
    losses = normal(5, 12, seed=14)
    losses[1, 3] = nan
    losses[4, 6] = inf
    for criterion in ("mean", "q3+iqr", "max"):
        found = compare_pairs(losses, criterion, confidence=0.9)
        expected = [
            paired_criterion_test(losses[i], losses[j], criterion, confidence=0.9)
            for i, j in combinations(range(5), 2)
        ]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(
                [one.difference, *one.interval, one.p_value],
                [other.difference, *other.interval, other.p_value],
            )


def test_interval_widens_with_confidence():
    x, y = normal(2, 20, seed=12)
    narrow, wide = (paired_criterion_test(x, y, "mean", confidence=c) for c in (0.5, 0.99))
    assert wide.interval.low < narrow.interval.low < narrow.difference
    assert narrow.difference < narrow.interval.high < wide.interval.high


def test_interval_of_a_constant_difference():
    x = np.arange(12.0)
    # Nothing tells its error.
    found = paired_criterion_test(x + 2.0, x, "q3+iqr")
    assert found.difference == 2.0
    assert np.isnan(found.interval).all()
    assert found.p_value == 2.0**-11
    # A model that does not vary is fine, if the other does.
    assert paired_criterion_test(np.full(12, 3.0), x, "mean").interval.low < -2.5


@pytest.mark.parametrize(
    ("x", "y", "criterion"),
    [
        (normal(4), normal(4, seed=1), "mean"),
        (np.append(normal(4), nan), normal(5, seed=1), "mean"),
        (normal(20), normal(20, seed=1), "max"),
        (normal(20), normal(20, seed=1), "min"),
        (normal(20), normal(20, seed=1), np.max),
        (np.append(normal(19), inf), normal(20, seed=1), "median"),
        (np.full(12, 0.5), np.full(12, 0.25), "mean"),
    ],
)
def test_interval_is_nan_where_it_would_mean_nothing(x, y, criterion):
    found = paired_criterion_test(x, y, criterion, n_resamples=200)
    assert np.isnan(found.interval).all()
    assert math.isfinite(found.difference)
    assert 0.0 < found.p_value <= 1.0


@pytest.mark.parametrize(
    ("x", "y", "criterion", "difference", "p_value"),
    [
        # One infinite loss goes to one side or the other in every exchange.
        ([inf, 1.0, 2.0], [1.0, 2.0, 3.0], "mean", inf, 1.0),
        ([1.0, 2.0, 3.0], [inf, 1.0, 2.0], "mean", -inf, 1.0),
        # Several: only both ways of having them all on one side differ as much.
        ([inf, inf, inf, 1.0], [1.0, 2.0, 3.0, 1.0], "mean", inf, 2.0 / 8.0),
        ([inf] * 6, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "max", inf, 2.0 / 64.0),
        # Neither is better.
        ([inf, 1.0, 2.0], [1.0, inf, 3.0], "mean", 0.0, 1.0),
        ([-inf, 1.0, 2.0], [1.0, -inf, 3.0], "mean", 0.0, 1.0),
        ([inf, 0.1, 0.2], [0.3, inf, 0.1], "std", 0.0, 1.0),
        ([inf, 1.0], [-inf, 2.0], "mean", inf, 1.0),
        # A criterion that does not see them is as it would be without.
        ([inf, 1.0, 2.0], [inf, 3.0, 5.0], "min", -2.0, 0.5),
    ],
)
def test_comparison_of_infinite_losses(x, y, criterion, difference, p_value):
    found = paired_criterion_test(x, y, criterion)
    assert found.difference == difference
    assert found.p_value == pytest.approx(p_value)
    # Random exchanges, among them those that leave everything as it is.
    drawn = paired_criterion_test(np.tile(x, 4), np.tile(y, 4), criterion, n_resamples=50)
    assert drawn.difference == difference
    assert 0.0 < drawn.p_value <= 1.0


def test_huge_loss_does_not_hide_a_difference_of_medians():
    x, y = normal(9), 3.0 + normal(9, seed=1)
    large, huge = x.copy(), x.copy()
    large[4], huge[4] = 1e3, 1e30
    expected = paired_criterion_test(large, y, "median").p_value
    assert expected < 0.05
    assert paired_criterion_test(huge, y, "median").p_value == pytest.approx(expected)


def test_exchange_that_leaves_the_criterion_undefined_counts_as_extreme():
    # Of the 8 exchanges, only the two of all or nothing keep the signs apart.
    defined = undefined_unless(lambda losses: (losses < 0.0).all() or (losses > 0.0).all())
    x, y = -np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0])
    assert paired_criterion_test(x, y, "mean").p_value == 0.25
    assert paired_criterion_test(x, y, defined).p_value == 1.0


@given(
    losses=hnp.arrays(
        np.float64,
        st.tuples(st.just(2), st.integers(0, 12)),
        elements=st.sampled_from([nan, inf, -inf, 0.0, 0.1, 0.25, 0.7, 2.0, -3.0]),
    ),
    name=st.sampled_from(sorted(CRITERIA)),
)
@examples
def test_comparison_of_any_losses_is_sound(losses, name):
    found = paired_criterion_test(*losses, name, n_resamples=100)
    if math.isnan(found.p_value):
        assert is_undefined(found)
    else:
        assert 0.0 < found.p_value <= 1.0
        assert not math.isnan(found.difference)
        assert found.difference == -paired_criterion_test(*losses[::-1], name).difference


def rejections(make_pair, n_pairs, criterion="q3+iqr", **options):
    p_values = [
        paired_criterion_test(*make_pair(), criterion, seed=seed, **options).p_value
        for seed in range(n_pairs)
    ]
    return np.count_nonzero(np.array(p_values) <= 0.05)


@pytest.mark.parametrize(
    ("n_instances", "n_resamples", "draw"),
    [
        (8, 9999, np.random.Generator.standard_normal),  # all 256 exchanges
        (20, 99, np.random.Generator.standard_normal),  # random ones
        (20, 99, np.random.Generator.standard_exponential),
    ],
)
def test_level_of_exchanges_for_equally_distributed_losses(n_instances, n_resamples, draw):
    rng = np.random.default_rng(n_instances)

    def make_pair():
        return draw(rng, (2, n_instances)) + rng.normal(size=n_instances)

    found = rejections(make_pair, 400, "max", n_resamples=n_resamples)
    assert stats.binom.sf(found - 1, 400, 0.05) > 1e-3


@pytest.mark.parametrize(
    ("criterion", "level", "spread", "least"),
    [
        ("mean", [[0.0], [1.0]], 1.0, 0.85),
        ("q3", [[0.0], [1.5]], 1.0, 0.85),
        ("q3+iqr", 0.0, [[4.0], [1.0]], 0.7),
        ("std", 0.0, [[1.0], [4.0]], 0.95),
        ("q3+iqr", [[4.0], [0.0]], 1.0, 0.95),
    ],
)
def test_power_for_level_and_spread(criterion, level, spread, least):
    rng = np.random.default_rng(0)

    def make_pair():
        own = level + spread * rng.normal(size=(2, 30))
        return own + rng.normal(size=30)

    assert rejections(make_pair, 100, criterion, n_resamples=199) >= 100 * least


def test_comparison_bad_input():
    with pytest.raises(ValueError, match="same number of instances, but they had 2 and 3"):
        paired_criterion_test([1.0, 2.0], [1.0, 2.0, 3.0], "mean")
    with pytest.raises(ValueError, match=r"x must be those of one model.*\(1, 2\)"):
        paired_criterion_test([[1.0, 2.0]], [1.0, 2.0], "mean")
    with pytest.raises(ValueError, match=r"y must be those of one model.*\(1, 2\)"):
        paired_criterion_test([1.0, 2.0], [[1.0, 2.0]], "mean")
    with pytest.raises(ValueError, match=r"confidence must lie in \(0, 1\)"):
        paired_criterion_test([1.0, 2.0], [1.0, 3.0], "mean", confidence=95)
    with pytest.raises(ValueError, match="n_resamples must be at least 1, but was 0"):
        paired_criterion_test([1.0, 2.0], [1.0, 3.0], "mean", n_resamples=0)


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 30])
@pytest.mark.parametrize("criterion", ["mean", "median", "q3+iqr", "cvar"])
def test_coverage_of_intervals(criterion, n):
    rng = np.random.default_rng(n)
    for ratio, spreads in product([0.01, 1.0, 100.0], [1.0, 2.0]):
        chosen = get_criterion(criterion)
        own = np.array([[spreads], [1.0]])
        # Both models' losses are normal: but for shift and scale their criteria are alike.
        unit = 0.0 if criterion in ("mean", "median") else chosen(normal(50_000, n)).mean()
        truth = unit * float(np.subtract(*np.hypot(ratio, own[:, 0])))
        covered = 0
        for _ in range(600):
            x, y = own * rng.normal(size=(2, n)) + ratio * rng.normal(size=n)
            low, high = paired_criterion_test(x, y, criterion, n_resamples=300).interval
            covered += low <= truth <= high
        assert stats.binom.cdf(covered, 600, 0.94) > 1e-3
        assert stats.binom.sf(covered - 1, 600, 0.97) > 1e-3
