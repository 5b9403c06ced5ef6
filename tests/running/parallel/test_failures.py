"""Failures are seen, and keep nothing alive."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
import gc
import os
from pathlib import Path
from typing import Any
import weakref

import optuna
import pytest

from optuna_robust import confirm
from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import MultiInstanceObjective
from optuna_robust import robust_select
from optuna_robust._running.parallel import is_worker
from tests.objectives import losses_of
from tests.objectives import noisy
from tests.objectives import study_of


MODELS = {"x": [0.1, 0.3, 0.5, 0.7, 0.9]}


def some_fail(trial: optuna.Trial, instance: Instance) -> float:
    loss = noisy(trial, instance)
    number = instance.number % 1_000_000
    if number % 3 == 1:
        raise FileNotFoundError("train.npz")
    if number % 3 == 2:
        int(f"no number {number}")
    return loss


LINE_OF_FAILURE = some_fail.__code__.co_firstlineno + 4


def search(objective: Callable[..., Any], **options: Any) -> optuna.Study:
    study = study_of()
    study.optimize(MultiInstanceObjective(objective, 6, criterion="min", **options), n_trials=3)
    return study


def select(objective: Callable[..., Any], **options: Any) -> Any:
    return robust_select(
        objective, MODELS, n_instances=6, criterion="min", max_failures=1.0, **options
    )


def confirm_ordinary(objective: Callable[..., Any], **options: Any) -> Any:
    study = study_of()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=5)
    return confirm(study, objective, n_instances=6, criterion="min", **options)


RUNS = [search, select, confirm_ordinary]


def warnings_in(logged: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in logged.records if each.levelname == "WARNING"]


# --- seen ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("run", RUNS)
def test_the_first_failure_of_each_kind_is_logged_with_its_traceback(
    run: Callable[..., Any], n_jobs: int, logged: pytest.LogCaptureFixture
) -> None:
    run(some_fail, n_jobs=n_jobs)
    first, second = warnings_in(logged)
    for text, line, message in (
        (first, LINE_OF_FAILURE, "FileNotFoundError: train.npz"),
        (second, LINE_OF_FAILURE + 2, "ValueError: invalid literal for int()"),
    ):
        said, head, place, *_ = text.splitlines()
        assert message in said
        assert head == "Traceback (most recent call last):"
        assert place == f'  File "{__file__}", line {line}, in some_fail'


def test_each_study_has_its_own_first_failure(logged: pytest.LogCaptureFixture) -> None:
    wrapped = MultiInstanceObjective(some_fail, 6, criterion="min")
    for _ in range(2):
        study_of().optimize(wrapped, n_trials=2)
    assert len(warnings_in(logged)) == 4


def test_a_loss_that_is_not_finite_is_logged_too(logged: pytest.LogCaptureFixture) -> None:
    search(lambda trial, instance: noisy(trial, instance) / (instance.number != 3 or float("nan")))
    assert len(warnings_in(logged)) == 1
    assert "the objective returned nan" in warnings_in(logged)[0]


def test_the_place_is_in_the_users_code_not_in_a_library() -> None:
    study = search(some_fail)
    assert set(study.trials[0].user_attrs["robust:failure_kinds"].values()) == {
        f"FileNotFoundError at test_failures.py:{LINE_OF_FAILURE}",
        f"ValueError at test_failures.py:{LINE_OF_FAILURE + 2}",
    }

    def in_a_library(trial: optuna.Trial, instance: Instance) -> float:
        if instance.number == 1:
            os.stat("nowhere", dir_fd=None)
            Path("nowhere").read_text()
        return noisy(trial, instance)

    place = in_a_library.__code__.co_firstlineno + 2
    (kind,) = search(in_a_library).trials[0].user_attrs["robust:failure_kinds"].values()
    assert kind == f"FileNotFoundError at test_failures.py:{place}"


def test_results_count_failures_by_kind() -> None:
    for run in (select, confirm_ordinary):
        result = run(some_fail)
        assert sum(result.failure_kinds.values()) == sum(map(len, result.failures.values()))
        kind = f"FileNotFoundError at test_failures.py:{LINE_OF_FAILURE}"
        assert result.failure_kinds[kind] > 1
        assert f"failures={result.failure_kinds}" in repr(result)
        assert "failures={}" in repr(run(noisy))


# --- programming errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "on_failure", "n_jobs"),
    [
        (NameError("x"), "worst", 1),
        (NameError("x"), "worst", 2),
        (UnboundLocalError("x"), "drop", 1),
        (ModuleNotFoundError("x"), "worst", 1),
        (SyntaxError("x"), "worst", 1),
    ],
)
@pytest.mark.parametrize("run", RUNS)
def test_programming_errors_are_raised_at_any_instance(
    run: Callable[..., Any], error: Exception, on_failure: str, n_jobs: int
) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        if instance.number % 1_000_000 == 4:
            raise error
        return noisy(trial, instance)

    store = InstanceStore()
    with pytest.raises(type(error)):
        run(objective, on_failure=on_failure, store=store, n_jobs=n_jobs)
    # It can be fixed: what failed of it is trained again.
    assert "failed" not in {each.state for each in store.instances()}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_patience_is_of_a_run_not_of_a_trial(n_jobs: int) -> None:
    def broken(trial: optuna.Trial, instance: Instance) -> float:
        trial.suggest_float("x", 0, 1)
        raise FileNotFoundError("train.npz")

    study, store = study_of(), InstanceStore()
    study.optimize(MultiInstanceObjective(noisy, 5, store=store), n_trials=2)
    again = MultiInstanceObjective(broken, 5, store=store, n_jobs=n_jobs)
    with (
        pytest.warns(UserWarning, match="Nothing has succeeded in this run yet"),
        pytest.raises(FileNotFoundError, match=r"train\.npz"),
    ):
        study.optimize(again, n_trials=8)
    assert len(study.trials) < 10


# --- workers -------------------------------------------------------------------------------------


def fails_in_workers(trial: optuna.Trial, instance: Instance) -> float:
    if is_worker():
        raise OSError("no such device")
    return noisy(trial, instance)


def test_what_only_workers_fail_of_is_raised_with_their_traceback() -> None:
    study = study_of()
    with pytest.raises(OSError, match="no such device") as caught:
        study.optimize(MultiInstanceObjective(fails_in_workers, 6, n_jobs=2), n_trials=3)
    notes = "\n".join(caught.value.__notes__)
    assert "In a worker process:\nTraceback" in notes
    assert "in fails_in_workers" in notes
    assert "no worker has succeeded yet" in notes
    assert [trial.state for trial in study.trials] == [optuna.trial.TrialState.FAIL]


def test_an_executors_workers_are_apart_too() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        if instance.number:
            raise_in_threads()
        return noisy(trial, instance)

    def raise_in_threads() -> None:
        import threading  # noqa: PLC0415

        if threading.current_thread() is not threading.main_thread():
            raise OSError("no such device")

    with ThreadPoolExecutor(2) as executor, pytest.raises(OSError, match="no such device"):
        search(objective, executor=executor)


@pytest.mark.parametrize("numbers", [(1,), (1, 2, 3), (2, 4)])
def test_a_model_that_fails_anywhere_fails_the_same_with_workers(numbers: tuple[int, ...]) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        if instance.number in numbers:
            raise FloatingPointError("diverged")
        return noisy(trial, instance)

    here, store = search(objective), InstanceStore()
    there = search(objective, n_jobs=2, store=store)
    assert losses_of(here) == losses_of(there)
    failed = [each.number for each in store.instances() if each.state == "failed"]
    assert sorted(failed) == sorted(3 * numbers)


# --- nothing stays alive -------------------------------------------------------------------------


class Large:
    """Stands for a model on a GPU."""


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


class Leaky:
    """Fails while it holds something large, and looks whether that of others is still held."""

    def __init__(self) -> None:
        self.made: list[weakref.ref[Large]] = []
        self.n_alive: list[int] = []

    def __call__(self, trial: optuna.Trial, instance: Instance) -> float:
        self.n_alive.append(sum(each() is not None for each in self.made))
        loss = noisy(trial, instance)
        if instance.number % 2:
            large = Large()
            self.made.append(weakref.ref(large))
            self._train(large)
        return loss

    def _train(self, large: Large) -> None:
        try:
            raise MemoryError("out of memory")
        except MemoryError as error:
            if len(self.made) % 2:
                raise RuntimeError(f"no room for {large}") from error
            raise ExceptionGroup("several", [error]) from None


class LeakyUnchanged(Leaky):
    """The same without a parameter for the instance."""

    def __call__(self, trial: optuna.Trial) -> float:  # type: ignore[override]
        return super().__call__(trial, Instance(len(self.n_alive)))


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("leaky", [Leaky, LeakyUnchanged])
@pytest.mark.parametrize("run", RUNS)
def test_what_a_failed_instance_held_is_free_before_the_next(
    run: Callable[..., Any], leaky: type[Leaky]
) -> None:
    objective = leaky()
    run(objective)
    assert len(objective.made) >= 3
    assert set(objective.n_alive) == {0}
    assert all(each() is None for each in objective.made)


@pytest.mark.usefixtures("uncollected")
def test_failures_before_the_first_success_of_a_run_that_goes_on_keep_nothing() -> None:
    store = InstanceStore()
    select(noisy, store=store)
    objective = Leaky()
    with pytest.warns(UserWarning, match="Nothing has succeeded in this run yet"):
        robust_select(
            lambda trial, instance: objective(trial, Instance(2 * instance.number + 1)),
            {"x": [0.2, 0.4, 0.6]},
            n_instances=2,
            criterion="min",
            max_failures=1.0,
            store=store,
        )
    assert set(objective.n_alive) == {0}


@pytest.mark.usefixtures("uncollected")
def test_threads_of_a_study_keep_nothing_either() -> None:
    objective = Leaky()
    study = study_of()
    wrapped = MultiInstanceObjective(objective, 6, criterion="min")
    study.optimize(wrapped, n_trials=6, n_jobs=2)
    assert objective.made
    assert all(each() is None for each in objective.made)
    assert max(objective.n_alive) <= 1  # the other thread's


@pytest.mark.usefixtures("uncollected")
def test_several_instances_of_a_call_keep_nothing() -> None:
    leaky = Leaky()

    def objective(trial: optuna.Trial, instances: tuple[Instance, ...]) -> list[float]:
        return [leaky(trial, each) for each in instances]

    search(objective)
    select(objective)
    assert set(leaky.n_alive) == {0}
    assert all(each() is None for each in leaky.made)
