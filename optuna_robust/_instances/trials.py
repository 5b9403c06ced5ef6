"""From Optuna trials to losses: the one place that knows how a trial holds its instances.

Losses here are oriented (smaller is better) and keyed by instance number.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import math
import re
import sys
from typing import Any
from typing import TYPE_CHECKING

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import TrialState

from optuna_robust._base.arrays import FloatArray
from optuna_robust._base.wording import counted
from optuna_robust._instances.failures import kind_of
from optuna_robust._instances.long_attributes import whole
from optuna_robust._statistics.criteria import get_criterion


if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


# User attributes of a trial. Losses are a list of numbers over instance numbers, as the objective
# returned them. Null is an instance that does not count. JSON has no infinity, which only Python
# reads back: one that counts as the worst has the largest float there is,
# 1.7976931348623157e308, negative in a study that maximises; see :func:`worst_loss`.
LOSSES = "robust:losses"
SECONDS = "robust:seconds"
FAILURES = "robust:failures"
# Type and place of these, such as "ValueError at train.py:12".
FAILURE_KINDS = "robust:failure_kinds"
INSTANCE_ATTRS = "robust:instance_attrs"
# Instances that were pruned by their epochs, and why; what instances reported.
PRUNED_INSTANCES = "robust:pruned_instances"
LEARNING_CURVES = "robust:learning_curves"
# What instance pruners noted, by instance number.
PRUNER_STATES = "robust:pruner_states"
STOPPED = "robust:stopped"
N_INSTANCES = "robust:n_instances"
# How many of them were taken from a store.
N_REUSED = "robust:n_reused"
# In an instance's attributes: the values after the first of an objective that returns several.
VALUES = "robust:values"
# Scalars, by which the dashboard sorts.
N_FAILURES = "robust:n_failures"
N_PRUNED = "robust:n_pruned"
CRITERION = "robust:criterion"
MEDIAN = "robust:median"
SPREAD = "robust:spread"
# By how much the instances so far violate their constraints in all. Optuna keeps a constraint as
# it was set first, so that a trial gets its constraints when it ends; pruners ask before.
VIOLATION = "robust:violation"
# The store's id of the trial's worker.
WORKER = "robust:worker"
# The number of the trial that it goes on with: a dead one, or an earlier one of the same model.
CONTINUES = "robust:continues"
# Host, process id and start time of the process that runs a trial of a robust search.
PROCESS = "robust:process"
# Ctrl-C ended the trial, or its process died.
INTERRUPTED = "robust:interrupted"
# The key of a model that a selection added.
MODEL = "robust:model"
# User attributes of a study.
SETTINGS = "robust:settings"
CONFIRMATION = "robust:confirmation"
# Which objective it is of, and the fresh instances that it was made of, without a store.
CONFIRMED_BY = "robust:confirmed_by"
FRESH = "robust:fresh_instances"
# Numbers of the trials that have notes of ours in the dashboard.
FINALISTS = "robust:finalists"

_BY_PRUNER = re.compile(r"\w+ stopped it after \d+ instances?\.")
_CONSTRAINT = "constraints:"  # Trial.set_constraint keeps them so


def is_recorded(trial: FrozenTrial) -> bool:
    """Return True if a trial's instances were run by ``MultiInstanceObjective``."""
    return LOSSES in trial.user_attrs


def has_several_values(trial: FrozenTrial) -> bool:
    """Return True if the losses of a recorded trial are the first of several values."""
    by_instance: dict[str, dict[str, Any]] = whole(trial.user_attrs, INSTANCE_ATTRS, {})
    return any(VALUES in attrs for attrs in by_instance.values())


def oriented_losses(trial: FrozenTrial, sign: int, objective: int = 0) -> dict[int, float]:
    """Return the losses of a trial's instances, to be minimised.

    Without recorded losses, intermediate values are taken as losses and steps as instance
    numbers. A failed instance, and a loss that is NaN or infinite, is ``+inf``; dropped instances
    are left out.

    Args:
        trial:
            Any trial.
        sign:
            -1 if the study maximises, else 1.
        objective:
            Which of several values that an objective returns; NaN where it returned one.
    """
    if is_recorded(trial):
        losses = whole(trial.user_attrs, LOSSES)
        if objective:
            losses = values_of(losses, whole(trial.user_attrs, INSTANCE_ATTRS, {}), objective)
        return oriented_from_record(losses, sign)
    return {
        step: sign * value if math.isfinite(value) else math.inf
        for step, value in trial.intermediate_values.items()
    }


