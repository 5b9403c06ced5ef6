from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import Executor
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from dataclasses import replace
import gc
import multiprocessing
import os
from pathlib import Path
import signal
import sys
import threading
import time
from typing import Any

import loky
import optuna
import pytest

from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import MultiInstanceObjective
from optuna_robust import robust_select
from optuna_robust._instances.evaluation import Evaluator
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import ModelMismatchError
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._running.parallel import _workers as workers_module
from optuna_robust._running.parallel import check_workers
from optuna_robust._running.parallel import ExecutorWorkers
from optuna_robust._running.parallel import InProcess
from optuna_robust._running.parallel import LokyWorkers
from optuna_robust._running.parallel import make_workers
from optuna_robust._running.process import this_process
from optuna_robust.parallel import worker_index
from tests.objectives import study_of
from tests.training_log import begin_script
from tests.training_log import in_time
from tests.training_log import is_running
from tests.training_log import Logged
from tests.training_log import PATIENCE
from tests.training_log import wait_for_end
from tests.training_log import wait_until


MODELS = [{"model": model} for model in range(4)]


class OddError(Exception):
    """Cannot be made from what its pickle says."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first}, {second}")


def tells(trial: optuna.Trial, instance: Instance) -> float:
    """Tell where it runs."""
    trial.set_user_attr("pid", os.getpid())
    trial.set_user_attr("worker", worker_index())
    trial.set_user_attr("threads", {name: os.environ.get(name) for name in THREADS})
    time.sleep(0.1)
    return float(instance.rng.normal())


def raises(trial: optuna.Trial, instance: Instance) -> float:
    if trial.suggest_int("model", 0, 9) == 0:
        raise OddError("no", "pickle")
    raise ZeroDivisionError(f"instance {instance.number}")


def asks_too_much(trial: optuna.Trial) -> float:
    return trial.suggest_float("unknown", 0, 1)


THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True)
class CountsCopies(Logged):
    """An objective that logs when it is unpickled."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.write("copy", 0, 0)


@dataclass(frozen=True)
class KillsItself(Logged):
    """An objective that kills its process in one model's instances, or only the first time."""

    victim: int = 1
    once: bool = False

    def __call__(self, trial: optuna.Trial, instance: Instance) -> float:
        loss = super().__call__(trial, instance)
        model = trial.params["model"]
        if model == self.victim and not (self.once and self.count("dies")):
            self.write("dies", model, instance.number)
            os.kill(os.getpid(), signal.SIGKILL)
        return loss


def job(number: int, model: int = 0) -> Job:
    return Job({"model": model}, Instance(number), model)


