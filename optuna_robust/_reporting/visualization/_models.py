"""What figures are made of: the models of a study or of a selection, and their losses."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from functools import cached_property
import logging
from typing import Any
from typing import Literal
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from optuna.study import Study
from optuna.study import StudyDirection
from optuna.trial import TrialState

from optuna_robust._base.arguments import check_text
from optuna_robust._base.arrays import FloatArray
from optuna_robust._instances import trials
from optuna_robust._instances.long_attributes import whole
from optuna_robust._search.confirmation import ConfirmationResult
from optuna_robust._search.selection import SelectionResult
from optuna_robust._search.selection import Step
from optuna_robust._statistics.comparison import value_at
from optuna_robust._statistics.criteria import CRITERIA
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion
from optuna_robust._statistics.criteria import rank_models
from optuna_robust._statistics.criterion_names import shown_name


CriterionLike: TypeAlias = str | Callable[[FloatArray], float] | Criterion

_logger = logging.getLogger(__name__)

_DEFAULT_CRITERION = "q3+iqr"
# Trials that trained instances, of which nothing is shown.
_LEFT_OUT = (TrialState.FAIL, TrialState.RUNNING)


@dataclass(frozen=True, eq=False, kw_only=True)
class Models:
    """Models and their losses, as figures show them.

    Attributes:
        noun: ``"trial"`` or ``"model"``: what ``numbers`` count.
        numbers: Numbers of trials, or indices into a selection's models.
        params: Hyperparameters of every model.
        losses: In the user's orientation, shape ``(n_models, n_columns)``; NaN where an instance
            was not trained or dropped, the worst infinity where it failed.
        instances: Instance numbers of the columns.
        finished: Which models were evaluated to the end, and may be chosen, ``(n_models,)``.
        n_run: How many instances of every model ran, dropped ones too, ``(n_models,)``.
        fates: What became of every model, in a few words.
        violations: By how much every model violates its constraints, ``(n_models,)``.
        n_instances: How many instances a model has that is evaluated to the end.
        common_instances: Whether an instance is the same for all models.
        direction: ``"minimize"`` or ``"maximize"``.
        loss_name: What a loss is called.
        criterion: What models are compared by.
        n_left_out: Number of trials that failed or still run, which are no models.
        selected: Row of the model that a selection chose by this criterion.
        steps: Waves of a selection.
        confirmation: What became of the best models on fresh instances.
    """

    noun: Literal["trial", "model"]
    numbers: tuple[int, ...]
    params: tuple[Mapping[str, Any], ...]
    losses: FloatArray
    instances: tuple[int, ...]
    finished: npt.NDArray[np.bool_]
    n_run: npt.NDArray[np.intp]
    fates: tuple[str, ...]
    violations: FloatArray
    n_instances: int
    common_instances: bool
    direction: str
    loss_name: str
    criterion: Criterion
    n_left_out: int = 0
    selected: int | None = None
    steps: tuple[Step, ...] = ()
    confirmation: ConfirmationResult | None = None

    @property
    def sign(self) -> int:
        """-1 if losses are turned round to be minimised, else 1."""
        return -1 if self.direction == "maximize" else 1

    @property
    def oriented(self) -> FloatArray:
        """Losses, to be minimised."""
        return self.sign * self.losses

    @cached_property
    def counts(self) -> npt.NDArray[np.intp]:
        """How many losses every model has, ``(n_models,)``."""
        return np.asarray(np.count_nonzero(~np.isnan(self.losses), axis=1))

    @cached_property
    def n_failed(self) -> npt.NDArray[np.intp]:
        """How many of them are failures, ``(n_models,)``."""
        return np.asarray(np.count_nonzero(np.isinf(self.losses), axis=1))

    @cached_property
    def ranked(self) -> npt.NDArray[np.intp]:
        """Rows from the best model to the worst.

        Those that were evaluated to the end come first, by the criterion, at equal numbers of
        instances if some of them dropped instances; then the others by how far they got, since
        criteria of different numbers of instances cannot be compared. Infeasible models come
        last, those first that violate their constraints least.
        """
        scores = self.criterion.score(self.oriented)
        compared = self.finished & ~np.isnan(scores)
        n_equal = int(self.counts[compared].min(initial=self.losses.shape[1]))
        for row in np.flatnonzero(compared & np.isfinite(scores) & (self.counts > n_equal)):
            scores[row] = value_at(self.oriented[row], self.criterion, n_equal)
        places = np.empty(len(scores), dtype=np.intp)
        places[rank_models(scores)] = np.arange(len(scores))
        chosen = np.arange(len(scores)) == self.selected
        got = np.where(self.finished, 0, self.counts)
        return np.lexsort((places, -got, ~self.finished, self.violations, ~chosen))

    @property
    def best(self) -> int | None:
        """Row of the best model that was evaluated to the end, and has a criterion."""
        if not self.finished.any():
            return None
        row = int(self.ranked[0])
        return None if np.isnan(self.values(self.criterion)[row]) else row

    @property
    def group_names(self) -> tuple[str, str]:
        """What finished models are called, and the others."""
        finished, others = (
            ("survivor", "removed") if self.noun == "model" else ("complete", "pruned")
        )
        return finished, f"{others} or infeasible" if self.violations.any() else others

    @property
    def rivals(self) -> npt.NDArray[np.intp]:
        """Rows of the models that figures of all models count: feasible ones, if there are any."""
        feasible = np.flatnonzero(self.violations == 0.0)
        return feasible if len(feasible) else np.arange(len(self.numbers))

    @property
    def rivals_noun(self) -> str:
        """What these are called."""
        return self.noun if len(self.rivals) == len(self.numbers) else f"feasible {self.noun}"

    def values(self, criterion: Criterion) -> FloatArray:
        """Return a criterion of every model in the user's orientation; a spread is positive."""
        return display_sign(criterion, self.direction) * criterion(self.oriented)

    def top(self, n_models: int) -> Models:
        """Return the best models, best first."""
        return self.rows(self.ranked[:n_models].tolist())

    def rows(self, rows: Sequence[int]) -> Models:
        """Return some of the models, in the order of the rows."""
        kept = {row: i for i, row in enumerate(rows)}
        return replace(
            self,
            numbers=tuple(self.numbers[row] for row in rows),
            params=tuple(self.params[row] for row in rows),
            losses=self.losses[list(rows)],
            finished=self.finished[list(rows)],
            n_run=self.n_run[list(rows)],
            fates=tuple(self.fates[row] for row in rows),
            violations=self.violations[list(rows)],
            selected=None if self.selected is None else kept.get(self.selected),
        )


