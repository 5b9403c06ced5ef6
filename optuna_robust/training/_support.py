"""Which networks and optimizers can train several instances together."""

from __future__ import annotations

from collections.abc import Callable
import copy
from typing import Any

import torch
from torch import nn
from torch import optim
from torch import Tensor
from torch.nn.parameter import is_lazy

from optuna_robust.evaluation import global_seed
from optuna_robust.training._options import Columns


# Each number's update depends on that number alone, and is proportional to the learning rate.
_ELEMENTWISE = (
    optim.Adadelta,
    optim.Adam,
    optim.Adamax,
    optim.AdamW,
    optim.NAdam,
    optim.RAdam,
    optim.RMSprop,
    optim.SGD,
)


def reason_against(module: nn.Module, optimizer: optim.Optimizer, batch: Columns) -> str | None:
    """Return why instances of this network cannot be trained together; None if they can.

    Instances must be what they would be alone. What a network draws at random or keeps of the
    batches that it saw is in the way; so is an optimizer that looks at several numbers at once.

    Args:
        module:
            An untrained network, on the CPU; it stays as it is.
        optimizer:
            Of its parameters.
        batch:
            Inputs, and last the target, on the CPU.
    """
    return _reason_against_optimizer(optimizer) or (
        _reason_against_layers(module) or _reason_against_forward(module, batch)
    )


def _reason_against_optimizer(optimizer: optim.Optimizer) -> str | None:
    if type(optimizer) not in _ELEMENTWISE:
        return f"the optimizer {type(optimizer).__name__} is not known to treat numbers one by one"
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        return "the optimizer has hooks, which would see all instances at once"
    return None


def _reason_against_layers(module: nn.Module) -> str | None:
    if not all(each.requires_grad for each in module.parameters()):
        return "some of its parameters are frozen"
    names = (len(list(module.named_parameters(remove_duplicate=each))) for each in (True, False))
    if len(set(names)) > 1:
        return "layers share parameters"
    for name, layer in module.named_modules():
        if isinstance(layer, nn.RNNBase):
            return f"its layer {name!r} ({type(layer).__name__}) has no batched form in PyTorch"
        if any(isinstance(value, Tensor) for value in vars(layer).values()):
            return f"its layer {name!r} has a tensor that is neither parameter nor buffer"
    return None


def _reason_against_forward(module: nn.Module, batch: Columns) -> str | None:
    """Run a copy twice: what it keeps or draws shows."""
    tried = copy.deepcopy(module).train()
    before = {name: (each, each.clone()) for name, each in tried.named_buffers()}
    with torch.no_grad(), global_seed(0):
        first, second = (tried(*batch[:-1]) for _ in range(2))
    for name, buffer in tried.named_buffers():
        object_before, value_before = before[name]
        if buffer is not object_before or not torch.equal(buffer, value_before):
            return f"its buffer {name!r} keeps something of the batches"
    if isinstance(first, Tensor) and not torch.equal(first.nan_to_num(), second.nan_to_num()):
        return "it draws random numbers"
    return None


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


def same_architecture(modules: list[nn.Module]) -> bool:
    """Tell whether networks have the same layers, parameters and buffers."""
    first, *others = [
        (repr(each), {name: value.shape for name, value in each.state_dict().items()})
        for each in modules
    ]
    return all(first == other for other in others)


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