def processes(n: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(n, mp_context=multiprocessing.get_context("spawn"))


@pytest.fixture
def log(tmp_path: Path) -> Logged:
    return Logged(str(tmp_path / "log"))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def loky_workers() -> Iterator[Callable[..., LokyWorkers]]:
    made: list[LokyWorkers] = []

    def make(objective: Callable[..., Any], n_jobs: int = 2) -> LokyWorkers:
        made.append(LokyWorkers(Evaluator(objective), n_jobs))
        return made[-1]

    yield make
    for each in made:
        each.close()


# Arguments.


@pytest.mark.parametrize(
    ("n_jobs", "error"),
    [(0, ValueError), (-2, ValueError), ("2", TypeError), (2.0, TypeError), (None, TypeError)],
)
def test_n_jobs_is_checked_before_anything_is_trained(
    n_jobs: Any, error: type[Exception], log: Logged
) -> None:
    with pytest.raises(error, match="n_jobs"):
        robust_select(log, MODELS, n_jobs=n_jobs)
    with pytest.raises(error, match="n_jobs"):
        MultiInstanceObjective(log, n_jobs=n_jobs)
    assert log.events() == []


@pytest.mark.parametrize("executor", [object(), 2, "threads", ThreadPoolExecutor])
def test_an_executor_is_checked_before_anything_is_trained(executor: Any, log: Logged) -> None:
    message = "executor must be a concurrent.futures.Executor"
    with pytest.raises(TypeError, match=message):
        robust_select(log, MODELS, executor=executor)
    with pytest.raises(TypeError, match=message):
        MultiInstanceObjective(log, executor=executor)
    assert log.events() == []


def test_minus_one_stands_for_the_cores_that_may_be_used() -> None:
    assert check_workers(-1, None) == loky.cpu_count()
    assert check_workers(3, None) == 3


def test_workers_are_what_was_asked_for(log: Logged) -> None:
    evaluator = Evaluator(log)
    assert isinstance(make_workers(evaluator, 1, None), InProcess)
    assert make_workers(evaluator, 1, None).width == 1
    ours = make_workers(evaluator, 3, None)
    assert isinstance(ours, LokyWorkers)
    assert ours.width == 3
    with ThreadPoolExecutor(5) as executor:
        assert make_workers(evaluator, 1, executor).width == 5
        assert make_workers(evaluator, 2, executor).width == 2

    class Silent(Executor):
        pass

    class OfMPI(Executor):
        num_workers = 7

    assert make_workers(evaluator, 1, Silent()).width == loky.cpu_count()
    assert make_workers(evaluator, 1, OfMPI()).width == 7


@pytest.mark.parametrize("kind", ["n_jobs", "executor"])
def test_an_objective_that_cannot_be_sent_is_an_error_before_anything_is_trained(
    kind: str, log: Logged, url: str
) -> None:
    lock = threading.Lock()

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        with lock:
            return log(trial, instance)

    message = "objective cannot be sent to another process .*lock"
    store = InstanceStore(url)
    with ThreadPoolExecutor(2) as executor:
        how: dict[str, Any] = {"n_jobs": 2} if kind == "n_jobs" else {"executor": executor}
        with pytest.raises(TypeError, match=message):
            robust_select(objective, MODELS, store=store, **how)
        study = study_of()
        with pytest.raises(TypeError, match=message):
            study.optimize(MultiInstanceObjective(objective, 3, store=store, **how), n_trials=1)
    assert log.events() == []
    assert store.instances() == []
    store.close()


# What is found in a worker process.


def test_worker_processes_have_numbers_and_one_thread_each(
    loky_workers: Callable[..., LokyWorkers],
) -> None:
    workers = loky_workers(tells, 3)
    futures = [workers.submit(job(number)) for number in range(6)]
    attrs = [future.result(PATIENCE).user_attrs for future in futures]
    assert {each["worker"] for each in attrs} == {0, 1, 2}
    assert len({each["pid"] for each in attrs}) == 3
    assert len({(each["pid"], each["worker"]) for each in attrs}) == 3
    assert all(each["threads"] == dict.fromkeys(THREADS, "1") for each in attrs)
    assert worker_index() == 0
    assert os.getpid() not in {each["pid"] for each in attrs}


@pytest.mark.parametrize("kind", ["loky", pytest.param("processes", marks=pytest.mark.slow)])
def test_an_objective_is_unpickled_once_a_process(
    kind: str, log: Logged, loky_workers: Callable[..., LokyWorkers]
) -> None:
    objective = CountsCopies(log.path, 0.01)
    with processes(2) as executor:
        workers = (
            loky_workers(objective)
            if kind == "loky"
            else ExecutorWorkers(Evaluator(objective), executor, 2)
        )
        futures = [workers.submit(job(number)) for number in range(12)]
        assert all(future.result(PATIENCE).loss is not None for future in futures)
    copies = [event.pid for event in log.events() if event.kind == "copy"]
    assert len(copies) == len(set(copies)) <= 2
    assert set(copies) == {event.pid for event in log.events() if event.kind == "begin"}


def test_an_executor_that_lives_long_does_not_gather_objectives(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as executor:
        for each in range(10):
            log = CountsCopies(str(tmp_path / f"log{each}"))
            workers = ExecutorWorkers(Evaluator(log), executor, 4)
            for future in [workers.submit(job(number)) for number in range(8)]:
                assert future.result(PATIENCE).loss is not None
            assert log.count("copy")[0, 0] == 1
    assert len(workers_module._evaluators) <= 4


@pytest.mark.parametrize(
    "kind", ["loky", "threads", pytest.param("processes", marks=pytest.mark.slow)]
)
def test_exceptions_keep_their_type_their_message_and_their_traceback(
    kind: str, loky_workers: Callable[..., LokyWorkers]
) -> None:
    with processes(1) if kind == "processes" else ThreadPoolExecutor(1) as executor:
        workers = (
            loky_workers(raises, 1)
            if kind == "loky"
            else ExecutorWorkers(Evaluator(raises), executor, 1)
        )
        outcome = workers.submit(job(3, model=1)).result(PATIENCE)
        odd = workers.submit(job(3, model=0)).result(PATIENCE)
    assert outcome.failure == "ZeroDivisionError: instance 3"
    assert isinstance(outcome.error, ZeroDivisionError)
    assert str(outcome.error) == "instance 3"
    [note] = outcome.error.__notes__
    assert note.startswith("In a worker process:\nTraceback (most recent call last):")
    assert 'raise ZeroDivisionError(f"instance {instance.number}")' in note
    # One that cannot be sent is told by another one.
    assert odd.failure == "OddError: no, pickle"
    assert type(odd.error) is RuntimeError
    assert str(odd.error) == "OddError: no, pickle"
    assert 'raise OddError("no", "pickle")' in odd.error.__notes__[0]


def test_exceptions_of_workers_come_out_of_a_selection() -> None:
    with pytest.raises(ZeroDivisionError, match="instance 0") as caught:
        robust_select(raises, MODELS[1:], n_jobs=2)
    assert "In a worker process" in caught.value.__notes__[0]
    with pytest.raises(ModelMismatchError, match="unknown"):
        robust_select(asks_too_much, MODELS, n_jobs=2)


# Everything in __main__: an exception class, and an objective that is a closure and warns.
MAIN = """
import warnings
import optuna_robust as opr

class MyError(Exception):
    def __init__(self, number):
        super().__init__(number)
        self.number = number

def make(spread):
    def objective(trial, instance):
        warnings.warn("told in a worker")
        if trial.suggest_int("model", 0, 3) >= 2:
            raise MyError(instance.number)
        return trial.params["model"] + spread * instance.rng.normal()
    return objective

models = [{"model": model} for model in range(4)]
try:
    opr.robust_select(make(0.1), models[2:], n_jobs=2)
except MyError as error:
    print(error.number)
print(opr.robust_select(make(0.1), models[:2], n_jobs=2).best_params)
print(opr.robust_select(lambda trial: trial.suggest_int("model", 0, 3), models[:2],
                        n_instances=2, n_jobs=2).best_params)
"""


def test_what_is_defined_in_main_can_be_sent() -> None:
    with begin_script(MAIN) as process:
        printed, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert printed.splitlines() == ["0", "{'model': 0}", "{'model': 0}"]
    assert "Traceback" not in errors
    assert "told in a worker" in errors


# Processes that die, and processes that shall end.


def pid_of(log: Logged, number: int) -> int:
    """Return the process that is training an instance."""
    wait_until(lambda: any(event.instance[1] == number for event in log.running()))
    [event] = [event for event in log.running() if event.instance[1] == number]
    return event.pid


def test_the_death_of_a_process_is_the_end_of_its_instance_only(
    log: Logged, loky_workers: Callable[..., LokyWorkers]
) -> None:
    workers = loky_workers(replace(log, seconds=0.6))
    first, second = workers.submit(job(3)), workers.submit(job(1))
    victim = pid_of(log, 3)
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(BrokenProcessPool):
        first.result(PATIENCE)
    assert second.result(PATIENCE).loss is not None
    # The dead one is replaced.
    third, fourth = workers.submit(job(5)), workers.submit(job(0))
    assert third.result(PATIENCE).loss is not None
    assert fourth.result(PATIENCE).loss is not None
    ended = {event.instance[1]: event.pid for event in log.events() if event.kind == "end"}
    assert set(ended) == {0, 1, 5}
    assert victim not in ended.values()
    assert len(set(ended.values())) == 2


@pytest.mark.slow
def test_a_process_that_dies_while_it_has_nothing_to_do_is_replaced(
    log: Logged, loky_workers: Callable[..., LokyWorkers]
) -> None:
    workers = loky_workers(log, 1)
    for number in range(3):
        assert workers.submit(job(number)).result(PATIENCE).loss is not None
        pid = log.events()[-1].pid
        os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)
        time.sleep(0.2)  # for loky to see it, too
    assert len({event.pid for event in log.events()}) == 3


def test_a_killed_worker_costs_a_selection_one_instance(log: Logged) -> None:
    objective = replace(log, seconds=0.3)

    def kill() -> None:
        wait_until(lambda: len(log.count("end")) >= 2 and len(log.running()) == 2)
        victims.append(log.running()[0])
        os.kill(victims[0].pid, signal.SIGKILL)

    victims: list[Any] = []
    thread = threading.Thread(target=kill)
    thread.start()
    models = MODELS[:2]
    result = in_time(lambda: robust_select(objective, models, n_instances=5, n_jobs=2))
    thread.join()
    expected = robust_select(Logged(log.path + "2"), models, n_instances=5)
    assert (result.losses == expected.losses).all()
    assert result.n_trainings == expected.n_trainings
    [victim] = victims
    begun = log.count("begin")
    assert begun[victim.instance] == 2
    assert {instance for instance, n in begun.items() if n > 1} == {victim.instance}


@pytest.mark.slow
def test_an_instance_that_always_kills_its_worker_is_a_failure_in_the_end(
    log: Logged, url: str
) -> None:
    objective = KillsItself(log.path, victim=1)
    store = InstanceStore(url)
    result = in_time(
        lambda: robust_select(
            objective,
            MODELS[:2],
            rule="halving",
            n_instances=2,
            n_warmup_instances=1,
            criterion="mean",
            n_jobs=2,
            store=store,
        )
    )
    assert result.survivors == (0,)
    assert result.failures[1][0].startswith("its worker process died 5 times: ")
    dies = log.count("dies")
    assert dies[1, 0] == 5
    assert {each.state for each in store.instances() if each.params == {"model": 0}} == {"done"}
    store.close()


@pytest.mark.slow
def test_what_kills_its_worker_before_anything_succeeded_is_an_error(log: Logged) -> None:
    with pytest.raises(RuntimeError, match="its worker process died 5 times"):
        in_time(
            lambda: robust_select(
                KillsItself(log.path, victim=0), MODELS[:2], n_instances=2, n_jobs=2
            )
        )


def test_closing_ends_the_processes_with_what_they_are_doing(
    log: Logged, loky_workers: Callable[..., LokyWorkers]
) -> None:
    workers = loky_workers(replace(log, seconds=PATIENCE))
    futures = [workers.submit(job(0)), workers.submit(job(1))]
    pids = [pid_of(log, number) for number in (0, 1)]
    workers.close()
    wait_for_end(*pids)
    assert all(future.exception(PATIENCE) is not None for future in futures)
    workers.close()


def test_processes_end_with_the_object_that_has_them(log: Logged) -> None:
    workers = LokyWorkers(Evaluator(log), 1)
    future = workers.submit(job(0))
    assert future.result(PATIENCE).loss is not None
    [pid] = {event.pid for event in log.events()}
    assert is_running(pid)
    del workers, future
    gc.collect()
    wait_for_end(pid)


# A trial ends while what was trained ahead of need is still running.
SURPLUS = """
import sys
import optuna
import optuna_robust as opr
from tests.training_log import Logged, PATIENCE, wait_until

class StopsAtOnce(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return trial.last_step == 1

class Endless(Logged):
    def __call__(self, trial, instance):
        if instance.number > 1:
            self.write("begin", 0, instance.number)
            import time; time.sleep(10 * PATIENCE)
        return super().__call__(trial, instance)

optuna.logging.set_verbosity(optuna.logging.WARNING)
log = Endless(sys.argv[2])
study = optuna.create_study(pruner=StopsAtOnce())
objective = opr.MultiInstanceObjective(
    log, 4, criterion="mean", n_jobs=3, store=opr.InstanceStore(sys.argv[1])
)
study.optimize(objective, n_trials=1)
wait_until(lambda: len(log.running()) == 2)
print(*(event.pid for event in log.running()), flush=True)
if sys.argv[3] == "interrupted":
    raise KeyboardInterrupt
"""


@pytest.mark.parametrize("how", ["normally", pytest.param("interrupted", marks=pytest.mark.slow)])
def test_a_program_ends_whatever_its_workers_are_training(how: str, url: str, log: Logged) -> None:
    with begin_script(SURPLUS, url, log.path, how) as process:
        printed, errors = process.communicate(timeout=PATIENCE)
    if how == "normally":
        assert (process.returncode, errors) == (0, "")
    else:
        assert errors.endswith("KeyboardInterrupt\n")
        assert errors.count("Traceback") == 1
    wait_for_end(*map(int, printed.split()))
    store = InstanceStore(url)
    assert {each.number: each.state for each in store.instances()} == {0: "done", 1: "done"}
    store.close()


# Executors of the user.


@pytest.mark.slow
def test_a_broken_executor_is_told_and_a_new_one_goes_on(log: Logged, url: str) -> None:
    objective = KillsItself(log.path, 0.05, victim=2, once=True)
    store = InstanceStore(url)

    def select(executor: Executor) -> Any:
        return in_time(
            lambda: robust_select(
                objective, MODELS, n_instances=3, executor=executor, n_jobs=2, store=store
            )
        )

    with (
        processes(2) as executor,
        pytest.raises(RuntimeError, match=r"takes no more work .* call again with a new executor"),
    ):
        select(executor)
    kept = {(each.params["model"], each.number) for each in store.instances()}
    assert {each.state for each in store.instances()} == {"done"}
    assert kept  # the third was given out when one of the first two had ended
    with processes(2) as executor:
        result = select(executor)
    assert result.n_reused == len(kept)
    assert all(log.count("begin")[instance] == 1 for instance in kept)
    store.close()


def test_an_executor_that_was_shut_down_is_told(log: Logged) -> None:
    executor = ThreadPoolExecutor(2)
    executor.shutdown()
    with pytest.raises(RuntimeError, match=r"takes no more work .*shutdown"):
        robust_select(log, MODELS, executor=executor)
    assert log.events() == []


def test_what_an_executor_trains_too_late_makes_no_noise(
    log: Logged, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor(4) as executor:
        robust_select(
            replace(log, seconds=0.05),
            MODELS[:3],
            rule="halving",
            n_instances=3,
            n_warmup_instances=1,
            executor=executor,
        )
        in_time(executor.shutdown)
    assert caplog.records == []


# The clock.


@pytest.mark.skipif(sys.platform != "linux", reason="only there the clock does not matter")
def test_a_clock_that_is_set_does_not_make_processes_look_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the workers would end, each time that they are started."""
    me = this_process()
    import psutil  # noqa: PLC0415

    boot_time = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot_time + 3600)
    assert me.is_alive()


def test_a_process_before_the_last_boot_is_dead() -> None:
    me = this_process()
    if "boot:" not in me.host:
        pytest.skip("boots have no names here")
    before = replace(me, host=me.host + "0")
    assert before.is_local
    assert not before.is_alive()


def test_in_process_everything_is_done_at_once() -> None:
    workers = InProcess(lambda job: Outcome(1.0))
    assert workers.submit(job(0)).result(timeout=0).loss == 1.0
    workers.close()
