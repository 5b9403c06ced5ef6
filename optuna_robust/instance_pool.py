"""The pool: instances from the store or from the workers, in order, each trained once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import Executor
from concurrent.futures import FIRST_COMPLETED
from concurrent.futures import Future
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
import time
from typing import TYPE_CHECKING

from optuna_robust.evaluation import Evaluator
from optuna_robust.evaluation import Job
from optuna_robust.evaluation import Key
from optuna_robust.evaluation import Outcome
from optuna_robust.workers import make_workers
from optuna_robust.workers import Workers


if TYPE_CHECKING:
    from optuna_robust.instance import Source
    from optuna_robust.store import InstanceStore


# An instance whose worker dies so often is taken to kill it.
_MAX_DEATHS = 5
# How long to wait before looking again what other workers did, seconds: first, and at most.
_FIRST_LOOK, _LAST_LOOK = 0.02, 1.0
# Quick instances are claimed ahead, so many seconds' worth and so many at most.
_CLAIM_SECONDS, _MOST_CLAIMS = 0.1, 500


@dataclass(frozen=True)
class Trained:
    """An instance that is there.

    Attributes:
        job: Which.
        outcome: What came of it.
        reused: Whether this pool did not train it.
    """

    job: Job
    outcome: Outcome
    reused: bool


class InstancePool:
    """Instances from the store or from the workers, in order, each trained once.

    Results are kept as soon as they come, and handed out in the order in which they were asked
    for, so that nothing depends on which worker is the faster. Exceptions are raised until an
    instance has succeeded, so that a typo does not run for hours; then they are failures of the
    model. Failures that would be raised are not kept, so that the objective can be mended.

    Args:
        workers:
            Train the instances.
        store:
            Keeps them; None: nothing is kept.
        raise_failures:
            Raise every failure.
        succeeded:
            Whether an instance of the objective has succeeded before; the store knows as well.
    """

    def __init__(
        self,
        workers: Workers,
        store: InstanceStore | None,
        *,
        raise_failures: bool = False,
        succeeded: bool = False,
    ) -> None:
        self._workers = workers
        self._store = store
        self._raise_failures = raise_failures
        self.succeeded = succeeded or (store is not None and store.has_success())
        self._queue: deque[Job] = deque()
        self._running: dict[Future[Outcome], Job] = {}
        # Claimed and not yet submitted; trained and not yet handed out; not yet kept.
        self._claimed: dict[Key, Job] = {}
        self._trained: dict[Key, Trained] = {}
        self._unkept: set[Key] = set()
        self._deaths: dict[Key, int] = {}
        self._seconds, self._n_timed = 0.0, 0

    @property
    def width(self) -> int:
        """How many instances are trained at a time."""
        return self._workers.width

    def train(self, jobs: Sequence[Job], ahead: Iterable[Job] = ()) -> Iterator[Trained]:
        """Train instances, or take them from the store.

        Args:
            jobs:
                The instances that are needed, each once.
            ahead:
                Instances that may be needed later: for workers that have nothing else to do.

        Yields:
            Every instance of ``jobs``, in their order.

        Raises:
            Exception: What the objective raised, before any instance has succeeded or if failures
                are to be raised.
        """
        self._take_from_store([job for job in jobs if job.key not in self._trained])
        self._queue = self._missing(jobs)
        spare = self._missing(ahead) if self._workers.width > 1 else deque()
        for job in jobs:
            pause = _FIRST_LOOK
            while job.key not in self._trained:
                busy = self._submit(spare)
                if self._running:
                    self._collect(pause if busy else None)
                elif busy:
                    time.sleep(pause)
                pause = min(2 * pause, _LAST_LOOK)
            yield self._handed_out(job.key)

    def add(self, job: Job, outcome: Outcome) -> Trained:
        """Take an instance that was trained before its model was known.

        Returns:
            The instance; as another worker trained it, if one did so meanwhile.

        Raises:
            Exception: As in :meth:`train`.
        """
        claims = None if self._store is None else self._store.claim([job])
        if claims is None or job.key in claims.granted:
            self._keep(job, outcome)
        else:
            known = claims.finished.get(job.key)
            self._trained[job.key] = Trained(job, known or outcome, reused=known is not None)
        return self._handed_out(job.key)

    def known(self, job: Job) -> Trained | None:
        """Return an instance if the store has it."""
        self._take_from_store([job])
        return self._handed_out(job.key) if job.key in self._trained else None

    def close(self) -> None:
        """Give up what is not trained yet. What is being trained is kept if it gets finished."""
        for future, job in self._running.items():
            if future.cancel():
                self._claimed[job.key] = job
            else:
                future.add_done_callback(partial(self._keep_late, job))
        self._running = {}
        given_up = [
            *self._claimed.values(),
            *(self._trained[key].job for key in self._unkept if key in self._trained),
        ]
        self._claimed, self._unkept = {}, set()
        if self._store is not None and given_up:
            self._store.release(given_up)

    def _take_from_store(self, jobs: Sequence[Job]) -> None:
        if self._store is None or not jobs:
            return
        found = self._store.outcomes(jobs)
        for job in jobs:
            if job.key in found:
                self._trained[job.key] = Trained(job, found[job.key], reused=True)

    def _missing(self, jobs: Iterable[Job]) -> deque[Job]:
        under_way = {job.key for job in self._running.values()}
        missing = {job.key: job for job in jobs}
        return deque(
            job
            for key, job in missing.items()
            if key not in self._trained and key not in under_way
        )

    def _submit(self, spare: deque[Job]) -> bool:
        """Give idle workers something to do; tells whether others train what is needed."""
        idle = self._workers.width - len(self._running)
        busy = False
        if idle and not self._claimed:
            busy = self._claim(self._queue, self._n_to_claim())
            if not self._claimed:
                self._claim(spare, idle)
        for key in list(self._claimed)[:idle]:
            job = self._claimed[key]
            future = self._workers.submit(job)
            del self._claimed[key]
            self._running[future] = job
        return busy

    def _claim(self, queue: deque[Job], at_most: int) -> bool:
        """Claim the next instances of a queue; puts back those that others are training."""
        wanted = [queue.popleft() for _ in range(min(len(queue), at_most))]
        if self._store is None:
            self._claimed.update((job.key, job) for job in wanted)
            return False
        if not wanted:
            return False
        claims = self._store.claim(wanted)
        for job in wanted:
            if job.key in claims.granted:
                self._claimed[job.key] = job
            elif job.key in claims.finished:
                self._trained[job.key] = Trained(job, claims.finished[job.key], reused=True)
            else:
                queue.append(job)
        return bool(claims.busy)

    def _n_to_claim(self) -> int:
        width = self._workers.width
        if not self._n_timed:
            return width
        mean = max(self._seconds / self._n_timed, 1e-6)
        return max(width, min(_MOST_CLAIMS, int(_CLAIM_SECONDS * width / mean)))

    def _collect(self, timeout: float | None) -> None:
        done, _ = wait(self._running, timeout=timeout, return_when=FIRST_COMPLETED)
        for future in done:
            job = self._running.pop(future)
            try:
                outcome = future.result()
            except BrokenProcessPool as error:
                self._bury(job, error)
            except BaseException:
                self._claimed[job.key] = job  # for close to give up
                raise
            else:
                self._keep(job, outcome)

    def _bury(self, job: Job, error: BrokenProcessPool) -> None:
        """Have an instance trained again whose worker died, unless it seems to be the reason."""
        deaths = self._deaths[job.key] = self._deaths.get(job.key, 0) + 1
        if deaths < _MAX_DEATHS:
            self._claimed = {job.key: job, **self._claimed}
        else:
            failure = f"its worker process died {deaths} times: {error}"
            self._keep(job, Outcome(None, failure, error=RuntimeError(failure)))

    def _keep(self, job: Job, outcome: Outcome) -> None:
        self._seconds += outcome.seconds
        self._n_timed += 1
        if outcome.failure is not None and not outcome.pruned and self._may_raise(outcome):
            self._unkept.add(job.key)
        elif self._store is not None and not self._store.record(job, outcome):
            self._queue.append(job)  # taken over: what the other worker finds counts
            return
        self._trained[job.key] = Trained(job, outcome, reused=False)

    def _may_raise(self, outcome: Outcome) -> bool:
        return self._raise_failures or (outcome.error is not None and not self.succeeded)

    def _handed_out(self, key: Key) -> Trained:
        trained = self._trained[key]
        outcome = trained.outcome
        if outcome.failure is None:
            self.succeeded = True
        elif not outcome.pruned and not trained.reused and self._may_raise(outcome):
            raise outcome.error or ValueError(self._told(trained))
        elif self._raise_failures and not outcome.pruned:
            raise ValueError(self._told(trained))
        if key in self._unkept:
            self._unkept.discard(key)
            if self._store is not None:
                self._store.record(trained.job, outcome)
        return self._trained.pop(key)

    @staticmethod
    def _told(trained: Trained) -> str:
        job = trained.job
        return (
            f"Instance {job.instance.number} of trial {job.number}, {dict(job.params)}: "
            f"{trained.outcome.failure}."
        )

    def _keep_late(self, job: Job, future: Future[Outcome]) -> None:
        if self._store is None:
            return
        if future.cancelled() or future.exception() is not None:
            self._store.release([job])
            return
        outcome = future.result()
        if outcome.failure is not None and self._may_raise(outcome):
            self._store.release([job])
        else:
            self._store.record(job, outcome)


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
) -> Iterator[InstancePool]:
    """Open a pool for one call, and end its workers with it.

    Args:
        evaluator:
            Trains an instance.
        n_jobs:
            As in :func:`~optuna_robust.workers.make_workers`.
        executor:
            As there.
        store:
            The user's; None: one in memory.
        raise_failures:
            As in :class:`InstancePool`.
        seed:
            Seed of the instances, which the store holds on to.
        vary:
            What varies between instances, likewise.

    Raises:
        TypeError: If the objective cannot be sent to another process.
        ValueError: If the store has instances of another seed or ``vary``.
    """
    from optuna_robust.store import InstanceStore  # noqa: PLC0415  # SQLAlchemy takes its time

    kept_in = InstanceStore() if store is None else store
    try:
        kept_in.bind(seed=seed, vary=vary)
        workers = make_workers(evaluator, n_jobs, executor)
        pool = InstancePool(workers, kept_in, raise_failures=raise_failures)
        try:
            yield pool
        finally:
            pool.close()
            workers.close()
    finally:
        if store is None:
            kept_in.close()


def check_store(store: InstanceStore | None) -> InstanceStore | None:
    """Return the store that the user gave.

    Raises:
        TypeError: If it is none.
    """
    # Not isinstance: that would import SQLAlchemy for those who have no store.
    if store is not None and not callable(getattr(store, "claim", None)):
        raise TypeError(
            "store must be an InstanceStore, such as InstanceStore('sqlite:///robust.db'), but "
            f"was {store!r}."
        )
    return store
