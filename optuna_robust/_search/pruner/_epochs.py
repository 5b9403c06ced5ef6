"""Whether the steps of a study's trials look like epochs of one training, not like instances."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import math
import threading
from typing import TYPE_CHECKING
import warnings
import weakref

import numpy as np

from optuna_robust._base.arrays import FloatArray


if TYPE_CHECKING:
    from optuna.study import Study


# A trial is looked at when it has so many steps: fewer, in the order of epochs by chance, are too
# likely. Few looks at few trials, at a small level: instances are hardly ever taken for epochs.
_LOOKS = (8, 16, 32, 64)
_N_TRIALS = 5
_LEVEL = 1e-4


class EpochsForInstances:
    """Warns once for each study whose objective reports epochs, which are no instances."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # None: warned of.
        self._steps: weakref.WeakKeyDictionary[Study, StepsOfTrials | None] = (
            weakref.WeakKeyDictionary()
        )

    def warn(self, study: Study, number: int, losses: Mapping[int, float]) -> None:
        """Warn if the steps of a trial, and of those before it, look like epochs.

        Args:
            study:
                The study.
            number:
                Number of the trial.
            losses:
                Its losses to be minimised, by step.
        """
        with self._lock:
            steps = self._steps.setdefault(study, StepsOfTrials())
            if steps is None or not steps.look_like_epochs(number, losses):
                return
            self._steps[study] = None
        warnings.warn(
            f"The values of trial {number} get better from step to step, as epochs do, but "
            "RobustnessPruner takes every step for an instance: another training of the model. "
            "Wrap the objective, MultiInstanceObjective(objective, n_instances=…), which trains "
            "instances; with instance_pruner=optuna.pruners.MedianPruner() its epochs are pruned.",
            stacklevel=4,
        )


class StepsOfTrials:
    """Steps of the first trials of a study, to tell epochs from instances.

    Instances come in any order: whatever they do to all trials, and however noisy they are, each
    order of them is as likely as any other. Epochs get better from one to the next. That is tested
    by Kendall's tau of the step with the loss, ranked in each trial, of the first trials' mean.
    """

    def __init__(self) -> None:
        self._ranks: dict[int, dict[int, FloatArray]] = {n: {} for n in _LOOKS}

    def look_like_epochs(self, number: int, losses: Mapping[int, float]) -> bool:
        """Return True if steps of the first trials, this one among them, are likely epochs.

        Args:
            number:
                Number of the trial.
            losses:
                Its losses to be minimised, by step.
        """
        looked_at = self._ranks.get(len(losses))
        if looked_at is None or number in looked_at or len(looked_at) >= _N_TRIALS:
            return False
        values = np.array([losses[step] for step in sorted(losses)])
        looked_at[number] = (values[:, None] > values).sum(axis=1) + 0.5 * (
            values[:, None] == values
        ).sum(axis=1)
        mean = np.mean(list(looked_at.values()), axis=0)
        return _chance_of_such_an_order(mean.tolist()) < _LEVEL


def _chance_of_such_an_order(values: Sequence[float]) -> float:
    """Return how likely a random order of values falls as often as theirs; ties do not fall."""
    n = len(values)
    n_falling = sum(values[j] < values[i] for j in range(n) for i in range(j))
    orders = _orders_by_inversions(n)
    return math.fsum(orders[n_falling:])


def _orders_by_inversions(n: int) -> list[float]:
    """Return the shares of the orders of n values that have 0, 1, 2, … falling pairs."""
    shares = [1.0]
    for k in range(2, n + 1):  # the k-th value falls below 0, 1, …, k - 1 of those before it
        shares = np.convolve(shares, np.full(k, 1.0 / k)).tolist()
    return shares
