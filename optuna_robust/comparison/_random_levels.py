"""Levels of many models as draws of one distribution, from an incomplete losses matrix."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from optuna_robust.comparison._additive import AdditiveFit
from optuna_robust.comparison._additive import fit_additive
from optuna_robust.comparison._additive import usable
from optuna_robust.comparison._level_prior import informed_prior
from optuna_robust.comparison._level_prior import LevelPrior
from optuna_robust.comparison._level_prior import plain_prior
from optuna_robust.comparison._moderation import moderate_variances
from optuna_robust.comparison._prediction import LevelKernel
from optuna_robust.comparison._prediction import LevelPrediction
from optuna_robust.comparison._prediction import predict_levels
from optuna_robust.comparison._variance_trend import fit_variance_trend
from optuna_robust.comparison._variance_trend import VarianceTrend
from optuna_robust.criteria import FloatArray


# Makes the median absolute deviation estimate the standard deviation of a normal distribution.
_MAD_SCALE = 1.4826
# Models so many standard deviations worse than the median say nothing on the good ones.
_DIVERGED = 4.0
# Levels, effects and their variances depend on each other.
_N_ITERATIONS = 4
_ROUGH_DF = 4.0
_N_TREND_ITERATIONS = 3
# Standard deviations that are tried, relative to that of the noise.
_RATIOS = np.concatenate([[0.0], np.geomspace(0.03, 100.0, 40)])
# Half-Cauchy (Gelman 2006), so that neither 0 nor infinity takes it all where little is known.
_LOG_PRIOR = np.log(np.gradient(_RATIOS)) - np.log1p(_RATIOS**2)


@dataclass(frozen=True)
class RandomLevels:
    """A model of losses: ``loss[i, j] = level[i] + effect[j] + noise[i, j]``, all normal.

    Attributes:
        level_mean: Mean of the models' levels (their median).
        level_variance: Variance of the models' levels, as the better half of them tells it.
        effects: What instance j adds to every model's loss, shape ``(n_instances,)``; NaN where
            no model has a finite loss. All are 0 without common instances.
        effects_variance: Variance of the errors of ``effects``, shape ``(n_instances,)``.
        instance_variance: Variance of the effects among instances.
        means: Mean of every model's finite losses less their effects, shape ``(n_models,)``; NaN
            without one.
        n: Number of finite losses, shape ``(n_models,)``.
        variances: Moderated variance of every model's noise, shape ``(n_models,)``.
        df: Degrees of freedom of ``variances``, shape ``(n_models,)``.
        prior: Of every model's level, before its own losses.
        prediction: What the other models' losses say of every model's level; None if nothing was
            predicted.
        prior_variances: What variances are moderated to, shape ``(n_models,)``.
        prior_df: Degrees of freedom that this is worth, same shape; may be infinite.
        trend: How ``prior_variances`` depend on levels.
    """

    level_mean: float
    level_variance: float
    effects: FloatArray
    effects_variance: FloatArray
    instance_variance: float
    means: FloatArray
    n: npt.NDArray[np.intp]
    variances: FloatArray
    df: FloatArray
    prior: LevelPrior
    prediction: LevelPrediction | None
    prior_variances: FloatArray
    prior_df: FloatArray
    trend: VarianceTrend

    def of(self, models: npt.NDArray[np.intp]) -> RandomLevels:
        """Return the fit with some of the models only."""
        return replace(
            self,
            means=self.means[models],
            n=self.n[models],
            variances=self.variances[models],
            df=self.df[models],
            prior=self.prior.of(models),
            prior_variances=self.prior_variances[models],
            prior_df=self.prior_df[models],
        )

    def levels(self) -> FloatArray:
        """Return expected levels given the models' own losses too, shape ``(n_models,)``."""
        return _shrunk(self.prior, self.means, self.variances / np.maximum(self.n, 1))


