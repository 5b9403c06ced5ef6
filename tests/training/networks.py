"""Small networks and data, and the plain loop that users write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch import Tensor

from optuna_robust import Instance


SIDE = 6
Optimizer = Callable[[list[Tensor]], torch.optim.Optimizer]


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=False),
        nn.PReLU(3),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 4),
        nn.PReLU(4),
        nn.Linear(4, 1),
    )


def images(n: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Return images, and their sums."""
    cells = torch.randn(n, 1, SIDE, SIDE, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return cells, cells.sum(dim=(1, 2, 3))[:, None] / SIDE


def plain_loop(
    instance: Instance,
    data: tuple[Tensor, Tensor],
    optimizer: Optimizer,
    *,
    sample_size: int,
    batch_size: int,
    n_epochs: int,
    scheduler: Callable[[Any], Any] | None = None,
) -> nn.Module:
    """Train one instance as everybody does."""
    torch.manual_seed(instance.seed)
    module = convolutional().to(data[0].dtype)
    rows = torch.from_numpy(instance.sample(len(data[0]), sample_size))
    x, y = data[0][rows], data[1][rows]
    updates = optimizer(list(module.parameters()))
    schedule = None if scheduler is None else scheduler(updates)
    order = instance.torch_generator()
    for _ in range(n_epochs):
        for batch in torch.randperm(sample_size, generator=order).split(batch_size):
            updates.zero_grad()
            nn.functional.mse_loss(module(x[batch]), y[batch]).backward()
            updates.step()
        if schedule is not None:
            schedule.step()
    return module
