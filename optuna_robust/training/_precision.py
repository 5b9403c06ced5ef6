"""What float32 means on a GPU: by default PyTorch's convolutions round it to TF32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import threading

import torch


# These settings belong to the process: one training at a time may change them.
_lock = threading.RLock()


@contextmanager
def float32_precision(device: torch.device, *, reduced: bool) -> Iterator[None]:
    """Let float32 be float32 on a GPU, or TF32 where it is faster; restores what was set before.

    Trainings of several threads take turns on a GPU, which they would do there anyway.
    """
    if device.type == "cpu":
        yield
        return
    with _lock:
        convolutions = torch.backends.cudnn.allow_tf32
        products = torch.get_float32_matmul_precision()
        torch.backends.cudnn.allow_tf32 = reduced
        torch.set_float32_matmul_precision("high" if reduced else "highest")
        try:
            yield
        finally:
            torch.backends.cudnn.allow_tf32 = convolutions
            torch.set_float32_matmul_precision(products)
