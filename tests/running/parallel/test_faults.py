"""Selections whose processes are killed, interrupted, or not alone, and what comes of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
import os
from pathlib import Path
import pickle
import random
import signal
import subprocess
import time

import numpy as np
import psutil
import pytest

from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import robust_select
from optuna_robust import SelectionResult
from tests.training_log import assert_only_the_killed_were_trained_again
from tests.training_log import begin_script
from tests.training_log import Event
from tests.training_log import Logged
from tests.training_log import PATIENCE
from tests.training_log import wait_for_end
from tests.training_log import wait_until


pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="sends signals"),
    # Objectives that go on are the same ones, but for the time that they take.
    pytest.mark.filterwarnings("ignore:The search instances of experiment"),
]

N_KILLS = 8

# Selects with two workers; what it found stands in a file then.
SELECT = """
import sys
from pathlib import Path
import pickle
from optuna_robust import InstanceStore
from tests.running.parallel.test_faults import select
from tests.training_log import Logged

rule, url, log, seconds, found = sys.argv[1:]
result = select(rule, Logged(log, float(seconds)), InstanceStore(url), n_jobs=2)
Path(found).write_bytes(pickle.dumps(result))
"""


def select(
    rule: str, objective: Logged, store: InstanceStore | None = None, n_jobs: int = 1
) -> SelectionResult:
    return robust_select(
        objective,
        [{"model": model} for model in range(24)],
        rule=rule,
        n_instances=8,
        n_warmup_instances=3 if rule == "halving" else None,
        n_jobs=n_jobs,
        store=store,
    )


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture(params=["race", "halving"])
def rule(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def undisturbed(rule: str, tmp_path: Path) -> SelectionResult:
    return select(rule, Logged(str(tmp_path / "undisturbed")))


def workers_of(driver: subprocess.Popen[str], log: Logged) -> list[Event]:
    """Return the instances that processes of this driver are training."""
    found = []
    for event in log.running():
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(event.pid).ppid() == driver.pid:
                found.append(event)
    return found


def assert_same_result(found: SelectionResult, expected: SelectionResult) -> None:
    np.testing.assert_array_equal(found.losses, expected.losses)
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.survivors == expected.survivors
    assert found.best_params == expected.best_params
    # Compared as texts, since NaN is the first incumbent's value.
    assert [str(replace(step, seconds=0.0)) for step in found.steps] == [
        str(replace(step, seconds=0.0)) for step in expected.steps
    ]
    assert found.n_trainings + found.n_reused == expected.n_trainings


def assert_store_is_right(url: str) -> None:
    """Nobody claims anything any more, and every loss is that of its model and instance."""
    store = InstanceStore(url)
    for each in store.instances():
        assert each.state == "done", each
        assert each.outcome is not None
        noise = Instance(each.number).rng.normal()
        assert each.outcome.loss == 0.05 * each.params["model"] + 0.3 * float(noise)
    store.close()


@pytest.mark.slow
def test_a_selection_survives_kills_of_its_workers_and_of_itself(
    rule: str, url: str, tmp_path: Path, undisturbed: SelectionResult
) -> None:
    log, found = Logged(str(tmp_path / "log"), seconds=0.15), tmp_path / "found"
    rng = random.Random(20)
    kills: list[float] = []
    n_drivers_killed = 0
    while True:
        driver = begin_script(SELECT, rule, url, log.path, log.seconds, found)
        while len(kills) < N_KILLS and driver.poll() is None:
            time.sleep(rng.uniform(0.0, 0.4))
            at_work = workers_of(driver, log)
            if not at_work:
                continue
            if len(kills) % 2:
                driver.kill()
                kills.append(time.time())
                n_drivers_killed += 1
                break
            victim = rng.choice(at_work).pid
            os.kill(victim, signal.SIGKILL)
            kills.append(time.time())
            wait_for_end(victim)
        _, errors = driver.communicate(timeout=PATIENCE)
        assert driver.returncode in {0, -signal.SIGKILL}, errors
        if driver.returncode == 0:
            break
    assert len(kills) == N_KILLS
    assert n_drivers_killed == N_KILLS // 2
    assert_same_result(pickle.loads(found.read_bytes()), undisturbed)
    assert_store_is_right(url)
    assert_only_the_killed_were_trained_again(log, kills)
    # Two workers: no kill costs more than two instances.
    n_trained = sum(log.count("begin").values())
    assert len(log.count("begin")) <= n_trained <= len(log.count("begin")) + 2 * len(kills)
    wait_for_end(*(event.pid for event in log.running()))


def test_after_ctrl_c_nothing_is_left_and_the_same_command_goes_on(
    rule: str, url: str, tmp_path: Path, undisturbed: SelectionResult
) -> None:
    log, found = Logged(str(tmp_path / "log"), seconds=0.3), tmp_path / "found"
    driver = begin_script(SELECT, rule, url, log.path, log.seconds, found)
    wait_until(lambda: sum(log.count("end").values()) >= 4 and len(workers_of(driver, log)) == 2)
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does
    interrupted = time.time()
    _, errors = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt"), errors
    wait_for_end(*(event.pid for event in log.events()))
    assert_store_is_right(url)

    again = select(rule, replace(log, seconds=0.0), InstanceStore(url))
    assert_same_result(again, undisturbed)
    assert_only_the_killed_were_trained_again(log, [interrupted])


@pytest.mark.slow
def test_workers_whose_driver_was_killed_end_by_themselves(
    rule: str, url: str, tmp_path: Path
) -> None:
    log = Logged(str(tmp_path / "log"), seconds=3 * PATIENCE)
    driver = begin_script(SELECT, rule, url, log.path, log.seconds, tmp_path / "found")
    wait_until(lambda: len(workers_of(driver, log)) == 2)
    driver.kill()
    driver.communicate(timeout=PATIENCE)
    wait_for_end(*(event.pid for event in log.events()))


@pytest.mark.slow
def test_two_drivers_share_the_work(
    rule: str, url: str, tmp_path: Path, undisturbed: SelectionResult
) -> None:
    log = Logged(str(tmp_path / "log"), seconds=0.1)
    files = [tmp_path / "first", tmp_path / "second"]
    drivers = [begin_script(SELECT, rule, url, log.path, log.seconds, found) for found in files]
    for driver in drivers:
        _, errors = driver.communicate(timeout=PATIENCE)
        assert driver.returncode == 0, errors
    results: list[SelectionResult] = [pickle.loads(found.read_bytes()) for found in files]
    for result in results:
        assert_same_result(result, undisturbed)
    assert sum(result.n_trainings for result in results) == undisturbed.n_trainings
    assert_store_is_right(url)
    # Of what was needed everything was trained once; of what was not, nothing was ended twice.
    needed = {
        (model, int(number))
        for model, losses in enumerate(undisturbed.losses)
        for number in np.flatnonzero(~np.isnan(losses))
    }
    begun, ended = log.count("begin"), log.count("end")
    assert {instance: begun[instance] for instance in needed} == dict.fromkeys(needed, 1)
    assert max(ended.values()) == 1
