"""CIFAR-10, and variants of ResNet-18 for it.

Training samples are drawn from the first four training files, searches are judged on the fifth,
and their winners on the test file: which images are in which part is the same for all search
seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optuna.trial import BaseTrial
import torch

from benchmarks.cifar10.binary import Images
from benchmarks.cifar10.binary import read
from benchmarks.cifar10.training import Judge
from benchmarks.cifar10.training import train
from benchmarks.cifar10.variants import Recipe
from benchmarks.cifar10.variants import RECIPES
from benchmarks.cifar10.variants import Variant
from benchmarks.tasks import Part
from benchmarks.tasks import Setting
from optuna_robust import Instance


@dataclass(frozen=True)
class Cifar10:
    """The images of a folder; see :class:`~benchmarks.tasks.Task`.

    Args:
        folder:
            Of CIFAR-10's binary version.
        recipe:
            What all variants have in common.
    """

    folder: Path
    recipe: Recipe

    @property
    def trains_together(self) -> bool:
        """On a GPU, so that one process has it; instances are trained one after the other."""
        return torch.cuda.is_available()

    @property
    def n_population(self) -> int:
        """Images that training samples are drawn from."""
        return len(self._population)

    def suggest(self, trial: BaseTrial) -> Variant:
        """Draw a model from the search space."""
        return self.recipe.suggest(trial)

    def fixed(self, name: str) -> Variant:
        """There are no fixed rows."""
        raise KeyError(name)

    def losses(
        self, model: Variant, instances: Sequence[Instance], *, part: Part, sample_size: int
    ) -> list[float]:
        """Train instances of a model, and return the error of each on a part in percent."""
        data = read(self.folder)
        judge = Judge(data.test if part == "test" else Images(data.training.files[-1:]))
        errors = []
        for instance in instances:
            rows = instance.sample(self.n_population, sample_size)
            network = train(model, self.recipe, *self._population.take(rows), instance)
            errors.append(100.0 - judge.accuracy_percent(network))
        return errors

    @property
    def _population(self) -> Images:
        return Images(read(self.folder).training.files[:-1])


def load(*, seed: int, setting: Setting) -> Cifar10:
    """Return the task, which is the same for all seeds."""
    assert setting.images is not None
    return Cifar10(setting.images, RECIPES[setting.preset])
