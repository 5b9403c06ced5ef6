"""Criteria: agreement with NumPy, gaps, infinities, equivariance, ranks."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
import numpy as np
import optuna
import pytest

import optuna_robust as opr
from optuna_robust._statistics.criteria import identical
from optuna_robust._statistics.criteria import is_better
from optuna_robust.criteria import CRITERIA
from optuna_robust.criteria import Criterion
from optuna_robust.criteria import get_criterion
from optuna_robust.criteria import rank_models


pytestmark = pytest.mark.filterwarnings("error")

examples = settings(derandomize=True, deadline=None, max_examples=20)
NAMES = tuple(CRITERIA)
LEVELS = ("mean", "median", "q3", "max", "min", "cvar")
SPREADS = ("std", "iqr", "mad")
MIXED = ("q3+iqr", "mean+std")
ORACLES = {
    "mean": np.mean,
    "median": np.median,
    "q3": lambda x: np.quantile(x, 0.75),
    "q3+iqr": lambda x: 2 * np.quantile(x, 0.75) - np.quantile(x, 0.25),
    "max": np.max,
    "min": np.min,
    "std": lambda x: np.std(x, ddof=1),
    "iqr": lambda x: np.subtract(*np.quantile(x, [0.75, 0.25])),
    "mad": lambda x: 1.4826 * np.median(np.abs(x - np.median(x))),
    "cvar": lambda x: cvar_by_minimisation(x, 0.25),
    "mean+std": lambda x: np.mean(x) + np.std(x, ddof=1),
}
finite = st.floats(-1e3, 1e3)


def cvar_by_minimisation(losses, share):
    """Rockafellar & Uryasev (2002), theorem 10: convex and piecewise linear, kinks at losses."""
    return min(a + np.maximum(losses - a, 0.0).sum() / (share * len(losses)) for a in losses)


def matrices(elements=finite, min_instances=2, dims=3):
    shapes = hnp.array_shapes(min_dims=1, max_dims=dims, min_side=min_instances, max_side=9)
    return hnp.arrays(np.float64, shapes, elements=elements)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


def test_criteria_are_those_of_the_design():
    assert set(NAMES) == set(ORACLES)
    assert {name for name in NAMES if CRITERIA[name].kind == "level"} == set(LEVELS)
    assert {name for name in NAMES if CRITERIA[name].kind == "spread"} == set(SPREADS)
    assert {name for name in NAMES if CRITERIA[name].kind == "mixed"} == set(MIXED)


@pytest.mark.parametrize("name", NAMES)
@given(losses=matrices())
@examples
def test_criterion_agrees_with_numpy_on_complete_data(name, losses):
    values = get_criterion(name)(losses)
    assert values.shape == losses.shape[:-1]
    close(values, np.apply_along_axis(ORACLES[name], -1, losses))


@pytest.mark.parametrize("name", NAMES)
def test_criterion_of_no_models_is_empty(name):
    assert get_criterion(name)(np.empty((0, 4))).shape == (0,)


@pytest.mark.parametrize("name", NAMES)
def test_criterion_takes_integers_and_leaves_the_losses_alone(name):
    losses = np.array([[3, 1, 2, 9, 4]])
    before = losses.copy()
    close(get_criterion(name)(losses), [ORACLES[name](losses[0].astype(float))])
    np.testing.assert_array_equal(losses, before)


@pytest.mark.parametrize("name", NAMES)
@given(losses=matrices(), data=st.data())
@examples
def test_criterion_with_gaps_is_that_of_the_trained_losses(name, losses, data):
    gaps = data.draw(hnp.arrays(np.bool_, losses.shape))
    losses[gaps] = np.nan
    values = get_criterion(name)(losses)
    for index in np.ndindex(values.shape):
        trained = losses[index][~gaps[index]]
        if len(trained) < (1 if name in LEVELS else 2):
            assert np.isnan(values[index])
        else:
            close(values[index], ORACLES[name](trained))


@pytest.mark.parametrize("name", NAMES)
def test_criterion_below_its_minimum_of_instances_is_nan(name):
    single = get_criterion(name)([[np.nan, 0.5, np.nan], [np.nan, np.nan, np.nan]])
    assert np.isnan(single[1])
    assert np.isnan(single[0]) == (name not in LEVELS)
    assert np.isnan(get_criterion(name)([[0.5]])[0]) == (name not in LEVELS)


def test_criterion_with_a_minimum_of_its_own():
    criterion = Criterion("range", lambda losses: np.ptp(losses, axis=1), min_instances=3)
    values = criterion([[1.0, 5.0, np.nan], [1.0, 5.0, 2.0]])
    np.testing.assert_array_equal(values, [np.nan, 4.0])


@pytest.mark.parametrize("name", ["mean", "max", "std", "q3", "q3+iqr", "cvar", "mean+std", "iqr"])
def test_criterion_of_one_infinite_loss_in_four_is_infinite(name):
    assert get_criterion(name)([0.1, np.inf, 0.2, 0.3]) == np.inf


@pytest.mark.parametrize("name", ["median", "mad"])
def test_criterion_of_a_minority_of_infinite_losses_is_finite(name):
    losses = np.array([0.1, np.inf, 0.4, 0.3, np.inf])
    expected = {"median": 0.4, "mad": 1.4826 * 0.3}
    close(get_criterion(name)(losses), expected[name])


def test_quantiles_below_the_infinite_losses_are_finite():
    losses = [1.0, 2.0, 3.0, 4.0, np.inf]
    values = [float(get_criterion(name)(losses)) for name in ("median", "q3", "q3+iqr", "min")]
    assert values == [3.0, 4.0, 6.0, 1.0]


@pytest.mark.parametrize("name", NAMES)
def test_criterion_of_infinite_losses_alone_is_infinite(name):
    assert get_criterion(name)([np.inf, np.inf, np.inf]) == np.inf


@pytest.mark.parametrize("name", LEVELS)
def test_level_of_minus_infinity_is_the_best(name):
    assert get_criterion(name)([-np.inf, -np.inf, -np.inf, -np.inf]) == -np.inf


@pytest.mark.parametrize("name", SPREADS + MIXED)
def test_spread_of_minus_infinity_is_the_worst(name):
    assert get_criterion(name)([-np.inf, -np.inf, -np.inf, 0.0]) == np.inf


@pytest.mark.parametrize("name", NAMES)
@given(losses=matrices(st.sampled_from([0.0, -1.5, 2.0, 7.0, np.inf, -np.inf])))
@examples
def test_criterion_of_enough_instances_is_never_nan(name, losses):
    assert not np.isnan(get_criterion(name)(losses)).any()


@pytest.mark.parametrize("name", NAMES)
@given(
    losses=matrices(dims=2),
    scale=st.floats(1e-3, 1e3),
    shift=finite,
)
@examples
def test_criterion_follows_shift_and_scale(name, losses, scale, shift):
    criterion = get_criterion(name)
    moved = 0.0 if name in SPREADS else shift
    expected = moved + scale * criterion(losses)
    np.testing.assert_allclose(criterion(shift + scale * losses), expected, atol=1e-6, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
@given(losses=matrices(st.just(np.nan) | finite, dims=2), data=st.data())
@examples
def test_criterion_ignores_the_order_of_instances(name, losses, data):
    order = data.draw(st.permutations(range(losses.shape[-1])))
    close(get_criterion(name)(losses[..., order]), get_criterion(name)(losses))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 20])
def test_cvar_is_the_minimum_of_its_objective(n):
    losses = np.random.default_rng(n).standard_t(3, size=(20, n))
    expected = [cvar_by_minimisation(row, 0.25) for row in losses]
    close(get_criterion("cvar")(losses), expected)


def test_cvar_is_the_mean_of_the_worst_quarter():
    assert get_criterion("cvar")([5.0, 1.0, 8.0, 2.0, 3.0, 4.0, 6.0, 7.0]) == 7.5


def test_mad_estimates_the_standard_deviation_of_normal_losses():
    losses = np.random.default_rng(0).normal(3.0, 2.0, size=200_000)
    assert get_criterion("mad")(losses) == pytest.approx(2.0, rel=0.02)


def test_callable_gets_the_losses_of_one_model_in_instance_order():
    seen = []

    def last(losses):
        seen.append(losses.tolist())
        return losses[-1]

    values = get_criterion(last)([[3.0, np.nan, 1.0, 2.0], [9.0, 8.0, 7.0, 6.0], [np.nan] * 4])
    np.testing.assert_array_equal(values, [2.0, 6.0, np.nan])
    assert sorted(seen) == [[3.0, 1.0, 2.0], [9.0, 8.0, 7.0, 6.0]]


def test_callable_gets_many_losses_with_gaps_in_instance_order():
    losses = np.arange(60.0)
    losses[::3] = np.nan
    in_order = get_criterion(lambda trained: float((np.diff(trained) > 0.0).all()))
    assert in_order(losses) == 1.0


def test_callable_keeps_the_leading_shape():
    losses = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(get_criterion(np.ptp)(losses), np.full((2, 3), 3.0))


def test_callable_is_named_after_its_function():
    def worst_two(losses):
        return losses.max()

    assert get_criterion(worst_two).name == "worst_two"
    assert get_criterion(worst_two).kind == "custom"


def test_callable_that_is_undefined_is_nan_and_worst_with_an_infinite_loss():
    values = get_criterion(lambda losses: np.nan)([[1.0, 2.0], [1.0, np.inf]])
    np.testing.assert_array_equal(values, [np.nan, np.inf])


def test_get_criterion_returns_a_criterion_as_it_is():
    criterion = Criterion("own", lambda losses: losses.max(axis=1))
    assert get_criterion(criterion) is criterion


@pytest.mark.parametrize("name", ["", "Mean", "q3 + iqr", "variance"])
def test_get_criterion_unknown_name_lists_the_known(name):
    with pytest.raises(ValueError) as error:
        get_criterion(name)
    assert f"criterion={name!r} is unknown" in str(error.value)
    assert all(known in str(error.value) for known in NAMES)


@pytest.mark.parametrize("returned", [None, "0.5", [0.1, 0.2], np.zeros(2), 1j])
def test_a_callable_that_returns_no_number_is_an_error_before_anything_is_trained(returned):
    def objective(trial, instance):
        pytest.fail("trained")

    def wrong(losses):
        return returned

    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(value=0.0))
    for call in (
        lambda: opr.MultiInstanceObjective(objective, criterion=wrong),
        lambda: opr.MultiInstanceObjective(objective, returns=("median", wrong)),
        lambda: opr.robust_select(objective, {"x": [0.1, 0.2]}, criterion=wrong),
        lambda: opr.confirm(study, objective, criterion=wrong),
    ):
        with pytest.raises(TypeError, match="criterion 'wrong' must return a number"):
            call()


def test_a_callable_that_returns_no_number_for_some_losses_is_an_error_then():
    criterion = get_criterion(lambda losses: losses.mean() if losses.mean() < 1.0 else None)
    assert criterion([0.5, 0.7]) == 0.6
    with pytest.raises(TypeError, match=r"criterion '<lambda>' must return .* but returned None"):
        criterion([5.0, 7.0])


@pytest.mark.parametrize("value", [None, 3, ["mean"], 0.5])
def test_get_criterion_of_another_type_is_an_error(value):
    with pytest.raises(TypeError, match="criterion must be a name or a callable"):
        get_criterion(value)


@pytest.mark.parametrize("name", SPREADS)
def test_score_of_identical_losses_has_infinite_spread(name):
    losses = [[0.1, 0.1, 0.1], [0.1, 0.1, np.nan], [0.1, 0.2, 0.4], [0.1, np.nan, np.nan]]
    scores = get_criterion(name).score(losses)
    assert scores[:2].tolist() == [np.inf, np.inf]
    assert 0.0 < scores[2] < np.inf
    assert np.isnan(scores[3])


@pytest.mark.parametrize("name", LEVELS + MIXED)
def test_score_of_identical_losses_keeps_their_level(name):
    assert get_criterion(name).score([[0.25, 0.25, 0.25]]).tolist() == [0.25]


@pytest.mark.parametrize("name", NAMES)
@given(losses=matrices(dims=2))
@examples
def test_score_of_different_losses_is_the_criterion(name, losses):
    losses[..., 0] = losses[..., 1] + 1.0
    criterion = get_criterion(name)
    np.testing.assert_array_equal(criterion.score(losses), criterion(losses))


def test_score_of_a_spread_that_is_zero_by_chance_stays_zero():
    assert get_criterion("mad").score([1.0, 1.0, 1.0, 5.0]) == 0.0


def test_identical_needs_two_equal_finite_losses():
    losses = [
        [1.0, 1.0, np.nan],
        [1.0, np.nan, np.nan],
        [np.nan, np.nan, np.nan],
        [np.inf, np.inf, np.inf],
        [1.0, 1.0, 1.0 + 1e-9],
        [0.0, -0.0, 0.0],
    ]
    assert identical(losses).tolist() == [True, False, False, False, False, True]


@given(scores=st.lists(st.integers(-5, 5).map(float) | st.just(np.nan), min_size=1, max_size=12))
@examples
def test_rank_models_sorts_by_score_then_index_with_nan_last(scores):
    by_hand = sorted(
        range(len(scores)),
        key=lambda i: (math.isnan(scores[i]), 0.0 if math.isnan(scores[i]) else scores[i], i),
    )
    assert rank_models(scores).tolist() == by_hand


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6, -1.0])
def test_rank_models_ties_are_relative(size):
    tied = [size * (1 + 4e-13), size, size * (1 + 2e-13)]
    apart = [size, size * (1 + 4e-12)]
    assert rank_models(tied).tolist() == [0, 1, 2]
    assert rank_models(apart).tolist() == ([0, 1] if size > 0 else [1, 0])


def test_rank_models_ties_reach_from_neighbour_to_neighbour():
    chain = [1 + 1.6e-12, 1.0, 1 + 0.8e-12, 0.5]
    assert rank_models(chain).tolist() == [3, 0, 1, 2]


def test_rank_models_infinite_scores_are_tied():
    scores = [np.inf, 1.0, np.nan, np.inf, -np.inf, np.nan, -np.inf]
    assert rank_models(scores).tolist() == [4, 6, 1, 0, 3, 2, 5]


def test_rank_models_of_no_models_is_empty():
    assert rank_models([]).tolist() == []


@pytest.mark.parametrize(
    ("score", "than", "better"),
    [
        (1.0, 2.0, True),
        (2.0, 1.0, False),
        (1.0, 1.0, False),
        (1.0, 1.0 + 5e-13, False),
        (1.0, 1.0 + 5e-12, True),
        (-2.0, -1.0, True),
        (0.0, 1e-300, True),
        (1.0, np.inf, True),
        (-np.inf, 1.0, True),
        (-np.inf, np.inf, True),
        (np.inf, np.inf, False),
        (-np.inf, -np.inf, False),
        (np.inf, 1.0, False),
        (np.nan, 1.0, False),
        (1.0, np.nan, False),
    ],
)
def test_is_better_by_more_than_a_tie(score, than, better):
    assert is_better(score, than) == better


def test_is_better_broadcasts():
    assert is_better([[1.0], [3.0]], [2.0, 4.0]).tolist() == [[True, True], [False, True]]


def test_no_instances_are_not_trained():
    assert np.isnan(get_criterion("mean")(np.zeros((3, 0)))).tolist() == [True] * 3
    assert get_criterion("mean").score(np.zeros((3, 0))).shape == (3,)
    assert get_criterion("std").score(np.zeros((3, 0))).shape == (3,)
