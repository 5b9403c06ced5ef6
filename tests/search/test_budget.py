from __future__ import annotations

import optuna
import pytest

from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import MaxInstancesCallback
from optuna_robust import MultiInstanceObjective
from optuna_robust import RobustnessPruner
from optuna_robust._instances.trials import n_trainings


def noisy(trial: optuna.Trial, instance: Instance) -> float:
    return trial.suggest_float("x", -1, 1) ** 2 + 0.3 * float(instance.rng.normal())


def test_the_budget_is_exceeded_by_less_than_one_trial() -> None:
    study = optuna.create_study(
        sampler=optuna.samplers.RandomSampler(seed=0), pruner=RobustnessPruner()
    )
    study.optimize(MultiInstanceObjective(noisy, 8), callbacks=[MaxInstancesCallback(100)])
    spent = [n_trainings(trial) for trial in study.trials]
    assert min(spent) < 8
    assert 100 <= sum(spent) < 108
    assert sum(spent[:-1]) < 100


def test_ordinary_trials_count_as_one_training() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(
        lambda trial: trial.suggest_float("x", 0, 1), callbacks=[MaxInstancesCallback(7)]
    )
    assert len(study.trials) == 7


def test_failed_instances_were_trained() -> None:
    def failing(trial: optuna.Trial, instance: Instance) -> float:
        return float("nan") if instance.number % 2 else noisy(trial, instance)

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(MultiInstanceObjective(failing, 4), callbacks=[MaxInstancesCallback(8)])
    assert [n_trainings(trial) for trial in study.trials] == [4, 4]


def test_an_earlier_run_of_the_study_counts() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    objective = MultiInstanceObjective(noisy, 4)
    study.optimize(objective, n_trials=2)
    study.optimize(objective, callbacks=[MaxInstancesCallback(12)])
    assert len(study.trials) == 3


@pytest.mark.parametrize(("count_reused", "n_trials"), [(True, 3), (False, 6)])
def test_instances_from_a_store_count_if_asked(count_reused: bool, n_trials: int) -> None:
    store = InstanceStore()
    objective = MultiInstanceObjective(noisy, 4, store=store)
    for _ in range(2):
        study = optuna.create_study(
            sampler=optuna.samplers.RandomSampler(seed=0), pruner=optuna.pruners.NopPruner()
        )
        study.optimize(objective, callbacks=[MaxInstancesCallback(12, count_reused=count_reused)])
    assert len(study.trials) == n_trials


@pytest.mark.parametrize("n_instances", [0, -3])
def test_a_budget_of_nothing_is_an_error(n_instances: int) -> None:
    with pytest.raises(ValueError, match="n_instances must be at least 1"):
        MaxInstancesCallback(n_instances)
