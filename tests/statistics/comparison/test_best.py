"""Who is the best: closed forms, Monte Carlo, and criteria that are known, tied or infinite."""

from __future__ import annotations

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy import stats

from optuna_robust.comparison import Contest
from optuna_robust.comparison import CriterionPosterior


pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

examples = settings(derandomize=True, deadline=None, max_examples=10)
N_DRAWS = 10_000


def normals(means, stds):
    means, stds = (np.atleast_1d(np.asarray(x, dtype=np.float64))[:, None] for x in (means, stds))
    return CriterionPosterior(np.ones(means.shape), means, np.broadcast_to(stds, means.shape))


def mixtures(rng, n_models, *, decades=0.0, n_components=5):
    """Criteria whose standard deviations span some powers of ten."""
    stds = 10.0 ** rng.uniform(-decades, 0.0, size=(n_models, 1))
    stds = stds * rng.uniform(0.5, 2.0, size=(n_models, n_components))
    means = rng.normal(size=(n_models, 1)) + stds * rng.normal(size=(n_models, n_components)) / 2
    weights = rng.dirichlet(np.ones(n_components), size=n_models)
    return CriterionPosterior(weights, means, stds)


def drawn(rng, posterior, n_draws=N_DRAWS):
    """Criteria as they may come out, shape ``(n_draws, n_models)``."""
    columns = []
    for weights, means, stds in zip(
        posterior.weights, posterior.means, posterior.stds, strict=True
    ):
        which = rng.choice(len(weights), p=weights, size=n_draws)
        columns.append(means[which] + stds[which] * rng.normal(size=n_draws))
    return np.column_stack(columns)


def risks_of(draws, order, tolerance):
    """Frequency that those left are all worse than the best of all by more than a tolerance."""
    ordered = draws[:, order]
    left = np.minimum.accumulate(ordered[:, ::-1], axis=1)[:, ::-1]
    lost = left[:, 1:] > ordered.min(axis=1)[:, None] + tolerance
    return np.append(lost.mean(axis=0), 1.0)


@pytest.mark.parametrize("tolerance", [0.0, 0.3, 2.0])
@pytest.mark.parametrize(
    ("gap", "stds"),
    [(0.0, (1.0, 1.0)), (1.0, (1.0, 1.0)), (1.0, (0.5, 2.0)), (0.5, (1.0, 0.01)), (3.0, (1, 1))],
)
def test_two_normals_have_the_probability_of_their_difference(gap, stds, tolerance):
    contest = Contest(normals([7.0, 7.0 + gap], stds), tolerance)
    difference = stats.norm(gap, np.hypot(*stds))  # of the second less the first
    expected = [difference.sf(-tolerance), difference.cdf(tolerance)]
    np.testing.assert_allclose(contest.probabilities(), expected, atol=5e-3)
    np.testing.assert_allclose(
        contest.probabilities_of_best(), [difference.sf(0.0), difference.cdf(0.0)], atol=3e-3
    )
    np.testing.assert_allclose(contest.risks([1, 0]), [difference.cdf(-tolerance), 1], atol=3e-3)
    np.testing.assert_allclose(contest.risks([0, 1]), [difference.sf(tolerance), 1], atol=3e-3)


@pytest.mark.parametrize("n_models", [1, 2, 10, 100, 1000])
@pytest.mark.parametrize("std", [1e-9, 1.0, 1e9])
def test_models_that_are_alike_have_equal_chances(n_models, std):
    contest = Contest(normals(np.full(n_models, std), np.full(n_models, std)))
    chances = contest.probabilities_of_best()
    np.testing.assert_allclose(chances, 1.0 / n_models, rtol=0.02)
    np.testing.assert_allclose(contest.probabilities(), 1.0 / n_models, rtol=0.02)
    dropped = np.arange(1, n_models + 1) / n_models
    np.testing.assert_allclose(contest.risks(np.arange(n_models)), dropped, atol=0.01)


@given(st.integers(0, 2**32), st.integers(1, 200), st.sampled_from([0.0, 2.0, 4.0]))
@examples
def test_somebody_is_the_best(seed, n_models, decades):
    posterior = mixtures(np.random.default_rng(seed), n_models, decades=decades)
    chances = Contest(posterior).probabilities_of_best()
    # Half a step of the grid, and the models that are not looked at.
    assert chances.sum() == pytest.approx(1.0, abs=0.01)
    assert (chances >= 0.0).all()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("decades", "n_models"), [(0.0, 5), (0.0, 150), (4.0, 20), (4.0, 150)])
