"""Random levels: closed forms, races that choose whom they train, and losses that are wild."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest

from optuna_robust._statistics.comparison import tells_noise
from optuna_robust.comparison import fit_additive
from optuna_robust.comparison import fit_random_levels


pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

examples = settings(derandomize=True, deadline=None, max_examples=12)
seeds = st.integers(0, 2**32)
PATTERN = np.array([1.0, -1.0, 1.0, -1.0])


def simulated(rng, n_models, n_instances, *, level_std=1.0, effects=0.0, noise_std=1.0):
    noise = noise_std * rng.normal(size=(n_models, n_instances))
    return level_std * rng.normal(size=(n_models, 1)) + effects + noise


def race(losses, n_leaders):
    """Only the models with the best first losses have the others."""
    known = losses.copy()
    known[np.argsort(losses[:, 0])[n_leaders:], 1:] = np.nan
    return known


NOT_ARRAYS = ("prior", "prediction", "prior_df", "trend")


def arrays_of(fit):
    return {
        name: np.asarray(value)
        for name, value in dataclasses.asdict(fit).items()
        if name not in NOT_ARRAYS
    }


def assert_same(fit, other, **tolerance):
    for name, value in arrays_of(fit).items():
        np.testing.assert_allclose(value, getattr(other, name), err_msg=name, **tolerance)


def balanced(n_models, level_std, effects):
    """Complete losses whose residuals have the same variance in every model, exactly."""
    levels = level_std * np.random.default_rng(0).normal(size=(n_models, 1))
    signs = np.resize([1.0, -1.0], n_models)[:, None]
    return levels + effects + signs * PATTERN


def test_balanced_one_way_layout_has_the_textbook_components():
    """Means are means, and the variance of levels is near that of the analysis of variance."""
    losses = balanced(400, 2.0, 7.0)
    fit = fit_random_levels(losses, common_instances=False)
    within = losses.var(axis=1, ddof=1)
    between = losses.mean(axis=1).var(ddof=1) - within.mean() / 4
    np.testing.assert_allclose(fit.means, losses.mean(axis=1))
    np.testing.assert_allclose(fit.variances, within, rtol=0.1)
    np.testing.assert_array_equal(fit.n, 4)
    assert fit.level_mean == pytest.approx(losses.mean(), abs=0.2)
    assert fit.level_variance == pytest.approx(between, rel=0.25)
    assert (fit.df > 3.0).all()


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_effects_of_a_complete_matrix_are_shrunken_means_of_instances(scale):
    """Henderson's equations, solved by hand: contrasts of effects shrink by one factor."""
    effects = scale * np.array([1.0, 0.5, -1.2, -0.3])
    n_models, variance = 60, 4 / 3
    losses = balanced(n_models, 1.0, effects)
    fit = fit_random_levels(losses)
    contrasts = losses.mean(axis=0) - losses.mean()
    found = fit.effects - fit.effects.mean()
    factor = found[0] / contrasts[0]
    np.testing.assert_allclose(found, factor * contrasts, rtol=1e-9)
    # With the true variance among instances it would be this; that variance is estimated.
    among = effects.var(ddof=1)
    assert factor == pytest.approx(among / (among + variance / n_models), abs=0.25)
    if scale >= 1.0:
        assert 0.3 * among < fit.instance_variance < 3.0 * among
    np.testing.assert_allclose(fit.effects_variance, fit.effects_variance[0])
    assert fit.effects_variance[0] > 0.9 * factor * fit.variances.mean() / n_models
    np.testing.assert_allclose(fit.means, (losses - fit.effects).mean(axis=1))
    # What moves all losses alike is of the instances or of the models: it is counted once.
    assert fit.level_mean + fit.effects.mean() == pytest.approx(losses.mean(), abs=0.2)


def test_an_instance_of_one_model_says_less_than_one_of_many():
    losses = simulated(np.random.default_rng(3), 40, 3, effects=np.array([0.0, 2.0, 2.0]))
    losses[10:, 1], losses[1:, 2] = np.nan, np.nan
    fit = fit_random_levels(losses)
    assert fit.effects_variance[2] > 2.0 * fit.effects_variance[1]
    seen_alone = losses[0, 2] - fit.level_mean
    assert abs(fit.effects[2]) < abs(seen_alone)


