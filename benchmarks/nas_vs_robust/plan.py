"""What is to be done: arms, searches, and what each may spend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from typing import Any
from typing import get_args
from typing import Literal
from typing import TypeAlias

from benchmarks.tasks import Preset


ArmName: TypeAlias = Literal[
    "nas", "nas-retrained", "mean-of-5", "wilcoxon", "robust", "robust-pruned", "robust-select"
]
ARMS: tuple[ArmName, ...] = get_args(ArmName)
# What the others are compared with.
REFERENCE: ArmName = "nas"
# Whose comparison with it is the verdict, where it was run.
CHALLENGER: ArmName = "robust"

# How the models of the arm nas-retrained are chosen in the end.
N_RETRAINED, N_AGAIN = 10, 3
# Most instances of a model in the arm robust-select; the default of robust_select.
N_RACED = 20


@dataclass(frozen=True)
class Plan:
    """What searches of all budgets are given.

    Args:
        n_instances:
            Of a model, in the arms robust, robust-pruned and wilcoxon.
        confirmations:
            Fresh instances of each winner and fixed row.
        sample_sizes:
            Of training samples. Searches use the largest; fresh instances are trained with all.
    """

    n_instances: int
    confirmations: int
    sample_sizes: tuple[int, ...]

    @property
    def sample_size(self) -> int:
        """Training sample of all searches."""
        return max(self.sample_sizes)


def fewest_confirmations(arm: ArmName, n_instances: int) -> int:
    """Return as many instances as an arm may choose a model by.

    What a search promised is compared with as many fresh instances.
    """
    return {"nas": 1, "nas-retrained": N_AGAIN, "mean-of-5": 5, "robust-select": N_RACED}.get(
        arm, n_instances
    )


def fewest_trainings(arm: ArmName) -> int:
    """Return how many trainings an arm needs."""
    return {"nas-retrained": N_RETRAINED * (N_AGAIN + 1), "mean-of-5": 5, "robust-select": 4}.get(
        arm, 1
    )


@dataclass(frozen=True)
class Numbers:
    """A preset: a plan but for the task's sample sizes, with budget, seeds and arms.

    Equal seconds: whether searches are run again for a comparison at equal seconds.
    """

    trainings: int
    n_instances: int
    confirmations: int
    seeds: int
    arms: tuple[ArmName, ...]
    equal_seconds: bool = True


PRESETS: Mapping[Preset, Numbers] = {
    # Minutes on 2 cores.
    "quick": Numbers(80, 10, 15, seeds=8, arms=("nas", "robust"), equal_seconds=False),
    # About 90 minutes on 2 cores.
    "standard": Numbers(
        100, 10, 50, seeds=10, arms=("nas", "nas-retrained", "robust", "robust-select")
    ),
    # Meant for a GPU.
    "paper": Numbers(1000, 20, 100, seeds=20, arms=ARMS),
}
# Where a task has numbers of its own: trainings, instances, seeds, arms …
_OF_TASKS: Mapping[tuple[str, Preset], Mapping[str, Any]] = {
    ("digits", "quick"): {"trainings": 200, "confirmations": 30, "seeds": 10},
    ("cifar10", "quick"): {"trainings": 25, "n_instances": 5, "confirmations": 8, "seeds": 3},
    ("zdc", "quick"): {"trainings": 20, "n_instances": 5, "confirmations": 6, "seeds": 3},
    ("cifar10", "standard"): {"confirmations": 20, "seeds": 5, "arms": ("nas", "robust")},
    ("cartpole", "standard"): {"seeds": 20, "arms": ("nas", "nas-retrained", "robust")},
}


def numbers_of(task: str, preset: Preset) -> Numbers:
    """Return a task's numbers of a preset."""
    return replace(PRESETS[preset], **_OF_TASKS.get((task, preset), {}))


@dataclass(frozen=True)
class Search:
    """One search of an arm.

    Args:
        arm:
            The arm.
        seed:
            The search seed.
        trainings:
            Instances that it may train.
        timed:
            Whether it is for a comparison at equal seconds.
    """

    arm: ArmName
    seed: int
    trainings: int
    timed: bool = False

    @property
    def name(self) -> str:
        """What its study is called."""
        kind = ", at equal seconds" if self.timed else ""
        return f"{self.arm}, seed {self.seed}, {self.trainings} trainings{kind}"


@dataclass(frozen=True)
class Outcome:
    """What one search found, and what its winner is worth when it is trained again.

    Args:
        search:
            Which search.
        n_trainings:
            Instances that it trained.
        n_models:
            Models that it tried.
        n_pruned:
            Of these, models that were stopped.
        seconds:
            That these trainings took, added up.
        params:
            Hyperparameters of the winner.
        criterion:
            What the winner was chosen by.
        search_losses:
            On the validation part; the search value is their criterion.
        fresh_losses:
            Of fresh instances on the test part, by sample size; infinite where one failed.
    """

    search: Search
    n_trainings: int
    n_models: int
    n_pruned: int
    seconds: float
    params: dict[str, Any]
    criterion: str
    search_losses: tuple[float, ...]
    fresh_losses: dict[int, tuple[float, ...]]

    def fresh(self, n: int | None = None) -> tuple[float, ...]:
        """Return the first n fresh losses (default: all) with the sample size of the search."""
        return self.fresh_losses[max(self.fresh_losses)][:n]


@dataclass(frozen=True)
class Row:
    """Fresh instances of a fixed model on the test part, by sample size."""

    name: str
    fresh_losses: dict[int, tuple[float, ...]]
