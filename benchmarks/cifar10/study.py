"""All instances of the 72 variants, kept in a store, and a race over them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
import json
from pathlib import Path
from typing import NamedTuple

from optuna.trial import BaseTrial
import plotly.graph_objects as go  # type: ignore[import-untyped]
from torch import nn

from benchmarks import fingerprints
from benchmarks.cifar10.binary import FILES
from benchmarks.cifar10.binary import read
from benchmarks.cifar10.training import Judge
from benchmarks.cifar10.training import train
from benchmarks.cifar10.variants import Recipe
from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import robust_select
from optuna_robust import SelectionResult
from optuna_robust import visualization


_CODE = ("binary", "network", "study", "training", "variants")


@dataclass(frozen=True)
class Accuracy:
    """The objective: the accuracy on the test file, in percent, reported after every epoch.

    Args:
        folder:
            Of CIFAR-10's binary version.
        recipe:
            What all variants have in common.
        sample_size:
            Images that an instance is trained on, of the 50 000.
    """

    folder: Path
    recipe: Recipe
    sample_size: int

    def __call__(self, trial: BaseTrial, instance: Instance) -> float:
        """Train an instance, and return its accuracy after the last epoch."""
        images, judge = read(self.folder).training, _judge(self.folder)
        pixels, labels = images.take(instance.sample(len(images), self.sample_size))
        accuracies = []

        def on_epoch(epoch: int, network: nn.Module) -> None:
            accuracies.append(judge.accuracy_percent(network))
            trial.report(accuracies[-1], epoch)

        train(self.recipe.suggest(trial), self.recipe, pixels, labels, instance, on_epoch=on_epoch)
        return accuracies[-1]


@lru_cache(maxsize=1)
def _judge(folder: Path) -> Judge:
    return Judge(read(folder).test)


class Studied(NamedTuple):
    """What came of a sample size.

    Args:
        every:
            All instances of all variants.
        race:
            What :func:`~optuna_robust.robust_select` does with its defaults.
        rank_correlation:
            Of the ranking at every epoch with that of the last.
        top_overlap:
            Of the best tenth at every epoch with that of the last.
        curves:
            Accuracies by epoch of the best variants.
        level_spread:
            Of all variants.
    """

    every: SelectionResult
    race: SelectionResult
    rank_correlation: go.Figure
    top_overlap: go.Figure
    curves: go.Figure
    level_spread: go.Figure


def study(objective: Accuracy, *, n_instances: int, n_jobs: int, database: Path) -> Studied:
    """Train all instances of all variants, or take them from a database, and race the variants.

    Args:
        objective:
            Trains an instance.
        n_instances:
            Of every variant.
        n_jobs:
            Number of processes.
        database:
            SQLite file of all instances.

    Raises:
        ValueError: If a sample is larger than the population, or the images are not as they
            should be; before anything is trained.
    """
    n_population = len(read(objective.folder).training)
    if objective.sample_size > n_population:
        raise ValueError(
            f"--sample-sizes must be at most {n_population}, the training images of "
            f"{objective.folder}, but one was {objective.sample_size}."
        )
    grid = objective.recipe.grid()
    store = InstanceStore(
        f"sqlite:///{database.resolve().as_posix()}",
        experiment=f"samples of {objective.sample_size}",
        version=_circumstances(objective),
    )
    try:
        every = robust_select(
            objective,
            grid,
            direction="maximize",
            rule="halving",
            n_select=_n_models(grid),
            n_instances=n_instances,
            n_jobs=n_jobs,
            store=store,
            show_progress_bar=True,
        )
        race = robust_select(
            objective, grid, direction="maximize", n_instances=n_instances, store=store
        )
        return Studied(
            every,
            race,
            visualization.plot_rank_correlation(every, store=store),
            visualization.plot_top_overlap(every, store=store),
            visualization.plot_learning_curves(every, store=store, value_name="accuracy (%)"),
            visualization.plot_level_spread(every, loss_name="accuracy (%)"),
        )
    finally:
        store.close()


def _n_models(grid: dict[str, list[float]]) -> int:
    n_models = 1
    for values in grid.values():
        n_models *= len(values)
    return n_models


def _circumstances(objective: Accuracy) -> str:
    """Return what accuracies depend on beside variant, instance and sample size."""
    return json.dumps(
        {
            "images": fingerprints.of_files(objective.folder / name for name in FILES),
            "recipe": repr(objective.recipe),
            "code": fingerprints.of_code(*(f"benchmarks.cifar10.{name}" for name in _CODE)),
            "torch": version("torch"),
        },
        sort_keys=True,
    )
