"""What one trial has seen so far, in memory and in the trial's user attributes."""

from __future__ import annotations

from collections.abc import Mapping
import math
from typing import Any
from typing import TYPE_CHECKING

import numpy as np
from optuna.exceptions import TrialPruned

from optuna_robust._base.arrays import FloatArray
from optuna_robust._instances import trials
from optuna_robust._instances.constraints import ComputedConstraints
from optuna_robust._instances.long_attributes import in_parts
from optuna_robust._instances.long_attributes import PREFIX
from optuna_robust._search.model_record import ModelRecord
from optuna_robust._search.pruner import RobustnessPruner


if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial

    from optuna_robust._instances.evaluation import EpochPruning
    from optuna_robust._instances.evaluation import Outcome
    from optuna_robust._instances.trained import Trained
    from optuna_robust._search.objective._judge import Judge


class TrialRun:
    """What one trial has seen so far, in memory and in the trial's user attributes.

    Args:
        trial:
            The study's.
        judge:
            How it is judged.
        epochs:
            How its instances are pruned by their epochs; None: they are not.
    """

    def __init__(self, trial: Trial, judge: Judge, epochs: EpochPruning | None = None) -> None:
        self.trial = trial
        self.judge = judge
        self.epochs = epochs
        self.record = ModelRecord()
        self._oriented: dict[int, float] = {}
        self._written: dict[str, Any] = {}
        self._kept: dict[str, Any] = {}
        self._criterion = math.nan
        # A trial that is retried inherits the attributes of its predecessor.
        inherited = trial.user_attrs
        for name, nothing in (
            (trials.FAILURES, {}),
            (trials.FAILURE_KINDS, {}),
            (trials.PRUNED_INSTANCES, {}),
            (trials.INSTANCE_ATTRS, {}),
            (trials.N_REUSED, 0),
            (trials.STOPPED, {}),
            (trials.VIOLATION, 0.0),
        ):
            if name in inherited:
                trial.set_user_attr(name, nothing)

    def take_over(self, earlier: FrozenTrial) -> None:
        """Go on with the instances of an earlier trial of the same model."""
        self.record = ModelRecord.of_trial(earlier, self.judge.sign)
        self._oriented = self.record.oriented(self.judge.sign)
        self._write(self.record.running_attrs())

    @property
    def n_instances(self) -> int:
        """How many instances there are."""
        return len(self.record.losses)

    @property
    def n_failures(self) -> int:
        """How many instances failed."""
        return len(self.record.failures)

    def oriented(self, objective: int = 0) -> FloatArray:
        """Return the losses to be minimised of the instances that count."""
        losses = self._oriented if objective == 0 else self._by_instance(objective)
        return np.array(list(losses.values()), dtype=np.float64)

    def values(self) -> tuple[float, ...]:
        """Return the values of the trial.

        Raises:
            optuna.TrialPruned: If too few instances succeeded for one of them.
        """
        values = self.judge.values(self._losses())
        if any(math.isnan(value) for value in values):
            names = ", ".join(self.judge.shown_names())
            self.stop(f"{len(self._oriented)} losses give no value of {names}")
        if not self.judge.multi_objective:
            self._criterion = values[0]
        return values

    @property
    def n_pruned(self) -> int:
        """How many instances were pruned by their epochs."""
        return len(self.record.pruned)

    def add(self, trained: Trained, on_failure: str, on_instance_pruned: str) -> None:
        """Take the next instance into account, and report it."""
        number = self.n_instances
        computed = self._computed_constraints(trained.outcome)
        self.record.add(
            trained, on_failure, self.judge.sign, computed, on_instance_pruned=on_instance_pruned
        )
        loss = self.record.last(self.judge.sign)
        if not math.isnan(loss):
            self._oriented[number] = loss
        for key, value in trained.outcome.system_attrs.items():
            self.trial.storage.set_trial_system_attr(self.trial._trial_id, key, value)
        self._write(self.record.running_attrs())
        value = self._to_report(number)
        if not math.isnan(value):
            self.trial.report(value, step=number)

    def _computed_constraints(self, outcome: Outcome) -> tuple[float, ...]:
        """Return the constraints of an instance that the study's sampler computes."""
        computed = ComputedConstraints(self.trial.study)
        if not computed:
            return ()
        return computed.of(
            self.trial.params, outcome, self.record.latest_attrs(), self.trial.distributions
        )

    def _write(self, attrs: Mapping[str, Any]) -> None:
        """Write what has changed: in a database each attribute is a transaction."""
        for name, value in attrs.items():
            if name not in self._written or self._written[name] != value:
                self._written[name] = value
                for key, part in self._in_parts(name, value).items():
                    self.trial.set_user_attr(key, part)

    def _in_parts(self, name: str, value: Any) -> dict[str, Any]:
        if not name.startswith(PREFIX):  # the objective's own, which it reads itself
            return {name: value}
        parts = in_parts(name, value, self._kept.get(name))
        self._kept[name] = parts[name]
        return parts

    def should_stop(self) -> bool:
        """Ask the study's pruner."""
        pruner = self.judge.pruner
        if not self.judge.multi_objective:
            if type(pruner) is not RobustnessPruner or pruner is not self.trial.study.pruner:
                return self.trial.should_prune()
            # As it would read from the trial, without a copy of it.
            return pruner.stops(
                self.trial.study,
                self.trial.number,
                self._oriented,
                sign=self.judge.sign,
                recorded=True,
                params=self.trial.params if pruner.tests_incumbent else None,
                violation=self.record.constraints.violation,
            )
        if pruner is None:
            return False
        return pruner.stops(
            self.trial.study,
            self.trial.number,
            self._oriented,
            sign=self.judge.sign,
            recorded=True,
            objectives=self.judge.criteria,
            violation=self.record.constraints.violation,
            further=[
                (sign, self._by_instance(objective))
                for objective, sign in enumerate(self.judge.signs)
                if objective
            ],
        )

    def stop(self, reason: str) -> None:
        """End the trial as PRUNED, with the reason in its attributes."""
        self.trial.set_user_attr(trials.STOPPED, reason)
        raise TrialPruned(reason)

    def close(self) -> None:
        """Write what is of interest once the trial ends, however it ends."""
        for key, value in self.record.constraints.named.items():
            self.trial.set_constraint(key, value)
        if self.n_instances:
            self._write(self.record.final_attrs(self.judge.sign, self._criterion))

    def _to_report(self, number: int) -> float:
        """Return the intermediate value after an instance; NaN if there is none."""
        if self.judge.multi_objective or not self._oriented:
            return math.nan
        if self.judge.reports_losses:
            return self.judge.sign * self._oriented.get(number, math.nan)
        self._criterion = self.judge.values(self._losses())[0]
        return self._criterion

    def _losses(self) -> list[FloatArray]:
        return [self.oriented(objective) for objective in range(len(self.judge.signs))]

    def _by_instance(self, objective: int) -> dict[int, float]:
        return self.record.oriented(self.judge.signs[objective], objective)
