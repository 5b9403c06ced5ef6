"""How the trials of one study are judged: criteria, directions, reports, pruner."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
import warnings

from optuna.pruners import BasePruner
from optuna.pruners import WilcoxonPruner
from optuna.study import StudyDirection

from optuna_robust._base.arrays import FloatArray
from optuna_robust._search.pruner import RobustnessPruner
from optuna_robust._search.sampler import RobustnessSampler
from optuna_robust._search.sampler import Target
from optuna_robust._statistics.criteria import check_min_instances
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion
from optuna_robust._statistics.criterion_names import shown_name


if TYPE_CHECKING:
    from optuna.study import Study


@dataclass(frozen=True)
class Judge:
    """How the trials of one study are judged."""

    criteria: tuple[Criterion, ...]
    # Of each loss: one, or, if the objective returns several values, as many as criteria.
    signs: tuple[int, ...]
    multi_objective: bool
    reports_losses: bool
    pruner: RobustnessPruner | None

    @property
    def sign(self) -> int:
        """-1 if the (first) loss is turned round to be minimised, else 1."""
        return self.signs[0]

    @property
    def is_of_several(self) -> bool:
        """Whether each criterion judges a loss of its own."""
        return len(self.signs) > 1

    def values(self, losses: Sequence[FloatArray]) -> tuple[float, ...]:
        """Return the study's values, in the user's orientation; NaN where undefined.

        Args:
            losses:
                Each loss of the instances, to be minimised.
        """
        each = losses if self.is_of_several else [losses[0]] * len(self.criteria)
        return tuple(
            float(criterion.score(own)) * orientation
            for criterion, own, orientation in zip(
                self.criteria, each, self._orientations(), strict=True
            )
        )

    def returned(self, values: tuple[float, ...]) -> float | tuple[float, ...]:
        """Return the values as Optuna takes them."""
        return values if self.multi_objective else values[0]

    def target(self, n_instances: int, *, common_instances: bool) -> Target:
        """Return what a robust search looks for."""
        return Target(
            self.criteria, self._orientations(), self.sign, n_instances, common_instances
        )

    def shown_names(self) -> tuple[str, ...]:
        """Return the names of the criteria, as people read them."""
        return tuple(map(_shown, self.criteria, self._signs()))

    def _orientations(self) -> tuple[int, ...]:
        return tuple(
            1 if self.multi_objective and criterion.kind == "spread" else sign
            for criterion, sign in zip(self.criteria, self._signs(), strict=True)
        )

    def _signs(self) -> tuple[int, ...]:
        return self.signs if self.is_of_several else self.signs * len(self.criteria)


def make_judge(
    study: Study,
    criterion: Criterion | None,
    returns: tuple[Criterion, ...] | None,
    report: str,
    several: tuple[Criterion, ...] | None = None,
) -> Judge:
    """Return how a study's trials are judged, from what the user chose and the study itself.

    Args:
        study:
            The study.
        criterion:
            The user's; None: that of the study's pruner, else q3+iqr.
        returns:
            Criteria that become the values of a multi-objective study.
        report:
            ``"criterion"`` or ``"loss"``.
        several:
            Criteria of the values of an objective that returns as many.

    Raises:
        ValueError: If ``returns`` or ``several`` does not fit the study.
    """
    asked = unwrapped(study.pruner)
    pruner = asked if isinstance(asked, RobustnessPruner) else None
    if several is not None:
        return Judge(several, _signs(study, several), True, False, pruner)
    is_multi = len(study.directions) > 1
    if returns is None and is_multi:
        raise ValueError(
            f"The study has {len(study.directions)} directions. If the objective returns as many "
            "values, give a criterion for each, such as criterion=('q3+iqr', 'mean'); if it "
            "returns one loss, name as many statistics of it, such as returns=('median', 'iqr')."
        )
    if returns is None:
        returns = (criterion or (get_criterion("q3+iqr") if pruner is None else pruner.criterion),)
        sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    else:
        sign = _common_sign(study, returns)
    if pruner is not None and not is_multi and returns[0] != pruner.criterion:
        differ = (
            f"MultiInstanceObjective judges trials by {_told(returns[0], sign)}, but the study's "
            f"RobustnessPruner by {_told(pruner.criterion, sign)}: leave criterion out here, "
            "or give both the same."
        )
        if isinstance(study.sampler, RobustnessSampler):
            raise ValueError(differ)
        warnings.warn(differ, stacklevel=2)
    reports_losses = report == "loss" or isinstance(asked, WilcoxonPruner)
    return Judge(returns, (sign,), is_multi, reports_losses, pruner)


def is_robust(pruner: BasePruner) -> bool:
    """Return True if a pruner is a RobustnessPruner, perhaps inside a PatientPruner."""
    return isinstance(unwrapped(pruner), RobustnessPruner)


def unwrapped(pruner: BasePruner) -> BasePruner:
    """Return the pruner inside a PatientPruner."""
    inner = getattr(pruner, "_wrapped_pruner", None)
    return inner if isinstance(inner, BasePruner) else pruner


def _signs(study: Study, criteria: tuple[Criterion, ...]) -> tuple[int, ...]:
    """Return the sign of each value that an objective returns.

    Raises:
        ValueError: If the criteria do not fit the study.
    """
    names = tuple(criterion.name for criterion in criteria)
    if isinstance(study.sampler, RobustnessSampler):
        raise ValueError(
            f"criterion={names!r} is for an objective of several values, but RobustnessSampler "
            "searches by one loss: use another sampler, such as NSGAIISampler or TPESampler, "
            "whose trials train all their instances, or returns=('median', 'iqr')."
        )
    if len(criteria) != len(study.directions):
        raise ValueError(
            f"criterion={names!r} names {len(criteria)} criteria, but the study has "
            f"{len(study.directions)} directions."
        )
    for criterion, direction in zip(criteria, study.directions, strict=True):
        if criterion.kind == "spread" and direction == StudyDirection.MAXIMIZE:
            raise ValueError(
                f"criterion={names!r}: {criterion.name} is a spread, so its direction must be "
                "minimize, but was maximize."
            )
    # A spread is the same of either sign.
    return tuple(-1 if each == StudyDirection.MAXIMIZE else 1 for each in study.directions)


def _shown(criterion: Criterion, sign: int) -> str:
    return shown_name(criterion, "maximize" if sign < 0 else "minimize")


def _told(criterion: Criterion, sign: int) -> str:
    """Return a criterion as people read it, and as the argument that it was."""
    name = _shown(criterion, sign)
    return name if name == criterion.name else f"{name} (criterion={criterion.name!r})"


def _common_sign(study: Study, returns: tuple[Criterion, ...]) -> int:
    """Return the sign of all criteria of level; checks the directions of a study."""
    names = tuple(criterion.name for criterion in returns)
    if len(returns) != len(study.directions):
        raise ValueError(
            f"returns={names!r} names {len(returns)} criteria, but the study has "
            f"{len(study.directions)} directions."
        )
    level_directions = set()
    for criterion, direction in zip(returns, study.directions, strict=True):
        if criterion.kind != "spread":
            level_directions.add(direction)
        elif direction == StudyDirection.MAXIMIZE:
            raise ValueError(
                f"returns={names!r}: {criterion.name} is a spread, so its direction must be "
                "minimize, but was maximize."
            )
    if len(level_directions) > 1:
        raise ValueError(
            f"returns={names!r}: all criteria but spreads describe the same loss and must have "
            "one direction, but the study has both."
        )
    return -1 if StudyDirection.MAXIMIZE in level_directions else 1


def check_study(study: Study, judge: Judge, n_instances: int, reshuffle: bool) -> None:
    """Check that the study's pruner can work with so many instances; warn if it prunes nothing.

    Raises:
        ValueError: If it cannot.
    """
    for criterion in judge.criteria:
        check_min_instances(criterion, n_instances)
    if judge.pruner is None:
        return
    if judge.pruner.n_instances not in (None, n_instances):
        raise ValueError(
            f"n_instances={judge.pruner.n_instances} of the study's RobustnessPruner differs from "
            f"n_instances={n_instances} of the objective; leave it out there."
        )
    if judge.multi_objective and judge.pruner.tests_incumbent:
        raise ValueError(
            "The rule of the study's RobustnessPruner compares with one best trial, which a "
            "multi-objective study does not have; use rule='halving' or rule=None."
        )
    if judge.is_of_several and judge.pruner.limits_spread:
        raise ValueError(
            "max_spread and max_relative_spread of the study's RobustnessPruner limit one loss, "
            "but the objective returns several values; leave them out."
        )
    if judge.pruner.pairs_instances and reshuffle:
        raise ValueError(
            "reshuffle=True gives every trial instances of its own, which the paired test of the "
            "study's RobustnessPruner cannot compare; choose another rule."
        )
    judge.pruner.check_reach(n_instances)


def check_returns(
    returns: Sequence[str | Callable[[FloatArray], float] | Criterion],
) -> tuple[Criterion, ...]:
    """Return the criteria that the user named.

    Raises:
        TypeError: If ``returns`` is not a sequence.
        ValueError: If it is empty or names an unknown criterion.
    """
    if isinstance(returns, str) or not isinstance(returns, Sequence):
        raise TypeError(
            f"returns must be a sequence of criteria such as ('median', 'iqr'), but was "
            f"{returns!r}."
        )
    if not returns:
        raise ValueError("returns must name at least one criterion, but was empty.")
    return tuple(get_criterion(each) for each in returns)


def check_criteria(
    criteria: Sequence[str | Callable[[FloatArray], float] | Criterion],
) -> tuple[Criterion, ...]:
    """Return the criteria of an objective's values.

    Raises:
        ValueError: If there are fewer than two, or one is unknown.
    """
    if len(criteria) < 2:
        raise ValueError(
            f"criterion must be one criterion, or a sequence of one for each of the study's "
            f"objectives, at least two, but was {criteria!r}."
        )
    return tuple(map(get_criterion, criteria))
