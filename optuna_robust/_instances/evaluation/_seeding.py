"""Global random number generators: seeded for one instance, restored afterwards."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
import random
import sys
import threading
from typing import Any
import warnings

import numpy as np


# Global generators belong to the process: one instance at a time may use them.
_lock = threading.RLock()


@contextmanager
def global_seed(
    seed: int,
    seed_function: Callable[[int], object] | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Seed ``random``, NumPy's legacy generator and PyTorch, and restore them on leaving.

    Holds a process-wide lock, since these generators are shared by all threads.

    Args:
        seed:
            In [0, 2^31).
        seed_function:
            Called with the seed, for generators of other libraries (not restored).
        on_wait:
            Called if another thread holds the lock, before waiting for it.
    """
    if not _lock.acquire(blocking=False):
        if on_wait is not None:
            on_wait()
        _lock.acquire()
    try:
        random_state = random.getstate()
        numpy_state = np.random.get_state()
        torch_state = _torch_state()
        sent = _sent_by_joblib()
        try:
            random.seed(seed)
            np.random.seed(seed)
            if torch_state is not None:
                sys.modules["torch"].manual_seed(seed)
            if seed_function is not None:
                seed_function(seed)
            yield
        finally:
            random.setstate(random_state)
            np.random.set_state(numpy_state)
            if torch_state is not None:
                _restore_torch(torch_state)
            if _sent_by_joblib() != sent:
                warnings.warn(
                    "The objective has joblib train in other processes (n_jobs of "
                    "cross_val_score, …), whose random generators are not seeded: what is random "
                    "there differs from run to run, unless it is given a seed. Take the parameter "
                    "'instance' and pass random_state=instance.seed, or use n_jobs=1.",
                    stacklevel=3,
                )
            if torch_state is None and "torch" in sys.modules:
                warnings.warn(
                    "torch was imported while an instance ran, so that this instance did not "
                    "start from its seed; import torch before study.optimize.",
                    stacklevel=3,
                )
    finally:
        _lock.release()


def _sent_by_joblib() -> tuple[int, int]:
    """Return joblib's processes, and how much they were given to do; zeros if there are none."""
    module = sys.modules.get("joblib.externals.loky.reusable_executor")
    executor = getattr(module, "_executor", None)
    return (0, 0) if executor is None else (id(executor), getattr(executor, "_queue_count", 0))


def _torch_state() -> tuple[Any, list[Any]] | None:
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    # Asking CUDA for its state would initialise it.
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return torch.get_rng_state(), cuda


def _restore_torch(state: tuple[Any, list[Any]]) -> None:
    torch = sys.modules["torch"]
    cpu, cuda = state
    torch.set_rng_state(cpu)
    if cuda:
        torch.cuda.set_rng_state_all(cuda)
