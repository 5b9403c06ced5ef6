#!/usr/bin/env bash
# optuna 5.0.0: of choices that are equal in Python but of different types, the study records the
# first, whichever the objective was given.
#
# 1 and 1.0 are different hyperparameters for many libraries (scikit-learn's max_features: one
# column, or all of them). suggest_categorical accepts both and hands out both; study.trials says 1
# for all, so that best_params is another model than the one that was best.
#
# Seen: given float, int, float, float, int, int, float, float; recorded int, eight times.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q optuna==5.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import optuna

given = []


def objective(trial):
    given.append(trial.suggest_categorical("max_features", [1, 1.0]))
    return 0.0


study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
study.optimize(objective, n_trials=8)
recorded = [trial.params["max_features"] for trial in study.trials]
print("given", [type(each).__name__ for each in given])
print("recorded", [type(each).__name__ for each in recorded])
assert {type(each) for each in given} == {int, float}
assert {type(each) for each in recorded} == {int}
PYTHON
