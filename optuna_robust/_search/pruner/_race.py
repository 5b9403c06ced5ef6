"""The race, one trial at a time: may this trial still be as good as the best one?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from optuna_robust._base.arguments import check_count
from optuna_robust._base.arrays import FloatArray
from optuna_robust._search.pruner._finished_trials import FinishedTrials
from optuna_robust._search.pruner._informed import InformedTrials
from optuna_robust._statistics.comparison import criterion_posterior
from optuna_robust._statistics.comparison import tells_noise
from optuna_robust._statistics.criteria import check_min_instances
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import rank_models


# The latest trials that tell the noise and how good models are: so many bound the cost of a call.
_N_TRIALS = 256
# Relative: two criteria are tied that differ by the rounding of imputed losses.
_TIE = 1e-9


@dataclass(frozen=True)
class Field:
    """What a trial is judged in.

    Attributes:
        losses: Oriented losses, shape ``(n_trials, n_instances)``; NaN = not trained. The last
            row but one is the trial that is judged, the last one a trial that was not tried.
        best: Criterion of the best fully evaluated trial.
        n_instances: How many instances a trial shall have.
        common_instances: Whether instance j is the same for all trials.
        instances: The trial's instance numbers, those of the first columns.
        is_behind: Whether the trial violates its constraints more than the best one.
    """

    losses: FloatArray
    best: float
    n_instances: int
    common_instances: bool
    instances: tuple[int, ...]
    is_behind: bool


@dataclass(frozen=True)
class TrialRace:
    """Stops a trial that is unlikely to be as good as the best one.

    Attributes:
        criterion: What trials are judged by.
        alpha: A trial is stopped if it has less than this share of the chance of a new one.
        tolerance: How much worse than the best a trial may be.
        n_instances: How many instances a trial shall have. None: as many as a COMPLETE trial has.
        n_startup_trials: How many COMPLETE trials must have the instances.
        n_warmup_instances: How many first instances are not looked at.
    """

    criterion: Criterion
    alpha: float
    tolerance: float
    n_instances: int | None
    n_startup_trials: int
    n_warmup_instances: int

    def __post_init__(self) -> None:
        if self.n_instances is None:
            return
        check_count("n_instances", self.n_instances, minimum=1)
        check_min_instances(self.criterion, self.n_instances)
        if self.n_warmup_instances >= self.n_instances:
            raise ValueError(
                f"n_warmup_instances={self.n_warmup_instances} leaves nothing to prune of "
                f"n_instances={self.n_instances}; it must be smaller."
            )

    def field(
        self,
        finished: FinishedTrials,
        instances: tuple[int, ...],
        values: FloatArray,
        *,
        n_instances: int | None,
        common_instances: bool,
        violation: float,
        recorded: bool,
    ) -> Field | None:
        """Return what a trial is judged in, or None if it cannot be judged, or has all instances.

        Args:
            finished:
                The finished trials.
            instances:
                The trial's instance numbers, ascending.
            values:
                Its oriented losses of these instances.
            n_instances:
                As the attribute; a study may know better.
            common_instances:
                Whether instance j is the same for all trials.
            violation:
                By how much the trial violates its constraints. Its rivals are the COMPLETE trials
                that violate theirs least, and not more than it; a feasible trial is judged by
                feasible ones alone.
            recorded:
                Leave out trials whose intermediate values would have to be taken as losses.
        """
        violations = finished.violations()
        compared = finished.compared(recorded=recorded)
        if violation == 0.0:
            compared &= violations == 0.0
        n_run = finished.n_run()
        rivals = compared & (violations <= violation)
        scores = np.where(rivals, finished.complete_scores(self.criterion), np.nan)
        full = ~np.isnan(scores)
        if n_instances is None:
            n_instances = int(n_run[full].max(initial=0))
        full &= n_run >= n_instances
        n_startup = np.count_nonzero(full & finished.has(instances))
        if len(instances) >= n_instances or n_startup < max(self.n_startup_trials, 1):
            return None
        least = float(violations[full].min())
        best = rank_models(np.where(full & (violations == least), scores, np.nan))[:1]
        rows = np.union1d(np.flatnonzero(compared)[-_N_TRIALS:], best)
        losses = finished.losses(rows, instances)
        own = np.full((2, losses.shape[1]), np.nan)
        own[0, : len(values)] = values
        return Field(
            np.vstack([losses, own]),
            float(scores[best[0]]),
            n_instances,
            common_instances,
            instances,
            is_behind=least < violation,
        )

    def is_out(
        self,
        field: Field,
        informed: InformedTrials | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> bool:
        """Return True if the trial should be stopped.

        The ratio of its chance to that of an untried trial is that of what it showed, if it is as
        good as the best, to what it showed in any case. So it falls below alpha with a probability
        of no more than alpha for such a trial, over all looks together (Ville 1939). What the
        trial showed includes its hyperparameters, if they inform: the untried trial has unknown
        ones.

        Args:
            field:
                What the trial is judged in.
            informed:
                What the hyperparameters of finished trials say.
            params:
                The trial's hyperparameters.
        """
        if field.is_behind:  # and further instances cannot make it feasible
            return True
        posterior = None
        if informed is not None:
            own_losses = dict(zip(field.instances, field.losses[-2], strict=False))
            posterior = informed.posterior(
                params or {}, own_losses, self.criterion, field.n_instances
            )
        if posterior is None and not tells_noise(
            field.losses, common_instances=field.common_instances
        ):
            return False
        if posterior is None:
            posterior = criterion_posterior(
                field.losses,
                self.criterion,
                field.n_instances,
                common_instances=field.common_instances,
                models=[len(field.losses) - 2, len(field.losses) - 1],
            )
        limit = field.best + self.tolerance
        own, untried = posterior.probability_below(limit + _TIE * abs(limit))
        return bool(own < self.alpha * untried)
