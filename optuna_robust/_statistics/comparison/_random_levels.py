"""Levels of many models as draws of one distribution, from an incomplete losses matrix."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._additive import AdditiveFit
from optuna_robust._statistics.comparison._additive import fit_additive
from optuna_robust._statistics.comparison._additive import usable
from optuna_robust._statistics.comparison._level_prior import level_prior
from optuna_robust._statistics.comparison._level_prior import LevelPrior
from optuna_robust._statistics.comparison._level_prior import LOG_PRIOR
from optuna_robust._statistics.comparison._level_prior import MOST_INFORMED
from optuna_robust._statistics.comparison._level_prior import normalised
from optuna_robust._statistics.comparison._level_prior import Predicted
from optuna_robust._statistics.comparison._level_prior import RATIOS
from optuna_robust._statistics.comparison._level_prior import shrunk
from optuna_robust._statistics.comparison._noise import moderated
from optuna_robust._statistics.comparison._noise import moderated_with
from optuna_robust._statistics.comparison._noise import roughly_moderated
from optuna_robust._statistics.comparison._prediction import LevelKernel
from optuna_robust._statistics.comparison._prediction import LevelPrediction
from optuna_robust._statistics.comparison._prediction import predict_levels
from optuna_robust._statistics.comparison._variance_trend import fit_variance_trend
from optuna_robust._statistics.comparison._variance_trend import VarianceTrend


# Makes the median absolute deviation estimate the standard deviation of a normal distribution.
_MAD_SCALE = 1.4826
# Models so many standard deviations worse than the median say nothing on the good ones.
_DIVERGED = 4.0
# Levels, effects and their variances depend on each other.
_N_ITERATIONS = 4


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
        return shrunk(self.prior, self.means, self.variances / np.maximum(self.n, 1))


def fit_random_levels(
    losses: npt.ArrayLike,
    *,
    common_instances: bool = True,
    prediction: LevelPrediction | None = None,
    most_informed: float = MOST_INFORMED,
) -> RandomLevels:
    """Fit levels, effects of instances and noise, whichever models were trained more.

    A race gives more instances to models whose first losses were good. Their next losses are
    worse on the whole, which :func:`fit_additive`, with fixed levels, takes for an effect of the
    next instances. With random levels all that decided on who was trained is in the likelihood,
    so that it may be ignored (Rubin 1976). Effects are random, too: an instance that one model
    has says next to nothing on what it does to others.

    Effects solve the mixed model equations (Henderson 1975) with the levels eliminated;
    variances of levels and effects are posterior means for half-Cauchy priors of the standard
    deviations, scaled by the noise (Gelman 2006); those of the noise are moderated
    (:func:`moderate_variances` with ``robust`` and ``keep_order``). The distribution of levels is
    fitted to the better half of the models: bad and diverged ones say nothing on how the good
    ones differ, which are to be told apart.

    Args:
        losses:
            Losses to be minimised, shape ``(n_models, n_instances)``; NaN = not trained. Infinite
            losses are as if not trained. They must tell the noise, see ``tells_noise``.
        common_instances:
            Whether instance j is the same for all models. If not, effects are 0.
        prediction:
            What the other models' losses say of every model's level
            (:func:`~optuna_robust.comparison.predict_levels`). Every level is then drawn from a
            mixture of a normal distribution around it and of the one that all models share; how
            much it counts is fitted, too. :func:`fit_informed_levels` does it all.
        most_informed:
            Weight of predictions that inform, in (0, 1); the rest is for models that are unlike
            all that resemble them. The smaller, the safer is the best model if it is one.

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
    predicted = Predicted(prediction, plain.effects, most_informed)
    return _fit(matrix, start, common_instances=common_instances, predicted=predicted)


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
    predicted: Predicted | None = None,
) -> RandomLevels:
    """Return the fit, which begins with fixed levels of the models that have two losses."""
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
        variances = roughly_moderated(s2, df)
        for _ in range(_N_ITERATIONS):
            mean_errors = variances / np.maximum(n, 1)
            level_means, level_variances = level_prior(predicted, means, mean_errors)[0].moments(
                means, mean_errors
            )
            effects, errors, instance_variance = _fit_effects(
                known - level_means[:, None],
                finite,
                variances,
                level_variances,
                _not_diverged(means),
            )
            if predicted is not None:
                # Predictions say how models differ; where all of them lie, is as without.
                weights = finite.sum(axis=0) / finite.sum()
                effects += float(weights @ np.nan_to_num(predicted.effects - effects))
            means = _means(known, finite, effects)
        squares = np.where(finite, known - effects - means[:, None], 0.0) ** 2
        np.divide(squares.sum(axis=1), df, out=s2, where=df > 0.0)
    pooled = moderated(s2, df)
    # By the pool: the level of a model with a variance of its own is not drawn to the others.
    rough = pooled.prior_variances / np.maximum(n, 1)
    levels = shrunk(level_prior(predicted, means, rough)[0], means, rough)
    trend = fit_variance_trend(levels, rough, s2, df)
    noise = pooled if trend.slope == 0.0 else moderated_with(trend, predicted, means, (s2, df), n)
    prior, level_mean, level_variance = level_prior(
        predicted, means, noise.variances / np.maximum(n, 1)
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
        None if predicted is None else predicted.prediction,
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
    most_informed: float = MOST_INFORMED,
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
        most_informed:
            As for :func:`fit_random_levels`.

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
    predicted = Predicted(prediction, plain.effects, most_informed)
    return _fit(matrix, start, common_instances=common_instances, predicted=predicted)


def tells_noise(losses: FloatArray, *, common_instances: bool = True) -> bool:
    """Return True if losses of shape ``(n_models, n_instances)`` say anything on the noise.

    With common instances, two losses of one model may differ by the instances' effects.
    """
    finite = usable(losses).astype(np.float64)
    if not common_instances:
        return bool((finite.sum(axis=1) >= 2.0).any())
    shared = finite.T @ finite
    np.fill_diagonal(shared, 0.0)
    return bool(shared.max(initial=0.0) >= 2.0)


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
    has_loss = finite.any(axis=1)
    there = finite[has_loss].astype(np.float64)
    values = np.where(finite[has_loss], centred[has_loss], 0.0)
    variance = np.maximum(variances[has_loss], 1e-300)
    n = there.sum(axis=1)
    level_share = level_variances[has_loss] / (level_variances[has_loss] + variance / n)
    level_share[~usual[has_loss]] = 1.0
    # Henderson (1975), the mixed model equations without the levels.
    weighted = there / variance[:, None]
    shared = there * (level_share / n)[:, None]
    information = np.diag(weighted.sum(axis=0)) - weighted.T @ shared
    right = (weighted * values).sum(axis=0) - shared.T @ (values.sum(axis=1) / variance)
    eigenvalues, vectors = np.linalg.eigh(information)
    eigenvalues = np.maximum(eigenvalues, 0.0)
    rotated = vectors.T @ right
    among = RATIOS[:, None] ** 2 * float(np.median(variance))
    shrunk = among / (1.0 + among * eigenvalues)
    # Marginal likelihood of the variance among instances, up to a constant (Patterson & Thompson
    # 1971), in the coordinates in which effects are independent.
    log_likelihood = 0.5 * (rotated**2 * shrunk - np.log1p(among * eigenvalues)).sum(axis=1)
    share = normalised(log_likelihood + LOG_PRIOR)
    covariance = share @ shrunk
    return (
        vectors @ (covariance * rotated),
        vectors**2 @ covariance,
        float(share @ among[:, 0]),
    )
