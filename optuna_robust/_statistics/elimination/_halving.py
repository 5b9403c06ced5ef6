"""Halving: drop the worse part of the models, wave by wave or at growing numbers of instances."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arguments import check_count
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.elimination._base import CriterionRule
from optuna_robust._statistics.elimination._base import Removal


def n_kept(n_models: int, reduction_factor: float, n_select: int = 1) -> int:
    """Return how many of ``n_models`` halving keeps: ``min(n - 1, max(n_select, ceil(n / eta)))``.

    Example:
        >>> from optuna_robust._statistics.elimination import n_kept
        >>> [n_kept(n, 2) for n in (64, 7, 2, 1)]
        [32, 4, 1, 1]
    """
    if n_models <= n_select:
        return n_models
    return min(n_models - 1, max(n_select, math.ceil(n_models / reduction_factor)))


def expected_trainings(
    n_models: int,
    n_warmup_instances: int,
    n_instances: int | None = None,
    *,
    n_select: int = 1,
    reduction_factor: float = 2.0,
) -> int:
    """Return what Algorithm 1 costs, in trainings, before any of them is spent.

    Counted as the algorithm goes, model by model: for powers of two that is the published
    (k + 2) M - 2 (Boldyrev, Ratnikov & Shevelev 2025, doi:10.1109/ACCESS.2025.3578926).

    Args:
        n_models:
            Number of models.
        n_warmup_instances:
            Algorithm 1's k. By a criterion that has no value of one instance (``"q3+iqr"``,
            ``"std"``), nothing can be eliminated after the first, so that 0 costs what 1 costs.
        n_instances:
            The survivors are trained on until they have so many instances
            (``train_survivors=True``). Default: they are not.
        n_select:
            How many models are selected.
        reduction_factor:
            One of so many models is kept.

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If a number is out of range, or ``n_warmup_instances`` is not less than
            ``n_instances``.

    Example:
        >>> from optuna_robust import expected_trainings
        >>> expected_trainings(6912, 4), expected_trainings(6912, 4, 100)
        (41472, 41555)
    """
    check_count("n_models", n_models, minimum=1)
    check_count("n_warmup_instances", n_warmup_instances, minimum=0)
    check_count("n_select", n_select, minimum=1)
    check_between("reduction_factor", reduction_factor, 1.0, math.inf)
    if n_instances is not None:
        check_count("n_instances", n_instances, minimum=1)
        check_warmup(n_warmup_instances, n_instances)
    trainings, trained, alive = 0, 0, n_models
    while alive > n_select and trained != n_instances:
        trainings += alive
        trained += 1
        if trained > n_warmup_instances:
            alive = n_kept(alive, reduction_factor, n_select)
    return trainings + (0 if n_instances is None else alive * (n_instances - trained))


def check_warmup(n_warmup_instances: int, n_instances: int) -> None:
    """Check that a warm-up leaves something to decide.

    Raises:
        ValueError: If it does not.
    """
    if n_warmup_instances >= n_instances:
        raise ValueError(
            f"n_warmup_instances={n_warmup_instances} leaves nothing to eliminate of "
            f"n_instances={n_instances}; it must be smaller."
        )


def is_rung(n_instances: int, n_warmup_instances: int, reduction_factor: float) -> bool:
    """Return True if growing halving looks at this many instances: k + 1, eta (k + 1), …

    Fractional rungs are rounded up.

    Example:
        >>> from optuna_robust._statistics.elimination import is_rung
        >>> [n for n in range(1, 21) if is_rung(n, 2, 2)]
        [3, 6, 12]
    """
    rung = float(n_warmup_instances + 1)
    while math.ceil(rung) < n_instances:
        rung *= reduction_factor
    return math.ceil(rung) == n_instances


@dataclass(frozen=True, kw_only=True)
class Halving(CriterionRule):
    """Algorithm 1: after every instance past the warm-up, drop the worse half.

    Boldyrev, Ratnikov & Shevelev (2025), doi:10.1109/ACCESS.2025.3578926, Algorithm 1, with the
    median of the scores as threshold (``reduction_factor=2``).

    Args:
        criterion:
            What models are ranked by; see :func:`~optuna_robust.criteria.get_criterion`.
        n_warmup_instances:
            Algorithm 1's k: no elimination on the first k instances.
        n_select:
            Fewest models that are kept.
        reduction_factor:
            One of so many models is kept, rounded up; greater than 1.

    Example:
        >>> from optuna_robust.elimination import Halving
        >>> losses = [[0.2, 0.3], [0.1, 0.9], [0.3, 0.3], [0.5, 0.6]]
        >>> Halving(criterion="mean", n_warmup_instances=1).eliminate(losses).kept
        (0, 2)
    """

    reduction_factor: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_between("reduction_factor", self.reduction_factor, 1.0, math.inf)

    @property
    def name(self) -> str:
        """What users call it."""
        return "halving"

    def _removals(
        self,
        losses: FloatArray,
        ranked: npt.NDArray[np.intp],
        scores: FloatArray,
        p_values: FloatArray,
    ) -> dict[int, Removal]:
        # Boldyrev, Ratnikov & Shevelev (2025), Algorithm 1: the threshold is the median.
        keep = n_kept(len(ranked), self.reduction_factor, self.n_select)
        threshold = float(scores[ranked[keep - 1]])
        return {
            int(model): Removal(self.name, float(scores[model]), threshold, None, int(ranked[0]))
            for model in ranked[keep:]
        }


@dataclass(frozen=True, kw_only=True)
class SequentialHalving(Halving):
    """Halving with growing instances: looks at k + 1, eta (k + 1), eta² (k + 1), … instances.

    Every round costs about the same, so that the finalists get most instances: Karnin, Koren &
    Somekh (2013), Algorithm 1, without discarding the losses of earlier rounds.

    Args:
        criterion:
            As in :class:`Halving`.
        n_warmup_instances:
            k: the first round has k + 1 instances.
        n_select:
            As in :class:`Halving`.
        reduction_factor:
            eta: one of so many models is kept, and instances grow by so much, a round.

    Example:
        >>> from optuna_robust.elimination import SequentialHalving
        >>> rule = SequentialHalving(n_warmup_instances=1)
        >>> [n for n in range(1, 21) if rule.eliminates_at(n)]
        [2, 4, 8, 16]
    """

    @property
    def name(self) -> str:
        """What users call it."""
        return "sequential-halving"

    def eliminates_at(self, n_instances: int) -> bool:
        """Return True if models can be removed after this many instances."""
        # Karnin, Koren & Somekh (2013), Algorithm 1: as many trainings in every round.
        return is_rung(n_instances, self.n_warmup_instances, self.reduction_factor)
