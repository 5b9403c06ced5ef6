"""What an objective may ask about the worker that trains it."""

from optuna_robust._running.parallel import worker_index


__all__ = [
    "worker_index",
]
