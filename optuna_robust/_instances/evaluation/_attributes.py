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
            What the objective set; what lists, tuples and dictionaries hold is converted, too,
            keys included. Arrays become lists, named tuples plain ones.

    Raises:
        AttributeValueError: If the value cannot be written as JSON.
    """
    try:
        found = _plain(value)
        json.dumps(found)
    except (TypeError, ValueError, RecursionError) as error:
        raise AttributeValueError(
            f"The user attribute {key!r} must be numbers, strings, booleans, None, or lists and "
            f"dictionaries of these, but was {value!r}: {error}."
        ) from None
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, np.longdouble):
        return float(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return (list if isinstance(value, list) else tuple)(map(_plain, value))
    # Arrays and tensors of any library: PyTorch need not be imported.
    if hasattr(value, "ndim") and callable(getattr(value, "tolist", None)):
        listed = value.tolist()
        return listed if isinstance(listed, np.generic) else _plain(listed)
    return value