def fit_random_levels(
    losses: npt.ArrayLike,
    *,
    common_instances: bool = True,
    prediction: LevelPrediction | None = None,
) -> RandomLevels:
    """Fit levels, effects of instances and noise, whichever models were trained more.

    A race gives more instances to models whose first losses were good. Their next losses are
    worse on the whole, which :func:`fit_additive`, with fixed levels, takes for an effect of the
    next instances. With random levels all that decided on who was trained is in the likelihood,
    so that it may be ignored (Rubin 1976). Effects are random, too: an instance that one model
    has says next to nothing on what it does to others.

    Effects solve the mixed model equations (Henderson 1975, eq. 3) with the levels eliminated;
    variances of levels and effects are posterior means for half-Cauchy priors of the standard
    deviations, scaled by the noise (Gelman 2006, section 3.2); those of the noise are moderated
    (:func:`moderate_variances` with ``robust`` and ``keep_order``). The distribution of levels is
    fitted to the better half of the models: bad and diverged ones say nothing on how the good
    ones differ, which are to be told apart.

    Args:
        losses:
            Losses to be minimised, shape ``(n_models, n_instances)``; NaN = not trained. Infinite
            losses are as if not trained. They must tell the noise, see :func:`tells_noise`.
        common_instances:
            Whether instance j is the same for all models. If not, effects are 0.
        prediction:
            What the other models' losses say of every model's level
            (:func:`~optuna_robust.comparison.predict_levels`). Every level is then drawn from a
            mixture of a normal distribution around it and of the one that all models share; how
            much it counts is fitted, too. :func:`fit_informed_levels` does it all.

    Returns:
        The fit.

    Raises:
        ValueError: If the losses do not have two dimensions, or do not tell the noise.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.comparison import fit_random_levels
        >>> losses = np.full((6, 3), np.nan)
        >>> losses[:, 0] = [0.1, 0.3, 0.4, 0.5, 0.7, 9.0]
        >>> losses[:3, 1] = [0.4, 0.2, 0.5]
        >>> fit = fit_random_levels(losses)
        >>> round(fit.level_mean, 1), round(fit.level_variance**0.5, 1)
        (0.5, 0.2)
    """
    matrix, start = _started(losses, common_instances=common_instances)
    plain = _fit(matrix, start, common_instances=common_instances)
    if prediction is None:
        return plain
    return _fit(
        matrix, start, common_instances=common_instances, prediction=prediction, plain=plain
    )


