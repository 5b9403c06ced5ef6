"""Checks of arguments: what passes, and what the errors say."""

from __future__ import annotations

import numpy as np
import pytest

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_count


@pytest.mark.parametrize("value", [2, 7, np.int32(5), np.uint8(2)])
def test_check_count_returns_a_plain_int(value):
    count = check_count("n", value, minimum=2)
    assert count == value
    assert type(count) is int


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (2.0, "float"),
        ("2", "str"),
        (None, "NoneType"),
        (True, "bool"),
        (np.float64(2), "float64"),
        ([2], "list"),
    ],
)
def test_check_count_of_another_type_names_argument_value_and_type(value, kind):
    with pytest.raises(TypeError) as error:
        check_count("n_instances", value, minimum=0)
    assert "n_instances must be an integer" in str(error.value)
    assert repr(value) in str(error.value)
    assert f"of type {kind}" in str(error.value)


@pytest.mark.parametrize("value", [0, -3])
def test_check_count_too_small_names_argument_value_and_minimum(value):
    with pytest.raises(ValueError, match=f"n_instances must be at least 1, but was {value}"):
        check_count("n_instances", value, minimum=1)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), 1e-300])
def test_check_between_returns_a_plain_float(value):
    number = check_between("alpha", value, 0.0, 1.0)
    assert number == value
    assert type(number) is float


def test_check_between_takes_integers():
    assert check_between("reduction_factor", 2, 1.0, np.inf) == 2.0


@pytest.mark.parametrize("value", [0.0, 1.0, 0, 1])
def test_check_between_ends_belong_only_to_a_closed_interval(value):
    assert check_between("share", value, 0.0, 1.0, closed=True) == value
    with pytest.raises(ValueError, match=r"share must lie in \(0, 1\)"):
        check_between("share", value, 0.0, 1.0)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan, np.inf, -np.inf])
def test_check_between_outside_names_argument_value_and_interval(value, closed):
    interval = "[0, 1]" if closed else "(0, 1)"
    with pytest.raises(ValueError) as error:
        check_between("alpha", value, 0.0, 1.0, closed=closed)
    assert str(error.value) == f"alpha must lie in {interval}, but was {value}."


@pytest.mark.parametrize("value", ["0.5", None, True, 0.5j, [0.5]])
def test_check_between_of_another_type_names_argument_value_and_type(value):
    with pytest.raises(TypeError) as error:
        check_between("alpha", value, 0.0, 1.0)
    assert f"alpha must be a number, but was {value!r}" in str(error.value)
    assert type(value).__name__ in str(error.value)


def test_check_choice_returns_a_known_value():
    assert check_choice("rule", "welch", ("halving", "welch")) == "welch"


@pytest.mark.parametrize("value", ["walch", "", None, 3, ["welch"]])
def test_check_choice_unknown_names_argument_value_and_choices(value):
    with pytest.raises(ValueError) as error:
        check_choice("rule", value, iter(("halving", "welch")))
    assert str(error.value) == f"rule={value!r} is unknown; choose one of halving, welch."
