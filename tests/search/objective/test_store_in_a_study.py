"""Studies whose instances are kept in a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
import random
import subprocess
import threading
import time

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import MultiInstanceObjective
from optuna_robust import robust_select
from optuna_robust import RobustnessPruner
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Outcome
from tests.objectives import losses_of
from tests.objectives import study_of
from tests.training_log import assert_only_the_killed_were_trained_again
from tests.training_log import begin_script
from tests.training_log import Logged
from tests.training_log import PATIENCE
from tests.training_log import wait_until


# Optimises until so many trials are complete, whoever completed them.
OPTIMIZE = """
import sys
import optuna
from optuna.trial import TrialState
import optuna_robust as opr
from tests.search.objective.test_store_in_a_study import make_study, N_INSTANCES
from tests.training_log import Logged

kind, path, url, log, seconds, n_trials = sys.argv[1:]
finished = (TrialState.COMPLETE, TrialState.PRUNED)
study = make_study(kind, path)
if len(study.get_trials(states=finished)) < int(n_trials):
    study.optimize(
        opr.MultiInstanceObjective(
            Logged(log, float(seconds)), N_INSTANCES, store=opr.InstanceStore(url)
        ),
        callbacks=[optuna.study.MaxTrialsCallback(int(n_trials), states=finished)],
    )
