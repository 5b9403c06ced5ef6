"""What there is to report of a study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
import math
from typing import Any
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from optuna_robust._base.arguments import check_study
from optuna_robust._instances import trials
from optuna_robust._instances.failures import count_kinds
from optuna_robust._instances.long_attributes import whole
from optuna_robust._instances.model_key import model_key
from optuna_robust._instances.trials import complete_trials
from optuna_robust._reporting.summary._planning import Leaders
from optuna_robust._reporting.summary._planning import pilot_of
from optuna_robust._search.confirmation import ConfirmationResult
from optuna_robust._statistics.criterion_names import column_head
from optuna_robust._statistics.criterion_names import shown_name


if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


_N_REASONS = 3
# Names of states; those that are always told of, first.
_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class StudyReport:
    """What there is to report of a study.

    Attributes:
        study: Its name.
        directions: ``"minimize"`` or ``"maximize"``, for each objective.
        value_names: What each of its trials' values is.
        loss_names: What the losses of each objective are; None where the study does not say so.
        n_trials: Number of trials by state.
        n_infeasible: Number of complete trials that violate constraints.
        least_infeasible: Where no complete trial is feasible, the one that violates its
            constraints least.
        is_robust: Whether trials have several instances each.
        n_trainings: Instances that the trials trained; one for an ordinary trial.
        n_reused: Instances that they took from a store.
        n_failures: Instances of theirs that failed.
        failure_kinds: How many of each kind (type and place of the exception), the most frequent
            first.
        n_pruned: Instances of theirs that were pruned by their epochs.
        reasons: The most frequent reasons of that, and how often each was.
        n_spared: Instances that its COMPLETE and PRUNED trials did without; None if that is not
            known.
        n_unpruned: Instances that its trials would have without; None if that is not known.
        seconds: How long finished trials took.
        settings: What losses depend on, as ``MultiInstanceObjective`` keeps it; empty without.
        best: The best trials, the best first; of several objectives, of the Pareto front.
        n_best: How many there are to choose from: complete trials, or the Pareto front.
        detectable: The smallest difference of two models' criteria that their instances tell; None
            if that is not known.
        leaders: What it takes to tell the two best trials apart; None if that is not known.
        better: The best trial, if the study has a confirmation, but not of it.
        confirmation: What ``confirm`` found, if it was called.
        unreadable: Why the study's confirmation cannot be read, if so.
    """

    study: str
    directions: tuple[str, ...]
    value_names: tuple[str, ...]
    loss_names: tuple[str | None, ...]
    n_trials: dict[str, int]
    n_infeasible: int
    least_infeasible: FrozenTrial | None
    is_robust: bool
    n_trainings: int
    n_reused: int
    n_failures: int
    failure_kinds: dict[str, int]
    n_pruned: int
    reasons: tuple[tuple[str, int], ...]
    n_spared: int | None
    n_unpruned: int | None
    seconds: float
    settings: dict[str, Any]
    best: tuple[FrozenTrial, ...]
    n_best: int
    detectable: float | None
    leaders: Leaders | None
    better: FrozenTrial | None
    confirmation: ConfirmationResult | None
    unreadable: str | None

    @property
    def criteria(self) -> tuple[str, ...]:
        """Names of the criteria that are the trials' values; empty if they are losses."""
        return _criteria(self.settings, len(self.directions))

    @property
    def shown_names(self) -> tuple[str, ...]:
        """What each of its trials' values is, as people read it."""
        if not self.criteria:
            return self.value_names
        return tuple(map(shown_name, self.criteria, self.directions))

    @property
    def heads(self) -> tuple[str, ...]:
        """Heads of columns of its trials' values: what they are, and which are better."""
        if not self.criteria:
            return tuple(map(column_head, self.value_names, self.directions))
        return tuple(
            column_head(*each)
            for each in zip(self.criteria, self.directions, self.loss_names, strict=True)
        )

    @property
    def loss_name(self) -> str | None:
        """What losses are; None if the study does not say so, or has several objectives."""
        return self.loss_names[0] if len(self.directions) == 1 else None

    @property
    def searched_by(self) -> str | None:
        """Name of the criterion that trials were compared by; None if there is not one alone."""
        return self.criteria[0] if len(self.criteria) == 1 else None

    def top(self, n_trials: int) -> StudyReport:
        """Return the report with fewer of the best trials."""
        return replace(self, best=self.best[:n_trials])

    def to_dict(self) -> dict[str, Any]:
        """Return the report as lists, dictionaries, numbers and strings."""
        return {
            "study": self.study,
            "directions": list(self.directions),
            "value_names": list(self.value_names),
            "n_trials": self.n_trials,
            "n_infeasible": self.n_infeasible,
            "is_robust": self.is_robust,
            "n_trainings": self.n_trainings,
            "n_reused": self.n_reused,
            "n_failures": self.n_failures,
            "failure_kinds": self.failure_kinds,
            "n_pruned_instances": self.n_pruned,
            "n_spared": self.n_spared,
            "n_trainings_without_pruning": self.n_unpruned,
            "seconds": self.seconds,
            "settings": self.settings,
            "best_trials": [
                {
                    "number": trial.number,
                    "values": trial.values,
                    "median": trial.user_attrs.get(trials.MEDIAN),
                    "spread": trial.user_attrs.get(trials.SPREAD),
                    "n_instances": n_instances(trial),
                    "n_failures": n_failures(trial),
                    "losses": trials.recorded_losses(trial),
                    "params": trial.params,
                }
                for trial in self.best
            ],
            "detectable_difference": self.detectable,
            "leaders": None if self.leaders is None else self.leaders._asdict(),
            "confirmation": None if self.confirmation is None else self.confirmation.to_dict(),
        }


