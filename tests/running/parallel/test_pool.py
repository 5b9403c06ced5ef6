from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from concurrent.futures import CancelledError
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
import logging
from pathlib import Path
import sqlite3
import threading
from typing import Any

import pytest

from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._instances.trained import Trained
from optuna_robust._running.check_store import check_store
from optuna_robust._running.parallel import InProcess
from optuna_robust._running.parallel import InstancePool
from tests.training_log import in_time
from tests.training_log import run_script
from tests.training_log import wait_until


# Claims two instances and ends without giving them up.
DEAD = """
import sys
from optuna_robust import InstanceStore
from tests.running.parallel.test_pool import job
InstanceStore(sys.argv[1]).claim([job(0), job(1)])
"""
# No event in these tests takes so long unless something hangs, seconds.
LONG = 60


class Threads:
    """Workers that are threads of this process."""

    def __init__(self, width: int, evaluate: Callable[[Job], Outcome]) -> None:
        self.width = width
        self.submitted: list[Job] = []
        self.futures: list[Future[Outcome]] = []
        self._evaluate = evaluate
        self._threads = ThreadPoolExecutor(width)

    def submit(self, job: Job) -> Future[Outcome]:
        self.submitted.append(job)
        self.futures.append(self._threads.submit(self._evaluate, job))
        return self.futures[-1]

    def close(self) -> None:
        pass


class Scripted:
    """Workers that do what is scripted for an instance, each time that they are asked for it."""

    width = 2

    def __init__(self, script: dict[int, Sequence[object]]) -> None:
        self._script = {number: list(each) for number, each in script.items()}
        self.submitted: list[int] = []

    def submit(self, job: Job) -> Future[Outcome]:
        self.submitted.append(job.instance.number)
        future: Future[Outcome] = Future()
        found = self._script[job.instance.number].pop(0)
        if isinstance(found, BaseException):
            future.set_exception(found)
        elif isinstance(found, Outcome):
            future.set_result(found)
        return future  # anything else: never done

    def close(self) -> None:
        pass


def job(number: int, model: int = 0) -> Job:
    return Job({"model": model}, Instance(number), model)


def done(job: Job) -> Outcome:
    return Outcome(10.0 * job.params["model"] + job.instance.number)


def failed(error: Exception) -> Outcome:
    return Outcome(None, f"{type(error).__name__}: {error}", error=error)


def all_of(
    pool: InstancePool, jobs: Sequence[Job], ahead: Iterable[Job] = ()
) -> list[tuple[int, float | None, bool]]:
    found: list[Trained] = in_time(lambda: list(pool.train(jobs, ahead)))
    assert [each.job for each in found] == list(jobs)
    return [(each.job.instance.number, each.outcome.loss, each.reused) for each in found]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def store(url: str) -> Iterator[InstanceStore]:
    store = InstanceStore(url)
    yield store
    store.close()


@pytest.fixture
def other(url: str) -> Iterator[InstanceStore]:
    """Another worker's way to the same store."""
    other = InstanceStore(url)
    yield other
    other.close()


def states(store: InstanceStore) -> dict[int, str]:
    return {each.number: each.state for each in store.instances()}


@pytest.mark.parametrize("kept", [False, True])
def test_instances_come_in_order_however_they_end(kept: bool, store: InstanceStore) -> None:
    ended = [threading.Event() for _ in range(8)]

    def evaluate(job: Job) -> Outcome:
        number = job.instance.number
        # Of two at a time, the second ends first.
        if number % 2 == 0:
            assert ended[number + 1].wait(LONG)
        ended[number].set()
        return done(job)

    pool = InstancePool(Threads(2, evaluate), store if kept else None)
    assert all_of(pool, [job(number) for number in range(8)]) == [
        (number, float(number), False) for number in range(8)
    ]


def test_nothing_is_trained_that_is_in_the_store(
    store: InstanceStore, other: InstanceStore
) -> None:
    workers = Threads(2, done)
    jobs = [job(number) for number in range(6)]
    all_of(InstancePool(workers, store), jobs[:3])
    assert all_of(InstancePool(workers, other), jobs) == [
        (number, float(number), number < 3) for number in range(6)
    ]
    assert len(workers.submitted) == 6


