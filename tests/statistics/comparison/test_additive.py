"""Two-way additive fit: least squares, degrees of freedom, and what wild losses do to it."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest

from optuna_robust.comparison import fit_additive


pytestmark = pytest.mark.filterwarnings("error")

examples = settings(derandomize=True, deadline=None, max_examples=15)
either = pytest.mark.parametrize("robust", [False, True])


@st.composite
def incomplete_losses(draw, most=6):
    """Small matrices with losses missing anywhere, whole models and instances included."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, most)), draw(st.integers(1, most))
    losses = rng.normal(size=shape) + 3.0 * rng.normal(size=(shape[0], 1))
    losses[rng.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.6]))] = np.nan
    return losses


def design_of(losses):
    """Dummy variables of models and instances, and the losses, one row each loss."""
    models, instances = np.nonzero(np.isfinite(losses))
    design = np.hstack([np.eye(losses.shape[0])[models], np.eye(losses.shape[1])[instances]])
    return design, losses[models, instances], models, instances


def nested(counts, n_instances):
    """Which losses are there if models have their first instances."""
    return np.arange(n_instances) < np.asarray(counts)[:, None]


def assert_same(fit, other, **tolerance):
    for name in ("levels", "effects", "s2", "df", "n"):
        np.testing.assert_allclose(getattr(fit, name), getattr(other, name), **tolerance)


@examples
@given(incomplete_losses())
def test_least_squares_is_that_of_dummy_variables(losses):
    fit = fit_additive(losses, robust=False)
    design, y, models, instances = design_of(losses)
    fitted = design @ np.linalg.lstsq(design, y)[0]
    np.testing.assert_allclose(fit.levels[models] + fit.effects[instances], fitted, atol=1e-9)
    rss = np.bincount(models, (y - fitted) ** 2, minlength=len(losses))
    left = 1.0 - np.diag(design @ np.linalg.pinv(design))
    np.testing.assert_allclose(fit.df, np.bincount(models, left, len(losses)), atol=1e-9)
    assert fit.df.sum() == pytest.approx(len(y) - np.linalg.matrix_rank(design))
    np.testing.assert_array_equal(np.isnan(fit.s2), fit.df == 0.0)
    known = fit.df > 0.0
    np.testing.assert_allclose(fit.s2[known], rss[known] / fit.df[known], atol=1e-9)
    np.testing.assert_array_equal(fit.n, np.isfinite(losses).sum(axis=1))


@examples
@given(incomplete_losses(), st.booleans())
def test_effects_sum_to_zero_over_connected_instances(losses, robust):
    fit = fit_additive(losses, robust=robust)
    there = np.isfinite(losses)
    np.testing.assert_array_equal(np.isnan(fit.effects), ~there.any(axis=0))
    np.testing.assert_array_equal(np.isnan(fit.levels), ~there.any(axis=1))
    linked = np.linalg.matrix_power(there.T.astype(float) @ there, losses.shape[1]) > 0.0
    for group in linked[there.any(axis=0)]:
        assert abs(fit.effects[group].sum()) < 1e-9


def test_a_complete_matrix_has_the_textbook_solution():
    rng = np.random.default_rng(0)
    losses = rng.normal(size=(4, 6))
    fit = fit_additive(losses, robust=False)
    np.testing.assert_allclose(fit.levels, losses.mean(axis=1))
    np.testing.assert_allclose(fit.effects, losses.mean(axis=0) - losses.mean())
    np.testing.assert_allclose(fit.df, (6 - 1) * (1 - 1 / 4))


@either
def test_two_models_mirror_each_other_and_share_the_degrees_of_freedom(robust):
    losses = np.random.default_rng(1).normal(size=(2, 5))
    losses[0, 2] = 50.0
    fit = fit_additive(losses, robust=robust)
    assert fit.s2[0] == pytest.approx(fit.s2[1])
    assert fit.s2[0] == pytest.approx((losses[0] - losses[1]).var(ddof=1) / 2.0)
    assert fit.df.sum() == pytest.approx(4.0)


