"""The arguments of a selection: what fits together, and what was meant."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from typing import NamedTuple
from typing import TYPE_CHECKING

from optuna.study import Study
from optuna.study import StudyDirection

from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_count
from optuna_robust._base.arguments import check_effect
from optuna_robust._base.arguments import given
from optuna_robust._base.arrays import FloatArray
from optuna_robust._instances.instance import check_n_instances
from optuna_robust._statistics.comparison import get_test
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion
from optuna_robust._statistics.elimination import check_warmup
from optuna_robust._statistics.elimination import EliminationRule
from optuna_robust._statistics.elimination import expected_trainings
from optuna_robust._statistics.elimination import get_rule
from optuna_robust._statistics.elimination import Halving
from optuna_robust._statistics.elimination import IncumbentTest
from optuna_robust._statistics.elimination import RaceRule
from optuna_robust._statistics.elimination import rule_options


if TYPE_CHECKING:
    from optuna_robust._search.selection._models import ModelSet
    from optuna_robust._search.selection._result import Step


DIRECTIONS = ("minimize", "maximize")
# Of what both a selection and its rule go by.
DEFAULTS: dict[str, object] = {"criterion": "q3+iqr", "n_instances": 20, "n_select": 1}


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


class Shared(NamedTuple):
    """What both a selection and its rule go by."""

    criterion: Criterion
    n_instances: int
    n_select: int


def shared_options(
    rule: object,
    *,
    criterion: str | Callable[[FloatArray], float] | Criterion | None,
    n_instances: int | None,
    n_select: int | None,
) -> Shared:
    """Return what both a selection and its rule go by: as given, else the rule's, else defaults.

    Raises:
        TypeError: If one has the wrong type.
        ValueError: If one is out of range.
    """
    # A name has none of them.
    of_rule = given(**{name: getattr(rule, name, None) for name in DEFAULTS})
    values: dict[str, Any] = {
        **DEFAULTS,
        **of_rule,
        **given(criterion=criterion, n_instances=n_instances, n_select=n_select),
    }
    return Shared(
        get_criterion(values["criterion"]),
        check_n_instances(values["n_instances"]),
        check_count("n_select", values["n_select"], minimum=1),
    )


def chosen_rule(
    rule: str | EliminationRule, shared: Shared, options: Mapping[str, Any], *, reshuffle: bool
) -> EliminationRule:
    """Return the rule that the user chose, by its name or as an object.

    Args:
        rule:
            What the user chose.
        shared:
            What both the selection and the rule go by.
        options:
            Further options of the rule that the user gave.
        reshuffle:
            Whether every model has instances of its own.

    Raises:
        TypeError: If it is neither.
        ValueError: If its name is unknown, or it does not fit the other arguments.
    """
    if isinstance(rule, str):
        found = get_rule(rule, **shared._asdict(), **options, common_instances=not reshuffle)
    elif not _is_rule(rule):
        raise TypeError(
            f"rule must be a name or an elimination rule, with a name and the method eliminate, "
            f"but was {rule!r}."
        )
    else:
        found = rule
        if isinstance(rule, IncumbentTest):  # by name it has warned of this already
            rule.warn_if_out_of_reach(shared.n_instances, stacklevel=3)
        taken = [name for name in options if hasattr(rule, name)]
        check_effect(options, taken, f"{rule=}")
        _check_agreement(rule, {**shared._asdict(), **options, "common_instances": not reshuffle})
    check_warmup(getattr(found, "n_warmup_instances", 0), shared.n_instances)
    if reshuffle and isinstance(found, IncumbentTest) and get_test(found.test).paired:
        raise ValueError(
            f"reshuffle=True gives every model instances of its own, which the paired test "
            f"{found.test!r} cannot compare; choose another rule."
        )
    return found


def check_informed(rule: object, informed: bool | None) -> None:
    """Check that a rule can be informed by hyperparameters, if that was asked for.

    Raises:
        TypeError: If ``informed`` is no boolean.
        ValueError: If the rule cannot use hyperparameters, or is an object that has its own.
    """
    if informed is None:
        return
    if not isinstance(informed, bool):
        raise TypeError(f"informed must be True or False, but was {informed!r}.")
    if not isinstance(rule, str):
        raise ValueError("informed is the rule's own; give models to the rule.")
    # It is how a rule that takes hyperparameters gets them.
    taken = {"informed"} if "models" in rule_options(rule) else set()
    check_effect({"informed": informed}, taken, f"{rule=}")


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
    """
    if not isinstance(rule, str) or not isinstance(eliminates, RaceRule) or informed is False:
        return eliminates
    return replace(eliminates, models=models.params, distributions=models.distributions)


def _check_agreement(rule: EliminationRule, options: Mapping[str, Any]) -> None:
    """Check that a rule has the same values as the selection, where it has any.

    Raises:
        ValueError: If it does not.
    """
    for name, value in options.items():
        own = getattr(rule, name, None)
        if own is None:
            continue
        if name == "criterion":
            own = get_criterion(own)
        if own != value:
            of_rule, of_selection = (getattr(each, "name", each) for each in (own, value))
            raise ValueError(
                f"The rule {rule.name!r} has {name}={of_rule!r}, but the selection "
                f"{name}={of_selection!r}: two values for one thing. Give it to the rule alone."
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
