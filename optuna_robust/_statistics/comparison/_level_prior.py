"""Prior of every model's level: what its hyperparameters say, if they say anything, or anyhow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._prediction import FEWEST_MODELS
from optuna_robust._statistics.comparison._prediction import LevelPrediction


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
# Standard deviations that are tried, relative to that of the noise.
RATIOS = np.concatenate([[0.0], np.geomspace(0.03, 100.0, 40)])
# Half-Cauchy (Gelman 2006), so that neither 0 nor infinity takes it all where little is known.
LOG_PRIOR = np.log(np.gradient(RATIOS)) - np.log1p(RATIOS**2)
# Models that are unlike all that resemble them exist.
MOST_INFORMED = 0.9


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
    plain: tuple[float, float],
    *,
    most_informed: float,
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
        plain:
            Mean and variance of the plain prior.
        most_informed:
            Pi, if hyperparameters inform; with a probability that is fitted, too, they do not.
    """
    plain_mean, plain_variance = plain
    uninformed = plain_prior(len(means), plain_mean, plain_variance)
    # They inform, or they do not.
    shares = np.array([0.0, most_informed])
    with np.errstate(divide="ignore"):
        log_shares, log_others = np.log(shares), np.log1p(-shares)
    usable = np.isfinite(prediction.mean) & np.isfinite(prediction.std) & (prediction.std > 0.0)
    judged = usable & np.isfinite(means)
    if np.count_nonzero(judged) < FEWEST_MODELS or not plain_variance > 0.0:
        return uninformed
    # Diverged models say nothing on the good ones.
    limit = plain_mean + _DIVERGED * np.sqrt(plain_variance + errors)
    judged[judged] = means[judged] <= limit[judged]
    if np.count_nonzero(judged) < FEWEST_MODELS:
        return uninformed
    judged &= prediction.mean <= np.median(prediction.mean[judged])
    x, y, error = prediction.mean[judged], means[judged], errors[judged]
    variance = prediction.std[judged] ** 2
    plain_log = _log_normal(y - plain_mean, plain_variance + error)
    share, scale2, a, b = 0.5 * most_informed, 1.0, 0.0, 1.0
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
            return uninformed
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
        log_ratio = _log_normal(y - a - b * x, spread) - plain_log
        log_mixed = np.logaddexp(log_others[:, None, None], log_shares[:, None, None] + log_ratio)
        log_posterior = log_mixed.sum(axis=2)
        log_posterior = log_posterior - 0.5 * (np.log(_SCALES) / _SCALE_STD) ** 2
        density = np.exp(log_posterior - log_posterior.max())
        density /= density.sum()
        share = float(density.sum(axis=1) @ shares)
        scale2 = float(density.sum(axis=0) @ _SCALES**2)
    rule = PriorRule(plain_mean, plain_variance, share, a, b, float(np.sqrt(scale2)))
    return rule.prior(prediction)


@dataclass(frozen=True)
class Predicted:
    """What hyperparameters say: predictions, how they may weigh, effects without them."""

    prediction: LevelPrediction
    effects: FloatArray
    most_informed: float


def level_prior(
    predicted: Predicted | None, means: FloatArray, errors: FloatArray
) -> tuple[LevelPrior, float, float]:
    """Return the prior of the levels, and mean and variance that all models share."""
    mean, variance = fit_common_levels(means, errors)
    if predicted is None:
        return plain_prior(len(means), mean, variance), mean, variance
    prior = informed_prior(
        predicted.prediction,
        means,
        errors,
        (mean, variance),
        most_informed=predicted.most_informed,
    )
    return prior, mean, variance


def shrunk(prior: LevelPrior, means: FloatArray, errors: FloatArray) -> FloatArray:
    """Return expected levels."""
    middle, spread = prior.moments(means, errors)
    # The posterior mean of a normal level with a normal prior (Lindley & Smith 1972).
    share = np.divide(spread, spread + errors, out=np.zeros(len(means)), where=spread > 0.0)
    return np.where(np.isnan(means), middle, middle + share * (means - middle))


def fit_common_levels(means: FloatArray, errors: FloatArray) -> tuple[float, float]:
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
    between = RATIOS**2 * (float(np.median(errors[there])) or 1.0)
    weights = 1.0 / np.maximum(between[:, None] + variance, 1e-300)
    log_likelihood = 0.5 * (np.log(weights) @ np.bincount(which) - weights @ squares)
    share = normalised(log_likelihood + LOG_PRIOR)
    return centre, float(share @ between)


def normalised(log_weights: FloatArray) -> FloatArray:
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())


def _log_normal(gap: FloatArray, variance: FloatArray) -> FloatArray:
    variance = np.maximum(variance, 1e-300)
    return np.asarray(-0.5 * (np.log(variance) + gap**2 / variance))


def _responsibilities(weights: FloatArray, gap: FloatArray, variance: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights) + _log_normal(gap, variance)
    found = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))
