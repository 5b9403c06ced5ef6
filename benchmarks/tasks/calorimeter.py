"""The calorimeter problem of doi:10.1109/ACCESS.2025.3578926: energies or positions of photons.

Which events are in which part is the same for all search seeds: repetitions say how searches vary,
for these validation and test events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import cast

from optuna.trial import BaseTrial
import torch

from benchmarks.calorimeter.baselines import BASELINES
from benchmarks.calorimeter.inputs import Problem
from benchmarks.calorimeter.models import Model
from benchmarks.calorimeter.models import PUBLISHED
from benchmarks.calorimeter.models import Schedule
from benchmarks.calorimeter.parts import parts_of
from benchmarks.calorimeter.space import suggest
from benchmarks.calorimeter.training import judge_baseline
from benchmarks.calorimeter.training import train
from benchmarks.tasks import Part
from benchmarks.tasks import Preset
from benchmarks.tasks import Setting
from optuna_robust import Instance


# The published networks were trained for 50. Few events for few epochs are what 2 cores can do.
N_EPOCHS: dict[Preset, int] = {"quick": 12, "standard": 10, "paper": 50}


@dataclass(frozen=True)
class Calorimeter:
    """Networks that learn a problem from events of a file; see :class:`~benchmarks.tasks.Task`.

    Args:
        events:
            The file.
        problem:
            What is learned.
        n_epochs:
            Of every training.
        schedule:
            Of learning rates.
    """

    events: Path
    problem: Problem
    n_epochs: int
    schedule: Schedule

    @property
    def trains_together(self) -> bool:
        """On a GPU."""
        return torch.cuda.is_available()

    @property
    def n_population(self) -> int:
        """Events that training samples are drawn from."""
        return parts_of(self.events).n_population

    def suggest(self, trial: BaseTrial) -> Model:
        """Draw a model from the search space."""
        return self._as_set(suggest(trial, self.problem))

    def fixed(self, name: str) -> Model | str:
        """Return a published model, or the name of a baseline."""
        return name if name in BASELINES else self._as_set(PUBLISHED[name])

    def losses(
        self,
        model: Model | str,
        instances: Sequence[Instance],
        *,
        part: Part,
        sample_size: int,
    ) -> list[float]:
        """Train instances of a model or baseline, and return the loss of each on a part."""
        parts = parts_of(self.events)
        if isinstance(model, str):
            return [
                judge_baseline(
                    model, parts, self.problem, instance, sample_size=sample_size, judged_by=part
                )
                for instance in instances
            ]
        trained = train(
            model,
            parts,
            self.problem,
            instances,
            sample_size=sample_size,
            judged_by=part,
            n_jobs=1,
        )
        losses: list[float] = trained.losses.tolist()
        return losses

    def _as_set(self, model: Model) -> Model:
        training = replace(model.training, n_epochs=self.n_epochs, schedule=self.schedule)
        return replace(model, training=training)


def load_energy(*, seed: int, setting: Setting) -> Calorimeter:
    """Return the task of photon energies."""
    return _load("energy", setting)


def load_position(*, seed: int, setting: Setting) -> Calorimeter:
    """Return the task of photon positions."""
    return _load("position", setting)


def _load(problem: Problem, setting: Setting) -> Calorimeter:
    assert setting.events is not None
    return Calorimeter(
        setting.events, problem, N_EPOCHS[setting.preset], cast(Schedule, setting.schedule)
    )
