"""Makers of networks with something beside parameters: attributes, hooks, branches, layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch import Tensor


class Rows(nn.Module):
    """Two layers of the cells of an image; the second, in a branch beside it, begins at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(36, 4), nn.Linear(4, 36), nn.Linear(36, 1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def branch(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(torch.relu(self.first(x)))
        return out

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        out: Tensor = self.last(x + self.branch(x))
        return out


def with_attribute(
    value: Callable[[], Any], use: Callable[[Any, Tensor], Tensor]
) -> Callable[[], nn.Module]:
    """Return what makes networks with an attribute of any type, made in the constructor."""

    class Holding(Rows):
        def __init__(self) -> None:
            super().__init__()
            self.held = value()

        def branch(self, x: Tensor) -> Tensor:
            return super().branch(use(self.held, x))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(use(self.held, x.flatten(1)))

    return Holding


def with_branch(draw: Callable[[bool], bool]) -> Callable[[], nn.Module]:
    """Return what makes networks that leave out their branch now and then."""

    class Leaving(Rows):
        def branch(self, x: Tensor) -> Tensor:
            return super().branch(x) if draw(self.training) else 0 * super().branch(x)

    return Leaving


def by_value(scale: Any, x: Tensor) -> Tensor:
    return x * scale


def by_index(columns: Any, x: Tensor) -> Tensor:
    return x[:, columns]


def scaling_by(scale: float) -> Callable[[Tensor], Tensor]:
    return lambda x: scale * x


def hooked(make: Callable[[nn.Module], Any]) -> Callable[[], nn.Module]:
    """Return what makes networks with a forward hook of the last layer."""

    def network() -> nn.Module:
        module = Rows()
        module.last.register_forward_hook(make(module))
        return module

    return network


def scaling_hook(scale: float) -> Any:
    return lambda layer, inputs, output: scale * output


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.layers = kind(6, 3, batch_first=True, **options)
        self.linear = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(self.layers(x[:, 0])[0][:, -1])
        return out


def sequential(*layers: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Return what makes networks of some layers in the middle, with eight units."""
    return lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(36, 8), *(make() for make in layers), nn.Tanh(), nn.Linear(8, 1)
    )
