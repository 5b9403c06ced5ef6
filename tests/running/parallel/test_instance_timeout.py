"""A limit of an instance's time: in this process, in workers, and in code that hears no alarm."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import signal
import time
from typing import Any

import numpy as np
import optuna
import pytest

import optuna_robust as opr
from tests.training_log import in_time
from tests.training_log import Logged


LIMIT = 0.3


class HangsAt:
    """An objective that hangs at one instance, or at the models that it is told of."""

    def __init__(self, log: Logged, number: int = 2, *, deaf: bool = False) -> None:
        self.log = log
        self.number = number
        self.deaf = deaf

    def __call__(self, trial: optuna.Trial, instance: opr.Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        self.log.write("begin", int(100 * x), instance.number)
        if instance.number % 1_000_000 == self.number:
            if self.deaf:
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
            time.sleep(1_000)
        self.log.write("end", int(100 * x), instance.number)
        return x + 0.1 * float(instance.rng.normal())


def test_one_that_hangs_is_a_failure_in_a_study(tmp_path: Path) -> None:
    log = Logged(str(tmp_path / "log"))
    study = optuna.create_study()
    study.enqueue_trial({"x": 0.5})
    wrapped = opr.MultiInstanceObjective(
        HangsAt(log), 4, criterion="median", on_failure="drop", instance_timeout=LIMIT
    )
    study.optimize(wrapped, n_trials=1)
    (trial,) = study.trials
    assert trial.user_attrs["robust:losses"][2] is None
    assert trial.user_attrs["robust:failures"] == {
        "2": "TimeoutError: instance 2 took longer than instance_timeout=0.3 s"
    }
    # It says where it was when its time was up.
    (kind,) = trial.user_attrs["robust:failure_kinds"].values()
    assert kind.startswith("TimeoutError at test_instance_timeout.py:")
    assert log.count("begin").total() == 4


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_in_selections_and_confirmations(n_jobs: int, tmp_path: Path) -> None:
    log = Logged(str(tmp_path / "log"))
    options: dict[str, Any] = {"n_jobs": n_jobs, "instance_timeout": LIMIT, "on_failure": "drop"}
    result = opr.robust_select(
        HangsAt(log), [{"x": 0.2}, {"x": 0.7}], n_instances=4, train_survivors=True, **options
    )
    assert result.best_params == {"x": 0.2}
    assert np.isnan(result.losses[:, 2]).all()
    confirmed = opr.confirm(result, HangsAt(log), n_models=1, n_instances=4, **options)
    assert np.isnan(confirmed.losses).tolist() == [[False, False, True, False]]
    assert set(log.count("begin").values()) == {1}


@pytest.mark.slow
def test_a_worker_that_hears_no_alarm_is_ended(tmp_path: Path) -> None:
    log = Logged(str(tmp_path / "log"))
    result = in_time(
        lambda: opr.robust_select(
            HangsAt(log, deaf=True),
            [{"x": 0.2}, {"x": 0.7}],
            n_instances=4,
            train_survivors=True,
            on_failure="drop",
            n_jobs=2,
            instance_timeout=LIMIT,
        )
    )
    assert result.best_params == {"x": 0.2}
    assert np.isnan(result.losses[:, 2]).all()
    assert set(log.count("begin").values()) == {1}


def test_a_timeout_is_kept_in_the_store(tmp_path: Path) -> None:
    log = Logged(str(tmp_path / "log"))
    store = opr.InstanceStore(f"sqlite:///{tmp_path / 'robust.db'}")
    for _ in range(2):  # the second trains nothing
        opr.robust_select(
            HangsAt(log),
            [{"x": 0.2}],
            n_instances=4,
            criterion="median",
            store=store,
            instance_timeout=LIMIT,
        )
        assert log.count("begin").total() == 4
    assert [each.state for each in store.instances()] == ["done", "done", "failed", "done"]
    store.close()


def test_an_objective_that_goes_on_is_interrupted_again_and_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("optuna_robust._instances.evaluation._time_limit._AGAIN", 0.1)
    n_caught = 0

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        nonlocal n_caught
        if instance.number == 1:
            for _ in range(3):
                try:
                    time.sleep(1_000)
                except TimeoutError:
                    n_caught += 1
        return trial.suggest_float("x", 0, 1) + instance.number

    handler = signal.getsignal(signal.SIGALRM)
    study = optuna.create_study()
    study.optimize(opr.MultiInstanceObjective(objective, 3, instance_timeout=0.1), n_trials=1)
    # It came back with a loss, late.
    assert n_caught == 3
    assert study.trials[0].user_attrs["robust:n_failures"] == 0
    assert signal.getsignal(signal.SIGALRM) == handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_somebody_elses_alarm_goes_on() -> None:
    heard = []
    earlier = signal.signal(signal.SIGALRM, lambda *_: heard.append(time.monotonic()))
    begun = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        opr.robust_select(
            lambda trial, instance: trial.params["x"] + instance.number,
            [{"x": 0.2}],
            n_instances=3,
            instance_timeout=5.0,
        )
        while not heard:
            time.sleep(0.01)
            assert time.monotonic() < begun + 20
    finally:
        signal.signal(signal.SIGALRM, earlier)
    assert heard[0] - begun >= 0.49


def test_several_instances_at_a_call_have_the_time_of_all() -> None:
    def objective(trial: optuna.Trial, instances: tuple[opr.Instance, ...]) -> list[float]:
        x = trial.suggest_float("x", 0, 1)
        if len(instances) > 1:
            time.sleep(0.3 * len(instances))
        return [x + instance.number for instance in instances]

    study = optuna.create_study()
    study.enqueue_trial({"x": 0.5})
    options: dict[str, Any] = {"criterion": "median", "max_failures": 1.0}
    for limit in (10.0, 0.2):
        study.enqueue_trial({"x": 0.5})
        wrapped = opr.MultiInstanceObjective(objective, 4, instance_timeout=limit, **options)
        study.optimize(wrapped, n_trials=1)
    assert study.trials[0].user_attrs["robust:n_failures"] == 0
    late = study.trials[1].user_attrs["robust:failures"]
    assert all("took longer than instance_timeout=0.2 s each" in text for text in late.values())
    assert late


def test_the_first_instance_is_raised_as_any_error() -> None:
    study = optuna.create_study()

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        time.sleep(1_000)
        return 0.0

    wrapped = opr.MultiInstanceObjective(objective, 3, instance_timeout=LIMIT)
    with pytest.raises(TimeoutError, match=r"instance 0 took longer than instance_timeout=0\.3 s"):
        study.optimize(wrapped, n_trials=1)


@pytest.mark.parametrize(("limit", "error"), [(0, ValueError), (-1, ValueError), ("1", TypeError)])
def test_limits_that_are_none(limit: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="instance_timeout"):
        opr.MultiInstanceObjective(lambda trial, instance: 0.0, instance_timeout=limit)


def test_executors_and_threads_cannot_keep_it() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        return trial.suggest_float("x", 0, 1)

    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(ValueError, match=r"instance_timeout=1 cannot be kept in an executor"):
            opr.robust_select(objective, [{"x": 0.5}], executor=executor, instance_timeout=1)
        study = optuna.create_study()
        wrapped = opr.MultiInstanceObjective(objective, 3, instance_timeout=1)
        with pytest.raises(RuntimeError, match="thread other than the main one"):
            executor.submit(study.optimize, wrapped, n_trials=1).result()
