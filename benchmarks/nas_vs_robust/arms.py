"""The two arms: one search, and fresh instances of its winner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import time
from typing import Any
from typing import get_args
from typing import Literal
from typing import TypeAlias

import optuna
from optuna.samplers import TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import BaseTrial
from optuna.trial import FixedTrial
from optuna.trial import Trial
from optuna.trial import TrialState

from benchmarks.tasks import Part
from benchmarks.tasks import Task
from optuna_robust import Instance
from optuna_robust import MaxInstancesCallback
from optuna_robust import MultiInstanceObjective
from optuna_robust import RobustnessPruner
from optuna_robust.trials import n_trainings


ArmName: TypeAlias = Literal["nas", "robust"]
ARMS: tuple[ArmName, ...] = get_args(ArmName)


@dataclass(frozen=True)
class Plan:
    """What every search is given.

    Args:
        trainings:
            Instances that a search may train.
        n_instances:
            Instances of a model in the robust arm.
        confirmations:
            Fresh instances of each winner.
    """

    trainings: int
    n_instances: int
    confirmations: int


@dataclass(frozen=True)
class Outcome:
    """What one search found, and what its winner is worth when it is trained again."""

    arm: ArmName
    seed: int
    n_trainings: int
    n_trials: int
    n_pruned: int
    seconds: float
    params: dict[str, Any]
    search_losses: tuple[float, ...]
    fresh_losses: tuple[float, ...]


def run_arm(
    arm: ArmName,
    task: Task,
    plan: Plan,
    *,
    seed: int,
    study_name: str,
    storage: InMemoryStorage,
    on_training: Callable[[], object],
) -> Outcome:
    """Search, and train the winner on fresh instances that are judged on the test part.

    Both arms' winners are trained on the same fresh instances, so that they are compared in
    pairs.

    Args:
        arm:
            Which arm.
        task:
            The task, split by the same seed.
        plan:
            What the search is given.
        seed:
            Seed of the sampler and of all instances.
        study_name:
            Name of the study that is created.
        storage:
            Where it is created.
        on_training:
            Called after every training.
    """

    def loss(trial: BaseTrial, instance: Instance, part: Part) -> float:
        value = task.loss(trial, instance, part=part)
        on_training()
        return value

    def objective(trial: Trial, instance: Instance) -> float:
        return loss(trial, instance, "validation")

    start = time.perf_counter()
    study = optuna.create_study(
        storage=storage,
        study_name=study_name,
        sampler=TPESampler(seed=seed),
        pruner=RobustnessPruner() if arm == "robust" else optuna.pruners.NopPruner(),
    )
    study.optimize(
        MultiInstanceObjective(objective, plan.n_instances, seed=seed)
        if arm == "robust"
        else _train_once(objective, seed),
        callbacks=[MaxInstancesCallback(plan.trainings)],
    )
    seconds = time.perf_counter() - start

    winner = FixedTrial(study.best_params)
    return Outcome(
        arm=arm,
        seed=seed,
        n_trainings=sum(n_trainings(trial) for trial in study.trials),
        n_trials=len(study.trials),
        n_pruned=len(study.get_trials(states=[TrialState.PRUNED])),
        seconds=seconds,
        params=study.best_params,
        search_losses=_search_losses(study),
        fresh_losses=tuple(
            loss(winner, instance, "test") for instance in fresh_instances(plan, seed=seed)
        ),
    )


def fresh_instances(plan: Plan, *, seed: int) -> list[Instance]:
    """Return instances with seeds and numbers that no search of this seed has used."""
    first = plan.trainings + plan.n_instances
    return [
        Instance(number, study_seed=seed, phase="confirmation")
        for number in range(first, first + plan.confirmations)
    ]


def _train_once(
    objective: Callable[[Trial, Instance], float], seed: int
) -> Callable[[Trial], float]:
    """Return today's practice: every model is trained once, each with another seed."""
    return lambda trial: objective(trial, Instance(trial.number, study_seed=seed))


def _search_losses(study: Study) -> tuple[float, ...]:
    """Return the losses that the winner was chosen by."""
    best = study.best_trial
    return tuple(best.user_attrs.get("robust:losses", [best.value]))
