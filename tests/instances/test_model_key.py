from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest

from optuna_robust._instances.model_key import canonical_json
from optuna_robust._instances.model_key import model_key


examples = settings(derandomize=True, deadline=None, max_examples=25)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@examples
@given(st.dictionaries(st.text(), values), st.randoms())
def test_the_order_of_names_does_not_matter(params: dict[str, Any], random: Any) -> None:
    names = list(params)
    random.shuffle(names)
    shuffled = {name: params[name] for name in names}
    assert canonical_json(shuffled) == canonical_json(params)
    assert model_key(shuffled) == model_key(params)


@examples
@given(st.dictionaries(st.text(), values))
def test_what_is_read_back_is_the_same_model(params: dict[str, Any]) -> None:
    text = canonical_json(params)
    assert json.loads(text) == params
    assert canonical_json(json.loads(text)) == text
    assert text.isascii()


@pytest.mark.parametrize(
    ("scalar", "plain"),
    [
        (np.int64(3), 3),
        (np.uint8(3), 3),
        (np.float64(0.1), 0.1),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("relu"), "relu"),
    ],
)
def test_scalars_of_numpy_are_plain_values(scalar: object, plain: object) -> None:
    assert canonical_json({"a": scalar}) == canonical_json({"a": plain})
    assert canonical_json({"a": [scalar]}) == canonical_json({"a": [plain]})


@pytest.mark.parametrize(
    "different",
    [
        [1, 1.0],
        [1, True],
        [0, False],
        [1, "1"],
        [None, "null"],
        [None, ""],
        [[1, 2], [2, 1]],
        [[1, [2]], [[1], 2]],
        [[], None],
        [0.1, 0.1 + 2**-56],
        ["é", "e\u0301"],
    ],
)
def test_different_values_are_different_models(different: list[Any]) -> None:
    keys = {model_key({"a": value}) for value in different}
    assert len(keys) == len(different)


def test_different_names_are_different_models() -> None:
    assert model_key({"a": 1}) != model_key({"b": 1})
    assert model_key({"a": 1}) != model_key({"a": 1, "b": 1})
    assert model_key({}) != model_key({"": None})


def test_tuples_are_lists() -> None:
    assert model_key({"layers": (8, (4, 2))}) == model_key({"layers": [8, [4, 2]]})


def test_the_key_is_the_hash_of_the_canonical_form() -> None:
    params = {"width": 8, "lr": 0.1, "kind": "ä"}
    assert canonical_json(params) == '{"kind":"\\u00e4","lr":0.1,"width":8}'
    assert model_key(params) == hashlib.sha256(canonical_json(params).encode()).hexdigest()


def test_the_key_is_the_same_in_another_process() -> None:
    code = (
        "from optuna_robust._instances.model_key import model_key\n"
        "print(model_key({'b': 'x', 'a': .1}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == model_key({"a": 0.1, "b": "x"})


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        b"bytes",
        1j,
        np.array([1, 2]),
        np.complex128(1j),
        np.datetime64("2020-01-01"),
        [1, object()],
        len,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_is_none_of_json_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="must be numbers, strings, booleans, None, or lists"):
        model_key({"good": 1, "bad": value})


def test_a_list_that_holds_itself_is_a_type_error() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(TypeError, match="must be numbers"):
        model_key({"bad": endless})


@pytest.mark.parametrize("name", [1, None, ("a",), b"a"])
def test_a_name_that_is_no_string_is_a_type_error(name: Any) -> None:
    with pytest.raises(TypeError, match="must be strings"):
        model_key({name: 1})