def worst_loss(sign: int) -> float:
    """Return the loss that the user attribute ``robust:losses`` has for a failed instance.

    Example:
        >>> from optuna_robust._instances.trials import worst_loss
        >>> worst_loss(1)
        1.7976931348623157e+308

    Args:
        sign:
            -1 if the study maximises, else 1.
    """
    return sign * sys.float_info.max


def is_worst(loss: float | str) -> bool:
    """Return True if a loss of ``robust:losses`` is that of a failed instance.

    Version 0.1.0 wrote the string ``"worst"``.
    """
    return isinstance(loss, str) or abs(loss) >= sys.float_info.max


def recordable(loss: float | str | None, sign: int) -> float | None:
    """Return a loss as ``robust:losses`` holds it; None for one that does not count."""
    if loss is None:
        return None
    return worst_loss(sign) if is_worst(loss) or math.isnan(float(loss)) else float(loss)


def oriented_from_record(losses: Sequence[float | str | None], sign: int) -> dict[int, float]:
    """Return the losses of the user attribute ``robust:losses``, to be minimised."""
    return {
        number: math.inf if is_worst(loss) else sign * float(loss)
        for number, loss in enumerate(losses)
        if loss is not None
    }


def recorded_losses(trial: FrozenTrial) -> list[float | None] | None:
    """Return ``robust:losses``, infinite where an instance failed; None if there are none.

    None in the list stands for an instance that does not count.
    """
    if not is_recorded(trial):
        return None
    return [
        None if loss is None else _infinite_if_worst(loss)
        for loss in whole(trial.user_attrs, LOSSES)
    ]


def _infinite_if_worst(loss: float | str) -> float:
    if isinstance(loss, str):
        return math.inf
    return math.copysign(math.inf, loss) if is_worst(loss) else loss


def failure_kinds(trial: FrozenTrial) -> list[str]:
    """Return the kind of each failure of a trial's instances, as far as it is known."""
    reasons = whole(trial.user_attrs, FAILURES, {})
    kinds = whole(trial.user_attrs, FAILURE_KINDS, {})
    return [str(kinds.get(number, kind_of(str(reasons[number])))) for number in reasons]


def values_of(
    losses: Sequence[float | str | None],
    instance_attrs: Mapping[str, Mapping[str, Any]],
    objective: int,
) -> list[float | None]:
    """Return what instances have of an objective after the first, as ``robust:losses`` has it."""
    found: list[float | None] = []
    for number, loss in enumerate(losses):
        others = instance_attrs.get(str(number), {}).get(VALUES, ())
        value = others[objective - 1] if objective <= len(others) else math.nan
        if loss is None or is_worst(loss):
            value = None if loss is None else worst_loss(1)
        found.append(value)
    return found


def summary_attrs(
    losses: Sequence[float | str | None], sign: int, *, n_failures: int, criterion: float
) -> dict[str, float]:
    """Return the scalar user attributes that sum up a trial's instances.

    Those that are not finite are left out.

    Args:
        losses:
            The user attribute ``robust:losses``.
        sign:
            -1 if the study maximises, else 1.
        n_failures:
            How many of the instances failed.
        criterion:
            Their criterion, as the trial's value is or would be; NaN if there is none.
    """
    oriented = np.array(list(oriented_from_record(losses, sign).values()), dtype=np.float64)
    found = {CRITERION: criterion}
    if len(oriented):
        found[MEDIAN] = sign * float(get_criterion("median")(oriented))
        found[SPREAD] = float(get_criterion("iqr").score(oriented))
    return {
        N_INSTANCES: len(losses),
        N_FAILURES: n_failures,
        **{name: value for name, value in found.items() if math.isfinite(value)},
    }


