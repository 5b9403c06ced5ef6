"""Networks that look at a matrix of cells: convolutions, then fully connected layers.

The family is the one of "An Approach to Finding a Robust Deep Learning Model"
(doi:10.1109/ACCESS.2025.3578926). Its inductive bias is a feature that is known to be good for the
target, the sum of the cells or their barycentre, appended to the input of the layer before the
last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args
from typing import Literal
from typing import TypeAlias

import torch
from torch import nn
from torch import Tensor

from benchmarks.calorimeter.setting import N_SIDE
from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_count


Activation: TypeAlias = Literal["relu", "prelu", "leaky_relu", "elu"]
Pooling: TypeAlias = Literal["max", "average"]
Extra: TypeAlias = Literal["none", "sum", "barycentre"]

MOST_CONVOLUTIONS = 2
MOST_LAYERS = 4  # fully connected, the output layer included
MOST_PARAMETERS = 30_000

# Features that are appended.
N_EXTRA: dict[Extra, int] = {"none": 0, "sum": 1, "barycentre": 2}

# The slope on the negative side that He initialisation reckons with; PReLU's is its first value.
_SLOPES: dict[Activation, float] = {"relu": 0.0, "prelu": 0.25, "leaky_relu": 0.01, "elu": 0.0}


@dataclass(frozen=True)
class Convolution:
    """A convolution without padding, with an activation, and pooling.

    Args:
        channels:
            Number of filters.
        pool:
            Kernel size of the pooling; 1: none.
        stride:
            Of the pooling.
        kernel:
            Kernel size of the convolution.
        bias:
            Whether filters have a bias.
    """

    channels: int
    pool: int = 1
    stride: int = 1
    kernel: int = 3
    bias: bool = False

    def side_of(self, side: int) -> int:
        """Return the side of the maps that come out, from that of those that go in."""
        return (side - self.kernel + 1 - self.pool) // self.stride + 1


@dataclass(frozen=True)
class Network:
    """A network with one output.

    Args:
        convolutions:
            At most two.
        hidden:
            Widths of the fully connected layers, at most three, and one at least; the output layer
            comes on top.
        activation:
            After every layer but the last. A PReLU has a slope for each channel or unit.
        extra:
            What is appended to the input of the last but one fully connected layer.
        pooling:
            Of all convolutions.

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If it is not in the family, has more than 30 000 parameters, or its
            convolutions need larger maps than they get.

    Example:
        >>> from benchmarks.calorimeter.networks import Convolution
        >>> from benchmarks.calorimeter.networks import Network
        >>> network = Network((Convolution(32, 2, 2), Convolution(64, 2, 1)), (9,), extra="sum")
        >>> network.sides, network.n_parameters
        ((6, 3), 23932)
        >>> network.build()(torch.ones(4, 1, 15, 15), torch.ones(4, 1)).shape
        torch.Size([4])
    """

    convolutions: tuple[Convolution, ...]
    hidden: tuple[int, ...]
    activation: Activation = "relu"
    extra: Extra = "none"
    pooling: Pooling = "max"

    def __post_init__(self) -> None:
        check_choice("activation", self.activation, get_args(Activation))
        check_choice("extra", self.extra, get_args(Extra))
        check_choice("pooling", self.pooling, get_args(Pooling))
        if len(self.convolutions) > MOST_CONVOLUTIONS:
            raise ValueError(
                f"convolutions must be at most {MOST_CONVOLUTIONS}, "
                f"but there were {len(self.convolutions)}."
            )
        if not 1 <= len(self.hidden) < MOST_LAYERS:
            raise ValueError(
                f"hidden must have 1 to {MOST_LAYERS - 1} widths, but was {self.hidden!r}."
            )
        for width in self.hidden:
            check_count("hidden", width, minimum=1)
        for convolution in self.convolutions:
            for name in ("channels", "pool", "stride", "kernel"):
                check_count(name, getattr(convolution, name), minimum=1)
        if min(self.sides, default=1) < 1:
            raise ValueError(
                f"convolutions={self.convolutions!r} leave maps of sides {self.sides}, "
                "but a side must be at least 1."
            )
        if self.n_parameters > MOST_PARAMETERS:
            raise ValueError(
                f"A network must have at most {MOST_PARAMETERS} parameters, "
                f"but {self!r} has {self.n_parameters}."
            )

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of the maps after each convolution and its pooling."""
        sides = [N_SIDE]
        for convolution in self.convolutions:
            sides.append(convolution.side_of(sides[-1]))
        return tuple(sides[1:])

    @property
    def n_parameters(self) -> int:
        """Number of weights, biases and slopes."""
        n_channels, count = 1, 0
        for convolution in self.convolutions:
            n_weights = n_channels * convolution.kernel**2 + convolution.bias
            n_channels = convolution.channels
            count += n_channels * n_weights
            count += n_channels * self._slopes_per_unit
        for n_inputs, n_outputs in self._dense_sizes():
            count += n_outputs * (n_inputs + 1 + self._slopes_per_unit)
        return count - self._slopes_per_unit  # the output has none

    def build(self) -> ClusterNetwork:
        """Return an untrained module.

        Weights are normal with the variances of He et al. (2015, equations 10 and 15: 2 over the
        number of inputs, or 2 / (1 + slope²) of that), biases are zero. They are drawn from
        PyTorch's global generator.
        """
        return ClusterNetwork(self)

    @property
    def _slopes_per_unit(self) -> int:
        return int(self.activation == "prelu")

    def _dense_sizes(self) -> Iterator[tuple[int, int]]:
        """Yield inputs and outputs of the fully connected layers."""
        n_inputs = N_SIDE**2
        if self.convolutions:
            n_inputs = self.convolutions[-1].channels * self.sides[-1] ** 2
        for layer, n_outputs in enumerate((*self.hidden, 1), start=1):
            appended = N_EXTRA[self.extra] if layer == len(self.hidden) else 0
            yield n_inputs + appended, n_outputs
            n_inputs = n_outputs


