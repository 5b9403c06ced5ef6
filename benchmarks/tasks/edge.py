"""The edge of stability: a made-up landscape in which spread matters, and the truth is known.

As with learning rates, losses get better up to a point, and before that point trainings begin to
vary: the models with the best level are not those that stay good when they are retrained. Nothing
is trained, so that a search takes seconds, and many seeds can be run.
"""

from __future__ import annotations

import numpy as np
from optuna.trial import BaseTrial

from benchmarks.tasks import Part
from optuna_robust import Instance


_N_OTHERS = 4
_BEST_LEVEL_AT = 0.6
_EDGE = 0.2
_SPREAD_BEFORE_EDGE = 0.05
_SPREAD_BEYOND_EDGE = 1.5
# Share of the variance that all models have in common in an instance, as a training sample has.
_COMMON_SHARE = 0.3


class Edge:
    """The landscape; see :class:`~benchmarks.tasks.Task`. Both parts are alike."""

    def loss(self, trial: BaseTrial, instance: Instance, *, part: Part) -> float:
        """Return level plus spread times noise."""
        speed = trial.suggest_float("speed", -1.0, 1.0)
        others = [trial.suggest_float(f"x{i}", -1.0, 1.0) for i in range(_N_OTHERS)]
        model = np.array([speed, *others]).view(np.uint32)
        own = np.random.default_rng([instance.order_seed, *model])
        noise = np.sqrt(_COMMON_SHARE) * instance.rng.normal()
        noise += np.sqrt(1.0 - _COMMON_SHARE) * own.normal()
        return float(level(speed, others) + spread(speed) * noise)


def level(speed: float, others: list[float]) -> float:
    """Return the mean of a model's losses."""
    return (speed - _BEST_LEVEL_AT) ** 2 + 0.5 * sum(x**2 for x in others)


def spread(speed: float) -> float:
    """Return the standard deviation of a model's losses."""
    return _SPREAD_BEFORE_EDGE + _SPREAD_BEYOND_EDGE * max(0.0, speed - _EDGE) ** 2


def load(*, seed: int) -> Edge:
    """Return the task, which is the same for all seeds."""
    return Edge()
