"""Prior of every model's level: what its hyperparameters say, if they say anything, or anyhow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optuna_robust.comparison._prediction import FEWEST_MODELS
from optuna_robust.comparison._prediction import LevelPrediction
from optuna_robust.criteria import FloatArray


# Greatest weight of what hyperparameters say: models that beat all that are like them exist.
_MOST_INFORMED = 0.9
# They inform, or they do not.
_SHARES = np.array([0.0, _MOST_INFORMED])
# Standard deviations that are tried, relative to those of the predictions.
_SCALES = np.geomspace(0.2, 4.0, 16)
# Log-normal prior of the scale, and normal one of the slope, both around 1. The intercept is 0
# for predictions without bias; in units of their standard deviation.
_SCALE_STD = 0.25
_SLOPE_STD = 0.25
_INTERCEPT_STD = 0.1
_N_ITERATIONS = 3
# Models so many standard deviations worse than the mean of all have diverged.
_DIVERGED = 4.0


@dataclass(frozen=True)
class PriorRule:
    """How a prior follows from a prediction.

    Attributes:
        mean: Of the plain prior, which all models share.
        variance: Of the plain prior.
        share: Weight of what is predicted; 0: predictions do not count.
        intercept: Of the level on the prediction.
        slope: Of the level on the prediction.
        scale: What the prediction's standard deviation is multiplied with.
    """

    mean: float
    variance: float
    share: float = 0.0
    intercept: float = 0.0
    slope: float = 1.0
    scale: float = 1.0

    def prior(self, prediction: LevelPrediction) -> LevelPrior:
        """Return the prior of models of which this is predicted."""
        with np.errstate(invalid="ignore"):
            usable = np.isfinite(prediction.mean) & np.isfinite(prediction.std)
            usable &= prediction.std > 0.0
            means = self.intercept + self.slope * prediction.mean
            variances = (self.scale * prediction.std) ** 2
        share = np.where(usable, self.share, 0.0)
        n_models = len(share)
        return LevelPrior(
            np.column_stack([share, 1.0 - share]),
            np.column_stack([np.where(usable, means, self.mean), np.full(n_models, self.mean)]),
            np.column_stack(
                [np.where(usable, variances, self.variance), np.full(n_models, self.variance)]
            ),
            self,
        )


@dataclass(frozen=True)
class LevelPrior:
    """A mixture of normals for every model's level.

    Attributes:
        weights: Shape ``(n_models, n_components)``; they sum to 1.
        means: Same shape.
        variances: Same shape.
        rule: How they follow from predictions.
    """

    weights: FloatArray
    means: FloatArray
    variances: FloatArray
    rule: PriorRule

    def of(self, models: npt.NDArray[np.intp]) -> LevelPrior:
        """Return the priors of some of the models."""
        return LevelPrior(
            self.weights[models], self.means[models], self.variances[models], self.rule
        )

    def of_new(self, n_models: int, prediction: LevelPrediction | None) -> LevelPrior:
        """Return the priors of models that came later, with as many components."""
        if self.weights.shape[1] == 1:
            return plain_prior(n_models, self.rule.mean, self.rule.variance)
        if prediction is None:
            unknown = np.full(n_models, np.nan)
            prediction = LevelPrediction(unknown, unknown, None)
        return self.rule.prior(prediction)

    def moments(self, means: FloatArray, errors: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return means and variances of normal priors that stand for the mixtures.

        Components weigh as much as they are likely for the models' mean losses, which have the
        errors' variances; NaN = no loss.
        """
        if self.weights.shape[1] == 1:
            return self.means[:, 0], self.variances[:, 0]
        weights = self.weights
        known = np.isfinite(means)
        weights = np.where(
            known[:, None],
            _responsibilities(
                self.weights,
                np.where(known, means, 0.0)[:, None] - self.means,
                self.variances + errors[:, None],
            ),
            weights,
        )
        middle = (weights * self.means).sum(axis=1)
        spread = weights * (self.variances + (self.means - middle[:, None]) ** 2)
        return middle, spread.sum(axis=1)


