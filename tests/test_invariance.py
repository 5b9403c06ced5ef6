"""The same losses and decisions: workers, storages, restarts, hash seeds, threads of BLAS."""

from __future__ import annotations

from contextlib import closing
import json
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

import numpy as np
import optuna
import pytest

import optuna_robust as opr
from tests.training_log import PATIENCE
from tests.training_log import ROOT


SCRIPT = """
import json, sys
from tests.test_invariance import decisions
if __name__ == "__main__":
    print(json.dumps(decisions(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
"""
# Storage, n_jobs, and what is in the environment. The first is what the others are compared with.
RUNS: list[tuple[str, int, dict[str, str]]] = [
    ("memory", 1, {}),
    ("memory", 2, {"PYTHONHASHSEED": "1"}),
    ("sqlite", 4, {"PYTHONHASHSEED": "2"}),
    ("journal", 2, {"PYTHONHASHSEED": "3"}),
    ("sqlite", 1, {}),
]


def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
    width = trial.suggest_int("width", 1, 6)
    shape = trial.suggest_categorical("shape", ["flat", "steep"])
    rng = instance.rng
    inputs = rng.normal(size=(300, 40))
    weights = np.linalg.lstsq(inputs, inputs[:, :width].sum(axis=1), rcond=None)[0]
    noise = float(rng.normal()) * (0.1 if shape == "flat" else 0.3)
    return float(np.abs(weights).sum()) / 10 + abs(width - 3) + noise


def decisions(kind: str, folder: str, n_jobs: int) -> dict[str, Any]:
    """Return what studies and a selection found, down to the last digit."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    studies = [
        ("pruned", optuna.samplers.TPESampler(seed=1), opr.RobustnessPruner(), 10, n_jobs),
        ("turns", opr.RobustnessSampler(seed=2, n_startup_models=4), None, 24, 1),
    ]
    found: dict[str, Any] = {}
    with closing(opr.InstanceStore(f"sqlite:///{folder}/store.db")) as store:
        for name, sampler, pruner, n_trials, n_workers in studies:
            study = optuna.create_study(
                study_name=name, storage=_storage(kind, folder), sampler=sampler, pruner=pruner
            )
            wrapped = opr.MultiInstanceObjective(objective, 5, n_jobs=n_workers)
            study.optimize(wrapped, n_trials=n_trials)
            found[name] = [
                [trial.params, trial.state.name, trial.values, trial.user_attrs["robust:losses"]]
                for trial in study.trials
            ]
        models = {"width": [1, 2, 3, 4], "shape": ["flat", "steep"]}
        for name in ("selected", "again from the store"):
            result = opr.robust_select(
                objective, models, n_instances=6, n_jobs=n_jobs, store=store
            )
            best = result.losses[result.best_index]
            found[name] = [result.best_params, list(result.survivors), best.tolist()]
    return found


def _storage(kind: str, folder: str) -> optuna.storages.BaseStorage:
    if kind == "memory":
        return optuna.storages.InMemoryStorage()
    if kind == "sqlite":
        return optuna.storages.RDBStorage(f"sqlite:///{folder}/study.db")
    backend = optuna.storages.journal.JournalFileBackend(f"{folder}/study.log")
    return optuna.storages.JournalStorage(backend)


@pytest.mark.slow
def test_decisions_depend_on_seeds_alone(tmp_path: Path) -> None:
    found = []
    for number, (kind, n_jobs, environment) in enumerate(RUNS):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, kind, str(folder), str(n_jobs)],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert found[0]["selected"] == found[0]["again from the store"]
    for run, other in zip(RUNS[1:], found[1:], strict=True):
        assert other == found[0], run
