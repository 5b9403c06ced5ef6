"""What is searched on: a made-up family, or the models of a measured table."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Any
from typing import Protocol

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import IntDistribution

from benchmarks.search_cost.families import FAMILIES
from benchmarks.search_cost.family import CRITERION
from benchmarks.search_cost.space import Space
from benchmarks.tables import Table
from benchmarks.tables import TableError
from optuna_robust import Instance
from optuna_robust._base.arrays import FloatArray
from optuna_robust.criteria import get_criterion


N_INSTANCES = 10
_LABELS = ("model", "id", "index", "name", "number", "")


class Landscape(Protocol):
    """The models of one search, and what they are worth."""

    @property
    def space(self) -> Space:
        """The hyperparameters."""

    @property
    def n_instances(self) -> int:
        """How many instances a search may train of a model."""

    def loss(self, params: Mapping[str, Any], instance: Instance) -> float:
        """Return the loss of an instance of a model: a pure function of both."""

    def truth(self, params: Mapping[str, Any]) -> float:
        """Return what a model is worth; smaller is better."""

    def best(self) -> float:
        """Return what the best model is worth."""


class Problem(Protocol):
    """A landscape for every search seed."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def about(self) -> str:
        """What it is, in a line."""

    @property
    def contents(self) -> str:
        """What it depends on beside its name and the code."""

    def landscape(self, seed: int) -> Landscape:
        """Return the landscape of a search seed."""


@dataclass(frozen=True)
class FamilyProblem:
    """A made-up family: the same landscape for every seed."""

    name: str
    contents: str = ""

    @property
    def about(self) -> str:
        """What it is, in a line."""
        return FAMILIES[self.name].about

    @property
    def n_instances(self) -> int:
        """How many instances a search may train of a model."""
        return N_INSTANCES

    @property
    def space(self) -> Space:
        """The hyperparameters."""
        return FAMILIES[self.name].space

    def landscape(self, seed: int) -> Landscape:
        """Return itself."""
        return self

    def loss(self, params: Mapping[str, Any], instance: Instance) -> float:
        """Return the loss of an instance of a model."""
        return FAMILIES[self.name].loss(params, instance)

    def truth(self, params: Mapping[str, Any]) -> float:
        """Return what a model is worth over infinitely many instances."""
        return FAMILIES[self.name].true_criterion(params)

    def best(self) -> float:
        """Return the best possible value."""
        return FAMILIES[self.name].best()


@dataclass(frozen=True)
class TableProblem:
    """A measured table: every seed sees other instances, and is judged by the rest."""

    table: Table

    def __post_init__(self) -> None:
        self.landscape(0)  # tells what is wrong with the table

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.table.name

    @property
    def about(self) -> str:
        """What it is, in a line."""
        return (
            f"{len(self.table.losses)} models of measured {self.table.columns}, to "
            f"{self.table.direction}; the truth is oriented, smaller is better"
        )

    @property
    def contents(self) -> str:
        """All of it."""
        return f"{self.table.hyperparameters}{self.table.losses.tolist()}"

    def landscape(self, seed: int) -> Landscape:
        """Return the models, with a random part of the instances to be seen."""
        n_instances = self.table.losses.shape[1]
        n_seen = min(N_INSTANCES, n_instances // 2)
        if n_instances - n_seen < get_criterion(CRITERION).min_instances or n_seen < 2:
            raise TableError(
                f"{self.name} has {n_instances} instances; a search needs at least 4: some to "
                "see, and others for the truth."
            )
        order = np.random.default_rng(seed).permutation(n_instances)
        seen, others = np.split(self.table.losses[:, order], [n_seen], axis=1)
        return _Grid(_columns(self.table), seen, get_criterion(CRITERION)(others))


@dataclass(frozen=True)
class _Column:
    """A hyperparameter of a table.

    Attributes:
        name: Its column.
        values: Its different cells; numbers in order, before them an empty cell.
        codes: Of every model, the index of its value.
        is_ordered: Whether they are numbers.
    """

    name: str
    values: tuple[str, ...]
    codes: npt.NDArray[np.int64]
    is_ordered: bool

    def distribution(self) -> BaseDistribution:
        """Return a distribution over the values: their indices where they are numbers."""
        if self.is_ordered:
            return IntDistribution(0, len(self.values) - 1)
        return CategoricalDistribution(self.values)

    def distances(self, value: Any) -> FloatArray:
        """Return how far every model is, at most 1."""
        if self.is_ordered:
            return np.asarray(np.abs(self.codes - value) / (len(self.values) - 1))
        return np.asarray(self.codes != self.values.index(value), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class _Grid:
    """The models of a table; hyperparameters that it has not stand for the nearest model."""

    columns: Sequence[_Column]
    seen: FloatArray
    true: FloatArray

    @property
    def space(self) -> Space:
        """The hyperparameters; numbers are suggested as indices."""
        return Space({column.name: column.distribution() for column in self.columns})

    @property
    def n_instances(self) -> int:
        """How many instances are to be seen."""
        return int(self.seen.shape[1])

    def loss(self, params: Mapping[str, Any], instance: Instance) -> float:
        """Return a measured loss."""
        # Common instances come in order; those of one model's own are drawn.
        number = instance.number if instance.model is None else instance.order_seed
        return float(self.seen[self._model(params), number % self.n_instances])

    def truth(self, params: Mapping[str, Any]) -> float:
        """Return the criterion over the instances that are not seen."""
        return float(self.true[self._model(params)])

    def best(self) -> float:
        """Return the least of these."""
        return float(self.true.min())

    def _model(self, params: Mapping[str, Any]) -> int:
        return int(np.argmin(sum(each.distances(params[each.name]) for each in self.columns)))


def _columns(table: Table) -> list[_Column]:
    found = []
    for name in table.hyperparameters[0] if table.hyperparameters else ():
        cells = [row[name] for row in table.hyperparameters]
        column = _column(name, cells)
        is_label = name.lower() in _LABELS or (
            not column.is_ordered and len(column.values) == len(cells)
        )
        if len(column.values) > 1 and not is_label:
            found.append(column)
    if not found:
        raise TableError(f"{table.name} has no columns of hyperparameters that differ.")
    codes = np.stack([column.codes for column in found], axis=1)
    _, first, counts = np.unique(codes, axis=0, return_index=True, return_counts=True)
    if counts.max() > 1:
        model = dict(table.hyperparameters[int(first[np.argmax(counts)])])
        raise TableError(
            f"{table.name} has {counts.max()} rows with the same hyperparameters, {model}; "
            "choose among its rows with --where."
        )
    return found


def _column(name: str, cells: Sequence[str]) -> _Column:
    numbers = {cell: _number(cell) for cell in cells}
    is_ordered = not any(math.isnan(number) for number in numbers.values())
    if is_ordered:
        ordered = sorted(set(numbers.values()))
        codes = [ordered.index(numbers[cell]) for cell in cells]
        return _Column(name, tuple(map(str, ordered)), np.array(codes), is_ordered)
    values = tuple(sorted(set(cells)))
    return _Column(name, values, np.array([values.index(cell) for cell in cells]), is_ordered)


def _number(cell: str) -> float:
    """Return a cell's number, minus infinity for an empty one, NaN for a text."""
    try:
        return float(cell) if cell else -math.inf
    except ValueError:
        return math.nan
