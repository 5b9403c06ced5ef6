"""Many pieces of work in several processes with one thread each."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import as_completed
from typing import TypeVar

import loky


_ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
}

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
    executor = loky.ProcessPoolExecutor(min(n_jobs, len(pieces)), env=_ONE_THREAD)
    try:
        futures = {executor.submit(do, piece): index for index, piece in enumerate(pieces)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        executor.shutdown(kill_workers=True)
