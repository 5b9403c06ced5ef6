"""Numbers and hyperparameters as tables show them."""

from __future__ import annotations

from collections.abc import Mapping
import json
import math
from typing import Any


# Strings with one of these are quoted among parameters, so that it is clear where they end.
_QUOTED = frozenset(" ,='\"")


def number(value: float | None, digits: int = 5) -> str:
    """Return a number with so many significant digits; ``-`` where there is none.

    Example:
        >>> from optuna_robust._reporting.summary import number
        >>> number(0.123456789), number(float("nan")), number(None), number(float("inf"))
        ('0.12346', '-', '-', 'inf')
    """
    # Zero has no sign: a spread of none that was turned round is -0.0.
    return "-" if value is None or math.isnan(value) else f"{value or 0:.{digits}g}"


def short_params(params: Mapping[str, Any]) -> str:
    """Return hyperparameters on one line, numbers rounded.

    Example:
        >>> from optuna_robust._reporting.summary import short_params
        >>> short_params({"lr": 0.1 + 0.2, "layers": 3, "act": "relu", "note": "a b"})
        'lr=0.3, layers=3, act=relu, note="a b"'
    """
    return ", ".join(f"{name}={_short(value)}" for name, value in params.items())


def exact_params(params: Mapping[str, Any]) -> str:
    """Return hyperparameters as JSON on one line, numbers with all their digits.

    Example:
        >>> from optuna_robust._reporting.summary import exact_params
        >>> exact_params({"lr": 0.1 + 0.2, "act": "relu"})
        '{"lr": 0.30000000000000004, "act": "relu"}'
    """
    return json.dumps(params, ensure_ascii=False, default=str)


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and (not value or not _QUOTED.isdisjoint(value)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
