"""Statistics of a confirmation: against enumeration, against simulation, and at the edges."""

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

from optuna_robust.comparison import _confirmation
from optuna_robust.comparison import holm
from optuna_robust.comparison import paired_criterion_test
from optuna_robust.comparison import probability_of_best
from optuna_robust.comparison import value_at
from optuna_robust.criteria import CRITERIA
from optuna_robust.criteria import get_criterion


pytestmark = pytest.mark.filterwarnings("error")

examples = settings(derandomize=True, deadline=None, max_examples=25)
every_criterion = pytest.mark.parametrize("criterion", CRITERIA)
nan, inf = np.nan, np.inf


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def undefined_unless(holds):
    """Return a criterion that is NaN ("not defined yet") unless the losses fulfil something."""
    return lambda losses: float(losses.mean()) if holds(losses) else nan


def closed_bonferroni(p_values):
    """Holm as the closure of Bonferroni's test: a hypothesis falls with all that contain it."""
    m = len(p_values)
    subsets = [s for size in range(1, m + 1) for s in combinations(range(m), size)]
    tests = {s: min(1.0, len(s) * min(p_values[i] for i in s)) for s in subsets}
    return [max(p for s, p in tests.items() if i in s) for i in range(m)]


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.01, 0.02, 0.03], [0.03, 0.04, 0.04]),
        ([0.5, 0.4, 0.01], [0.8, 0.8, 0.03]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([0.9, 0.6], [1.0, 1.0]),
        ([0.2], [0.2]),
        ([0.0, 1.0], [0.0, 1.0]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values, adjusted):
    assert holm(p_values).tolist() == pytest.approx(adjusted)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6))
@examples
def test_holm_is_the_closure_of_bonferroni(p_values):
    np.testing.assert_allclose(holm(p_values), closed_bonferroni(p_values))


@given(st.lists(st.floats(0.0, 1.0) | st.just(nan), max_size=12))
@examples
def test_holm_leaves_nan_out_and_keeps_the_order(p_values):
    values = np.array(p_values)
    tested = ~np.isnan(values)
    adjusted = holm(values)
    assert adjusted.shape == values.shape
    np.testing.assert_array_equal(np.isnan(adjusted), ~tested)
    np.testing.assert_array_equal(adjusted[tested], holm(values[tested]))
    assert (adjusted[tested] >= values[tested]).all()
    assert (adjusted[tested] <= 1.0).all()
    order = np.argsort(values[tested], kind="stable")
    assert (np.diff(adjusted[tested][order]) >= 0.0).all()


def false_rejections(adjust, n_families, n_true, n_false=0, correlation=0.0, seed=0):
    """How often any true hypothesis is rejected at 0.05; false ones have p-values near 0."""
    rng = np.random.default_rng(seed)
    common = math.sqrt(correlation) * rng.normal(size=(n_families, 1))
    z = common + math.sqrt(1.0 - correlation) * rng.normal(size=(n_families, n_true + n_false))
    p_values = stats.norm.sf(z)
    p_values[:, n_true:] *= 1e-6
    rejected = [(adjust(family) <= 0.05)[:n_true].any() for family in p_values]
    return np.count_nonzero(rejected)


@pytest.mark.parametrize("correlation", [0.0, 0.7])
@pytest.mark.parametrize(("n_true", "n_false"), [(5, 0), (2, 3)])
def test_holm_keeps_the_family_wise_error(correlation, n_true, n_false):
    rejections = false_rejections(holm, 4000, n_true, n_false, correlation)
    assert stats.binom.sf(rejections - 1, 4000, 0.05) > 1e-3
    if correlation == 0.0:  # then it is known, and nothing is given away
        exactly = 1.0 - (1.0 - 0.05 / n_true) ** n_true
        assert stats.binom.cdf(rejections, 4000, exactly) > 1e-3
    assert false_rejections(np.asarray, 4000, n_true, n_false, correlation) > 1.3 * rejections


