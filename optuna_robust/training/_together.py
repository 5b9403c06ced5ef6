"""Whether instances can be trained together, each as it would be trained alone.

A network that is trained alone although it need not be costs time. One that is trained together
although it must not be is another model. What is not known to be the same is therefore trained
alone, and what seems to be the same is tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn
from torch import optim

from optuna_robust._instances.instance import Instance
from optuna_robust.training._attributes import difference
from optuna_robust.training._attributes import values_differ
from optuna_robust.training._captured import Captured
from optuna_robust.training._options import ModelFactory
from optuna_robust.training._options import Parts
from optuna_robust.training._options import TrainingOptions
from optuna_robust.training._precision import float32_precision
from optuna_robust.training._rehearsal import rehearse
from optuna_robust.training._rehearsal import rehearse_captured
from optuna_robust.training._support import new_network
from optuna_robust.training._support import new_optimizer


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


def reason_against(
    model_factory: ModelFactory,
    parts: Parts,
    instances: Sequence[Instance],
    options: TrainingOptions,
) -> str | None:
    """Return why instances cannot be trained together; None if they can.

    Args:
        model_factory:
            The user's.
        parts:
            The data, on the device of the training.
        instances:
            Which instances; of a single one, what is said holds for it and the next one, so that
            it does not depend on how many are asked for at a time.
        options:
            How they are trained.
    """
    pair = _pair(model_factory, parts, instances, options)
    if isinstance(pair, str):
        return pair
    with float32_precision(parts.device, reduced=options.reduced_precision):
        return rehearse(model_factory, parts, pair, options)


def captured_steps(
    model_factory: ModelFactory,
    parts: Parts,
    instances: Sequence[Instance],
    options: TrainingOptions,
) -> Captured | str:
    """Return the steps of any of these instances, captured, or why they cannot be.

    Arguments are those of :func:`reason_against`, with data on the CPU. It does not depend on how
    many instances are asked for at a time.
    """
    pair = _pair(model_factory, parts, instances, options)
    if isinstance(pair, str):
        return pair
    if _has_hooks(new_network(model_factory, pair[0], parts.dtype)):
        return "its layers have hooks, which would not be called"
    return rehearse_captured(model_factory, parts, pair, options)


def _pair(
    model_factory: ModelFactory,
    parts: Parts,
    instances: Sequence[Instance],
    options: TrainingOptions,
) -> tuple[Instance, Instance] | str:
    """Return two instances to rehearse with, or what is against it at first sight."""
    if len(instances) == 1:
        instances = [instances[0], replace(instances[0], number=instances[0].number + 1)]
    first = new_network(model_factory, instances[0], parts.dtype)
    updates = new_optimizer(first, options.optimizer)
    against = _reason_against_optimizer(updates) or _reason_against_parameters(first)
    if against is not None:
        return against
    for instance in instances[1:]:
        other = new_network(model_factory, instance, parts.dtype)
        against = _reason_against_pair(first, other) or _reason_against_updates(
            first, updates, other, new_optimizer(other, options.optimizer)
        )
        if against is not None:
            return against
    # Instances with other initial weights show more.
    others = [each for each in instances[1:] if each.seed != instances[0].seed]
    return instances[0], (others or instances[1:])[0]


def check_alike(modules: Sequence[nn.Module]) -> None:
    """Check again the very networks that are trained together.

    Raises:
        ValueError: If they differ in more than the values of parameters and buffers, which those
            that the function made before did not.
    """
    for other in modules[1:]:
        against = _reason_against_pair(modules[0], other)
        if against is not None:
            raise ValueError(
                "model_factory must return the same network whenever it is called with the same "
                f"seed, but did not: {against}."
            )


def _reason_against_optimizer(optimizer: optim.Optimizer) -> str | None:
    if type(optimizer) not in _ELEMENTWISE:
        return f"the optimizer {type(optimizer).__name__} is not known to treat numbers one by one"
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        return "the optimizer has hooks, which would see all instances at once"
    if "step" in vars(optimizer):
        return "the optimizer's step is replaced, and would see all instances at once"
    return None


def _reason_against_parameters(module: nn.Module) -> str | None:
    named = list(module.named_parameters(remove_duplicate=False))
    if not all(each.requires_grad for _, each in named):
        return "some of its parameters are frozen"
    tensors = [*named, *module.named_buffers(remove_duplicate=False)]
    # What has no memory, on the device "meta" or without numbers, cannot share it.
    places = [each.untyped_storage().data_ptr() for _, each in tensors if each.numel()]
    if len(set(places)) < len(places):
        return "its layers share parameters or buffers"
    for name, parameter in named:
        if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
            return f"its parameter {name!r} has hooks, which would not be called"
    return None


def _has_hooks(module: nn.Module) -> bool:
    return any(
        value
        for layer in module.modules()
        for name, value in vars(layer).items()
        if name.endswith("_hooks") and isinstance(value, Mapping)
    )


def _reason_against_pair(first: nn.Module, other: nn.Module) -> str | None:
    return difference(first, other, "differs between instances") or (
        _reason_against_parameters(other)
    )


def _reason_against_updates(
    first: nn.Module, updates: optim.Optimizer, other: nn.Module, others: optim.Optimizer
) -> str | None:
    if values_differ(_settings(first, updates), _settings(other, others)):
        return "the optimizer's settings differ between instances"
    return None


def _settings(module: nn.Module, optimizer: optim.Optimizer) -> list[dict[str, Any]]:
    """Return an optimizer's groups, with parameters by their names."""
    names = {id(each): name for name, each in module.named_parameters()}
    return [
        {**group, "params": [names.get(id(each)) for each in group["params"]]}
        for group in optimizer.param_groups
    ]
