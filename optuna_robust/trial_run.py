"""What one trial has seen so far, in memory and in the trial's user attributes."""

from __future__ import annotations

from collections.abc import Mapping
import math
from typing import TYPE_CHECKING

import numpy as np
from optuna.exceptions import TrialPruned

from optuna_robust import trials
from optuna_robust.criteria import FloatArray
from optuna_robust.criteria import get_criterion


if TYPE_CHECKING:
    from optuna.trial import Trial

    from optuna_robust.judge import Judge


class TrialRun:
    """What one trial has seen so far, in memory and in the trial's user attributes."""

    def __init__(self, trial: Trial, judge: Judge) -> None:
        self.trial = trial
        self.judge = judge
        self._losses: list[float | str | None] = []
        self._seconds: list[float] = []
        self._failures: dict[str, str] = {}
        self._constraints: dict[str, float] = {}
        # A trial that is retried inherits the attributes of its predecessor.
        inherited = trial.user_attrs
        for name in (trials.FAILURES, trials.INSTANCE_ATTRS, trials.STOPPED):
            if name in inherited:
                trial.set_user_attr(name, {})

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

    def add(self, loss: float | str | None, seconds: float, failure: str | None) -> None:
        """Take the outcome of the next instance, and report it."""
        number = len(self._losses)
        self._losses.append(loss)
        self._seconds.append(round(seconds, 6))
        self.trial.set_user_attr(trials.LOSSES, list(self._losses))
        if failure is not None:
            self._failures[str(number)] = failure
            self.trial.set_user_attr(trials.FAILURES, dict(self._failures))
        value = self._to_report(number)
        if not math.isnan(value):
            self.trial.report(value, step=number)

    def constrain(self, constraints: Mapping[str, float]) -> None:
        """Take the constraints of an instance: a model is as feasible as its worst instance."""
        for key, value in constraints.items():
            self._constraints[key] = max(value, self._constraints.get(key, -math.inf))

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
        self.trial.set_user_attr(trials.N_INSTANCES, len(self._losses))
        losses = self.oriented()
        if not len(losses):
            return
        median = float(get_criterion("median")(losses))
        if math.isfinite(median):
            self.trial.set_user_attr(trials.MEDIAN, self.judge.sign * median)
        spread = float(get_criterion("iqr").score(losses))
        if math.isfinite(spread):
            self.trial.set_user_attr(trials.SPREAD, spread)

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
