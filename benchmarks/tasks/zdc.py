"""Generators of calorimeter images from the energy, judged by distances that w does not scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import BaseTrial

from benchmarks.tasks import Part
from benchmarks.tasks import Setting
from benchmarks.zdc.judge import distance
from benchmarks.zdc.showers import population
from benchmarks.zdc.showers import Showers
from benchmarks.zdc.study import JUDGE_SEED
from benchmarks.zdc.study import NETWORKS
from benchmarks.zdc.study import Recipe
from benchmarks.zdc.study import RECIPES
from benchmarks.zdc.study import TEST_SEED
from benchmarks.zdc.training import Model
from benchmarks.zdc.training import train
from optuna_robust import Instance


@dataclass(frozen=True)
class Zdc:
    """Simulated showers; see :class:`~benchmarks.tasks.Task`.

    Args:
        recipe:
            How large networks and samples are.
        seed:
            Of the population, and of the showers that images are compared with.
    """

    recipe: Recipe
    seed: int
    trains_together: bool = False

    @property
    def n_population(self) -> int:
        """Showers that training samples are drawn from."""
        return self.recipe.n_population

    def suggest(self, trial: BaseTrial) -> Model:
        """Draw a model from the search space."""
        return Model(
            network=trial.suggest_categorical("network", NETWORKS),  # type: ignore[arg-type]
            width=trial.suggest_int("width", self.recipe.width // 2, self.recipe.width),
            weight=trial.suggest_float("w", 1.0, 1000.0, log=True),
            learning_rate=trial.suggest_float("learning_rate", 5e-4, 2e-2, log=True),
            batch_size=trial.suggest_categorical("batch_size", (10, 20, 50)),
            n_epochs=self.recipe.n_epochs,
        )

    def fixed(self, name: str) -> Model:
        """There are no fixed rows."""
        raise KeyError(name)

    def losses(
        self, model: Model, instances: Sequence[Instance], *, part: Part, sample_size: int
    ) -> list[float]:
        """Train instances of a model, and return the distance of each from simulated images."""
        showers = population(self.recipe.n_population, 3 * self.seed)
        seed = 3 * self.seed + (TEST_SEED if part == "test" else JUDGE_SEED)
        distances = []
        for instance in instances:
            rows = instance.sample(self.n_population, sample_size)
            network = train(model, Showers(showers.energy[rows], showers.deposits[rows]), instance)
            distances.append(distance(network, n_events=self.recipe.n_judged, seed=seed))
        return distances


def load(*, seed: int, setting: Setting) -> Zdc:
    """Return the task with the showers of this seed."""
    return Zdc(RECIPES[setting.preset], seed)