@pytest.mark.parametrize(
    "effects", [[0.0, 0.0, 0.0], [0.0, 2.0, -1.0], [0.0, 10.0, 20.0], [0.0, -30.0, 5.0]]
)
def test_leaders_by_their_first_loss_do_not_move_the_effects(effects):
    """Fixed levels take the leaders' regression to the mean for an effect, random ones do not."""
    rng = np.random.default_rng(11)
    errors, errors_of_fixed = [], []
    for _ in range(100):
        known = race(simulated(rng, 150, 3, effects=np.array(effects)), 30)
        for fit, found in (
            (fit_random_levels(known), errors),
            (fit_additive(known), errors_of_fixed),
        ):
            found.append(fit.effects[1:] - fit.effects[0] - np.array(effects)[1:])
    error = np.std(np.mean(errors, axis=1)) / np.sqrt(len(errors))
    # The regression to the mean of the best fifth is 0.99 = 1.4 sqrt(2) / 2.
    assert np.mean(errors_of_fixed) > 0.85
    assert abs(np.mean(errors)) < 0.2 + 3.0 * error
    assert np.mean(np.abs(errors)) < 0.6 * np.mean(np.abs(errors_of_fixed))


@pytest.mark.parametrize("common_instances", [False, True])
@pytest.mark.parametrize(("level_std", "noise_std"), [(1.0, 1.0), (3.0, 1.0), (2.0, 3.0)])
def test_components_are_near_the_truth_after_a_race(common_instances, level_std, noise_std):
    rng = np.random.default_rng(12)
    effects = np.array([0.0, 1.5, -1.5]) if common_instances else 0.0
    found = []
    for _ in range(40):
        losses = 5.0 + simulated(
            rng, 200, 3, level_std=level_std, effects=effects, noise_std=noise_std
        )
        fit = fit_random_levels(race(losses, 40), common_instances=common_instances)
        first = fit.level_mean + fit.effects[0]
        found.append([first, fit.level_variance, np.median(fit.variances)])
    mean, level_variance, variance = np.mean(found, axis=0)
    assert mean == pytest.approx(5.0, abs=0.15 * (level_std + noise_std))
    # Where noise is larger than levels differ, effects take a part of the leaders' regression.
    assert 0.6 < level_variance / level_std**2 < 1.9
    # Leaders were lucky on their first instance, so their variances are a little large.
    assert 0.85 < variance / noise_std**2 < 1.35


def test_levels_that_do_not_differ_have_next_to_no_variance():
    """Hundreds of models that are all the same."""
    losses = np.random.default_rng(2).normal(3.0, 1.0, size=(600, 2))
    fit = fit_random_levels(race(losses, 60))
    assert fit.level_variance < 0.5
    assert fit.level_mean == pytest.approx(3.0, abs=0.2)
    assert np.median(fit.variances) == pytest.approx(1.0, rel=0.5)
    # Fixed levels give the whole regression to the mean, 1.75, to the second instance.
    assert abs(fit.effects[1] - fit.effects[0]) < 1.2


def test_strong_effects_are_recovered():
    rng = np.random.default_rng(4)
    effects = 50.0 * rng.normal(size=8)
    losses = simulated(rng, 300, 8, effects=effects, noise_std=0.5)
    losses[np.arange(8) >= rng.integers(1, 9, size=300)[:, None]] = np.nan
    fit = fit_random_levels(losses)
    gaps = fit.effects - effects
    assert np.abs(gaps - gaps.mean()).max() < 0.3
    assert 0.2 < np.sqrt(fit.instance_variance) / effects.std() < 3.0
    assert np.sqrt(fit.level_variance) == pytest.approx(1.0, rel=0.2)


def test_effects_are_zero_without_common_instances():
    losses = simulated(np.random.default_rng(5), 30, 4, effects=np.array([0.0, 9.0, 0.0, 0.0]))
    losses[:, 3] = np.nan
    fit = fit_random_levels(losses, common_instances=False)
    np.testing.assert_array_equal(fit.effects, [0.0, 0.0, 0.0, np.nan])
    np.testing.assert_array_equal(fit.effects_variance, 0.0)
    assert fit.instance_variance == 0.0
    np.testing.assert_allclose(fit.means, losses[:, :3].mean(axis=1))


def table():
    effects = np.array([0.0, 1.0, -1.0])
    return race(simulated(np.random.default_rng(6), 60, 3, effects=effects), 20)


