"""Bootstrap samples of instances, drawn for all models jointly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from optuna_robust._base.arrays import FloatArray


# Most losses that are resampled at once (8 MiB), which bounds the memory.
MOST_LOSSES = 2**20


def resamples(losses: FloatArray, n_resamples: int, seed: int) -> Iterator[FloatArray]:
    """Yield bootstrap samples of the instances, some at a time: ``(some, n_models, n)``.

    The instances drawn depend on their number and the seed alone, not on the models.
    """
    n = losses.shape[1]
    if losses.size == 0:
        return
    rng = np.random.default_rng(seed)
    at_once = max(1, MOST_LOSSES // losses.size)
    for start in range(0, n_resamples, at_once):
        columns = rng.integers(n, size=(min(at_once, n_resamples - start), n))
        yield losses[:, columns].swapaxes(0, 1)
