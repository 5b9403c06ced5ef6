"""The models of a search that are worth a confirmation, best first."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
import math
from typing import Any
from typing import NamedTuple

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.study import StudyDirection

from optuna_robust._base.arrays import FloatArray
from optuna_robust._instances import trials
from optuna_robust._instances.evaluation import canonical_params
from optuna_robust._instances.evaluation import StudyView
from optuna_robust._instances.model_key import model_key
from optuna_robust._instances.model_key import plain
from optuna_robust._instances.trials import complete_trials
from optuna_robust._search.selection import SelectionResult
from optuna_robust._statistics.comparison import value_at
from optuna_robust._statistics.criteria import CRITERIA
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion
from optuna_robust._statistics.criteria import identical
from optuna_robust._statistics.criteria import rank_models


# Of a search that trained every model once.
_DEFAULT_CRITERION = "q3+iqr"


class Optimism(NamedTuple):
    """How much better a search found a model than fresh instances do.

    Attributes:
        value: Positive: too optimistic. NaN where there is nothing to compare.
        statistic: Name of the statistic that is compared.
        n_compared: Of how many instances.
    """

    value: float
    statistic: str
    n_compared: int


@dataclass(frozen=True)
class Candidate:
    """A model that a search found good.

    Attributes:
        params: Its hyperparameters.
        index: Number of its trial, or its index in the selection.
        search_value: Its value in the search, in the user's orientation.
        search_losses: Its losses in the search, to be minimised; None if it was trained once.
        distributions: What its values were suggested from, as far as it is known.
    """

    params: dict[str, Any]
    index: int
    search_value: float
    search_losses: FloatArray | None
    distributions: Mapping[str, BaseDistribution] = field(default_factory=dict)

    def optimism(
        self, fresh: FloatArray, criterion: Criterion, *, sign: int, drops: bool
    ) -> Optimism:
        """Return how much better the search found the model than fresh instances do.

        Args:
            fresh:
                Its losses on fresh instances, to be minimised; NaN where one was dropped.
            criterion:
                What models are compared by.
            sign:
                -1 if losses were turned round to be minimised, else 1.
            drops:
                Whether failures are left out, also those that the search counted as the worst.
        """
        if self.search_losses is None:
            statistic, n_compared = get_criterion("mean"), 1
            before = sign * self.search_value
        else:
            losses = self.search_losses
            if drops:
                losses = losses[np.isfinite(losses)]
            n_fresh = int(np.count_nonzero(~np.isnan(fresh)))
            statistic, n_compared = criterion, min(n_fresh, len(losses))
            before = _value_at(losses, statistic, n_compared)
        # Python's floats: infinity minus infinity is NaN, without a warning.
        return Optimism(
            _value_at(fresh, statistic, n_compared) - before, statistic.name, n_compared
        )


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        candidates: The models, the best first.
        direction: ``"minimize"`` or ``"maximize"``.
        criterion: Name of its criterion; None if it trained every model once.
        settings: What its instances' seeds were made from, as far as it is known.
        study: What objectives see as the study.
    """

    candidates: tuple[Candidate, ...]
    direction: str
    criterion: str | None
    settings: dict[str, Any]
    study: StudyView

    @property
    def sign(self) -> int:
        """-1 if losses are turned round to be minimised, else 1."""
        return -1 if self.direction == "maximize" else 1

    def chosen(
        self, criterion: str | Callable[[FloatArray], float] | Criterion | None
    ) -> Criterion:
        """Return the criterion to compare the models by; None: that of the search.

        Raises:
            TypeError: If it is neither a name nor callable.
            ValueError: If its name is unknown, or the search used a callable.
        """
        if criterion is not None:
            return get_criterion(criterion)
        name = self.criterion or _DEFAULT_CRITERION
        if name not in CRITERIA:
            raise ValueError(
                f"The search used a criterion of its own, {name!r}: give it as criterion."
            )
        return get_criterion(name)


def searched(source: object) -> Search:
    """Return what a search found.

    Raises:
        TypeError: If it is neither a study nor a selection's result.
        ValueError: If it found nothing, or has several objectives.
    """
    if isinstance(source, SelectionResult):
        return _from_selection(source)
    if not isinstance(source, Study):
        raise TypeError(
            "confirm takes a study or the result of robust_select, but got "
            f"{type(source).__name__}."
        )
    if len(source.directions) > 1:
        raise ValueError(
            f"The study {source.study_name!r} has {len(source.directions)} objectives, but a "
            "confirmation ranks models by one criterion. Let robust_select choose among "
            "[trial.params for trial in study.best_trials] by an objective that returns one loss, "
            "and confirm its result."
        )
    found = complete_trials(source)
    if not found:
        raise ValueError(f"The study {source.study_name!r} has no complete (and feasible) trials.")
    sign = -1 if source.direction == StudyDirection.MAXIMIZE else 1
    settings = source.user_attrs.get(trials.SETTINGS, {})
    candidates: dict[str, Candidate] = {}
    for trial in found:
        losses = None
        if trials.is_recorded(trial):
            by_instance = trials.oriented_losses(trial, sign)
            losses = np.array(list(by_instance.values()), dtype=np.float64)
        candidate = Candidate(
            canonical_params(plain(trial.params), trial.distributions),
            trial.number,
            trial.values[0],
            losses,
            trial.distributions,
        )
        candidates.setdefault(model_key(candidate.params), candidate)  # the best trial of a model
    return Search(
        tuple(candidates.values()),
        "maximize" if sign < 0 else "minimize",
        settings.get("criterion", [None])[0],
        settings,
        StudyView.of(source),
    )


def _from_selection(result: SelectionResult) -> Search:
    """Rank the survivors before those that were removed, and these by how far they got.

    Infeasible models count only where none is feasible, those of the least violation first.
    """
    direction = StudyDirection[result.direction.upper()]
    sign = -1 if direction == StudyDirection.MAXIMIZE else 1
    removals, last = result.removals, len(result.steps) + 1
    groups: dict[tuple[float, int], list[int]] = {}
    for model, violation in enumerate(result.violations):
        if violation == 0.0 or not result.is_feasible:
            step = removals[model][0] if model in removals else last
            groups.setdefault((violation, -step), []).append(model)
    ranked = [
        models[position]
        for _, models in sorted(groups.items())
        for position in rank_models(sign * result.values[models])
    ]
    return Search(
        tuple(
            Candidate(
                plain(result.models[model]),
                model,
                float(result.values[model]),
                sign * result.losses[model][~np.isnan(result.losses[model])],
            )
            for model in ranked
        ),
        result.direction,
        result.criterion,
        result.settings,
        StudyView(directions=[direction], **result.settings.get("study", {})),
    )


def _value_at(losses: FloatArray, criterion: Criterion, n: int) -> float:
    """Return a criterion at n instances; NaN without any, and where the spread is unknown."""
    if n == 0 or (criterion.kind == "spread" and identical(losses)):
        return math.nan
    return value_at(losses, criterion, n)