@pytest.mark.parametrize("p_values", [0.1, [[0.1, 0.2]]])
def test_holm_takes_one_dimension(p_values):
    with pytest.raises(ValueError, match="p_values must have one dimension"):
        holm(p_values)


@pytest.mark.parametrize("value", [-0.1, 1.5, inf])
def test_holm_takes_probabilities(value):
    with pytest.raises(ValueError, match=rf"p_values must lie in \[0, 1\], but one was {value}"):
        holm([0.2, nan, value])


def mean_over_subsets(losses, criterion, n):
    chosen = get_criterion(criterion)
    return np.mean([float(chosen(subset)) for subset in combinations(losses, n)])


@every_criterion
@pytest.mark.parametrize("n", [2, 3, 5, 7, 8])
def test_value_at_is_the_mean_over_all_subsets(criterion, n):
    losses = normal(8)
    assert value_at(losses, criterion, n) == pytest.approx(mean_over_subsets(losses, criterion, n))


@every_criterion
@pytest.mark.parametrize("n", [2, 5, 30])
def test_value_at_all_instances_is_the_criterion(criterion, n):
    losses = normal(n)
    assert value_at(losses, criterion, n, n_subsets=1) == float(get_criterion(criterion)(losses))


@pytest.mark.parametrize("n", [1, 2, 9, 30])
def test_value_of_the_mean_does_not_depend_on_n(n):
    losses = normal(30)
    standard_error = losses.std() / math.sqrt(n * 2000)
    assert value_at(losses, "mean", n) == pytest.approx(losses.mean(), abs=4 * standard_error)


@pytest.mark.parametrize("criterion", ["q3+iqr", "std", "max"])
def test_value_at_of_random_subsets_is_near_that_of_all(criterion):
    losses = normal(12)
    n_subsets = math.comb(12, 5)
    exact = value_at(losses, criterion, 5, n_subsets=n_subsets)
    assert exact == pytest.approx(mean_over_subsets(losses, criterion, 5))
    every = [float(get_criterion(criterion)(subset)) for subset in combinations(losses, 5)]
    found = [value_at(losses, criterion, 5, n_subsets=100, seed=seed) for seed in range(100)]
    assert len(set(found)) == 100
    standard_error = np.std(every) / 10.0
    assert np.std(found) == pytest.approx(standard_error, rel=0.25)
    assert np.mean(found) == pytest.approx(exact, abs=4.0 * standard_error / 10.0)


@pytest.mark.parametrize(
    ("criterion", "expectation"), [("q3+iqr", None), ("std", 0.93999), ("max", 1.16296)]
)
def test_value_at_five_of_thirty_is_unbiased(criterion, expectation):
    chosen = get_criterion(criterion)
    if expectation is None:
        expectation = float(chosen(normal(400_000, 5, seed=1)).mean())
        assert expectation == pytest.approx(1.48, abs=0.01)
    losses = normal(500, 30, seed=2)
    values = [value_at(row, criterion, 5, n_subsets=200) for row in losses]
    standard_error = np.std(values) / math.sqrt(500)
    assert np.mean(values) == pytest.approx(expectation, abs=4.0 * standard_error)
    # What it is for: the criterion of all thirty estimates something else.
    assert abs(chosen(losses).mean() - expectation) > 5.0 * standard_error


@given(
    losses=hnp.arrays(np.float64, st.integers(2, 7), elements=st.floats(-9.0, 9.0)),
    name=st.sampled_from(sorted(CRITERIA)),
    data=st.data(),
)
@examples
def test_value_at_lies_between_the_values_of_subsets(losses, name, data):
    n = data.draw(st.integers(2, len(losses)))
    n_subsets = data.draw(st.integers(1, 40))
    every = [float(get_criterion(name)(subset)) for subset in combinations(losses, n)]
    value = value_at(losses, name, n, n_subsets=n_subsets)
    assert min(every) - 1e-9 <= value <= max(every) + 1e-9


