"""Noise that grows (or falls) with the level: a trend that variances are freed of."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np

from optuna_robust._base.arrays import FloatArray


# Fewer variances tell no trend; more are thinned out, evenly over the levels.
_FEWEST_VARIANCES = 8
_MOST_VARIANCES = 256
# Of the scaled F distribution of variances around the trend: heavy tails.
_PRIOR_DF = 4.0
_SLOPES = np.linspace(-3.0, 3.0, 25)
_SLOPE_STD = 1.0
# Below this posterior probability there is no trend at all.
_LEAST_PROBABILITY = 0.99
_N_INTERCEPTS = 17
# Models so many times the spread of the better half worse than the median have diverged.
_DIVERGED = 4.0


@dataclass(frozen=True)
class VarianceTrend:
    """``log variance = constant + slope * asinh((level - best) / scale)``.

    Attributes:
        slope: 0 = none.
        best: The best level.
        scale: Of the levels.
        low: Least ``asinh`` that a variance was measured at; below it the trend is flat.
        high: Greatest one.
    """

    slope: float = 0.0
    best: float = 0.0
    scale: float = 1.0
    low: float = 0.0
    high: float = 0.0

    def factor(self, levels: FloatArray) -> FloatArray:
        """Return what the variances of models with these levels are multiplied with.

        1 at the lower end; levels that are NaN count as the best.
        """
        if self.slope == 0.0:
            return np.ones(len(levels))
        position = np.where(np.isnan(levels), self.low, self._position(levels))
        return np.asarray(np.exp(self.slope * (np.clip(position, self.low, self.high) - self.low)))

    def _position(self, levels: FloatArray) -> FloatArray:
        return np.asarray(np.arcsinh((levels - self.best) / self.scale))


def fit_variance_trend(
    levels: FloatArray, errors: FloatArray, s2: FloatArray, df: FloatArray
) -> VarianceTrend:
    """Return how variances depend on levels, or no trend where the data do not insist on one.

    In the manner of limma's trend of variances on abundance (Sartor et al. 2006), with a line for
    its curve: models are few. The slope is a posterior mean, with ``d s2 / trend`` distributed as
    in Smyth (2004, section 3) around it. It counts only if the probability of a trend, one half
    before, is at least 0.99.

    Args:
        levels:
            Estimated levels, shape ``(n_models,)``.
        errors:
            Variances of the estimates, same shape; levels differ in units of these at least.
        s2:
            Sample variances, same shape.
        df:
            Their degrees of freedom; 0 = none.
    """
    known = np.isfinite(levels)
    used = np.flatnonzero((df > 0.0) & np.isfinite(s2) & known)
    if len(used) < _FEWEST_VARIANCES or not (s2[used] > 0.0).any():
        return VarianceTrend()
    best = float(levels[known].min())
    better = levels[known & (levels <= np.median(levels[known]))]
    scale = 1.4826 * float(np.median(np.median(levels[known]) - better))
    scale = math.hypot(scale, math.sqrt(float(np.median(errors[known]))))
    if not scale > 0.0:
        return VarianceTrend()
    # Diverged models say nothing on the good ones.
    used = used[levels[used] <= float(np.median(levels[known])) + _DIVERGED * scale]
    if len(used) < _FEWEST_VARIANCES:
        return VarianceTrend()
    used = used[np.argsort(levels[used], kind="stable")]
    position = np.arcsinh((levels[used] - best) / scale)
    low, high = float(position[0]), float(position[-1])
    if len(used) > _MOST_VARIANCES:
        chosen = np.linspace(0, len(used) - 1, _MOST_VARIANCES).astype(np.intp)
        used, position = used[chosen], position[chosen]
    typical = float(np.median(s2[used])) or float(np.median(s2[used][s2[used] > 0.0]))
    ratio, d = np.maximum(s2[used] / typical, 1e-10), df[used]
    centred = position - position.mean()
    log_likelihood = np.empty((len(_SLOPES), _N_INTERCEPTS))
    for i, slope in enumerate(_SLOPES):
        free = np.log(ratio) - slope * centred
        intercepts = float(np.median(free)) + np.linspace(-2.5, 2.5, _N_INTERCEPTS)
        # Density of log F(d, d0), where F is the ratio to the trend (Smyth 2004, section 3).
        gap = free - intercepts[:, None]
        log_likelihood[i] = (
            0.5 * d * gap - 0.5 * (d + _PRIOR_DF) * np.log1p(d * np.exp(gap) / _PRIOR_DF)
        ).sum(axis=1)
    evidence = np.logaddexp.reduce(log_likelihood, axis=1)
    prior = -0.5 * (_SLOPES / _SLOPE_STD) ** 2
    slab = evidence + prior - np.logaddexp.reduce(prior)
    none = float(evidence[len(_SLOPES) // 2])
    some = float(np.logaddexp.reduce(slab))
    probability = 1.0 / (1.0 + math.exp(min(none - some, 500.0)))
    if probability < _LEAST_PROBABILITY:
        return VarianceTrend()
    slope = probability * float(np.exp(slab - some) @ _SLOPES)
    return VarianceTrend(slope, best, scale, low, high)