class ClusterNetwork(nn.Module):
    """The module of a :class:`Network`: without buffers, and the same in training and judging."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.appends = network.extra != "none"
        layers: list[nn.Module] = []
        n_channels = 1
        for convolution in network.convolutions:
            layers.append(
                nn.Conv2d(
                    n_channels, convolution.channels, convolution.kernel, bias=convolution.bias
                )
            )
            n_channels = convolution.channels
            after = [_activation(network.activation, n_channels)]
            if convolution.pool > 1 or convolution.stride > 1:
                after.append(_pooling(network.pooling, convolution))
            # A rising function of the largest is the largest of the function's values, and there
            # are fewer to take it of: a step of Model 3 takes two thirds of the time. (A PReLU
            # whose slope becomes negative falls; which came first is not published.)
            layers += reversed(after) if network.pooling == "max" else after
        layers.append(nn.Flatten())
        dense = [
            (nn.Linear(n_inputs, n_outputs), _activation(network.activation, n_outputs))
            for n_inputs, n_outputs in network._dense_sizes()
        ]
        for linear, activation in dense[:-2]:
            layers += [linear, activation]
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(*dense[-2], dense[-1][0])
        _initialise(self, _SLOPES[network.activation])
        # The same numbers in another order of memory: a CPU takes two thirds of the time.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, cells: Tensor, extra: Tensor) -> Tensor:
        """Return predictions of shape (n,).

        Args:
            cells:
                Scaled deposits, shape (n, 1, 15, 15).
            extra:
                Scaled features to append, shape (n, k); not looked at if none are appended.
        """
        features = self.body(cells)
        if self.appends:
            features = torch.cat([features, extra], dim=1)
        prediction: Tensor = self.head(features).squeeze(1)
        return prediction


def _activation(name: Activation, n_units: int) -> nn.Module:
    if name == "prelu":
        return nn.PReLU(n_units, init=_SLOPES["prelu"])
    if name == "leaky_relu":
        return nn.LeakyReLU(_SLOPES["leaky_relu"])
    return nn.ELU() if name == "elu" else nn.ReLU()


def _pooling(name: Pooling, convolution: Convolution) -> nn.Module:
    if name == "max":
        return nn.MaxPool2d(convolution.pool, convolution.stride)
    return nn.AvgPool2d(convolution.pool, convolution.stride)


def _initialise(module: nn.Module, slope: float) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=slope, nonlinearity="leaky_relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