@either
@pytest.mark.parametrize("n_models", [2, 3, 5, 50])
@pytest.mark.parametrize("counts", [[2], [3], [5], [6, 6, 4, 2, 1]])
def test_residual_variances_are_unbiased(robust, n_models, counts):
    """Each model by itself, over simulated noise of variance 4."""
    rng = np.random.default_rng(7)
    there = nested(np.resize(counts, n_models), max(counts))
    n_repeats = 120 if n_models == 50 else 500
    found = []
    for _ in range(n_repeats):
        noise = 2.0 * rng.normal(size=there.shape)
        effects = 5.0 * rng.normal(size=there.shape[1])
        levels = 5.0 * rng.normal(size=(n_models, 1))
        losses = np.where(there, levels + effects + noise, np.nan)
        found.append(fit_additive(losses, robust=robust).s2 / 4.0)
    known = np.array(found)[:, there.sum(axis=1) > 1]
    error = known.std(axis=0) / np.sqrt(n_repeats)
    # Models of a repeat depend on each other: the error of their mean is that of the repeats.
    error_of_mean = known.mean(axis=1).std() / np.sqrt(n_repeats)
    bias = 0.02 if robust else 0.0
    assert (np.abs(known.mean(axis=0) - 1.0) < 4.0 * error + bias).all()
    assert abs(known.mean() - 1.0) < 3.0 * error_of_mean + bias


def test_unequal_variances_are_drawn_to_each_other_as_documented():
    rng = np.random.default_rng(8)
    true = np.array([0.25, 1.0, 4.0, 9.0])
    found = []
    for _ in range(3000):
        losses = np.sqrt(true)[:, None] * rng.normal(size=(4, 5))
        found.append(fit_additive(losses, robust=False).s2)
    others = (true.sum() - true) / 3.0
    expected = (1 - 1 / 4) * true + others / 4
    error = np.std(found, axis=0) / np.sqrt(3000)
    assert (np.abs(np.mean(found, axis=0) - expected) < 4.0 * error).all()


@either
def test_models_without_instances_effects_have_plain_means_and_variances(robust):
    losses = np.random.default_rng(2).normal(size=(5, 4))
    losses[1, 2:], losses[2, 1:], losses[3], losses[:, 3] = np.nan, np.nan, np.nan, np.nan
    fit = fit_additive(losses, robust=robust, common_instances=False)
    for model, row in enumerate(losses):
        trained = row[~np.isnan(row)]
        assert fit.n[model] == len(trained)
        assert fit.df[model] == max(len(trained) - 1, 0)
        if len(trained) > 0:
            assert fit.levels[model] == pytest.approx(trained.mean())
        if len(trained) > 1:
            assert fit.s2[model] == pytest.approx(trained.var(ddof=1))
    np.testing.assert_array_equal(fit.effects, [0.0, 0.0, 0.0, np.nan])
    np.testing.assert_array_equal(fit.effects_covariance, 0.0)
    np.testing.assert_array_equal(np.isnan(fit.s2), [False, False, True, True, False])


@pytest.mark.parametrize("n_instances", [2, 6])
@pytest.mark.parametrize("size", [30.0, 1e6, 1e140])
def test_wild_losses_leave_the_effects_alone(n_instances, size):
    """A tenth of the models diverge once, all to the same side."""
    rng = np.random.default_rng(3)
    effects = rng.normal(size=n_instances)
    losses = effects + rng.normal(size=(100, 1)) + 0.1 * rng.normal(size=(100, n_instances))
    clean = fit_additive(losses).effects
    wild = rng.permutation(100)[:10]
    losses[wild, rng.integers(0, n_instances, size=10)] += size
    fit = fit_additive(losses)
    # The standard error of an effect is 0.01.
    np.testing.assert_allclose(fit.effects, clean, atol=0.01)
    others = np.delete(np.arange(100), wild)
    assert fit.s2[others].max() < 0.15
    assert fit.s2[wild].min() > 0.01 * size**2  # its own wild losses are a model's behaviour
    least_squares = fit_additive(losses, robust=False)
    assert np.abs(least_squares.effects - clean).max() > 0.1


