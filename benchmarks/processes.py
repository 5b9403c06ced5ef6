"""Many pieces of work in several processes with one thread each."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import as_completed
import os
import signal
import threading
import time
from typing import TypeVar

import loky

from optuna_robust._running.process import Process
from optuna_robust._running.process import this_process


_ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
}
_SECONDS_BETWEEN_LOOKS = 1.0

_Piece = TypeVar("_Piece")
_Result = TypeVar("_Result")


def run_in_processes(
    do: Callable[[_Piece], _Result], pieces: Sequence[_Piece], *, n_jobs: int
) -> Iterator[tuple[int, _Result]]:
    """Do pieces of work.

    Args:
        do:
            Does one.
        pieces:
            They are begun in this order.
        n_jobs:
            Number of processes; 1: this one.

    Yields:
        The index of every piece and what came of it, in the order in which they end.
    """
    if n_jobs == 1 or len(pieces) < 2:
        for index, piece in enumerate(pieces):
            yield index, do(piece)
        return
    executor = loky.ProcessPoolExecutor(
        min(n_jobs, len(pieces)),
        env=_ONE_THREAD,
        initializer=_begin,
        initargs=(this_process(),),
    )
    try:
        futures = {executor.submit(do, piece): index for index, piece in enumerate(pieces)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        executor.shutdown(kill_workers=True)


def _begin(parent: Process) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Process) -> None:
    """End this process when its parent is gone, however that ended: nobody takes the results."""
    while parent.is_alive():
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)
