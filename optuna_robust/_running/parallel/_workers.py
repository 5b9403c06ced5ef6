"""Where instances are trained: in this process, in processes of our own, or by an executor."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from concurrent.futures import Executor
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
import hashlib
from numbers import Integral
import os
import pickle
import signal
import threading
import time
import traceback
from typing import Any
from typing import Protocol
import weakref

from optuna_robust._base.arguments import check_count
from optuna_robust._instances.evaluation import Evaluator
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._instances.evaluation import programming_error
from optuna_robust._running.parallel._overdue import unless_overdue
from optuna_robust._running.parallel._together import Together
from optuna_robust._running.process import Process
from optuna_robust._running.process import this_process


_WORKER = "OPTUNA_ROBUST_WORKER"
# Several workers with all cores each would be slower than one.
_ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    )
}
# An idle worker ends after so many seconds; it is started again when it is needed.
_IDLE_TIMEOUT = 60
# How often a worker looks whether the process that it works for is alive, seconds.
_LOOK_AFTER_PARENT = 1.0
# How many objectives a worker process of an executor keeps.
_MOST_EVALUATORS = 4


def worker_index() -> int:
    """Return which of the ``n_jobs`` worker processes this is: 0, 1, …; 0 in any other process.

    Gives each worker its GPU::

        device = f"cuda:{worker_index() % torch.cuda.device_count()}"

    Example:
        >>> from optuna_robust.parallel import worker_index
        >>> worker_index()
        0
    """
    return int(os.environ.get(_WORKER, "0"))


def is_worker() -> bool:
    """Return True if this is one of the ``n_jobs`` worker processes."""
    return _WORKER in os.environ


class Workers(Protocol):
    """Trains instances, so many at a time."""

    @property
    def width(self) -> int:
        """How many instances are trained at a time."""

    def submit(self, job: Job) -> Future[Outcome]:
        """Begin to train an instance."""

    def close(self) -> None:
        """Stop working at once."""


class InProcess:
    """Trains instances in this process, one at a time, when they are submitted.

    Args:
        evaluate:
            Trains one.
    """

    width = 1

    def __init__(self, evaluate: Callable[[Job], Outcome]) -> None:
        self.evaluate = evaluate

    def submit(self, job: Job) -> Future[Outcome]:
        """Train an instance; whatever is raised is raised here."""
        future: Future[Outcome] = Future()
        future.set_result(self.evaluate(job))
        return future

    def close(self) -> None:
        """There is nothing to stop."""


class LokyWorkers:
    """Trains instances in processes of our own.

    Each is a pool of one, so that the death of a process costs nobody else's instance. Processes
    are spawned when they are needed, with one thread each for BLAS and PyTorch, and end when idle
    or when this process is gone.

    Args:
        evaluator:
            Trains one instance; sent to every process once.
        n_jobs:
            Number of processes.

    Raises:
        TypeError: If the objective cannot be sent to another process.
    """

    def __init__(self, evaluator: Evaluator, n_jobs: int) -> None:
        payload = _pickled(evaluator)
        self._lock = threading.RLock()
        self._slots = [
            _Slot(index, payload, self._lock, evaluator.instance_timeout)
            for index in range(n_jobs)
        ]
        weakref.finalize(self, _close_all, self._slots)

    @property
    def width(self) -> int:
        """How many instances are trained at a time."""
        return len(self._slots)

    def submit(self, job: Job) -> Future[Outcome]:
        """Begin to train an instance in the process that has least to do."""
        with self._lock:
            return min(self._slots, key=_Slot.load).submit(job.sent())

    def close(self) -> None:
        """End the processes, with what they are doing."""
        with self._lock:
            _close_all(self._slots)


class ExecutorWorkers:
    """Trains instances by any executor of :mod:`concurrent.futures`.

    Args:
        evaluator:
            Trains one instance; sent with every instance, and kept by the processes.
        executor:
            The user's, who also shuts it down.
        width:
            How many instances it gets at a time.

    Raises:
        TypeError: If the objective cannot be sent to another process.
    """

    def __init__(self, evaluator: Evaluator, executor: Executor, width: int) -> None:
        self._payload = _pickled(evaluator)
        self._digest = _digest(self._payload)
        self._executor = executor
        self.width = width

    def submit(self, job: Job) -> Future[Outcome]:
        """Begin to train an instance."""
        try:
            return self._executor.submit(_evaluate, self._digest, self._payload, job.sent())
        except RuntimeError as error:  # broken, or shut down
            raise RuntimeError(
                f"The executor {self._executor!r} takes no more work ({error}). Instances that "
                "finished are in the store, if it is on disk: call again with a new executor."
            ) from error

    def close(self) -> None:
        """Leave the executor to its owner."""


def make_workers(evaluator: Evaluator, n_jobs: int, executor: Executor | None) -> Workers:
    """Return the workers that a user asked for.

    Args:
        evaluator:
            Trains one instance.
        n_jobs:
            1: this process; more: so many processes; with an executor: how many instances it gets
            at a time, where 1 stands for its own number of workers, or of this machine's cores if
            it does not tell.
        executor:
            The user's.

    Raises:
        TypeError: If the objective cannot be sent to another process.
    """
    if executor is not None:
        if n_jobs == 1:
            told = getattr(executor, "_max_workers", None) or getattr(
                executor, "num_workers", None
            )
            n_jobs = told or _n_cores()
        return ExecutorWorkers(evaluator, executor, n_jobs)
    if n_jobs == 1 and evaluator.takes_several:
        return Together(evaluator.evaluate_together)
    if n_jobs == 1:
        return InProcess(evaluator.evaluate)
    return LokyWorkers(evaluator, n_jobs)


def check_workers(n_jobs: object, executor: object) -> int:
    """Return the number of jobs, where -1 stands for all cores.

    Raises:
        TypeError: If ``n_jobs`` is not an integer, or ``executor`` not an executor.
        ValueError: If ``n_jobs`` is neither positive nor -1.
    """
    is_one = callable(getattr(executor, "submit", None)) and not isinstance(executor, type)
    if executor is not None and not is_one:
        raise TypeError(
            "executor must be a concurrent.futures.Executor or have its method submit, but was "
            f"{executor!r}."
        )
    if isinstance(n_jobs, Integral) and n_jobs == -1:
        return _n_cores()
    return check_count("n_jobs", n_jobs, minimum=1)


def check_instances_per_call(
    instances_per_call: object, *, takes_several: bool, in_this_process: bool
) -> int | None:
    """Return how many instances an objective that takes several gets at each call.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is less than 1, or the objective takes one instance at a time.
    """
    if instances_per_call is None:
        return None
    found = check_count("instances_per_call", instances_per_call, minimum=1)
    if not takes_several:
        raise ValueError(
            f"instances_per_call={found} is for an objective with a parameter named 'instances'."
        )
    if not in_this_process:
        raise ValueError(
            f"instances_per_call={found} is for n_jobs=1 and no executor: workers get one "
            "instance at a time."
        )
    return found


def _n_cores() -> int:
    """Return how many cores this process may use, which in a container are not all there are."""
    import loky  # noqa: PLC0415

    return int(loky.cpu_count())


class _Slot:
    """One process, started when it is needed and again when it died."""

    def __init__(
        self, index: int, payload: bytes, lock: threading.RLock, limit: float | None
    ) -> None:
        self._index = index
        self._payload = payload
        self._digest = _digest(payload)
        self._lock = lock
        self._limit = limit
        self._executor: Any = None
        self._futures: list[Future[Outcome]] = []

    def load(self) -> int:
        """Return how many instances it still has to train."""
        self._futures = [future for future in self._futures if not future.done()]
        return len(self._futures)

    def submit(self, job: Job) -> Future[Outcome]:
        """Begin to train an instance."""
        from loky.process_executor import ShutdownExecutorError  # noqa: PLC0415

        if self._executor is None:
            self._executor = self._start()
        try:
            future = self._executor.submit(_evaluate, self._digest, None, job)
        except (BrokenExecutor, ShutdownExecutorError):  # it died while it had nothing to do
            self._executor = self._start()
            future = self._executor.submit(_evaluate, self._digest, None, job)
        if self._limit is not None:
            future = unless_overdue(future, self._limit, partial(self._end, self._executor))
        self._futures.append(future)
        return future  # type: ignore[no-any-return]

    def _end(self, executor: Any) -> None:
        """End the process of an executor, unless it is gone."""
        with self._lock:
            if self._executor is executor:
                self.close()

    def close(self) -> None:
        """End the process."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = None

    def _start(self) -> Any:
        import loky  # noqa: PLC0415

        executor = loky.ProcessPoolExecutor(
            max_workers=1,
            timeout=_IDLE_TIMEOUT,
            initializer=_begin_worker,
            initargs=(self._digest, self._payload, this_process()),
            env={**_ONE_THREAD, _WORKER: str(self._index)},
        )
        # Or the program would not end before what is being trained, which nobody waits for.
        with suppress(AttributeError):
            executor._flags.kill_workers = True
        return executor


