"""Instances in processes: on a CPU, two with a thread each are faster than one with two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from optuna_robust._instances.instance import Instance
from optuna_robust.training._captured import Captured
from optuna_robust.training._chunk import in_chunks
from optuna_robust.training._fit import Fitted
from optuna_robust.training._options import ModelFactory
from optuna_robust.training._options import Parts
from optuna_robust.training._options import TrainingOptions


# Plain arrays: joblib lays large ones where all processes read them, which it does not do for
# tensors.
_Arrays = tuple[npt.NDArray[np.generic], ...]


def in_processes(
    model_factory: ModelFactory,
    parts: Parts,
    instances: Sequence[Instance],
    options: TrainingOptions,
    *,
    n_jobs: int,
    captured: Captured | None,
) -> list[Fitted]:
    """Train each instance by itself, so many at a time, by captured steps if there are some.

    Processes stay for the next call, and end when they have been idle for a while.

    Raises:
        ImportError: If joblib is not installed.
    """
    n_jobs = min(n_jobs, len(instances))
    if n_jobs == 1:  # joblib would train in this process, and leave it with one thread
        return in_chunks(model_factory, parts, instances, options, 1, captured=captured)
    try:
        import joblib  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(
            "Processes need joblib: pip install 'optuna-robust[training]', or use method='loop'."
        ) from error
    arrays = [
        tuple(column.numpy() for column in each) for each in (parts.population, parts.validation)
    ]
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        # Copied where it is written to, which nobody does, but PyTorch warns of what cannot be.
        parallel = joblib.Parallel(n_jobs=n_jobs, mmap_mode="c")
        fitted: list[Fitted] = parallel(
            joblib.delayed(_train_alone)(
                model_factory, *arrays, instance, options, captured=captured
            )
            for instance in instances
        )
    return fitted


def _train_alone(
    model_factory: ModelFactory,
    population: _Arrays,
    validation: _Arrays,
    instance: Instance,
    options: TrainingOptions,
    *,
    captured: Captured | None,
) -> Fitted:
    torch.set_num_threads(1)
    parts = Parts(_tensors(population), _tensors(validation))
    return in_chunks(model_factory, parts, [instance], options, 1, captured=captured)[0]


def _tensors(arrays: _Arrays) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.asarray(array)) for array in arrays)
