"""Small convolutions as products of matrices, which take a CPU less time.

Libraries for convolutions are made for large ones. Here the numbers that a filter meets at a place
become a row of a matrix (Chellapilla, Puri and Simard 2006); what comes out and both gradients are
products with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad


# Numbers of a matrix, above which PyTorch's convolutions take less time.
_MOST_NUMBERS = 2**18
# With fewer channels it is faster to copy neighbours in a row of the image than channels.
_FEW_CHANNELS = 8
_aten = torch.ops.aten


class _Kernel(NamedTuple):
    """How a filter moves over an image; sizes are height and width."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    def places(self, image: Tensor) -> tuple[int, ...]:
        """Return at how many places along each side it lies."""
        sides = zip(image.shape[2:], *self, strict=True)
        return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sides)

    def numbers(self, sides: Sequence[int]) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
        """Yield each of its numbers, and what of a padded image that meets."""
        for row, column in product(*map(range, self.size)):
            starts = row * self.dilation[0], column * self.dilation[1]
            high, wide = (
                slice(start, start + step * (n - 1) + 1, step)
                for start, step, n in zip(starts, self.stride, sides, strict=True)
            )
            yield row, column, (high, wide)


class Convolutions:
    """Decompositions of convolutions, for the operations of one step that are taken down.

    The matrix of an image serves what comes out and the gradient of the weight.
    """

    def __init__(self) -> None:
        self._matrices: dict[tuple[Any, ...], tuple[Tensor, Tensor]] = {}

    def table(self) -> dict[Any, Any]:
        """Return what stands for which operation."""
        return {
            _aten.convolution.default: self._forward,
            _aten.convolution_backward.default: self._backward,
        }

    def _forward(self, image: Tensor, weight: Tensor, bias: Tensor | None, *how: Any) -> Any:
        kernel = _kernel(image, weight, how)
        if kernel is None:
            return NotImplemented
        found = self._matrix(image, kernel) @ _rows(weight).t()
        if bias is not None:
            found = found + bias
        return _as_images(found, len(image), kernel.places(image))

    def _backward(
        self,
        gradient: Tensor,
        image: Tensor,
        weight: Tensor,
        sizes_of_bias: object,
        *how: Any,
    ) -> Any:
        *moves, (for_image, for_weight, for_bias) = how
        kernel = _kernel(image, weight, moves)
        if kernel is None:
            return NotImplemented
        own = gradient.permute(0, 2, 3, 1).reshape(-1, len(weight))
        return (
            _gradient_of_image(own, image, weight, kernel) if for_image else None,
            _as_weight(self._matrix(image, kernel).t() @ own, weight) if for_weight else None,
            own.sum(0) if for_bias else None,
        )

    def _matrix(self, image: Tensor, kernel: _Kernel) -> Tensor:
        place = image.untyped_storage()._cdata, image.storage_offset(), image.stride()
        key = (*place, image.shape, kernel)
        if key not in self._matrices:
            # The image is held, so that no other gets its place.
            self._matrices[key] = image, _matrix(image, kernel)
        return self._matrices[key][1]


def _kernel(image: Tensor, weight: Tensor, how: Sequence[Any]) -> _Kernel | None:
    """Return how a filter moves; None if the convolution stays as it is."""
    stride, padding, dilation, is_transposed, _, n_groups = how
    if image.ndim != 4 or is_transposed or n_groups != 1:
        return None
    moves = tuple(tuple(each) for each in (stride, padding, dilation))
    kernel = _Kernel(tuple(weight.shape[2:]), *moves)
    n_numbers = len(image) * prod(kernel.places(image)) * weight[0].numel()
    return kernel if n_numbers <= _MOST_NUMBERS else None


def _padded(image: Tensor, kernel: _Kernel) -> Tensor:
    high, wide = kernel.padding
    return pad(image, (wide, wide, high, high)) if high or wide else image


def _matrix(image: Tensor, kernel: _Kernel) -> Tensor:
    """Return numbers in the order of image, place; kernel, channel."""
    sides, image = kernel.places(image), _padded(image, kernel)
    n, n_channels = image.shape[:2]
    few = n_channels < _FEW_CHANNELS
    if not few:
        image = image.contiguous(memory_format=torch.channels_last)
    of_image, of_channel, *of_sides = image.stride()
    steps = [by * step for by, step in zip(of_sides, kernel.stride, strict=True)]
    inside = [by * step for by, step in zip(of_sides, kernel.dilation, strict=True)]
    offset = image.storage_offset()
    if few:
        shape = (*kernel.size, n_channels, n, *sides)
        numbers = image.as_strided(shape, (*inside, of_channel, of_image, *steps), offset)
        return numbers.reshape(prod(shape[:3]), -1).t()
    shape = (n, *sides, *kernel.size, n_channels)
    numbers = image.as_strided(shape, (of_image, *steps, *inside, of_channel), offset)
    return numbers.reshape(prod(shape[:3]), -1)


def _rows(weight: Tensor) -> Tensor:
    """Return filters as rows, in the order of kernel, channel."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _as_weight(columns: Tensor, weight: Tensor) -> Tensor:
    """Return filters from columns."""
    n_filters, n_channels, *size = weight.shape
    return columns.reshape(*size, n_channels, n_filters).permute(3, 2, 0, 1)


def _as_images(rows: Tensor, n: int, sides: Sequence[int]) -> Tensor:
    """Return images from a row of channels for each place."""
    return rows.reshape(n, *sides, -1).permute(0, 3, 1, 2)


def _gradient_of_image(own: Tensor, image: Tensor, weight: Tensor, kernel: _Kernel) -> Tensor:
    n, n_channels, height, width = image.shape
    sides, (high, wide) = kernel.places(image), kernel.padding
    parts = (own @ _rows(weight)).reshape(n, *sides, *kernel.size, n_channels)
    total = own.new_zeros(n, height + 2 * high, width + 2 * wide, n_channels)
    for row, column, (down, across) in kernel.numbers(sides):
        total[:, down, across].add_(parts[:, :, :, row, column])
    return total[:, high : high + height, wide : wide + width].permute(0, 3, 1, 2)