def study_report(study: Study, *, n_trials: int) -> StudyReport:
    """Return what there is to report of a study.

    Args:
        study:
            Any study.
        n_trials:
            Number of the best trials to report.

    Raises:
        TypeError: If it is no study.
    """
    check_study(study)
    everything = study.get_trials(deepcopy=False)
    settings = dict(study.user_attrs.get(trials.SETTINGS, {}))
    continued = trials.continued_numbers(everything)
    best = (
        [trial for trial in study.best_trials if trial.number not in continued]
        if len(study.directions) > 1
        else complete_trials(study)
    )
    pilot = pilot_of(best, settings)
    confirmation, unreadable = _confirmation(study)
    counts = Counter(trial.state for trial in everything)
    own = [trial for trial in everything if trial.number not in continued]
    n_spared = _n_spared(own, settings)
    complete = [trial for trial in own if trial.state == TrialState.COMPLETE]
    infeasible = [trial for trial in complete if not trials.is_feasible(trial)]
    least = min(infeasible, key=trials.total_violation, default=None)
    return StudyReport(
        study=study.study_name,
        directions=tuple(direction.name.lower() for direction in study.directions),
        value_names=_value_names(study, settings),
        loss_names=_loss_names(study, everything),
        n_trials={name: counts[state] for state, name in _STATES.items()},
        n_infeasible=len(infeasible),
        least_infeasible=least if len(infeasible) == len(complete) else None,
        is_robust=any(map(trials.is_recorded, everything)),
        n_trainings=trials.n_spent_by(everything),
        n_reused=trials.n_reused_by(everything),
        n_failures=sum(map(n_failures, own)),
        failure_kinds=count_kinds(kind for trial in own for kind in trials.failure_kinds(trial)),
        n_pruned=sum(len(whole(trial.user_attrs, trials.PRUNED_INSTANCES, {})) for trial in own),
        reasons=_reasons(own),
        n_spared=n_spared,
        n_unpruned=None if n_spared is None else n_spared + sum(map(n_instances, own)),
        seconds=math.fsum(map(_seconds, own)),
        settings=settings,
        best=tuple(best[:n_trials]),
        n_best=len(best),
        detectable=None if pilot is None else pilot.detectable(),
        leaders=None if pilot is None else pilot.leaders(best[:2]),
        better=_better(best, confirmation),
        confirmation=confirmation,
        unreadable=unreadable,
    )


def _better(
    best: list[FrozenTrial], confirmation: ConfirmationResult | None
) -> FrozenTrial | None:
    """Return the best trial, unless it, or its model, was confirmed."""
    if confirmation is None or not best:
        return None
    numbers = {model.index for model in confirmation.models}
    keys = {model_key(model.params) for model in confirmation.models}
    is_confirmed = best[0].number in numbers or model_key(best[0].params) in keys
    return None if is_confirmed else best[0]


def n_instances(trial: FrozenTrial) -> int:
    """Return how many instances a trial has, trained or taken from a store."""
    if trials.is_recorded(trial):
        return len(whole(trial.user_attrs, trials.LOSSES))
    return trials.n_trainings(trial)


def n_failures(trial: FrozenTrial) -> int:
    """Return how many instances of a trial failed."""
    return len(whole(trial.user_attrs, trials.FAILURES, {}))


def _reasons(own: list[FrozenTrial]) -> tuple[tuple[str, int], ...]:
    told = Counter(
        str(reason)
        for trial in own
        for reason in whole(trial.user_attrs, trials.FAILURES, {}).values()
    )
    return tuple(told.most_common(_N_REASONS))


def loss_name(study: Study) -> str | None:
    """Return the study's name of its losses; None if it has several objectives, or no name."""
    names = study.metric_names
    return names[0] if names and len(study.directions) == 1 else None


def _loss_names(study: Study, everything: list[FrozenTrial]) -> tuple[str | None, ...]:
    names = study.metric_names
    n = len(study.directions)
    # The values of other studies with several objectives are statistics of one loss.
    if names and (n == 1 or any(map(trials.has_several_values, everything))):
        return tuple(names)
    return (None,) * n


def searched_by(study: Study) -> str | None:
    """Return the name of the criterion of a search; None if it had several, or none."""
    criteria = _criteria(study.user_attrs.get(trials.SETTINGS, {}), len(study.directions))
    return criteria[0] if len(criteria) == 1 else None


def _criteria(settings: Mapping[str, Any], n_objectives: int) -> tuple[str, ...]:
    named = tuple(settings.get("criterion", ()))
    return named if len(named) == n_objectives else ()


def _value_names(study: Study, settings: dict[str, Any]) -> tuple[str, ...]:
    n = len(study.directions)
    if criteria := _criteria(settings, n):
        return criteria
    if study.metric_names is not None:
        return tuple(study.metric_names)
    return ("value",) if n == 1 else tuple(f"value {i}" for i in range(n))


def _n_spared(own: list[FrozenTrial], settings: dict[str, Any]) -> int | None:
    n_wanted: int | None = settings.get("n_instances")
    if n_wanted is None:
        return None
    return sum(
        max(0, n_wanted - n_instances(trial))
        for trial in own
        if trials.is_recorded(trial) and trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    )


def _seconds(trial: FrozenTrial) -> float:
    if trials.is_recorded(trial):
        return math.fsum(whole(trial.user_attrs, trials.SECONDS, []))
    finished = trial.state.is_finished() and trial.duration is not None
    return trial.duration.total_seconds() if finished and trial.duration else 0.0


def _confirmation(study: Study) -> tuple[ConfirmationResult | None, str | None]:
    kept = whole(study.user_attrs, trials.CONFIRMATION)
    if kept is None:
        return None, None
    try:
        return ConfirmationResult.from_dict(kept), None
    except ValueError as error:
        return None, str(error)
