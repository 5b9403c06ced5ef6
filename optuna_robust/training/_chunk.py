"""Instances that are trained at a time: several together, or one by itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from optuna_robust.evaluation import global_seed
from optuna_robust.instance import Instance
from optuna_robust.training._fit import fit
from optuna_robust.training._fit import Fitted
from optuna_robust.training._memory import rows_at_once
from optuna_robust.training._networks import SingleNetwork
from optuna_robust.training._networks import StackedNetworks
from optuna_robust.training._options import ModelFactory
from optuna_robust.training._options import Parts
from optuna_robust.training._options import TrainingOptions
from optuna_robust.training._precision import float32_precision
from optuna_robust.training._support import check_module
from optuna_robust.training._support import same_architecture


def in_chunks(
    model_factory: ModelFactory,
    parts: Parts,
    instances: Sequence[Instance],
    options: TrainingOptions,
    n_together: int,
) -> list[Fitted]:
    """Train instances, so many at a time, on the device of the data."""
    with float32_precision(parts.device, reduced=options.reduced_precision):
        return [
            _train(model_factory, parts, instances[start : start + n_together], options)
            for start in range(0, len(instances), n_together)
        ]


def _train(
    model_factory: ModelFactory,
    parts: Parts,
    instances: Sequence[Instance],
    options: TrainingOptions,
) -> Fitted:
    modules = [new_network(model_factory, instance, parts.dtype) for instance in instances]
    rows = rows_at_once(modules[0], parts.validation, len(modules), parts.device)
    for module in modules:
        module.to(parts.device)
    if len(modules) > 1:
        if not same_architecture(modules):
            raise ValueError(
                "model_factory must always return the same architecture, but what it returned "
                "for two instances differs in layers or in shapes of parameters."
            )
        together = StackedNetworks(modules, options)
        return fit(together, parts, instances, options, rows_at_once=rows)
    # Random layers draw from global generators; that belongs to the order, not to the weights.
    with global_seed(instances[0].order_seed % 2**31):
        alone = SingleNetwork(modules[0], options)
        return fit(alone, parts, instances, options, rows_at_once=rows)


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
