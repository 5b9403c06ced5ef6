"""Hyperparameters as features."""

from __future__ import annotations

import math

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
import pytest

from optuna_robust._statistics.comparison import fit_encoding
from optuna_robust.comparison import encode_models


def encoded(name, values, distributions=None):
    return encode_models([{name: value} for value in values], distributions)


def test_numbers_lie_between_0_and_1():
    np.testing.assert_allclose(encoded("x", [3, 5, 4])[:, 0], [0.0, 1.0, 0.5])


def test_numbers_over_many_decades_are_logarithmic():
    np.testing.assert_allclose(encoded("lr", [1e-4, 1e-2, 1.0])[:, 0], [0.0, 0.5, 1.0])
    np.testing.assert_allclose(encoded("n", [1, 50, 99])[:, 0], [0.0, 0.5, 1.0])
    np.testing.assert_allclose(encoded("x", [-1.0, 0.0, 1e4])[:, 0], [0.0, 1e-4, 1.0], atol=1e-6)


@pytest.mark.parametrize(
    ("distribution", "middle"),
    [
        (FloatDistribution(0.1, 10.0, log=True), 0.5),
        (FloatDistribution(0.1, 10.0), 0.9 / 9.9),
        (IntDistribution(1, 1000), 9.0 / 999.0),
    ],
)
def test_distributions_tell_logarithms(distribution, middle):
    values = [0.1, 1.0, 10.0] if isinstance(distribution, FloatDistribution) else [1, 10, 1000]
    found = encoded("x", values, [{"x": distribution}] * 3)
    np.testing.assert_allclose(found[:, 0], [0.0, middle, 1.0])


def test_a_category_is_a_feature_and_the_last_of_two_is_not():
    np.testing.assert_array_equal(encoded("net", ["a", "b", "a"]), [[1.0], [0.0], [1.0]])
    found = encoded("net", ["a", "b", "c", "a", "b", "c"])
    np.testing.assert_array_equal(found, np.vstack([np.eye(3), np.eye(3)]))


def test_numbers_that_are_categories_keep_their_order():
    space = {"batch": CategoricalDistribution([32, 64, 128])}
    np.testing.assert_allclose(encoded("batch", [32, 128, 64], [space] * 3)[:, 0], [0, 1, 1 / 3])


def test_booleans_and_none():
    np.testing.assert_array_equal(encoded("bias", [True, False])[:, 0], [1.0, 0.0])
    found = encoded("decay", [None, 0.1, None, 0.3])
    np.testing.assert_allclose(found, [[0.5, 1.0], [0.0, 0.0], [0.5, 1.0], [1.0, 0.0]])


def test_parameters_of_a_branch_have_a_feature_for_being_absent():
    models = [{"opt": "sgd", "momentum": 0.9}, {"opt": "adam"}, {"opt": "sgd", "momentum": 0.5}]
    found = encode_models(models)
    np.testing.assert_allclose(found, [[1.0, 0.0, 1.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])


def test_sequences_are_their_length_and_items():
    found = encoded("hidden", [(64, 32), (64,), [128, 32]])
    assert found.shape == (3, 3)
    np.testing.assert_allclose(found[:, 0], [1.0, 0.0, 1.0])  # length
    np.testing.assert_allclose(found[:, 1], [0.0, 0.0, 1.0])  # first item
    np.testing.assert_allclose(found[:, 2], [0.0, 1.0, 0.0])  # no second one


def test_mixed_types_and_numbers_that_are_not_finite():
    found = encoded("x", [1, "auto", 2.0, "auto", math.nan, math.inf])
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[:, 1], [0.0, 1.0, 0.0, 1.0, 0.0, 0.0])


def test_what_is_the_same_for_all_is_left_out():
    assert encode_models([{"a": 1, "b": "x"}] * 3).shape == (3, 0)
    assert encode_models([{}, {}]).shape == (2, 0)


def test_text_that_labels_models_is_left_out():
    assert encoded("name", [f"model_{i}" for i in range(100)]).shape == (100, 0)


def test_models_that_come_later_have_the_same_features():
    encoding = fit_encoding([{"x": 1, "k": "a"}, {"x": 3, "k": "b"}, {"x": 2, "k": "c"}] * 2)
    later = encoding.encode([{"x": 5, "k": "d"}, {"k": "b"}])
    np.testing.assert_allclose(later, [[0.0, 0.0, 0.0, 2.0], [0.0, 1.0, 0.0, 0.5]])


def test_bad_models_are_named():
    with pytest.raises(TypeError, match=r"models\[1\] must be"):
        encode_models([{"x": 1}, 2])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="distributions must be those of the 1 models"):
        encode_models([{"x": 1}], [])
