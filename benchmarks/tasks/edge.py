"""The edge of stability: a made-up landscape in which spread matters, and the truth is known.

As with learning rates, losses get better up to a point, and before that point trainings begin to
vary: the models with the best level are not those that stay good when they are retrained. Nothing
is trained, so that a search takes seconds, and many seeds can be run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from optuna.trial import BaseTrial

from benchmarks.tasks import Part
from benchmarks.tasks import Setting
from optuna_robust import Instance


_N_OTHERS = 4
_BEST_LEVEL_AT = 0.6
_EDGE = 0.2
_SPREAD_BEFORE_EDGE = 0.05
_SPREAD_BEYOND_EDGE = 1.5
# Share of the variance that all models have in common in an instance, as a training sample has.
_COMMON_SHARE = 0.3


class Model(NamedTuple):
    """A point of the landscape."""

    speed: float
    others: tuple[float, ...]


class Edge:
    """The landscape; see :class:`~benchmarks.tasks.Task`. Both parts are alike."""

    @property
    def trains_together(self) -> bool:
        """Nothing is trained."""
        return False

    @property
    def n_population(self) -> int:
        """There are no data."""
        return 1

    def suggest(self, trial: BaseTrial) -> Model:
        """Draw a model from the search space."""
        return Model(
            trial.suggest_float("speed", -1.0, 1.0),
            tuple(trial.suggest_float(f"x{i}", -1.0, 1.0) for i in range(_N_OTHERS)),
        )

    def fixed(self, name: str) -> Model:
        """There are no fixed rows."""
        raise KeyError(name)

    def losses(
        self, model: Model, instances: Sequence[Instance], *, part: Part, sample_size: int
    ) -> list[float]:
        """Return level plus spread times noise."""
        bits = np.array([model.speed, *model.others]).view(np.uint32)
        found = []
        for instance in instances:
            own = np.random.default_rng([instance.order_seed, *bits])
            noise = np.sqrt(_COMMON_SHARE) * instance.rng.normal()
            noise += np.sqrt(1.0 - _COMMON_SHARE) * own.normal()
            found.append(float(level(model) + spread(model) * noise))
        return found


def level(model: Model) -> float:
    """Return the mean of a model's losses."""
    return (model.speed - _BEST_LEVEL_AT) ** 2 + 0.5 * sum(x**2 for x in model.others)


def spread(model: Model) -> float:
    """Return the standard deviation of a model's losses."""
    return _SPREAD_BEFORE_EDGE + _SPREAD_BEYOND_EDGE * max(0.0, model.speed - _EDGE) ** 2


def load(*, seed: int, setting: Setting) -> Edge:
    """Return the task, which is the same for all seeds."""
    return Edge()
