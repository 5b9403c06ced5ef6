"""The losses of a study's finished trials, as a pruner reads them: trial by trial."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from optuna.trial import TrialState

from optuna_robust._base.arrays import FloatArray
from optuna_robust._instances.long_attributes import whole
from optuna_robust._instances.trials import is_recorded
from optuna_robust._instances.trials import LOSSES
from optuna_robust._instances.trials import oriented_losses
from optuna_robust._instances.trials import total_violation
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import is_better


if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_MOST_CACHED_SCORES = 64


class FinishedTrials:
    """The losses of a study's finished trials, read from its storage trial by trial.

    COMPLETE and PRUNED trials count; FAIL, RUNNING and WAITING ones do not.

    Args:
        sign:
            -1 if the study maximises, else 1.
        objective:
            Which of several values that an objective returns.
    """

    def __init__(self, sign: int, objective: int = 0) -> None:
        self._sign = sign
        self._objective = objective
        self._n_seen = 0
        self._unfinished: list[int] = []
        self._columns: dict[int, int] = {}
        self._n_rows = 0
        self._losses: FloatArray = np.full((16, 16), np.nan)
        self._complete = np.zeros(16, dtype=np.bool_)
        self._recorded = np.zeros(16, dtype=np.bool_)
        self._n_run = np.zeros(16, dtype=np.intp)
        self._violations: FloatArray = np.zeros(16)
        self._scores: dict[tuple[Criterion, tuple[int, ...]], FloatArray] = {}
        self._complete_scores: dict[Criterion, FloatArray] = {}

    def update(self, study: Study) -> None:
        """Read the trials that finished since the last call."""
        self.read(study.get_trials(deepcopy=False))

    def read(self, trials: Sequence[FrozenTrial]) -> None:
        """Read those of a study's trials that finished since the last call."""
        waiting_for = [*self._unfinished, *range(self._n_seen, len(trials))]
        self._n_seen = len(trials)
        self._unfinished = []
        for index in waiting_for:
            trial = trials[index]
            if not trial.state.is_finished():
                self._unfinished.append(index)
            elif trial.state != TrialState.FAIL:
                self._add(trial)

    def scores(
        self, instances: tuple[int, ...], criterion: Criterion, *, recorded: bool
    ) -> FloatArray:
        """Return the score of every finished trial on the given instances.

        Args:
            instances:
                Instance numbers, ascending.
            criterion:
                What to score by.
            recorded:
                Leave out trials whose intermediate values would have to be taken as losses.

        Returns:
            Scores, shape ``(n_finished,)``; NaN for trials without one of the instances.
        """
        key = (criterion, instances)
        known = self._scores.get(key, np.empty(0))
        if len(known) < self._n_rows:
            new = np.full(self._n_rows - len(known), np.nan)
            columns = [self._columns[i] for i in instances if i in self._columns]
            if len(columns) == len(instances):
                losses = self._losses[len(known) : self._n_rows, columns]
                there = ~np.isnan(losses).any(axis=1)
                new[there] = criterion.score(losses[there])
            if len(self._scores) >= _MOST_CACHED_SCORES:
                self._scores.clear()
            known = self._scores[key] = np.concatenate([known, new])
        if not recorded:
            return known
        return np.where(self._recorded[: self._n_rows], known, np.nan)

    def complete(self) -> npt.NDArray[np.bool_]:
        """Return which finished trials are COMPLETE, shape ``(n_finished,)``."""
        return self._complete[: self._n_rows].copy()

    def compared(self, *, recorded: bool) -> npt.NDArray[np.bool_]:
        """Return which finished trials are compared, shape ``(n_finished,)``.

        Args:
            recorded:
                As in :meth:`scores`.
        """
        if recorded:
            return self._recorded[: self._n_rows].copy()
        return np.ones(self._n_rows, dtype=np.bool_)

    def n_run(self) -> npt.NDArray[np.intp]:
        """Return how many instances finished trials have, dropped ones too, ``(n_finished,)``."""
        return self._n_run[: self._n_rows].copy()

    def violations(self) -> FloatArray:
        """Return by how much finished trials violate their constraints, ``(n_finished,)``."""
        return self._violations[: self._n_rows].copy()

    def has(self, instances: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Return which finished trials have all of these instances, shape ``(n_finished,)``."""
        columns = [self._columns[number] for number in instances if number in self._columns]
        if len(columns) < len(instances):
            return np.zeros(self._n_rows, dtype=np.bool_)
        return np.asarray(~np.isnan(self._losses[: self._n_rows, columns]).any(axis=1))

    def complete_scores(self, criterion: Criterion) -> FloatArray:
        """Return the score of every COMPLETE trial on the instances that it has.

        Args:
            criterion:
                What to score by.

        Returns:
            Scores, shape ``(n_finished,)``; NaN for other trials.
        """
        known = self._complete_scores.get(criterion, np.empty(0))
        if len(known) < self._n_rows:
            new = np.full(self._n_rows - len(known), np.nan)
            there = self._complete[len(known) : self._n_rows]
            new[there] = criterion.score(self._losses[len(known) : self._n_rows][there])
            known = self._complete_scores[criterion] = np.concatenate([known, new])
        return known

    def losses(self, rows: npt.NDArray[np.intp], instances: tuple[int, ...]) -> FloatArray:
        """Return losses of some finished trials.

        Args:
            rows:
                Which ones.
            instances:
                Instance numbers, known ones. They come first, and then all others, ascending.

        Returns:
            Losses, shape ``(n_rows, n_numbers)``; NaN = not trained.
        """
        numbers = [*instances, *sorted(self._columns.keys() - set(instances))]
        return self._losses[rows][:, [self._columns[number] for number in numbers]]

    def incumbent_losses(
        self,
        instances: tuple[int, ...],
        criterion: Criterion,
        *,
        recorded: bool,
        most_violation: float = math.inf,
    ) -> FloatArray | None:
        """Return the best COMPLETE trial's losses on the given instances.

        The trials that have these instances are compared on all the instances that they have in
        common, since the first ones alone would choose a lucky incumbent.

        Args:
            instances:
                Instance numbers, ascending.
            criterion:
                What to choose the best by.
            recorded:
                As in :meth:`scores`.
            most_violation:
                Trials count that violate their constraints by no more.

        Returns:
            Losses, shape ``(len(instances),)``, or None without such a trial.
        """
        candidates = self.complete() & ~np.isnan(
            self.scores(instances, criterion, recorded=recorded)
        )
        candidates &= self.violations() <= most_violation
        if not candidates.any():
            return None
        losses = self._losses[: self._n_rows][candidates]
        shared = tuple(
            number
            for number, column in sorted(self._columns.items())
            if not np.isnan(losses[:, column]).any()
        )
        scores = self.scores(shared, criterion, recorded=recorded)
        best = scores[candidates].min()
        row = int(np.flatnonzero(candidates & ~is_better(best, scores))[0])
        return self._losses[row, [self._columns[number] for number in instances]]

    def _add(self, trial: FrozenTrial) -> None:
        losses = oriented_losses(trial, self._sign, self._objective)
        if not losses:
            return
        for number in losses:
            self._columns.setdefault(number, len(self._columns))
        row = self._n_rows
        self._make_room(row + 1, len(self._columns))
        for number, loss in losses.items():
            self._losses[row, self._columns[number]] = loss
        self._complete[row] = trial.state == TrialState.COMPLETE
        self._recorded[row] = is_recorded(trial)
        # A list holds dropped ones, too.
        self._n_run[row] = len(whole(trial.user_attrs, LOSSES, losses))
        self._violations[row] = total_violation(trial)
        self._n_rows += 1

    def _make_room(self, n_rows: int, n_columns: int) -> None:
        rows, columns = self._losses.shape
        more_rows = max(rows, n_rows) if n_rows > rows else 0
        more_columns = max(columns, n_columns) if n_columns > columns else 0
        if more_rows or more_columns:
            self._losses = np.pad(
                self._losses, ((0, more_rows), (0, more_columns)), constant_values=np.nan
            )
            self._complete = np.pad(self._complete, (0, more_rows))
            self._recorded = np.pad(self._recorded, (0, more_rows))
            self._n_run = np.pad(self._n_run, (0, more_rows))
            self._violations = np.pad(self._violations, (0, more_rows))