def complete_trials(study: Study) -> list[FrozenTrial]:
    """Return a study's complete and feasible trials, the best first, one of each model.

    Raises:
        ValueError: If the study has several objectives.
    """
    if len(study.directions) > 1:
        raise ValueError(
            "A study with several objectives has no best trials; give the models as a list, such "
            "as [trial.params for trial in study.best_trials]."
        )
    found = study.get_trials(deepcopy=False)
    continued = continued_numbers(found)
    trials = [
        trial
        for trial in found
        if trial.state == TrialState.COMPLETE
        and trial.number not in continued
        and trial.value is not None
        and not math.isnan(trial.value)
        and is_feasible(trial)
    ]
    maximise = study.direction == StudyDirection.MAXIMIZE
    return sorted(trials, key=lambda trial: -trial.values[0] if maximise else trial.values[0])


def by_pruner(name: str, n_instances: int) -> str:
    """Return why a trial was stopped, if a pruner did so after some instances."""
    return f"{name} stopped it after {counted(n_instances, 'instance')}."


def is_given_up(trial: FrozenTrial) -> bool:
    """Return True if a trial's model shall not be trained on: it fails, or pruned itself.

    A pruner compares models as far as they are known; later it might not stop this one.
    """
    reason = trial.user_attrs.get(STOPPED)
    return bool(reason) and _BY_PRUNER.fullmatch(str(reason)) is None


def is_constraint(system_attr: str) -> bool:
    """Return True if a system attribute holds a constraint, or all that were computed."""
    return system_attr == "constraints" or system_attr.startswith(_CONSTRAINT)


def named_constraints(trial: FrozenTrial) -> dict[str, float]:
    """Return the constraints that an objective set, not those that a sampler computed."""
    attrs = trial.system_attrs
    return {
        key.removeprefix(_CONSTRAINT): attrs[key] for key in attrs if key.startswith(_CONSTRAINT)
    }


def is_feasible(trial: FrozenTrial) -> bool:
    """Return True if a trial meets all the constraints that it has."""
    return total_violation(trial) == 0.0


def total_violation(trial: FrozenTrial) -> float:
    """Return by how much a trial violates its constraints in all; 0 if it is feasible."""
    constraints = getattr(trial, "constraints", None)
    if constraints is not None:
        return violation_of(constraints.values())
    return violation_of(trial.system_attrs.get("constraints") or ())  # Optuna 4


def violation_so_far(trial: FrozenTrial) -> float:
    """Return by how much an unfinished trial violates its constraints, as far as it is known."""
    return max(total_violation(trial), float(trial.user_attrs.get(VIOLATION, 0.0)))


def violation_of(constraints: Iterable[float]) -> float:
    """Return by how much constraints are violated in all: the sum of those above zero."""
    return math.fsum(value for value in constraints if value > 0.0)


def comparable_trials(study: Study) -> list[FrozenTrial]:
    """Return a study's COMPLETE and PRUNED trials whose losses can be compared, in their order.

    If the instances of any were recorded, trials of another objective are left out. Of a model
    that selections added twice, or that a robust search went on with, the latest trial counts.
    """
    found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    if any(map(is_recorded, found)):
        found = [trial for trial in found if is_recorded(trial)]
    continued = continued_numbers(found, study.get_trials(deepcopy=False))
    found = [trial for trial in found if trial.number not in continued]
    latest = {
        trial.user_attrs[MODEL]: trial.number for trial in found if MODEL in trial.user_attrs
    }
    return [
        trial
        for trial in found
        if latest.get(trial.user_attrs.get(MODEL), trial.number) == trial.number
    ]


def continued_numbers(
    found: Sequence[FrozenTrial], everything: Sequence[FrozenTrial] = ()
) -> set[int]:
    """Return the numbers of the trials whose instances another trial of their model has, too.

    Of each model, one trial is left: the first of those with the most instances, rather one that
    did not fail.

    Args:
        found:
            Trials of a study.
        everything:
            All its trials; not needed if these are all.
    """
    by_number = {trial.number: trial for trial in everything or found}
    left: dict[int, FrozenTrial] = {}
    for trial in found:
        first = _first_number(trial, by_number)
        other = left.get(first)
        if other is None or _says_more(trial, other):
            left[first] = trial
    return {trial.number for trial in found} - {trial.number for trial in left.values()}