@pytest.mark.parametrize("kept", [False, True])
def test_idle_workers_look_ahead(kept: bool, store: InstanceStore) -> None:
    meeting = threading.Barrier(3)

    def evaluate(job: Job) -> Outcome:
        if job.instance.number < 3:
            meeting.wait(LONG)  # breaks unless three are trained at a time
        return done(job)

    workers = Threads(3, evaluate)
    pool = InstancePool(workers, store if kept else None)
    jobs = [job(number) for number in range(6)]
    for position in range(6):
        [found] = all_of(pool, jobs[position : position + 1], jobs[position + 1 : position + 3])
        assert found == (position, float(position), False)
    assert len(workers.submitted) == 6


def test_one_worker_does_not_look_ahead() -> None:
    workers = Threads(1, done)
    all_of(InstancePool(workers, None), [job(0)], [job(1)])
    assert len(workers.submitted) == 1


def test_no_more_is_trained_at_a_time_than_there_are_workers() -> None:
    lock = threading.Lock()
    running: set[int] = set()
    most = 0

    def evaluate(job: Job) -> Outcome:
        nonlocal most
        with lock:
            running.add(job.instance.number)
            most = max(most, len(running))
        threading.Event().wait(0.005)
        with lock:
            running.remove(job.instance.number)
        return done(job)

    workers = Threads(8, evaluate)
    workers.width = 3
    jobs = [job(number) for number in range(20)]
    all_of(InstancePool(workers, None), jobs[:10], jobs[10:])
    assert most <= 3


def test_an_instance_whose_worker_died_is_trained_again_once() -> None:
    broken = BrokenProcessPool("killed")
    for store in (None, InstanceStore()):
        # The worker that looks ahead dies while the instance that is needed comes to its end.
        workers = Scripted({0: [done(job(0))], 1: [broken, done(job(1))], 2: [done(job(2))]})
        pool = InstancePool(workers, store)
        jobs = [job(0), job(1), job(2)]
        assert all_of(pool, jobs[:1], jobs[1:]) == [(0, 0.0, False)]
        assert all_of(pool, jobs[1:2], jobs[2:]) == [(1, 1.0, False)]
        assert all_of(pool, jobs[2:]) == [(2, 2.0, False)]
        assert sorted(workers.submitted) == [0, 1, 1, 2]


def test_a_cancelled_instance_is_trained_again() -> None:
    workers = Scripted({0: [CancelledError(), done(job(0))]})
    assert all_of(InstancePool(workers, None), [job(0)]) == [(0, 0.0, False)]


def test_an_instance_that_kills_its_workers_is_a_failure_in_the_end(store: InstanceStore) -> None:
    script: dict[int, Sequence[object]] = {
        0: [done(job(0))],
        1: [BrokenExecutor("killed")] * 5,
        2: [done(job(2))],
    }
    pool = InstancePool(Scripted(script), store)
    assert all_of(pool, [job(0), job(1), job(2)]) == [
        (0, 0.0, False),
        (1, None, False),
        (2, 2.0, False),
    ]
    assert states(store) == {0: "done", 1: "failed", 2: "done"}
    outcome = store.outcomes([job(1)])[job(1).key]
    assert outcome.failure == "its worker process died 5 times: killed"


def test_what_kills_all_workers_before_anything_succeeded_is_an_error() -> None:
    killed = BrokenProcessPool("killed")
    pool = InstancePool(Scripted({0: [killed] * 5}), None)
    with pytest.raises(RuntimeError, match="died 5 times: killed") as caught:
        all_of(pool, [job(0)])
    assert caught.value.__cause__ is killed


def test_hyperparameters_may_be_anything_if_nothing_is_kept(store: InstanceStore) -> None:
    odd = Job({"activation": Threads}, Instance(0))
    pool = InstancePool(InProcess(lambda job: Outcome(1.0)), None)
    assert pool.known(odd) is None
    (trained,) = pool.add([odd], [Outcome(2.0)])
    assert trained.outcome.loss == 2.0
    assert [each.outcome.loss for each in pool.train([odd])] == [1.0]
    with pytest.raises(TypeError, match="Hyperparameters must be numbers"):
        InstancePool(InProcess(done), store).known(odd)


