"""The tasks that searches are measured on, one file each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Literal
from typing import Protocol
from typing import TypeAlias

from optuna.trial import BaseTrial

from optuna_robust import Instance


Part: TypeAlias = Literal["validation", "test"]


class Task(Protocol):
    """A search space, and data in three disjoint parts.

    An instance is trained on its own sample of the training population; a search sees losses of
    the validation part only, and its winner is judged on the test part.
    """

    def loss(self, trial: BaseTrial, instance: Instance, *, part: Part) -> float:
        """Train one instance of the trial's model, and return its loss on a part."""


@dataclass(frozen=True)
class TaskCard:
    """What is known of a task without loading its data or libraries.

    Its module has a function ``load(seed)`` that returns the :class:`Task`, split by the seed.
    """

    module: str
    loss: str
    packages: tuple[str, ...]

    def load(self, *, seed: int) -> Task:
        """Return the task with the split of this seed."""
        task: Task = import_module(self.module).load(seed=seed)
        return task


TASKS: dict[str, TaskCard] = {
    "digits": TaskCard(
        module="benchmarks.tasks.digits",
        loss="classification error in %",
        packages=("torch", "scikit-learn"),
    ),
    "edge": TaskCard(
        module="benchmarks.tasks.edge",
        loss="made-up loss",
        packages=(),
    ),
}
