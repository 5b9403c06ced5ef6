"""One robust search: what its study's trials say, and whose turn it is."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from optuna_robust._instances.long_attributes import whole
from optuna_robust._instances.trials import CONTINUES
from optuna_robust._instances.trials import INTERRUPTED
from optuna_robust._instances.trials import is_given_up
from optuna_robust._instances.trials import LOSSES
from optuna_robust._instances.trials import PROCESS
from optuna_robust._running.process import Process
from optuna_robust._running.process import this_process
from optuna_robust._search.sampler._models import Model
from optuna_robust._search.sampler._models import StudyModels
from optuna_robust._search.sampler._standing import Standing
from optuna_robust._search.sampler._standing import StandingKeeper
from optuna_robust._search.sampler._turns import model_to_complete
from optuna_robust._search.sampler._turns import model_to_repeat
from optuna_robust._search.sampler._turns import Schedule
from optuna_robust._search.sampler._view import all_trials
from optuna_robust._search.sampler._view import as_complete
from optuna_robust._search.sampler._view import inherit
from optuna_robust._search.sampler._view import is_enqueued
from optuna_robust._search.sampler._view import is_in_loop
from optuna_robust._search.sampler._view import ModelsStudy
from optuna_robust._search.sampler._view import set_attr


if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from optuna_robust._search.sampler._target import Target


# After so many suggestions in a row that are known and fully trained, there are no more.
_MOST_BARREN = 20


class Search:
    """One robust search.

    Args:
        target:
            What it looks for.
        schedule:
            How it shares the trainings.
        informed:
            Whether models are judged by what their hyperparameters say, too.
    """

    def __init__(self, target: Target, schedule: Schedule, *, informed: bool) -> None:
        self.target = target
        self.schedule = schedule
        self.models = StudyModels(target.sign)
        self.n_left: int | None = None  # trainings that no finished trial has spent
        self.n_trials: int | None = None  # that the study is going to have
        self.is_exhausted = False  # the base sampler has suggested all that it can
        self._keeper = StandingKeeper(target, informed=informed)
        self._standing: Standing | None = None
        self._shown: dict[int, FrozenTrial] = {}
        self._here: set[int] = set()  # running trials of optimizations in this process

    def model_to_train(
        self, study: Study, trial: FrozenTrial, rng: np.random.Generator
    ) -> Model | None:
        """Return the known model that a trial that begins shall train; None: a new one.

        The trial then has what says so among its user attributes: another worker leaves the
        model alone.
        """
        if not self._is_announced(trial):
            set_attr(study, trial, PROCESS, list(vars(this_process()).values()))
        self._update(study)
        if is_enqueued(trial):
            return None
        model = self._chosen(trial, rng)
        if model is None:
            return None
        if not self._claims(study, trial, model) or not self._is_open(model):
            # Another worker trains it, or has just completed it.
            set_attr(study, trial, CONTINUES, None)
            return None
        inherit(study, trial, model.latest)
        return model

    def _is_open(self, model: Model) -> bool:
        return not model.stopped and model.n_instances < self.target.n_instances

    def known_model(self, study: Study, trial: FrozenTrial) -> Model | None:
        """Return the model that a trial has suggested, if an earlier trial has begun it.

        Args:
            study:
                The study.
            trial:
                The trial, which may not have suggested everything yet.
        """
        if self.models.n_running() != 1:  # others run, or nothing was read yet
            self._update(study)
        known = self.models.with_params(trial.params, trial.distributions)
        return known or self.models.is_begun(trial)

    def go_on(self, study: Study, trial: FrozenTrial, model: Model) -> bool:
        """Make a trial that has suggested a known model one of that model.

        Returns:
            Whether it may train the model: not if another trial does, or the model is given up.
        """
        is_claimed = self._claims(study, trial, model)
        inherit(study, trial, model.latest)
        return is_claimed and not model.stopped

    def _claims(self, study: Study, trial: FrozenTrial, model: Model) -> bool:
        """Say that a trial trains a model; returns False if another one does.

        Both say so first, and look then: they may both leave it, but never both train it.
        """
        set_attr(study, trial, CONTINUES, model.latest.number)
        self._update(study)
        return model.running <= {trial.number}

    def view(self, study: Study) -> ModelsStudy:
        """Return the study as the base sampler shall see it."""
        self._update(study)
        if self._has_losses():
            self.standing()
        shown = [*self._shown.values(), *self.models.without_losses.values()]
        return ModelsStudy(study, sorted(shown, key=lambda trial: trial.number))

    def standing(self) -> Standing:
        """Return where the models stand, as of the last look at the study."""
        if self._standing is None or self.models.changed:
            judged = self._keeper.update(self.models.changed.values())
            self.models.changed.clear()
            self._standing = self._keeper.standing()
            self._show(self._standing, judged)
        return self._standing

    def n_to_complete(self, study: Study, n_over: int) -> int:
        """Return how many trainings it takes until a model is complete; 0 if none is to be.

        If as many as a model has did not complete one, where all fail, no more are worth it.

        Args:
            study:
                The study.
            n_over:
                By how many trainings the budget is exceeded.
        """
        self._update(study)
        is_single = len(self.target.criteria) == 1
        if not is_single or not self._has_losses() or n_over >= self.target.n_instances:
            return 0
        model = model_to_complete(self.standing(), 0, np.random.default_rng(0))
        return 0 if model is None else self.target.n_instances - model.n_instances

    def must_wait(self, study: Study, trial: FrozenTrial) -> bool:
        """Return True if there is nothing to train until another thread's trial ends."""
        at_end = self.is_exhausted or self.models.n_barren >= _MOST_BARREN
        if not at_end or is_enqueued(trial) or not is_in_loop(study):
            return False
        return bool(self._trained_here(trial))

    def begin(self, study: Study, trial: FrozenTrial) -> None:
        """Take note of a trial that begins, whoever's turn it is."""
        if is_in_loop(study):
            self._here.add(trial.number)

    def is_over(self, study: Study, trial: FrozenTrial) -> bool:
        """Return True if a trial that ends was the last one to find anything to train.

        Models that other processes train are theirs to complete; threads stop together.
        """
        if not self.is_exhausted and self.models.n_barren + 1 < _MOST_BARREN:
            return False
        self._update(study)
        is_left = any(self._is_left(model, trial) for model in self.models.all)
        return not is_left and not self._trained_here(trial)

    def _trained_here(self, trial: FrozenTrial) -> set[int]:
        """Return the numbers of other trials that threads of this process train."""
        self._here &= {number for model in self.models.all for number in model.running}
        return self._here - {trial.number}

    def _is_announced(self, trial: FrozenTrial) -> bool:
        return trial.user_attrs.get(PROCESS) == list(vars(this_process()).values())

    def _is_left(self, model: Model, ends: FrozenTrial) -> bool:
        """Return True if a model can be trained on after a trial that ends, still RUNNING."""
        if model.running != {ends.number}:
            is_known = model.is_interrupted or bool(model.losses)
            return model.is_free and is_known and model.n_instances < self.target.n_instances
        n_instances = max(model.n_instances, len(whole(ends.user_attrs, LOSSES, [])))
        if model.stopped or is_given_up(ends):
            return False
        return INTERRUPTED in ends.user_attrs or 0 < n_instances < self.target.n_instances

    def _update(self, study: Study) -> list[FrozenTrial]:
        trials = all_trials(study)
        if self._end_dead_trials(study, trials):
            trials = all_trials(study)
        self.models.update(trials)
        return trials

    def _end_dead_trials(self, study: Study, trials: list[FrozenTrial]) -> bool:
        """End trials whose process is gone, so that their models can be trained again."""
        dead = [
            trials[position]
            for position in self.models.unfinished(trials)
            if _is_dead(trials[position])
        ]
        for trial in dead:
            with suppress(UpdateFinishedTrialError):  # another worker was quicker
                set_attr(study, trial, INTERRUPTED, True)
                study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        return bool(dead)

    def _chosen(self, trial: FrozenTrial, rng: np.random.Generator) -> Model | None:
        for model in self.models.all:
            if model.is_interrupted and model.is_free:
                return model
        others = [model for model in self.models.all if model.number != trial.number]
        n_others = sum(len(model.running) for model in others)
        n_models = sum(model.n_instances > 0 or bool(model.running) for model in others)
        if not self._has_losses():
            return None
        n_left = self.n_left
        if self.n_trials is not None:
            n_left = self.n_trials - trial.number + n_others
        if n_left is not None:
            # Others go on while the best one is completed.
            n_turns = (n_left - n_others) // (n_others + 1)
            to_complete = model_to_complete(self.standing(), n_turns, rng)
            if to_complete is not None:
                return to_complete
        if (
            self.is_exhausted
            or self.models.n_barren > 0
            or self.schedule.is_repetition(n_models, self.standing(), rng)
        ):
            return model_to_repeat(self.standing(), rng, n_left)
        return None

    def _has_losses(self) -> bool:
        return any(model.losses for model in self.models.all)

    def _show(self, found: Standing, rows: Sequence[int]) -> None:
        """Take what the base sampler shall see of some models."""
        oriented = found.values[rows] * np.array(self.target.orientations)
        for row, values in zip(rows, oriented.tolist(), strict=True):
            model = found.models[row]
            self._shown[model.number] = as_complete(model.first, model.latest, values)


def _is_dead(trial: FrozenTrial) -> bool:
    """Return True if the process of a running trial ran on this machine and is gone."""
    if trial.state != TrialState.RUNNING or PROCESS not in trial.user_attrs:
        return False
    process = Process(*trial.user_attrs[PROCESS])
    return process != this_process() and process.is_local and not process.is_alive()
