"""What hyperparameters say of levels, and what that does to posteriors."""

from __future__ import annotations

import numpy as np
import pytest

from optuna_robust.comparison import criterion_posterior
from optuna_robust.comparison import encode_models
from optuna_robust.comparison import fit_informed_levels
from optuna_robust.comparison import fit_random_levels
from optuna_robust.comparison import predict_levels
from optuna_robust.comparison import updated_levels
from optuna_robust.criteria import get_criterion


def made_up(n_models=60, n_features=3, n_instances=3, noise=0.3, seed=0):
    """Levels that are a smooth function of the features, and losses; the first instance of all."""
    rng = np.random.default_rng(seed)
    features = rng.random((n_models, n_features))
    levels = 2.0 * features[:, 0] + features[:, 1] ** 2
    losses = levels[:, None] + noise * rng.normal(size=(n_models, n_instances))
    losses[10:, 1:] = np.nan
    return features, levels, losses


def test_predictions_are_the_textbook_ones_of_a_gaussian_process():
    """Equations 5.10 and 5.12 of Rasmussen & Williams (2006), model by model, by brute force."""
    features, levels, _ = made_up(30)
    features[0], features[1] = 0.0, 1.0
    z = levels + 0.1 * np.random.default_rng(1).normal(size=30)
    z = np.minimum(z, np.median(z))  # nothing is clipped then
    kernel = predict_levels(features, z).kernel
    errors = np.linspace(0.01, 0.1, 30)
    found = predict_levels(features, z, errors, kernel=kernel)
    low, width = features.min(axis=0), np.ptp(features, axis=0)
    inside = (features - low) / width
    covariance = kernel.between(inside, inside)
    own = kernel.own + 1e-6 + errors / z.var()
    for model in (0, 7, 29):
        others = np.arange(30) != model
        inverse = np.linalg.inv((covariance + np.diag(own))[np.ix_(others, others)])
        weights = covariance[model, others] @ inverse
        mean = z.mean() + weights @ (z[others] - z.mean())
        variance = covariance[model, model] - weights @ covariance[others, model] + kernel.own
        np.testing.assert_allclose(found.mean[model], mean, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(found.std[model], z.std() * np.sqrt(variance), rtol=1e-2)


def test_a_models_own_loss_is_not_in_its_prediction():
    features, levels, _ = made_up(40)
    kernel = predict_levels(features, levels).kernel
    model = int(np.argmin(levels))
    changed = levels.copy()
    changed[model] -= 0.2
    before, after = (predict_levels(features, x, kernel=kernel).mean for x in (levels, changed))
    scale = changed.std() / levels.std()  # standardised with all
    np.testing.assert_allclose(after[model], before[model], atol=0.02 * scale)
    assert np.abs(after - before).max() > 0.03  # in those of its neighbours


def test_the_order_of_models_does_not_matter():
    features, _, losses = made_up(70)
    order = np.random.default_rng(0).permutation(70)
    before = fit_informed_levels(losses, features)
    after = fit_informed_levels(losses[order], features[order])
    for part in ("weights", "means", "variances"):
        np.testing.assert_allclose(
            getattr(after.prior, part), getattr(before.prior, part)[order], rtol=1e-3, atol=1e-4
        )


def test_units_do_not_matter():
    features, _, losses = made_up()
    before = fit_informed_levels(losses, features)
    after = fit_informed_levels(1e3 * losses - 7.0, 10.0 * features + 3.0)
    np.testing.assert_allclose(after.prior.means, 1e3 * before.prior.means - 7.0, rtol=1e-3)
    np.testing.assert_allclose(after.prior.variances, 1e6 * before.prior.variances, rtol=1e-2)


def test_informed_levels_are_nearer_to_the_truth():
    gains = []
    for seed in range(8):
        features, levels, losses = made_up(seed=seed)
        plain, informed = fit_random_levels(losses), fit_informed_levels(losses, features)
        errors = [np.square(fit.levels() - levels).mean() for fit in (plain, informed)]
        gains.append(errors[1] / errors[0])
    assert max(gains) < 1.0
    assert np.mean(gains) < 0.6


@pytest.mark.parametrize("features", ["labels", "noise", "shuffled"])
def test_hyperparameters_that_say_nothing_do_no_harm(features):
    ratios = []
    for seed in range(8):
        own, levels, losses = made_up(seed=seed)
        rng = np.random.default_rng(seed)
        useless = {
            "labels": rng.permutation(60)[:, None].astype(float),
            "noise": rng.random((60, 5)),
            "shuffled": rng.permutation(own),
        }[features]
        plain, informed = fit_random_levels(losses), fit_informed_levels(losses, useless)
        errors = [np.square(fit.levels() - levels).mean() for fit in (plain, informed)]
        ratios.append(errors[1] / errors[0])
    assert np.mean(ratios) < 1.1


def test_fewer_than_a_dozen_models_are_as_without():
    features, _, losses = made_up(11)
    plain, informed = fit_random_levels(losses), fit_informed_levels(losses, features)
    np.testing.assert_array_equal(informed.prior.means, plain.prior.means)
    assert informed.prediction is None


def test_a_model_that_beats_those_like_it_is_recognised():
    """Own losses count more and more; at no time is the prior sure."""
    features, levels, losses = made_up(n_instances=8, noise=0.1)
    model = int(np.argmax(levels))
    losses[model] = np.nanmin(losses) + np.random.default_rng(0).normal(scale=0.1, size=8) - 0.3
    fit = fit_informed_levels(losses, features)
    assert int(np.argmin(fit.levels())) == model
    assert abs(fit.levels()[model] - losses[model].mean()) < 0.15
    assert fit.prior.rule.share <= 0.9


def test_conditional_spaces_categories_and_failures():
    rng = np.random.default_rng(3)
    models = [
        {"opt": "sgd", "lr": float(lr), "momentum": float(m)}
        if sgd
        else {"opt": "adam", "lr": float(lr), "layers": (8,) * int(1 + 3 * m)}
        for sgd, lr, m in zip(
            rng.random(50) < 0.5, 10.0 ** rng.uniform(-4, 0, 50), rng.random(50), strict=True
        )
    ]
    losses = np.abs(np.log10([model["lr"] for model in models]) + 2.0)[:, None] + rng.normal(
        scale=0.1, size=(50, 2)
    )
    losses[20:, 1] = np.nan
    losses[3] = np.inf
    losses[4, 0] = np.nan
    losses[4, 1] = np.nan
    fit = fit_informed_levels(losses, encode_models(models))
    assert np.isfinite(fit.prior.means).all()
    assert np.isfinite(fit.levels()).all()
    assert fit.prior.rule.share > 0.4
    posterior = criterion_posterior(
        losses, get_criterion("q3+iqr"), 4, features=encode_models(models)
    )
    assert np.isinf(posterior.mean[3])
    assert np.isfinite(np.delete(posterior.mean, 3)).all()


def test_thousands_of_models():
    rng = np.random.default_rng(0)
    features = rng.random((7000, 5))
    levels = features @ [3.0, 2.0, 1.0, 0.0, 0.0]
    found = predict_levels(features, levels + rng.normal(size=7000))
    assert np.corrcoef(found.mean, levels)[0, 1] > 0.97


@pytest.mark.parametrize("criterion", ["mean", "q3+iqr", "std", "median"])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_kept_fit_gives_what_a_new_one_gives(criterion, fresh):
    features, _, losses = made_up()
    fit = fit_informed_levels(losses, features)
    asked = [0, 3, 30, 59]
    new, kept = (
        criterion_posterior(losses, get_criterion(criterion), 6, models=asked, fresh=fresh, **how)
        for how in ({"features": features}, {"fit": fit})
    )
    for part in ("weights", "means", "stds"):
        np.testing.assert_allclose(getattr(kept, part), getattr(new, part), rtol=1e-6)


def test_losses_since_the_fit_count():
    features, _, losses = made_up()
    fit = fit_informed_levels(losses, features)
    later = losses.copy()
    later[20, 1:] = losses[20, 0] + 5.0
    levels = updated_levels(fit, later[[20, 21]], [20, 21])
    assert levels.n[0] == 3
    assert levels.means[0] > fit.means[20] + 2.0
    assert levels.variances[0] > 2.0 * fit.variances[20]
    np.testing.assert_array_equal(levels.means[1], fit.means[21])


def test_an_updated_fit_is_near_a_new_one():
    features, _, losses = made_up(80, n_instances=6, seed=4)
    fit = fit_informed_levels(losses, features)
    more = made_up(80, n_instances=6, seed=4)[2]
    rng = np.random.default_rng(4)
    more[:10] = losses[:10]
    more[10:20, 1] = losses[10:20, 0] + 0.4 * rng.normal(size=10)
    new = fit_informed_levels(more, features)
    updated = updated_levels(fit, more)
    np.testing.assert_allclose(updated.means, new.means, atol=0.2)
    np.testing.assert_allclose(np.sqrt(updated.variances), np.sqrt(new.variances), rtol=0.35)


def test_models_that_come_later_are_predicted():
    features, levels, losses = made_up()
    fit = fit_informed_levels(losses[:50], features[:50])
    posterior = criterion_posterior(
        np.vstack([losses[:50], np.full((10, 3), np.nan)]),
        get_criterion("mean"),
        3,
        models=list(range(50, 60)),
        features=features,
        fit=fit,
    )
    assert np.corrcoef(posterior.mean, levels[50:])[0, 1] > 0.9
    unknown = criterion_posterior(
        np.full((51, 3), np.nan), get_criterion("mean"), 3, models=[50], fit=fit
    )
    np.testing.assert_allclose(unknown.mean, fit.level_mean + fit.effects.mean(), atol=1e-6)


def test_the_criterion_on_fresh_instances_is_shrunk_and_uncertain():
    rng = np.random.default_rng(0)
    levels = rng.normal(size=200)
    losses = levels[:, None] + 2.0 * rng.normal(size=(200, 4))
    trained, fresh = (
        criterion_posterior(losses, get_criterion("mean"), 4, fresh=each) for each in (False, True)
    )
    best = int(np.argmin(trained.mean))
    assert trained.std[best] == 0.0
    # Of levels and means of 4, all normal: 2²/4 of noise beside 1² of levels.
    gap = trained.mean[best] - trained.mean.mean()
    assert 0.3 * gap > fresh.mean[best] - fresh.mean.mean() > 0.8 * gap
    np.testing.assert_allclose(fresh.std[best], np.sqrt(0.5 + 1.0), rtol=0.25)


def test_bad_shapes_are_named():
    with pytest.raises(ValueError, match="must have the shapes"):
        predict_levels(np.zeros((3, 2)), np.zeros(4))
    with pytest.raises(ValueError, match="errors must have the shape"):
        predict_levels(np.zeros((3, 2)), np.zeros(3), np.zeros(2))
    features, _, losses = made_up()
    fit = fit_informed_levels(losses, features)
    with pytest.raises(ValueError, match="must be those of 1 models"):
        updated_levels(fit, losses[:2], [0])
