"""What a robust search looks for: criteria, direction, and how many instances a model gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import TYPE_CHECKING

from optuna.study import StudyDirection

from optuna_robust._instances.trials import SETTINGS
from optuna_robust._search.pruner import RobustnessPruner
from optuna_robust._statistics.criteria import CRITERIA
from optuna_robust._statistics.criteria import Criterion


if TYPE_CHECKING:
    from optuna.study import Study


@dataclass(frozen=True)
class Target:
    """What a robust search looks for.

    Attributes:
        criteria: One for each objective of the study.
        orientations: What turns each criterion into the study's value, 1 or -1; same length.
        sign: -1 if losses are turned round to be minimised, else 1.
        n_instances: Most instances of a model.
        common_instances: Whether instance j is the same for all models.
    """

    criteria: tuple[Criterion, ...]
    orientations: tuple[int, ...]
    sign: int
    n_instances: int
    common_instances: bool


def kept_target(study: Study, criteria: Sequence[Criterion] | None = None) -> Target | None:
    """Return the target of a study that :class:`~optuna_robust.MultiInstanceObjective` began.

    Args:
        study:
            The study.
        criteria:
            What models are judged by, one for each objective. Default: what the study was begun
            with, by name; a callable is known if it is that of the study's pruner.

    Returns:
        The target; None if the study has none, or its criteria are not known.
    """
    kept: dict[str, Any] | None = study.user_attrs.get(SETTINGS)
    if kept is None:
        return None
    if criteria is None:
        known = dict(CRITERIA)
        if isinstance(study.pruner, RobustnessPruner):
            known[study.pruner.criterion.name] = study.pruner.criterion
        criteria = [known[name] for name in kept["criterion"] if name in known]
    if len(criteria) != len(study.directions):
        return None
    orientations = tuple(
        -1 if direction == StudyDirection.MAXIMIZE else 1 for direction in study.directions
    )
    return Target(
        tuple(criteria),
        orientations,
        min(orientations),  # levels share one direction, and spreads are minimised
        int(kept["n_instances"]),
        not kept["reshuffle"],
    )
