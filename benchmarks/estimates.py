"""Numbers with their 95 % intervals."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt
from scipy import stats


CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; a bound that does not exist is infinite or NaN."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)


def mean(values: npt.ArrayLike) -> Estimate:
    """Return a mean with its t interval; NaN bounds for one value, or where one is infinite."""
    sample = np.asarray(values, dtype=np.float64)
    value = float(sample.mean())
    if len(sample) < 2 or not math.isfinite(value):
        return Estimate(value)
    half = float(stats.sem(sample) * stats.t.ppf((1 + CONFIDENCE) / 2, len(sample) - 1))
    return Estimate(value, value - half, value + half)


def geometric_mean(values: npt.ArrayLike) -> Estimate:
    """Return a geometric mean with the t interval of the logarithms."""
    with np.errstate(divide="ignore"):
        logs = mean(np.log(np.asarray(values, dtype=np.float64)))
    return Estimate(*(float(np.exp(each)) for each in (logs.value, logs.low, logs.high)))


def wilson(n_successes: float, n: int) -> Estimate:
    """Return a rate with its Wilson (1927) interval."""
    z = stats.norm.ppf((1 + CONFIDENCE) / 2)
    rate = n_successes / n
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return Estimate(rate, max(0.0, float(centre - half)), min(1.0, float(centre + half)))