@pytest.mark.parametrize("n_subsets", [20, 10_000])
def test_value_at_follows_shift_and_scale(n_subsets):
    # With random subsets too: they are the same for every model.
    losses = normal(12)
    value = value_at(losses, "q3+iqr", 5, n_subsets=n_subsets)
    moved = value_at(3.0 + 4.0 * losses, "q3+iqr", 5, n_subsets=n_subsets)
    assert moved == pytest.approx(3.0 + 4.0 * value)


@pytest.mark.parametrize("n_subsets", [20, 10_000])
def test_value_at_draws_distinct_instances_in_their_order(n_subsets):
    def rises(losses):
        return float((np.diff(losses) > 0.0).all())

    assert value_at(np.arange(12.0), rises, 5, n_subsets=n_subsets) == 1.0


@pytest.mark.parametrize("n_subsets", [300, 10_000])
def test_value_at_is_the_same_in_small_portions(n_subsets, monkeypatch):
    losses = normal(12)
    value = value_at(losses, "q3+iqr", 5, n_subsets=n_subsets)
    monkeypatch.setattr(_confirmation, "_MOST_LOSSES", 100)
    assert value_at(losses, "q3+iqr", 5, n_subsets=n_subsets) == value


def test_value_at_leaves_out_what_is_not_trained():
    losses = normal(12)
    with_gaps = np.insert(losses, [0, 5, 12], nan)
    assert value_at(with_gaps, "q3+iqr", 5) == value_at(losses, "q3+iqr", 5)
    assert value_at(with_gaps, "q3+iqr", 5, n_subsets=9) == (
        value_at(losses, "q3+iqr", 5, n_subsets=9)
    )


@pytest.mark.parametrize(
    ("losses", "criterion", "n"),
    [
        ([], "mean", 1),
        ([1.0, 2.0], "mean", 3),
        ([1.0, 2.0, nan], "mean", 3),
        ([1.0, 2.0, 3.0], "q3+iqr", 1),
        ([1.0, 2.0, 3.0], undefined_unless(lambda losses: losses[0] < 2.0), 2),
    ],
)
def test_value_at_is_nan_where_it_is_undefined(losses, criterion, n):
    assert math.isnan(value_at(losses, criterion, n))


@pytest.mark.parametrize(
    ("losses", "criterion", "n", "value"),
    [
        ([1.0, 2.0, inf], "median", 3, 2.0),
        ([1.0, 2.0, inf], "median", 2, inf),
        ([1.0, 2.0, inf], "std", 2, inf),
        ([1.0, 2.0, inf], "mean", 1, inf),
        ([1.0, 2.0, -inf], "mean", 2, -inf),
        ([inf, 2.0, -inf], "mean", 1, inf),
        ([inf, inf, inf], "iqr", 2, inf),
    ],
)
@pytest.mark.parametrize("n_subsets", [1, 2, 10])
def test_value_at_of_infinite_losses(losses, criterion, n, value, n_subsets):
    assert value_at(losses, criterion, n, n_subsets=n_subsets) == value


@pytest.mark.parametrize("seed", range(20))
def test_value_at_is_infinite_whatever_subsets_are_drawn(seed):
    losses = np.concatenate([normal(27), [inf] * 3])
    assert math.isfinite(value_at(losses[:-1], "median", 5, n_subsets=10, seed=seed))
    assert value_at(losses, "median", 5, n_subsets=10, seed=seed) == inf


@pytest.mark.parametrize("n_subsets", [20, 200_000])
def test_value_at_of_subsets_that_do_not_see_an_infinite_loss(n_subsets):
    losses = normal(30)
    infinite, huge = np.append(losses, inf), np.append(losses, 1e6)
    value = value_at(infinite, "median", 4, n_subsets=n_subsets)
    assert value == value_at(huge, "median", 4, n_subsets=n_subsets)


