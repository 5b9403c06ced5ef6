"""What is promised of interrupted searches, with processes that are killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import signal
from typing import Any

import optuna
from optuna.trial import TrialState
import pytest

import optuna_robust as opr
from optuna_robust._instances.trials import n_spent_by
from optuna_robust._running.process import this_process
from tests.search.sampler.searches import assert_as_logged
from tests.search.sampler.searches import assert_best_is_complete
from tests.search.sampler.searches import Log
from tests.search.sampler.searches import noisy
from tests.search.sampler.searches import sampler_of
from tests.search.sampler.searches import search
from tests.training_log import begin_script
from tests.training_log import PATIENCE


# The store was filled by the same objective, without the log.
pytestmark = pytest.mark.filterwarnings("ignore:The search instances of experiment")


N_INSTANCES = 4
BUDGET = 24

# Trains, and in a training of one trial says so and hangs.
HANGS = """
import sys, time
import optuna_robust as opr
from tests.search.sampler.test_durability import *

kind, path, number, before, with_store = sys.argv[1:]

def objective(trial, instance):
    if before == "True" and trial.number == int(number):
        print("now", flush=True)
        time.sleep(600)
    loss = noisy(trial, instance)
    if trial.number == int(number):
        print("now", flush=True)
        time.sleep(600)
    return loss

