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

    from optuna_robust.store import InstanceStore


def continue_dead_trials(study: Study, store: InstanceStore) -> None:
    """Queue the trials again that dead workers left RUNNING.

    A trial that had suggested something is queued with its hyperparameters, and finds its
    finished instances in the store; the dead one becomes FAIL. Each trial is continued once,
    whoever looks.

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


def _continue(study: Study, trial: FrozenTrial) -> None:
    # Who claimed it before may have died between the two steps.
    queued = any(
        other.user_attrs.get(CONTINUES) == trial.number
        for other in study.get_trials(deepcopy=False)
    )
    if trial.params and not queued:
        own = {key: value for key, value in trial.user_attrs.items() if not key.startswith(PREFIX)}
        study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={**own, CONTINUES: trial.number},
            )
        )
    study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