def _close_all(slots: list[_Slot]) -> None:
    for slot in slots:
        slot.close()


def _pickled(evaluator: Evaluator) -> bytes:
    import cloudpickle  # noqa: PLC0415

    try:
        payload: bytes = cloudpickle.dumps(evaluator)
    except Exception as error:
        raise TypeError(
            f"objective cannot be sent to another process ({type(error).__name__}: {error}). "
            "Create what cannot be pickled (connections, locks, open files) inside the objective, "
            "or use n_jobs=1 without an executor."
        ) from error
    return payload


def _digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


# What follows runs in the worker processes.

_sent: dict[str, bytes] = {}
_evaluators: dict[str, Evaluator] = {}
_evaluators_lock = threading.Lock()


def _begin_worker(digest: str, payload: bytes, parent: Process) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    _sent[digest] = payload
    if not parent.is_alive():
        os._exit(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Process) -> None:
    """End this process when its parent is gone: its results would reach nobody."""
    while parent.is_alive():
        time.sleep(_LOOK_AFTER_PARENT)
    os._exit(1)


def _evaluate(digest: str, payload: bytes | None, job: Job) -> Outcome:
    import cloudpickle  # noqa: PLC0415

    outcome = _evaluator(digest, payload).evaluate(job)
    if outcome.error is None:
        return outcome
    # loky sends classes of __main__, too; other executors' means are not known.
    dumps = cloudpickle.dumps if payload is None else pickle.dumps
    return replace(outcome, error=_sendable(outcome.error, dumps))


