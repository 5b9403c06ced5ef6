"""Who may train what: claims of threads, of processes that live or are killed, and of machines."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
import contextlib
import gc
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._running.process import this_process
from optuna_robust._running.store import Claims
from optuna_robust._running.store._schema import instances
from optuna_robust._running.store._schema import make_engine
from optuna_robust._running.store._schema import workers
from tests.conftest import SERVERS
from tests.running.store.test_store import database
from tests.running.store.test_store import FAILED
from tests.running.store.test_store import jobs_of


ROOT = Path(__file__).parent.parent.parent
HEARTBEAT = "optuna_robust-heartbeat"


@pytest.fixture(params=["memory", "sqlite", *SERVERS])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[InstanceStore]:
    """An empty store in a database of every kind."""
    with database(request.param, tmp_path) as url:
        found = InstanceStore(url)
        yield found
        found.close()


@pytest.fixture(params=["sqlite", *SERVERS])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of every kind that several stores can use."""
    with database(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[str]:
    with database("postgresql", tmp_path) as found:
        yield found


def keys_of(jobs: list[Job]) -> set[Any]:
    return {job.key for job in jobs}


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for something that will happen, and no longer than a test may hang."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


# One store.


def test_an_instance_is_granted_once_and_never_again_when_it_is_finished(
    store: InstanceStore,
) -> None:
    jobs = jobs_of(4)
    assert store.claim([]) == Claims()
    assert store.claim(jobs[:3]) == Claims(granted=keys_of(jobs[:3]))
    done, failed = Outcome(0.25), FAILED
    assert store.record(jobs[0], done)
    assert store.record(jobs[1], failed)
    expected = Claims(
        granted={jobs[3].key},
        finished={jobs[0].key: done, jobs[1].key: failed},
        busy={jobs[2].key},
    )
    assert store.claim(jobs) == expected
    assert store.claim(jobs[:2]) == Claims(finished=expected.finished)


def test_instances_differ_in_model_phase_number_and_owner(store: InstanceStore) -> None:
    jobs = [
        Job({"x": 1}, Instance(0)),
        Job({"x": 1.0}, Instance(0)),
        Job({"x": 1}, Instance(1)),
        Job({"x": 1}, Instance(0, phase="confirmation")),
        Job({"x": 1}, Instance(0, model=0)),
        Job({"x": 1}, Instance(0, model=1)),
    ]
    for job in jobs:
        assert store.claim([job]).granted == {job.key}
    for value, job in enumerate(jobs):
        assert store.record(job, Outcome(float(value)))
    assert store.outcomes(jobs) == {job.key: Outcome(float(i)) for i, job in enumerate(jobs)}


def test_an_instance_that_is_named_twice_is_granted_once(store: InstanceStore) -> None:
    (job,) = jobs_of(1)
    assert store.claim([job, job]).granted == {job.key}
    assert len(store.instances()) == 1


def test_only_what_was_claimed_can_be_recorded(store: InstanceStore) -> None:
    claimed, other = jobs_of(2)
    store.claim([claimed])
    assert not store.record(other, Outcome(1.0))
    assert store.record(claimed, Outcome(1.0))
    assert not store.record(claimed, Outcome(2.0))
    assert [each.outcome for each in store.instances()] == [Outcome(1.0)]


def test_released_claims_are_free_again(store: InstanceStore) -> None:
    jobs = jobs_of(3)
    store.claim(jobs)
    store.record(jobs[0], Outcome(1.0))
    store.release(jobs[:2])  # what is finished stays
    assert not store.record(jobs[1], Outcome(2.0))
    again = store.claim(jobs)
    assert again.granted == {jobs[1].key}
    assert set(again.finished) == {jobs[0].key}
    assert again.busy == {jobs[2].key}


def test_threads_share_a_store(store: InstanceStore) -> None:
    jobs, n_threads = jobs_of(60), 6
    begin = threading.Barrier(n_threads)

    def work(_: int) -> list[int]:
        begin.wait()
        mine = []
        for job in jobs:
            if store.claim([job]).granted:
                mine.append(job.instance.number)
                assert store.record(job, Outcome(float(job.instance.number)))
        return mine

    with ThreadPoolExecutor(n_threads) as threads:
        trained = [number for mine in threads.map(work, range(n_threads)) for number in mine]
    assert sorted(trained) == list(range(60))
    found = store.outcomes(jobs)
    assert [found[job.key].loss for job in jobs] == [float(number) for number in range(60)]


# Two stores of one process.


def test_two_stores_share_a_database(url: str) -> None:
    first, second = InstanceStore(url), InstanceStore(url)
    jobs = jobs_of(3)
    assert first.worker() != second.worker()
    assert first.claim(jobs[:2]).granted == keys_of(jobs[:2])
    assert second.claim(jobs) == Claims(granted={jobs[2].key}, busy=keys_of(jobs[:2]))
    # What another one claimed can neither be recorded nor released.
    second.release(jobs[:2])
    assert not second.record(jobs[0], Outcome(9.0))
    assert first.record(jobs[0], Outcome(1.0))
    assert second.claim(jobs[:2]) == Claims(
        finished={jobs[0].key: Outcome(1.0)}, busy={jobs[1].key}
    )
    first.release(jobs)
    assert second.claim(jobs[1:2]).granted == {jobs[1].key}


# Processes.

# Claims two instances and a trial, says so and waits to be ended.
HOLDER = """
import sys
from optuna_robust._instances.evaluation import Job
from optuna_robust import Instance
from optuna_robust import InstanceStore

store = InstanceStore(sys.argv[1], lease=3600)
store.claim([Job({"x": 0.5}, Instance(number)) for number in range(2)])
store.claim_trial("study", 7)
print(store.worker(), flush=True)
sys.stdin.read()
"""


def begin_holder(url: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    worker = process.stdout.readline().strip()
    assert worker
    return process, worker


def test_claims_of_a_process_hold_while_it_lives_and_no_longer(url: str) -> None:
    jobs = jobs_of(3)
    process, worker = begin_holder(url)
    store = InstanceStore(url, lease=3600)
    with process:
        assert store.claim(jobs) == Claims(granted={jobs[2].key}, busy=keys_of(jobs[:2]))
        assert not store.claim_trial("study", 7)
        assert store.dead_workers([worker, store.worker()]) == set()
        assert store.instances()[0].worker == f"{this_process().host.split()[0]}:{process.pid}"
        process.kill()
        process.wait()
        assert store.dead_workers([worker, store.worker()]) == {worker}

    # Nobody waits for the lease, which lasts an hour.
    assert store.claim(jobs[:1]).granted == {jobs[0].key}
    other = InstanceStore(url, lease=3600)
    assert other.claim(jobs) == Claims(granted={jobs[1].key}, busy={jobs[0].key, jobs[2].key})
    assert store.record(jobs[0], Outcome(1.0))
    assert not store.record(jobs[1], Outcome(1.0))
    assert other.record(jobs[1], Outcome(2.0))
    found = store.instances()
    assert [each.number for each in found] == [0, 1, 2]
    assert [each.state for each in found] == ["done", "done", "running"]
    assert found[0].worker == f"{this_process().host.split()[0]}:{os.getpid()}"

    assert store.claim_trial("study", 7)
    assert not store.claim_trial("study", 7)
    assert not other.claim_trial("study", 7)


# Trains what it is granted of 200 instances, with three others, in an order of its own; the
# database is not there when they begin.
HAMMER = """
import json, random, sys, time
from optuna_robust._instances.evaluation import Job, Outcome
from optuna_robust import Instance
from optuna_robust import InstanceStore

url, order = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
store = InstanceStore(url, lease=3600)
jobs = [Job({"x": number % 5}, Instance(number)) for number in range(200)]
random.Random(order).shuffle(jobs)
trained, given_up = [], set()
while jobs:
    batch = jobs[:6]
    claims = store.claim(batch)
    for job in batch:
        if job.key in claims.granted and job.instance.number % 9 == 0 and job.key not in given_up:
            given_up.add(job.key)
            store.release([job])
        elif job.key in claims.granted:
            assert store.record(job, Outcome(job.instance.number / 8))
            trained.append(job.instance.number)
            jobs.remove(job)
        elif job.key in claims.finished:
            assert claims.finished[job.key] == Outcome(job.instance.number / 8)
            jobs.remove(job)
    jobs = jobs[6:] + jobs[:6]
print(json.dumps(trained))
"""


def test_processes_train_every_instance_once(url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HAMMER, url, str(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for order in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    trained = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(number for each in trained for number in each) == list(range(200))
    found = InstanceStore(url).instances()
    assert {each.number: each.outcome for each in found} == {
        number: Outcome(number / 8) for number in range(200)
    }
    assert len(found) == 200


# Forks.

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
# Of a fork beside threads, which is what is tested.
quiet = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


class Child:
    """A forked process that runs a function and tells what it returned."""

    def __init__(self, function: Callable[[], Any]) -> None:
        read, write = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            try:
                signal.alarm(30)  # ends it if it hangs
                told = function()
            except BaseException as error:
                told = repr(error)
            os.write(write, json.dumps(told).encode())
            os._exit(0)
        os.close(write)
        self._read = read

    def told(self) -> Any:
        with os.fdopen(self._read) as pipe:
            text = pipe.read()
        os.waitpid(self._pid, 0)
        return json.loads(text or '"it hung"')


@needs_fork
@quiet
def test_a_forked_process_is_a_worker_of_its_own(url: str) -> None:
    store, jobs = InstanceStore(url, lease=3600), jobs_of(3)
    store.claim(jobs[:1])

    def in_child() -> Any:
        claims = store.claim(jobs[:2])
        return [
            store.worker(),
            [len(claims.granted), len(claims.busy)],
            [store.record(job, Outcome(1.0)) for job in jobs[:2]],
        ]

    worker, claims, recorded = Child(in_child).told()
    assert worker != store.worker()
    assert claims == [1, 1]
    assert recorded == [False, True]
    assert store.dead_workers([worker, store.worker()]) == {worker}
    assert store.record(jobs[0], Outcome(2.0))
    assert store.claim(jobs).finished == {
        jobs[0].key: Outcome(2.0),
        jobs[1].key: Outcome(1.0),
    }


@needs_fork
@quiet
def test_what_a_forked_process_trains_is_kept_when_its_parent_goes(url: str) -> None:
    """SQLite would delete the log that the child writes to, had it inherited a connection."""
    store, jobs = InstanceStore(url, lease=3600), jobs_of(6)
    store.claim(jobs[:1])
    told, tell = os.pipe()
    gone, go = os.pipe()

    def in_child() -> int:
        for job in jobs[1:]:
            assert store.claim([job]).granted
            assert store.record(job, Outcome(1.0))
            if job is jobs[1]:
                os.write(tell, b".")
                os.read(gone, 1)
        return len(store.outcomes(jobs))

    child = Child(in_child)
    os.read(told, 1)
    assert store.record(jobs[0], Outcome(1.0))
    store.close()
    os.write(go, b".")
    assert child.told() == 6
    assert len(InstanceStore(url).outcomes(jobs)) == 6
    for end in (told, tell, gone, go):
        os.close(end)


@needs_fork
@quiet
def test_a_fork_does_not_inherit_a_lock_that_a_thread_holds(tmp_path: Path) -> None:
    url, jobs = f"sqlite:///{tmp_path / 'robust.db'}", jobs_of(2)
    store = InstanceStore(url)
    store.worker()
    engine = make_engine(url)
    blocker = engine.connect()
    blocker.begin()  # the thread waits for it, in a transaction
    thread = threading.Thread(target=store.claim, args=(jobs[:1],))
    thread.start()
    end = threading.Timer(0.3, blocker.close)
    end.start()
    child = Child(lambda: [store.worker(), len(store.claim(jobs).granted)])
    worker, n_granted = child.told()
    thread.join()
    end.join()
    assert worker != store.worker()
    assert n_granted in {1, 2}  # the child may have been before the thread
    assert len(store.instances()) == 2
    engine.dispose()


@needs_fork
@quiet
def test_a_store_in_memory_stays_with_the_parent() -> None:
    store, jobs = InstanceStore(), jobs_of(2)
    store.claim(jobs)
    told = Child(lambda: store.record(jobs[0], Outcome(1.0))).told()
    assert "RuntimeError" in told
    assert "forked from the one that has it" in told
    assert store.record(jobs[0], Outcome(2.0))


# Machines.


def change_worker(url: str, worker: str, **values: object) -> None:
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.update(workers).where(workers.c.id == worker).values(**values))
    engine.dispose()


def lease_of(url: str, worker: str) -> float:
    engine = make_engine(url)
    with engine.begin() as connection:
        found = connection.scalar(sa.select(workers.c.expires).where(workers.c.id == worker))
    engine.dispose()
    assert isinstance(found, float)
    return found


def test_claims_of_another_machine_hold_until_its_lease_ends(url: str) -> None:
    jobs = jobs_of(2)
    there, here = InstanceStore(url, lease=3600), InstanceStore(url, lease=3600)
    there.claim(jobs)
    there.claim_trial("study", 0)
    change_worker(url, there.worker(), host="elsewhere pid:[1]")
    assert here.claim(jobs).busy == keys_of(jobs)
    assert not here.claim_trial("study", 0)
    assert here.dead_workers([there.worker()]) == set()
    assert here.instances()[0].worker == f"elsewhere:{os.getpid()}"

    change_worker(url, there.worker(), expires=time.time() - 1)
    assert here.dead_workers([there.worker()]) == {there.worker()}
    assert here.claim(jobs[:1]).granted == {jobs[0].key}
    assert here.claim_trial("study", 0)
    assert not there.claim_trial("study", 0)

    # It was only slow. What was taken over is refused, even if it comes first; the rest is kept.
    assert not there.record(jobs[0], Outcome(9.0))
    there.release(jobs[:1])
    assert there.record(jobs[1], Outcome(2.0))
    assert here.record(jobs[0], Outcome(1.0))
    assert not there.record(jobs[0], Outcome(9.0))
    assert here.outcomes(jobs) == {jobs[0].key: Outcome(1.0), jobs[1].key: Outcome(2.0)}


def test_a_worker_renews_its_lease(url: str) -> None:
    store = InstanceStore(url, lease=0.3)
    store.claim(jobs_of(1))
    for _ in range(2):
        change_worker(url, store.worker(), expires=0.0)
        wait_until(lambda: lease_of(url, store.worker()) > 0)


def test_a_worker_renews_its_lease_after_the_database_was_away(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = InstanceStore(url, lease=0.3)
    worker = store.worker()
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE optuna_robust_workers RENAME TO away"))
    wait_until(lambda: "Could not renew the lease" in caplog.text)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO optuna_robust_workers"))
    engine.dispose()
    change_worker(url, worker, expires=0.0)
    wait_until(lambda: lease_of(url, worker) > 0)


def test_a_store_that_is_closed_lets_its_lease_end(tmp_path: Path) -> None:
    url, jobs = f"sqlite:///{tmp_path / 'robust.db'}", jobs_of(1)
    store = InstanceStore(url, lease=0.15)
    store.claim(jobs)
    worker = store.worker()
    store.close()
    change_worker(url, worker, host="elsewhere", expires=0.0)
    time.sleep(0.3)
    assert lease_of(url, worker) == 0.0
    assert InstanceStore(url).claim(jobs).granted == keys_of(jobs)
    # Used again, it is a living worker again.
    assert store.worker() == worker
    wait_until(lambda: lease_of(url, worker) > 0)


def test_the_heartbeat_ends_with_the_store(tmp_path: Path) -> None:
    others = set(threading.enumerate())

    def beating() -> bool:
        return any(each.name == HEARTBEAT for each in set(threading.enumerate()) - others)

    store = InstanceStore(f"sqlite:///{tmp_path / 'robust.db'}", lease=0.3)
    assert not beating()  # a store that only reads is no worker
    store.worker()
    assert beating()
    del store
    gc.collect()
    wait_until(lambda: not beating())


# Trials of dead workers.


def test_a_trial_is_continued_by_one_worker(store: InstanceStore) -> None:
    assert store.claim_trial("study", 0)
    assert not store.claim_trial("study", 0)
    assert store.claim_trial("study", 1)
    assert store.claim_trial("another study", 0)


def test_threads_claim_a_trial_once(store: InstanceStore) -> None:
    with ThreadPoolExecutor(8) as threads:
        granted = list(threads.map(lambda _: store.claim_trial("study", 3), range(24)))
    assert granted.count(True) == 1


def test_workers_that_nobody_knows_are_not_dead(store: InstanceStore) -> None:
    assert store.dead_workers([]) == set()
    assert store.dead_workers(["0" * 32, store.worker()]) == set()


# Databases whose transactions run at the same time.


def insert_claim(connection: sa.Connection, store: InstanceStore, job: Job) -> None:
    connection.execute(
        sa.insert(instances).values(
            experiment_id=1,
            model_key=job.key[0],
            phase=job.key[1],
            number=job.key[2],
            own=job.key[3],
            params="{}",
            seed=0,
            order_seed=0,
            state="running",
            worker_id=store.worker(),
            begun=0.0,
        )
    )


def wait_for_a_waiting_transaction(url: str) -> None:
    engine = sa.create_engine(url)

    def waits() -> bool:
        with engine.begin() as connection:
            return bool(
                connection.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
            )

    wait_until(waits)
    engine.dispose()


@pytest.mark.slow
def test_of_two_claims_at_the_same_time_the_second_is_busy(postgresql: str) -> None:
    store, other, jobs = InstanceStore(postgresql), InstanceStore(postgresql), jobs_of(2)
    store.worker()
    engine = make_engine(postgresql)
    with ThreadPoolExecutor(1) as thread:
        with engine.begin() as connection:
            insert_claim(connection, other, jobs[0])
            claims = thread.submit(store.claim, jobs)
            wait_for_a_waiting_transaction(postgresql)
        assert claims.result() == Claims(granted={jobs[1].key}, busy={jobs[0].key})
    engine.dispose()


@pytest.mark.slow
def test_a_dead_workers_claim_is_taken_over_once(postgresql: str) -> None:
    dead, store, other = (InstanceStore(postgresql) for _ in range(3))
    jobs = jobs_of(2)
    dead.claim(jobs)
    change_worker(postgresql, dead.worker(), host="elsewhere", expires=0.0)
    store.worker()
    engine = make_engine(postgresql)
    with ThreadPoolExecutor(1) as thread:
        with engine.begin() as connection:
            # The other one takes over the first instance, and has not committed yet.
            connection.execute(
                sa.update(instances)
                .where(instances.c.number == 0)
                .values(worker_id=other.worker())
            )
            claims = thread.submit(store.claim, jobs)
            wait_for_a_waiting_transaction(postgresql)
        assert claims.result() == Claims(granted={jobs[1].key}, busy={jobs[0].key})
    engine.dispose()


@pytest.mark.slow
def test_claims_in_opposite_orders_do_not_lock_each_other_out(postgresql: str) -> None:
    store, other, jobs = InstanceStore(postgresql), InstanceStore(postgresql), jobs_of(2)
    store.worker()
    engine = make_engine(postgresql)
    with ThreadPoolExecutor(1) as thread:
        connection = engine.connect()
        connection.begin()
        insert_claim(connection, other, jobs[1])
        claims = thread.submit(store.claim, jobs)
        wait_for_a_waiting_transaction(postgresql)
        # Each waits for the other now, until PostgreSQL ends one of them.
        with contextlib.suppress(OperationalError):
            insert_claim(connection, other, jobs[0])
        connection.close()
        assert claims.result().granted == keys_of(jobs)
    engine.dispose()