def test_value_at_of_identical_losses_is_the_criterion():
    assert value_at([0.5] * 6, "std", 3) == 0.0
    assert value_at([0.5] * 6, "q3+iqr", 3) == 0.5


def test_value_at_bad_input():
    with pytest.raises(ValueError, match="n must be at least 1, but was 0"):
        value_at([1.0, 2.0], "mean", 0)
    with pytest.raises(ValueError, match="n_subsets must be at least 1, but was 0"):
        value_at([1.0, 2.0], "mean", 1, n_subsets=0)
    with pytest.raises(ValueError, match=r"losses must be those of one model.*\(1, 2\)"):
        value_at([[1.0, 2.0]], "mean", 1)
    with pytest.raises(ValueError, match="criterion='average' is unknown"):
        value_at([1.0, 2.0], "average", 1)


@pytest.mark.parametrize("criterion", ["mean", "median", "q3+iqr", "max", "std", "mean+std"])
def test_probability_of_best_is_the_share_of_all_samples(criterion):
    losses = normal(3, 5, seed=3)
    chosen = get_criterion(criterion)
    samples = [losses[:, columns] for columns in product(range(5), repeat=5)]
    best = [int(np.argmin(chosen(sample))) for sample in samples]
    expected = np.bincount(best, minlength=3) / len(samples)
    assert expected.max() < 0.95  # or there is nothing to see
    found = probability_of_best(losses, criterion, n_resamples=20_000)
    np.testing.assert_allclose(found, expected, atol=4.0 * 0.5 / math.sqrt(20_000))


def test_probability_of_best_of_two_means_is_near_the_normal_one():
    losses = normal(2, 200, seed=2)
    difference = losses[0] - losses[1]
    z = difference.mean() / (difference.std() / math.sqrt(200))
    found = probability_of_best(losses, "mean", n_resamples=20_000)
    assert found[0] == pytest.approx(stats.norm.cdf(-z), abs=0.02)
    assert 0.05 < found[0] < 0.95


def test_probability_of_best_keeps_the_pairing():
    common = 10.0 * normal(20)
    losses = common + np.array([[0.5], [0.0], [0.25]]) + 0.1 * normal(3, 20, seed=1)
    assert probability_of_best(losses, "mean").tolist() == [0.0, 1.0, 0.0]


@given(
    losses=hnp.arrays(
        np.float64,
        st.tuples(st.integers(0, 4), st.integers(0, 6)),
        elements=st.sampled_from([nan, inf, -inf, 0.0, 0.1, 0.25, 0.7, 2.0, -3.0]),
    ),
    name=st.sampled_from(sorted(CRITERIA)),
)
@examples
def test_probability_of_best_of_any_losses_is_a_distribution_or_nan(losses, name):
    found = probability_of_best(losses, name, n_resamples=50)
    assert found.shape == (len(losses),)
    if np.isnan(found).any():
        assert np.isnan(found).all()
    elif len(losses):
        assert found.sum() == pytest.approx(1.0)
        assert (found >= 0.0).all()
        assert (found[np.isnan(losses).all(axis=1)] == 0.0).all()


@given(order=st.permutations(range(4)))
@examples
def test_probability_of_best_follows_the_models(order):
    losses = normal(4, 12) * 3.0 + normal(12, seed=1)
    found = probability_of_best(losses, "q3+iqr", n_resamples=300)
    assert np.count_nonzero(found) > 1
    again = probability_of_best(losses[order], "q3+iqr", n_resamples=300)
    np.testing.assert_array_equal(again, found[order])


def test_probability_of_best_depends_on_the_seed_alone(monkeypatch):
    losses = normal(3, 11)
    found = probability_of_best(losses, "mean", n_resamples=501)
    assert found.tolist() != probability_of_best(losses, "mean", n_resamples=501, seed=1).tolist()
    monkeypatch.setattr(_confirmation, "_MOST_LOSSES", 100)
    assert probability_of_best(losses, "mean", n_resamples=501).tolist() == found.tolist()


