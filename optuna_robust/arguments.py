"""Checks of arguments, with the errors that users read."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from numbers import Real


# What an instance counts as that failed.
FAILURE_POLICIES = ("worst", "raise", "drop")


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
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is unknown; choose one of {', '.join(allowed)}.")
    return str(value)
