"""Trials that were interrupted: other trials go on with them, from the store."""

from __future__ import annotations

import logging
from typing import Any
from typing import TYPE_CHECKING

from optuna.trial import create_trial
from optuna.trial import FrozenTrial
from optuna.trial import Trial
from optuna.trial import TrialState

from optuna_robust._instances.long_attributes import PREFIX
from optuna_robust._instances.trials import CONTINUES
from optuna_robust._instances.trials import INTERRUPTED
from optuna_robust._instances.trials import is_constraint
from optuna_robust._instances.trials import WORKER


if TYPE_CHECKING:
    from optuna.study import Study

    from optuna_robust._running.store import InstanceStore


_logger = logging.getLogger(__name__)

# What may be given to a trial before it suggests anything: study.enqueue_trial, GridSampler.
_ENQUEUED, _GRID_POINT = "fixed_params", "grid_id"


def continue_dead_trials(trial: Trial, store: InstanceStore) -> None:
    """Have a trial that begins go on with one that was not finished, if there is one.

    That is one which a dead worker left RUNNING, or which was interrupted, say by Ctrl-C.

    The trial gets the hyperparameters of the dead one, and so finds the finished instances in the
    store; the dead one becomes FAIL. Each is continued once, whoever looks. (If it were queued for
    any worker, Optuna might hand it to two: on SQLite it does so now and then.)

    Args:
        trial:
            The trial, of which others know already whose it is. If it has a model of its own, it
            leaves the dead ones to the next trial.
        store:
            The store that the trials' workers used.
    """
    found = trial.study.get_trials(deepcopy=False)
    continued = {each.user_attrs.get(CONTINUES) for each in found}
    left = [
        each
        for each in found
        if each.state == TrialState.FAIL
        and INTERRUPTED in each.user_attrs
        and each.number not in continued
    ]
    running = [
        each for each in found if each.state == TrialState.RUNNING and WORKER in each.user_attrs
    ]
    others = {each.user_attrs[WORKER] for each in running} - {store.worker()}
    if others:
        dead = store.dead_workers(others)
        left.extend(each for each in running if each.user_attrs[WORKER] in dead)
    for each in left:
        _continue(each, trial, store)


def first_number(trial: Trial) -> int:
    """Return the number of the trial that a trial goes on with; the first, if that did so, too."""
    if CONTINUES not in trial.user_attrs:
        return trial.number
    found = _by_number(trial.study)
    return _chain(found[trial.number], found)[-1].number


def _continue(dead: FrozenTrial, trial: Trial, store: InstanceStore) -> None:
    study = trial.study
    found = _by_number(study)
    left = _left_by(dead, found)
    to_continue = bool(left.params) or not {_ENQUEUED, _GRID_POINT}.isdisjoint(left.system_attrs)
    if to_continue and not _is_continued(dead, found) and not _is_free(found[trial.number]):
        return
    if not store.claim_trial(study.study_name, dead.number):
        return
    # Who had claimed it may have died after another trial went on with it.
    if to_continue and not _is_continued(dead, _by_number(study)):
        _logger.info("Trial %d goes on with trial %d.", trial.number, dead.number)
        trial.set_user_attr(CONTINUES, dead.number)  # first: what follows is then known from it
        _inherit(trial, left)
    study.tell(dead.number, state=TrialState.FAIL, skip_if_finished=True)


def _by_number(study: Study) -> dict[int, FrozenTrial]:
    return {each.number: each for each in study.get_trials(deepcopy=False)}


def _chain(trial: FrozenTrial, found: dict[int, FrozenTrial]) -> list[FrozenTrial]:
    """Return a trial, the one that it goes on with, and so forth to the first."""
    chain = [trial]
    while (before := chain[-1].user_attrs.get(CONTINUES)) is not None:
        chain.append(found[before])
    return chain


def _left_by(dead: FrozenTrial, found: dict[int, FrozenTrial]) -> FrozenTrial:
    """Return what there is to continue; of a trial that died while it inherited, the rest, too."""

    def merged(name: str) -> dict[str, Any]:
        chain = _chain(dead, found)
        return {key: value for each in chain for key, value in getattr(each, name).items()}

    return create_trial(
        state=TrialState.RUNNING,
        params=merged("params"),
        distributions=merged("distributions"),
        user_attrs={
            key: value for key, value in merged("user_attrs").items() if not key.startswith(PREFIX)
        },
        # What samplers and pruners know about it. It got its constraints when it was interrupted,
        # and Optuna would keep those: instances that are still to come may violate others.
        system_attrs={
            key: value for key, value in merged("system_attrs").items() if not is_constraint(key)
        },
    )


def _is_continued(dead: FrozenTrial, found: dict[int, FrozenTrial]) -> bool:
    return any(each.user_attrs.get(CONTINUES) == dead.number for each in found.values())


def _is_free(trial: FrozenTrial) -> bool:
    """Return True if a trial has no model yet, nor is to have one."""
    return not (trial.params or _ENQUEUED in trial.system_attrs or CONTINUES in trial.user_attrs)


def _inherit(trial: Trial, left: FrozenTrial) -> None:
    storage, trial_id = trial.storage, trial._trial_id
    for name, distribution in left.distributions.items():
        value = distribution.to_internal_repr(left.params[name])
        storage.set_trial_param(trial_id, name, value, distribution)
    for key, value in left.system_attrs.items():
        storage.set_trial_system_attr(trial_id, key, value)
    for key, value in left.user_attrs.items():
        storage.set_trial_user_attr(trial_id, key, value)
    # The trial is the caller's, and remembers what it read when it began.
    vars(trial).update(vars(Trial(trial.study, trial_id)))