@pytest.mark.parametrize("shift", [0.0, 1e-16, -1e-16, 1e-13, -1e-13])
def test_probability_of_best_gives_ties_to_the_lowest_index(shift):
    losses = normal(12) ** 2
    models = np.stack([losses + 1.0, losses, losses * (1.0 + shift), losses])
    assert probability_of_best(models, "mean").tolist() == [0.0, 1.0, 0.0, 0.0]


def test_probability_of_best_sees_differences_beyond_a_tie():
    losses = normal(12) ** 2
    assert probability_of_best([losses, losses * (1.0 - 1e-10)], "mean").tolist() == [0.0, 1.0]


@pytest.mark.parametrize("row", [[0.4] * 3, [0.1, 0.7, nan], [inf] * 3, [nan, nan, 1.0]])
@pytest.mark.parametrize("criterion", ["mean", "max"])
def test_probability_of_the_only_model_is_one(row, criterion):
    assert probability_of_best([row], criterion).tolist() == [1.0]


@pytest.mark.parametrize(
    ("losses", "criterion"),
    [
        ([[nan, nan], [nan, nan]], "mean"),
        ([[], []], "mean"),
        ([[1.0], [2.0]], "q3+iqr"),
        ([[1.0, 2.0], [2.0, 3.0]], undefined_unless(lambda losses: False)),
    ],
)
def test_probability_of_best_without_values_is_nan(losses, criterion):
    found = probability_of_best(losses, criterion)
    assert np.isnan(found).tolist() == [True, True]


def test_probability_of_best_of_no_models():
    assert probability_of_best(np.empty((0, 4)), "mean").shape == (0,)


def test_model_without_a_value_is_never_the_best():
    # The first has one instance, too few for a spread, the last none.
    losses = [[0.0, nan, nan, nan], [1.0, 3.0, 2.0, 5.0], [nan] * 4]
    assert probability_of_best(losses, "q3+iqr").tolist()[2] == 0.0
    # Only samples that hold its instance twice or more give the first a value.
    share = 1.0 - 0.75**4 - 4 * 0.25 * 0.75**3
    assert probability_of_best(losses, "q3+iqr")[0] == pytest.approx(share, abs=0.03)


def test_samples_without_any_value_do_not_count():
    # A quarter of the samples hold only the instance that both models lack.
    losses = [[1.0, nan], [2.0, nan]]
    assert probability_of_best(losses, "mean").tolist() == [1.0, 0.0]


def test_infinite_losses_in_probability_of_best():
    usual = normal(10)
    diverging = np.full(10, inf)
    assert probability_of_best([diverging, usual], "mean").tolist() == [0.0, 1.0]
    assert probability_of_best([usual, -diverging], "mean").tolist() == [0.0, 1.0]
    assert probability_of_best([diverging, diverging], "mean").tolist() == [1.0, 0.0]
    once = np.where(np.arange(10) == 3, inf, usual - 100.0)
    found = probability_of_best([once, usual], "mean", n_resamples=20_000)
    assert found[0] == pytest.approx(0.9**10, abs=0.015)


def test_identical_losses_are_not_the_most_stable():
    losses = [[0.5] * 12, normal(12)]
    for criterion in ("std", "iqr", "mad"):
        assert probability_of_best(losses, criterion).tolist() == [0.0, 1.0]
    assert probability_of_best(losses, "q3+iqr")[0] > 0.5


def test_losses_that_repeat_in_a_sample_by_chance_are_stable():
    stable = np.array([0.5] * 19 + [0.9])  # a third of the samples leave the last one out
    losses = [normal(20), stable]
    assert probability_of_best(losses, "std").tolist() == [0.0, 1.0]


