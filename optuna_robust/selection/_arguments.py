"""The arguments of a selection: what fits together, and what was meant."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from optuna.study import Study
from optuna.study import StudyDirection

from optuna_robust.arguments import check_choice
from optuna_robust.comparison import get_test
from optuna_robust.criteria import Criterion
from optuna_robust.criteria import get_criterion
from optuna_robust.elimination import check_warmup
from optuna_robust.elimination import EliminationRule
from optuna_robust.elimination import expected_trainings
from optuna_robust.elimination import get_rule
from optuna_robust.elimination import Halving
from optuna_robust.elimination import IncumbentTest
from optuna_robust.elimination import RaceRule


if TYPE_CHECKING:
    from optuna_robust.selection._models import ModelSet
    from optuna_robust.selection._result import Step


DIRECTIONS = ("minimize", "maximize")


def expected_instances(
    rule: EliminationRule,
    n_models: int,
    n_instances: int,
    max_trainings: int | None,
    train_survivors: bool,
) -> int | None:
    """Return how many instances there will be at most, if the rule or a limit tells."""
    if type(rule) is not Halving:
        return max_trainings
    raced, followed = (
        expected_trainings(
            n_models,
            rule.n_warmup_instances,
            upto,
            n_select=rule.n_select,
            reduction_factor=rule.reduction_factor,
        )
        for upto in (None, n_instances)
    )
    expected = followed if train_survivors else min(raced, followed)
    return expected if max_trainings is None else min(expected, max_trainings)


def chosen_rule(
    rule: str | EliminationRule,
    *,
    criterion: Criterion,
    n_instances: int,
    n_warmup_instances: int | None,
    n_select: int,
    alpha: float,
    tolerance: float,
    reduction_factor: float,
    reshuffle: bool,
) -> EliminationRule:
    """Return the rule that the user chose, by its name or as an object.

    Raises:
        TypeError: If it is neither.
        ValueError: If its name is unknown, or it does not fit the other arguments.
    """
    if isinstance(rule, str):
        found = get_rule(
            rule,
            criterion=criterion,
            n_instances=n_instances,
            n_warmup_instances=n_warmup_instances,
            n_select=n_select,
            alpha=alpha,
            tolerance=tolerance,
            reduction_factor=reduction_factor,
            common_instances=not reshuffle,
        )
    elif not _is_rule(rule):
        raise TypeError(
            f"rule must be a name or an elimination rule, with a name and the method eliminate, "
            f"but was {rule!r}."
        )
    elif n_warmup_instances is not None:
        raise ValueError("n_warmup_instances is the rule's own; give it to the rule.")
    elif tolerance:
        raise ValueError("tolerance is the rule's own; give it to the rule.")
    else:
        found = rule
        if isinstance(rule, RaceRule):
            _check_race(rule, criterion, n_instances, n_select, reshuffle)
    check_warmup(getattr(found, "n_warmup_instances", 0), n_instances)
    if reshuffle and isinstance(found, IncumbentTest) and get_test(found.test).paired:
        raise ValueError(
            f"reshuffle=True gives every model instances of its own, which the paired test "
            f"{found.test!r} cannot compare; choose another rule."
        )
    return found


def informed_rule(
    rule: str | EliminationRule,
    eliminates: EliminationRule,
    models: ModelSet,
    *,
    informed: bool | None,
) -> EliminationRule:
    """Return the rule, with the models' hyperparameters if it is a race and shall have them.

    Args:
        rule:
            What the user chose.
        eliminates:
            The rule that it is.
        models:
            The set of models.
        informed:
            None: wherever it has an effect.

    Raises:
        TypeError: If ``informed`` is no boolean.
        ValueError: If the rule cannot use hyperparameters, or is one that has its own.
    """
    if informed is not None:
        if not isinstance(informed, bool):
            raise TypeError(f"informed must be True or False, but was {informed!r}.")
        if not isinstance(rule, str):
            raise ValueError("informed is the rule's own; give models to the rule.")
        if not isinstance(eliminates, RaceRule):
            raise ValueError(f"{informed=} means nothing to rule={rule!r}; leave it out.")
    if not isinstance(rule, str) or not isinstance(eliminates, RaceRule) or informed is False:
        return eliminates
    return replace(eliminates, models=models.params, distributions=models.distributions)


def _check_race(
    rule: RaceRule, criterion: Criterion, n_instances: int, n_select: int, reshuffle: bool
) -> None:
    for name, of_rule, of_selection in (
        ("criterion", get_criterion(rule.criterion).name, criterion.name),
        ("n_instances", rule.n_instances, n_instances),
        ("n_select", rule.n_select, n_select),
        ("common_instances", rule.common_instances, not reshuffle),
    ):
        if of_rule != of_selection:
            raise ValueError(
                f"The race has {name}={of_rule!r}, but the selection {name}={of_selection!r}."
            )


def _is_rule(rule: object) -> bool:
    return callable(getattr(rule, "eliminate", None)) and isinstance(
        getattr(rule, "name", None), str
    )


def check_callbacks(
    callbacks: Sequence[Callable[[Step], object]],
) -> tuple[Callable[[Step], object], ...]:
    """Return the callbacks.

    Raises:
        TypeError: If they are no sequence, or one cannot be called.
    """
    if not isinstance(callbacks, Iterable) or not all(map(callable, found := tuple(callbacks))):
        raise TypeError(f"callbacks must be a sequence of callables, but was {callbacks!r}.")
    return found


def is_maximised(
    direction: str | StudyDirection | None, models: object, study: Study | None
) -> bool:
    """Tell the direction; checks that all that have one have the same.

    Raises:
        TypeError: If ``study`` is no study.
        ValueError: If directions differ, one is unknown, or a study has several objectives.
    """
    told: dict[str, bool] = {}
    if isinstance(direction, StudyDirection):
        direction = direction.name.lower()
    if direction is not None:
        check_choice("direction", direction, DIRECTIONS)
        told[f"direction={direction!r}"] = direction == "maximize"
    for name, each in (("study", study), ("models", models)):
        if isinstance(each, Study):
            if len(each.directions) > 1:
                raise ValueError(
                    f"{name} has {len(each.directions)} objectives, but a selection has one."
                )
            told[f"{name} {each.study_name!r}"] = each.direction == StudyDirection.MAXIMIZE
        elif name == "study" and each is not None:
            raise TypeError(f"study must be an optuna.Study, but was {each!r}.")
    if len(set(told.values())) > 1:
        sides = ", ".join(f"{name} says {DIRECTIONS[side]}" for name, side in told.items())
        raise ValueError(f"Directions differ: {sides}.")
    return any(told.values())