# Others at work on the same store.


@pytest.mark.parametrize("width", [1, 2])
def test_what_another_worker_is_training_is_waited_for(
    width: int, store: InstanceStore, other: InstanceStore
) -> None:
    other.claim([job(0), job(2)])
    workers = Threads(width, done)
    pool = InstancePool(workers, store)
    threading.Timer(0.3, lambda: [other.record(job(n), Outcome(50.0 + n)) for n in (0, 2)]).start()
    assert all_of(pool, [job(number) for number in range(4)]) == [
        (0, 50.0, True),
        (1, 1.0, False),
        (2, 52.0, True),
        (3, 3.0, False),
    ]
    assert [each.instance.number for each in workers.submitted] == [1, 3]


def test_what_another_worker_finishes_does_not_wait_for_what_was_trained_ahead(
    store: InstanceStore, other: InstanceStore
) -> None:
    go_on = threading.Event()

    def evaluate(job: Job) -> Outcome:
        assert go_on.wait(LONG)
        return done(job)

    other.claim([job(0)])
    workers = Threads(2, evaluate)
    pool = InstancePool(workers, store)

    def finish() -> None:
        wait_until(lambda: len(workers.submitted) == 2)
        other.record(job(0), Outcome(50.0))

    threading.Thread(target=finish).start()
    assert all_of(pool, [job(0)], [job(1), job(2)]) == [(0, 50.0, True)]
    go_on.set()
    assert all_of(pool, [job(1), job(2)]) == [(1, 1.0, False), (2, 2.0, False)]
    assert len(workers.submitted) == 2


def test_what_a_dead_worker_claimed_is_trained(url: str, store: InstanceStore) -> None:
    run_script(DEAD, url)
    assert states(store) == {0: "running", 1: "running"}
    found = all_of(InstancePool(Threads(2, done), store), [job(number) for number in range(3)])
    assert found == [(number, float(number), False) for number in range(3)]


def test_what_another_worker_gives_up_is_trained(
    store: InstanceStore, other: InstanceStore
) -> None:
    other.claim([job(0)])
    threading.Timer(0.2, other.release, [[job(0)]]).start()
    assert all_of(InstancePool(Threads(2, done), store), [job(0)]) == [(0, 0.0, False)]


def test_a_result_whose_claim_was_taken_over_is_refused(
    url: str, store: InstanceStore, other: InstanceStore
) -> None:
    def evaluate(job: Job) -> Outcome:
        if job.instance.number == 1:
            # As another machine does when this one's lease has ended.
            with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
                database.execute(
                    "UPDATE optuna_robust_instances SET worker_id = ? WHERE number = 1",
                    (other.worker(),),
                )
            threading.Timer(0.2, other.record, [job, Outcome(51.0)]).start()
        return done(job)

    workers = Threads(2, evaluate)
    assert all_of(InstancePool(workers, store), [job(number) for number in range(3)]) == [
        (0, 0.0, False),
        (1, 51.0, True),
        (2, 2.0, False),
    ]
    assert len(workers.submitted) == 3


def test_an_instance_trained_before_its_model_was_known_may_be_there_already(
    store: InstanceStore, other: InstanceStore
) -> None:
    pool = InstancePool(InProcess(done), store)
    (found,) = pool.add([job(0)], [Outcome(1.0)])
    assert not found.reused
    assert store.outcomes([job(0)])[job(0).key].loss == 1.0
    other.claim([job(1), job(2)])
    other.record(job(1), Outcome(51.0))
    (found,) = pool.add([job(1)], [Outcome(1.0)])
    assert (found.outcome.loss, found.reused) == (51.0, True)
    # The other worker is still at it: ours counts here, and theirs is kept.
    (found,) = pool.add([job(2)], [Outcome(2.0)])
    assert (found.outcome.loss, found.reused) == (2.0, False)
    assert other.record(job(2), Outcome(52.0))


# Failures.