"""
N_INSTANCES = 5


@dataclass(frozen=True)
class Listed:
    """An objective on a few models that lists what it trains."""

    trained: list[tuple[int, int]]

    def __call__(self, trial: optuna.Trial, instance: Instance) -> float:
        model = trial.suggest_categorical("model", [0, 1, 2])
        self.trained.append((model, instance.number))
        return model + float(instance.rng.normal())


def make_study(kind: str, path: str) -> optuna.Study:
    storage: optuna.storages.BaseStorage
    if kind == "sqlite":
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    else:
        # Of a process that is killed with the lock in hand, it is taken after so many seconds.
        lock = optuna.storages.journal.JournalFileOpenLock(path, grace_period=3)
        backend = optuna.storages.journal.JournalFileBackend(path, lock_obj=lock)
        storage = optuna.storages.JournalStorage(backend)
    study = optuna.create_study(
        study_name="killed",
        storage=storage,
        load_if_exists=True,
        pruner=optuna.pruners.NopPruner(),
    )
    # Not the same models again and again each time that it is started.
    study.sampler = optuna.samplers.RandomSampler(seed=len(study.trials))
    return study


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def store(url: str) -> Iterator[InstanceStore]:
    store = InstanceStore(url)
    yield store
    store.close()


def test_a_model_that_is_suggested_again_is_not_trained_again(store: InstanceStore) -> None:
    objective = Listed([])
    study = study_of()
    study.optimize(MultiInstanceObjective(objective, 4, store=store), n_trials=12)
    assert Counter(objective.trained) == dict.fromkeys(
        [(model, number) for model in range(3) for number in range(4)], 1
    )
    without = study_of()
    without.optimize(MultiInstanceObjective(Listed([]), 4), n_trials=12)
    assert losses_of(study) == losses_of(without)
    assert [trial.value for trial in study.trials] == [trial.value for trial in without.trials]


def test_another_study_and_a_selection_take_what_is_there(store: InstanceStore) -> None:
    objective = Listed([])
    models = [{"model": model} for model in range(3)]
    robust_select(
        objective, models, rule="halving", n_instances=4, n_warmup_instances=3, store=store
    )
    assert len(objective.trained) == 12
    for _ in range(2):
        study = study_of()
        study.optimize(MultiInstanceObjective(objective, 5, store=store), n_trials=9)
    # Four of each were there, the fifth was not.
    assert Counter(objective.trained) == dict.fromkeys(
        [(model, number) for model in range(3) for number in range(5)], 1
    )


def test_nothing_changes_what_a_trial_holds(store: InstanceStore) -> None:
    """What is taken from a store stands in a trial as if it had been trained."""

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_categorical("x", [0.25])
        trial.set_user_attr("seen", instance.number)
        trial.report(0.5, step=instance.number)
        if instance.number == 2:
            raise ZeroDivisionError("diverged")
        return x + float(instance.rng.normal())

    found: list[FrozenTrial] = []
    for _ in range(2):
        study = study_of()
        study.optimize(MultiInstanceObjective(objective, 4, store=store), n_trials=1)
        found.append(study.trials[0])
    first, second = found
    without = study_of()
    without.optimize(MultiInstanceObjective(objective, 4), n_trials=1)
    for trial in found:
        assert trial.user_attrs.pop("robust:worker") == store.worker()
    assert "robust:n_reused" not in first.user_attrs
    assert second.user_attrs.pop("robust:n_reused") == 4
    assert first.user_attrs == second.user_attrs
    seconds = "robust:seconds"
    del first.user_attrs[seconds]
    assert first.user_attrs == {
        key: value for key, value in without.trials[0].user_attrs.items() if key != seconds
    }
    assert first.user_attrs["robust:failures"] == {"2": "ZeroDivisionError: diverged"}
    assert first.values == second.values == without.trials[0].values
    curves = [each.outcome.learning_curve for each in store.instances() if each.outcome]
    assert curves == [{number: 0.5} for number in range(4)]


def test_an_objective_that_is_mended_is_trained_again(store: InstanceStore) -> None:
    broken = True
    trained: list[int] = []

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        if broken:
            raise KeyError("typo")
        trained.append(instance.number)
        return trial.suggest_categorical("x", [1.0]) + float(instance.rng.normal())

    study = study_of()
    robust = MultiInstanceObjective(objective, 3, store=store)
    with pytest.raises(KeyError, match="typo"):
        study.optimize(robust, n_trials=1)
    assert store.instances() == []
    broken = False
    study.optimize(robust, n_trials=1)
    assert trained == [0, 1, 2]


@pytest.mark.parametrize("what", ["seed", "vary"])
def test_a_store_of_other_instances_is_refused(what: str, store: InstanceStore) -> None:
    objective = Listed([])
    study_of().optimize(MultiInstanceObjective(objective, 3, store=store), n_trials=1)
    before = (list(objective.trained), store.instances())
    other = (
        MultiInstanceObjective(objective, 3, seed=1, store=store)
        if what == "seed"
        else MultiInstanceObjective(objective, 3, vary=["init"], store=store)
    )
    with pytest.raises(ValueError, match=what):
        study_of().optimize(other, n_trials=1)
    assert (objective.trained, store.instances()) == before


def test_several_objectives_take_it_from_the_store(store: InstanceStore) -> None:
    objective = Listed([])
    for _ in range(2):
        study = study_of(directions=["minimize", "minimize"])
        robust = MultiInstanceObjective(objective, 4, returns=("mean", "std"), store=store)
        study.optimize(robust, n_trials=6)
    assert max(Counter(objective.trained).values()) == 1
    assert all(len(trial.values) == 2 for trial in study.trials)


def test_what_was_trained_ahead_of_need_does_not_count(store: InstanceStore) -> None:
    class StopsAtOnce(optuna.pruners.BasePruner):
        def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
            return trial.last_step == 1

    robust = MultiInstanceObjective(Listed([]), 6, criterion="mean", n_jobs=3, store=store)
    study = study_of(pruner=StopsAtOnce())
    study.optimize(robust, n_trials=1)
    trial = study.trials[0]
    assert trial.state == TrialState.PRUNED
    assert [len(trial.user_attrs[f"robust:{name}"]) for name in ("losses", "seconds")] == [2, 2]
    assert trial.user_attrs["robust:n_instances"] == 2
    # It is kept, and taken by the next trial of the model.
    wait_until(lambda: all(each.state == "done" for each in store.instances()))
    assert {each.number for each in store.instances()} >= {0, 1, 2}


def test_threads_share_a_store(store: InstanceStore) -> None:
    objective = Listed([])
    study = study_of(pruner=optuna.pruners.NopPruner())
    study.optimize(MultiInstanceObjective(objective, 4, store=store), n_trials=30, n_jobs=3)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 30
    times = Counter(objective.trained)
    assert len(times) == 12
    # A first instance is trained before its model is known: by each thread that began with it.
    assert all(n == 1 or number == 0 for (_, number), n in times.items())
    expected = [float(Instance(number).rng.normal()) for number in range(4)]
    assert all(
        losses == [trial.params["model"] + noise for noise in expected]
        for trial, losses in zip(study.trials, losses_of(study), strict=True)
    )
    assert {each.state for each in store.instances()} == {"done"}


def test_a_thread_waits_for_what_another_one_is_training(store: InstanceStore) -> None:
    trained: list[int] = []
    other = InstanceStore(store.url)

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_categorical("x", [1.0])
        trained.append(instance.number)
        if instance.number == 0:
            # Somebody else has taken the next one.
            job = Job({"x": x}, Instance(1))
            other.claim([job])
            threading.Timer(0.3, other.record, [job, Outcome(7.0)]).start()
        return float(instance.number)

    study = study_of()
    study.optimize(MultiInstanceObjective(objective, 3, store=store), n_trials=1)
    assert losses_of(study) == [[0.0, 7.0, 2.0]]
    assert trained == [0, 2]
    other.close()


# Real processes, and real kills.


def wait_for_training(process: subprocess.Popen[str], log: Logged) -> None:
    """Wait until a process trains something, or has ended since all that was left was there."""
    wait_until(lambda: process.poll() is not None or process.pid in {e.pid for e in log.events()})


def assert_continued(study: optuna.Study) -> None:
    """Every trial of a dead worker that had a model failed and was continued once."""
    found = study.trials
    continued = Counter(trial.user_attrs.get("robust:continues") for trial in found)
    del continued[None]
    assert set(continued.values()) <= {1}
    for trial in found:
        if trial.state == TrialState.FAIL:
            assert trial.number in continued or not trial.params
    for trial in found:
        before = trial.user_attrs.get("robust:continues")
        if before is not None:
            assert found[before].state == TrialState.FAIL
            assert found[before].params.items() <= trial.params.items()
    # One that was killed between being asked for and saying whose it is stays as it is.
    assert not any(
        trial.state == TrialState.RUNNING and "robust:worker" in trial.user_attrs
        for trial in found
    )


def assert_right(study: optuna.Study, store: InstanceStore) -> None:
    """Every loss is that of its model and its instance, in the study and in the store."""
    noise = [0.3 * float(Instance(number).rng.normal()) for number in range(N_INSTANCES)]
    for trial in study.get_trials(states=[TrialState.COMPLETE]):
        level = 0.05 * trial.params["model"]
        assert trial.user_attrs["robust:losses"] == [level + each for each in noise]
    # Killed between being asked for and saying whose they are, trials stay RUNNING.
    left = [trial.params for trial in study.get_trials(states=[TrialState.RUNNING])]
    for each in store.instances():
        if each.outcome is None:
            assert each.params in left
        else:
            assert each.outcome.loss == 0.05 * each.params["model"] + noise[each.number]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_study_goes_on_after_each_kill(kind: str, tmp_path: Path, url: str) -> None:
    path, log = str(tmp_path / "study"), Logged(str(tmp_path / "log"), seconds=0.1)
    rng = random.Random(8)
    kills: list[float] = []
    while True:
        process = begin_script(OPTIMIZE, kind, path, url, log.path, log.seconds, 8)
        wait_for_training(process, log)
        if len(kills) < 8 and process.poll() is None:
            time.sleep(rng.uniform(0.0, 1.0))
            process.kill()
            kills.append(time.time())
        _, errors = process.communicate(timeout=PATIENCE)
        if process.returncode == 0:
            break
        assert process.returncode == -9, errors
    study, store = make_study(kind, path), InstanceStore(url)
    assert len(kills) >= 5
    assert len(study.get_trials(states=[TrialState.COMPLETE])) == 8
    n_left = len(study.get_trials(states=[TrialState.RUNNING]))
    if n_left:  # the last kill was after the last trial
        study.optimize(MultiInstanceObjective(log, N_INSTANCES, store=store), n_trials=n_left)
    assert_continued(study)
    assert_right(study, store)
    assert_only_the_killed_were_trained_again(log, kills)
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_two_workers_that_start_at_once_continue_each_trial_once(
    kind: str, tmp_path: Path, url: str
) -> None:
    path, log = str(tmp_path / "study"), Logged(str(tmp_path / "log"), seconds=0.3)
    make_study(kind, path)
    arguments = (kind, path, url, log.path)
    victims = [begin_script(OPTIMIZE, *arguments, 0.3, 100) for _ in range(3)]
    wait_until(lambda: {event.pid for event in log.running()} == {v.pid for v in victims})
    for victim in victims:
        victim.kill()
    for victim in victims:
        victim.communicate(timeout=PATIENCE)
    n_dead = len(make_study(kind, path).get_trials(states=[TrialState.RUNNING]))
    assert n_dead == 3

    workers = [begin_script(OPTIMIZE, *arguments, 0.05, 10) for _ in range(2)]
    for worker in workers:
        _, errors = worker.communicate(timeout=PATIENCE)
        assert worker.returncode == 0, errors
    study, store = make_study(kind, path), InstanceStore(url)
    continued = [trial for trial in study.trials if "robust:continues" in trial.user_attrs]
    assert len(continued) == 3
    assert {trial.state for trial in continued} == {TrialState.COMPLETE}
    assert_continued(study)
    assert_right(study, store)
    # Two workers may begin with the same model at once: that costs a first instance.
    again = [event for event in log.events() if event.instance[1] > 0]
    assert again
    assert max(Counter(e.instance for e in again if e.kind == "end").values()) == 1
    store.close()


def test_a_robustness_pruner_sees_what_comes_from_the_store(store: InstanceStore) -> None:
    found = []
    for _ in range(2):
        study = study_of(pruner=RobustnessPruner("mean", n_startup_trials=2))
        study.optimize(MultiInstanceObjective(Listed([]), 8, store=store), n_trials=15)
        found.append([(trial.state, trial.value, trial.params) for trial in study.trials])
    assert found[0] == found[1]
