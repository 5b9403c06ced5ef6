"""Pruning by epochs: an Optuna pruner that judges an instance by those of other trials."""

from __future__ import annotations

from collections.abc import Mapping
import copy
from dataclasses import dataclass
from dataclasses import field
import logging
from typing import Any
from typing import TYPE_CHECKING

import optuna
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import create_trial
from optuna.trial import TrialState

from optuna_robust._instances.learning_curves import rounded


if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.study import Study
    from optuna.trial import Trial


_NAME = "robust:instances"
# HyperbandPruner chooses an instance's bracket by its number, so that it must not change. Numbers
# begin again after so many, since there is a trial for each.
_N_NUMBERS = 1024


@dataclass(frozen=True)
class PastInstance:
    """An instance that others are compared with.

    Attributes:
        number: Among all instances of a study.
        curve: What it reported, by step.
        loss: None if it was pruned.
        state: What the pruner noted about it.
    """

    number: int
    curve: Mapping[int, float]
    loss: float | None = None
    state: Mapping[str, Any] = field(default_factory=dict)


def number_among_instances(trial: int, n_instances: int, instance: int) -> int:
    """Return the number of an instance among all instances of a study."""
    return (trial * n_instances + instance) % _N_NUMBERS


@dataclass(frozen=True)
class EpochPruning:
    """How the instances of one trial are pruned.

    What comes of an instance depends on nothing else, so that it is the same in any process.

    Attributes:
        pruner: Judges; each instance has a copy.
        direction: Which way of what is reported is better.
        trial: Number of the trial.
        n_instances: Instances of every model.
        past: The instances of trials that ended before this one began.
        by_number: Whether the pruner looks at the numbers of instances.
    """

    pruner: BasePruner
    direction: StudyDirection
    trial: int
    n_instances: int
    past: tuple[PastInstance, ...]
    by_number: bool = False

    def begin(self, instance: int) -> InstanceEpochs:
        """Return what judges an instance that begins."""
        return InstanceEpochs(self, instance)

    def trial_of(self, instance: int) -> Trial:
        """Return a trial for an instance, in a study of past instances."""
        study = optuna.create_study(
            study_name=_NAME,
            direction=self.direction,
            sampler=RandomSampler(),
            pruner=copy.deepcopy(self.pruner),
        )
        if self.by_number:
            number = number_among_instances(self.trial, self.n_instances, instance)
            _fill(study, {each.number: each for each in self.past}, number)
        else:
            for each in self.past:
                _add(study, each)
        return study.ask()


class InstanceEpochs:
    """The epochs of one instance, as its pruner sees them.

    Attributes:
        stopped_by: Why the pruner stopped the instance; None if it did not.
    """

    def __init__(self, pruning: EpochPruning, instance: int) -> None:
        self._pruning = pruning
        self._instance = instance
        self._trial: Trial | None = None
        self._unread: dict[int, float] = {}
        self._last_step = -1
        self.stopped_by: str | None = None

    def report(self, value: float, step: int) -> None:
        """Take a point of the instance's learning curve into account."""
        self._unread[step] = rounded(value)  # as past instances are kept
        self._last_step = max(step, self._last_step)

    def should_prune(self) -> bool:
        """Ask the pruner."""
        if self._trial is None:
            self._trial = self._pruning.trial_of(self._instance)
        for step, value in self._unread.items():
            self._trial.report(value, step)
        self._unread = {}
        prunes = self._trial.should_prune()
        if prunes:
            pruner = type(self._pruning.pruner).__name__
            self.stopped_by = f"{pruner} stopped it at step {self._last_step}"
        return prunes

    @property
    def state(self) -> dict[str, Any]:
        """What the pruner noted about the instance, to compare others with it."""
        if self._trial is None:
            return {}
        return dict(self._trial.study.get_trials(deepcopy=False)[self._trial.number].system_attrs)


def _fill(study: Study, past: Mapping[int, PastInstance], number: int) -> None:
    """Add past instances under their numbers, and a trial that waits for the next one."""
    for each in range(max([number, *past]) + 1):
        if each == number:
            study.add_trial(create_trial(state=TrialState.WAITING))
        elif each in past:
            _add(study, past[each])
        else:
            study.add_trial(create_trial(state=TrialState.FAIL))


def _add(study: Study, past: PastInstance) -> None:
    study.add_trial(
        create_trial(
            state=TrialState.PRUNED if past.loss is None else TrialState.COMPLETE,
            value=past.loss,
            intermediate_values=dict(past.curve),
            system_attrs=dict(past.state),
        )
    )


def _is_of_users(record: logging.LogRecord) -> bool:
    return _NAME not in record.getMessage()


# Optuna tells of every study that it creates; these are not the user's.
logging.getLogger("optuna.storages._in_memory").addFilter(_is_of_users)