def test_probability_of_best_of_a_callable():
    losses = normal(3, 12)
    by_name = probability_of_best(losses, "mean", n_resamples=300)
    assert probability_of_best(losses, np.mean, n_resamples=300).tolist() == by_name.tolist()


def test_probability_of_best_bad_input():
    with pytest.raises(ValueError, match=r"losses must have the shape \(n_models, n_instances\)"):
        probability_of_best([1.0, 2.0], "mean")
    with pytest.raises(ValueError, match="n_resamples must be at least 1, but was 0"):
        probability_of_best([[1.0, 2.0]], "mean", n_resamples=0)


def enumerated_p_value(x, y, criterion):
    """Share of all exchanges within instances that differ as much as the pairs as they are."""
    chosen = get_criterion(criterion)
    exchanged = np.array(list(product([False, True], repeat=len(x))))
    differences = chosen(np.where(exchanged, y, x)) - chosen(np.where(exchanged, x, y))
    return np.mean(np.abs(differences) >= np.abs(differences[0]) - 1e-9)


@every_criterion
@pytest.mark.parametrize("n", [2, 3, 6, 9])
def test_p_value_is_that_of_all_exchanges(criterion, n):
    x, y = normal(2, n, seed=n)
    found = paired_criterion_test(x, y, criterion)
    assert found.p_value == pytest.approx(enumerated_p_value(x, y, criterion))
    chosen = get_criterion(criterion)
    assert found.difference == pytest.approx(float(chosen(x) - chosen(y)))


@given(
    pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=7),
    offset=st.sampled_from([0, 10, 1000]),
)
@examples
def test_p_value_of_the_mean_counts_sums_of_signs(pairs, offset):
    # In tenths, rounding makes sums differ that are equal; integers know.
    differences = [x - y for x, y in pairs]
    sums = [
        sum(sign * difference for sign, difference in zip(signs, differences, strict=True))
        for signs in product([1, -1], repeat=len(pairs))
    ]
    expected = np.mean([abs(total) >= abs(sum(differences)) for total in sums])
    x, y = np.array([(offset + x, offset + y) for x, y in pairs]).T / 10.0
    assert paired_criterion_test(x, y, "mean").p_value == expected


def test_least_p_value():
    for n in range(2, 10):
        x = np.arange(n, dtype=float)
        assert paired_criterion_test(x, x + 1.0 + x**2, "mean").p_value == 2.0 ** (1 - n)


def test_random_exchanges_where_all_are_too_many():
    x, y = normal(2, 10, seed=4)
    exact = paired_criterion_test(x, y, "q3+iqr", n_resamples=1024).p_value
    assert exact == pytest.approx(enumerated_p_value(x, y, "q3+iqr"))
    found = paired_criterion_test(x, y, "q3+iqr", n_resamples=999).p_value
    assert found != exact
    assert 1000.0 * found == pytest.approx(round(1000.0 * found))
    standard_error = math.sqrt(exact * (1.0 - exact) / 999)
    assert found == pytest.approx(exact, abs=4.0 * standard_error)


def test_random_exchanges_never_give_zero():
    x = normal(40)
    assert paired_criterion_test(x, x + 9.0, "mean", n_resamples=99).p_value == 0.01


def test_swapped_models_mirror_the_comparison():
    for criterion in ("mean", "q3+iqr", "std"):
        x, y = normal(2, 12, seed=5)
        there = paired_criterion_test(x, y, criterion)
        back = paired_criterion_test(y, x, criterion)
        assert back.difference == -there.difference
        assert back.p_value == there.p_value
        assert back.interval == pytest.approx((-there.interval.high, -there.interval.low))


@pytest.mark.parametrize("criterion", ["mean", "q3+iqr", "mad"])
def test_comparison_follows_shift_and_scale(criterion):
    x, y = normal(2, 11, seed=6)
    before = paired_criterion_test(x, y, criterion)
    after = paired_criterion_test(3.0 + 4.0 * x, 3.0 + 4.0 * y, criterion)
    assert after.p_value == before.p_value
    assert after.difference == pytest.approx(4.0 * before.difference)
    assert after.interval == pytest.approx(tuple(4.0 * end for end in before.interval))


