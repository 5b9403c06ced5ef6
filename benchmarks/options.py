"""Types of command-line options."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def at_least(minimum: int) -> Callable[[str], int]:
    """Return the type of an integer that is not less than a minimum."""

    def integer(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be an integer, but was {text!r}") from None
        if number < minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}, but was {number}")
        return number

    return integer


def share(text: str) -> float:
    """Return a number between 0 and 1, both excluded."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, but was {text!r}") from None
    if not 0.0 < number < 1.0:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, but was {text}")
    return number
