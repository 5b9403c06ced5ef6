"""Attributes that an objective sets, as every storage can keep them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from optuna.exceptions import OptunaError


class AttributeValueError(OptunaError, TypeError):
    """A user attribute cannot be written as JSON: an error of the objective, not of a model."""


def plain_attribute(key: str, value: Any) -> Any:
    """Return an attribute's value with NumPy's and PyTorch's numbers as plain ones.

    Args:
        key:
            Its name.
        value:
            What the objective set; numbers in lists and dictionaries are converted, too, and
            arrays become lists.

    Raises:
        AttributeValueError: If the value cannot be written as JSON.
    """
    found = _plain(value)
    try:
        json.dumps(found)
    except (TypeError, ValueError) as error:
        raise AttributeValueError(
            f"The user attribute {key!r} must be numbers, strings, booleans, None, or lists and "
            f"dictionaries of these, but was {value!r}: {error}."
        ) from None
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, np.longdouble):
        return float(value)
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if type(value) in {list, tuple}:
        return type(value)(map(_plain, value))
    # Tensors of one number, of any library: PyTorch need not be imported.
    if callable(getattr(value, "item", None)) and getattr(value, "ndim", None) == 0:
        return value.item()
    return value
