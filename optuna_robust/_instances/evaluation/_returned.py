"""What an objective returned, as the losses of its instances."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from collections.abc import Set


# What can be iterated over, but is not numbers in an order.
_NO_SEQUENCE = (str, bytes, Mapping, Set)


def as_loss(returned: object) -> float:
    """Return what the objective returned as a float.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is a sequence, but not of one number.
    """
    wrong = (
        "The objective must return one loss, a number, for each instance, but returned "
        f"{returned!r} of type {type(returned).__name__}."
    )
    if isinstance(returned, Sequence) and not isinstance(returned, (str, bytes)):
        if len(returned) != 1:
            raise ValueError(
                f"{wrong} For a study of several objectives, give MultiInstanceObjective a "
                "criterion for each, such as criterion=('q3+iqr', 'mean'); selections and "
                "confirmations have one."
            )
        returned = returned[0]
    if isinstance(returned, (str, bytes)) or not hasattr(returned, "__float__"):
        raise TypeError(wrong)
    try:
        # float() of a tensor with a gradient warns, and of an array with one element fails.
        return float(returned.item() if hasattr(returned, "item") else returned)
    except (TypeError, ValueError, RuntimeError):  # arrays and tensors of several numbers
        raise ValueError(wrong) from None


def as_losses(returned: object, n: int) -> list[float]:
    """Return what an objective of several instances returned as floats.

    Raises:
        TypeError: If it is no sequence of numbers.
        ValueError: If there are not as many as instances.
    """
    if isinstance(returned, _NO_SEQUENCE) or not isinstance(returned, Iterable):
        raise TypeError(
            f"The objective must return a loss for each of its {n} instances, but returned "
            f"{returned!r} of type {type(returned).__name__}."
        )
    losses = list(returned)
    if len(losses) != n:
        raise ValueError(
            f"The objective must return a loss for each of its {n} instances, but returned "
            f"{len(losses)}."
        )
    return [as_loss(loss) for loss in losses]


def as_values(returned: object, n: int) -> list[float]:
    """Return several values of one instance as floats.

    Raises:
        TypeError: If they are no sequence of numbers.
        ValueError: If there are not ``n``.
    """
    wrong = (
        f"The objective must return {n} values for each instance, one for each criterion, but "
        f"returned {returned!r} of type {type(returned).__name__}."
    )
    if isinstance(returned, _NO_SEQUENCE) or not isinstance(returned, Iterable):
        raise TypeError(wrong)
    values = list(returned)
    if len(values) != n:
        raise ValueError(wrong)
    return [as_loss(value) for value in values]
