"""Which model a study recommends, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
import math
from typing import Any
from typing import TYPE_CHECKING
import warnings

import numpy as np

from optuna_robust._base.arguments import check_study
from optuna_robust._base.arrays import FloatArray
from optuna_robust._base.wording import counted
from optuna_robust._search.sampler._models import StudyModels
from optuna_robust._search.sampler._sampler import RobustnessSampler
from optuna_robust._search.sampler._standing import Standing
from optuna_robust._search.sampler._standing import standing
from optuna_robust._search.sampler._target import kept_target
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion
from optuna_robust._statistics.criteria import is_better
from optuna_robust._statistics.criteria import warn_of_luck
from optuna_robust._statistics.criterion_names import shown_name
from optuna_robust._statistics.criterion_names import shown_sign


if TYPE_CHECKING:
    from optuna.study import Study


@dataclass(frozen=True)
class Recommendation:
    """The model that a study recommends.

    Attributes:
        params: Its hyperparameters.
        number: Number of the trial that has its losses.
        value: Its criterion over all its instances, in the study's direction; the expected one
            while instances are missing.
        std: Standard deviation of that; 0 for a model with all its instances, NaN while nothing
            tells the noise.
        probability: That it is the best of all models that were tried; NaN while nothing tells
            the noise.
        n_instances: How many instances it has.
        n_missing: How many it lacks.
        criterion: Name of the criterion.
        violation: By how much it violates its constraints in all; 0 if it is feasible. No model
            is feasible if it is not.
        direction: ``"minimize"`` or ``"maximize"``, of the study.
    """

    params: dict[str, Any] = field(repr=False)
    number: int
    value: float
    std: float
    probability: float
    n_instances: int
    n_missing: int
    criterion: str
    violation: float = 0.0
    direction: str = "minimize"

    def __str__(self) -> str:
        """Say it in two lines, or three."""
        value = shown_sign(self.criterion, self.direction) * self.value
        left = f", {self.n_missing} are missing" if self.n_missing else ""
        infeasible = (
            f"no model is feasible: it violates its constraints by {self.violation:.6g}\n"
            if self.violation > 0.0
            else ""
        )
        return (
            f"trial {self.number}: {shown_name(self.criterion, self.direction)} {value:.6g} of "
            f"{counted(self.n_instances, 'instance')}{left}; "
            f"the best of all models with probability {self.probability:.2f}\n"
            f"{infeasible}"
            f"take {self.params}"
        )


def recommend(
    study: Study, criterion: str | Callable[[FloatArray], float] | Criterion | None = None
) -> Recommendation:
    """Return the model that a study recommends, and the probability that it is the best.

    It is the one whose criterion over all ``n_instances`` is expected to be the best
    (:func:`~optuna_robust.comparison.criterion_posterior`; hyperparameters inform it, unless the
    study's sampler says ``informed=False``), feasible models first. At the end of a
    search with :class:`~optuna_robust.RobustnessSampler` and
    :class:`~optuna_robust.MaxInstancesCallback` that is ``study.best_trial``, unless a model that
    could not be completed within the budget is expected to be better still.

    The probability is about the criterion over the ``n_instances`` that models have or will have.
    That over fresh instances is worse on the whole, since the best of many was lucky: see
    :func:`~optuna_robust.confirm`.

    Example:
        >>> import optuna
        >>> import optuna_robust as opr
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> def objective(trial, instance):
        ...     return trial.suggest_float("x", 0, 1) ** 2 + 0.1 * instance.rng.normal()
        >>> study = optuna.create_study(sampler=opr.RobustnessSampler(seed=0))
        >>> study.optimize(
        ...     opr.MultiInstanceObjective(objective, n_instances=4),
        ...     callbacks=[opr.MaxInstancesCallback(40)],
        ... )
        >>> found = opr.recommend(study)
        >>> found.params == study.best_params, found.n_instances, found.n_missing
        (True, 4, 0)

    Args:
        study:
            A study of :class:`~optuna_robust.MultiInstanceObjective`, with any sampler.
        criterion:
            What models are judged by. Default: what the study was searched by.

    Returns:
        The recommendation.

    Raises:
        TypeError: If it is no study.
        ValueError: If the study has several objectives, no instance, or was searched by a
            callable, which must be given.
    """
    check_study(study)
    if len(study.directions) > 1:
        raise ValueError(
            f"The study has {len(study.directions)} objectives, so that no model is the best; "
            "study.best_trials are those that no other one is better than."
        )
    target = kept_target(study, None if criterion is None else [get_criterion(criterion)])
    if target is None:
        raise ValueError(
            f"The study {study.study_name!r} holds no instances of MultiInstanceObjective, or was "
            "searched by a criterion of its own; give that as criterion."
        )
    warn_of_luck(target.criteria[0])
    models = StudyModels(target.sign)
    models.update(study.get_trials(deepcopy=False))
    if not any(model.losses for model in models.all):
        raise ValueError(f"The study {study.study_name!r} has no instance with a loss yet.")
    sampler = study.sampler
    informed = sampler.informed if isinstance(sampler, RobustnessSampler) else True
    found = standing(models.all, target, informed=informed)
    row = _first_of_the_best(found)
    best = found.models[row]
    known = bool(found.posteriors)
    if best.violation > 0.0:
        warnings.warn(
            f"No model of the study {study.study_name!r} is feasible: the recommended one "
            f"violates its constraints by {best.violation:.6g}.",
            stacklevel=2,
        )
    return Recommendation(
        params=dict(best.latest.params),
        number=best.latest.number,
        value=float(target.orientations[0] * found.values[row, 0]),
        std=float(found.posteriors[0].std[row]) if known else math.nan,
        probability=float(found.chances_of_best[row]) if known else math.nan,
        n_instances=best.n_instances,
        n_missing=int(found.n_missing()[row]),
        criterion=target.criteria[0].name,
        violation=best.violation,
        direction=study.direction.name.lower(),
    )


def _first_of_the_best(found: Standing) -> int:
    """Return the row of the best model; of tied ones that which was complete first, as Optuna."""
    goes_on = np.array([not model.stopped for model in found.models])
    best = found.best(goes_on if goes_on.any() else ~goes_on)
    row = found.models.index(best)
    tied = (found.n_missing() == 0) & ~is_better(found.values[row, 0], found.values[:, 0])
    rows = [
        each
        for each in np.flatnonzero(tied).tolist()
        if found.models[each].violation == best.violation and goes_on[each]
    ]
    return min(rows, key=lambda each: found.models[each].latest.number, default=row)
