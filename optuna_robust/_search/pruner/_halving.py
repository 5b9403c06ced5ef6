"""Asynchronous halving: is a trial in the better part of those that got so far?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optuna_robust._base.arrays import FloatArray
from optuna_robust._search.pruner._finished_trials import FinishedTrials
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion
from optuna_robust._statistics.criteria import is_better
from optuna_robust._statistics.elimination import n_kept


@dataclass(frozen=True)
class TrialHalving:
    """Stops a trial that is not in the better part of those before it.

    Attributes:
        reduction_factor: One of so many trials goes on.
        n_recent_trials: Among so many trials before it; None: among all.
        n_startup_trials: How many COMPLETE trials must have the instances.
    """

    reduction_factor: float
    n_recent_trials: int | None
    n_startup_trials: int

    def is_out(
        self,
        finished: Sequence[FinishedTrials],
        instances: tuple[int, ...],
        values: Sequence[FloatArray],
        criteria: Sequence[Criterion],
        *,
        violation: float,
        recorded: bool,
    ) -> bool:
        """Return True if a trial with these losses should be stopped.

        Args:
            finished:
                The finished trials, with the losses that each criterion judges.
            instances:
                The trial's instance numbers, ascending.
            values:
                Its oriented losses of these instances, those that each criterion judges.
            criteria:
                One; several count the trials that dominate this one (Fonseca & Fleming 1993).
            violation:
                By how much it violates its constraints. A feasible trial is ranked among feasible
                ones; one that is not is behind all that violate theirs less.
            recorded:
                Leave out trials whose intermediate values would have to be taken as losses.
        """
        if np.count_nonzero(finished[0].complete()) < self.n_startup_trials:
            return False
        criteria = [_defined(criterion, len(instances)) for criterion in criteria]
        others = np.stack(
            [
                each.scores(instances, criterion, recorded=recorded)
                for each, criterion in zip(finished, criteria, strict=True)
            ],
            axis=1,
        )
        own = np.array([float(c.score(v)) for c, v in zip(criteria, values, strict=True)])
        violations = finished[0].violations()
        comparable = ~np.isnan(others).any(axis=1) & ((violation > 0.0) | (violations == 0.0))
        n_complete = np.count_nonzero(comparable & finished[0].complete())
        if n_complete < self.n_startup_trials or np.isnan(own).any():
            return False
        recent = np.flatnonzero(comparable)[-(self.n_recent_trials or len(others)) :]
        others, violations = others[recent], violations[recent]
        alike = violations == violation
        no_worse = (violations < violation) | (alike & ~is_better(own, others).any(axis=1))
        tied = no_worse & alike & ~is_better(others, own).any(axis=1)
        # Ties count half: coarse metrics tie often, and earlier trials must not shut out all
        # later ones that are as good.
        ahead = np.count_nonzero(no_worse) - 0.5 * np.count_nonzero(tied)
        return bool(ahead >= n_kept(len(recent) + 1, self.reduction_factor))


def _defined(criterion: Criterion, n_instances: int) -> Criterion:
    """Return what to rank by where too few instances define a criterion of level and spread."""
    if criterion.kind == "mixed" and n_instances < criterion.min_instances:
        return get_criterion("mean")
    return criterion
