"""What float32 means on a GPU: by default PyTorch's convolutions round it to TF32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def float32_precision(*, reduced: bool) -> Iterator[None]:
    """Let float32 be float32, or TF32 where it is faster; restores what was set before."""
    convolutions = torch.backends.cudnn.allow_tf32
    products = torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = reduced
    torch.set_float32_matmul_precision("high" if reduced else "highest")
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.set_float32_matmul_precision(products)
