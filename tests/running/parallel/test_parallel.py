"""Results do not depend on who trains the instances, how many at a time, and which ends first."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import Executor
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
import multiprocessing
from pathlib import Path
from typing import Any

import loky
import numpy as np
import optuna
from optuna.trial import TrialState
import pytest

from optuna_robust import confirm
from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import MultiInstanceObjective
from optuna_robust import robust_select
from optuna_robust import RobustnessPruner
from optuna_robust import SelectionResult
from tests.objectives import study_of
from tests.training_log import in_time
from tests.training_log import Logged
from tests.training_log import wait_until


# How instances are trained: n_jobs, and who makes the executor.
Way = tuple[int, Callable[[], Any] | None]


def processes() -> Executor:
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


@contextmanager
def dask() -> Iterator[Executor]:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor()


WAYS: list[Any] = [
    pytest.param(1, None, id="1", marks=pytest.mark.slow),
    pytest.param(2, None, id="2"),
    pytest.param(4, None, id="4", marks=pytest.mark.slow),
    pytest.param(3, lambda: ThreadPoolExecutor(3), id="threads"),
    pytest.param(1, processes, id="processes", marks=pytest.mark.slow),
    pytest.param(
        1, lambda: loky.ProcessPoolExecutor(2, timeout=20), id="loky", marks=pytest.mark.slow
    ),
    pytest.param(2, dask, id="dask", marks=pytest.mark.slow),
]


@pytest.fixture
def log(tmp_path: Path) -> Logged:
    return Logged(str(tmp_path / "log"), seconds=0.006)


def select(log: Logged, rule: str = "halving", **kwargs: Any) -> SelectionResult:
    models = [{"model": model} for model in range(6)]
    kwargs["n_warmup_instances"] = 2 if rule == "halving" else None
    return in_time(lambda: robust_select(log, models, rule=rule, n_instances=5, **kwargs))


def search(log: Logged, **kwargs: Any) -> optuna.Study:
    # Trials are stopped while instances after the third are being trained.
    study = study_of(pruner=RobustnessPruner("mean", n_startup_trials=3, n_warmup_instances=2))
    in_time(lambda: study.optimize(MultiInstanceObjective(log, 6, **kwargs), n_trials=10))
    return study


def told(study: optuna.Study) -> list[Any]:
    """Return what trials hold, but for seconds, whose they were and what was there before."""
    varies = {"robust:seconds", "robust:worker", "robust:n_reused"}
    return [
        (
            trial.state,
            trial.value,
            trial.params,
            trial.intermediate_values,
            {key: value for key, value in trial.user_attrs.items() if key not in varies},
        )
        for trial in study.trials
    ]


@pytest.mark.parametrize("rule", ["race", "halving"])
@pytest.mark.parametrize(("n_jobs", "make_executor"), WAYS)
def test_results_are_the_same(
    n_jobs: int, make_executor: Callable[[], Any] | None, rule: str, log: Logged, tmp_path: Path
) -> None:
    silent = Logged(log.path + "-silent")
    selected, searched = select(silent, rule), search(silent)
    assert {trial.state for trial in searched.trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    store = InstanceStore(f"sqlite:///{tmp_path / 'store.db'}")

    def check(executor: Executor | None) -> None:
        how: dict[str, Any] = {"n_jobs": n_jobs, "executor": executor}
        for kept in (None, store):
            found = select(log, rule, store=kept, **how)
            np.testing.assert_array_equal(found.losses, selected.losses)
            np.testing.assert_array_equal(found.values, selected.values)
            # Compared as texts, since NaN is the first incumbent's value.
            assert [str(replace(step, seconds=0)) for step in found.steps] == [
                str(replace(step, seconds=0)) for step in selected.steps
            ]
            assert found.survivors == selected.survivors
            assert (found.n_trainings, found.n_reused) == (selected.n_trainings, 0)
            assert told(search(log, store=kept, **how)) == told(searched)

    if make_executor is None:
        check(None)
    else:
        with make_executor() as executor:
            check(executor)
    assert max(log.count("begin").values()) <= 4  # in four runs, two of them with one store
    store.close()


def test_a_confirmation_is_the_same(log: Logged) -> None:
    silent = Logged(log.path + "-silent")
    result = select(silent)
    one, two = (
        in_time(partial(confirm, result, silent, n_models=2, n_instances=6, n_jobs=n_jobs))
        for n_jobs in (1, 2)
    )
    assert {**one.to_dict(), "seconds": 0.0} == {**two.to_dict(), "seconds": 0.0}


def test_unchanged_objectives_are_the_same_in_threads_and_processes() -> None:
    """Global generators are seeded for each instance wherever it is trained."""
    with ThreadPoolExecutor(2) as executor:
        found = [
            in_time(
                partial(
                    robust_select,
                    draws_globally,
                    [{"x": 0.0}, {"x": 0.5}],
                    n_instances=4,
                    **how,
                )
            )
            for how in ({}, {"n_jobs": 2}, {"executor": executor})
        ]
    assert (found[0].losses == found[1].losses).all()
    assert (found[0].losses == found[2].losses).all()


def draws_globally(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", 0, 1) + float(np.random.normal())


@dataclass(frozen=True)
class Meeting(Logged):
    """An objective that comes to its end only if three instances are trained at a time."""

    def __call__(self, trial: optuna.Trial, instance: Instance) -> float:
        loss = super().__call__(trial, instance)
        if 1 <= instance.number <= 3:
            wait_until(lambda: sum(number in {1, 2, 3} for _, number in self.count("end")) == 3)
        return loss


def test_a_search_trains_several_instances_at_a_time(tmp_path: Path) -> None:
    log = Meeting(str(tmp_path / "log"))
    study = study_of(pruner=optuna.pruners.NopPruner())
    in_time(lambda: study.optimize(MultiInstanceObjective(log, 4, n_jobs=3), n_trials=1))
    assert log.count("begin") == dict.fromkeys(log.count("begin"), 1)
    assert len({event.pid for event in log.events()}) == 4  # the first one is trained here


def test_what_a_search_trains_ahead_is_in_the_store_and_does_not_count(
    log: Logged, tmp_path: Path
) -> None:
    store = InstanceStore(f"sqlite:///{tmp_path / 'store.db'}")
    study = search(log, n_jobs=3, store=store)
    counted = {
        (trial.params["model"], number)
        for trial in study.trials
        for number in range(trial.user_attrs["robust:n_instances"])
    }
    kept = {(each.params["model"], each.number) for each in store.instances()}
    assert counted <= kept
    assert kept - counted  # trials were stopped while others were being trained
    assert all(n == 1 for n in log.count("begin").values())
    store.close()


class Seeds:
    """An objective with a method, as users write them."""

    def loss(self, trial: optuna.Trial, instance: Instance) -> float:
        return trial.suggest_float("x", 0, 1) + float(instance.rng.normal())


def test_methods_lambdas_and_closures_can_be_sent() -> None:
    offset = 1.0
    objectives: list[Callable[..., float]] = [
        Seeds().loss,
        lambda trial, instance: trial.suggest_float("x", 0, 1) + offset * instance.rng.normal(),
    ]
    for objective in objectives:
        results = [
            in_time(
                partial(robust_select, objective, {"x": [0.0, 1.0]}, n_instances=2, n_jobs=n_jobs)
            )
            for n_jobs in (1, 2)
        ]
        assert (results[0].losses == results[1].losses).all()


def test_workers_see_the_trials_user_attributes() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_user_attr("epochs", instance.number)
        return x + trial.user_attrs["level"] + float(instance.rng.normal())

    losses = []
    for n_jobs in (1, 2):
        study = optuna.create_study()
        study.enqueue_trial({"x": 0.5}, user_attrs={"level": 3.0})
        wrapped = MultiInstanceObjective(objective, 3, n_jobs=n_jobs)
        study.optimize(wrapped, n_trials=1)
        losses.append(study.trials[0].user_attrs["robust:losses"])
    assert losses[0] == losses[1]
    assert all(isinstance(loss, float) for loss in losses[1])
