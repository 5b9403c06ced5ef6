"""Training of one instance: one-cycle learning rate, random crops and mirror images."""

from __future__ import annotations

from collections.abc import Callable
import math

import torch
from torch import nn
from torch import Tensor
from torch.nn import functional

from benchmarks.cifar10.binary import Images
from benchmarks.cifar10.binary import Labels
from benchmarks.cifar10.binary import Pixels
from benchmarks.cifar10.binary import SIDE
from benchmarks.cifar10.network import build_resnet18
from benchmarks.cifar10.variants import Recipe
from benchmarks.cifar10.variants import Variant
from optuna_robust import Instance


# How far a crop may be off the middle, pixels.
_PADDING = 4
_MOMENTUM = 0.9
# Means and standard deviations of CIFAR-10's channels.
_MEANS = (0.4914, 0.4822, 0.4465)
_STDS = (0.2470, 0.2435, 0.2616)
_JUDGED_AT_ONCE = 1000


class Judge:
    """Images that networks are judged by, read once."""

    def __init__(self, images: Images) -> None:
        pixels, labels = images.all()
        self._pixels = torch.as_tensor(pixels)
        self._labels = torch.as_tensor(labels)

    def accuracy_percent(self, network: nn.Module) -> float:
        """Return the share of images that a network classifies correctly.

        A network that has diverged takes all for one class, and is right about a tenth of them.
        """
        device = next(network.parameters()).device
        network.eval()
        n_correct = 0
        with torch.no_grad():
            for pixels, labels in zip(
                self._pixels.split(_JUDGED_AT_ONCE),
                self._labels.split(_JUDGED_AT_ONCE),
                strict=True,
            ):
                guessed = network(_scaled(pixels.to(device))).argmax(dim=1)
                n_correct += int((guessed.cpu() == labels).sum())
        network.train()
        return 100.0 * n_correct / len(self._labels)


def train(
    variant: Variant,
    recipe: Recipe,
    pixels: Pixels,
    labels: Labels,
    instance: Instance,
    *,
    on_epoch: Callable[[int, nn.Module], object] = lambda epoch, network: None,
) -> nn.Sequential:
    """Return a network with the instance's initial weights, trained in the instance's order.

    Stochastic gradient descent with Nesterov's momentum and the one-cycle learning rate of Smith
    & Topin (2018, arXiv:1708.07120).

    Args:
        variant:
            The model.
        recipe:
            What all variants have in common.
        pixels:
            Of the training sample, shape ``(n, 3, 32, 32)``.
        labels:
            Shape ``(n,)``.
        instance:
            Weights, order, crops and mirror images come from it.
        on_epoch:
            Called after every epoch with its number, from 1, and the network.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(instance.seed)
        network = build_resnet18(recipe.width)
    network.to(device).to(memory_format=_layout(device))  # type: ignore[call-overload]
    generator = instance.torch_generator()
    padded = functional.pad(torch.as_tensor(pixels), (_PADDING,) * 4).to(device)
    targets = torch.as_tensor(labels).to(device)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=variant.peak_rate,
        momentum=_MOMENTUM,
        weight_decay=variant.l2,
        nesterov=True,
        fused=True,
    )
    n_steps = recipe.n_epochs * math.ceil(len(labels) / variant.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=variant.peak_rate, total_steps=n_steps
    )
    for epoch in range(1, recipe.n_epochs + 1):
        order = torch.randperm(len(labels), generator=generator)
        for rows in order.split(variant.batch_size):
            images = _scaled(augmented(padded, rows, generator))
            optimizer.zero_grad()
            functional.cross_entropy(network(images), targets[rows.to(device)]).backward()
            optimizer.step()
            schedule.step()
        on_epoch(epoch, network)
    return network


def augmented(padded: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
    """Return random crops of some images, half of them mirrored.

    Args:
        padded:
            All images with a margin of 4 pixels, shape ``(n, 3, 40, 40)``.
        rows:
            Which images, shape ``(n_rows,)``.
        generator:
            Crops and mirror images are drawn from it, on the CPU, so that they are the same on
            all devices.

    Returns:
        Shape ``(n_rows, 3, 32, 32)``.
    """
    top, left = torch.randint(0, 2 * _PADDING + 1, (2, len(rows), 1), generator=generator)
    mirrored = torch.rand(len(rows), 1, generator=generator) < 0.5
    places = torch.arange(SIDE)
    down = top + places
    across = left + torch.where(mirrored, SIDE - 1 - places, places)
    rows, down, across = (each.to(padded.device) for each in (rows, down, across))
    channels = torch.arange(3, device=padded.device)
    return padded[
        rows[:, None, None, None],
        channels[None, :, None, None],
        down[:, None, :, None],
        across[:, None, None, :],
    ]


def _scaled(pixels: Tensor) -> Tensor:
    """Return pixels with a mean of about 0 and a standard deviation of about 1."""
    means, stds = (
        torch.tensor(each, device=pixels.device)[:, None, None] for each in (_MEANS, _STDS)
    )
    scaled = (pixels / 255.0 - means) / stds
    return scaled.contiguous(memory_format=_layout(pixels.device.type))


def _layout(device: str) -> torch.memory_format:
    """Return channels last on GPUs, where it is faster; narrow networks crash with it on CPUs."""
    return torch.channels_last if device == "cuda" else torch.contiguous_format
