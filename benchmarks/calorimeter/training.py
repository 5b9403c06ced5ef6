"""Instances of the problem's models and baselines, trained and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
from pathlib import Path

from optuna.trial import BaseTrial

from benchmarks.calorimeter.baselines import BASELINES
from benchmarks.calorimeter.baselines import fit_and_judge
from benchmarks.calorimeter.inputs import Problem
from benchmarks.calorimeter.inputs import training_loss
from benchmarks.calorimeter.inputs import validation_loss
from benchmarks.calorimeter.models import Model
from benchmarks.calorimeter.models import PUBLISHED
from benchmarks.calorimeter.models import Schedule
from benchmarks.calorimeter.parts import JudgedPart
from benchmarks.calorimeter.parts import Parts
from benchmarks.calorimeter.parts import parts_of
from optuna_robust import Instance
from optuna_robust.training import train_instances
from optuna_robust.training import TrainingResult


def train(
    model: Model,
    parts: Parts,
    problem: Problem,
    instances: Sequence[Instance],
    *,
    sample_size: int,
    judged_by: JudgedPart = "validation",
    n_jobs: int = -1,
) -> TrainingResult:
    """Train instances of a model, each on its own sample; the loss is that of the last epoch.

    Args:
        model:
            Network and settings.
        parts:
            The data.
        problem:
            What is learned.
        instances:
            Which trainings.
        sample_size:
            Events of a training sample.
        judged_by:
            Part that the losses are of.
        n_jobs:
            Processes on a CPU; -1: as many as there are cores.
    """
    settings = model.training
    return train_instances(
        model.network.build,
        parts.prepared("population", problem),
        instances,
        validation=parts.prepared(judged_by, problem),
        loss=partial(training_loss, problem=problem),
        metric=partial(validation_loss, problem=problem),
        optimizer=settings.make_optimizer,
        n_epochs=settings.n_epochs,
        batch_size=settings.batch_size,
        sample_size=sample_size,
        scheduler=partial(settings.make_scheduler, sample_size=sample_size),
        scheduler_interval="step",
        evaluate_every=settings.n_epochs,
        n_jobs=n_jobs,
    )


def judge_baseline(
    name: str,
    parts: Parts,
    problem: Problem,
    instance: Instance,
    *,
    sample_size: int,
    judged_by: JudgedPart = "validation",
) -> float:
    """Fit a baseline to an instance's sample, and return its loss on a part.

    Arguments are those of :func:`train`.
    """
    sample = parts.sample(instance.sample(parts.n_population, sample_size))
    judges = parts.validation if judged_by == "validation" else parts.test
    return fit_and_judge(name, sample, judges, problem, seed=instance.seed)


@dataclass(frozen=True)
class NamedModels:
    """Objective of published models and baselines: a name, and the size of the training sample.

    Args:
        events:
            A file of events.
        problem:
            What is learned.
        schedule:
            Of the networks' learning rates.
        judged_by:
            Part that the losses are of.
        n_jobs:
            Processes on a CPU for several instances at once; -1: as many as there are cores.
    """

    events: Path
    problem: Problem
    schedule: Schedule = "cosine"
    judged_by: JudgedPart = "validation"
    n_jobs: int = -1

    def __call__(self, trial: BaseTrial, instances: Sequence[Instance]) -> list[float]:
        """Return a loss for each instance."""
        name = trial.suggest_categorical("model", [*PUBLISHED, *BASELINES])
        parts = parts_of(self.events)
        size = trial.suggest_int("sample_size", 1, parts.n_population)
        if name in PUBLISHED:
            model = PUBLISHED[name]
            model = replace(model, training=replace(model.training, schedule=self.schedule))
            return self._of_network(model, parts, size, instances)
        return [
            judge_baseline(
                name,
                parts,
                self.problem,
                instance,
                sample_size=size,
                judged_by=self.judged_by,
            )
            for instance in instances
        ]

    def _of_network(
        self, model: Model, parts: Parts, size: int, instances: Sequence[Instance]
    ) -> list[float]:
        trained = train(
            model,
            parts,
            self.problem,
            instances,
            sample_size=size,
            judged_by=self.judged_by,
            n_jobs=self.n_jobs,
        )
        losses: list[float] = trained.losses.tolist()
        return losses
