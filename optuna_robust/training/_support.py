"""What a training needs of the user's networks and optimizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch import optim
from torch.nn.parameter import is_lazy

from optuna_robust._instances.evaluation import global_seed
from optuna_robust._instances.instance import Instance
from optuna_robust.training._options import ModelFactory


def new_network(
    model_factory: ModelFactory, instance: Instance, dtype: torch.dtype | None
) -> nn.Module:
    """Return the untrained network of an instance, on the CPU.

    Args:
        model_factory:
            The user's.
        instance:
            Whose initial weights it has.
        dtype:
            Of its parameters; None: as the factory made them.
    """
    with global_seed(instance.seed):
        module = check_module(model_factory())
    return module if dtype is None else module.to(dtype=dtype)


def check_module(module: object) -> nn.Module:
    """Return what a model factory made.

    Raises:
        TypeError: If it is no module.
        ValueError: If there is nothing to train, or shapes are not known yet.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"model_factory must return a torch.nn.Module, but returned {module!r}.")
    if not any(True for _ in module.parameters()):
        raise ValueError("model_factory returned a module without parameters.")
    if any(is_lazy(each) for each in (*module.parameters(), *module.buffers())):
        raise ValueError(
            "model_factory returned a module with lazy layers, whose weights would not come from "
            "the instance's seed; call it once inside the factory, or give the sizes."
        )
    return module


def new_optimizer(module: nn.Module, factory: Callable[..., Any]) -> optim.Optimizer:
    """Return an optimizer of a network's parameters.

    Raises:
        TypeError: If the factory returns something else.
    """
    found = factory(list(module.parameters()))
    if not isinstance(found, optim.Optimizer):
        raise TypeError(
            "optimizer must return a torch.optim.Optimizer for a list of parameters, but returned "
            f"{found!r}."
        )
    return found
