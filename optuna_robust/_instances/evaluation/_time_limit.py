"""A limit of an instance's time, kept by an alarm that raises an exception in the objective."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
import signal
import threading
import time
from types import FrameType

from optuna_robust._base.arguments import check_between


# What timers can hold, seconds: three years.
_LONGEST = 1e8
# An objective that catches the exception and goes on gets it again, after so many seconds.
_AGAIN = 5.0


def check_instance_timeout(
    instance_timeout: float | None, executor: Executor | None
) -> float | None:
    """Return the limit of an instance's time, seconds; None: there is none.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is not positive, or nothing here can keep it.
    """
    if instance_timeout is None:
        return None
    limit = check_between("instance_timeout", instance_timeout, 0.0, _LONGEST)
    if executor is not None:
        raise ValueError(
            f"instance_timeout={instance_timeout!r} cannot be kept in an executor's workers; use "
            "n_jobs instead of executor, or the executor's own limit."
        )
    if not hasattr(signal, "setitimer"):
        raise ValueError(
            f"instance_timeout={instance_timeout!r} needs the signal SIGALRM, which this platform "
            "does not have."
        )
    return limit


def check_main_thread() -> None:
    """Check that an alarm would reach this thread.

    Raises:
        RuntimeError: If it would not.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "instance_timeout cannot be kept in a thread other than the main one: call "
            "study.optimize with n_jobs=1 (MultiInstanceObjective has an n_jobs of its own)."
        )


@contextmanager
def time_limit(seconds: float, message: str) -> Iterator[None]:
    """Raise an exception in what takes longer. Code in C is left alone until it returns.

    Args:
        seconds:
            The limit.
        message:
            Of the exception.

    Raises:
        TimeoutError: If it took longer.
    """
    is_over = False

    def interrupt(_: int, __: FrameType | None) -> None:
        if not is_over:
            raise TimeoutError(message)

    begun = time.monotonic()
    handler = signal.signal(signal.SIGALRM, interrupt)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        try:
            yield
        finally:
            is_over = True
    finally:
        # An alarm that somebody else had set goes on.
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        if left:
            rest = max(left - (time.monotonic() - begun), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, rest, interval)
