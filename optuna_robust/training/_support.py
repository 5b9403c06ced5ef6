"""Which networks and optimizers can train several instances together."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch import optim
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd


# Each number's update depends on that number alone, and is proportional to the learning rate.
_ELEMENTWISE = (
    optim.Adadelta,
    optim.Adagrad,
    optim.Adam,
    optim.Adamax,
    optim.AdamW,
    optim.NAdam,
    optim.RAdam,
    optim.RMSprop,
    optim.SGD,
)
_DRAWING = (
    _DropoutNd,
    nn.RReLU,
    nn.FractionalMaxPool2d,
    nn.FractionalMaxPool3d,
)


def reason_against(module: nn.Module, optimizer: Any) -> str | None:
    """Return why instances of this network cannot be trained together; None if they can.

    Instances must be what they would be alone. What a layer draws at random, or keeps of the
    batches that it saw, is in the way; so is an optimizer that looks at several numbers at once.
    """
    if any(isinstance(each, nn.UninitializedParameter) for each in module.parameters()):
        return "it has lazy layers, whose shapes are not known yet"
    if not all(each.requires_grad for each in module.parameters()):
        return "some of its parameters are frozen"
    for name, layer in module.named_modules():
        why = _reason_against_layer(layer)
        if why is not None:
            return f"its layer {name!r} ({type(layer).__name__}) {why}"
    if type(optimizer) not in _ELEMENTWISE:
        return f"the optimizer {type(optimizer).__name__} is not known to treat numbers one by one"
    return None


def _reason_against_layer(layer: nn.Module) -> str | None:
    if isinstance(layer, _NormBase) and layer.track_running_stats:
        return "keeps statistics of the batches"
    if isinstance(layer, _BatchNorm):
        return "looks at a whole batch"
    if isinstance(layer, _DRAWING) or (isinstance(layer, nn.MultiheadAttention) and layer.dropout):
        return "draws random numbers"
    if isinstance(layer, nn.RNNBase):
        return "has no batched form in PyTorch"
    return None


def check_module(module: object) -> nn.Module:
    """Return what a model factory made.

    Raises:
        TypeError: If it is no module.
        ValueError: If there is nothing to train.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"model_factory must return a torch.nn.Module, but returned {module!r}.")
    if not any(True for _ in module.parameters()):
        raise ValueError("model_factory returned a module without parameters.")
    return module


def same_shapes(modules: list[nn.Module]) -> bool:
    """Tell whether networks have the same parameters and buffers."""
    first, *others = [
        {name: value.shape for name, value in each.state_dict().items()} for each in modules
    ]
    return all(first == other for other in others)


def new_optimizer(module: nn.Module, factory: Any) -> torch.optim.Optimizer:
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