def assert_little_moved(fit, clean, rows):
    """The common parameters, and the given models, by little of their standard errors."""
    first, clean_first = fit.effects[0], clean.effects[0]
    assert fit.level_mean + first == pytest.approx(clean.level_mean + clean_first, abs=0.5)
    assert 0.5 < fit.level_variance / clean.level_variance < 2.0
    # What all instances share may be of the models or of the instances.
    np.testing.assert_allclose(fit.effects - first, clean.effects - clean_first, atol=0.5)
    gaps = fit.means[:60] + first - (clean.means + clean_first)
    np.testing.assert_allclose(gaps[rows], 0.0, atol=0.5)
    np.testing.assert_allclose(np.median(fit.variances), np.median(clean.variances), rtol=0.5)
    assert (fit.effects_variance < 2.0 * clean.effects_variance).all()
    assert fit.instance_variance < 2.0 * clean.instance_variance


@pytest.mark.parametrize("wild", [1e3, 1e6, 1e12])
@pytest.mark.parametrize("instance", [0, 1, 2])
@pytest.mark.parametrize("place", [0, 7, 19])
def test_a_wild_loss_moves_its_own_model_only(wild, instance, place):
    losses = table()
    model = np.argsort(losses[:, 0])[place]  # of those that have all instances
    clean = fit_random_levels(losses)
    losses[model, instance] = wild
    fit = fit_random_levels(losses)
    assert_little_moved(fit, clean, np.arange(60) != model)
    assert fit.means[model] > wild / 4.0


@pytest.mark.parametrize("wild", [1e3, 1e6])
@pytest.mark.parametrize("n_wild", [1, 3])
def test_diverged_models_move_the_rest_little(wild, n_wild):
    losses = table()
    clean = fit_random_levels(losses)
    noise = np.random.default_rng(7).normal(size=(n_wild, 3))
    fit = fit_random_levels(np.vstack([losses, wild * (1.0 + 0.3 * noise)]))
    assert_little_moved(fit, clean, np.arange(60))
    np.testing.assert_allclose(fit.means[60:], wild * (1.0 + 0.3 * noise).mean(axis=1), rtol=0.1)


def test_models_that_diverged_on_their_only_instance_move_the_rest_little():
    losses = table()
    diverged = np.full((15, 3), np.nan)
    diverged[:, 0] = np.geomspace(1e2, 1e8, 15)
    clean, fit = fit_random_levels(losses), fit_random_levels(np.vstack([losses, diverged]))
    assert_little_moved(fit, clean, np.arange(60))


def test_infinite_losses_are_as_if_not_trained():
    losses = table()
    model = int(np.argmin(losses[:, 0]))
    failed, missing = losses.copy(), losses.copy()
    failed[model, 1:] = np.inf, -np.inf
    failed[30] = np.inf
    missing[model, 1:] = np.nan
    missing[30] = np.nan
    assert_same(fit_random_levels(failed), fit_random_levels(missing))
    fit = fit_random_levels(failed)
    assert (fit.n[model], fit.n[30]) == (1, 0)
    assert np.isnan(fit.means[30])
    assert np.isfinite(fit.variances).all()
    assert (fit.df > 0.0).all()


def test_an_instance_that_nobody_has_has_no_effect():
    losses = np.insert(table(), 1, np.nan, axis=1)
    fit, without = fit_random_levels(losses), fit_random_levels(table())
    np.testing.assert_array_equal(np.isnan(fit.effects), [False, True, False, False])
    np.testing.assert_allclose(fit.effects[[0, 2, 3]], without.effects, atol=1e-9)
    assert fit.level_variance == pytest.approx(without.level_variance)


@st.composite
def races(draw):
    rng = np.random.default_rng(draw(seeds))
    n_models, n_instances = draw(st.integers(3, 30)), draw(st.integers(2, 5))
    effects = rng.normal(size=n_instances) * draw(st.sampled_from([0.0, 1.0, 10.0]))
    losses = simulated(rng, n_models, n_instances, effects=effects)
    return race(losses, draw(st.integers(2, n_models)))


@given(races(), st.floats(-1e3, 1e3), st.booleans())
@examples
def test_a_shift_moves_the_levels_only(losses, shift, common_instances):
    before, after = (
        fit_random_levels(x, common_instances=common_instances) for x in (losses, losses + shift)
    )
    expected = dataclasses.replace(
        before, level_mean=before.level_mean + shift, means=before.means + shift
    )
    assert_same(after, expected, rtol=1e-5, atol=1e-6)


@given(races(), st.floats(1e-6, 1e6), st.booleans())
@examples
def test_a_scale_changes_units_only(losses, scale, common_instances):
    before, after = (
        fit_random_levels(x, common_instances=common_instances) for x in (losses, losses * scale)
    )
    powers = {"level_mean": 1, "means": 1, "effects": 1, "n": 0, "df": 0}
    for name, value in arrays_of(before).items():
        unit = scale ** powers.get(name, 2)
        np.testing.assert_allclose(
            np.asarray(getattr(after, name)) / unit, value, rtol=1e-5, atol=1e-7, err_msg=name
        )


