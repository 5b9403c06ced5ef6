"""Instances that are trained at a time: several together, or one by itself."""

from __future__ import annotations

from collections.abc import Sequence

from optuna_robust._instances.evaluation import global_seed
from optuna_robust._instances.instance import Instance
from optuna_robust.training._captured import Captured
from optuna_robust.training._captured import CapturedNetwork
from optuna_robust.training._fit import fit
from optuna_robust.training._fit import Fitted
from optuna_robust.training._memory import rows_at_once
from optuna_robust.training._networks import SingleNetwork
from optuna_robust.training._networks import StackedNetworks
from optuna_robust.training._options import ModelFactory
from optuna_robust.training._options import Parts
from optuna_robust.training._options import TrainingOptions
from optuna_robust.training._precision import float32_precision
from optuna_robust.training._support import new_network
from optuna_robust.training._together import check_alike


def in_chunks(
    model_factory: ModelFactory,
    parts: Parts,
    instances: Sequence[Instance],
    options: TrainingOptions,
    n_together: int,
    *,
    captured: Captured | None = None,
) -> list[Fitted]:
    """Train instances, so many at a time, on the device of the data.

    Those that are trained one at a time take captured steps, if there are some.
    """
    with float32_precision(parts.device, reduced=options.reduced_precision):
        return [
            _train(model_factory, parts, instances[start : start + n_together], options, captured)
            for start in range(0, len(instances), n_together)
        ]


def _train(
    model_factory: ModelFactory,
    parts: Parts,
    instances: Sequence[Instance],
    options: TrainingOptions,
    captured: Captured | None,
) -> Fitted:
    first, dtype = instances[0], parts.dtype
    rows = rows_at_once(
        new_network(model_factory, first, dtype),
        parts.validation,
        len(instances),
        parts.device,
        batch_size=options.batch_size,
    )
    modules = [new_network(model_factory, instance, dtype) for instance in instances]
    for module in modules:
        module.to(parts.device)
    if len(modules) > 1:
        check_alike(modules)
        together = StackedNetworks(modules, options)
        return fit(together, parts, instances, options, rows_at_once=rows)
    # Random layers draw from global generators; that belongs to the order, not to the weights.
    with global_seed(first.order_seed % 2**31):
        alone = (
            SingleNetwork(modules[0], options)
            if captured is None
            else CapturedNetwork(modules[0], options, captured)
        )
        return fit(alone, parts, instances, options, rows_at_once=rows)
