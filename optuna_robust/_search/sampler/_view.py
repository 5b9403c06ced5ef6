"""The study as a base sampler sees it: one finished trial for each model.

Everything that relies on private parts of Optuna is here.
"""

from __future__ import annotations

import copy
from typing import Any
from typing import TYPE_CHECKING

from optuna.samplers._base import _process_constraints_after_trial
from optuna.study import Study
from optuna.trial import TrialState

from optuna_robust._instances.constraints import constraints_function


if TYPE_CHECKING:
    from collections.abc import Container
    from collections.abc import Sequence

    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial


# Where Optuna keeps constraints: ``constraints`` of samplers' options, ``constraints:name``.
_CONSTRAINTS = "constraints"
_ENQUEUED = "fixed_params"
# What a trial is to be may be given before it suggests anything: GridSampler.
_GIVEN = (_ENQUEUED, "grid_id", "search_space")


class ModelsStudy(Study):
    """A study whose finished trials are models, for a sampler.

    Args:
        study:
            The study.
        trials:
            What it shall show as its trials.
    """

    def __init__(self, study: Study, trials: list[FrozenTrial]) -> None:
        self.__dict__.update(study.__dict__)
        self._shown = trials
        self.is_stopped = False

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = [each for each in self._shown if states is None or each.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def stop(self) -> None:
        """Remember that the sampler has no more to suggest; known models may go on."""
        self.is_stopped = True


def as_complete(first: FrozenTrial, latest: FrozenTrial, values: Sequence[float]) -> FrozenTrial:
    """Return a model, of which these are the first and the latest trial, as one COMPLETE trial."""
    shown = copy.copy(latest)
    shown.number = first.number
    shown._trial_id = first._trial_id  # by which samplers remember trials
    shown.state = TrialState.COMPLETE
    shown.values = list(values)
    shown.intermediate_values = {}
    shown.system_attrs = {**first.system_attrs, **_constraints(latest)}
    return shown


def inherit(study: Study, trial: FrozenTrial, earlier: FrozenTrial) -> None:
    """Give a trial that goes on what samplers know of the earlier one.

    That is the constraints that a ``constraints_func`` computed. Of a trial that was interrupted
    it is also what hyperparameters it was to have: they may not all be suggested.
    """
    names = {_CONSTRAINTS, *_GIVEN} if earlier.state == TrialState.FAIL else {_CONSTRAINTS}
    for key in names.intersection(earlier.system_attrs):
        value = earlier.system_attrs[key]
        study._storage.set_trial_system_attr(trial._trial_id, key, value)
        trial.system_attrs[key] = value


def compute_constraints(
    sampler: BaseSampler, study: Study, trial: FrozenTrial, state: TrialState
) -> None:
    """Compute the constraints of a trial that goes on as its sampler does of new models.

    A model is as feasible as its worst instance.
    """
    function = constraints_function(sampler)
    if function is None:
        return
    earlier = trial.system_attrs.get(_CONSTRAINTS)
    _process_constraints_after_trial(function, study, trial, state)
    later = study._storage.get_trial_system_attrs(trial._trial_id).get(_CONSTRAINTS)
    if earlier and later and len(earlier) == len(later):
        worst = tuple(map(max, earlier, later))
        study._storage.set_trial_system_attr(trial._trial_id, _CONSTRAINTS, worst)


def _constraints(trial: FrozenTrial) -> dict[str, Any]:
    attrs = trial.system_attrs
    return {key: value for key, value in attrs.items() if key.startswith(_CONSTRAINTS)}


def as_suggested(trial: Trial) -> FrozenTrial:
    """Return a trial as far as it has suggested; what is set there, the trial sees."""
    return trial._cached_frozen_trial


def unfiltered(study: Study) -> Study:
    """Return a study itself: HyperbandPruner has samplers see it by parts."""
    whole = getattr(study, "_study", study)
    return whole if isinstance(whole, Study) else study


def all_trials(study: Study) -> list[FrozenTrial]:
    """Return all trials of a study in their order, which must not be changed."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def set_attr(study: Study, trial: FrozenTrial, key: str, value: Any) -> None:
    """Set a user attribute of a trial that begins, in the storage and as the trial sees it."""
    study._storage.set_trial_user_attr(trial._trial_id, key, value)
    trial.user_attrs[key] = value


def is_in_loop(study: Study) -> bool:
    """Return True if this thread optimizes a study, so that each of its trials ends by itself."""
    return bool(study._thread_local.in_optimize_loop)


def stop(study: Study) -> None:
    """Stop a study, if it is being optimized."""
    if is_in_loop(study):
        study.stop()


def is_enqueued(trial: FrozenTrial) -> bool:
    """Return True if a trial that begins has hyperparameters already."""
    return bool(trial.params) or _ENQUEUED in trial.system_attrs


def is_to_begin(trial: FrozenTrial) -> bool:
    """Return True if it is known, at least in part, what model a trial was to train."""
    return bool(trial.params) or not set(_GIVEN).isdisjoint(trial.system_attrs)