def display_sign(criterion: Criterion, direction: str) -> int:
    """Return what turns an oriented criterion into what is shown: spreads are positive."""
    return -1 if direction == "maximize" and criterion.kind != "spread" else 1


def models_of(
    source: object, *, criterion: CriterionLike | None = None, loss_name: str | None = None
) -> Models:
    """Return the models of a study or of a selection.

    Args:
        source:
            A study or a :class:`~optuna_robust.SelectionResult`. Of a study COMPLETE and PRUNED
            trials count. Without recorded instances, a trial's intermediate values are losses and
            its steps instance numbers.
        criterion:
            What models are compared by. Default: that of the search, or q3+iqr where it had
            several or none.
        loss_name:
            What a loss is called. Default: the study's metric name, else ``"loss"`` or
            ``"objective value"``.

    Raises:
        TypeError: If ``source`` is neither.
        ValueError: If the criterion is unknown.
    """
    wanted = None if criterion is None else get_criterion(criterion)
    check_text("loss_name", loss_name)
    if isinstance(source, SelectionResult):
        models = _of_selection(source, wanted, loss_name)
    elif isinstance(source, Study):
        models = _of_study(source, wanted, loss_name)
    else:
        raise TypeError(
            "Figures are made of a study or of the result of robust_select, but got "
            f"{type(source).__name__}."
        )
    # A spread of one instance does not exist; models are ranked by what there is.
    is_defined = models.counts.max(initial=0) >= models.criterion.min_instances
    return models if is_defined else replace(models, criterion=CRITERIA["median"])


def kept_confirmation(study: Study) -> ConfirmationResult | None:
    """Return the confirmation that a study keeps; None without a readable one."""
    kept = whole(study.user_attrs, trials.CONFIRMATION)
    if kept is None:
        return None
    try:
        return ConfirmationResult.from_dict(kept)
    except ValueError as error:
        _logger.warning("The study's confirmation is not shown: %s", error)
        return None


