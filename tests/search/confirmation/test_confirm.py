"""The confirmation of models on fresh instances, through its public function."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from itertools import combinations
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from scipy import integrate
from scipy import stats

from optuna_robust import confirm
from optuna_robust import ConfirmationResult
from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import MultiInstanceObjective
from optuna_robust import robust_select
from optuna_robust.comparison import bootstrap_interval
from optuna_robust.comparison import compare_with_reference
from optuna_robust.comparison import holm
from optuna_robust.comparison import paired_criterion_test
from optuna_robust.comparison import probability_of_best
from optuna_robust.criteria import get_criterion
from tests.objectives import noisy
from tests.objectives import study_of


pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

Objective = Callable[..., float]
FIRST = 1_000_000
inf, nan = math.inf, math.nan
both_directions = pytest.mark.parametrize("direction", ["minimize", "maximize"])


def ordinary_study(values: Mapping[float, float], **kwargs: Any) -> optuna.Study:
    """A study that was run without this package: a trial of each x, and its value."""
    study = study_of(**kwargs)
    for x in values:
        study.enqueue_trial({"x": x})
    study.optimize(lambda trial: values[trial.suggest_float("x", 0, 1)], n_trials=len(values))
    return study


def robust_study(
    objective: Objective, models: Sequence[float], n_instances: int, **kwargs: Any
) -> optuna.Study:
    study = study_of(direction=kwargs.pop("direction", "minimize"))
    for x in models:
        study.enqueue_trial({"x": x})
    study.optimize(MultiInstanceObjective(objective, n_instances, **kwargs), len(models))
    return study


def tabled(
    fresh: Mapping[float, Sequence[Any]], search: Mapping[float, Sequence[Any]] | None = None
) -> Objective:
    """An objective that returns, or raises, what tables say for a model and an instance."""

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        if instance.phase == "confirmation":
            outcome = fresh[x][instance.number - FIRST]
        else:
            assert search is not None
            outcome = search[x][instance.number]
        if isinstance(outcome, BaseException):
            raise outcome
        return float(outcome)

    return objective


def normal(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=shape)


def own_noise(trial: optuna.Trial, instance: Instance) -> float:
    """Standard normal, whatever the model is; another value for each model and instance."""
    model = int(1e6 * trial.suggest_float("x", 0, 1))
    return float(np.random.default_rng([instance.seed, model]).normal())


def findings(result: ConfirmationResult) -> str:
    """Return all that does not depend on who trained what, and how long it took."""
    plain = result.to_dict()
    for name in ("n_trainings", "n_reused", "seconds"):
        del plain[name]
    return repr(plain)


# --- fresh instances -----------------------------------------------------------------------------


def test_instances_are_fresh_and_common_to_the_models() -> None:
    seen: list[tuple[dict[str, Any], int, Instance]] = []

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        seen.append((trial.params, trial.number, instance))
        return noisy(trial, instance)

    study = study_of()
    study.optimize(MultiInstanceObjective(objective, 4, seed=7), n_trials=5)
    searched = [instance for _, _, instance in seen]
    seen.clear()
    result = confirm(study, objective, n_instances=6)

    fresh = [instance for _, _, instance in seen]
    assert {instance.phase for instance in fresh} == {"confirmation"}
    assert result.instance_numbers == tuple(range(FIRST, FIRST + 6))
    by_model = {
        number: [instance for _, other, instance in seen if other == number]
        for _, number, _ in seen
    }
    assert list(by_model) == [model.index for model in result.models]
    for instances in by_model.values():
        assert [instance.number for instance in instances] == list(result.instance_numbers)
    for kind in ("seed", "order_seed"):
        seeds = [[getattr(each, kind) for each in instances] for instances in by_model.values()]
        assert seeds[0] == seeds[1] == seeds[2]
        assert len(set(seeds[0])) == 6
        assert not set(seeds[0]) & {getattr(each, kind) for each in searched}
    # No search of this seed has them, however long it is.
    assert not {each.seed for each in fresh} & {
        Instance(number, study_seed=7).seed for number in range(2000)
    }


@both_directions
def test_the_objective_sees_the_trial_of_the_search(direction: str) -> None:
    study = ordinary_study({0.1: 3.0, 0.2: 1.0, 0.3: 2.0}, direction=direction)

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        assert trial.params == study.trials[trial.number].params
        assert trial.study.direction == study.direction
        return trial.suggest_float("x", 0, 1) + float(instance.rng.normal())

    result = confirm(study, objective, n_instances=2, on_failure="raise")
    assert {model.index for model in result.models} == {0, 1, 2}


def test_an_unchanged_objective_is_seeded_alike_for_every_model() -> None:
    def unchanged(trial: optuna.Trial) -> float:
        return 10.0 * trial.suggest_float("x", 0, 1) + float(np.random.normal())

    study = ordinary_study({0.2: 1.0, 0.4: 2.0})
    result = confirm(study, unchanged, n_instances=5)
    assert len(np.unique(result.losses)) == 10
    np.testing.assert_allclose(result.losses[1] - result.losses[0], 2.0)
    assert findings(confirm(study, unchanged, n_instances=5)) == findings(result)


@pytest.mark.parametrize("on_failure", ["worst", "drop", "raise"])
def test_a_model_that_the_objective_does_not_know_is_an_error(on_failure: str) -> None:
    study = ordinary_study({0.2: 1.0, 0.9: 2.0})
    with pytest.raises(ValueError, match=r"x=0\.9 is not what the objective may be given"):
        confirm(study, lambda trial: trial.suggest_float("x", 0, 0.5), on_failure=on_failure)
    with pytest.raises(ValueError, match="asks for the hyperparameter 'y', which the model"):
        confirm(study, lambda trial: trial.suggest_float("y", 0, 1), on_failure=on_failure)


def test_the_wrapper_of_the_search_is_no_objective() -> None:
    # It would train the instances of the search again, and confirm whatever the search said.
    wrapper = MultiInstanceObjective(noisy, 3)
    study = study_of()
    study.optimize(wrapper, n_trials=2)
    with pytest.raises(TypeError, match="what the MultiInstanceObjective was made of"):
        confirm(study, wrapper)


# --- optimism ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "search_value", "optimism"),
    [
        ("minimize", 1.0, 2.0),
        ("minimize", 5.0, -2.0),
        ("maximize", 5.0, 2.0),
        ("maximize", 1.0, -2.0),
    ],
)
@pytest.mark.parametrize("criterion", ["mean", "q3+iqr", "max"])
def test_optimism_of_an_ordinary_study_is_of_the_mean(
    direction: str, search_value: float, optimism: float, criterion: str
) -> None:
    study = ordinary_study({0.5: search_value}, direction=direction)
    result = confirm(study, tabled({0.5: [0.0, 1.0, 8.0]}), n_instances=3, criterion=criterion)
    (model,) = result.models
    assert model.optimism == pytest.approx(optimism)
    assert (model.statistic, model.n_compared) == ("mean", 1)


@both_directions
@pytest.mark.parametrize(("n_search", "n_fresh"), [(3, 7), (7, 3), (5, 5)])
@pytest.mark.parametrize("criterion", ["max", "q3+iqr", "std"])
def test_optimism_of_a_robust_study_is_of_the_criterion_at_equal_n(
    direction: str, n_search: int, n_fresh: int, criterion: str
) -> None:
    sign = -1 if direction == "maximize" else 1
    search, fresh = normal(n_search), normal(n_fresh, seed=1)
    objective = tabled({0.5: fresh}, {0.5: search})
    study = robust_study(objective, [0.5], n_search, criterion=criterion, direction=direction)
    (model,) = confirm(study, objective, n_instances=n_fresh).models
    n = min(n_search, n_fresh)
    at_equal_n = [
        np.mean([get_criterion(criterion)(sign * np.array(s)) for s in combinations(losses, n)])
        for losses in (search, fresh)
    ]
    assert model.optimism == pytest.approx(at_equal_n[1] - at_equal_n[0])
    assert (model.statistic, model.n_compared) == (criterion, n)
    assert model.search_value == study.best_value
    assert model.value == pytest.approx(sign * float(get_criterion(criterion)(sign * fresh)))


def test_optimism_of_another_criterion_is_that_of_the_losses() -> None:
    objective = tabled({0.5: [2.0, 3.0, 7.0]}, {0.5: [1.0, 2.0, 6.0]})
    study = robust_study(objective, [0.5], 3, criterion="median")
    (model,) = confirm(study, objective, n_instances=3, criterion="max").models
    assert (model.search_value, model.value) == (2.0, 7.0)
    assert (model.optimism, model.statistic) == (1.0, "max")


@pytest.mark.parametrize("identical", ["search", "fresh"])
def test_the_spread_of_identical_losses_is_no_optimism(identical: str) -> None:
    search, fresh = [[0.5] * 4, [0.1, 0.2, 0.4, 0.8]][:: 1 if identical == "search" else -1]
    objective = tabled({0.5: fresh}, {0.5: search})
    with pytest.warns(UserWarning, match="fix its own seed"):
        study = robust_study(objective, [0.5], 4, criterion="std")
        result = confirm(study, objective, n_instances=4)
    assert math.isnan(result.models[0].optimism)
    assert math.isinf(result.models[0].value) == (identical == "fresh")


def equal_models(trial: optuna.Trial, instance: Instance) -> float:
    trial.suggest_float("x", 0, 1)
    return float(instance.rng.normal())


def search_and_confirm(direction: str, n_models: int, seed: int) -> ConfirmationResult:
    study = study_of(direction=direction)
    study.optimize(
        lambda trial: equal_models(trial, Instance(trial.number, study_seed=seed)),
        n_trials=n_models,
    )
    return confirm(
        study,
        equal_models,
        n_models=1,
        n_instances=20,
        criterion="mean",
        confidence=0.9,
        seed=seed,
    )


@pytest.fixture(scope="module")
def searches() -> dict[tuple[str, int], list[ConfirmationResult]]:
    """Confirmed winners of searches over so many models, all of them standard normal."""
    return {
        (direction, n_models): [
            search_and_confirm(direction, n_models, seed) for seed in range(100)
        ]
        for direction, n_models in (("minimize", 20), ("maximize", 20), ("minimize", 1))
    }


def expected_maximum(n: int) -> float:
    """Return the expectation of the largest of n standard normal values."""

    def integrand(x: float) -> float:
        return x * n * stats.norm.pdf(x) * stats.norm.cdf(x) ** (n - 1)

    return float(integrate.quad(integrand, -10, 10)[0])


@pytest.mark.parametrize(
    ("direction", "n_models", "expected"),
    # Who searches one model does not look at values.
    [("minimize", 20, 1.867), ("maximize", 20, 1.867), ("minimize", 1, 0.0)],
)
def test_winners_are_optimistic_and_models_chosen_blindly_are_not(
    searches: dict[tuple[str, int], list[ConfirmationResult]],
    direction: str,
    n_models: int,
    expected: float,
) -> None:
    assert expected_maximum(n_models) == pytest.approx(expected, abs=1e-3)
    found = [result.models[0].optimism for result in searches[direction, n_models]]
    standard_error = np.std(found) / math.sqrt(len(found))
    assert standard_error < 0.15
    assert np.mean(found) == pytest.approx(expected, abs=3.0 * standard_error)


def test_intervals_cover_as_often_as_they_say(
    searches: dict[tuple[str, int], list[ConfirmationResult]],
) -> None:
    intervals = [each.models[0].interval for results in searches.values() for each in results]
    covering = sum(low < 0.0 < high for low, high in intervals)
    below = sum(high < 0.0 for _, high in intervals)
    n = len(intervals)
    assert stats.binom.cdf(covering, n, 0.9) > 1e-3
    assert stats.binom.sf(covering - 1, n, 0.9) > 1e-3
    # The others lie on both sides.
    assert 1e-3 < stats.binom.cdf(below, n - covering, 0.5) < 1.0 - 1e-3


def test_an_honest_model_has_no_optimism_at_unequal_n() -> None:
    optimism, plain = [], []
    for seed in range(100):
        study = robust_study(equal_models, [0.5], 5, seed=seed)
        (model,) = confirm(study, equal_models, n_instances=30).models
        assert (model.statistic, model.n_compared) == ("q3+iqr", 5)
        optimism.append(model.optimism)
        plain.append(model.value - model.search_value)
    assert abs(np.mean(optimism)) < 2.0 * np.std(optimism) / 10.0
    # q3+iqr of 30 instances is larger than that of 5, whoever looks at it.
    assert np.mean(plain) > 3.0 * np.std(plain) / 10.0


# --- values, intervals, the best -----------------------------------------------------------------


@both_directions
@pytest.mark.parametrize("criterion", ["mean", "q3+iqr", "std"])
def test_values_and_intervals_are_those_of_the_comparison(direction: str, criterion: str) -> None:
    sign = -1 if direction == "maximize" else 1
    losses = 5.0 + normal(2, 12)
    study = ordinary_study({0.2: 4.0, 0.4: 5.0}, direction=direction)
    result = confirm(
        study,
        tabled({0.2: losses[0], 0.4: losses[1]}),
        n_instances=12,
        criterion=criterion,
        confidence=0.9,
    )
    assert result.confidence == 0.9
    rows = {0.2: losses[0], 0.4: losses[1]}
    for model, row in zip(result.models, result.losses, strict=True):
        assert row.tolist() == rows[model.params["x"]].tolist()
        oriented = sign * row
        assert model.value == sign * float(get_criterion(criterion)(oriented))
        ends = bootstrap_interval(oriented, criterion, confidence=0.9)
        assert sorted(model.interval) == sorted(sign * end for end in ends)
        assert model.interval.low < model.value < model.interval.high


@pytest.mark.parametrize(
    ("criterion", "n_instances", "of_models", "of_pairs"),
    [
        ("mean", 10, True, True),
        ("mean", 9, False, True),
        ("mean", 4, False, False),
        ("max", 12, False, False),
        ("min", 12, False, False),
        ("cvar", 12, False, True),
        ("q3", 12, True, True),
    ],
)
def test_there_are_no_intervals_where_they_would_not_be_valid(
    criterion: str, n_instances: int, of_models: bool, of_pairs: bool
) -> None:
    result = confirm(
        ordinary_study({0.2: 4.0, 0.4: 5.0}),
        own_noise,
        n_instances=n_instances,
        criterion=criterion,
    )
    intervals = [model.interval for model in result.models]
    assert np.isnan(intervals).tolist() == [[not of_models] * 2] * 2
    assert np.isnan(result.pairs[0].interval).tolist() == [not of_pairs] * 2
    assert all(math.isfinite(model.value) for model in result.models)


@both_directions
def test_the_best_by_the_confirmed_criterion(direction: str) -> None:
    losses = normal(3, 10) + np.array([[0.0], [0.4], [-0.4]])
    models = (0.2, 0.4, 0.6)
    study = ordinary_study({0.2: 1.0, 0.4: 1.0, 0.6: 1.0}, direction=direction)
    result = confirm(study, tabled(dict(zip(models, losses, strict=True))), n_instances=10)
    sign = -1 if direction == "maximize" else 1
    scores = get_criterion("q3+iqr")(sign * losses)
    assert result.best_index == int(np.argmin(scores)) != 0
    assert result.best_params == {"x": models[result.best_index]}
    probabilities = [model.probability_best for model in result.models]
    assert probabilities == probability_of_best(sign * losses, "q3+iqr").tolist()
    assert sum(probabilities) == pytest.approx(1.0)
    assert 0.0 < min(probabilities) < max(probabilities) < 1.0


def test_of_tied_models_the_better_in_the_search_is_the_best() -> None:
    losses = normal(10)
    tables = {0.2: losses + 1.0, 0.4: losses, 0.6: losses * (1.0 + 1e-15)}
    result = confirm(
        ordinary_study({0.2: 1.0, 0.6: 2.0, 0.4: 3.0}), tabled(tables), n_instances=10
    )
    assert result.best_params == {"x": 0.6}
    assert [model.probability_best for model in result.models] == [0.0, 0.5, 0.5]


def test_identical_losses_are_told_and_are_not_the_most_stable() -> None:
    objective = tabled({0.2: [0.5] * 12, 0.4: normal(12)})
    study = ordinary_study({0.2: 1.0, 0.4: 2.0})
    with pytest.warns(UserWarning, match=r"All 12 .* \{'x': 0\.2\} have the same loss \(0\.5\)"):
        result = confirm(study, objective, n_instances=12, criterion="iqr")
    assert result.best_params == {"x": 0.4}
    assert result.models[0].value == inf
    assert np.isnan(result.models[0].interval).all()
    assert [model.probability_best for model in result.models] == [0.0, 1.0]


# --- pairs ---------------------------------------------------------------------------------------


@both_directions
def test_pairs_are_compared_as_the_comparison_does(direction: str) -> None:
    sign = -1 if direction == "maximize" else 1
    values = {0.2: 1.0, 0.4: 2.0, 0.6: 3.0, 0.8: 4.0}
    losses = normal(12) + normal(4, 12, seed=1) * np.array([[1.0], [2.0], [0.5], [1.0]])
    study = ordinary_study(values, direction=direction)
    objective = tabled(dict(zip(values, losses, strict=True)))
    result = confirm(study, objective, n_models=4, n_instances=12, confidence=0.8)
    couples = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert [(pair.first, pair.second) for pair in result.pairs] == couples
    oriented = sign * result.losses
    p_values: dict[str, list[float]] = {"p_adjusted": [], "p_level": [], "p_spread": []}
    for pair in result.pairs:
        x, y = oriented[pair.first], oriented[pair.second]
        found = paired_criterion_test(x, y, "q3+iqr", confidence=0.8)
        assert pair.difference == sign * found.difference
        first, second = result.models[pair.first], result.models[pair.second]
        assert pair.difference == pytest.approx(first.value - second.value)
        assert sorted(pair.interval) == sorted(sign * end for end in found.interval)
        assert pair.interval.low < pair.interval.high
        assert pair.p_value == found.p_value
        assert (pair.p_value <= 0.2) == (pair.interval.low > 0.0 or pair.interval.high < 0.0)
        p_values["p_adjusted"].append(found.p_value)
        for column, test in (("p_level", "wilcoxon"), ("p_spread", "pitman-morgan")):
            p_values[column].append(float(compare_with_reference([x], y, test)[0]))
    for column, plain in p_values.items():
        adjusted = [getattr(pair, column) for pair in result.pairs]
        assert adjusted == holm(plain).tolist()
        in_order = np.array(adjusted)[np.argsort(plain)]
        assert (np.diff(in_order) >= 0.0).all()
        assert (in_order >= np.sort(plain)).all()
        assert in_order[0] > min(plain)


@both_directions
def test_a_model_does_not_differ_from_its_copy(direction: str) -> None:
    losses = normal(12)
    study = ordinary_study({0.2: 1.0, 0.4: 2.0}, direction=direction)
    result = confirm(study, tabled({0.2: losses, 0.4: losses}), n_instances=12)
    (pair,) = result.pairs
    assert [str(each) for each in (pair.difference, *pair.interval)] == ["0.0"] * 3
    assert (pair.p_value, pair.p_adjusted) == (1.0, 1.0)
    assert [model.probability_best for model in result.models] == [0.5, 0.5]


@both_directions
def test_interval_of_a_clear_difference_lies_on_its_side(direction: str) -> None:
    losses = normal(2, 12)
    study = ordinary_study({0.2: 1.0, 0.4: 2.0}, direction=direction)
    objective = tabled({0.2: losses[0], 0.4: losses[1] + 20.0})
    result = confirm(study, objective, n_instances=12, criterion="mean")
    (pair,) = result.pairs
    of_02 = 1 if result.models[0].params["x"] == 0.2 else -1
    assert of_02 == (1 if direction == "minimize" else -1)
    assert pair.difference * of_02 == pytest.approx(-20.0, abs=2.0)
    assert pair.interval.low < pair.difference < pair.interval.high
    assert (pair.interval.high < 0.0) == (of_02 > 0) != (pair.interval.low > 0.0)
    assert pair.p_value < 0.01
    assert result.best_params == {"x": 0.2 if direction == "minimize" else 0.4}


def test_one_model_has_no_pairs() -> None:
    result = confirm(ordinary_study({0.2: 1.0}), own_noise, n_instances=10)
    assert result.pairs == ()
    assert (result.best_index, result.models[0].probability_best) == (0, 1.0)


# --- stopping early ------------------------------------------------------------------------------


def with_gap(gap: float, **kwargs: Any) -> ConfirmationResult:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        return own_noise(trial, instance) + gap * (trial.suggest_float("x", 0, 1) > 0.5)

    kwargs.setdefault("criterion", "mean")
    return confirm(ordinary_study({0.2: 1.0, 0.8: 2.0}), objective, **kwargs)


def test_it_stops_at_the_first_look_when_the_order_is_clear() -> None:
    result = with_gap(9.0, stop_early=True)
    assert result.stopped_early
    assert result.instance_numbers == tuple(range(FIRST, FIRST + 10))
    assert result.losses.shape == (2, 10)
    assert result.n_trainings == 20
    assert not np.isnan(result.models[0].interval).any()


def test_it_goes_on_while_the_order_is_not_clear() -> None:
    result = with_gap(0.0, stop_early=True, n_instances=17)
    assert not result.stopped_early
    assert result.n_trainings == 34


def test_it_looks_every_five_instances() -> None:
    results = [with_gap(0.9, stop_early=True, n_instances=22, seed=seed) for seed in range(8)]
    found = {len(result.instance_numbers) for result in results}
    assert found <= {10, 15, 20, 22}
    assert len(found) > 2
    for result in results:
        assert result.stopped_early == (len(result.instance_numbers) < 22)
        assert result.losses.shape[1] == len(result.instance_numbers)


def test_it_does_not_stop_unless_asked_for() -> None:
    result = with_gap(9.0)
    assert not result.stopped_early
    assert result.losses.shape == (2, 30)


@pytest.mark.parametrize("n_instances", [5, 10])
def test_few_instances_are_all_trained(n_instances: int) -> None:
    result = with_gap(9.0, stop_early=True, n_instances=n_instances)
    assert not result.stopped_early
    assert result.losses.shape == (2, n_instances)


def test_a_single_model_gets_all_instances() -> None:
    result = confirm(ordinary_study({0.2: 1.0}), own_noise, stop_early=True, n_instances=20)
    assert not result.stopped_early
    assert result.losses.shape == (1, 20)


@pytest.mark.parametrize(("levels", "stops"), [((0.0, 9.0, 9.0), True), ((0.0, 0.0, 9.0), False)])
def test_only_the_best_must_be_told_from_the_others(
    levels: tuple[float, ...], stops: bool
) -> None:
    models = (0.2, 0.4, 0.6)
    losses = normal(3, 20) + np.array(levels)[:, None]
    objective = tabled(dict(zip(models, losses, strict=True)))
    study = ordinary_study(dict(zip(models, (1.0, 2.0, 3.0), strict=True)))
    result = confirm(study, objective, n_instances=20, criterion="mean", stop_early=True)
    assert result.stopped_early == stops


def test_it_stops_alike_when_maximising() -> None:
    losses = normal(2, 30) + np.array([[9.0], [0.0]])
    study = ordinary_study({0.2: 1.0, 0.8: 2.0}, direction="maximize")
    result = confirm(
        study, tabled({0.2: losses[0], 0.8: losses[1]}), criterion="mean", stop_early=True
    )
    assert (result.stopped_early, result.best_params) == (True, {"x": 0.2})


def test_what_was_stopped_early_can_go_on() -> None:
    store = InstanceStore()
    assert with_gap(9.0, stop_early=True, store=store).n_trainings == 20
    result = with_gap(9.0, store=store)
    assert (result.n_trainings, result.n_reused) == (40, 20)


def n_stops(n_runs: int, alpha: float) -> int:
    return sum(
        with_gap(0.0, stop_early=True, alpha=alpha, seed=i).stopped_early for i in range(n_runs)
    )


def test_error_rate_of_stopping_early() -> None:
    # A large rate, since few runs tell it from that of four uncorrected looks.
    assert stats.binom.sf(n_stops(30, alpha=0.5) - 1, 30, 0.5) > 1e-2


@pytest.mark.slow
def test_error_rate_of_stopping_early_at_the_default() -> None:
    found = n_stops(200, alpha=0.05)
    assert found > 0
    assert stats.binom.sf(found - 1, 200, 0.05) > 1e-2


# --- failures ------------------------------------------------------------------------------------


@both_directions
@pytest.mark.parametrize("failure", [RuntimeError("diverged"), nan, inf, -inf])
def test_a_failure_counts_as_the_worst(direction: str, failure: Any) -> None:
    worst = inf if direction == "minimize" else -inf
    study = ordinary_study({0.2: 1.0, 0.4: 1.0}, direction=direction)
    fails, works = [*normal(5), failure, *normal(6)], normal(12, seed=1)
    objective = tabled({0.2: fails, 0.4: works})
    result = confirm(study, objective, n_instances=12, criterion="mean")
    failing, working = result.models
    assert result.losses[0, 5] == failing.value == worst
    assert np.isfinite(np.delete(result.losses, 5, axis=1)).all()
    assert failing.optimism == inf
    assert np.isnan(failing.interval).all()
    assert np.isfinite(working.interval).all()
    assert math.isfinite(working.optimism)
    assert result.best_params == {"x": 0.4}
    assert result.pairs[0].difference == worst
    assert np.isnan(result.pairs[0].interval).all()
    told = "RuntimeError: diverged" if isinstance(failure, Exception) else "returned"
    assert list(result.failures) == [0]
    assert told in result.failures[0][FIRST + 5]


def test_a_quantile_does_not_see_a_single_failure() -> None:
    objective = tabled({0.2: [1.0, nan, 2.0, 3.0, 4.0]})
    result = confirm(ordinary_study({0.2: 1.0}), objective, n_instances=5, criterion="q3")
    assert result.models[0].value == 4.0


@both_directions
def test_dropped_failures_do_not_count(direction: str) -> None:
    objective = tabled({0.2: [1.0, nan, 3.0, RuntimeError()], 0.4: [5.0, 6.0, 7.0, 8.0]})
    study = ordinary_study({0.2: 1.5, 0.4: 1.5}, direction=direction)
    result = confirm(study, objective, n_instances=4, criterion="mean", on_failure="drop")
    assert result.losses[0].tolist() == pytest.approx([1.0, nan, 3.0, nan], nan_ok=True)
    assert result.models[0].value == 2.0
    assert result.models[0].optimism == (0.5 if direction == "minimize" else -0.5)
    assert set(result.failures[0]) == {FIRST + 1, FIRST + 3}
    assert result.pairs[0].difference == -4.0  # of the instances that both have


def test_with_dropped_failures_models_are_ranked_at_equal_n() -> None:
    # The largest of 2 is smaller than the largest of 8, but not than that of 2 of the 8.
    objective = tabled({0.2: [0.0, 4.0, *[nan] * 6], 0.4: [*[0.0] * 7, 5.0]})
    study = ordinary_study({0.2: 1.0, 0.4: 1.0})
    result = confirm(study, objective, n_instances=8, criterion="max", on_failure="drop")
    assert [model.value for model in result.models] == [4.0, 5.0]
    assert result.best_params == {"x": 0.4}


def test_a_model_that_always_fails_is_not_the_best() -> None:
    objective = tabled({0.2: [nan] * 10, 0.4: normal(10)})
    study = ordinary_study({0.2: 1.0, 0.4: 2.0})
    for on_failure, value in (("worst", inf), ("drop", nan)):
        result = confirm(study, objective, n_instances=10, on_failure=on_failure)
        assert result.models[0].value == pytest.approx(value, nan_ok=True)
        assert result.best_params == {"x": 0.4}
        assert [model.probability_best for model in result.models] == [0.0, 1.0]


def test_if_all_models_always_fail_nothing_is_known() -> None:
    objective = tabled({0.2: [nan] * 10, 0.4: [nan] * 10})
    study = ordinary_study({0.2: 1.0, 0.4: 2.0})
    worst = confirm(study, objective, n_instances=10, stop_early=True)
    assert [model.value for model in worst.models] == [inf, inf]
    assert sum(model.probability_best for model in worst.models) == 1.0
    assert (worst.pairs[0].difference, worst.pairs[0].p_value) == (0.0, 1.0)
    dropped = confirm(study, objective, n_instances=10, on_failure="drop")
    for name in ("value", "optimism", "probability_best"):
        assert np.isnan([getattr(model, name) for model in dropped.models]).all()
    assert np.isnan([dropped.pairs[0].difference, dropped.pairs[0].p_value]).all()
    assert "nan" in repr(dropped)
    objective = tabled({0.2: [nan] * 4}, {0.2: [1.0, 2.0, 3.0, 4.0]})
    study = robust_study(objective, [0.2], 4, on_failure="drop")
    (model,) = confirm(study, objective, n_instances=4).models
    assert (model.n_compared, math.isnan(model.optimism)) == (0, True)


@both_directions
@pytest.mark.parametrize(
    ("fails_in_search", "fails_fresh", "optimism"),
    [(False, True, inf), (True, False, -inf), (True, True, nan)],
)
def test_optimism_of_infinite_values(
    direction: str, fails_in_search: bool, fails_fresh: bool, optimism: float
) -> None:
    fresh, search = [[3.0, 2.0, nan if f else 1.0] for f in (fails_fresh, fails_in_search)]
    objective = tabled({0.2: fresh}, {0.2: search})
    study = robust_study(objective, [0.2], 3, criterion="mean", direction=direction)
    result = confirm(study, objective, n_instances=3)
    assert result.models[0].optimism == pytest.approx(optimism, nan_ok=True)
    # Without the failures, in the search as well, it is that of what is left.
    result = confirm(study, objective, n_instances=3, on_failure="drop")
    assert math.isfinite(result.models[0].optimism)


@pytest.mark.parametrize(
    ("failure", "error", "message"),
    [(RuntimeError("boom"), RuntimeError, "boom"), (nan, ValueError, "returned nan")],
)
def test_failures_can_be_raised(failure: Any, error: type[Exception], message: str) -> None:
    objective = tabled({0.2: [1.0, 2.0, failure]})
    with pytest.raises(error, match=message):
        confirm(ordinary_study({0.2: 1.0}), objective, n_instances=3, on_failure="raise")


@pytest.mark.parametrize("on_failure", ["worst", "drop", "raise"])
def test_exceptions_are_raised_until_an_instance_has_succeeded(on_failure: str) -> None:
    study = ordinary_study({0.2: 1.0})
    with pytest.raises(NameError, match="typo"):
        confirm(study, tabled({0.2: [NameError("typo")]}), on_failure=on_failure)
    assert "robust:confirmation" not in study.user_attrs


def test_a_pruned_instance_is_a_failure() -> None:
    objective = tabled({0.2: [1.0, optuna.TrialPruned("too large"), 2.0]})
    result = confirm(ordinary_study({0.2: 1.0}), objective, n_instances=3)
    assert result.failures == {0: {FIRST + 1: "the objective raised TrialPruned: too large"}}
    assert result.losses.tolist() == [[1.0, inf, 2.0]]


# --- the store -----------------------------------------------------------------------------------


def counted(trained: list[tuple[float, int]]) -> Objective:
    """An objective that notes what it has finished."""

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        loss = own_noise(trial, instance)
        trained.append((trial.params["x"], instance.number))
        return loss

    return objective


SIX_MODELS = {0.1: 1.0, 0.2: 2.0, 0.3: 3.0, 0.4: 4.0, 0.5: 5.0, 0.6: 6.0}


def test_what_is_in_the_store_is_not_trained_again(tmp_path: Path) -> None:
    trained: list[tuple[float, int]] = []
    objective, study = counted(trained), ordinary_study(SIX_MODELS)
    url = f"sqlite:///{tmp_path / 'instances.db'}"
    steps: list[tuple[dict[str, int], int, int]] = [
        ({"n_models": 1, "n_instances": 3}, 3, 0),
        ({"n_models": 2, "n_instances": 4}, 5, 3),
        ({"n_models": 2, "n_instances": 4}, 0, 8),
        ({"n_models": 2, "n_instances": 6}, 4, 8),
        ({"n_models": 3, "n_instances": 6}, 6, 12),
    ]
    for arguments, n_trainings, n_reused in steps:
        trained.clear()
        result = confirm(study, objective, store=InstanceStore(url), **arguments)  # type: ignore[arg-type]
        assert (result.n_trainings, result.n_reused) == (n_trainings, n_reused)
        assert len(set(trained)) == len(trained) == n_trainings
        undisturbed = confirm(ordinary_study(SIX_MODELS), own_noise, **arguments)  # type: ignore[arg-type]
        assert findings(result) == findings(undisturbed)
    with pytest.warns(UserWarning, match="keeps its confirmation"):
        result = confirm(study, objective, n_models=1, n_instances=5, store=InstanceStore(url))
    assert (result.n_trainings, result.n_reused) == (0, 5)


def test_failures_are_in_the_store_too() -> None:
    store, study = InstanceStore(), ordinary_study({0.2: 1.0})
    objective = tabled({0.2: [1.0, RuntimeError("boom"), 2.0]})
    results = [confirm(study, objective, n_instances=3, store=store) for _ in range(2)]
    assert results[1].n_reused == 3
    assert findings(results[0]) == findings(results[1])


def test_search_and_confirmation_share_a_store() -> None:
    store = InstanceStore()
    kwargs: dict[str, Any] = {"seed": 3, "criterion": "mean"}
    study = robust_study(own_noise, list(SIX_MODELS), 4, store=store, **kwargs)
    result = confirm(study, own_noise, n_instances=5, store=store)
    assert (result.n_trainings, result.n_reused) == (15, 0)
    kept = store.instances()
    assert sorted({(each.phase, each.number) for each in kept}) == [
        *(("confirmation", FIRST + number) for number in range(5)),
        *(("search", number) for number in range(4)),
    ]
    assert len(kept) == 15 + 24
    alone = confirm(
        robust_study(own_noise, list(SIX_MODELS), 4, **kwargs), own_noise, n_instances=5
    )
    assert findings(result) == findings(alone)
    # Nor does the search take fresh instances for its own.
    again = robust_study(own_noise, list(SIX_MODELS), 4, store=store, **kwargs)
    assert [trial.value for trial in again.trials] == [trial.value for trial in study.trials]
    assert len(store.instances()) == 39


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"seed": 4}, "seed=4 differs from seed=3"), ({"vary": ("init",)}, "vary=")],
)
def test_a_store_of_another_seed_is_an_error(arguments: dict[str, Any], message: str) -> None:
    trained: list[tuple[float, int]] = []
    store, study = InstanceStore(), ordinary_study(SIX_MODELS)
    first = confirm(study, counted(trained), n_instances=3, store=store, seed=3)
    trained.clear()
    with pytest.raises(ValueError, match=message):
        confirm(study, counted(trained), n_instances=3, store=store, **{"seed": 3, **arguments})
    assert trained == []
    again = confirm(study, counted(trained), n_instances=3, store=store, seed=3)
    assert findings(again) == findings(first)


INTERRUPTED_AFTER: set[int] = set()
TRAINED: list[tuple[float, int]] = []


@pytest.mark.parametrize("stopped_at", [1, 8, 18])
def test_interrupted_and_started_again(stopped_at: int, tmp_path: Path) -> None:
    TRAINED.clear()
    finishes, study = counted(TRAINED), ordinary_study(SIX_MODELS)
    INTERRUPTED_AFTER.add(stopped_at - 1)

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        if len(TRAINED) in INTERRUPTED_AFTER:
            raise KeyboardInterrupt
        return finishes(trial, instance)

    def run() -> ConfirmationResult:
        store = InstanceStore(f"sqlite:///{tmp_path / 'instances.db'}")
        return confirm(study, objective, n_instances=6, store=store)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(TRAINED) == stopped_at - 1
    assert "robust:confirmation" not in study.user_attrs
    INTERRUPTED_AFTER.clear()
    result = run()
    assert (result.n_trainings, result.n_reused) == (18 - stopped_at + 1, stopped_at - 1)
    assert len(set(TRAINED)) == len(TRAINED) == 18
    assert findings(result) == findings(confirm(study, own_noise, n_instances=6))


# --- parallel ------------------------------------------------------------------------------------


def test_two_processes_give_the_same_result() -> None:
    study = ordinary_study({0.2: 1.0, 0.8: 2.0})
    kwargs: dict[str, Any] = {"n_instances": 12, "stop_early": True, "criterion": "mean"}
    alone = confirm(study, noisy, **kwargs)
    assert alone.stopped_early
    assert findings(confirm(study, noisy, n_jobs=2, **kwargs)) == findings(alone)


# --- what is shown -------------------------------------------------------------------------------


def test_progress_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    study = ordinary_study({0.2: 1.0, 0.8: 2.0})
    confirm(study, own_noise, n_instances=3)
    assert capsys.readouterr().err == ""
    confirm(study, own_noise, n_instances=3, show_progress_bar=True)
    assert "6/6" in capsys.readouterr().err


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_models": 0}, ValueError, "n_models must be at least 1, but was 0"),
        ({"n_models": 2.5}, TypeError, "n_models must be an integer"),
        ({"n_instances": 0}, ValueError, "n_instances must be at least 1, but was 0"),
        ({"n_instances": "all"}, TypeError, "n_instances must be an integer"),
        ({"n_instances": 1}, ValueError, r"n_instances=1 is too few for criterion 'q3\+iqr'"),
        ({"n_instances": 1, "criterion": "std"}, ValueError, "too few for criterion 'std'"),
        ({"criterion": "q4"}, ValueError, "criterion='q4' is unknown; choose one of mean"),
        ({"criterion": ""}, ValueError, "criterion='' is unknown"),
        ({"criterion": 3}, TypeError, "criterion must be a name or a callable"),
        ({"confidence": 1.5}, ValueError, r"confidence must lie in \(0, 1\), but was 1.5"),
        ({"confidence": "95 %"}, TypeError, "confidence must be a number"),
        ({"stop_early": True, "alpha": 0}, ValueError, r"alpha must lie in \(0, 1\), but was 0"),
        ({"on_failure": "x"}, ValueError, "on_failure='x' is unknown; choose one of worst"),
        ({"on_failure": ""}, ValueError, "on_failure='' is unknown"),
        ({"vary": "init"}, TypeError, "vary must be a sequence of names"),
        ({"vary": ("weights",)}, ValueError, "unknown source 'weights'"),
        ({"seed": -1}, ValueError, "seed must be at least 0, but was -1"),
        ({"seed_function": 3}, TypeError, "seed_function must be callable"),
        ({"n_jobs": 0}, ValueError, "n_jobs must be at least 1"),
        ({"executor": "dask"}, TypeError, "executor must be"),
        ({"store": "x"}, TypeError, "store must be an InstanceStore"),
    ],
)
def test_a_bad_argument_is_an_error_before_training(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    trained: list[tuple[float, int]] = []
    study = ordinary_study({0.2: 1.0})
    with pytest.raises(error, match=message):
        confirm(study, counted(trained), **arguments)
    assert trained == []
    assert "robust:confirmation" not in study.user_attrs


@pytest.mark.parametrize("objective", [None, lambda: 0.0, lambda trial, data: 0.0])
def test_an_objective_that_cannot_be_called_is_an_error(objective: Any) -> None:
    with pytest.raises(TypeError, match="objective must be callable"):
        confirm(ordinary_study({0.2: 1.0}), objective)


def test_success_in_the_search_does_not_hide_a_typo_of_the_confirmation() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", -1, 1)
        if instance.phase == "confirmation":
            raise NameError("tset_data")
        return x**2 + float(instance.rng.normal())

    store = InstanceStore()
    found = robust_select(objective, {"x": [0.1, 0.5]}, n_instances=3, store=store)
    with pytest.raises(NameError, match="tset_data"):
        confirm(found, objective, store=store)
    assert {each.phase for each in store.instances()} == {"search"}
