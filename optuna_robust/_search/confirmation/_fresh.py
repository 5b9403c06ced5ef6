"""Fresh instances of the models that are confirmed: trained, or known before."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any
from typing import TYPE_CHECKING

import numpy as np

from optuna_robust._base.arrays import FloatArray
from optuna_robust._instances.constraints import ComputedConstraints
from optuna_robust._instances.constraints import Constraints
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._instances.evaluation import own_choices
from optuna_robust._search.confirmation._candidates import Candidate


if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from optuna_robust._running.parallel import InstancePool


class Fresh:
    """Fresh instances of the candidates.

    Args:
        candidates:
            The models.
        sign:
            -1 if losses are turned round to be minimised, else 1.
        drops:
            Whether failures are left out.
        known:
            Instances that need not be trained, by model key and number.
        computed:
            Constraints that the sampler of a study computes.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        sign: int,
        *,
        drops: bool,
        known: Mapping[tuple[str, int], Outcome],
        computed: ComputedConstraints,
    ) -> None:
        self._candidates = candidates
        self._sign = sign
        self._known = known
        self.outcomes: dict[tuple[str, int], Outcome] = {}
        self._losses: list[list[float]] = [[] for _ in candidates]
        self._computed = computed
        self._constraints = [Constraints() for _ in candidates]
        self._user_attrs: list[dict[str, Any]] = [{} for _ in candidates]
        self._distributions: list[dict[str, BaseDistribution]] = [{} for _ in candidates]
        self.drops = drops
        self.failures: dict[int, dict[int, str]] = {}
        self.kinds: list[str] = []
        self.n_trainings, self.n_reused, self.seconds = 0, 0, 0.0

    @property
    def n_instances(self) -> int:
        """How many instances each candidate has."""
        return len(self._losses[0])

    def oriented(self) -> FloatArray:
        """Return the losses to be minimised, shape ``(n_models, n_instances)``."""
        return np.array(self._losses, dtype=np.float64)

    def violations(self) -> FloatArray:
        """Return by how much the models violate their constraints, shape ``(n_models,)``."""
        return np.array([constraints.violation for constraints in self._constraints])

    def params(self, row: int) -> dict[str, Any]:
        """Return a candidate's hyperparameters, with the objective's own choices."""
        return own_choices(self._candidates[row].params, self._distributions[row])

    def train(self, jobs: list[tuple[int, Job]], pool: InstancePool) -> Iterator[Outcome]:
        """Train instances, each with the row of its candidate, or take those that are known."""
        trained = iter(pool.train([job for _, job in jobs if _key(job) not in self._known]))
        for row, job in jobs:
            if (outcome := self._known.get(_key(job))) is None:
                each = next(trained)
                outcome, reused = each.outcome, each.reused
            else:
                reused = True
            self.outcomes[_key(job)] = outcome
            self.n_reused += reused
            self.n_trainings += not reused
            self.seconds += outcome.seconds
            self._constrain(row, outcome)
            self._distributions[row].update(outcome.distributions)
            loss, number = outcome.loss, job.instance.number
            if loss is None:
                self.failures.setdefault(row, {})[number] = str(outcome.failure)
                self.kinds.append(str(outcome.kind))
                self._losses[row].append(math.nan if self.drops else math.inf)
            else:
                self._losses[row].append(self._sign * loss)
            yield outcome

    def _constrain(self, row: int, outcome: Outcome) -> None:
        candidate, attrs = self._candidates[row], self._user_attrs[row]
        computed = self._computed.of(candidate.params, outcome, attrs, candidate.distributions)
        self._constraints[row].add(outcome.constraints, computed)
        attrs.update(outcome.user_attrs)


def usable(
    outcomes: Mapping[tuple[str, int], Outcome], on_failure: str
) -> dict[tuple[str, int], Outcome]:
    """Return what need not be trained again: not what failed, if failures are errors."""
    return {
        key: outcome
        for key, outcome in outcomes.items()
        if outcome.failure is None or on_failure != "raise"
    }


def _key(job: Job) -> tuple[str, int]:
    key, _, number, _ = job.key
    return key, number
