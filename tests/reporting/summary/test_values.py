from __future__ import annotations

import math

import pytest

from optuna_robust._reporting.summary import number
from optuna_robust._reporting.summary import short_params


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (123456.789, "1.2346e+05"),
        (-math.inf, "-inf"),
        (math.nan, "-"),
        (None, "-"),
        (7, "7"),
        (-0.0, "0"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


def test_short_params_tell_where_each_value_ends() -> None:
    params = {"a": None, "b": True, "c": "", "d": "x, y=2", "e": 1, "f": 1e-10, "g": 'say "hi"'}
    assert short_params(params) == (
        'a=None, b=True, c="", d="x, y=2", e=1, f=1e-10, g="say \\"hi\\""'
    )
    assert not short_params({})