@pytest.mark.parametrize("kept", [False, True])
def test_exceptions_are_raised_until_an_instance_has_succeeded(
    kept: bool, store: InstanceStore
) -> None:
    def evaluate(job: Job) -> Outcome:
        return failed(ZeroDivisionError("typo")) if job.instance.number != 1 else done(job)

    pool = InstancePool(Threads(1, evaluate), store if kept else None)
    with pytest.raises(ZeroDivisionError, match="typo"):
        all_of(pool, [job(0)])
    pool.close()
    assert states(store) == {}
    pool = InstancePool(Threads(1, evaluate), store if kept else None)
    found = all_of(pool, [job(1), job(2), job(0)])
    assert [loss for _, loss, _ in found] == [1.0, None, None]
    if kept:
        assert states(store) == {1: "done", 2: "failed", 0: "failed"}


def test_an_exception_counts_in_the_order_of_instances_not_of_time(store: InstanceStore) -> None:
    failure_came = threading.Event()

    def evaluate(job: Job) -> Outcome:
        if job.instance.number == 1:
            failure_came.set()
            return failed(ZeroDivisionError("diverged"))
        assert failure_came.wait(LONG)
        return done(job)

    pool = InstancePool(Threads(2, evaluate), store)
    assert all_of(pool, [job(0), job(1)]) == [(0, 0.0, False), (1, None, False)]
    assert states(store) == {0: "done", 1: "failed"}
    # The other way round it is raised, though an instance has succeeded by then.
    failure_came.clear()
    pool = InstancePool(Threads(2, evaluate), None)
    with pytest.raises(ZeroDivisionError, match="diverged"):
        all_of(pool, [job(1), job(0)])


def test_no_success_is_needed_for_what_is_not_an_exception(store: InstanceStore) -> None:
    infinite = Outcome(None, "the objective returned inf")
    pruned = Outcome(None, "the objective raised TrialPruned", pruned=True)
    pool = InstancePool(Scripted({0: [infinite], 1: [pruned]}), store)
    assert all_of(pool, [job(0), job(1)]) == [(0, None, False), (1, None, False)]
    assert states(store) == {0: "failed", 1: "pruned"}


def test_failures_are_raised_and_not_kept_if_they_shall_be(
    store: InstanceStore, other: InstanceStore
) -> None:
    infinite = Outcome(None, "the objective returned inf")
    pool = InstancePool(Scripted({0: [infinite]}), store, raise_failures=True)
    with pytest.raises(
        ValueError, match=r"Instance 0 of trial 7, {'model': 7}: the objective returned inf."
    ):
        all_of(pool, [job(0, model=7)])
    pool.close()
    assert states(store) == {}
    other.claim([job(0, model=7)])
    other.record(job(0, model=7), infinite)
    with pytest.raises(ValueError, match="the objective returned inf"):
        InstancePool(Scripted({}), store, raise_failures=True).known(job(0, model=7))


def test_an_error_that_is_no_failure_comes_out_and_everything_else_is_kept(
    store: InstanceStore,
) -> None:
    workers = Scripted({0: [done(job(0))], 1: [KeyError("no such hyperparameter")]})
    pool = InstancePool(workers, store)
    with pytest.raises(KeyError, match="no such hyperparameter"):
        all_of(pool, [job(number) for number in range(2)])
    pool.close()
    assert states(store) == {0: "done"}


# The end.


def test_what_is_being_trained_when_the_pool_closes_is_kept_if_it_succeeds(
    store: InstanceStore,
) -> None:
    go_on = threading.Event()

    def evaluate(job: Job) -> Outcome:
        if job.instance.number > 0:
            assert go_on.wait(LONG)
        if job.instance.number == 2:
            return failed(ZeroDivisionError("late"))
        if job.instance.number == 3:
            raise KeyError("no failure of the model")
        return done(job)

    workers = Threads(4, evaluate)
    workers.width = 5  # one of them waits for a thread
    pool = InstancePool(workers, store, raise_failures=True)
    assert all_of(pool, [job(0)], [job(number) for number in range(1, 6)]) == [(0, 0.0, False)]
    pool.close()
    n_given_up = sum(future.cancelled() for future in workers.futures)
    assert list(states(store).values()).count("running") == len(workers.futures) - 1 - n_given_up
    go_on.set()
    wait(workers.futures)
    wait_until(lambda: "running" not in states(store).values())
    kept = {0, 1, 4} - {
        number for number, future in enumerate(workers.futures) if future.cancelled()
    }
    assert states(store) == dict.fromkeys(kept, "done")