def _of_study(study: Study, wanted: Criterion | None, loss_name: str | None) -> Models:
    settings = study.user_attrs.get(trials.SETTINGS, {})
    names = list(settings.get("criterion", []))
    found = trials.comparable_trials(study)
    sign = _sign(study, names)
    instances, oriented = trials.losses_matrix(found, sign)
    violations = np.array([trials.total_violation(trial) for trial in found], dtype=np.float64)
    complete = np.array([trial.state == TrialState.COMPLETE for trial in found], dtype=np.bool_)
    counts = np.count_nonzero(~np.isnan(oriented), axis=1)
    if loss_name is None and len(study.directions) == 1 and study.metric_names:
        loss_name = study.metric_names[0]
    direction = "maximize" if sign < 0 else "minimize"
    return Models(
        noun="trial",
        numbers=tuple(trial.number for trial in found),
        params=tuple(trial.params for trial in found),
        losses=sign * oriented,
        instances=instances,
        finished=complete & (violations == 0.0),
        n_run=np.array(
            # A list of losses holds dropped instances, too.
            [
                len(whole(trial.user_attrs, trials.LOSSES, ())) or n
                for trial, n in zip(found, counts.tolist(), strict=True)
            ],
            dtype=np.intp,
        ),
        fates=tuple(map(_fate, found, violations.tolist())),
        violations=violations,
        n_instances=int(settings.get("n_instances") or counts.max(initial=0)),
        common_instances=not settings.get("reshuffle", False),
        direction=direction,
        loss_name=loss_name or _default_name(direction),
        criterion=wanted or _searched_by(names, direction),
        n_left_out=len(study.get_trials(deepcopy=False, states=_LEFT_OUT)),
        confirmation=kept_confirmation(study),
    )


def _of_selection(
    result: SelectionResult, wanted: Criterion | None, loss_name: str | None
) -> Models:
    n_models, n_columns = result.losses.shape
    removed = result.removals
    violations = np.array(result.violations)
    return Models(
        noun="model",
        numbers=tuple(range(n_models)),
        params=result.models,
        losses=result.losses,
        instances=tuple(range(n_columns)),
        finished=np.isin(np.arange(n_models), result.survivors) & (violations == 0.0),
        n_run=np.count_nonzero(~np.isnan(result.losses), axis=1),
        fates=tuple(
            f"removed in wave {removed[row][0]}: {removed[row][1]}"
            if row in removed
            else f"kept{_infeasible(violations[row])}"
            for row in range(n_models)
        ),
        violations=violations,
        n_instances=int(result.settings.get("n_instances") or n_columns),
        common_instances=not result.settings.get("reshuffle", False),
        direction=result.direction,
        loss_name=loss_name or _default_name(result.direction),
        criterion=wanted or _searched_by([result.criterion], result.direction),
        selected=result.best_index if wanted in (None, CRITERIA.get(result.criterion)) else None,
        steps=result.steps,
    )


def _sign(study: Study, names: list[str]) -> int:
    """Return the sign of the losses; of several objectives, spreads tell nothing about it."""
    first = next(filter(trials.is_recorded, study.get_trials(deepcopy=False)), None)
    is_of_first = first is not None and trials.has_several_values(first)
    if len(study.directions) == 1 or len(names) != len(study.directions) or is_of_first:
        directions = study.directions[:1]
    else:
        directions = [
            direction
            for name, direction in zip(names, study.directions, strict=True)
            if name not in CRITERIA or CRITERIA[name].kind != "spread"
        ]
    return -1 if StudyDirection.MAXIMIZE in directions else 1


def _searched_by(names: list[str], direction: str) -> Criterion:
    """Return the criterion of a search; one that cannot be known is replaced by the default."""
    if len(names) == 1 and names[0] not in CRITERIA:
        _logger.warning(
            "The search used a criterion of its own, %r; models are compared by %s here. Give the "
            "search's as criterion.",
            names[0],
            shown_name(_DEFAULT_CRITERION, direction),
        )
        return CRITERIA[_DEFAULT_CRITERION]
    return CRITERIA[names[0] if len(names) == 1 else _DEFAULT_CRITERION]


def _default_name(direction: str) -> str:
    return "loss" if direction == "minimize" else "objective value"


def _fate(trial: Any, violation: float) -> str:
    if trial.state != TrialState.PRUNED:
        return f"complete{_infeasible(violation)}"
    why = trial.user_attrs.get(trials.STOPPED)
    return f"pruned{_infeasible(violation)}" + (f": {why}" if why else "")


def _infeasible(violation: float) -> str:
    return f", but infeasible by {violation:.4g}" if violation > 0.0 else ""