def _evaluator(digest: str, payload: bytes | None) -> Evaluator:
    """Return an objective, unpickled once; payload None: it was sent when the process began."""
    with _evaluators_lock:
        if digest not in _evaluators:
            _restore_start_method()
            evaluator = pickle.loads(_sent[digest] if payload is None else payload)
            _sent.clear()  # the objective itself stays
            while len(_evaluators) >= _MOST_EVALUATORS:
                del _evaluators[next(iter(_evaluators))]
            _evaluators[digest] = evaluator
        return _evaluators[digest]


def _restore_start_method() -> None:
    """Start an objective's own processes (a DataLoader's) as the platform does.

    loky's workers would start them as loky's, which only loky can do.
    """
    import multiprocessing  # noqa: PLC0415

    if multiprocessing.get_start_method(allow_none=True) in {"loky", "loky_init_main"}:
        multiprocessing.set_start_method(None, force=True)


def _sendable(error: Exception, dumps: Callable[[object], bytes]) -> Exception:
    """Return a copy of an exception that can be sent, with its traceback as a note.

    The copy knows no frames, which would live as long as it.
    """
    text = "".join(traceback.format_exception(error))
    copy: Exception
    try:
        copy = pickle.loads(dumps(error))
    except Exception:
        copy = programming_error(error) or RuntimeError(f"{type(error).__name__}: {error}")
    copy.add_note(f"In a worker process:\n{text}")
    return copy
