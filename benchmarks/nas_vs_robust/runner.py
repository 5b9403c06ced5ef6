"""Many searches at once: several processes with one thread each.

Small networks do not profit from threads inside PyTorch; as many processes as cores do.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import wait
import multiprocessing
from multiprocessing.connection import wait as wait_for
import os
import signal
import sys
import threading
from typing import Any
import warnings

import optuna
from optuna.storages import InMemoryStorage
from tqdm import tqdm

from benchmarks.nas_vs_robust.arms import ArmName
from benchmarks.nas_vs_robust.arms import Outcome
from benchmarks.nas_vs_robust.arms import Plan
from benchmarks.nas_vs_robust.arms import run_arm
from benchmarks.tasks import TaskCard


_SECONDS_BETWEEN_UPDATES = 0.5
_SECONDS_BETWEEN_UPDATES_OF_A_LOG = 20.0

# In a worker: the counter of trainings that all workers share.
_shared: dict[str, Any] = {}


def run_searches(
    card: TaskCard,
    plan: Plan,
    searches: Sequence[tuple[ArmName, int]],
    *,
    n_jobs: int,
) -> Iterator[tuple[Outcome, str, InMemoryStorage]]:
    """Run searches in processes, with a progress bar over their trainings.

    Args:
        card:
            The task.
        plan:
            What every search is given.
        searches:
            Arm and seed of each.
        n_jobs:
            Number of processes.

    Yields:
        The outcome of each search, in the order in which they end, and the name and the storage of
        its study.
    """
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    planned = plan.trainings + plan.confirmations
    with (
        ProcessPoolExecutor(
            min(n_jobs, len(searches)),
            mp_context=context,
            initializer=_start_worker,
            initargs=(counter,),
        ) as executor,
        tqdm(
            total=len(searches) * planned, unit=" trainings", mininterval=_seconds_between_lines()
        ) as bar,
    ):
        pending = {executor.submit(_search, card, plan, arm, seed) for arm, seed in searches}
        try:
            while pending:
                done, pending = wait(pending, timeout=_SECONDS_BETWEEN_UPDATES)
                for future in done:
                    outcome, study_name, storage = future.result()
                    bar.total += outcome.n_trainings - plan.trainings
                    yield outcome, study_name, storage
                bar.set_postfix_str(
                    f"{len(searches) - len(pending)}/{len(searches)} searches", refresh=False
                )
                bar.update(counter.value - bar.n)
        except BaseException:
            _abandon(executor, pending)
            raise


def _seconds_between_lines() -> float:
    """Return how often the bar is drawn; in a log every update is kept."""
    return _SECONDS_BETWEEN_UPDATES if sys.stderr.isatty() else _SECONDS_BETWEEN_UPDATES_OF_A_LOG


def _search(
    card: TaskCard, plan: Plan, arm: ArmName, seed: int
) -> tuple[Outcome, str, InMemoryStorage]:
    storage = InMemoryStorage()
    study_name = f"{arm}, seed {seed}"
    outcome = run_arm(
        arm,
        card.load(seed=seed),
        plan,
        seed=seed,
        study_name=study_name,
        storage=storage,
        on_training=_count_training,
    )
    return outcome, study_name, storage


def _count_training() -> None:
    counter = _shared["counter"]
    with counter.get_lock():
        counter.value += 1


def _start_worker(counter: Any) -> None:
    import torch  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to handle.
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # A model that diverges in every instance guesses alike in every instance.
    warnings.filterwarnings("ignore", "All .* instances of trial .* have the same loss")
    _shared["counter"] = counter


def _leave_with_parent() -> None:
    """End this process when its parent is gone, however that ended: nobody takes the results."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def _abandon(executor: ProcessPoolExecutor, pending: set[Future[Any]]) -> None:
    """Stop the workers in the middle of what they do."""
    for future in pending:
        future.cancel()
    executor.shutdown(wait=False, cancel_futures=True)
    for process in multiprocessing.active_children():
        process.terminate()
