"""Training of one instance of a generator: which cells are hit, and how much is in them."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Literal
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.zdc.network import Generator
from benchmarks.zdc.showers import Showers
from optuna_robust import Instance


NetworkName: TypeAlias = Literal["default", "extended 2"]


@dataclass(frozen=True)
class Model:
    """The hyperparameters of a generator.

    Args:
        network:
            ``"default"`` or ``"extended 2"``.
        width:
            h of the network.
        weight:
            w of the loss L_MASK + w L_VALUE.
        learning_rate:
            Peak of the one-cycle schedule.
        batch_size:
            Showers of a step.
        n_epochs:
            Passes over the sample.
    """

    network: NetworkName
    width: int
    weight: float
    learning_rate: float
    batch_size: int
    n_epochs: int


def losses(logits: Tensor, shares: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return L_MASK and L_VALUE of a batch.

    Args:
        logits:
            Of cells being hit, shape ``(n, 20, 20)``.
        shares:
            What is in them, in units of the photon's energy, of the same shape.
        target:
            The simulated shares, 0 in cells that are not hit, of the same shape.

    Returns:
        The mean cross entropy of the mask, and the mean squared error of the shares in cells that
        are hit.
    """
    hit = (target > 0).to(target.dtype)
    mask = functional.binary_cross_entropy_with_logits(logits, hit)
    value = (hit * (shares - target) ** 2).sum() / hit.sum().clamp(min=1)
    return mask, value


def train(model: Model, showers: Showers, instance: Instance) -> Generator:
    """Return a generator with the instance's initial weights, trained in its order (Adam)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(instance.seed)
        network = Generator(model.width, extended=model.network == "extended 2")
        _fit(network, model, showers, instance)
    return network


def _fit(network: Generator, model: Model, showers: Showers, instance: Instance) -> None:
    generator = instance.torch_generator()
    energy = torch.as_tensor(showers.energy)[:, None]
    target = torch.as_tensor(showers.deposits) / energy[:, :, None]
    optimizer = torch.optim.Adam(network.parameters(), lr=model.learning_rate, fused=True)
    n_steps = model.n_epochs * math.ceil(len(energy) / model.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=model.learning_rate, total_steps=n_steps
    )
    network.train()
    for _ in range(model.n_epochs):
        for rows in torch.randperm(len(energy), generator=generator).split(model.batch_size):
            logits, shares = network(energy[rows])
            mask, value = losses(logits, shares, target[rows])
            optimizer.zero_grad()
            (mask + model.weight * value).backward()
            optimizer.step()
            schedule.step()
