"""ResNet-18 (He et al. 2016, doi:10.1109/CVPR.2016.90) for images of 32 x 32 pixels."""

from __future__ import annotations

from torch import nn
from torch import Tensor
from torch.nn import functional

from benchmarks.cifar10.binary import N_CLASSES


# Of the published network; its four stages have 1, 2, 4 and 8 times as many channels.
WIDTH = 64
_STAGES = (1, 2, 4, 8)
_BLOCKS_PER_STAGE = 2


class BasicBlock(nn.Module):
    """Two convolutions, and a way around them."""

    def __init__(self, n_inputs: int, n_channels: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *_convolution(n_inputs, n_channels, 3, stride),
            nn.ReLU(inplace=True),
            *_convolution(n_channels, n_channels, 3, 1),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or n_inputs != n_channels:
            self.shortcut = nn.Sequential(*_convolution(n_inputs, n_channels, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return functional.relu(self.residual(x) + self.shortcut(x), inplace=True)


def build_resnet18(width: int = WIDTH) -> nn.Sequential:
    """Return an untrained network; its weights come from PyTorch's global generator.

    The stem is a 3 x 3 convolution that keeps the size, without pooling, since images are small.

    Args:
        width:
            Channels of the first stage.
    """
    layers: list[nn.Module] = [*_convolution(3, width, 3, 1), nn.ReLU(inplace=True)]
    n_inputs = width
    for stage, factor in enumerate(_STAGES):
        for block in range(_BLOCKS_PER_STAGE):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(BasicBlock(n_inputs, factor * width, stride))
            n_inputs = factor * width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_inputs, N_CLASSES)
    )


def _convolution(
    n_inputs: int, n_channels: int, kernel_size: int, stride: int
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    padding = kernel_size // 2
    return (
        nn.Conv2d(n_inputs, n_channels, kernel_size, stride, padding, bias=False),
        nn.BatchNorm2d(n_channels),
    )
