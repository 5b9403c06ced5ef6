"""Made-up families of models, of which every replay draws a fresh table.

In units of an accuracy: levels of models spread by 0.008, trainings of a model by 0.0034, and
instances by 0.002 in common, as measured for small transformers on images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math

import numpy as np
from scipy import stats

from optuna_robust._base.arrays import FloatArray


LEVELS, NOISE, COMMON = 0.008, 0.0034, 0.002
_GRID_LEVELS = 0.004
N_INSTANCES = 20
# Degrees of freedom of heavy-tailed losses, and of the variances of models that differ in them.
_TAIL_DF, _VARIANCE_DF = 3, 4
_LOG_SPREAD = 0.6
# Of the variance of levels on a grid: effects, interactions of pairs, and the rest.
_SINGLE, _PAIRS, _OWN = math.sqrt(0.74), math.sqrt(0.2), math.sqrt(0.06)
_LUCKY_SHARE, _LUCKY_SPREAD = 8, 5.0


@dataclass(frozen=True)
class Population:
    """What models are worth over infinitely many instances; losses are symmetric.

    Attributes:
        level: Expected loss of every model.
        spread: Standard deviation of the losses as measured, with what instances have in common.
        quartile: The upper quartile, in standard deviations above the level.
    """

    level: FloatArray
    spread: FloatArray
    quartile: float

    def value(self, criterion: str) -> FloatArray | None:
        """Return a criterion of the population, or None where it is not known."""
        quartile = self.quartile * self.spread
        return {
            "mean": self.level,
            "median": self.level,
            "q3": self.level + quartile,
            "q3+iqr": self.level + 3 * quartile,
            "std": self.spread,
            "iqr": 2 * quartile,
            "mean+std": self.level + self.spread,
        }.get(criterion)


Spreads = Callable[[np.random.Generator, int], FloatArray]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of models.

    Attributes:
        about: What is special about it.
        n_models: How many there are.
        levels: Standard deviation of the models' levels.
        spreads: Draws every model's standard deviation, in units of ``NOISE``.
        common: Standard deviation of what instances have in common.
        heavy_tails: Whether losses are t-distributed with 3 degrees of freedom.
        n_lucky: So many models get the level of the best of the others, and a large spread.
        grid: Numbers of values of the hyperparameters, whose product is ``n_models``: levels are
            their effects and interactions, and what they do not tell. Empty: models have none.
        surprise: Whether the best model is one that its hyperparameters speak against.
        shuffled: Whether hyperparameters are those of other models, and so say nothing.
        labels: Whether the only hyperparameter is a number that says nothing.
        replay_share: Share of the replays that it gets; less for large families, which take long.
    """

    about: str
    n_models: int
    levels: float = LEVELS
    spreads: Spreads = lambda rng, n: np.ones(n)
    common: float = COMMON
    heavy_tails: bool = False
    n_lucky: int = 0
    grid: tuple[int, ...] = ()
    surprise: bool = False
    shuffled: bool = False
    labels: bool = False
    replay_share: float = 1.0

    def __post_init__(self) -> None:
        if self.heavy_tails and self.common:
            raise ValueError("The quartiles of a sum of t and normal losses are not known.")
        if self.grid and math.prod(self.grid) != self.n_models:
            raise ValueError(f"A grid {self.grid} does not have {self.n_models} models.")

    @property
    def models(self) -> tuple[dict[str, int], ...] | None:
        """Hyperparameters of every model, if there are some."""
        if self.labels:
            return tuple({"label": i} for i in range(self.n_models))
        if not self.grid:
            return None
        return tuple(
            {f"x{j}": int(value) for j, value in enumerate(values)}
            for values in np.ndindex(*self.grid)
        )

    def draw(self, rng: np.random.Generator) -> tuple[FloatArray, Population]:
        """Draw models and their losses.

        Returns:
            Losses to be minimised, of shape ``(n_models, N_INSTANCES)``, and what is true.
        """
        level = self.levels * self._standard_levels(rng)
        spread = NOISE * self.spreads(rng, self.n_models)
        if self.n_lucky:
            lucky = rng.permutation(self.n_models)[: self.n_lucky]
            level[lucky] = np.delete(level, lucky).min()
            spread[lucky] *= _LUCKY_SPREAD
        shape = (self.n_models, N_INSTANCES)
        noise = (
            rng.standard_t(_TAIL_DF, shape) / math.sqrt(_TAIL_DF / (_TAIL_DF - 2))
            if self.heavy_tails
            else rng.normal(size=shape)
        )
        common = self.common * rng.normal(size=N_INSTANCES)
        losses = level[:, None] + common + spread[:, None] * noise
        quartile = (
            stats.t.ppf(0.75, _TAIL_DF) / math.sqrt(_TAIL_DF / (_TAIL_DF - 2))
            if self.heavy_tails
            else stats.norm.ppf(0.75)
        )
        return losses, Population(level, np.hypot(spread, self.common), float(quartile))

    def _standard_levels(self, rng: np.random.Generator) -> FloatArray:
        """Draw levels with a standard deviation of about 1."""
        if not self.grid:
            return rng.normal(size=self.n_models)
        position = np.array(list(np.ndindex(*self.grid)))
        single, pairs = np.zeros(self.n_models), np.zeros(self.n_models)
        for j, n_values in enumerate(self.grid):
            steps = rng.normal(size=n_values).cumsum()
            single += rng.exponential() * steps[position[:, j]]
            for k in range(j):
                effect = rng.normal(size=(n_values, self.grid[k]))
                pairs += rng.exponential() * effect[position[:, j], position[:, k]]
        single, pairs = (each / (float(each.std()) or 1.0) for each in (single, pairs))
        level = _SINGLE * single + _PAIRS * pairs + _OWN * rng.normal(size=self.n_models)
        if self.surprise:  # among the worse half
            level[rng.choice(np.argsort(level)[self.n_models // 2 :])] = level.min() - _OWN
        return rng.permutation(level) if self.shuffled else level


def _lognormal(rng: np.random.Generator, n_models: int) -> FloatArray:
    return np.exp(_LOG_SPREAD * rng.normal(size=n_models))


def inverse_chi(rng: np.random.Generator, n_models: int) -> FloatArray:
    """Draw standard deviations with scaled inverse chi-squared variances."""
    return np.sqrt(_VARIANCE_DF / rng.chisquare(_VARIANCE_DF, size=n_models))


FAMILIES: dict[str, Family] = {
    "measured-64": Family(about="as measured: equal spreads, a weak common effect", n_models=64),
    "measured-600": Family(about="the same with many models", n_models=600, replay_share=0.1),
    "grid-64": Family(
        about="as measured, a grid of six hyperparameters with two values",
        n_models=64,
        grid=(2,) * 6,
        levels=_GRID_LEVELS,
    ),
    "grid-540": Family(
        about="as measured, a grid of five hyperparameters with three to five values",
        n_models=540,
        grid=(5, 4, 3, 3, 3),
        levels=_GRID_LEVELS,
        replay_share=0.2,
    ),
    "independent-50": Family(about="equal spreads, nothing in common", n_models=50, common=0.0),
    "unequal-64": Family(about="lognormal spreads", n_models=64, spreads=_lognormal),
    "unequal-500": Family(
        about="scaled inverse chi-squared variances (4 degrees of freedom)",
        n_models=500,
        spreads=inverse_chi,
        replay_share=0.1,
    ),
    "heavy-tails-64": Family(
        about="t-distributed losses (3 degrees of freedom), lognormal spreads",
        n_models=64,
        spreads=_lognormal,
        common=0.0,
        heavy_tails=True,
    ),
    "common-64": Family(
        about="instances have more in common than models differ", n_models=64, common=5 * NOISE
    ),
    "lucky-64": Family(
        about="8 models as good as the best of the others on average, with 5 times their spread",
        n_models=64,
        n_lucky=_LUCKY_SHARE,
    ),
    "identical-512": Family(
        about="models that do not differ at all", n_models=512, levels=0.0, replay_share=0.1
    ),
    "large-7000": Family(
        about="as measured, as many models as a grid has", n_models=7000, replay_share=0.05
    ),
}
