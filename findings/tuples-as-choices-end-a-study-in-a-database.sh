#!/usr/bin/env bash
# optuna 5.0.0: tuples as choices work in memory, and in a database until the sampler looks back.
#
# Databases keep choices as JSON, which has no tuples, so that (8,) comes back as [8]. The first
# trials pass. Once TPE has its startup trials and compares their distributions with the one that is
# asked for, the study ends with "CategoricalDistribution does not support dynamic value space",
# although the value space has not changed.
#
# Seen: 6 trials in memory; in SQLite 2 trials, then that ValueError.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q optuna==5.0.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import optuna


def objective(trial):
    return float(sum(trial.suggest_categorical("layers", [(8,), (16, 16)])))


def run(storage):
    sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=2)
    study = optuna.create_study(storage=storage, sampler=sampler)
    try:
        study.optimize(objective, n_trials=6)
    except ValueError as error:
        return len(study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))), str(error)
    return len(study.trials), None


in_memory, in_sqlite = run(None), run(f"sqlite:///{sys.argv[1]}/study.db")
print("memory", in_memory, "SQLite", in_sqlite)
assert in_memory == (6, None)
assert in_sqlite == (2, "CategoricalDistribution does not support dynamic value space.")
PYTHON
