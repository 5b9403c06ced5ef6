"""Which of several models is the best: beside pairs, enumeration and simulation."""

from __future__ import annotations

from itertools import product
import math

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
import numpy as np
import pytest
from scipy import stats

from optuna_robust._statistics.comparison import _resampling
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


@pytest.mark.parametrize("criterion", ["mean", "median", "q3+iqr", "max", "std", "mean+std"])
def test_of_few_instances_it_is_the_share_of_all_samples(criterion):
    losses = normal(3, 4, seed=3)
    chosen = get_criterion(criterion)
    samples = [losses[:, columns] for columns in product(range(4), repeat=4)]
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


@given(
    st.integers(0, 2**32),
    st.integers(5, 30),
    st.sampled_from(["mean", "median", "q3+iqr", "std", "cvar"]),
    st.floats(0.01, 100.0),
)
@examples
def test_of_two_models_it_goes_with_their_p_value(seed, n, criterion, ratio):
    losses = normal(2, n, seed=seed) + ratio * normal(n, seed=seed + 1)
    pair = paired_criterion_test(*losses, criterion)
    better = 0 if pair.difference < 0.0 else 1
    found = probability_of_best(losses, criterion)
    assert found[better] == pytest.approx(1.0 - pair.p_value / 2.0)
    assert found.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(probability_of_best(losses[::-1], criterion), found[::-1])


def test_of_several_means_it_is_that_of_their_joint_distribution():
    losses = normal(4, 12, seed=4) * np.array([[1.0], [2.0], [0.5], [1.0]]) + normal(12, seed=5)
    rng = np.random.default_rng(6)
    noise = rng.multivariate_normal(np.zeros(4), np.cov(losses) / 12, size=50_000)
    draws = losses.mean(axis=1) + noise / np.sqrt(rng.chisquare(11, size=(50_000, 1)) / 11)
    expected = np.bincount(draws.argmin(axis=1), minlength=4) / 50_000
    assert expected.max() < 0.9
    np.testing.assert_allclose(probability_of_best(losses, "mean"), expected, atol=0.015)


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
    monkeypatch.setattr(_resampling, "MOST_LOSSES", 100)
    assert probability_of_best(losses, "mean", n_resamples=501).tolist() == found.tolist()


@every_criterion
@pytest.mark.parametrize("n", [3, 12])
def test_models_that_are_the_same_share(criterion, n):
    losses = normal(n)
    found = probability_of_best(np.tile(losses, (3, 1)), criterion)
    np.testing.assert_allclose(found, 1.0 / 3.0)


@pytest.mark.parametrize("shift", [0.0, 1e-16, -1e-16, 1e-13, -1e-13])
@pytest.mark.parametrize("n", [3, 12])
def test_ties_share_what_they_have_beside_others(shift, n):
    losses = normal(n) ** 2
    models = np.stack([losses + 1.0, losses, losses * (1.0 + shift), losses])
    np.testing.assert_allclose(probability_of_best(models, "mean"), [0.0, *[1.0 / 3.0] * 3])
    other = normal(n, seed=1) ** 2
    alone = probability_of_best([losses, other], "mean")
    found = probability_of_best([losses, other, losses], "mean")
    np.testing.assert_allclose(found, [alone[0] / 2.0, alone[1], alone[0] / 2.0])


def test_probability_of_best_sees_differences_beyond_a_tie():
    losses = normal(12) ** 2
    found = probability_of_best([losses, losses * (1.0 - 1e-10)], "mean")
    assert found[1] > 0.99


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
    assert probability_of_best([diverging, diverging], "mean").tolist() == [0.5, 0.5]
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
    assert probability_of_best(losses, "std")[1] > 0.99


def test_probability_of_best_of_a_callable():
    losses = normal(3, 12)
    by_name = probability_of_best(losses, "mean", n_resamples=300)
    of_callable = probability_of_best(losses, np.mean, n_resamples=300)
    np.testing.assert_allclose(of_callable, by_name)


def test_probability_of_best_bad_input():
    with pytest.raises(ValueError, match=r"losses must have the shape \(n_models, n_instances\)"):
        probability_of_best([1.0, 2.0], "mean")
    with pytest.raises(ValueError, match="n_resamples must be at least 1, but was 0"):
        probability_of_best([[1.0, 2.0]], "mean", n_resamples=0)
