"""The tasks that searches are measured on, one file each."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from importlib import import_module
from pathlib import Path
import sys
from typing import Any
from typing import Literal
from typing import Protocol
from typing import TypeAlias

from optuna.trial import BaseTrial

from optuna_robust import Instance


Part: TypeAlias = Literal["validation", "test"]
Preset: TypeAlias = Literal["quick", "standard", "paper"]


class Task(Protocol):
    """A search space, and data in three disjoint parts.

    An instance is trained on its own sample of the training population; a search sees losses of
    the validation part only, and its winner is judged on the test part.
    """

    @property
    def trains_together(self) -> bool:
        """Whether several instances of a model at once are faster, as on a GPU."""

    @property
    def n_population(self) -> int:
        """Size of the training population, which samples are drawn from."""

    def suggest(self, trial: BaseTrial) -> Any:
        """Draw a model from the search space."""

    def fixed(self, name: str) -> Any:
        """Return the model of a fixed row."""

    def losses(
        self, model: Any, instances: Sequence[Instance], *, part: Part, sample_size: int
    ) -> Sequence[float]:
        """Train instances of a model, and return the loss of each on a part."""


@dataclass(frozen=True)
class Setting:
    """What a task is loaded with, beside its seed.

    Args:
        preset:
            How large it is.
        events:
            File of events, for tasks that take one.
        images:
            Folder of CIFAR-10's binary version, for the task that takes one.
        schedule:
            Of the networks' learning rates, for tasks that have some.
    """

    preset: Preset = "quick"
    events: Path | None = None
    images: Path | None = None
    schedule: str = "constant"

    @property
    def files(self) -> list[Path]:
        """The files of data that losses depend on."""
        events = [] if self.events is None else [self.events]
        return events if self.images is None else [*events, *sorted(self.images.glob("*.bin"))]


@dataclass(frozen=True)
class TaskCard:
    """What is known of a task without loading its data or libraries.

    Args:
        loader:
            ``"module:function"``; the function takes ``seed`` and ``setting`` by keyword, and
            returns the :class:`Task`, split by the seed.
        about:
            What it is, and what of it is simulated.
        loss:
            Name of the loss, and its unit.
        packages:
            Distributions that it needs.
        sample_sizes:
            Of training samples, by preset. Searches use the largest; winners and fixed rows are
            trained with all.
        rows:
            Names of models that winners are compared with, by preset.
        options:
            Of the command line that it takes, beside those that all tasks do.
        n_simulated:
            By preset, how many events, or images of a file, to simulate where none are given.
        code:
            Packages that losses depend on, beside the loader's module.
    """

    loader: str
    about: str
    loss: str
    packages: tuple[str, ...]
    sample_sizes: Mapping[Preset, tuple[int, ...]]
    rows: Mapping[Preset, tuple[str, ...]] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    n_simulated: Mapping[Preset, int] = field(default_factory=dict)
    code: tuple[str, ...] = ()

    def load(self, *, seed: int, setting: Setting) -> Task:
        """Return the task with the split of this seed."""
        module, function = self.loader.split(":")
        task: Task = getattr(import_module(module), function)(seed=seed, setting=setting)
        return task


def _always(*sizes: int) -> dict[Preset, tuple[int, ...]]:
    return {"quick": sizes, "standard": sizes, "paper": sizes}


def _calorimeter(loader: str, loss: str, networks: tuple[str, ...]) -> TaskCard:
    rows = (*networks, "parametric", "xgboost", "xgboost_shares")
    return TaskCard(
        loader=f"benchmarks.tasks.calorimeter:{loader}",
        about=(
            "clusters of photons in a calorimeter, simulated, unless a file of events is given; "
            "convolutional networks of at most 30 000 parameters"
        ),
        loss=loss,
        packages=("torch", "h5py", _XGBOOST),
        sample_sizes={
            "quick": (300,),
            "standard": (1000,),
            "paper": (8000, 16_000, 24_000, 32_000),
        },
        rows={"quick": (networks[0], "parametric"), "standard": rows, "paper": rows},
        options=("events", "dataset", "schedule"),
        n_simulated={"quick": 12_000, "standard": 20_000, "paper": 500_000},
        code=("benchmarks.calorimeter",),
    )


# There is no build for CPUs alone on macOS; the other one is that.
_XGBOOST = "xgboost" if sys.platform == "darwin" else "xgboost-cpu"

TASKS: dict[str, TaskCard] = {
    "energy": _calorimeter(
        "load_energy", "RMSE(E)/E", ("Model 2", "Model 1", "Model 3", "NAS 1", "NAS 2")
    ),
    "position": _calorimeter("load_position", "RMSE(x), cm", ("Model 4", "Model 1", "Model 3")),
    "digits": TaskCard(
        loader="benchmarks.tasks.digits:load",
        about="scikit-learn's 1797 images of handwritten digits, and small convolutional networks",
        loss="classification error in %",
        packages=("torch", "scikit-learn"),
        sample_sizes={"quick": (50,), "standard": (150,), "paper": (150,)},
    ),
    "cartpole": TaskCard(
        loader="benchmarks.tasks.cartpole:load",
        about=(
            "gymnasium's CartPole-v1, and policies trained by proximal policy optimisation for as "
            "many steps of the environment as a sample has"
        ),
        loss="minus the mean return",
        packages=("torch", "gymnasium"),
        sample_sizes={"quick": (10_000,), "standard": (10_000,), "paper": (10_000, 20_000)},
    ),
    "cifar10": TaskCard(
        loader="benchmarks.tasks.cifar10:load",
        about=(
            "CIFAR-10 from a folder, or simulated images of ten shapes where none is given, and "
            "variants of ResNet-18 that differ in batch size, learning rate and regularisation"
        ),
        loss="classification error in %",
        packages=("torch",),
        sample_sizes={"quick": (100,), "standard": (500,), "paper": (10_000, 20_000, 30_000)},
        options=("data",),
        # As many as CIFAR-10 has would prove nothing.
        n_simulated={"quick": 200, "standard": 1000},
        code=(
            "benchmarks.cifar10.binary",
            "benchmarks.cifar10.network",
            "benchmarks.cifar10.training",
            "benchmarks.cifar10.variants",
        ),
    ),
    "zdc": TaskCard(
        loader="benchmarks.tasks.zdc:load",
        about=(
            "simulated images of showers in 20 x 20 cells, and generators of them from the energy "
            "that differ in network, weight of the loss and training"
        ),
        loss="distance from simulated images",
        packages=("torch",),
        sample_sizes={"quick": (100,), "standard": (2000,), "paper": (10_000, 50_000)},
        code=("benchmarks.zdc", "benchmarks.calorimeter.simulation"),
    ),
    "edge": TaskCard(
        loader="benchmarks.tasks.edge:load",
        about="a made-up landscape whose truth is known; nothing is trained",
        loss="made-up loss",
        packages=(),
        sample_sizes=_always(1),
    ),
}
