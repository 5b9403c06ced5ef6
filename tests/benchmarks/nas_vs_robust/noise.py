"""A task without training: the loss is the parameter and the instance's noise."""

from dataclasses import dataclass
from dataclasses import field
import math
from typing import Any

from benchmarks.nas_vs_robust.plan import Outcome
from benchmarks.nas_vs_robust.plan import Plan
from benchmarks.nas_vs_robust.plan import Search
from benchmarks.nas_vs_robust.work import Bench
from benchmarks.tasks import Setting
from benchmarks.tasks import TaskCard


TRAININGS = 50
PLAN = Plan(n_instances=4, confirmations=8, sample_sizes=(4, 16))
TEST_SHIFT = 100.0


@dataclass
class Noise:
    """Keeps what was asked of it."""

    trains_together: bool = False
    n_choices: int | None = None
    asked: list[tuple[float, Any, str, int]] = field(default_factory=list)
    n_population = 100

    def suggest(self, trial):
        if self.n_choices is not None:
            return float(trial.suggest_int("x", 1, self.n_choices))
        return trial.suggest_float("x", 0, 10)

    def fixed(self, name):
        return {"good": 0.0, "bad": 5.0}[name]

    def losses(self, model, instances, *, part, sample_size):
        self.asked += [(model, instance, part, sample_size) for instance in instances]
        shift = TEST_SHIFT if part == "test" else 0.0
        return [
            model + shift + instance.rng.normal() / math.sqrt(sample_size)
            for instance in instances
        ]


LOADED = Noise()


def load(*, seed, setting):
    return LOADED


def card(**fields):
    return TaskCard(
        **{
            "loader": "tests.benchmarks.nas_vs_robust.noise:load",
            "about": "noise",
            "loss": "made-up loss",
            "packages": (),
            "sample_sizes": {"quick": (4, 16)},
            "rows": {"quick": ("good", "bad")},
            **fields,
        }
    )


def bench(folder):
    return Bench("noise", card(), Setting(), folder / "some.db", {"task": "noise"})


def an_outcome(arm="nas", seed=0, *, trainings=12, search=(1.0,), fresh=(1.0, 2.0, 3.0), **fields):
    return Outcome(
        **{
            "search": Search(arm, seed, trainings),
            "n_trainings": trainings,
            "n_models": trainings,
            "n_pruned": 0,
            "seconds": 10.0,
            "params": {"x": 0.5},
            "criterion": "mean" if len(search) == 1 else "q3+iqr",
            "search_losses": search,
            "fresh_losses": {16: tuple(fresh)},
            **fields,
        }
    )