def _started(losses: npt.ArrayLike, *, common_instances: bool) -> tuple[FloatArray, AdditiveFit]:
    """Return the losses, and the fit with fixed levels of models that have two; checks them."""
    matrix = np.asarray(losses, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(
            f"losses must have the shape (n_models, n_instances), but had {matrix.shape}."
        )
    finite = usable(matrix)
    several = np.count_nonzero(finite, axis=1) >= 2
    if not tells_noise(matrix, common_instances=common_instances):
        raise ValueError(
            "losses must tell the noise: with common instances two models with two finite losses "
            "of the same instances, else a model with two."
        )
    start = fit_additive(
        np.where(finite, matrix, np.nan)[several], common_instances=common_instances
    )
    return matrix, start


def _fit(
    matrix: FloatArray,
    start: AdditiveFit,
    *,
    common_instances: bool,
    prediction: LevelPrediction | None = None,
    plain: RandomLevels | None = None,
) -> RandomLevels:
    """Return the fit, which begins with fixed levels of the models that have two losses.

    With a prediction, ``plain`` is the fit without.
    """
    finite = usable(matrix)
    n = np.count_nonzero(finite, axis=1)
    several = n >= 2
    known = np.where(finite, matrix, 0.0)
    s2, df = np.full(len(matrix), np.nan), np.zeros(len(matrix))
    s2[several], df[several] = start.s2, start.df
    effects = np.zeros(matrix.shape[1])
    errors = np.zeros(matrix.shape[1])
    instance_variance = 0.0
    means = _means(known, finite, effects)
    if common_instances and np.count_nonzero(finite.any(axis=0)) > 1:
        variances = _roughly_moderated(s2, df)
        for _ in range(_N_ITERATIONS):
            mean_errors = variances / np.maximum(n, 1)
            level_means, level_variances = _prior(prediction, means, mean_errors)[0].moments(
                means, mean_errors
            )
            effects, errors, instance_variance = _fit_effects(
                known - level_means[:, None],
                finite,
                variances,
                level_variances,
                _not_diverged(means),
            )
            if plain is not None:
                # Predictions say how models differ; where all of them lie, is as without.
                weights = finite.sum(axis=0) / finite.sum()
                effects += float(weights @ np.nan_to_num(plain.effects - effects))
            means = _means(known, finite, effects)
        squares = np.where(finite, known - effects - means[:, None], 0.0) ** 2
        np.divide(squares.sum(axis=1), df, out=s2, where=df > 0.0)
    pooled = _moderated(s2, df)
    # By the pool: the level of a model with a variance of its own is not drawn to the others.
    rough = pooled.prior_variances / np.maximum(n, 1)
    levels = _shrunk(_prior(prediction, means, rough)[0], means, rough)
    trend = fit_variance_trend(levels, rough, s2, df)
    noise = (
        pooled if trend.slope == 0.0 else _moderated_with(trend, prediction, means, (s2, df), n)
    )
    prior, level_mean, level_variance = _prior(
        prediction, means, noise.variances / np.maximum(n, 1)
    )
    effects[~finite.any(axis=0)] = np.nan
    return RandomLevels(
        level_mean,
        level_variance,
        effects,
        errors,
        instance_variance,
        means,
        n,
        noise.variances,
        noise.df,
        prior,
        prediction,
        noise.prior_variances,
        noise.prior_df,
        trend,
    )


def fit_informed_levels(
    losses: npt.ArrayLike,
    features: npt.ArrayLike,
    *,
    common_instances: bool = True,
    kernel: LevelKernel | None = None,
) -> RandomLevels:
    """Fit random levels that are shrunk to what the models' hyperparameters say.

    Args:
        losses:
            As for :func:`fit_random_levels`.
        features:
            Of the hyperparameters, shape ``(n_models, n_features)``; see
            :func:`~optuna_robust.comparison.encode_models`.
        common_instances:
            As for :func:`fit_random_levels`.
        kernel:
            That of an earlier fit, which saves the time to fit it.

    Returns:
        The fit. Where hyperparameters say nothing, or of too few models, it is nearly or exactly
        that of :func:`fit_random_levels`.

    Raises:
        ValueError: If shapes do not fit, or losses do not tell the noise.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.comparison import fit_informed_levels
        >>> x = np.linspace(0.0, 1.0, 30)
        >>> losses = x[:, None] + 0.1 * np.random.default_rng(0).normal(size=(30, 2))
        >>> fit = fit_informed_levels(losses, x[:, None])
        >>> fit.prior.means[[0, 15, 29], 0].round(1)
        array([0.1, 0.5, 1. ])
    """
    matrix, start = _started(losses, common_instances=common_instances)
    plain = _fit(matrix, start, common_instances=common_instances)
    means, errors = plain.means, plain.variances / np.maximum(plain.n, 1)
    fails = np.isnan(means) & ~np.isnan(matrix).all(axis=1)
    prediction = predict_levels(
        features, np.where(fails, np.inf, means), np.where(fails, 0.0, errors), kernel=kernel
    )
    if prediction.kernel is None:
        return plain
    return _fit(
        matrix, start, common_instances=common_instances, prediction=prediction, plain=plain
    )


def tells_noise(losses: FloatArray, *, common_instances: bool = True) -> bool:
    """Tell whether losses of shape ``(n_models, n_instances)`` say anything on the noise.

    With common instances, two losses of one model may differ by the instances' effects.
    """
    finite = usable(losses).astype(np.float64)
    if not common_instances:
        return bool((finite.sum(axis=1) >= 2.0).any())
    shared = finite.T @ finite
    np.fill_diagonal(shared, 0.0)
    return bool(shared.max(initial=0.0) >= 2.0)


def _roughly_moderated(s2: FloatArray, df: FloatArray) -> FloatArray:
    """Return variances drawn to a typical one, as if that were worth a few degrees of freedom.

    As for noise with a t distribution (Lange, Little & Taylor 1989); the typical variance is the
    median, by that of a chi-squared distribution (Wilson & Hilferty 1931).
    """
    there = df > 0.0
    if not (s2[there] > 0.0).any():
        return np.ones(len(s2))
    medians = s2[there] / (1.0 - 2.0 / (9.0 * np.maximum(df[there], 0.5))) ** 3
    typical = float(np.median(medians)) or float(np.median(medians[medians > 0.0]))
    return moderate_variances(s2, df, prior_variance=typical, prior_df=_ROUGH_DF).posterior


@dataclass(frozen=True)
class _Noise:
    variances: FloatArray
    df: FloatArray
    prior_variances: FloatArray
    prior_df: FloatArray


def _moderated(s2: FloatArray, df: FloatArray) -> _Noise:
    """Return variances and their degrees of freedom for all models, those without one too."""
    moderated = moderate_variances(s2, df, robust=True, keep_order=True)
    if moderated.prior_df > 0.0:
        # Of a model without a variance: the same for all.
        prior_df = np.where(df > 0.0, moderated.own_prior_df, moderated.prior_df)
        return _Noise(
            moderated.posterior,
            moderated.total_df,
            np.full(len(s2), moderated.prior_variance),
            np.minimum(prior_df, moderated.pooled_df),
        )
    there = df > 0.0  # one variance, or all are 0
    pooled = float(np.average(s2[there], weights=df[there])) if there.any() else 0.0
    pooled_df = max(moderated.pooled_df, 1.0)
    alike, all_df = np.full(len(s2), pooled), np.full(len(s2), pooled_df)
    return _Noise(alike, all_df, alike, all_df)


def _moderated_with(
    trend: VarianceTrend,
    prediction: LevelPrediction | None,
    means: FloatArray,
    own: tuple[FloatArray, FloatArray],
    n: npt.NDArray[np.intp],
) -> _Noise:
    """Return variances moderated to a trend on the level (Sartor et al. 2006)."""
    s2, df = own
    factor = np.ones(len(means))
    for _ in range(_N_TREND_ITERATIONS):  # the noisier a model, the less is known of its level
        flat = _moderated(s2 / factor, df)
        errors = factor * flat.prior_variances / np.maximum(n, 1)
        factor = trend.factor(_shrunk(_prior(prediction, means, errors)[0], means, errors))
    flat = _moderated(s2 / factor, df)
    return _Noise(factor * flat.variances, flat.df, factor * flat.prior_variances, flat.prior_df)


def _shrunk(prior: LevelPrior, means: FloatArray, errors: FloatArray) -> FloatArray:
    """Return expected levels."""
    middle, spread = prior.moments(means, errors)
    share = np.divide(spread, spread + errors, out=np.zeros(len(means)), where=spread > 0.0)
    return np.where(np.isnan(means), middle, middle + share * (means - middle))


def _prior(
    prediction: LevelPrediction | None, means: FloatArray, errors: FloatArray
) -> tuple[LevelPrior, float, float]:
    """Return the prior of the levels, and mean and variance that all models share."""
    mean, variance = _fit_levels(means, errors)
    if prediction is None:
        return plain_prior(len(means), mean, variance), mean, variance
    return informed_prior(prediction, means, errors, mean, variance), mean, variance


def _means(known: FloatArray, finite: npt.NDArray[np.bool_], effects: FloatArray) -> FloatArray:
    n = np.count_nonzero(finite, axis=1)
    sums = np.where(finite, known - effects, 0.0).sum(axis=1)
    means = np.full(len(known), np.nan)
    np.divide(sums, n, out=means, where=n > 0)
    return means


def _not_diverged(levels: FloatArray) -> npt.NDArray[np.bool_]:
    middle = float(np.nanmedian(levels))
    spread = _MAD_SCALE * float(np.nanmedian(np.abs(levels - middle)))
    return np.asarray(levels <= middle + _DIVERGED * spread)


def _fit_levels(means: FloatArray, errors: FloatArray) -> tuple[float, float]:
    """Return mean and variance of the levels, whose estimates have the errors' variances.

    The mean is the median of the estimates, and the variance that of a normal distribution whose
    lower half fits the better half of them.
    """
    there = np.isfinite(means)
    centre = float(np.median(means[there]))
    better = there & (means <= centre)
    # Few numbers of instances make few different errors.
    variance, which = np.unique(errors[better], return_inverse=True)
    squares = np.bincount(which, (means[better] - centre) ** 2)
    between = _RATIOS**2 * (float(np.median(errors[there])) or 1.0)
    weights = 1.0 / np.maximum(between[:, None] + variance, 1e-300)
    log_likelihood = 0.5 * (np.log(weights) @ np.bincount(which) - weights @ squares)
    share = _normalised(log_likelihood + _LOG_PRIOR)
    return centre, float(share @ between)


def _fit_effects(
    centred: FloatArray,
    finite: npt.NDArray[np.bool_],
    variances: FloatArray,
    level_variances: FloatArray,
    usual: npt.NDArray[np.bool_],
) -> tuple[FloatArray, FloatArray, float]:
    """Return effects, the variances of their errors, and the variance among instances.

    A model's losses less the mean level have the inverse covariance ``(identity - share * mean) /
    variance``, where the share is ``level_variance / (level_variance + variance / n)``. That of a
    diverged model is 1, as if its level were fixed.
    """
    told = finite.any(axis=1)
    there = finite[told].astype(np.float64)
    values = np.where(finite[told], centred[told], 0.0)
    variance = np.maximum(variances[told], 1e-300)
    n = there.sum(axis=1)
    level_share = level_variances[told] / (level_variances[told] + variance / n)
    level_share[~usual[told]] = 1.0
    weighted = there / variance[:, None]
    shared = there * (level_share / n)[:, None]
    information = np.diag(weighted.sum(axis=0)) - weighted.T @ shared
    right = (weighted * values).sum(axis=0) - shared.T @ (values.sum(axis=1) / variance)
    eigenvalues, vectors = np.linalg.eigh(information)
    eigenvalues = np.maximum(eigenvalues, 0.0)
    rotated = vectors.T @ right
    among = _RATIOS[:, None] ** 2 * float(np.median(variance))
    shrunk = among / (1.0 + among * eigenvalues)
    log_likelihood = 0.5 * (rotated**2 * shrunk - np.log1p(among * eigenvalues)).sum(axis=1)
    share = _normalised(log_likelihood + _LOG_PRIOR)
    covariance = share @ shrunk
    return (
        vectors @ (covariance * rotated),
        vectors**2 @ covariance,
        float(share @ among[:, 0]),
    )


def _normalised(log_weights: FloatArray) -> FloatArray:
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())
