"""Checks of arguments, with the errors that users read.

The command line imports this before it knows what to do: nothing heavy is imported with it.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from enum import Enum
from numbers import Integral
from numbers import Real
from typing import Final
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


# What an instance counts as that failed.
FAILURE_POLICIES = ("worst", "raise", "drop")


class NotGiven(Enum):
    """Default of an option for which None is a choice."""

    NOT_GIVEN = "not given"

    def __repr__(self) -> str:
        """Return it as signatures show it."""
        return "NOT_GIVEN"


NOT_GIVEN: Final = NotGiven.NOT_GIVEN


def given(**options: object) -> dict[str, object]:
    """Return the options that are not None.

    Example:
        >>> from optuna_robust._base.arguments import given
        >>> given(alpha=0.1, tolerance=None)
        {'alpha': 0.1}
    """
    return {name: value for name, value in options.items() if value is not None}


def check_effect(options: Mapping[str, object], taken: Collection[str], where: str) -> None:
    """Check that every option that was given has an effect.

    Args:
        options:
            The options that were given, by name.
        taken:
            Names of those that have one.
        where:
            What takes them, such as ``rule='halving'``.

    Raises:
        ValueError: If one has none.
    """
    for name, value in options.items():
        if name not in taken:
            raise ValueError(f"{name} has no effect with {where}; leave out {name}={value!r}.")


def check_count(name: str, value: object, *, minimum: int) -> int:
    """Return ``value`` as an int of at least ``minimum``.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is too small.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(
            f"{name} must be an integer, but was {value!r} of type {type(value).__name__}."
        )
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, but was {value}.")
    return int(value)


def check_between(
    name: str,
    value: object,
    low: float,
    high: float,
    *,
    closed: bool = False,
) -> float:
    """Return ``value`` as a float in (low, high), or in [low, high] if ``closed``.

    Raises:
        TypeError: If it is not a real number.
        ValueError: If it lies outside, or is NaN.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"{name} must be a number, but was {value!r} of type {type(value).__name__}."
        )
    number = float(value)
    if not (low < number < high or (closed and number in (low, high))):
        interval = f"[{low:g}, {high:g}]" if closed else f"({low:g}, {high:g})"
        raise ValueError(f"{name} must lie in {interval}, but was {value}.")
    return number


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Return ``value`` if it is one of the choices.

    Raises:
        ValueError: If it is none of them.
    """
    allowed = tuple(choices)
    if not isinstance(value, str) or value not in allowed:  # an array would be compared by element
        raise ValueError(f"{name}={value!r} is unknown; choose one of {', '.join(allowed)}.")
    return str(value)


def check_study(study: object) -> None:
    """Check that something is a study.

    Raises:
        TypeError: If it is none.
    """
    from optuna.study import Study  # noqa: PLC0415

    if not isinstance(study, Study):
        raise TypeError(
            f"study must be an Optuna study, but was {study!r:.200} of type "
            f"{type(study).__name__}."
        )


def check_text(name: str, value: object) -> str | None:
    """Return ``value`` if it is a string or None.

    Raises:
        TypeError: If it is neither.
    """
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"{name} must be a string, but was {value!r} of type {type(value).__name__}.")


def check_flag(name: str, value: object) -> bool:
    """Return ``value`` as a bool.

    Raises:
        TypeError: If it is neither True nor False.
    """
    import numpy as np  # noqa: PLC0415

    if isinstance(value, (bool, np.bool_)) or (isinstance(value, Integral) and value in {0, 1}):
        return bool(value)
    raise TypeError(
        f"{name} must be True or False, but was {value!r} of type {type(value).__name__}."
    )


def check_numbers(name: str, value: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return ``value`` as an array of floats.

    Raises:
        TypeError: If it holds anything else than numbers.
    """
    import numpy as np  # noqa: PLC0415

    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(
            f"{name} must be numbers, or rows of numbers of one length, but was {value!r:.200}: "
            f"{error}."
        ) from None