@pytest.mark.parametrize("tolerance", [0.0, 0.05, 0.5])
def test_probabilities_are_those_of_monte_carlo(seed, decades, n_models, tolerance):
    rng = np.random.default_rng(seed)
    posterior = mixtures(rng, n_models, decades=decades)
    draws = drawn(rng, posterior)
    contest = Contest(posterior, tolerance)
    best = np.bincount(draws.argmin(axis=1), minlength=n_models) / N_DRAWS
    within = (draws <= draws.min(axis=1)[:, None] + tolerance).mean(axis=0)
    # Five standard errors of the Monte Carlo are 0.025.
    np.testing.assert_allclose(contest.probabilities_of_best(), best, atol=0.03)
    np.testing.assert_allclose(contest.probabilities(), within, atol=0.03)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("decades", "n_models"), [(0.0, 5), (0.0, 80), (4.0, 80)])
@pytest.mark.parametrize("tolerance", [0.0, 0.2])
def test_risks_are_those_of_monte_carlo(seed, decades, n_models, tolerance):
    rng = np.random.default_rng(seed)
    posterior = mixtures(rng, n_models, decades=decades)
    draws = drawn(rng, posterior)
    contest = Contest(posterior, tolerance)
    for order in (np.argsort(contest.probabilities()), rng.permutation(n_models)):
        risks = contest.risks(order)
        np.testing.assert_allclose(risks, risks_of(draws, order, tolerance), atol=0.03)
        assert (np.diff(risks) >= 0.0).all()
        assert risks[-1] == 1.0


def test_the_risk_of_dropping_the_worst_is_small_and_grows():
    contest = Contest(normals(np.arange(50.0), 1.0))
    risks = contest.risks(np.arange(50)[::-1])
    assert (risks[:40] < 1e-6).all()
    assert (np.diff(risks) >= 0.0).all()
    assert risks[-1] == 1.0
    assert risks[-2] == pytest.approx(1.0 - contest.probabilities_of_best()[0], abs=5e-3)


@given(st.integers(0, 2**32), st.integers(1, 30), st.floats(0.0, 2.0))
@examples
def test_a_tolerance_makes_nothing_less_probable(seed, n_models, tolerance):
    posterior = mixtures(np.random.default_rng(seed), n_models, decades=2.0)
    exact, lenient = Contest(posterior), Contest(posterior, tolerance)
    assert (lenient.probabilities() >= exact.probabilities() - 1e-3).all()
    order = np.argsort(exact.probabilities())
    assert (lenient.risks(order) <= exact.risks(order) + 1e-3).all()
    np.testing.assert_allclose(
        lenient.probabilities_of_best(), exact.probabilities_of_best(), atol=2e-3
    )


@given(st.integers(0, 2**32), st.floats(-1e3, 1e3), st.floats(1e-6, 1e6), st.floats(0.0, 1.0))
@examples
def test_units_do_not_matter(seed, shift, scale, tolerance):
    posterior = mixtures(np.random.default_rng(seed), 20)
    moved = CriterionPosterior(
        posterior.weights, (posterior.means + shift) * scale, posterior.stds * scale
    )
    before, after = Contest(posterior, tolerance), Contest(moved, tolerance * scale)
    np.testing.assert_allclose(after.probabilities(), before.probabilities(), atol=1e-3)
    order = np.argsort(before.probabilities())
    np.testing.assert_allclose(after.risks(order), before.risks(order), atol=1e-3)


def test_models_that_are_known_and_equal_are_both_within():
    """Fully trained, with the same losses."""
    contest = Contest(normals([1.0, 2.0, 1.0, 5.0], [0.0, 0.0, 0.0, 0.0]))
    np.testing.assert_allclose(contest.probabilities(), [1.0, 0.0, 1.0, 0.0], atol=1e-4)
    # One of them may go, both may not.
    np.testing.assert_allclose(contest.risks([3, 1, 0, 2]), [0.0, 0.0, 0.0, 1.0], atol=1e-4)
    np.testing.assert_allclose(contest.risks([0, 2, 1, 3]), [0.0, 1.0, 1.0, 1.0], atol=1e-4)


def test_known_models_against_one_that_is_not():
    posterior = normals([0.0, 0.0, 0.3], [0.0, 0.0, 1.0])
    contest = Contest(posterior)
    better = stats.norm.cdf(-0.3)
    expected = [1.0 - better, 1.0 - better, better]
    np.testing.assert_allclose(contest.probabilities(), expected, atol=5e-3)
    np.testing.assert_allclose(contest.risks([2, 1, 0]), [better, better, 1.0], atol=0.02)
    np.testing.assert_allclose(contest.risks([1, 0, 2]), [0.0, 1.0 - better, 1.0], atol=0.02)


