"""Posteriors of criteria: closed forms, calibration, and losses that decide all by themselves."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest

from optuna_robust.comparison import criterion_posterior
from optuna_robust.comparison import CriterionPosterior
from optuna_robust.comparison import fit_random_levels
from optuna_robust.criteria import CRITERIA
from optuna_robust.criteria import get_criterion
from tests.statistics.comparison.variances import true_variances


pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

examples = settings(derandomize=True, deadline=None, max_examples=10)
every_criterion = pytest.mark.parametrize("name", CRITERIA)


def simulated(rng, n_models, n_instances, *, prior_df=math.inf, effects=0.0):
    std = np.sqrt(true_variances(rng, n_models, prior_df))[:, None]
    noise = std * rng.normal(size=(n_models, n_instances))
    return rng.normal(size=(n_models, 1)) + effects + noise


def race(losses, counts=((4, 2), (12, 3), (40, 6))):
    """Every fourth model has two losses, the leaders by their first ones more."""
    ranked = np.argsort(losses[:, 0])
    n = np.ones(len(losses), dtype=np.intp)
    n[ranked[:: counts[0][0]]] = counts[0][1]
    for share, number in counts[1:]:
        n[ranked[: max(1, 3 * len(losses) // share)]] = number
    return np.where(np.arange(losses.shape[1]) < n[:, None], losses, np.nan)


def posterior_of(losses, name, n_instances, **options):
    return criterion_posterior(losses, get_criterion(name), n_instances, **options)


def assert_distribution(found, shape):
    assert len(found.means) == len(found.stds) == len(found.weights) == shape
    np.testing.assert_allclose(found.weights.sum(axis=1), 1.0)
    assert (found.weights >= 0.0).all()
    assert (found.stds >= 0.0).all()
    assert not np.isnan(found.means).any()


@pytest.mark.parametrize("n_instances", [5, 20])
@pytest.mark.parametrize("common_instances", [False, True])
def test_mean_is_normal_for_known_variances(n_instances, common_instances):
    """The conjugate posterior, from the components that were fitted."""
    rng = np.random.default_rng(0)
    losses = simulated(rng, 400, 3, effects=np.array([0.0, 1.0, -2.0]) * common_instances)
    losses[200:, 1:] = np.nan
    losses[300:] = np.nan
    fit = fit_random_levels(losses, common_instances=common_instances)
    found = posterior_of(losses, "mean", n_instances, common_instances=common_instances)
    assert fit.df.min() > 20.0
    n = np.isfinite(losses).sum(axis=1)
    error = fit.variances / np.maximum(n, 1)
    share = np.where(n > 0, fit.level_variance / (fit.level_variance + error), 0.0)
    level = fit.level_mean + share * np.where(n > 0, fit.means - fit.level_mean, 0.0)
    level_variance = np.where(n > 0, share * error, fit.level_variance)
    missing = n_instances - n
    missing_effects = np.where(np.isnan(losses), fit.effects, 0.0).sum(axis=1)
    doubt = np.where(np.isnan(losses), fit.effects_variance, 0.0).sum(axis=1)
    mean = (np.nansum(losses, axis=1) + missing * level + missing_effects) / n_instances
    variance = (missing**2 * level_variance + missing * fit.variances + doubt) / n_instances**2
    # Variances of finite df are larger where losses are extreme: levels shrink more there.
    usual = np.abs(level - fit.level_mean) < 1.0
    assert usual.mean() > 0.6
    np.testing.assert_allclose(found.mean[usual], mean[usual], atol=0.03)
    np.testing.assert_allclose(found.std[usual], np.sqrt(variance[usual]), rtol=0.04)


@every_criterion
def test_a_model_with_all_instances_is_known(name):
    losses = simulated(np.random.default_rng(1), 30, 6)
    expected = get_criterion(name)(losses)
    losses[5:, 3:] = np.nan
    found = posterior_of(losses, name, 6)
    np.testing.assert_allclose(found.mean[:5], expected[:5])
    np.testing.assert_array_equal(found.stds[:5], 0.0)
    np.testing.assert_allclose(found.std[:5], 0.0, atol=1e-9)
    assert (found.std[5:] > 0.0).all()
    np.testing.assert_allclose(
        found.probability_below(float(expected[2]) + 1e-9)[:5], expected[:5] <= expected[2]
    )


@every_criterion
def test_every_loss_that_is_trained_narrows_the_posterior(name):
    losses = simulated(np.random.default_rng(2), 80, 10)
    stds = [
        posterior_of(losses[:, :k], name, 10, common_instances=False).std.mean()
        for k in (2, 4, 7, 9)
    ]
    assert (np.diff(stds) < 0.0).all()


def true_probabilities(losses, name, common_instances):
    """Where in their posteriors the criteria are that come out, and who leads."""
    known = race(losses)
    found = posterior_of(known, name, losses.shape[1], common_instances=common_instances)
    truth = get_criterion(name)(losses)
    if common_instances:
        # What instances that nobody has do to all models alike is no part of the posterior.
        truth -= (truth - found.mean).mean()
    here = [found.probability_below(float(value))[i] for i, value in enumerate(truth)]
    open_ = np.isnan(known).any(axis=1)
    return np.array(here)[open_], np.argsort(losses[:, 0])[:5]


# A posterior is one of normals: minima and maxima, which are skewed, and spreads are only near.
@pytest.mark.parametrize("prior_df", [math.inf, 4.0])
@pytest.mark.parametrize(
    ("name", "common_instances", "slack"),
    [
        ("mean", False, 0.03),
        ("mean", True, 0.04),
        ("median", False, 0.03),
        ("q3+iqr", False, 0.07),
        ("std", False, 0.13),
        ("max", False, 0.13),
    ],
)
def test_criteria_come_out_as_probable_as_predicted(name, common_instances, slack, prior_df):
    """Models of a race, of whom the lucky ones were trained most."""
    rng = np.random.default_rng(3)
    places, leaders = [], []
    for _ in range(60):
        effects = rng.normal(size=10) * common_instances
        losses = simulated(rng, 60, 10, prior_df=prior_df, effects=effects)
        here, best = true_probabilities(losses, name, common_instances)
        places.append(here)
        leaders.append(here[best])
    for found, more in ((np.array(places), 0.0), (np.array(leaders), 0.04)):
        for quantile in (0.1, 0.5, 0.9):
            shares = (found < quantile).mean(axis=1)
            # Models of a simulation share what was fitted: the error is that of simulations.
            error = shares.std(ddof=1) / math.sqrt(len(shares))
            assert shares.mean() == pytest.approx(quantile, abs=3.5 * error + slack + more)


def test_the_best_first_losses_regress_to_the_mean():
    """Of many models that are alike the best loss says little."""
    losses = np.random.default_rng(4).normal(size=(300, 2))
    losses[30:, 1] = np.nan
    found = posterior_of(losses, "mean", 20, common_instances=False)
    best = int(np.argmin(losses[:, 0]))
    assert found.mean[best] > 0.7 * losses[best, 0]
    assert found.mean.std() < 0.5 * losses[:, 0].std()


def test_an_infinite_loss_makes_the_mean_infinite():
    losses = simulated(np.random.default_rng(5), 20, 4)
    losses[10:, 2:] = np.nan
    losses[0, 1], losses[12, 0] = np.inf, np.inf
    found = posterior_of(losses, "mean", 8)
    np.testing.assert_array_equal(np.isinf(found.mean), np.isin(np.arange(20), [0, 12]))
    np.testing.assert_array_equal(found.stds[[0, 12]], 0.0)
    np.testing.assert_array_equal(found.probability_below(1e300)[[0, 12]], 0.0)
    assert_distribution(found, 20)


@pytest.mark.parametrize("complete", [False, True])
def test_a_quantile_survives_one_infinite_loss_of_twenty(complete):
    losses = simulated(np.random.default_rng(6), 20, 20)
    losses[3, 1] = np.inf
    if not complete:
        losses[:, 7:] = np.nan
    found = posterior_of(losses, "q3+iqr", 20)
    assert np.isfinite(found.mean).all()
    assert np.isfinite(found.std).all()
    losses[3, 2:7] = np.inf
    assert np.isinf(posterior_of(losses, "q3+iqr", 20).mean[3])


def test_a_model_that_has_infinite_losses_only_is_judged_by_them():
    losses = simulated(np.random.default_rng(7), 12, 3)
    losses[4] = np.nan
    losses[4, 0] = np.inf
    for name in ("mean", "q3+iqr", "median", "std", "max"):
        found = posterior_of(losses, name, 20)
        assert np.isinf(found.mean[4]), name
        assert np.isfinite(np.delete(found.mean, 4)).all(), name


def test_a_model_without_a_loss_is_any_model():
    losses = simulated(np.random.default_rng(8), 200, 4)
    losses[50] = np.nan
    found = posterior_of(losses, "mean", 4)
    assert found.mean[50] == pytest.approx(losses[:50].mean(), abs=0.3)
    assert found.std[50] == pytest.approx(np.nanstd(losses.mean(axis=1)), rel=0.3)


@pytest.mark.parametrize(
    ("name", "tolerance"), [("mean", 1e-6), ("q3+iqr", 0.1), ("std", 0.15), ("max", 0.15)]
)
@pytest.mark.parametrize("n_alike", [23, 24, 25, 200])
def test_models_with_one_loss_are_interpolated(name, tolerance, n_alike):
    """Those whose only loss is in another place are not; without effects it means the same."""
    losses = simulated(np.random.default_rng(9), n_alike + 30, 2)
    first, second = losses.copy(), losses.copy()
    first[30:, 1] = np.nan
    second[30:] = second[30:, ::-1]
    second[30:, 0] = np.nan
    found, own = (posterior_of(x, name, 8, common_instances=False) for x in (first, second))
    unit = own.std[30:]
    assert (np.abs(found.mean - own.mean)[30:] < tolerance * unit).all()
    np.testing.assert_allclose(found.std[30:], unit, rtol=max(tolerance, 1e-4))


def test_interpolation_keeps_models_apart():
    """Also with common instances, where the first loss is the only thing that is known."""
    losses = simulated(np.random.default_rng(10), 300, 3)
    losses[20:, 1:] = np.nan
    losses[40:43, 0] = losses[40, 0]
    found = posterior_of(losses, "q3+iqr", 20)
    ranked = 20 + np.argsort(losses[20:, 0], kind="stable")
    # A loss that is far from all others speaks for a large variance, too.
    assert (np.diff(found.mean[ranked]) > -0.1).all()
    assert found.mean[ranked[0]] < found.mean[ranked[140]] - 0.5 < found.mean[ranked[-1]] - 1.0
    np.testing.assert_allclose(found.mean[40:43], found.mean[40])


@given(
    seed=st.integers(0, 2**32),
    shift=st.floats(-100.0, 100.0),
    scale=st.floats(1e-4, 1e4),
    name=st.sampled_from(["mean", "median", "q3", "q3+iqr", "std", "max", "cvar", "mean+std"]),
    common_instances=st.booleans(),
)
@examples
def test_shift_and_scale_are_those_of_the_criterion(seed, shift, scale, name, common_instances):
    losses = race(simulated(np.random.default_rng(seed), 40, 6))
    before, after = (
        posterior_of(x, name, 8, common_instances=common_instances)
        for x in (losses, scale * losses + shift * scale)
    )
    moved = 0.0 if get_criterion(name).kind == "spread" else shift
    np.testing.assert_allclose(after.mean / scale, before.mean + moved, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(after.std / scale, before.std, rtol=1e-3, atol=1e-5)


def test_instances_beyond_are_not_looked_at():
    losses = simulated(np.random.default_rng(11), 20, 9)
    found = posterior_of(losses, "mean", 4)
    np.testing.assert_allclose(found.mean, losses[:, :4].mean(axis=1))
    assert (found.std < 1e-9).all()
    losses[:, 4:] = np.inf
    np.testing.assert_array_equal(posterior_of(losses, "mean", 4).mean, found.mean)


@pytest.mark.parametrize("n_instances", [2, 3, 100, 300])
@pytest.mark.parametrize("common_instances", [False, True])
def test_any_number_of_instances(n_instances, common_instances):
    losses = race(simulated(np.random.default_rng(12), 30, n_instances))
    found = posterior_of(losses, "q3+iqr", n_instances, common_instances=common_instances)
    assert_distribution(found, 30)
    assert np.isfinite(found.mean).all()
    level = posterior_of(losses, "mean", n_instances, common_instances=common_instances)
    assert (found.mean > level.mean).all()


@pytest.mark.parametrize("n_models", [1, 2, 127, 128, 129, 400])
def test_any_number_of_models(n_models):
    losses = simulated(np.random.default_rng(13), n_models, 3)
    found = posterior_of(losses, "q3+iqr", 6, common_instances=False)
    assert_distribution(found, n_models)
    # Every model has the same draws: its posterior depends on its own losses and the fit.
    again = posterior_of(losses[::-1], "q3+iqr", 6, common_instances=False)
    np.testing.assert_allclose(again.mean[::-1], found.mean, rtol=1e-6, atol=1e-6)


def test_a_custom_criterion():
    def second_worst(losses):
        return np.sort(losses)[-2]

    losses = race(simulated(np.random.default_rng(14), 12, 6))
    complete = simulated(np.random.default_rng(15), 2, 6)
    found = criterion_posterior(np.vstack([losses, complete]), get_criterion(second_worst), 6)
    assert_distribution(found, 14)
    np.testing.assert_allclose(found.mean[12:], np.sort(complete, axis=1)[:, -2])
    largest = posterior_of(np.vstack([losses, complete]), "max", 6)
    assert (found.mean < largest.mean).all()


def test_identical_losses_never_win_as_perfectly_stable():
    losses = simulated(np.random.default_rng(16), 10, 4)
    losses[3] = 1.0
    found = posterior_of(losses, "std", 4)
    assert np.isinf(found.mean[3])
    assert np.isfinite(np.delete(found.mean, 3)).all()


@pytest.mark.parametrize("losses", [np.ones((3, 1)), np.full((3, 4), np.inf)])
def test_two_finite_losses_are_needed(losses):
    with pytest.raises(ValueError, match="two finite losses"):
        posterior_of(losses, "mean", 4)


def test_with_one_instance_nothing_tells_the_noise():
    with pytest.raises(ValueError, match="two finite losses"):
        posterior_of(np.ones((3, 4)), "mean", 1)


def test_moments_and_probabilities_of_a_mixture():
    found = CriterionPosterior(
        np.array([[0.25, 0.75], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]),
        np.array([[0.0, 4.0], [1.0, 1.0], [2.0, 2.0], [np.inf, np.inf]]),
        np.array([[1.0, 2.0], [0.5, 0.5], [0.0, 0.0], [0.0, 0.0]]),
    )
    np.testing.assert_allclose(found.mean, [3.0, 1.0, 2.0, np.inf])
    np.testing.assert_allclose(found.std, [math.sqrt(3.25 + 3.0), 0.5, 0.0, np.nan])
    below = found.probability_below(2.0)
    np.testing.assert_allclose(below[0], 0.25 * 0.9772498680518208 + 0.75 * 0.15865525393145707)
    np.testing.assert_allclose(below[1:], [0.9772498680518208, 1.0, 0.0])
    np.testing.assert_allclose(found.probability_below(1.999)[2], 0.0)
