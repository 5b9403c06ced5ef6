"""Losses of pairs of models, and the bootstrap of what their criteria differ by."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import math
from typing import Any

import numpy as np

from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._paired import bootstrap_spread
from optuna_robust.criteria import Criterion


N_RESAMPLES = 100
_PAIRS_FOR_TRUTH = 40
_MOST_FOR_TRUTH = 40_000
# Losses that are resampled at once, for some pairs alike.
_MOST_LOSSES = 2**17


Noise = Callable[[np.random.Generator, tuple[int, ...]], FloatArray]


def normal(rng: np.random.Generator, size: tuple[int, ...]) -> FloatArray:
    return rng.normal(size=size)


def lognormal(rng: np.random.Generator, size: tuple[int, ...]) -> FloatArray:
    noise = rng.lognormal(sigma=0.75, size=size)
    return np.asarray((noise - math.exp(0.28125)) / math.sqrt(math.exp(1.125) - math.exp(0.5625)))


def negative_lognormal(rng: np.random.Generator, size: tuple[int, ...]) -> FloatArray:
    return -lognormal(rng, size)


def t3(rng: np.random.Generator, size: tuple[int, ...]) -> FloatArray:
    return np.asarray(rng.standard_t(3, size=size) / math.sqrt(3.0))


# With mean 0 and standard deviation 1.
NOISES: dict[str, Noise] = {"normal": normal, "t3": t3, "lognormal": lognormal}


def draw(
    rng: np.random.Generator,
    n_pairs: int,
    n_instances: int,
    *,
    ratio: float,
    spreads: float,
    noise: Noise = normal,
) -> FloatArray:
    """Draw losses of pairs of models, shape ``(n_pairs, 2, n_instances)``.

    Args:
        rng:
            Source of randomness.
        n_pairs:
            Number of pairs.
        n_instances:
            Number of instances.
        ratio:
            Standard deviation of the noise that both models have in common, beside their own.
        spreads:
            Ratio of the standard deviations of their own noises.
        noise:
            Draws own noise with mean 0 and standard deviation 1.
    """
    own = np.array([[math.sqrt(spreads)], [1.0 / math.sqrt(spreads)]])
    common = ratio * rng.normal(size=(n_pairs, 1, n_instances))
    return np.asarray(common + own * noise(rng, (n_pairs, 2, n_instances)))


def true_differences(
    rng: np.random.Generator,
    n_pairs: int,
    n_instances: int,
    criteria: Sequence[Criterion],
    *,
    spreads: float,
    **options: Any,
) -> list[float]:
    """Return by how much the criteria of two models differ on average.

    That is known far better than from the number of pairs that are judged by it.
    """
    if spreads == 1.0:
        return [0.0] * len(criteria)
    n_truth = min(_PAIRS_FOR_TRUTH * n_pairs, _MOST_FOR_TRUTH)
    losses = draw(rng, n_truth, n_instances, spreads=spreads, **options)
    return [float(np.subtract(*criterion(losses).mean(axis=0))) for criterion in criteria]


def bootstrap_spreads(
    losses: FloatArray,
    criteria: Sequence[Criterion],
    rng: np.random.Generator,
    *,
    n_resamples: int = N_RESAMPLES,
) -> list[FloatArray]:
    """Return the bootstrap's standard deviations of differences of pairs, for every criterion."""
    n = losses.shape[2]
    at_once = max(1, _MOST_LOSSES // (2 * n * n_resamples))
    spreads: list[list[FloatArray]] = [[] for _ in criteria]
    for start in range(0, len(losses), at_once):
        columns = rng.integers(n, size=(n_resamples, n))
        sample = losses[start : start + at_once][:, :, columns]
        for criterion, parts in zip(criteria, spreads, strict=True):
            values = criterion(sample)
            parts.append(bootstrap_spread(np.moveaxis(values[:, 0] - values[:, 1], 1, 0)))
    return [np.concatenate(parts) for parts in spreads]
