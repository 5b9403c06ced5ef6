"""The pool: instances from the store or from the workers, in order, each trained once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from concurrent.futures import CancelledError
from concurrent.futures import FIRST_COMPLETED
from concurrent.futures import Future
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from itertools import takewhile
import logging
import time
from typing import TYPE_CHECKING

from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Key
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._instances.trained import Trained
from optuna_robust._running.parallel._failures import FailurePolicy
from optuna_robust._running.parallel._failures import RunFailures
from optuna_robust._running.parallel._together import Together
from optuna_robust._running.parallel._workers import InProcess
from optuna_robust._running.parallel._workers import Workers


if TYPE_CHECKING:
    from optuna_robust._instances.instance import Phase
    from optuna_robust._running.store import InstanceStore


_logger = logging.getLogger(__name__)

# An instance whose worker dies so often is taken to kill it.
_MAX_DEATHS = 5
# How long to wait before looking again what other workers did, seconds: first, and at most.
_FIRST_LOOK, _LAST_LOOK = 0.02, 1.0
# Quick instances are claimed ahead, so many seconds' worth and so many at most.
_CLAIM_SECONDS, _MOST_CLAIMS = 0.1, 500


class InstancePool:
    """Instances from the store or from the workers, in order, each trained once.

    Results are kept as soon as they come, and handed out in the order in which they were asked
    for, so that nothing depends on which worker is the faster. Exceptions are raised until an
    instance has succeeded, so that a typo does not run for hours; then they are failures of the
    model. Of workers' exceptions that holds once a worker has succeeded: until then, an instance
    that failed there is trained here, too, and the worker's exception is raised if it succeeds.
    Programming errors are always raised. Failures that would be raised are not kept, so that the
    objective can be fixed; an exception that is not raised is forgotten, with its frames.

    Args:
        workers:
            Train the instances.
        store:
            Keeps them; None: nothing is kept, and a job's number stands for its model.
        raise_failures:
            Raise every failure.
        failures:
            What the run knows of its failures. Default: nothing yet.
        train_here:
            Trains an instance in this process, if workers train the others.
        phase:
            Of the instances. If some of it have succeeded in the store, this run goes on with
            another, and its first failures are not raised: they may be the models' own.
    """

    def __init__(
        self,
        workers: Workers,
        store: InstanceStore | None,
        *,
        raise_failures: bool = False,
        failures: RunFailures | None = None,
        train_here: Callable[[Job], Outcome] | None = None,
        phase: Phase = "search",
    ) -> None:
        self._workers = workers
        self._together = workers if isinstance(workers, Together) else None
        self._are_apart = not isinstance(workers, (InProcess, Together))
        self._store = store
        goes_on = store is not None and store.has_success(phase)
        self._policy = FailurePolicy(
            RunFailures() if failures is None else failures,
            raise_all=raise_failures,
            goes_on=goes_on,
            train_here=train_here,
        )
        self._queue: deque[Job] = deque()
        self._running: dict[Future[Outcome], Job] = {}
        # Claimed and not yet submitted; trained and not yet handed out; not yet kept.
        self._claimed: dict[Key, Job] = {}
        self._trained: dict[Key, Trained] = {}
        self._unkept: dict[Key, Trained] = {}
        self._deaths: dict[Key, int] = {}
        self._seconds, self._n_timed = 0.0, 0

    @property
    def width(self) -> int:
        """How many instances are trained at a time."""
        return self._workers.width

    @property
    def trains_together(self) -> bool:
        """Whether several instances of a model are trained with one call of the objective."""
        return self._together is not None

    def train(self, jobs: Sequence[Job], ahead: Iterable[Job] = ()) -> Iterator[Trained]:
        """Train instances, or take them from the store.

        Args:
            jobs:
                The instances that are needed, each once.
            ahead:
                Instances that may be needed later: for workers that have nothing else to do, or
                to be trained together with those that are needed.

        Yields:
            Every instance of ``jobs``, in their order.

        Raises:
            Exception: What the objective raised, before any instance has succeeded or if failures
                are to be raised.
        """
        if self._store is None and isinstance(self._workers, InProcess):
            yield from self._train_in_turn(self._workers, jobs)
            return
        self._take_from_store([job for job in jobs if self._key(job) not in self._trained])
        self._queue = self._missing(jobs)
        spare: deque[Job] = deque()
        if self._together is not None:
            self._queue = self._by_model(self._queue, ahead)
        elif self._workers.width > 1:
            spare = self._missing(ahead)
        for job in jobs:
            key = self._key(job)
            pause = _FIRST_LOOK
            while key not in self._trained:
                self._submit(spare)
                if self._is_under_way(key):
                    self._collect(None)
                elif key not in self._trained:
                    self._look_elsewhere(job, pause)
                    pause = min(2 * pause, _LAST_LOOK)
            yield self._handed_out(key)

    def _train_in_turn(self, workers: InProcess, jobs: Iterable[Job]) -> Iterator[Trained]:
        """Train instances one after the other, which nobody else trains or keeps."""
        for job in jobs:
            self._keep(job, workers.evaluate(job))
            yield self._handed_out(self._key(job))

    def add(self, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> Iterator[Trained]:
        """Take instances that were trained before their model was known.

        All are kept before the first is handed out.

        Yields:
            Every instance; as another worker trained it, if one did so meanwhile.

        Raises:
            Exception: As in :meth:`train`.
        """
        for job, outcome in zip(jobs, outcomes, strict=True):
            self._add(job, outcome)
        for job in jobs:
            yield self._handed_out(self._key(job))

    def _add(self, job: Job, outcome: Outcome) -> None:
        key = self._key(job)
        known: Outcome | None = None
        mine = True
        if self._store is not None:
            with self._given_up_if_interrupted([job]):
                claims = self._store.claim([job])
                known, mine = claims.finished.get(key), key in claims.granted
        if mine:
            self._claimed[key] = job  # for close to give up if it cannot be kept
            self._keep(job, outcome)
            del self._claimed[key]
        self._trained.setdefault(key, Trained(job, known or outcome, reused=known is not None))

    def known(self, job: Job) -> Trained | None:
        """Return an instance if the store has it."""
        self._take_from_store([job])
        key = self._key(job)
        return self._handed_out(key) if key in self._trained else None

    def close(self) -> None:
        """Give up what is not trained yet. What is being trained is kept if it gets finished."""
        given_up = [
            *self._claimed.values(),
            *(each.job for each in self._unkept.values()),
        ]
        for future, job in self._running.items():
            if future.cancel():
                given_up.append(job)
            else:
                future.add_done_callback(partial(self._keep_late, job))
        self._running, self._claimed, self._unkept = {}, {}, {}
        if self._store is not None and given_up:
            self._store.release(given_up)

    def _key(self, job: Job) -> Key:
        if self._store is not None:
            return job.key
        # What is not kept may have hyperparameters of any kind.
        instance = job.instance
        own = -1 if instance.model is None else instance.model
        return str(job.number), instance.phase, instance.number, own

    def _take_from_store(self, jobs: Sequence[Job]) -> None:
        if self._store is None or not jobs:
            return
        found = self._store.outcomes(jobs)
        for job in jobs:
            if job.key in found:
                self._trained[job.key] = Trained(job, found[job.key], reused=True)

    def _missing(self, jobs: Iterable[Job]) -> deque[Job]:
        missing = {self._key(job): job for job in jobs}
        return deque(
            job
            for key, job in missing.items()
            if key not in self._trained and not self._is_under_way(key)
        )

    def _by_model(self, needed: deque[Job], ahead: Iterable[Job]) -> deque[Job]:
        """Return what is needed, with more of the same models, one model after the other."""
        models = {_model(job) for job in needed}
        further = [job for job in ahead if _model(job) in models]
        self._take_from_store(further)
        return deque(sorted((*needed, *self._missing(further)), key=_model))

    def _is_under_way(self, key: Key) -> bool:
        return key in self._claimed or any(key == self._key(job) for job in self._running.values())

    def _submit(self, spare: deque[Job]) -> None:
        """Give idle workers something to do."""
        idle = self._workers.width - len(self._running)
        if len(self._claimed) < idle:
            self._claim(self._queue, self._n_to_claim())
        if len(self._claimed) < idle:
            self._claim(spare, idle - len(self._claimed))
        for key, job in list(islice(self._claimed.items(), idle)):
            future = self._workers.submit(job)
            self._running[future] = job
            del self._claimed[key]
            if future.done():  # in this process, which need not wait for it
                self._finish(future)
        if self._together is not None:
            self._together.begin()

    def _claim(self, queue: deque[Job], at_most: int) -> None:
        """Claim the next instances of a queue; puts back those that others are training."""
        wanted = [queue.popleft() for _ in range(min(len(queue), at_most))]
        if self._store is None:
            self._claimed.update((self._key(job), job) for job in wanted)
        elif wanted:
            with self._given_up_if_interrupted(wanted):
                claims = self._store.claim(wanted)
                for job in wanted:
                    if job.key in claims.granted:
                        self._claimed[job.key] = job
                    elif job.key in claims.finished:
                        outcome = claims.finished[job.key]
                        self._trained[job.key] = Trained(job, outcome, reused=True)
                    else:
                        queue.append(job)

    @contextmanager
    def _given_up_if_interrupted(self, jobs: Iterable[Job]) -> Iterator[None]:
        """Have :meth:`close` give up what may have been claimed, say when Ctrl-C comes.

        A claim of a process that lives would be respected forever.
        """
        try:
            yield
        except Exception:  # rolled back
            raise
        except BaseException:
            self._claimed.update((self._key(job), job) for job in jobs)
            raise

    def _n_to_claim(self) -> int:
        if self._together is not None and self._queue:
            # Those of one model: other processes on the store shall find something to do.
            first = _model(self._queue[0])
            return sum(1 for _ in takewhile(lambda job: _model(job) == first, self._queue))
        width = self._workers.width
        if not self._n_timed:
            return width
        mean = max(self._seconds / self._n_timed, 1e-6)
        return max(width, min(_MOST_CLAIMS, int(_CLAIM_SECONDS * width / mean)))

    def _collect(self, timeout: float | None) -> None:
        done, _ = wait(self._running, timeout=timeout, return_when=FIRST_COMPLETED)
        for future in done:
            self._finish(future)

    def _finish(self, future: Future[Outcome]) -> None:
        job = self._running[future]
        try:
            outcome = future.result()
        except (BrokenExecutor, CancelledError) as error:
            self._retry_or_fail(job, error)
        else:
            if self._are_apart:
                outcome = replace(outcome, in_worker=True)
            self._keep(job, outcome)
        del self._running[future]  # not before: what is interrupted is left to close

    def _look_elsewhere(self, job: Job, pause: float) -> None:
        """Wait for an instance that others may be training, or no worker has come to yet."""
        if self._running:
            self._collect(pause)
        else:
            time.sleep(pause)
        key = self._key(job)
        if key not in self._trained:
            self._take_from_store([job])
        if key in self._trained:
            self._queue = deque(each for each in self._queue if self._key(each) != key)

    def _retry_or_fail(self, job: Job, error: Exception) -> None:
        """Have an instance trained again whose worker died, unless it seems to be the reason."""
        key = self._key(job)
        deaths = self._deaths[key] = self._deaths.get(key, 0) + 1
        if deaths < _MAX_DEATHS:
            self._claimed = {key: job, **self._claimed}
            return
        failure = f"its worker process died {deaths} times: {error}"
        died = RuntimeError(failure)
        died.__cause__ = error
        self._keep(job, Outcome(None, failure, error=died, in_worker=True))

    def _keep(self, job: Job, outcome: Outcome) -> None:
        key = self._key(job)
        self._seconds += outcome.seconds
        self._n_timed += 1
        may_raise = self._policy.may_raise(outcome)
        trained = Trained(job, outcome if may_raise else outcome.without_error(), reused=False)
        if may_raise:
            self._unkept[key] = trained
        elif self._store is not None and not self._store.record(job, outcome):
            self._queue.append(job)  # taken over: what the other worker finds counts
            return
        self._trained[key] = trained

    def _handed_out(self, key: Key) -> Trained:
        trained = self._trained[key]
        if trained.outcome.failure is not None:
            if self._policy.check(trained):
                self._keep_after_all(key, trained)
        elif not trained.reused and self._policy.succeed(trained.outcome):
            for other, each in list(self._unkept.items()):
                if not self._policy.may_raise(each.outcome):
                    self._keep_after_all(other, each)
        del self._trained[key]
        outcome = trained.outcome.without_error()
        return trained if outcome is trained.outcome else replace(trained, outcome=outcome)

    def _keep_after_all(self, key: Key, trained: Trained) -> None:
        """Keep a failure that might have been raised, and is the model's."""
        if self._store is not None:
            self._store.record(trained.job, trained.outcome)
        self._unkept.pop(key, None)

    def _keep_late(self, job: Job, future: Future[Outcome]) -> None:
        if self._store is None:
            return
        try:
            self._keep_or_release(self._store, job, future)
        except Exception as error:  # nobody would catch it
            _logger.warning(
                "Instance %d of trial %d was finished late and could not be kept: %s",
                job.instance.number,
                job.number,
                error,
            )

    def _keep_or_release(self, store: InstanceStore, job: Job, future: Future[Outcome]) -> None:
        if future.cancelled() or future.exception() is not None:
            store.release([job])
            return
        outcome = replace(future.result(), in_worker=self._are_apart)
        if self._policy.may_raise(outcome):
            store.release([job])
        else:
            store.record(job, outcome)


def _model(job: Job) -> int:
    return job.number