@pytest.mark.parametrize("n_instances", [2, 3, 6])
def test_effects_withstand_wild_losses_in_four_of_ten_models(n_instances):
    rng = np.random.default_rng(4)
    effects = rng.normal(size=n_instances)
    losses = effects + 0.1 * rng.normal(size=(200, n_instances))
    losses[np.arange(80), rng.integers(0, n_instances, size=80)] += 1e6
    found = fit_additive(losses).effects
    np.testing.assert_allclose(found, effects - effects.mean(), atol=0.15)


@pytest.mark.parametrize("noise", ["t3", "lognormal", "unequal"])
def test_effects_are_better_than_those_of_least_squares_if_tails_are_heavy(noise):
    rng = np.random.default_rng(5)
    errors = {True: 0.0, False: 0.0}
    for _ in range(60):
        losses = {
            "t3": rng.standard_t(3, size=(60, 4)),
            "lognormal": rng.lognormal(size=(60, 4)),
            "unequal": np.exp(rng.normal(size=(60, 1))) * rng.normal(size=(60, 4)),
        }[noise]
        for robust in errors:
            errors[robust] += np.square(fit_additive(losses, robust=robust).effects).sum()
    assert errors[True] < 0.8 * errors[False]


def test_effects_are_nearly_those_of_least_squares_if_noise_is_normal():
    rng = np.random.default_rng(6)
    errors = {True: 0.0, False: 0.0}
    for _ in range(200):
        losses = rng.normal(size=(40, 4))
        for robust in errors:
            errors[robust] += np.square(fit_additive(losses, robust=robust).effects).sum()
    assert errors[True] < 1.15 * errors[False]  # 1.05 for many models


@either
def test_a_model_with_an_infinite_loss_has_its_mean_and_no_variance(robust):
    losses = np.random.default_rng(9).normal(size=(6, 3))
    without = losses.copy()
    losses[2, 1], without[2, 1] = np.inf, np.nan
    losses[4] = [1e200, np.inf, -np.inf]
    without[4] = np.nan
    losses[5, 2], without[5, 2] = 3e150, np.nan
    fit, expected = fit_additive(losses, robust=robust), fit_additive(without, robust=robust)
    np.testing.assert_array_equal(fit.effects, expected.effects)
    np.testing.assert_array_equal(fit.n, [3, 3, 2, 3, 0, 2])
    np.testing.assert_array_equal(fit.levels[[2, 4]], np.inf)
    assert fit.levels[5] == pytest.approx(1e150)
    fails = [2, 4, 5]
    np.testing.assert_array_equal(fit.df[fails], 0.0)
    np.testing.assert_array_equal(fit.s2[fails], np.nan)
    regular = [0, 1, 3]
    np.testing.assert_array_equal(fit.levels[regular], expected.levels[regular])
    np.testing.assert_array_equal(fit.s2[regular], expected.s2[regular])


@either
@pytest.mark.parametrize(
    "losses",
    [
        np.full((3, 2), np.nan),
        np.zeros((0, 3)),
        np.zeros((3, 0)),
        [[1.0]],
        [[1.0, np.nan], [np.nan, 2.0]],
        [[1.0, 2.0, np.nan, np.nan], [np.nan, np.nan, 5.0, 7.0]],
        [[1.0, 2.0], [np.nan, 3.0], [np.nan, 4.0]],
        [[np.inf, np.inf], [np.inf, 1.0]],
    ],
)
def test_designs_without_residuals_have_no_variances(robust, losses):
    fit = fit_additive(losses, robust=robust)
    np.testing.assert_array_equal(fit.df, 0.0)
    np.testing.assert_array_equal(fit.s2, np.nan)


@either
def test_unconnected_models_are_fitted_apart(robust):
    rng = np.random.default_rng(10)
    losses = np.full((8, 6), np.nan)
    losses[:4, :3], losses[4:, 3:] = rng.normal(size=(2, 4, 3))
    fit = fit_additive(losses, robust=robust)
    assert fit.effects[:3].sum() == pytest.approx(0.0)
    assert fit.effects[3:].sum() == pytest.approx(0.0)
    np.testing.assert_allclose(fit.df, 2.0 * (1 - 1 / 4))
    np.testing.assert_allclose(fit.levels[:4], losses[:4, :3].mean(axis=1))