@given(races(), st.randoms(use_true_random=False), st.booleans())
@examples
def test_the_order_of_models_does_not_matter(losses, random, common_instances):
    order = np.array(random.sample(range(len(losses)), len(losses)))
    before, after = (
        fit_random_levels(x, common_instances=common_instances) for x in (losses, losses[order])
    )
    assert after.level_mean == pytest.approx(before.level_mean, abs=1e-6)
    assert after.level_variance == pytest.approx(before.level_variance, rel=1e-5, abs=1e-9)
    np.testing.assert_allclose(after.effects, before.effects, atol=1e-6)
    for name in ("means", "variances", "df", "n"):
        np.testing.assert_allclose(
            getattr(after, name), getattr(before, name)[order], rtol=1e-5, atol=1e-6
        )


def test_one_pair_of_losses_may_differ_by_its_instances():
    losses = np.full((12, 2), np.nan)
    losses[:, 0] = np.random.default_rng(8).normal(size=12)
    losses[3, 1] = losses[3, 0] + 1.0
    assert not tells_noise(losses)
    with pytest.raises(ValueError, match="must tell the noise"):
        fit_random_levels(losses)
    assert tells_noise(losses, common_instances=False)
    losses[4, 1] = losses[4, 0] + 2.0
    assert tells_noise(losses)
    for name, values in arrays_of(fit_random_levels(losses)).items():
        assert np.isfinite(values).all(), name


def test_one_pair_of_losses_tells_the_noise_without_common_instances():
    losses = np.array([[0.0, 2.0], [1.0, np.nan], [3.0, np.nan]])
    fit = fit_random_levels(losses, common_instances=False)
    np.testing.assert_allclose(fit.variances, 2.0)
    np.testing.assert_allclose(fit.df, 1.0)


@pytest.mark.parametrize("common_instances", [False, True])
def test_identical_losses_have_no_variance(common_instances):
    fit = fit_random_levels(np.full((5, 3), 7.0), common_instances=common_instances)
    assert fit.level_mean == pytest.approx(7.0)
    assert fit.level_variance == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(fit.means, 7.0)
    np.testing.assert_array_equal(fit.variances, 0.0)
    np.testing.assert_allclose(fit.effects, 0.0, atol=1e-9)


@pytest.mark.parametrize("common_instances", [False, True])
def test_models_that_repeat_themselves_differ_for_sure(common_instances):
    """Objectives that fix their own seed: no noise, but levels."""
    losses = np.repeat(np.random.default_rng(9).normal(size=(50, 1)), 3, axis=1)
    fit = fit_random_levels(losses, common_instances=common_instances)
    np.testing.assert_allclose(np.diff(fit.means), np.diff(losses[:, 0]), atol=1e-9)
    np.testing.assert_allclose(fit.variances, 0.0, atol=1e-9)


def test_two_models():
    losses = np.array([[1.0, 2.0, 3.0], [2.0, 2.5, 4.0]])
    fit = fit_random_levels(losses)
    gap = fit.means[1] - fit.means[0]
    assert gap == pytest.approx((losses[1] - losses[0]).mean())
    np.testing.assert_allclose(fit.variances, (losses[0] - losses[1]).var(ddof=1) / 2.0, rtol=0.2)
    assert fit.df.max() <= 2.0 + 1e-9


def test_one_model():
    fit = fit_random_levels([[1.0, 2.0, 4.0]], common_instances=False)
    assert fit.means[0] == pytest.approx(7.0 / 3.0)
    assert fit.variances[0] == pytest.approx(np.var([1.0, 2.0, 4.0], ddof=1))


@pytest.mark.parametrize("losses", [[1.0, 2.0], 3.0, np.zeros((2, 2, 2))])
def test_losses_of_a_wrong_shape(losses):
    with pytest.raises(ValueError, match=r"shape \(n_models, n_instances\)"):
        fit_random_levels(losses)


@pytest.mark.parametrize(
    "losses",
    [
        np.empty((0, 3)),
        np.empty((3, 0)),
        np.ones((4, 1)),
        np.full((3, 2), np.nan),
        np.full((3, 2), np.inf),
        [[1.0, np.nan], [np.nan, 2.0]],
        [[1.0, np.inf], [2.0, np.nan]],
    ],
)
def test_two_finite_losses_of_one_model_are_needed(losses):
    with pytest.raises(ValueError, match="two finite losses"):
        fit_random_levels(losses)
