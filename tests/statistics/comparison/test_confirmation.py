"""Corrected p-values, and criteria of equally many instances: by enumeration, and at the edges."""

from __future__ import annotations

from itertools import combinations
import math

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
import numpy as np
import pytest
from scipy import stats

from optuna_robust._statistics.comparison import _confirmation
from optuna_robust._statistics.comparison import value_at
from optuna_robust.comparison import holm
from optuna_robust.criteria import CRITERIA
from optuna_robust.criteria import get_criterion
from tests.statistics.comparison.examples import every_criterion
from tests.statistics.comparison.examples import examples
from tests.statistics.comparison.examples import normal
from tests.statistics.comparison.examples import undefined_unless


pytestmark = pytest.mark.filterwarnings("error")

nan, inf = np.nan, np.inf


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
    monkeypatch.setattr(_confirmation, "MOST_LOSSES", 100)
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
