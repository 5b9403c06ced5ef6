"""The account of one model's instances, and how it stands in a trial's user attributes."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import math
import sys
from typing import Any
from typing import TYPE_CHECKING

from optuna_robust._instances import trials
from optuna_robust._instances.constraints import Constraints
from optuna_robust._instances.learning_curves import curves_to_json
from optuna_robust._instances.learning_curves import learning_curves_of
from optuna_robust._instances.learning_curves import states_to_json
from optuna_robust._instances.long_attributes import whole


if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from optuna_robust._instances.trained import Trained


@dataclass
class ModelRecord:
    """What came of a model's instances, in their order.

    Attributes:
        losses: As a trial keeps them, see ``trials.LOSSES``; None for one that does not count.
        seconds: How long each took.
        failures: Why instances failed, by instance number.
        failure_kinds: Type and place of these.
        user_attrs: User attributes that instances set, by instance number.
        constraints: A model is as feasible as its worst instance.
        distributions: What the objective suggested from, if the study does not know.
        read_params: Which hyperparameters it read from ``trial.params``; likewise.
        system_attrs: What integrations wrote to a storage that is not the trial's.
        n_reused: Instances that were taken from a store, or from an earlier trial.
        pruned: Why instances were pruned by their epochs, by instance number.
        curves: What instances reported, by instance number and step.
        pruner_states: What the instance pruner noted, by instance number.
    """

    losses: list[float | None] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    user_attrs: dict[int, dict[str, Any]] = field(default_factory=dict)
    constraints: Constraints = field(default_factory=Constraints)
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    read_params: frozenset[str] = frozenset()
    system_attrs: dict[str, Any] = field(default_factory=dict)
    n_reused: int = 0
    pruned: dict[int, str] = field(default_factory=dict)
    curves: dict[int, dict[int, float]] = field(default_factory=dict)
    pruner_states: dict[int, dict[str, Any]] = field(default_factory=dict)
    failure_kinds: dict[int, str] = field(default_factory=dict)
    _worst: int = field(default=-1, init=False)
    _worst_violation: float = field(default=0.0, init=False)

    @classmethod
    def of_trial(cls, trial: FrozenTrial, sign: int) -> ModelRecord:
        """Return the account of an earlier trial; its instances are not trained again.

        A trial of an ordinary objective was trained once: its value is the loss of instance 0.

        Args:
            trial:
                The trial.
            sign:
                -1 if the study maximises, else 1.
        """
        attrs = trial.user_attrs
        recorded = trials.is_recorded(trial)
        losses = whole(attrs, trials.LOSSES) if recorded else trial.values or []
        return cls(
            [trials.recordable(loss, sign) for loss in losses],
            list(whole(attrs, trials.SECONDS, [0.0] * len(losses))),
            _by_number(whole(attrs, trials.FAILURES)),
            _by_number(whole(attrs, trials.INSTANCE_ATTRS)),
            Constraints(
                trials.named_constraints(trial), tuple(trial.system_attrs.get("constraints") or ())
            ),
            n_reused=len(losses),
            pruned=_by_number(whole(attrs, trials.PRUNED_INSTANCES)),
            curves=learning_curves_of(trial),
            pruner_states=_by_number(whole(attrs, trials.PRUNER_STATES)),
            failure_kinds=_by_number(whole(attrs, trials.FAILURE_KINDS)),
        )

    def add(
        self,
        trained: Trained,
        on_failure: str,
        sign: int,
        computed_constraints: Sequence[float] = (),
        on_instance_pruned: str = "worst",
    ) -> None:
        """Take the next instance into account.

        Args:
            trained:
                The instance.
            on_failure:
                ``"worst"`` or ``"drop"``; one whose objective raised TrialPruned never counts.
            sign:
                -1 if the study maximises, else 1.
            computed_constraints:
                Those of the instance that the sampler of a study computes.
            on_instance_pruned:
                What one counts as that its instance pruner stopped: ``"worst"``, or ``"last"``,
                the last value that it reported.
        """
        outcome, number = trained.outcome, len(self.losses)
        loss = outcome.loss
        if outcome.stopped:
            self.pruned[number] = str(outcome.failure)
            curve = outcome.learning_curve
            last = curve[max(curve)] if curve else math.nan
            counts = on_instance_pruned == "last" and math.isfinite(last)
            loss = last if counts else trials.worst_loss(sign)
        elif outcome.failure is not None:
            self.failures[number] = outcome.failure
            self.failure_kinds[number] = str(outcome.kind)
            counts = on_failure == "worst" and not outcome.pruned
            loss = trials.worst_loss(sign) if counts else None
        self.losses.append(loss)
        self.seconds.append(round(outcome.seconds, 6))
        self.n_reused += trained.reused
        if outcome.user_attrs:
            self.user_attrs[number] = outcome.user_attrs
        if outcome.learning_curve:
            self.curves[number] = outcome.learning_curve
        if outcome.pruner_state:
            self.pruner_states[number] = outcome.pruner_state
        self.constraints.add(outcome.constraints, computed_constraints)
        violation = trials.violation_of(computed_constraints)
        if violation >= self._worst_violation:
            self._worst_violation, self._worst = violation, number
        self.distributions = outcome.distributions or self.distributions
        self.read_params |= outcome.read_params
        self.system_attrs.update(outcome.system_attrs)

    def latest_attrs(self) -> dict[str, Any]:
        """Return the user attributes that stand where callbacks and samplers look: the last ones.

        A sampler that computes constraints from them gets those of the worst instance.
        """
        attrs: dict[str, Any] = {}
        for each in self.user_attrs.values():
            attrs.update(each)
        attrs.update(self.user_attrs.get(self._worst, {}))
        attrs.pop(trials.VALUES, None)  # not one that an objective set
        return attrs

    def last(self, sign: int) -> float:
        """Return the last loss, to be minimised; NaN if it does not count."""
        return trials.oriented_from_record(self.losses[-1:], sign).get(0, math.nan)

    def oriented(self, sign: int, objective: int = 0) -> dict[int, float]:
        """Return the losses of an objective that count, to be minimised, by instance number."""
        losses = self.losses
        if objective:
            losses = trials.values_of(losses, _by_name(self.user_attrs), objective)
        return trials.oriented_from_record(losses, sign)

    def running_attrs(self) -> dict[str, Any]:
        """Return the user attributes that a trial has while its instances are trained."""
        attrs: dict[str, Any] = {trials.LOSSES: list(self.losses)}
        if self.failures:
            attrs[trials.FAILURES] = _by_name(self.failures)
            attrs[trials.FAILURE_KINDS] = _by_name(self.failure_kinds)
        if self.pruned:
            attrs[trials.PRUNED_INSTANCES] = _by_name(self.pruned)
        if self.n_reused:
            attrs[trials.N_REUSED] = self.n_reused
        if self.constraints:
            # JSON has no infinity.
            attrs[trials.VIOLATION] = min(self.constraints.violation, sys.float_info.max)
        if self.user_attrs:
            attrs[trials.INSTANCE_ATTRS] = _by_name(self.user_attrs)
            attrs.update(self.latest_attrs())
        return attrs

    def final_attrs(self, sign: int, criterion: float) -> dict[str, Any]:
        """Return the user attributes that a trial gets when it ends.

        Args:
            sign:
                -1 if the study maximises, else 1.
            criterion:
                The criterion of the losses, as the trial's value is or would be; NaN if there is
                none.
        """
        summary = trials.summary_attrs(
            self.losses, sign, n_failures=len(self.failures), criterion=criterion
        )
        attrs: dict[str, Any] = {trials.SECONDS: list(self.seconds), **summary}
        if self.pruned:
            attrs[trials.N_PRUNED] = len(self.pruned)
        if self.curves:
            attrs[trials.LEARNING_CURVES] = curves_to_json(self.curves)
        if self.pruner_states:
            attrs[trials.PRUNER_STATES] = states_to_json(self.pruner_states)
        return attrs


def _by_name(by_number: Mapping[int, Any]) -> dict[str, Any]:
    """Return what is kept of each instance as JSON keeps it."""
    return {str(number): each for number, each in by_number.items()}


def _by_number(by_name: Mapping[str, Any] | None) -> dict[int, Any]:
    return {int(name): each for name, each in (by_name or {}).items()}
