"""Small networks and data, how they are trained, and the plain loop that users write."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch import Tensor

from optuna_robust import Instance
from optuna_robust.training import train_instances
from optuna_robust.training import TrainingResult


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


def dropped_out() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Dropout(0.5), nn.Linear(8, 1))


def batch_normalised() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(32, 1))


class Features(nn.Module):
    """Has random features of its own, which are no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.randn(36, 8, dtype=torch.float64)
        self.linear = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(torch.cos(x.flatten(1) @ self.features))
        return out


OPTIMIZERS: dict[str, Optimizer] = {
    "Adadelta": partial(torch.optim.Adadelta, lr=0.5),
    "Adam": partial(torch.optim.Adam, lr=1e-2, weight_decay=0.1),
    "AdamW": partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1, amsgrad=True),
    "NAdam": partial(torch.optim.NAdam, lr=1e-2, weight_decay=0.01),
    "RMSprop": partial(torch.optim.RMSprop, lr=1e-3, momentum=0.9, centered=True),
    "SGD": partial(torch.optim.SGD, lr=1e-2, momentum=0.9, nesterov=True),
}
# 45 rows in batches of 10: 5 steps an epoch, the last of half a batch.
SIZES: dict[str, int] = {"sample_size": 45, "batch_size": 10, "n_epochs": 4}
DATA = images(80)
INSTANCES = [Instance(number) for number in range(3)]


def trained(
    method: str, optimizer: Optimizer = OPTIMIZERS["AdamW"], **options: Any
) -> TrainingResult:
    given: dict[str, Any] = {
        "validation": images(30),
        "loss": nn.functional.mse_loss,
        "instances": INSTANCES,
        "data": DATA,
        "model_factory": convolutional,
        **SIZES,
        **options,
    }
    return train_instances(optimizer=optimizer, method=method, **given)


def assert_alike(first: TrainingResult, second: TrainingResult) -> None:
    np.testing.assert_allclose(first.learning_curves, second.learning_curves, rtol=1e-6)
    np.testing.assert_allclose(first.losses, second.losses, rtol=1e-6)
    assert first.n_epochs.tolist() == second.n_epochs.tolist()
    for one, other in zip(first.states, second.states, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=1e-6, atol=1e-12)
