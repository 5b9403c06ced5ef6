"""Several workers on one robust search: threads, and processes on one storage."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
import threading

import optuna
from optuna.trial import TrialState
import pytest

import optuna_robust as opr
from optuna_robust._instances.trials import n_spent_by
from tests.search.sampler.searches import sampler_of
from tests.training_log import begin_script
from tests.training_log import Logged
from tests.training_log import PATIENCE
from tests.training_log import wait_until


N_INSTANCES = 4

WORKER = """
import sys
from tests.search.sampler.test_workers import make_study, run
kind, path, seed, budget = sys.argv[1:]
run(make_study(kind, path, None if seed == "None" else int(seed)), path + ".log", int(budget))
"""


def make_study(kind: str, path: str, seed: int | None) -> optuna.Study:
    storage = (
        optuna.storages.RDBStorage(
            f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": PATIENCE}}
        )
        if kind == "sqlite"
        else optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))
    )
    return optuna.create_study(
        study_name="shared", storage=storage, load_if_exists=True, sampler=sampler_of(seed=seed)
    )


def run(study: optuna.Study, log: str, budget: int) -> None:
    study.optimize(
        opr.MultiInstanceObjective(Logged(log, 0.01), N_INSTANCES),
        callbacks=[opr.MaxInstancesCallback(budget)],
    )


def assert_trained_once(study: optuna.Study, log: Logged) -> None:
    """No instance is trained twice, but for models that workers suggested at the same moment."""
    twice = {instance: n for instance, n in log.count("begin").items() if n > 1}
    assert all(number == 0 for _, number in twice), twice
    began_alone = [
        trial.params["model"]
        for trial in study.trials
        # None: it left a known model to another worker, and began one of its own.
        if trial.user_attrs.get("robust:continues") is None and "model" in trial.params
    ]
    assert all(n <= Counter(began_alone)[model] for (model, _), n in twice.items()), twice


@pytest.mark.parametrize(
    ("kind", "seeds"),
    [
        ("journal", [0, 0, 0]),
        pytest.param("sqlite", [None, None], marks=pytest.mark.slow),
        pytest.param("journal", [None] * 4, marks=pytest.mark.slow),
        pytest.param("sqlite", [0] * 4, marks=pytest.mark.slow),
    ],
)
def test_processes_share_a_search(kind: str, seeds: list[int | None], tmp_path: Path) -> None:
    path = str(tmp_path / "study")
    study = make_study(kind, path, None)
    workers = [begin_script(WORKER, kind, path, seed, 30) for seed in seeds]
    for worker in workers:
        _, errors = worker.communicate(timeout=PATIENCE)
        assert worker.returncode == 0, errors
    log = Logged(path + ".log")
    assert_trained_once(study, log)
    trials = study.trials
    assert all(trial.state.is_finished() for trial in trials)
    n_trainings = sum(log.count("end").values())
    assert n_trainings == n_spent_by(trials)
    assert 30 <= n_trainings < 30 + len(workers) + N_INSTANCES
    assert len(study.best_trial.user_attrs["robust:losses"]) == N_INSTANCES
    # No model is lost: every one is in the study with all its instances.
    known: dict[int, int] = {}
    for trial in trials:
        n = len(trial.user_attrs.get("robust:losses", []))
        if n:  # a trial of a known model has its hyperparameters, even if it trained nothing
            known[trial.params["model"]] = max(known.get(trial.params["model"], 0), n)
    assert Counter(model for model, _ in log.count("end")) == known


def test_threads_share_a_search() -> None:
    lock = threading.Lock()
    trained: list[tuple[float, int]] = []

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        x = trial.suggest_float("x", -1, 1)
        with lock:
            trained.append((x, instance.number))
        return x**2 + 0.1 * float(instance.rng.normal())

    study = optuna.create_study(sampler=sampler_of())
    study.optimize(
        opr.MultiInstanceObjective(objective, N_INSTANCES),
        n_jobs=4,
        callbacks=[opr.MaxInstancesCallback(60)],
    )
    assert len(trained) == len(set(trained))
    assert len(trained) == n_spent_by(study.trials)
    assert 60 <= len(trained) < 60 + 4 + N_INSTANCES
    assert all(trial.state.is_finished() for trial in study.trials)
    assert len(study.best_trial.user_attrs["robust:losses"]) == N_INSTANCES


@pytest.mark.parametrize("n_jobs", [1, 4])
def test_threads_on_a_grid_train_it_all(n_jobs: int) -> None:
    lock = threading.Lock()
    trained: list[tuple[int, int]] = []

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        n = trial.suggest_int("n", 0, 9)
        with lock:
            trained.append((n, instance.number))
        return n + float(instance.rng.normal())

    grid = optuna.samplers.GridSampler({"n": list(range(10))}, seed=0)
    study = optuna.create_study(sampler=sampler_of(grid))
    study.optimize(opr.MultiInstanceObjective(objective, N_INSTANCES), n_jobs=n_jobs, n_trials=200)
    assert sorted(set(trained)) == [(n, i) for n in range(10) for i in range(N_INSTANCES)]
    assert len(trained) == len(set(trained))
    assert len(study.trials) < 200
    complete = {trial.params["n"] for trial in study.trials if trial.state == TrialState.COMPLETE}
    assert complete == set(range(10))


def test_a_model_in_training_is_left_alone() -> None:
    """Asked by hand, so that many trials run at a time."""
    study = optuna.create_study(sampler=sampler_of(repeat_share=0.9, n_startup_models=1))
    objective = opr.MultiInstanceObjective(
        lambda trial, instance: (
            trial.suggest_float("x", 0, 1) + 0.1 * float(instance.rng.normal())
        ),
        N_INSTANCES,
    )
    study.optimize(objective, n_trials=6)
    running = [study.ask() for _ in range(8)]
    went_on = [trial.user_attrs.get("robust:continues") for trial in running]
    known = [number for number in went_on if number is not None]
    assert len(known) == len(set(known)) > 0
    for trial in running:
        try:
            study.tell(trial, objective(trial))
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
    study.optimize(objective, n_trials=10)
    assert len(study.trials) == 24


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_workers_that_are_killed(kind: str, tmp_path: Path) -> None:
    """The others, and those that are started in their place, repeat what they trained."""
    path = str(tmp_path / "study")
    study = make_study(kind, path, None)
    log = Logged(path + ".log")
    workers = [begin_script(WORKER, kind, path, None, 40) for _ in range(3)]
    for n_ended in (8, 20):
        wait_until(lambda n_ended=n_ended: sum(log.count("end").values()) >= n_ended)
        victim = workers.pop(0)
        victim.kill()
        victim.communicate()
        workers.append(begin_script(WORKER, kind, path, None, 40))
    for worker in workers:
        _, errors = worker.communicate(timeout=PATIENCE)
        assert worker.returncode == 0, errors
    run(study, log.path, 40)  # buries what was left last
    trials = study.trials
    # Killed between Optuna's trial and its first attribute, nobody knows whose it was.
    assert all(trial.state.is_finished() or not trial.user_attrs for trial in trials)
    assert n_spent_by(trials) >= 40
    assert len(study.best_trial.user_attrs["robust:losses"]) == N_INSTANCES
    twice = sum(n - 1 for (_, number), n in log.count("end").items() if number > 0)
    assert twice <= 2  # a result that was not yet recorded when its worker was killed
