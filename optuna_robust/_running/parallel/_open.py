"""A pool for one call, with the workers and the store that the user asked for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import closing
from contextlib import contextmanager
from typing import TYPE_CHECKING

from optuna_robust._instances.evaluation import Evaluator
from optuna_robust._running.parallel._pool import InstancePool
from optuna_robust._running.parallel._workers import make_workers


if TYPE_CHECKING:
    from optuna_robust._instances.instance import Phase
    from optuna_robust._instances.instance import Source
    from optuna_robust._running.store import InstanceStore


@contextmanager
def open_pool(
    evaluator: Evaluator,
    *,
    n_jobs: int,
    executor: Executor | None,
    store: InstanceStore | None,
    raise_failures: bool,
    seed: int,
    vary: tuple[Source, ...],
    phase: Phase = "search",
) -> Iterator[InstancePool]:
    """Open a pool for one call, and end its workers with it.

    Args:
        evaluator:
            Trains an instance.
        n_jobs:
            As in :func:`~optuna_robust._running.parallel.make_workers`.
        executor:
            As there.
        store:
            The user's; None: nothing is kept.
        raise_failures:
            As in :class:`InstancePool`.
        seed:
            Seed of the instances, which the store holds on to.
        vary:
            What varies between instances, likewise.
        phase:
            As in :class:`InstancePool`.

    Raises:
        TypeError: If the objective cannot be sent to another process.
        ValueError: If the store has instances of another seed or ``vary``.
    """
    if store is not None:
        store.bind(seed=seed, vary=vary)
        store.warn_of_another_objective(evaluator.identity, phase)
    workers = make_workers(evaluator, n_jobs, executor)
    pool = InstancePool(workers, store, raise_failures=raise_failures, phase=phase)
    # Our own workers end first, so that the pool knows what does not get finished any more.
    with closing(pool), closing(workers):
        yield pool
