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
