"""How many instances fit into memory together."""

from __future__ import annotations

import psutil
import torch
from torch import nn
from torch import Tensor

from optuna_robust._instances.evaluation import global_seed
from optuna_robust.training._options import Columns
from optuna_robust.training._options import TrainingOptions


# Parameters, gradients, an optimizer's averages, a copy while a step is taken, the best ones.
_COPIES_OF_PARAMETERS = 8
# Outputs of layers, their gradients, and what kernels need beside them.
_COPIES_OF_OUTPUTS = 4
# Of the memory that is free, this much is used; the rest is for what is not counted here.
_SHARE = 0.5
# More validation rows in a call make nothing faster.
_MOST_ROWS = 4096


def instances_at_once(
    module: nn.Module, population: Columns, options: TrainingOptions, device: torch.device
) -> int:
    """Return how many instances can be trained together.

    Args:
        module:
            A network that is not trained, on the CPU.
        population:
            What training samples are drawn from, of which a batch is looked at.
        options:
            How instances are trained.
        device:
            Where.
    """
    batch = tuple(column[: options.batch_size] for column in population)
    bytes_of_one = _COPIES_OF_PARAMETERS * _bytes(list(module.parameters()))
    bytes_of_one += _COPIES_OF_OUTPUTS * (_bytes(list(batch)) + _bytes_of_outputs(module, batch))
    return max(1, int(_SHARE * free_bytes(device) / max(bytes_of_one, 1)))


def rows_at_once(
    module: nn.Module,
    validation: Columns,
    n_instances: int,
    device: torch.device,
    *,
    batch_size: int,
) -> int:
    """Return how many validation rows all instances can predict at once.

    Args:
        module:
            A network that is not trained, on the CPU.
        validation:
            The data, of which as many rows are looked at as a batch has: a layer may need several.
        n_instances:
            How many instances predict.
        device:
            Where.
        batch_size:
            Rows of a batch.
    """
    rows = tuple(column[:batch_size] for column in validation)
    bytes_of_one = 2 * n_instances * _bytes_of_outputs(module, rows) / len(rows[-1])
    fitting = int(_SHARE * free_bytes(device) / max(bytes_of_one, 1))
    return max(1, min(_MOST_ROWS, fitting))


def free_bytes(device: torch.device) -> int:
    """Return how much memory is free."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _bytes(tensors: list[Tensor]) -> int:
    return sum(each.numel() * each.element_size() for each in tensors)


@torch.no_grad()
def _bytes_of_outputs(module: nn.Module, batch: Columns) -> int:
    """Return the size of what all layers put out, summed."""
    sizes: list[int] = []

    def look(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(_bytes([output]))

    module.eval()
    hooks = [
        layer.register_forward_hook(look)
        for layer in module.modules()
        if not any(True for _ in layer.children())
    ]
    with global_seed(0):
        module(*(column.cpu().clone() for column in batch[:-1]))
    for hook in hooks:
        hook.remove()
    return sum(sizes)
