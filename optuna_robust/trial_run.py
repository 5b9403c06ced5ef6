"""What one trial has seen so far, in memory and in the trial's user attributes."""

from __future__ import annotations

from collections.abc import Mapping
import math
from typing import Any
from typing import TYPE_CHECKING

import numpy as np
from optuna.exceptions import TrialPruned

from optuna_robust import trials
from optuna_robust.criteria import FloatArray


if TYPE_CHECKING:
    from optuna.trial import Trial

    from optuna_robust.evaluation import Outcome
    from optuna_robust.judge import Judge


class TrialRun:
    """What one trial has seen so far, in memory and in the trial's user attributes."""

    def __init__(self, trial: Trial, judge: Judge) -> None:
        self.trial = trial
        self.judge = judge
        self._losses: list[float | str | None] = []
        self._seconds: list[float] = []
        self._failures: dict[str, str] = {}
        self._instance_attrs: dict[str, dict[str, Any]] = {}
        self._constraints: dict[str, float] = {}
        # A trial that is retried inherits the attributes of its predecessor.
        inherited = trial.user_attrs
        for name in (trials.FAILURES, trials.INSTANCE_ATTRS, trials.STOPPED):
            if name in inherited:
                trial.set_user_attr(name, {})

    @property
    def n_instances(self) -> int:
        """How many instances there are."""
        return len(self._losses)

    @property
    def n_failures(self) -> int:
        """How many instances failed."""
        return len(self._failures)

    def oriented(self) -> FloatArray:
        """Return the losses to be minimised of the instances that count."""
        return np.array(list(self._by_instance().values()), dtype=np.float64)

    def values(self) -> tuple[float, ...]:
        """Return the values of the trial.

        Raises:
            optuna.TrialPruned: If too few instances succeeded for one of them.
        """
        values = self.judge.values(self.oriented())
        if any(math.isnan(value) for value in values):
            names = ", ".join(criterion.name for criterion in self.judge.criteria)
            self.stop(f"{len(self._by_instance())} losses give no value of {names}")
        return values

    def add(self, outcome: Outcome, loss: float | str | None) -> None:
        """Take the outcome of the next instance, and report it.

        Args:
            outcome:
                What came of the instance.
            loss:
                As it counts in the record; None if it does not.
        """
        number = len(self._losses)
        self._losses.append(loss)
        self._seconds.append(round(outcome.seconds, 6))
        self.trial.set_user_attr(trials.LOSSES, list(self._losses))
        if outcome.user_attrs:
            self._add_user_attrs(number, outcome.user_attrs)
        for key, value in outcome.constraints.items():
            # A model is as feasible as its worst instance.
            self._constraints[key] = max(value, self._constraints.get(key, -math.inf))
        if outcome.failure is not None:
            self._failures[str(number)] = outcome.failure
            self.trial.set_user_attr(trials.FAILURES, dict(self._failures))
        value = self._to_report(number)
        if not math.isnan(value):
            self.trial.report(value, step=number)

    def _add_user_attrs(self, number: int, attrs: Mapping[str, Any]) -> None:
        """Keep an instance's attributes; the last one's also where callbacks and samplers look."""
        self._instance_attrs[str(number)] = dict(attrs)
        self.trial.set_user_attr(trials.INSTANCE_ATTRS, dict(self._instance_attrs))
        for key, value in attrs.items():
            self.trial.set_user_attr(key, value)

    def should_stop(self) -> bool:
        """Ask the study's pruner."""
        if not self.judge.multi_objective:
            return self.trial.should_prune()
        if self.judge.pruner is None:
            return False
        return self.judge.pruner.stops(
            self.trial.study,
            self.trial.number,
            self._by_instance(),
            sign=self.judge.sign,
            recorded=True,
            objectives=self.judge.criteria,
        )

    def stop(self, reason: str) -> None:
        """End the trial as PRUNED, with the reason in its attributes."""
        self.trial.set_user_attr(trials.STOPPED, reason)
        raise TrialPruned(reason)

    def close(self) -> None:
        """Write what is of interest once the trial ends, however it ends."""
        for key, value in self._constraints.items():
            self.trial.set_constraint(key, value)
        if not self._losses:
            return
        self.trial.set_user_attr(trials.SECONDS, self._seconds)
        for name, value in trials.summary_attrs(self._losses, self.judge.sign).items():
            self.trial.set_user_attr(name, value)

    def _to_report(self, number: int) -> float:
        """Return the intermediate value after an instance; NaN if there is none."""
        losses = self._by_instance()
        if self.judge.multi_objective or not losses:
            return math.nan
        if self.judge.reports_losses:
            return self.judge.sign * losses.get(number, math.nan)
        return self.judge.values(self.oriented())[0]

    def _by_instance(self) -> dict[int, float]:
        return trials.oriented_from_record(self._losses, self.judge.sign)
