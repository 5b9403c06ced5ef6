"""Trials whose worker died: queued again, to go on from the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.trial import create_trial
from optuna.trial import TrialState

from optuna_robust.trials import CONTINUES
from optuna_robust.trials import PREFIX
from optuna_robust.trials import WORKER


if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial

    from optuna_robust.store import InstanceStore

# What Optuna decided about a trial before it suggested anything: study.enqueue_trial, GridSampler.
_ASSIGNED = {"fixed_params", "grid_id"}


def continue_dead_trials(study: Study, store: InstanceStore) -> None:
    """Queue the trials again that dead workers left RUNNING.

    A trial that had suggested something, or was to suggest something given, is queued with it,
    and finds its finished instances in the store; the dead one becomes FAIL. Each trial is
    continued once, whoever looks.

    Args:
        study:
            The study.
        store:
            The store that the trials' workers used.
    """
    running = [
        trial
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if WORKER in trial.user_attrs
    ]
    others = {trial.user_attrs[WORKER] for trial in running} - {store.worker()}
    if not others:
        return
    dead = store.dead_workers(others)
    for trial in running:
        if trial.user_attrs[WORKER] in dead and store.claim_trial(study.study_name, trial.number):
            _continue(study, trial)


def first_number(trial: Trial) -> int:
    """Return the number of the trial that a trial goes on with, the first if that went on, too."""
    before = trial.user_attrs.get(CONTINUES)
    if before is None:
        return trial.number
    found = {each.number: each for each in trial.study.get_trials(deepcopy=False)}
    number: int = before
    while (before := found[number].user_attrs.get(CONTINUES)) is not None:
        number = before
    return number


def _continue(study: Study, trial: FrozenTrial) -> None:
    # Who claimed it before may have died between the two steps.
    queued = any(
        other.user_attrs.get(CONTINUES) == trial.number
        for other in study.get_trials(deepcopy=False)
    )
    if not queued and (trial.params or not _ASSIGNED.isdisjoint(trial.system_attrs)):
        own = {key: value for key, value in trial.user_attrs.items() if not key.startswith(PREFIX)}
        study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={**own, CONTINUES: trial.number},
                system_attrs=trial.system_attrs,  # what samplers and pruners know about it
            )
        )
    study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
