"""Values of hyperparameters as the distributions they come from give them."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import itertools
from types import NoneType
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import OptunaError

from optuna_robust._instances.model_key import canonical_json


class AmbiguousChoicesError(OptunaError, ValueError):
    """Choices of a hyperparameter are equal, or the same in a database, but not the same."""


def canonical_value(distribution: BaseDistribution, value: Any) -> Any:
    """Return a value as a distribution gives it: its type, or its own choice.

    A database keeps choices as JSON: a tuple comes back as a list, and is matched by its form.

    Args:
        distribution:
            The distribution.
        value:
            A value that may lie outside it, if it is a number.

    Raises:
        TypeError: If the distribution cannot give such values.
        ValueError: As well.
    """
    if not isinstance(distribution, CategoricalDistribution):
        return distribution.to_external_repr(distribution.to_internal_repr(value))
    try:
        return distribution.to_external_repr(distribution.to_internal_repr(value))
    except ValueError:
        form = _form(value)
        for choice in distribution.choices:
            if form is not None and _form(choice) == form:
                return choice
        raise


def canonical_params(
    params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
) -> dict[str, Any]:
    """Return a model with the values that its distributions give."""
    return {
        name: canonical_value(distributions[name], value) if name in distributions else value
        for name, value in params.items()
    }


def can_give(distribution: BaseDistribution, value: Any) -> bool:
    """Return True if a value lies in a distribution."""
    try:
        if isinstance(distribution, CategoricalDistribution):
            canonical_value(distribution, value)
            return True
        return distribution._contains(distribution.to_internal_repr(value))
    except (ValueError, TypeError):
        return False


def same_choices(distribution: BaseDistribution | None, choices: Sequence[Any]) -> bool:
    """Return True if a distribution has these choices, perhaps as a database keeps them."""
    if not isinstance(distribution, CategoricalDistribution):
        return False
    forms = [_form(choice) for choice in choices]
    return None not in forms and forms == [_form(choice) for choice in distribution.choices]


def check_choices(name: str, choices: Sequence[Any]) -> None:
    """Check that each choice can be told from the others when a study is read again.

    Raises:
        AmbiguousChoicesError: If it cannot.
    """
    others = [choice for choice in choices if not isinstance(choice, (str, NoneType))]
    if {type(choice) for choice in others} in ({int}, {float}, {bool}, set()):
        return
    forms = [_form(choice) for choice in others]
    for (one, form), (two, other_form) in itertools.combinations(
        zip(others, forms, strict=True), 2
    ):
        same_form = form is not None and form == other_form
        is_same = same_form or bool(np.all(one == two))
        if is_same and not (same_form and type(one) is type(two)):
            raise AmbiguousChoicesError(
                f"The choices {one!r} and {two!r} of {name!r} are different, but Optuna takes one "
                "for the other: a study that is read again would have another model. Use choices "
                "of one type, or names (strings) that the objective translates."
            )


def _form(value: Any) -> str | None:
    """Return a value's JSON; None if it has none."""
    try:
        return canonical_json({"": value})
    except TypeError:
        return None
