"""Single pieces of work, each for one process: a search with its confirmation, or a fixed row."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import hashlib
import json
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.storages import BaseStorage
from optuna.storages import InMemoryStorage
from optuna.trial import BaseTrial
from optuna.trial import create_trial

from benchmarks.nas_vs_robust.arms import Given
from benchmarks.nas_vs_robust.arms import SEARCHES
from benchmarks.nas_vs_robust.plan import Outcome
from benchmarks.nas_vs_robust.plan import Plan
from benchmarks.nas_vs_robust.plan import Row
from benchmarks.nas_vs_robust.plan import Search
from benchmarks.tasks import Part
from benchmarks.tasks import Setting
from benchmarks.tasks import Task
from benchmarks.tasks import TaskCard
from optuna_robust import confirm
from optuna_robust import Instance
from optuna_robust import InstanceStore


# Of the fresh instances of fixed rows: those of the first search.
_SEED_OF_ROWS = 0


@dataclass(frozen=True)
class Bench:
    """What all pieces of work have in common.

    Args:
        task_name:
            Name of the task.
        card:
            The task.
        setting:
            What it is loaded with.
        database:
            SQLite file of all instances.
        losses_depend_on:
            All that losses depend on beside model, instance, sample size and seed; a database
            with instances of other circumstances is refused.
    """

    task_name: str
    card: TaskCard
    setting: Setting
    database: Path
    losses_depend_on: Mapping[str, Any]

    @contextmanager
    def store(self, *, seed: int, sample_size: int) -> Iterator[InstanceStore]:
        """Open the instances of a search seed and a sample size."""
        circumstances = json.dumps(self.losses_depend_on, sort_keys=True)
        store = InstanceStore(
            f"sqlite:///{self.database.resolve().as_posix()}",
            experiment=f"{self.task_name}, samples of {sample_size}, seed {seed}",
            version=hashlib.sha256(circumstances.encode()).hexdigest(),
        )
        try:
            yield store
        finally:
            store.close()


def check_sample_sizes(bench: Bench, plan: Plan) -> None:
    """Refuse samples that are larger than the population.

    Raises:
        ValueError: If one is.
    """
    task = bench.card.load(seed=_SEED_OF_ROWS, setting=bench.setting)
    if plan.sample_size > task.n_population:
        raise ValueError(
            f"--sample-sizes must be at most {task.n_population}, the training population of "
            f"{bench.task_name}, but one was {plan.sample_size}."
        )


def check_store(bench: Bench, plan: Plan) -> None:
    """Refuse a database with instances of other circumstances.

    Raises:
        ValueError: If it has some.
    """
    for sample_size in plan.sample_sizes:
        try:
            with bench.store(seed=_SEED_OF_ROWS, sample_size=sample_size):
                pass
        except ValueError as error:
            raise ValueError(
                f"{bench.database} holds instances of other settings, or of another version of "
                "this code. Choose another --out, or delete that file."
            ) from error


def trains_together(bench: Bench) -> bool:
    """Return True if several instances of a model at once are faster."""
    return bench.card.load(seed=_SEED_OF_ROWS, setting=bench.setting).trains_together


def run_search(
    search: Search,
    bench: Bench,
    plan: Plan,
    storage: BaseStorage,
    *,
    on_training: Callable[[], object],
) -> Outcome:
    """Search, and train the winner on fresh instances that are judged on the test part.

    All arms' winners are trained on the same fresh instances of a seed, so that they are compared
    in pairs.

    Args:
        search:
            Which search.
        bench:
            The task and the database.
        plan:
            What the search is given.
        storage:
            Gets the study.
        on_training:
            Called after every training; not for instances that are in the database.
    """
    seed = search.seed
    task = bench.card.load(seed=seed, setting=bench.setting)
    with bench.store(seed=seed, sample_size=plan.sample_size) as store:
        winner = SEARCHES[search.arm](
            Given(
                suggest=task.suggest,
                objective=objective_of(task, plan.sample_size, on_training),
                trains_together=task.trains_together,
                trainings=search.trainings,
                n_instances=plan.n_instances,
                seed=seed,
                store=store,
                storage=storage,
                study_name=search.name,
            )
        )

    def objective_with(sample_size: int) -> Callable[..., Any]:
        return objective_of(task, sample_size, on_training)

    return Outcome(
        search=search,
        n_trainings=winner.n_trainings,
        n_models=winner.n_models,
        n_pruned=winner.n_pruned,
        seconds=winner.seconds,
        params=winner.params,
        criterion=winner.criterion,
        search_losses=winner.losses,
        fresh_losses=_fresh_losses(winner.params, objective_with, bench, plan, seed=seed),
    )


def run_row(name: str, bench: Bench, plan: Plan, *, on_training: Callable[[], object]) -> Row:
    """Train a fixed model on the fresh instances of the first search's winners.

    Arguments are those of :func:`run_search`.
    """
    task = bench.card.load(seed=_SEED_OF_ROWS, setting=bench.setting)

    def objective_with(sample_size: int) -> Callable[..., Any]:
        return objective_of(task, sample_size, on_training, suggest=lambda trial: task.fixed(name))

    losses = _fresh_losses({"row": name}, objective_with, bench, plan, seed=_SEED_OF_ROWS)
    return Row(name, losses)


def objective_of(
    task: Task,
    sample_size: int,
    on_training: Callable[[], object],
    *,
    suggest: Callable[[BaseTrial], Any] | None = None,
) -> Callable[..., Any]:
    """Return a task's objective, of several instances if it trains them together.

    Instances of a confirmation are judged on the test part, all others on the validation part.

    Args:
        task:
            The task.
        sample_size:
            Of training samples.
        on_training:
            Called after every training.
        suggest:
            Draws the model; default: from the task's search space.
    """
    draw = suggest or task.suggest

    def losses(trial: BaseTrial, instances: Sequence[Instance]) -> list[float]:
        part: Part = "test" if instances[0].phase == "confirmation" else "validation"
        found = task.losses(draw(trial), instances, part=part, sample_size=sample_size)
        for _ in instances:
            on_training()
        return list(found)

    if task.trains_together:
        return losses
    return lambda trial, instance: losses(trial, [instance])[0]


def _fresh_losses(
    params: Mapping[str, Any],
    objective_with: Callable[[int], Callable[..., Any]],
    bench: Bench,
    plan: Plan,
    *,
    seed: int,
) -> dict[int, tuple[float, ...]]:
    """Return losses of fresh instances by sample size."""
    study = optuna.create_study(storage=InMemoryStorage())
    choices: dict[str, BaseDistribution] = {
        name: CategoricalDistribution([value]) for name, value in params.items()
    }
    study.add_trial(create_trial(params=dict(params), distributions=choices, value=0.0))
    found = {}
    for sample_size in plan.sample_sizes:
        with bench.store(seed=seed, sample_size=sample_size) as store:
            result = confirm(
                study,
                objective_with(sample_size),
                n_models=1,
                n_instances=plan.confirmations,
                seed=seed,
                store=store,
            )
        found[sample_size] = tuple(float(loss) for loss in result.losses[0])
    return found
