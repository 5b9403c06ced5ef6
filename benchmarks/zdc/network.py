"""The generator: from one number to an image, by transposed convolutions and pixel shuffles."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch import Tensor

from benchmarks.zdc.showers import HIGHEST


_SLOPE = 0.1
_DROPOUT = 0.1


class Generator(nn.Module):
    """From energies to logits of the mask and deposits of 20 × 20 cells.

    Linear (1, 4h), linear blocks (4h … 9h), h × 3 × 3, a transposed convolution (5 × 5),
    convolutions of 3 × 3 (h → 4h), a pixel shuffle (10 × 10), convolutions of 5 × 5, a pixel
    shuffle (20 × 20), convolutions of 5 × 5. What normalises and what is between layers is not
    published: batch normalisation and leaky rectifiers here.

    Args:
        width:
            h; 32 in the published generator.
        extended:
            "Extended 2": twice the blocks, and dropout of 0.1.
    """

    def __init__(self, width: int, *, extended: bool) -> None:
        super().__init__()
        repeats = 2 if extended else 1
        self.start = nn.Sequential(
            nn.Linear(1, 4 * width),
            nn.LeakyReLU(_SLOPE),
            *_linear_blocks(4 * width, 9 * width, repeats),
            nn.Unflatten(1, (width, 3, 3)),
        )
        self.convolutions = nn.Sequential(
            nn.ConvTranspose2d(width, width, 3),
            nn.LeakyReLU(_SLOPE),
            *_conv_blocks(width, 4 * width, 3, repeats),
            nn.PixelShuffle(2),
            *_conv_blocks(width, 4 * width, 5, repeats),
            nn.PixelShuffle(2),
            *_conv_blocks(width, width, 5, repeats),
            nn.Conv2d(width, 2, 5, padding=2),
        )

    def forward(self, energy: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of the mask and deposits in units of the energy.

        Args:
            energy:
                GeV, shape ``(n, 1)``.

        Returns:
            Two tensors of shape ``(n, 20, 20)``.
        """
        maps = self.convolutions(self.start(2 * energy / HIGHEST - 1))
        return maps[:, 0], maps[:, 1]

    def images(self, energy: Tensor) -> Tensor:
        """Return deposits, GeV, where the mask says that there are some; shape (n, 20, 20)."""
        self.eval()
        with torch.no_grad():
            logits, shares = self(energy)
        deposits = torch.where(logits > 0, shares.clamp(min=0) * energy[:, :, None], 0.0)
        return deposits


def _linear_blocks(n_in: int, n_out: int, repeats: int) -> list[nn.Module]:
    widths = [n_in, *[n_out] * repeats]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.LeakyReLU(_SLOPE), *_dropout(repeats)]
    return layers


def _conv_blocks(n_in: int, n_out: int, kernel: int, repeats: int) -> list[nn.Module]:
    widths = [n_in] * repeats + [n_out]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [
            nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(after),
            nn.LeakyReLU(_SLOPE),
            *_dropout(repeats),
        ]
    return layers


def _dropout(repeats: int) -> list[nn.Module]:
    return [nn.Dropout(_DROPOUT)] if repeats > 1 else []