def _says_more(trial: FrozenTrial, other: FrozenTrial) -> bool:
    one, two = ((_n_known(each), each.state != TrialState.FAIL) for each in (trial, other))
    return one > two


def _first_number(trial: FrozenTrial, by_number: Mapping[int, FrozenTrial]) -> int:
    """Return the number of the trial with which a trial's model began."""
    seen = {trial.number}
    while True:
        before: int | None = trial.user_attrs.get(CONTINUES)
        if before is None or before in seen or before not in by_number:
            return trial.number
        trial = by_number[before]
        seen.add(before)


def _n_known(trial: FrozenTrial) -> int:
    """Return how many losses of a trial's model are known from it; -1 of an unfinished one."""
    if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or is_recorded(trial):
        return n_instances_of(trial)
    return -1


def losses_matrix(trials: Sequence[FrozenTrial], sign: int) -> tuple[tuple[int, ...], FloatArray]:
    """Return the losses of trials, to be minimised, as a matrix.

    As :func:`oriented_losses`. A COMPLETE trial with neither a record nor intermediate values was
    trained once, and its value is the loss of instance 0.

    Args:
        trials:
            The trials.
        sign:
            -1 if the study maximises, else 1.

    Returns:
        The instance numbers, ascending, and the losses, shape ``(n_trials, n_numbers)``; NaN where
        an instance was not trained or dropped.
    """
    losses = [_losses_or_value(trial, sign) for trial in trials]
    numbers = tuple(sorted({number for each in losses for number in each}))
    column = {number: j for j, number in enumerate(numbers)}
    matrix = np.full((len(trials), len(numbers)), np.nan)
    for row, each in zip(matrix, losses, strict=True):
        for number, loss in each.items():
            row[column[number]] = loss
    return numbers, matrix


def _losses_or_value(trial: FrozenTrial, sign: int) -> dict[int, float]:
    losses = oriented_losses(trial, sign)
    values = trial.values or []
    if losses or is_recorded(trial) or trial.state != TrialState.COMPLETE or len(values) != 1:
        return losses
    return {0: sign * values[0] if math.isfinite(values[0]) else math.inf}


def n_instances_of(trial: FrozenTrial) -> int:
    """Return how many instances a trial has; one for any ordinary finished trial."""
    if is_recorded(trial):
        return len(whole(trial.user_attrs, LOSSES))
    return int(trial.state.is_finished())


def n_trainings(trial: FrozenTrial) -> int:
    """Return how many of a trial's instances were trained, not taken from a store."""
    if is_recorded(trial):
        return n_instances_of(trial) - int(trial.user_attrs.get(N_REUSED, 0))
    return n_instances_of(trial)


def n_spent_by(found: Sequence[FrozenTrial], *, count_reused: bool = False) -> int:
    """Return how many instances all trials of a study trained.

    Args:
        found:
            The trials.
        count_reused:
            Count instances that were taken from a store, too.
    """
    continued = continued_numbers(found)
    if count_reused:
        return sum(n_instances_of(trial) for trial in found if trial.number not in continued)
    return sum(
        n_trainings(trial)
        for trial in found
        if is_recorded(trial)
        or trial.number not in continued
        or trial.state == TrialState.COMPLETE  # of another objective
    )


def n_reused_by(found: Sequence[FrozenTrial]) -> int:
    """Return how many instances the models of all trials of a study took from a store.

    What a trial takes over from a finished one of its model, that one trained or took.
    """
    continued = continued_numbers(found)
    taken = sum(
        int(trial.user_attrs.get(N_REUSED, 0)) for trial in found if trial.number not in continued
    )
    trained_before = sum(
        n_trainings(trial)
        for trial in found
        if trial.number in continued and trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    )
    return max(taken - trained_before, 0)