def plain_prior(n_models: int, mean: float, variance: float) -> LevelPrior:
    """Return the prior in which all models' levels are draws of one normal distribution."""
    shape = (n_models, 1)
    return LevelPrior(
        np.ones(shape),
        np.full(shape, mean),
        np.full(shape, variance),
        PriorRule(mean, variance),
    )


def informed_prior(
    prediction: LevelPrediction,
    means: FloatArray,
    errors: FloatArray,
    plain_mean: float,
    plain_variance: float,
) -> LevelPrior:
    """Return mixtures of what predictions say and of the plain prior.

    With the probability pi a level is normal around ``a + b * prediction`` with the standard
    deviation of the prediction times c, else it is drawn from the plain prior. The four
    parameters are fitted to the mean losses of the better half of the models, by the
    predictions, in which a model's own losses have no part: so nothing is chosen for being lucky.
    Where predictions say nothing pi is small.

    Args:
        prediction:
            Of every model's level, from the losses of the others.
        means:
            Every model's mean loss; NaN without one.
        errors:
            Variances of ``means`` around the levels.
        plain_mean:
            Of the plain prior.
        plain_variance:
            Of the plain prior.
    """
    plain = plain_prior(len(means), plain_mean, plain_variance)
    usable = np.isfinite(prediction.mean) & np.isfinite(prediction.std) & (prediction.std > 0.0)
    judged = usable & np.isfinite(means)
    if np.count_nonzero(judged) < FEWEST_MODELS or not plain_variance > 0.0:
        return plain
    # Diverged models say nothing on the good ones.
    limit = plain_mean + _DIVERGED * np.sqrt(plain_variance + errors)
    judged[judged] = means[judged] <= limit[judged]
    if np.count_nonzero(judged) < FEWEST_MODELS:
        return plain
    judged &= prediction.mean <= np.median(prediction.mean[judged])
    x, y, error = prediction.mean[judged], means[judged], errors[judged]
    variance = prediction.std[judged] ** 2
    plain_log = _log_normal(y - plain_mean, plain_variance + error)
    share, scale2, a, b = 0.5, 1.0, 0.0, 1.0
    for _ in range(_N_ITERATIONS):
        # Weighted least squares with the responsibilities of the mixture (Dempster, Laird &
        # Rubin 1977), drawn to the prediction as it is.
        informed_log = _log_normal(y - a - b * x, scale2 * variance + error)
        with np.errstate(divide="ignore"):
            odds = np.log(share) + informed_log - np.log1p(-share) - plain_log
        weights = 1.0 / (1.0 + np.exp(-np.clip(odds, -500.0, 500.0)))
        weights = weights / (scale2 * variance + error)
        total = float(weights.sum())
        if not total > 0.0:
            return plain
        centre = float(weights @ x) / total
        gap = 1.0 / (_INTERCEPT_STD**2 * float(np.median(variance)))
        rise = 1.0 / _SLOPE_STD**2
        middle = (float(weights @ y) + gap * centre) / (total + gap)
        b = (float(weights @ ((x - centre) * (y - middle))) + rise) / (
            float(weights @ (x - centre) ** 2) + rise
        )
        a = middle - b * centre
        # Share and scale: posterior means on a grid.
        spread = _SCALES[:, None] ** 2 * variance + error
        informed = np.exp(_log_normal(y - a - b * x, spread) - plain_log)
        mixed = 1.0 - _SHARES[:, None, None] + _SHARES[:, None, None] * informed
        log_posterior = np.log(np.maximum(mixed, 1e-300)).sum(axis=2)
        log_posterior = log_posterior - 0.5 * (np.log(_SCALES) / _SCALE_STD) ** 2
        density = np.exp(log_posterior - log_posterior.max())
        density /= density.sum()
        share = float(density.sum(axis=1) @ _SHARES)
        scale2 = float(density.sum(axis=0) @ _SCALES**2)
    rule = PriorRule(plain_mean, plain_variance, share, a, b, float(np.sqrt(scale2)))
    return rule.prior(prediction)


def _log_normal(gap: FloatArray, variance: FloatArray) -> FloatArray:
    variance = np.maximum(variance, 1e-300)
    return np.asarray(-0.5 * (np.log(variance) + gap**2 / variance))


def _responsibilities(weights: FloatArray, gap: FloatArray, variance: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights) + _log_normal(gap, variance)
    found = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))