store = store_of(path) if with_store == "True" else None
make_study(kind, path).optimize(
    opr.MultiInstanceObjective(objective, N_INSTANCES, store=store),
    callbacks=[opr.MaxInstancesCallback(BUDGET)],
)
"""


def make_study(kind: str, path: str, **kwargs: Any) -> optuna.Study:
    storage = (
        optuna.storages.RDBStorage(f"sqlite:///{path}")
        if kind == "sqlite"
        else optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))
    )
    kwargs.setdefault("sampler", sampler_of())
    return optuna.create_study(study_name="killed", storage=storage, load_if_exists=True, **kwargs)


def store_of(path: str) -> opr.InstanceStore:
    return opr.InstanceStore(f"sqlite:///{path}.store")


def kill_in(
    number: int, kind: str, path: str, *, before: bool = False, store: bool = False
) -> None:
    """Run the search in a process that is killed in the training of one trial."""
    with begin_script(HANGS, kind, path, number, before, store) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n", process.communicate()
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)


@pytest.mark.parametrize(
    ("number", "kind", "store"),
    [
        (0, "journal", False),  # the study is not known to be a robust search yet
        (2, "journal", True),  # a new model
        pytest.param(2, "sqlite", True, marks=pytest.mark.slow),
        (21, "journal", False),  # a known model, near the end
        pytest.param(0, "sqlite", True, marks=pytest.mark.slow),
        pytest.param(8, "sqlite", False, marks=pytest.mark.slow),
        pytest.param(23, "journal", True, marks=pytest.mark.slow),
    ],
)
def test_a_killed_training_is_repeated(
    number: int, kind: str, store: bool, tmp_path: Path
) -> None:
    path = str(tmp_path / "study")
    kill_in(number, kind, path, store=store)
    study = make_study(kind, path)
    killed = study.trials[number]
    assert killed.state == TrialState.RUNNING
    trained_before = n_spent_by(study.trials)
    assert trained_before == number

    kept = store_of(path) if store else None
    study, log = search(study=study, n_instances=N_INSTANCES, budget=BUDGET, store=kept)
    trials = study.trials
    assert trials[number].state == TrialState.FAIL
    if "robust:continues" not in killed.user_attrs:
        assert trials[number + 1].params == killed.params
        assert trials[number + 1].state == TrialState.PRUNED
    assert n_spent_by(trials) == trained_before + len(log)
    assert BUDGET <= n_spent_by(trials) <= BUDGET + 1
    assert_best_is_complete(study, N_INSTANCES)
    known = {trial.params["x"]: len(trial.user_attrs.get("robust:losses", [])) for trial in trials}
    assert sum(known.values()) == n_spent_by(trials)


def test_another_worker_takes_what_a_killed_one_left(tmp_path: Path) -> None:
    path = str(tmp_path / "study")
    study = make_study("journal", path, sampler=sampler_of(seed=7))
    search(study=study, n_instances=N_INSTANCES, n_trials=3, budget=None)
    kill_in(3, "journal", path)
    search(study=study, n_instances=N_INSTANCES, n_trials=1, budget=None)
    assert study.trials[3].state == TrialState.FAIL
    assert study.trials[4].params == study.trials[3].params


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_what_was_to_be_trained_is_not_lost(kind: str, tmp_path: Path) -> None:
    """Killed before it suggests anything: models that were enqueued, and points of a grid."""
    path = str(tmp_path / "study")
    study = make_study(kind, path)
    study.enqueue_trial({"x": 0.25})
    study.enqueue_trial({"x": 0.5})
    kill_in(1, kind, path, before=True)
    study = make_study(kind, path)
    assert study.trials[1].params == {}
    search(study=study, n_instances=N_INSTANCES, n_trials=2, budget=None)
    assert [trial.state for trial in study.trials[:2]] == [TrialState.PRUNED, TrialState.FAIL]
    assert study.trials[2].params == {"x": 0.5}


def test_a_killed_grid_is_trained_to_its_end(tmp_path: Path) -> None:
    def make_grid() -> optuna.Study:
        grid = optuna.samplers.GridSampler({"x": [-0.5, 0.0, 0.3, 0.5]}, seed=0)
        return make_study("journal", path, sampler=sampler_of(grid, n_startup_models=2))

    path = str(tmp_path / "study")
    study = make_grid()
    search(study=study, n_instances=N_INSTANCES, n_trials=1, budget=None)
    # Left RUNNING by a process that is gone, at every stage of a trial.
    dead = list(vars(this_process()).values())
    dead[1:] = [2**22 + 1, 1.0]
    for suggests in (False, True):
        trial = study.ask()
        if suggests:
            trial.suggest_float("x", -1, 1)
        study._storage.set_trial_user_attr(trial._trial_id, "robust:process", dead)
    study = make_grid()
    search(study=study, n_instances=N_INSTANCES, n_trials=None, budget=None)
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert sorted(trial.params["x"] for trial in complete) == [-0.5, 0.0, 0.3, 0.5]
    assert not any(trial.state == TrialState.RUNNING for trial in study.trials)


@pytest.fixture(params=[False, True])
def store(request: pytest.FixtureRequest) -> Iterator[opr.InstanceStore | None]:
    yield opr.InstanceStore() if request.param else None


@pytest.mark.parametrize("at", [0, 3, 12, 23])
def test_ctrl_c(at: int, store: opr.InstanceStore | None) -> None:
    log: Log = []
    stops = [at]

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        loss = noisy(trial, instance)
        if stops and len(log) == stops[0]:
            stops.clear()
            raise KeyboardInterrupt
        return loss

    study = optuna.create_study(sampler=sampler_of())
    kwargs: dict[str, Any] = {"n_instances": N_INSTANCES, "budget": BUDGET, "store": store}
    with pytest.raises(KeyboardInterrupt):
        search(objective, study=study, log=log, **kwargs)
    assert study.trials[-1].state == TrialState.FAIL
    interrupted = study.trials[-1]
    search(objective, study=study, log=log, **kwargs)
    assert study.trials[interrupted.number + 1].params == interrupted.params
    assert len(log) == BUDGET
    assert_as_logged(study, log)
    assert_best_is_complete(study, N_INSTANCES)


def test_a_model_that_always_kills_is_left_in_the_end() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        loss = noisy(trial, instance)
        if trial.params["x"] == 0.3 and instance.number == 2:
            raise KeyboardInterrupt
        return loss

    study = optuna.create_study(sampler=sampler_of(repeat_share=0.8))
    study.enqueue_trial({"x": 0.3})
    n_interrupted = 0
    for _ in range(20):
        try:
            search(objective, study=study, budget=BUDGET, n_instances=N_INSTANCES)
        except KeyboardInterrupt:
            n_interrupted += 1
        else:
            break
    assert 0 < n_interrupted <= 3
    assert len(study.best_trial.user_attrs["robust:losses"]) == N_INSTANCES
    assert study.best_params != {"x": 0.3}


def test_a_restart_with_its_store_trains_nothing_again() -> None:
    store = opr.InstanceStore()
    log: Log = []
    values = []
    for _ in range(2):
        study = optuna.create_study(sampler=sampler_of())
        study.optimize(
            opr.MultiInstanceObjective(
                lambda trial, instance: (log.append(("", 0)), noisy(trial, instance))[1],
                N_INSTANCES,
                store=store,
            ),
            callbacks=[opr.MaxInstancesCallback(BUDGET, count_reused=True)],
        )
        values.append([trial.value for trial in study.trials])
        assert len(study.trials) == BUDGET
    assert values[0] == values[1]
