"""The factors of a confirmation's standard errors, by the simulation that they come from."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
import itertools

import numpy as np
from scipy import special

from benchmarks.confirm_pairs import bootstrap_spreads
from benchmarks.confirm_pairs import draw
from benchmarks.confirm_pairs import true_differences
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison._error_scale import KNOTS
from optuna_robust._statistics.comparison._error_scale import SCALES
from optuna_robust.criteria import get_criterion


# Quantiles fall on losses or between them, depending on n modulo 4: a factor is for the numbers
# of instances about it.
NEIGHBOURS: dict[float, tuple[int, ...]] = {
    5.0: (5,),
    7.0: (6, 7),
    9.0: (8, 9),
    12.0: (10, 11, 12, 13),
    20.0: (18, 19, 20, 21),
    30.0: (28, 29, 30, 31),
    51.0: (49, 50, 51, 52),
    100.0: (98, 99, 100, 101),
}
# Standard deviations of the noise in common, beside that of the own.
_KINDS = {"own": (0.01, 1.0), "common": (10.0, 100.0)}
_SPREADS = (1.0, 2.0)
# An interval of 95 % shall not cover in less than the first of any cell, nor more than the second.
_LEAST_COVERAGE, _MOST_COVERAGE = 0.94, 0.97
_N_RESAMPLES = 200
_N_REPEATS = 100


def statistics(
    rng: np.random.Generator,
    n_pairs: int,
    n_instances: int,
    names: Sequence[str],
    *,
    ratio: float,
    spreads: float,
) -> FloatArray:
    """Return errors of differences, in units of what an interval without a factor covers.

    Args:
        rng:
            Source of randomness.
        n_pairs:
            Number of pairs.
        n_instances:
            Number of instances.
        names:
            Names of criteria.
        ratio:
            As for :func:`~benchmarks.confirm_pairs.draw`.
        spreads:
            As for :func:`~benchmarks.confirm_pairs.draw`.

    Returns:
        Absolute values of shape ``(n_criteria, n_pairs)``: 1 is at the end of the interval.
    """
    criteria = [get_criterion(name) for name in names]
    differences = true_differences(
        rng, n_pairs, n_instances, criteria, ratio=ratio, spreads=spreads
    )
    losses = draw(rng, n_pairs, n_instances, ratio=ratio, spreads=spreads)
    errors = bootstrap_spreads(losses, criteria, rng, n_resamples=_N_RESAMPLES)
    unbiased = np.sqrt(n_instances / (n_instances - 1.0))
    width = unbiased * float(special.stdtrit(n_instances - 1, 0.975))
    values = np.stack([criterion(losses) for criterion in criteria])
    deviations = values[:, :, 0] - values[:, :, 1] - np.array(differences)[:, None]
    return np.asarray(np.abs(deviations) / (width * np.stack(errors)))


def allowed_factors(cells: Sequence[FloatArray]) -> FloatArray:
    """Return the range of every criterion's factor, from the statistics of some cells.

    Returns:
        The least factor with which no cell covers in less than 94 %, and the greatest with which
        none covers in more than 97 %, shape ``(2, n_criteria)``. The second is less than the first
        where no factor does both.
    """
    least = np.max([np.quantile(cell, _LEAST_COVERAGE, axis=1) for cell in cells], axis=0)
    most = np.min([np.quantile(cell, _MOST_COVERAGE, axis=1) for cell in cells], axis=0)
    return np.stack([least, most])


def fitted_factors(cells: Sequence[FloatArray]) -> FloatArray:
    """Return the factor of every criterion: the middle of what is allowed."""
    return np.asarray(allowed_factors(cells).mean(axis=0))


def _standard_errors(rng: np.random.Generator, cells: Sequence[FloatArray]) -> FloatArray:
    """Return the bootstrap's standard errors of factors."""
    repeats = [
        fitted_factors(
            [cell[:, rng.integers(cell.shape[1], size=cell.shape[1])] for cell in cells]
        )
        for _ in range(_N_REPEATS)
    ]
    return np.asarray(np.std(repeats, axis=0))


def _cells(
    rng: np.random.Generator, n_pairs: int, numbers: Sequence[int], ratios: Sequence[float]
) -> list[FloatArray]:
    """Return the statistics of all criteria that have factors, for some noises and spreads."""
    each = n_pairs // len(numbers)
    return [
        np.hstack(
            [
                statistics(rng, each, n, tuple(SCALES), ratio=ratio, spreads=spreads)
                for n in numbers
            ]
        )
        for ratio, spreads in itertools.product(ratios, _SPREADS)
    ]


def factor_rows(n_pairs: int) -> Iterator[list[str]]:
    """Yield a row of a table for every number of instances, kind of noise and criterion.

    Args:
        n_pairs:
            Pairs a cell: a kind of noise in common, a ratio of spreads, some numbers of instances.
    """
    for i, (k, kind) in itertools.product(range(len(KNOTS)), enumerate(_KINDS)):
        rng = np.random.default_rng([i, k])
        cells = _cells(rng, n_pairs, NEIGHBOURS[KNOTS[i]], _KINDS[kind])
        least, most = allowed_factors(cells)
        fitted, errors = fitted_factors(cells), _standard_errors(rng, cells)
        for j, (name, in_use) in enumerate(SCALES.items()):
            yield [
                f"{KNOTS[i]:.0f}",
                kind,
                name,
                f"{in_use[k][i]:.2f}",
                f"{fitted[j]:.3f}",
                f"{errors[j]:.3f}",
                f"{least[j]:.2f} to {most[j]:.2f}",
            ]