def test_a_late_result_that_cannot_be_kept_is_only_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def evaluate(job: Job) -> Outcome:
        if job.instance.number:
            began.set()
            assert go_on.wait(LONG)
        return done(job)

    store = InstanceStore()
    workers = Threads(2, evaluate)
    pool = InstancePool(workers, store)
    all_of(pool, [job(0)], [job(1)])
    assert began.wait(LONG)
    pool.close()
    store.close()
    with caplog.at_level(logging.WARNING):
        go_on.set()
        wait(workers.futures)
        wait_until(lambda: caplog.records)
    [record] = caplog.records
    assert record.name == "optuna_robust._running.parallel._pool"
    assert "Instance 1 of trial 0 was finished late and could not be kept" in record.message


def test_what_was_claimed_ahead_is_given_up(store: InstanceStore) -> None:
    quick = InstancePool(InProcess(done), store)
    jobs = [job(number) for number in range(200)]
    trained = quick.train(jobs)
    for _ in range(5):
        next(trained)
    assert "running" in states(store).values()
    quick.close()
    assert states(store) == dict.fromkeys(range(5), "done")


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("step", ["claim", "record", "train"])
def test_ctrl_c_at_any_moment_leaves_no_claim_of_a_living_process(
    step: str, committed: bool, store: InstanceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next call in the same process would wait for itself forever."""
    n_calls = 0

    def interrupted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            nonlocal n_calls
            n_calls += 1
            if n_calls != 2:
                return function(*args)
            if committed:
                function(*args)
            raise KeyboardInterrupt

        return call

    evaluate = interrupted(done) if step == "train" else done
    if step != "train":
        monkeypatch.setattr(store, step, interrupted(getattr(store, step)))
    jobs = [job(number) for number in range(5)]
    pool = InstancePool(InProcess(evaluate), store)
    with pytest.raises(KeyboardInterrupt):
        list(pool.train(jobs))
    pool.close()
    # What had been trained when it came to keeping it is not lost.
    expected = {"claim": [0], "record": [0, 1], "train": [0]}[step]
    assert states(store) == dict.fromkeys(expected, "done")
    assert [loss for _, loss, _ in all_of(InstancePool(InProcess(done), store), jobs)] == [
        *map(float, range(5))
    ]


@pytest.mark.parametrize(
    ("step", "error"),
    [("claim", KeyboardInterrupt), ("record", KeyboardInterrupt), ("record", OSError)],
)
def test_a_first_instance_that_cannot_be_kept_leaves_no_claim(
    step: str,
    error: type[BaseException],
    store: InstanceStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = getattr(store, step)

    def interrupted(*args: Any) -> None:
        if step == "claim":
            original(*args)
        raise error

    pool = InstancePool(InProcess(done), store)
    monkeypatch.setattr(store, step, interrupted)
    with pytest.raises(error):
        list(pool.add([job(0)], [Outcome(1.0)]))
    pool.close()
    assert states(store) == {}


# Claims.


@pytest.mark.parametrize(("seconds", "most"), [(0.0, 10), (1.0, 100)])
def test_quick_instances_are_claimed_many_at_a_time(
    seconds: float, most: int, store: InstanceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    claim = store.claim

    def counted(jobs: Sequence[Job]) -> Any:
        sizes.append(len(jobs))
        return claim(jobs)

    monkeypatch.setattr(store, "claim", counted)
    pool = InstancePool(InProcess(lambda job: Outcome(0.0, seconds=seconds)), store)
    all_of(pool, [job(number) for number in range(100)])
    assert sum(sizes) == 100
    assert len(sizes) <= most
    assert (max(sizes) == 1) == (seconds == 1.0)


def test_a_store_is_checked() -> None:
    assert check_store(None) is None
    with pytest.raises(TypeError, match=r"store must be an InstanceStore, such as .* 'robust.db'"):
        check_store("robust.db")  # type: ignore[arg-type]
