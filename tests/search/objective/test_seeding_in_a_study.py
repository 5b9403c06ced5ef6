"""Global random generators while a study runs, in one thread and in several."""

from __future__ import annotations

from collections.abc import Callable
import random
import threading
import time
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState
import pytest
import torch

import optuna_robust as opr
from optuna_robust import Instance
from optuna_robust import MultiInstanceObjective
from tests.objectives import losses_of
from tests.objectives import noisy
from tests.objectives import study_of
from tests.objectives import unchanged


def test_global_generators_are_seeded_for_an_instance_and_restored() -> None:
    drawn: list[tuple[float, ...]] = []

    def objective(trial: optuna.Trial) -> float:
        drawn.append((random.random(), np.random.random(), float(torch.rand(()))))
        return drawn[-1][0]

    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = (random.random(), np.random.random(), float(torch.rand(())))
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    study_of().optimize(MultiInstanceObjective(objective, 3), n_trials=2)
    assert (random.random(), np.random.random(), float(torch.rand(()))) == expected
    assert drawn[:3] == drawn[3:]
    assert len(set(drawn)) == 3


def test_global_generators_are_restored_after_a_failure() -> None:
    def objective(trial: optuna.Trial) -> float:
        np.random.random(7)
        raise RuntimeError("diverged")

    np.random.seed(5)
    state = np.random.get_state()[1].copy()
    with pytest.raises(RuntimeError, match="diverged"):
        study_of().optimize(MultiInstanceObjective(objective, 3), n_trials=1)
    assert (np.random.get_state()[1] == state).all()


@pytest.mark.parametrize("objective", [noisy, unchanged])
def test_seed_function_is_called_with_the_seed_of_every_instance(
    objective: Callable[..., float],
) -> None:
    seeds: list[int] = []
    study_of().optimize(
        MultiInstanceObjective(objective, 3, seed_function=seeds.append), n_trials=1
    )
    assert seeds == [Instance(number).seed for number in range(3)]


def test_threads_take_turns_with_an_unchanged_objective_and_are_told() -> None:
    running: list[int] = []
    at_once: list[int] = []
    meeting = threading.Barrier(2, timeout=30)

    def objective(trial: optuna.Trial) -> float:
        running.append(trial.number)
        at_once.append(len(running))
        time.sleep(0.05)  # long enough for the other thread to find the generators taken
        running.remove(trial.number)
        return random.random()

    robust = MultiInstanceObjective(objective, 3)

    def begin_together(trial: optuna.Trial) -> Any:
        meeting.wait()
        return robust(trial)

    study = study_of()
    with pytest.warns(UserWarning, match="parameter named 'instance'"):
        study.optimize(begin_together, n_trials=2, n_jobs=2)
    assert at_once == [1] * 6
    assert losses_of(study)[0] == losses_of(study)[1]


def test_threads_run_an_instance_objective_side_by_side() -> None:
    meeting = threading.Barrier(2, timeout=30)

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        meeting.wait()  # breaks unless two instances run at the same time
        return float(instance.rng.normal())

    study = study_of(pruner=optuna.pruners.NopPruner())
    study.optimize(MultiInstanceObjective(objective, 3), n_trials=4, n_jobs=2)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
    assert all(losses == losses_of(study)[0] for losses in losses_of(study))


# --- libraries that seed themselves --------------------------------------------------------------


def cross_validated(n_jobs: int, **options: Any) -> Callable[[optuna.Trial], float]:
    linear = pytest.importorskip("sklearn.linear_model")
    selection = pytest.importorskip("sklearn.model_selection")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), rng.integers(2, size=60)

    def objective(trial: optuna.Trial) -> float:
        alpha = trial.suggest_float("alpha", 1e-4, 1e-2)
        model = linear.SGDClassifier(alpha=alpha, max_iter=5, tol=None, **options)
        return -float(np.mean(selection.cross_val_score(model, x, y, cv=2, n_jobs=n_jobs)))

    return objective


def test_estimators_in_joblibs_processes_are_not_seeded_and_a_warning_says_so() -> None:
    with pytest.warns(UserWarning, match=r"joblib train in other processes.*random_state="):
        study_of().optimize(opr.MultiInstanceObjective(cross_validated(2), 2), n_trials=1)
    opr.MultiInstanceObjective(cross_validated(1), 2)(study_of().ask())  # warnings are errors


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_libraries_that_fix_their_seed_are_named(library: str) -> None:
    module = pytest.importorskip(library)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), rng.integers(2, size=60)

    def model_of(trial: optuna.Trial, **options: Any) -> Any:
        options |= {"n_estimators": 3, "subsample": trial.suggest_float("subsample", 0.5, 0.9)}
        if library == "xgboost":
            return module.XGBClassifier(n_jobs=1, **options)
        options |= {"min_child_samples": 1, "subsample_freq": 1, "verbose": -1}
        return module.LGBMClassifier(n_jobs=1, **options)

    def loss(trial: optuna.Trial, **options: Any) -> float:
        model = model_of(trial, **options).fit(x[:30], y[:30])
        return float(np.mean((model.predict_proba(x[30:])[:, 1] - y[30:]) ** 2))

    def seeded(trial: optuna.Trial, instance: opr.Instance) -> float:
        return loss(trial, random_state=instance.seed)

    with pytest.warns(UserWarning, match=r"LightGBM, XGBoost .* random_state=instance\.seed"):
        study_of().optimize(opr.MultiInstanceObjective(loss, 3), n_trials=1)
    study = study_of()
    study.optimize(opr.MultiInstanceObjective(seeded, 3), n_trials=1)  # warnings are errors
    assert len(set(study.trials[0].user_attrs["robust:losses"])) == 3