def test_a_known_model_is_the_best_or_not():
    contest = Contest(normals([0.1, 0.2, 0.4], 0.0), 0.15)
    np.testing.assert_allclose(contest.probabilities(), [1.0, 1.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(contest.probabilities_of_best(), [1.0, 0.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(contest.risks([2, 0, 1]), [0.0, 0.0, 1.0], atol=1e-4)


def test_infinite_models_are_never_the_best():
    posterior = normals([np.inf, 0.0, np.inf, 0.5], [0.0, 1.0, 0.0, 1.0])
    contest, without = Contest(posterior), Contest(normals([0.0, 0.5], 1.0))
    for name in ("probabilities", "probabilities_of_best"):
        found = getattr(contest, name)()
        np.testing.assert_array_equal(found[[0, 2]], 0.0)
        np.testing.assert_allclose(found[[1, 3]], getattr(without, name)())
    np.testing.assert_allclose(contest.risks([0, 2, 3, 1])[2:], without.risks([1, 0]))
    np.testing.assert_array_equal(contest.risks([0, 2, 3, 1])[:2], 0.0)
    np.testing.assert_allclose(contest.risks([3, 1, 0, 2])[1:], 1.0, atol=1e-3)


def test_mixtures_with_an_infinite_part_are_infinite():
    posterior = CriterionPosterior(
        np.full((2, 2), 0.5), np.array([[0.0, np.inf], [3.0, 3.0]]), np.array([[1.0, 0], [1, 1]])
    )
    np.testing.assert_allclose(Contest(posterior).probabilities(), [0.0, 1.0], atol=1e-3)


def test_if_all_are_infinite_all_are_the_best():
    contest = Contest(normals(np.full(3, np.inf), np.zeros(3)), 0.5)
    np.testing.assert_array_equal(contest.probabilities(), 1.0)
    np.testing.assert_array_equal(contest.probabilities_of_best(), 1.0)
    np.testing.assert_array_equal(contest.risks([2, 0, 1]), [0.0, 0.0, 1.0])


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.0), (1e12, 1e-9), (-3.0, 2.0), (np.inf, 0.0)])
@pytest.mark.parametrize("tolerance", [0.0, 0.1])
def test_one_model_is_the_best(mean, std, tolerance):
    contest = Contest(normals([mean], [std]), tolerance)
    np.testing.assert_allclose(contest.probabilities(), 1.0, atol=5e-3)
    np.testing.assert_allclose(contest.probabilities_of_best(), 1.0, atol=5e-3)
    np.testing.assert_array_equal(contest.risks([0]), 1.0)


@pytest.mark.parametrize("certain", [False, True])
def test_thousands_of_models(certain):
    rng = np.random.default_rng(0)
    posterior = mixtures(rng, 7000)
    if certain:
        posterior.stds[::2], posterior.means[::2] = 0.0, posterior.means[::2, :1]
    contest = Contest(posterior, 0.01)
    chances, within = contest.probabilities_of_best(), contest.probabilities()
    assert chances.sum() == pytest.approx(1.0, abs=0.01)
    assert (within >= chances - 1e-3).all()
    risks = contest.risks(np.argsort(within, kind="stable"))
    assert (np.diff(risks) >= 0.0).all()
    assert risks[3500] < 1e-2


def test_a_model_far_ahead_is_not_lost_between_grid_points():
    """Its standard deviation is a ten-thousandth of that of hundreds of others."""
    means, stds = np.full(300, 5.0), np.full(300, 1.0)
    means[17], stds[17] = 2.2, 1e-4
    rng = np.random.default_rng(1)
    contest = Contest(normals(means, stds))
    best = (drawn(rng, normals(means, stds)).argmin(axis=1) == 17).mean()
    assert contest.probabilities()[17] == pytest.approx(best, abs=0.02)
    order = np.append(np.delete(np.arange(300), 17), 17)
    assert contest.risks(order)[-2] == pytest.approx(1.0 - best, abs=0.02)


@pytest.mark.parametrize("std", [0.0, 0.5])
def test_models_that_are_the_same_share_probabilities(std):
    contest = Contest(normals([1.0, 1.0, 1.0, 9.0], [std, std, std, std]))
    expected = [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0]
    np.testing.assert_allclose(contest.probabilities_of_best(), expected, atol=0.01)
