"""Many pieces of work at once: several processes with one thread each.

Small networks do not profit from threads inside PyTorch; as many processes as cores do.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import wait
from dataclasses import dataclass
import multiprocessing
from multiprocessing.connection import wait as wait_for
import os
import signal
import threading
from typing import Any
import warnings

import optuna
from optuna.storages import InMemoryStorage
from tqdm import tqdm

from benchmarks.nas_vs_robust.plan import Outcome
from benchmarks.nas_vs_robust.plan import Plan
from benchmarks.nas_vs_robust.plan import Row
from benchmarks.nas_vs_robust.plan import Search
from benchmarks.nas_vs_robust.work import Bench
from benchmarks.nas_vs_robust.work import run_row
from benchmarks.nas_vs_robust.work import run_search
from optuna_robust._base.progress import seconds_between_updates


_SECONDS_BETWEEN_LOOKS = 0.5

# glibc gives large blocks back to the system after every step of a training, and gets them again:
# a sixth of the time of small networks. Read where a process begins.
_ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "MALLOC_TOP_PAD_": str(2**26),
}

# In a worker: the counter of trainings that all workers share.
_shared: dict[str, Any] = {}


@dataclass(frozen=True)
class Piece:
    """A search with its confirmation, or, by its name, a fixed row."""

    what: Search | str
    plan: Plan

    @property
    def planned(self) -> int:
        """Trainings that it is planned to take."""
        fresh = self.plan.confirmations * len(self.plan.sample_sizes)
        return fresh if isinstance(self.what, str) else self.what.trainings + fresh


@dataclass(frozen=True)
class Done:
    """What came of a piece of work.

    Attributes:
        found: An outcome or a row.
        storage: Where a search's study is.
        n_new: Trainings that were not in the database.
    """

    found: Outcome | Row
    storage: InMemoryStorage | None
    n_new: int


def run_pieces(bench: Bench, pieces: Sequence[Piece], *, n_jobs: int) -> Iterator[Done]:
    """Do work in processes, with a progress bar over its trainings.

    Args:
        bench:
            What all pieces have in common.
        pieces:
            They are begun in this order.
        n_jobs:
            Number of processes.

    Yields:
        What came of each, in the order in which they end.
    """
    for name, value in _ALLOCATOR.items():
        os.environ.setdefault(name, value)
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    with (
        ProcessPoolExecutor(
            min(n_jobs, len(pieces)),
            mp_context=context,
            initializer=_start_worker,
            initargs=(counter, "torch" in bench.card.packages),
        ) as executor,
        tqdm(
            total=sum(piece.planned for piece in pieces),
            unit=" trainings",
            mininterval=seconds_between_updates(),
        ) as bar,
    ):
        pending: dict[Future[Done], Piece] = {
            executor.submit(_do, bench, piece): piece for piece in pieces
        }
        try:
            while pending:
                done, _ = wait(pending, timeout=_SECONDS_BETWEEN_LOOKS)
                for future in done:
                    planned = pending.pop(future).planned
                    bar.total += future.result().n_new - planned
                    yield future.result()
                bar.set_postfix_str(
                    f"{len(pieces) - len(pending)}/{len(pieces)} searches and rows", refresh=False
                )
                bar.update(counter.value - bar.n)
        except BaseException:
            _abandon(executor, pending)
            raise


def _do(bench: Bench, piece: Piece) -> Done:
    n_new = 0

    def on_training() -> None:
        nonlocal n_new
        n_new += 1
        counter = _shared["counter"]
        with counter.get_lock():
            counter.value += 1

    if isinstance(piece.what, str):
        row = run_row(piece.what, bench, piece.plan, on_training=on_training)
        return Done(row, None, n_new)
    storage = InMemoryStorage()
    outcome = run_search(piece.what, bench, piece.plan, storage, on_training=on_training)
    return Done(outcome, storage, n_new)


def _start_worker(counter: Any, uses_torch: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to handle.
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    if uses_torch:
        import torch  # noqa: PLC0415

        torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # A model that diverges in every instance guesses alike in every instance.
    warnings.filterwarnings("ignore", "All .* instances of trial .* have the same loss")
    warnings.filterwarnings("ignore", "WilcoxonPruner is experimental")
    _shared["counter"] = counter


def _leave_with_parent() -> None:
    """End this process when its parent is gone, however that ended: nobody takes the results."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def _abandon(executor: ProcessPoolExecutor, pending: dict[Future[Done], Piece]) -> None:
    """Stop the workers in the middle of what they do."""
    for future in pending:
        future.cancel()
    executor.shutdown(wait=False, cancel_futures=True)
    for process in multiprocessing.active_children():
        process.terminate()
