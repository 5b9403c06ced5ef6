"""Noise of made-up losses, and criteria of whole populations of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
import math

import numpy as np
from scipy import optimize
from scipy import stats

from optuna_robust._base.arrays import FloatArray


_TAIL_DF = 3
_TAIL_SCALE = math.sqrt((_TAIL_DF - 2) / _TAIL_DF)
_N_NODES = 64


@dataclass(frozen=True)
class Noise:
    """Random deviations with mean 0 and variance 1.

    Attributes:
        common: Share of the variance that all models have in common in an instance.
        is_heavy: Whether a model's own part is t-distributed with 3 degrees of freedom.
    """

    common: float = 0.3
    is_heavy: bool = False

    def draw(self, shared: np.random.Generator, own: np.random.Generator) -> float:
        """Draw one deviation, of which models have the part from ``shared`` in common."""
        deviation = _TAIL_SCALE * own.standard_t(_TAIL_DF) if self.is_heavy else own.normal()
        return math.sqrt(self.common) * shared.normal() + math.sqrt(1 - self.common) * deviation

    def quantile(self, share: FloatArray) -> FloatArray:
        """Return the value below which a share of all deviations lies; infinite for 1 and more."""
        below = np.where(share < 1.0, share, 0.5)
        found = (
            np.vectorize(_heavy_quantile)(below, self.common)
            if self.is_heavy
            else stats.norm.ppf(below)
        )
        return np.where(share < 1.0, found, np.inf)


@dataclass(frozen=True)
class Population:
    """Losses of models over infinitely many instances: level + spread times noise, or infinite.

    Attributes:
        level: Mean of every model's finite losses.
        spread: Their standard deviation.
        failures: Share of the losses that are infinite; below 0.25 or q3 is, too.
        noise: Shape of the distribution.
    """

    level: FloatArray
    spread: FloatArray
    failures: FloatArray
    noise: Noise

    def value(self, criterion: str) -> FloatArray:
        """Return a criterion of every model.

        Raises:
            ValueError: If it is not known for populations.
        """
        if criterion not in _CRITERIA:
            raise ValueError(
                f"There is no true {criterion!r} of infinitely many instances; "
                f"choose from {', '.join(_CRITERIA)}."
            )
        return _CRITERIA[criterion](self)

    def quantile(self, share: float) -> FloatArray:
        """Return the loss below which a share of all losses lies."""
        return self.level + self.spread * self.noise.quantile(share / (1.0 - self.failures))

    def unless_failing(self, value: FloatArray) -> FloatArray:
        """Return a value of models that never fail, infinite for the others."""
        return np.where(self.failures > 0.0, np.inf, value)


_CRITERIA: dict[str, Callable[[Population], FloatArray]] = {
    "mean": lambda found: found.unless_failing(found.level),
    "median": lambda found: found.quantile(0.5),
    "q3": lambda found: found.quantile(0.75),
    "iqr": lambda found: found.quantile(0.75) - found.quantile(0.25),
    "q3+iqr": lambda found: 2 * found.quantile(0.75) - found.quantile(0.25),
    "std": lambda found: found.unless_failing(found.spread),
    "mean+std": lambda found: found.unless_failing(found.level + found.spread),
}


@cache
def _heavy_quantile(share: float, common: float) -> float:
    """Return a quantile of the sum of a normal and a t-distributed deviation."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_N_NODES)
    scale = math.sqrt(1 - common) * _TAIL_SCALE

    def excess(value: float) -> float:
        below = stats.t.cdf((value - math.sqrt(common) * nodes) / scale, _TAIL_DF)
        return float(weights @ below / weights.sum()) - share

    return float(optimize.brentq(excess, -1e3, 1e3))
