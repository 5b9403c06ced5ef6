"""The arguments of a training, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from optuna_robust._base.arguments import check_count
from optuna_robust._instances.evaluation import global_seed
from optuna_robust._instances.instance import Instance
from optuna_robust.training._options import Columns
from optuna_robust.training._options import TrainingOptions
from optuna_robust.training._support import new_optimizer


def check_columns(name: str, data: Sequence[Tensor]) -> Columns:
    """Return inputs and target on the CPU.

    Raises:
        TypeError: If they are no tensors.
        ValueError: If there are fewer than two, they differ in length, or there are no rows.
    """
    if isinstance(data, Tensor) or not isinstance(data, Sequence):
        raise TypeError(
            f"{name} must be a sequence of tensors, inputs and last the target, but was of type "
            f"{type(data).__name__}."
        )
    for column in data:
        if not isinstance(column, Tensor):
            raise TypeError(
                f"{name} must hold tensors, but one is of type {type(column).__name__}; "
                "torch.as_tensor makes one of an array."
            )
    if len(data) < 2:
        raise ValueError(f"{name} must hold inputs and a target, but had {len(data)} tensors.")
    lengths = [len(column) if column.ndim else 0 for column in data]
    if len(set(lengths)) > 1 or not lengths[0]:
        raise ValueError(
            f"{name} must have the same number of rows in each tensor, at least one, but had "
            f"{lengths}."
        )
    return tuple(column.detach().cpu() for column in data)


def check_same_kind(population: Columns, validation: Columns) -> None:
    """Check that validation data are like the population.

    Raises:
        ValueError: If they differ in number or types of tensors.
    """
    if len(population) != len(validation):
        raise ValueError(
            f"validation must have as many tensors as data, {len(population)}, but had "
            f"{len(validation)}."
        )
    ours, theirs = ([str(each.dtype) for each in columns] for columns in (validation, population))
    if ours != theirs:
        raise ValueError(f"validation must have the types of data, {theirs}, but had {ours}.")


def check_training(module: nn.Module, batch: Columns, options: TrainingOptions) -> None:
    """Check what the user's functions return.

    Args:
        module:
            A network that is not trained: it may keep something of the batch.
        batch:
            Inputs, and last the target.
        options:
            How networks are trained.

    Raises:
        TypeError: If one of them returns something of the wrong type.
        ValueError: If the loss is not one number, or a scheduler that looks at the metric shall
            move on by steps.
    """
    optimizer = new_optimizer(module, options.optimizer)
    scheduler = None if options.scheduler is None else options.scheduler(optimizer)
    if options.by_step and isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError(
            "scheduler_interval='step' does not go with ReduceLROnPlateau, which looks at the "
            "metric of an epoch."
        )
    with global_seed(0), torch.no_grad():
        returned = options.loss(module(*batch[:-1]), batch[-1])
    if not isinstance(returned, Tensor):
        raise TypeError(f"loss must return a tensor, but returned {returned!r}.")
    if returned.ndim:
        raise ValueError(
            "loss must return the mean over a batch, a tensor without dimensions, but returned "
            f"one of shape {tuple(returned.shape)}."
        )


def check_instances(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """Return the instances.

    Raises:
        TypeError: If they are no instances.
        ValueError: If there is none.
    """
    if not isinstance(instances, Sequence) or not all(
        isinstance(each, Instance) for each in instances
    ):
        raise TypeError(f"instances must be a sequence of Instance, but was {instances!r}.")
    if not instances:
        raise ValueError("instances must hold at least one instance, but was empty.")
    return tuple(instances)


def check_sample_size(sample_size: int | None, n_population: int) -> int:
    """Return the number of rows of a training sample.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is less than 1 or more than there are rows.
    """
    if sample_size is None:
        return n_population
    size = check_count("sample_size", sample_size, minimum=1)
    if size > n_population:
        raise ValueError(
            f"sample_size must be at most the population's {n_population} rows, but was {size}."
        )
    return size


def check_callable(name: str, value: Any) -> Any:
    """Return what can be called.

    Raises:
        TypeError: If it cannot.
    """
    if not callable(value):
        raise TypeError(f"{name} must be callable, but was {value!r}.")
    return value


def check_device(device: str | torch.device | None) -> torch.device:
    """Return where to train.

    Raises:
        ValueError: If there is no such device.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"device={str(device)!r} cannot be used: {error}") from None
    return found
