"""What the paper's studies have in common: all instances of some models, kept in a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from datetime import UTC
import hashlib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
import platform
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]
import torch

from benchmarks.calorimeter.baselines import BASELINES
from benchmarks.calorimeter.events_file import EventsFile
from benchmarks.calorimeter.inputs import EXTRA
from benchmarks.calorimeter.inputs import Problem
from benchmarks.calorimeter.inputs import PROBLEMS
from benchmarks.calorimeter.models import PUBLISHED
from benchmarks.calorimeter.models import Schedule
from benchmarks.calorimeter.parts import parts_of
from benchmarks.calorimeter.training import NamedModels
from optuna_robust import InstanceStore
from optuna_robust import robust_select
from optuna_robust import SelectionResult
from optuna_robust._base.arguments import check_choice
from optuna_robust._instances.instance import SOURCES


# The selected models without and with the inductive bias.
MODELS: dict[Problem, tuple[str, str]] = {
    "energy": ("Model 1", "Model 2"),
    "position": ("Model 3", "Model 4"),
}


@dataclass(frozen=True)
class Report:
    """What a study found.

    Args:
        text:
            Markdown.
        figures:
            Of the same.
        results:
            All losses, by what they are called.
    """

    text: str
    figures: tuple[go.Figure, ...]
    results: dict[str, SelectionResult]


@dataclass(frozen=True)
class Study:
    """Instances of a file of events, all in one store.

    Args:
        events:
            The file.
        problem:
            What is learned.
        schedule:
            Of the networks' learning rates.
        n_instances:
            Of each model.
        n_jobs:
            Processes on a CPU; a GPU trains all instances of a model together.
        store:
            Database of all instances; the same study goes on from it.
    """

    events: Path
    problem: Problem
    schedule: Schedule
    n_instances: int
    n_jobs: int
    store: Path

    def train(
        self, name: str, models: Sequence[dict[str, Any]], *, vary: Sequence[str] = SOURCES
    ) -> SelectionResult:
        """Train all instances of all models, or take them from the store.

        Args:
            name:
                Of the experiment in the store.
            models:
                Hyperparameters of :class:`~benchmarks.calorimeter.training.NamedModels`.
            vary:
                Sources of variation that differ between instances.

        Raises:
            ValueError: If a model is unknown or for the other problem, or a sample is larger than
                the population; before anything is trained.
        """
        for model in models:
            self._check(model["model"], model["sample_size"])
        together = torch.cuda.is_available()
        store = InstanceStore(
            f"sqlite:///{self.store}",
            experiment=f"{self.problem}/{self.schedule}/{name}",
            version=_version(self.events),
        )
        try:
            return robust_select(
                NamedModels(self.events, self.problem, self.schedule, n_jobs=self.n_jobs),
                models,
                n_select=len(models),
                rule="halving",
                criterion="median",
                n_instances=self.n_instances,
                train_survivors=True,
                vary=vary,
                n_jobs=1 if together else self.n_jobs,
                instances_per_call=self.n_instances if together else None,
                store=store,
                show_progress_bar=True,
            )
        finally:
            store.close()

    def _check(self, name: str, sample_size: int) -> None:
        check_choice("model", name, (*PUBLISHED, *BASELINES))
        if name.startswith("xgboost"):
            import_module("xgboost")  # missing, it would look like a model that always fails
        appended = PUBLISHED[name].network.extra if name in PUBLISHED else "none"
        if appended not in ("none", EXTRA[self.problem]):
            raise ValueError(
                f"{name} appends the {appended}, which goes with the problem "
                f"{next(problem for problem in PROBLEMS if EXTRA[problem] == appended)!r}."
            )
        n_population = parts_of(self.events).n_population
        if sample_size > n_population:
            raise ValueError(
                f"A training sample must have at most {n_population} events, the population of "
                f"{self.events}, but {sample_size} were asked for."
            )

    def about(self) -> str:
        """Say what losses depend on, and with which versions they were found."""
        versions = ", ".join(f"{name} {version(name)}" for name in ("optuna-robust", "torch"))
        where = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
        return (
            f"{datetime.now(UTC):%Y-%m-%d}, {_events(self.events)}, validation part; learning "
            f"rates: {self.schedule}. Python {platform.python_version()}, {versions}; {where}, "
            f"{self.n_jobs} processes."
        )


def _version(events: Path) -> str:
    """Return what losses depend on beside a model's name: the events, and what the names mean."""
    with events.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(repr(PUBLISHED).encode())
    return digest.hexdigest()


def _events(path: Path) -> str:
    """Return which events there are."""
    source = EventsFile(path, check_values=False)
    about = source.about
    origin = f"data set {about['dataset']}, seed {about['seed']}"
    name = path.name if about["dataset"] is None else origin
    return f"{len(source)} events of {name}, positions at the {source.position}"
