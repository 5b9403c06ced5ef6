"""What is promised of a killed process, with processes that are killed."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys

import optuna
from optuna.trial import TrialState
import pytest

from optuna_robust import Instance
from optuna_robust import MultiInstanceObjective
from optuna_robust import RobustnessPruner
from tests.training_log import ROOT


def noisy(trial: optuna.Trial, instance: Instance) -> float:
    return trial.suggest_float("x", -1, 1) ** 2 + float(instance.rng.normal())


# Trains the objective above, and says what it begins and waits in the third instance of trial 2.
KILLED = """
import sys, time
import optuna
import optuna_robust as opr
from tests.search.objective.test_durability import make_study, noisy

def objective(trial, instance):
    if (trial.number, instance.number) == (2, 3):
        print("now", flush=True)
        time.sleep(600)
    return noisy(trial, instance)

make_study(sys.argv[1], sys.argv[2]).optimize(opr.MultiInstanceObjective(objective, 6), n_trials=9)
"""


WORKER = """
import sys
import optuna_robust as opr
from tests.search.objective.test_durability import make_study, noisy

make_study(sys.argv[1], sys.argv[2]).optimize(opr.MultiInstanceObjective(noisy, 6), n_trials=5)
"""


def make_study(kind: str, path: str) -> optuna.Study:
    storage = (
        optuna.storages.RDBStorage(f"sqlite:///{path}")
        if kind == "sqlite"
        else optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))
    )
    return optuna.create_study(
        study_name="killed",
        storage=storage,
        load_if_exists=True,
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=RobustnessPruner("mean", n_startup_trials=100),
    )


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_kill_loses_only_the_instance_in_training(kind: str, tmp_path: Path) -> None:
    path = str(tmp_path / "study")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, kind, path],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"now\n"
    process.kill()
    process.wait()

    study = make_study(kind, path)
    undisturbed = optuna.create_study(
        sampler=optuna.samplers.RandomSampler(seed=0), pruner=RobustnessPruner("mean")
    )
    undisturbed.optimize(MultiInstanceObjective(noisy, 6), n_trials=3)
    expected = [trial.user_attrs["robust:losses"] for trial in undisturbed.trials]
    assert [trial.user_attrs["robust:losses"] for trial in study.trials] == [
        expected[0],
        expected[1],
        expected[2][:3],
    ]
    assert study.trials[2].state == TrialState.RUNNING

    # The study goes on; the trial that hangs does not compete.
    study.optimize(MultiInstanceObjective(noisy, 6), n_trials=2)
    assert [trial.state for trial in study.trials[3:]] == [TrialState.COMPLETE] * 2


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_processes_share_a_study(kind: str, tmp_path: Path) -> None:
    path = str(tmp_path / "study")
    make_study(kind, path)
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, kind, path], cwd=ROOT) for _ in range(2)
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    found = make_study(kind, path).trials
    assert [trial.state for trial in found] == [TrialState.COMPLETE] * 10
    # Instances are common: what is left of a loss without the level is the instance's noise.
    noise = [
        [loss - trial.params["x"] ** 2 for loss in trial.user_attrs["robust:losses"]]
        for trial in found
    ]
    assert all(each == pytest.approx(noise[0]) for each in noise)
