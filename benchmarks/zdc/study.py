"""All instances of eight generators at two sample sizes, kept in a store."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
import json
from pathlib import Path

from optuna.trial import BaseTrial

from benchmarks import fingerprints
from benchmarks.zdc.judge import distance
from benchmarks.zdc.showers import population
from benchmarks.zdc.showers import Showers
from benchmarks.zdc.training import Model
from benchmarks.zdc.training import train
from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import robust_select
from optuna_robust import SelectionResult


WEIGHTS = (1, 200, 500, 1000)
NETWORKS = ("default", "extended 2")
POPULATION_SEED, JUDGE_SEED, TEST_SEED = 0, 1, 2
_CODE = ("judge", "network", "showers", "training")


@dataclass(frozen=True)
class Recipe:
    """What all generators have in common, and how they are judged.

    Args:
        width:
            h of the networks.
        n_epochs:
            Passes over the sample.
        batch_size:
            Showers of a step.
        learning_rate:
            Peak of the one-cycle schedule.
        n_population:
            Showers that samples are drawn from.
        n_judged:
            Simulated showers at each energy that images are compared with.
    """

    width: int
    n_epochs: int
    batch_size: int
    learning_rate: float
    n_population: int
    n_judged: int

    def model(self, network: str, weight: float) -> Model:
        """Return a generator."""
        return Model(
            network="extended 2" if network == "extended 2" else "default",
            width=self.width,
            weight=weight,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            n_epochs=self.n_epochs,
        )


RECIPES = {
    "quick": Recipe(8, 20, 20, 5e-3, n_population=4000, n_judged=500),
    "standard": Recipe(16, 20, 50, 5e-3, n_population=30_000, n_judged=2000),
    "paper": Recipe(32, 50, 100, 2e-3, n_population=100_000, n_judged=5000),
}
# Showers of a sample, once and five times.
SAMPLE_SIZES = {"quick": (200, 1000), "standard": (2000, 10_000), "paper": (10_000, 50_000)}


@dataclass(frozen=True)
class Distance:
    """The objective: how far a trained generator's images are from simulated ones.

    Args:
        recipe:
            What all generators have in common.
        sample_size:
            Showers that an instance is trained on.
    """

    recipe: Recipe
    sample_size: int

    def __call__(self, trial: BaseTrial, instance: Instance) -> float:
        """Train an instance, and judge it."""
        model = self.recipe.model(
            trial.suggest_categorical("network", NETWORKS),
            trial.suggest_categorical("w", WEIGHTS),
        )
        network = train(model, sample(self.recipe, self.sample_size, instance), instance)
        return distance(network, n_events=self.recipe.n_judged, seed=JUDGE_SEED)


def sample(recipe: Recipe, size: int, instance: Instance) -> Showers:
    """Return the showers that an instance is trained on."""
    showers = population(recipe.n_population, POPULATION_SEED)
    rows = instance.sample(len(showers.energy), size)
    return Showers(showers.energy[rows], showers.deposits[rows])


def study(
    objective: Distance, *, n_instances: int, n_jobs: int, database: Path
) -> SelectionResult:
    """Train all instances of all generators, or take them from a database.

    Args:
        objective:
            Trains an instance.
        n_instances:
            Of every generator.
        n_jobs:
            Number of processes.
        database:
            SQLite file of all instances.
    """
    store = InstanceStore(
        f"sqlite:///{database.resolve().as_posix()}",
        experiment=f"samples of {objective.sample_size}",
        version=_circumstances(objective.recipe),
    )
    try:
        return robust_select(
            objective,
            {"network": list(NETWORKS), "w": list(WEIGHTS)},
            direction="minimize",
            rule="halving",
            n_select=len(NETWORKS) * len(WEIGHTS),
            n_instances=n_instances,
            n_jobs=n_jobs,
            store=store,
            show_progress_bar=True,
        )
    finally:
        store.close()


def _circumstances(recipe: Recipe) -> str:
    """Return what distances depend on beside generator, instance and sample size."""
    return json.dumps(
        {
            "recipe": repr(recipe),
            "code": fingerprints.of_code(
                "benchmarks.calorimeter.simulation",
                *(f"benchmarks.zdc.{name}" for name in _CODE),
            ),
            "torch": version("torch"),
        },
        sort_keys=True,
    )
