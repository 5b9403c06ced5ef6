"""What makes two models the same model: their hyperparameters in canonical form."""

from __future__ import annotations

from collections.abc import Mapping
import hashlib
import json
from typing import Any

import numpy as np


def canonical_json(params: Mapping[str, Any]) -> str:
    """Return hyperparameters as JSON that is the same for the same model.

    Keys are sorted and NumPy's scalars are plain numbers. The integer 1 and the float 1.0 are
    different values, as they are for many libraries (``max_features`` of scikit-learn).

    Args:
        params:
            Hyperparameters by name.

    Raises:
        TypeError: If a name is not a string or a value is no JSON value.

    Example:
        >>> from optuna_robust._instances.model_key import canonical_json
        >>> canonical_json({"width": 8, "lr": 0.1})
        '{"lr":0.1,"width":8}'
    """
    for name in params:
        if not isinstance(name, str):
            raise TypeError(f"Names of hyperparameters must be strings, but one was {name!r}.")
    try:
        return _ENCODER.encode(params)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"Hyperparameters must be numbers, strings, booleans, None, or lists of these, but "
            f"were {dict(params)!r}: {error}."
        ) from None


def model_key(params: Mapping[str, Any]) -> str:
    """Return the hash of a model: SHA-256 of its canonical JSON, 64 hexadecimal digits.

    Example:
        >>> from optuna_robust._instances.model_key import model_key
        >>> model_key({"width": 8, "lr": 0.1}) == model_key({"lr": 0.1, "width": 8})
        True
    """
    return hashlib.sha256(canonical_json(params).encode()).hexdigest()


def plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a model without NumPy's scalars, which JSON refuses."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in params.items()
    }


def _plain(value: object) -> object:
    if isinstance(value, np.longdouble):
        return float(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} of type {type(value).__name__} is none of them")


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_plain)
