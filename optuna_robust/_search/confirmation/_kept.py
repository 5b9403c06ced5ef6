"""What a study keeps of its confirmations: fresh instances, each trained once, and the largest."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from typing import TYPE_CHECKING
import warnings

from optuna_robust._base.log import logger
from optuna_robust._base.wording import counted
from optuna_robust._instances import trials
from optuna_robust._instances.constraints import ComputedConstraints
from optuna_robust._instances.evaluation import distributions_from_json
from optuna_robust._instances.evaluation import distributions_to_json
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._instances.instance import FIRST_CONFIRMATION
from optuna_robust._instances.long_attributes import set_study_attr
from optuna_robust._instances.long_attributes import whole
from optuna_robust._instances.model_key import model_key
from optuna_robust._search.confirmation._result import ConfirmationResult


if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study

    from optuna_robust._instances.objective_identity import ObjectiveIdentity


# What is kept of an instance at most: see KeptInstances.
_N_KEPT = 6


@dataclass(frozen=True)
class KeptInstances:
    """The fresh instances of one objective, and of one seed, that a study keeps.

    Args:
        study:
            The study.
        objective:
            Which objective trains them.
        seed:
            What their seeds come from.
        vary:
            The sources that differ between instances.
    """

    study: Study
    objective: ObjectiveIdentity
    seed: int
    vary: Sequence[str]

    def outcomes(self) -> dict[tuple[str, int], Outcome]:
        """Return what came of those that the study keeps, by model key and number."""
        return {
            (key, FIRST_CONFIRMATION + position): _outcome(instance, distributions)
            for group in self._groups()
            if self._is_ours(group)
            for distributions in [distributions_from_json(group.get("distributions"))]
            for key, instances in group["models"].items()
            for position, instance in enumerate(instances)
        }

    def add(self, found: Mapping[tuple[str, int], Outcome]) -> None:
        """Keep what came of instances, of each model those before the first that is missing.

        A study that cannot be written to is told of, and nothing else: there may be a result, or
        an exception on its way.
        """
        if not found:
            return
        with _told_if_not_kept():
            self._add(found)

    def _add(self, found: Mapping[tuple[str, int], Outcome]) -> None:
        models: dict[str, list[list[Any]]] = {}
        distributions: dict[str, BaseDistribution] = {}
        for item in sorted({**self.outcomes(), **found}.items(), key=_number):
            (key, number), outcome = item
            distributions.update(outcome.distributions)
            instances = models.setdefault(key, [])
            if number == FIRST_CONFIRMATION + len(instances):
                instances.append(self._kept(outcome))
        ours = {
            "objective": self.objective.to_dict(),
            "seed": self.seed,
            "vary": list(self.vary),
            "models": models,
            "distributions": distributions_to_json(distributions),
        }
        others = [group for group in self._groups() if not self._is_ours(group)]
        set_study_attr(self.study, trials.FRESH, [*others, ours])

    def tell_of_reused(self, n_reused: int) -> None:
        """Log how many instances were not trained, since the study keeps them."""
        if n_reused:
            logger.warning(
                f"{counted(n_reused, 'instance')} of this confirmation "
                f"{'was' if n_reused == 1 else 'were'} taken from the study "
                f"{self.study.study_name!r}, which keeps what the same objective gave with "
                f"seed={self.seed}. What has changed since in its attributes, in globals or in "
                "files cannot be seen: to train new instances, confirm with another seed."
            )

    def _kept(self, outcome: Outcome) -> list[Any]:
        """Return what is kept of an instance; user attributes if constraints come from them."""
        kept: list[Any] = [outcome.loss, outcome.failure, outcome.seconds]
        attrs = outcome.user_attrs if ComputedConstraints(self.study) else {}
        if outcome.failure_kind is not None:
            return [*kept, outcome.constraints, attrs, outcome.failure_kind]
        return [*kept, outcome.constraints, attrs] if outcome.constraints or attrs else kept

    def _groups(self) -> list[dict[str, Any]]:
        return list(whole(self.study.user_attrs, trials.FRESH, []))

    def _is_ours(self, group: Mapping[str, Any]) -> bool:
        return (
            self.objective.is_of(group["objective"])
            and group["seed"] == self.seed
            and group["vary"] == list(self.vary)
        )


def keep_result(study: Study, result: ConfirmationResult, objective: ObjectiveIdentity) -> None:
    """Keep a result as the study's confirmation, unless it has a larger one of the same models.

    Args:
        study:
            The study.
        result:
            Its confirmation.
        objective:
            Which objective was trained: what another one gave is replaced.
    """
    earlier = _earlier(study)
    by = study.user_attrs.get(trials.CONFIRMED_BY)
    is_same_objective = by is None or objective.is_of(by)
    if earlier is not None and is_same_objective and _is_part(result, earlier):
        warnings.warn(
            f"The study {study.study_name!r} keeps its confirmation on {_size(earlier)}: this "
            f"one, on {_size(result)}, is a smaller one of the same models.",
            stacklevel=3,
        )
        return
    if (
        earlier is not None
        and earlier.losses.size > result.losses.size
        and not _is_part(earlier, result)
    ):
        other = "of other models" if is_same_objective else "by another objective"
        warnings.warn(
            f"The study's confirmation on {_size(earlier)} is replaced by one on {_size(result)}, "
            f"{other}.",
            stacklevel=3,
        )
    with _told_if_not_kept():
        set_study_attr(study, trials.CONFIRMATION, result.to_dict())
        study.set_user_attr(trials.CONFIRMED_BY, objective.to_dict())


@contextmanager
def _told_if_not_kept() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        logger.warning(
            "The study does not keep this confirmation, or not all of it: "
            f"{type(error).__name__}: {error}."
        )


def _outcome(kept: Sequence[Any], distributions: dict[str, BaseDistribution]) -> Outcome:
    missing: list[Any] = [None] * (_N_KEPT - len(kept))
    loss, failure, seconds, constraints, user_attrs, kind = [*kept, *missing]
    return Outcome(
        loss,
        failure,
        seconds=seconds,
        constraints=constraints or {},
        user_attrs=user_attrs or {},
        distributions=distributions,
        failure_kind=kind,
    )


def _number(item: tuple[tuple[str, int], Outcome]) -> int:
    return item[0][1]


def _earlier(study: Study) -> ConfirmationResult | None:
    kept = whole(study.user_attrs, trials.CONFIRMATION)
    try:
        return None if kept is None else ConfirmationResult.from_dict(kept)
    except ValueError:  # another version's
        return None


def _is_part(one: ConfirmationResult, other: ConfirmationResult) -> bool:
    """Return True if a confirmation has fewer models or instances than another, and no others."""
    ours, theirs = ({model_key(each.params) for each in result.models} for result in (one, other))
    n_ours, n_theirs = (len(result.instance_numbers) for result in (one, other))
    return ours <= theirs and n_ours <= n_theirs and (ours, n_ours) != (theirs, n_theirs)


def _size(result: ConfirmationResult) -> str:
    n_models, n_instances = result.losses.shape
    return f"{counted(n_instances, 'instance')} of {counted(n_models, 'model')}"