@either
def test_a_loss_that_nothing_else_tells_about_changes_nothing_but_its_effect(robust):
    losses = np.random.default_rng(11).normal(size=(6, 4))
    losses[1:, 3] = np.nan
    fit = fit_additive(losses, robust=robust)
    short = fit_additive(losses[:, :3], robust=robust)
    np.testing.assert_allclose(np.diff(fit.levels), np.diff(short.levels), atol=1e-3)
    np.testing.assert_allclose(fit.s2, short.s2, rtol=1e-3)
    np.testing.assert_allclose(fit.df, short.df)


@either
def test_losses_that_follow_the_instances_exactly_have_no_noise(robust):
    levels, effects = np.array([0.1, 0.7, 0.3, 1.1]), np.array([0.01, 0.02, -0.07])
    fit = fit_additive(levels[:, None] + effects, robust=robust)
    np.testing.assert_array_equal(fit.s2, 0.0)
    np.testing.assert_allclose(fit.effects, effects - effects.mean(), atol=1e-12)


@either
def test_identical_losses_of_most_models_are_kept_apart_from_the_noise_of_others(robust):
    losses = np.full((9, 4), 0.3)
    losses[7:] = np.random.default_rng(12).normal(size=(2, 4))
    fit = fit_additive(losses, robust=robust)
    if robust:
        np.testing.assert_allclose(fit.effects, 0.0, atol=1e-9)
    assert (fit.s2[:7] < fit.s2[7:].min()).all()


@either
def test_a_large_offset_costs_no_digits(robust):
    losses = np.random.default_rng(13).normal(size=(10, 5))
    losses[4:, 3:] = np.nan
    fit, moved = (fit_additive(x, robust=robust) for x in (losses, losses + 1e6))
    np.testing.assert_allclose(moved.s2, fit.s2, rtol=1e-8)
    np.testing.assert_allclose(moved.effects, fit.effects, atol=1e-8)


@examples
@given(incomplete_losses(), st.booleans(), st.integers(0, 1000))
def test_models_and_instances_can_change_places(losses, robust, seed):
    rng = np.random.default_rng(seed)
    models, instances = rng.permutation(losses.shape[0]), rng.permutation(losses.shape[1])
    fit = fit_additive(losses, robust=robust)
    other = fit_additive(losses[models][:, instances], robust=robust)
    np.testing.assert_allclose(other.effects, fit.effects[instances], atol=1e-4)
    np.testing.assert_allclose(other.levels, fit.levels[models], atol=1e-4)
    np.testing.assert_allclose(other.s2, fit.s2[models], rtol=1e-3, atol=1e-12)
    np.testing.assert_allclose(other.df, fit.df[models], atol=1e-9)


@examples
@given(incomplete_losses(), st.booleans(), st.integers(0, 1000))
def test_fits_move_with_shifts_and_scales(losses, robust, seed):
    rng = np.random.default_rng(seed)
    shift, levels = rng.normal(), rng.normal(size=(len(losses), 1))
    effects = rng.normal(size=losses.shape[1])
    fit = fit_additive(losses, robust=robust)
    scaled = fit_additive(8.0 * losses + shift, robust=robust)
    np.testing.assert_allclose(scaled.effects, 8.0 * fit.effects, atol=1e-4)
    np.testing.assert_allclose(scaled.s2, 64.0 * fit.s2, rtol=1e-3, atol=1e-12)
    moved = fit_additive(losses + levels + effects, robust=robust)
    np.testing.assert_allclose(moved.s2, fit.s2, rtol=1e-3, atol=1e-12)
    np.testing.assert_allclose(moved.df, fit.df, atol=1e-12)


@either
def test_no_step_is_quadratic_in_models(robust):
    losses = np.random.default_rng(15).normal(size=(7000, 20))
    losses[~nested(1 + np.arange(7000) % 20, 20)] = np.nan
    tracemalloc.start()
    fit = fit_additive(losses, robust=robust)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * losses.nbytes
    assert fit.df.sum() == pytest.approx(np.isfinite(losses).sum() - 7000 - 19)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"shape \(n_models, n_instances\), but had \(3,\)"):
        fit_additive([1.0, 2.0, 3.0])