def test_p_value_ignores_the_order_of_instances():
    x, y = normal(2, 9, seed=7)
    order = np.random.default_rng(0).permutation(9)
    found = paired_criterion_test(x, y, "q3+iqr").p_value
    assert paired_criterion_test(x[order], y[order], "q3+iqr").p_value == found


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
    monkeypatch.setattr(_confirmation, "_MOST_LOSSES", 100)
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


@pytest.mark.parametrize("criterion", ["mean", "median", "q3+iqr", "std", "mean+std"])
def test_interval_is_the_paired_percentile_one_of_scipy(criterion):
    x, y = normal(2, 20, seed=11) + normal(20)
    chosen = get_criterion(criterion)
    expected = stats.bootstrap(
        (x, y),
        lambda x, y, axis: chosen(np.moveaxis(x, axis, -1)) - chosen(np.moveaxis(y, axis, -1)),
        paired=True,
        vectorized=True,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    found = paired_criterion_test(x, y, criterion, confidence=0.9).interval
    assert found == pytest.approx(expected.confidence_interval, abs=0.1 * expected.standard_error)


def test_interval_needs_ten_common_instances():
    x, y = normal(2, 10, seed=13)
    assert not np.isnan(paired_criterion_test(x, y, "mean").interval).any()
    assert np.isnan(paired_criterion_test(x[1:], y[1:], "mean").interval).all()


def test_interval_widens_with_confidence():
    x, y = normal(2, 20, seed=12)
    narrow, wide = (paired_criterion_test(x, y, "mean", confidence=c) for c in (0.5, 0.99))
    assert wide.interval.low < narrow.interval.low < narrow.difference
    assert narrow.difference < narrow.interval.high < wide.interval.high


def test_interval_of_a_constant_difference():
    x = np.arange(12.0)
    found = paired_criterion_test(x + 2.0, x, "q3+iqr")
    assert found[:2] == (2.0, (2.0, 2.0))
    # A model that does not vary is fine, if the other does.
    assert paired_criterion_test(np.full(12, 3.0), x, "mean").interval.low < -2.5


@pytest.mark.parametrize(
    ("x", "y", "criterion"),
    [
        (normal(9), normal(9, seed=1), "mean"),
        (np.append(normal(9), nan), normal(10, seed=1), "mean"),
        (normal(20), normal(20, seed=1), "max"),
        (normal(20), normal(20, seed=1), "min"),
        (normal(20), normal(20, seed=1), "cvar"),
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
    assert paired_criterion_test(huge, y, "median").p_value == expected


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
def test_level_for_equally_distributed_losses(n_instances, n_resamples, draw):
    rng = np.random.default_rng(n_instances)

    def make_pair():
        return draw(rng, (2, n_instances)) + rng.normal(size=n_instances)

    found = rejections(make_pair, 700, n_resamples=n_resamples)
    assert stats.binom.sf(found - 1, 700, 0.05) > 1e-3
    # Ties and 256 exchanges leave the least level that it may have somewhat below.
    assert stats.binom.cdf(found, 700, 0.03) > 1e-3


@pytest.mark.parametrize(
    ("criterion", "level", "spread", "least"),
    [
        ("mean", [[0.0], [1.0]], 1.0, 0.85),
        ("q3", [[0.0], [1.5]], 1.0, 0.85),
        ("q3+iqr", 0.0, [[4.0], [1.0]], 0.85),
        ("std", 0.0, [[1.0], [4.0]], 0.95),
        # Exchanges mix the levels, and a mixture is wide: less than the mean would see.
        ("q3+iqr", [[4.0], [0.0]], 1.0, 0.75),
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
