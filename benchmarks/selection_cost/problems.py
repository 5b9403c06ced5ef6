"""What rules are replayed on: a table in random order, or fresh tables of a family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from typing import Protocol
import zlib

import numpy as np

from benchmarks.selection_cost.families import FAMILIES
from benchmarks.selection_cost.families import N_INSTANCES
from benchmarks.selection_cost.families import NOISE
from benchmarks.selection_cost.families import Population
from benchmarks.tables import Table
from optuna_robust._base.arrays import FloatArray
from optuna_robust.criteria import get_criterion


# Without --tolerance: models that differ by less than so much of a training's noise are as good.
TOLERANCE_IN_NOISE = 0.1


@dataclass(frozen=True)
class Draw:
    """The losses of one replay.

    Attributes:
        losses: Oriented losses, shape ``(n_models, n_instances)``, in the order of their use.
        population: What is true of the models; None if only these losses are known.
    """

    losses: FloatArray
    population: Population | None


class Problem(Protocol):
    """What rules are replayed on."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def about(self) -> str:
        """What it is, in a line."""

    @property
    def n_models(self) -> int:
        """How many models there are to choose from."""

    @property
    def n_instances(self) -> int:
        """How many instances every model has."""

    @property
    def noise(self) -> float:
        """The typical standard deviation of a model's losses."""

    @property
    def has_ties(self) -> bool:
        """Whether losses are rounded, so that some are equal."""

    @property
    def replay_share(self) -> float:
        """The share of the replays that it gets."""

    @property
    def models(self) -> tuple[Mapping[str, Any], ...] | None:
        """Hyperparameters of every model, if they are known."""

    def draw(self, rng: np.random.Generator) -> Draw:
        """Return the losses of one replay."""


@dataclass(frozen=True)
class TableProblem:
    """A table whose instances come in random order, the same for all models."""

    table: Table
    replay_share: float = 1.0

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.table.name

    @property
    def about(self) -> str:
        """What it is, in a line."""
        return f"measured {self.table.columns}, to {self.table.direction}"

    @property
    def n_models(self) -> int:
        """How many models there are to choose from."""
        return len(self.table.losses)

    @property
    def n_instances(self) -> int:
        """How many instances every model has."""
        return int(self.table.losses.shape[1])

    @property
    def noise(self) -> float:
        """The typical standard deviation of a model's losses."""
        return float(np.median(get_criterion("std")(self.table.losses)))

    @property
    def has_ties(self) -> bool:
        """Whether losses are rounded, so that some are equal."""
        return len(np.unique(self.table.losses)) < self.table.losses.size

    @property
    def models(self) -> tuple[Mapping[str, Any], ...] | None:
        """Hyperparameters of every model: numbers where cells are; empty cells are none."""
        models = tuple(
            {name: _value(cell) for name, cell in model.items() if cell}
            for model in self.table.hyperparameters
        )
        return models if any(models) else None

    def draw(self, rng: np.random.Generator) -> Draw:
        """Return the losses of one replay."""
        return Draw(self.table.losses[:, rng.permutation(self.n_instances)], None)


@dataclass(frozen=True)
class FamilyProblem:
    """A family of models, of which every replay draws a fresh table."""

    name: str
    has_ties: bool = False

    @property
    def about(self) -> str:
        """What it is, in a line."""
        return f"made up: {FAMILIES[self.name].about}"

    @property
    def n_models(self) -> int:
        """How many models there are to choose from."""
        return FAMILIES[self.name].n_models

    @property
    def n_instances(self) -> int:
        """How many instances every model has."""
        return N_INSTANCES

    @property
    def noise(self) -> float:
        """The typical standard deviation of a model's losses."""
        return NOISE

    @property
    def replay_share(self) -> float:
        """The share of the replays that it gets."""
        return FAMILIES[self.name].replay_share

    @property
    def models(self) -> tuple[Mapping[str, Any], ...] | None:
        """Hyperparameters of every model, if it has some."""
        return FAMILIES[self.name].models

    def draw(self, rng: np.random.Generator) -> Draw:
        """Return the losses of one replay."""
        return Draw(*FAMILIES[self.name].draw(rng))


def _value(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


def generator(problem: Problem, replay: int, *, seed: int) -> np.random.Generator:
    """Return what a replay is drawn with: the same for all rules, criteria and processes."""
    key = (zlib.crc32(problem.name.encode()), replay)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def default_tolerance(problem: Problem) -> float:
    """Return how much worse than the best a model may be, where the user does not say."""
    return TOLERANCE_IN_NOISE * problem.noise
