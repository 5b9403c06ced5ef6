"""robust_select by its default rule, the race."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.trial import TrialState
import pytest

from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import robust_select
from optuna_robust import SelectionResult
from optuna_robust._base.arrays import FloatArray
from optuna_robust._search.selection import Step
from optuna_robust.criteria import get_criterion
from optuna_robust.elimination import Decision
from optuna_robust.elimination import NoDifference
from optuna_robust.elimination import RaceRule
from tests.objectives import noisy
from tests.search.selection.tables import found
from tests.search.selection.tables import of_table


# Interrupted objectives are the same ones, wrapped.
pytestmark = pytest.mark.filterwarnings("ignore:The search instances of experiment")


Calls = list[tuple[int, int]]


def table(
    n_models: int = 30,
    n_instances: int = 10,
    *,
    gap: float = 0.3,
    noise: float = 0.5,
    seed: int = 0,
) -> FloatArray:
    """Losses of models, the better the lower the index, whose common instances shift them all."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0.0, noise, (n_models, n_instances))
    levels = gap * np.arange(n_models)[:, None]
    return np.asarray(levels + rng.normal(0.0, noise, n_instances) + own)


def clear(**outcomes: Any) -> list[list[Any]]:
    """Eight models that one look tells apart; ``m0_1=x``: what instance 1 of model 0 gives."""
    losses: list[list[Any]] = table(8, 6, gap=1.0, noise=0.05).tolist()
    for name, outcome in outcomes.items():
        model, number = map(int, name[1:].split("_"))
        losses[model][number] = outcome
    return losses


def race(losses: Any, calls: Calls | None = None, **options: Any) -> SelectionResult:
    options = {"n_instances": len(losses[0]), "criterion": "mean", **options}
    return robust_select(of_table(losses, calls), {"model": range(len(losses))}, **options)


def n_trained(result: SelectionResult) -> list[int]:
    return [int(np.count_nonzero(~np.isnan(losses))) for losses in result.losses]


class Listening:
    """The race's rule, and what it decided."""

    name = "race"

    def __init__(self, **options: Any) -> None:
        self.rule = RaceRule(**options)
        self.told: list[tuple[FloatArray, Decision]] = []

    def eliminates_at(self, n_instances: int) -> bool:
        return self.rule.eliminates_at(n_instances)

    def eliminate(self, losses: npt.ArrayLike, alive: Iterable[int] | None = None) -> Decision:
        decision = self.rule.eliminate(losses, alive)
        self.told.append((np.array(losses), decision))
        return decision


# --- what it finds and spends --------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("criterion", ["mean", "q3+iqr"])
def test_the_best_is_found_for_little_more_than_one_training_a_model(
    criterion: str, seed: int
) -> None:
    losses = table(60, 20, seed=seed)
    result = race(losses, criterion=criterion)
    assert result.rule == "race"
    assert result.best_index == int(np.argmin(get_criterion(criterion).score(losses)))
    assert result.survivors == (result.best_index,)
    assert result.best_params == {"model": result.best_index}
    # Exhaustively, it would be 1200; by halving, 360.
    assert 60 < result.n_trainings < 150
    assert result.probability > 0.95


def test_the_race_is_the_default() -> None:
    assert found(race(table())) == found(race(table(), rule="race"))
    given = RaceRule(criterion="mean", n_instances=10)
    assert found(race(table(), informed=False)) == found(race(table(), rule=given))


@pytest.mark.parametrize("seed", range(3))
def test_only_models_that_the_rule_names_get_their_next_instance(seed: int) -> None:
    rule = Listening(criterion="mean", n_instances=10)
    calls: Calls = []
    result = race(table(seed=seed), calls, rule=rule)
    due: tuple[int, ...] = tuple(range(30))
    numbers: Counter[int] = Counter()
    upcoming = iter(calls)
    for step, (losses, decision) in zip(result.steps, rule.told, strict=True):
        # In their order, each with its next number.
        wave = list(itertools.islice(upcoming, step.n_trained))
        assert wave == [(model, numbers[model]) for model in due]
        numbers.update(due)
        assert np.count_nonzero(~np.isnan(losses), axis=1).tolist() == [
            numbers[model] for model in range(30)
        ]
        assert decision.kept == step.kept
        assert decision.next_models is not None
        assert set(decision.next_models) <= set(step.kept)
        due = decision.next_models
    assert due == ()
    assert list(upcoming) == []
    assert max(number for _, number in calls) < 10
    assert n_trained(result) == [numbers[model] for model in range(30)]
    assert len(set(n_trained(result))) > 2


def test_the_books_are_kept() -> None:
    told: list[Step] = []
    result = race(table(), callbacks=[told.append])
    assert tuple(told) == result.steps
    assert [step.step for step in result.steps] == list(range(1, len(result.steps) + 1))
    assert result.n_trainings == sum(step.n_trained for step in result.steps)
    assert result.n_trainings == sum(n_trained(result))
    alive = set(range(30))
    for step in result.steps:
        assert set(step.removed) == alive - set(step.kept)
        assert step.incumbent in step.kept
        for reason in step.removed.values():
            assert reason.startswith("race: the best with probability ")
        alive = set(step.kept)
    assert tuple(alive) == result.survivors == (result.best_index,)
    np.testing.assert_array_equal(result.values, get_criterion("mean").score(result.losses))
    assert result.best_value == result.values[result.best_index]
    own = n_trained(result)[result.best_index]
    assert result.best_n_instances == own
    assert f"of {own} instances" in repr(result)


# --- probability and tolerance -------------------------------------------------------------------


def test_the_probability_is_told_as_soon_as_the_noise_is_known(tmp_path: Path) -> None:
    result = race(table(), tolerance=0.125)
    assert math.isnan(result.steps[0].probability)
    assert all(0.0 <= step.probability <= 1.0 for step in result.steps[1:])
    assert result.probability == result.steps[-1].probability >= 0.95
    assert (result.tolerance, type(result.probability)) == (0.125, float)
    result.save(tmp_path / "result.h5")
    loaded = SelectionResult.load(tmp_path / "result.h5")
    assert found(loaded) == found(result)
    assert (loaded.tolerance, loaded.probability) == (0.125, result.probability)
    assert repr(loaded) == repr(result)
    assert loaded.to_frame().equals(result.to_frame())


def test_rules_that_tell_no_probability_have_none() -> None:
    result = race(table(4), rule="halving")
    assert math.isnan(result.probability)
    assert all(math.isnan(step.probability) for step in result.steps)
    assert result.tolerance == 0.0


def test_a_tolerance_saves_trainings() -> None:
    losses = table(40, 12, gap=0.02)
    full = get_criterion("mean").score(losses)
    spent = []
    for tolerance in (0.0, 0.3, 1.0):
        result = race(losses, tolerance=tolerance)
        assert full[result.best_index] <= full.min() + tolerance
        assert result.tolerance == tolerance
        spent.append(result.n_trainings)
    assert spent[0] > spent[1] > spent[2]
    reasons = race(losses, tolerance=0.3).steps[-1].removed.values()
    assert any(each.startswith("race: within 0.3 of the best with") for each in reasons)


def test_more_errors_save_trainings() -> None:
    strict, lax = (race(table(gap=0.05), alpha=alpha) for alpha in (0.01, 0.5))
    assert lax.n_trainings < strict.n_trainings


# --- wherever and whenever it is trained ---------------------------------------------------------


@pytest.mark.parametrize("reshuffle", [False, True])
def test_workers_and_what_they_train_ahead_change_nothing(reshuffle: bool) -> None:
    options: dict[str, Any] = {"n_instances": 8, "reshuffle": reshuffle}
    models = {"x": np.linspace(-1, 1, 8).tolist()}
    alone = robust_select(noisy, models, **options)
    assert found(robust_select(noisy, models, n_jobs=2, **options)) == found(alone)
    for width in (2, 5, 40):
        with ThreadPoolExecutor(width) as executor:
            store = InstanceStore()
            how: dict[str, Any] = {"executor": executor, "n_jobs": width, "store": store}
            together = robust_select(noisy, models, **how, **options)
        assert found(together) == found(alone)
        assert together.n_trainings + together.n_reused == alone.n_trainings
        ahead = [each for each in store.instances() if each.state == "done"]
        assert len(ahead) >= alone.n_trainings
        assert max(each.number for each in ahead) < 8
        # What was trained ahead counts no more than before.
        again = robust_select(noisy, models, store=store, **options)
        assert found(again) == found(alone)
        assert (again.n_trainings, again.n_reused) == (0, alone.n_trainings)


def test_it_goes_on_from_a_store_whatever_that_holds(tmp_path: Path) -> None:
    losses = table(12, 8)
    alone = race(losses)
    store = InstanceStore(f"sqlite:///{tmp_path / 'robust.db'}")
    race(losses, store=store, rule="halving", n_warmup_instances=2)
    n_kept = len(store.instances())
    calls: Calls = []
    result = race(losses, calls, store=store)
    assert found(result) == found(alone)
    assert result.n_trainings == len(calls)
    assert result.n_trainings + result.n_reused == alone.n_trainings
    assert len(store.instances()) == n_kept + len(calls)


def test_reshuffled_instances_are_not_taken_to_be_common() -> None:
    # Instances that shift all models alike are no noise when they are common.
    losses = table(12, 10, gap=0.2, noise=0.02) + np.random.default_rng(5).normal(size=10)
    common, own = (race(losses, reshuffle=reshuffle) for reshuffle in (False, True))
    assert common.n_trainings < own.n_trainings
    assert own.settings["reshuffle"] is True


@pytest.mark.parametrize("criterion", ["mean", "q3+iqr", "max"])
def test_maximising_is_minimising_the_negative(criterion: str) -> None:
    down = race(table(20), criterion=criterion)
    up = race(-table(20), criterion=criterion, direction="maximize")
    assert [(s.kept, s.removed, s.incumbent, s.probability) for s in up.steps[1:]] == [
        (s.kept, s.removed, s.incumbent, s.probability) for s in down.steps[1:]
    ]
    np.testing.assert_array_equal(up.losses, -down.losses)
    np.testing.assert_array_equal(up.values, -down.values)
    assert [step.incumbent_value for step in up.steps[1:]] == [
        -step.incumbent_value for step in down.steps[1:]
    ]
    assert (up.best_index, up.probability) == (down.best_index, down.probability)


# --- how many are selected -----------------------------------------------------------------------


def test_several_models_are_selected() -> None:
    one, three = (race(table(), n_select=n_select) for n_select in (1, 3))
    assert len(three.survivors) == 3
    assert three.best_index in three.survivors
    assert one.best_index in three.survivors
    # The race is over sooner, when one of the three is the best: which one is less sure.
    assert three.n_trainings < one.n_trainings
    assert three.probability < one.probability


@pytest.mark.parametrize("n_select", [1, 3])
def test_survivors_get_all_instances_when_asked(n_select: int) -> None:
    raced = race(table(), n_select=n_select)
    calls: Calls = []
    result = race(table(), calls, n_select=n_select, train_survivors=True)
    assert result.survivors == raced.survivors
    assert [n_trained(result)[model] for model in result.survivors] == [10] * n_select
    others = [model for model in range(30) if model not in result.survivors]
    assert [n_trained(result)[each] for each in others] == [
        n_trained(raced)[each] for each in others
    ]
    assert len(set(calls)) == len(calls) == result.n_trainings
    assert max(number for _, number in calls) == 9
    n_waves = len(raced.steps)
    assert [replace(each, seconds=0.0) for each in result.steps[1:n_waves]] == [
        replace(each, seconds=0.0) for each in raced.steps[1:]
    ]
    for step in result.steps[n_waves:]:
        assert (step.kept, step.removed) == (result.survivors, {})
        assert math.isnan(step.probability)
    full = get_criterion("mean").score(table())
    assert result.best_value == pytest.approx(min(full[list(result.survivors)]))
    if result.best_index == raced.best_index:
        assert result.probability == raced.probability
    else:  # a survivor that was trained on proved to be better
        assert math.isnan(result.probability)


@pytest.mark.parametrize("train_survivors", [False, True])
def test_one_model_is_trained_to_the_end(train_survivors: bool) -> None:
    result = race(table(1, 5), train_survivors=train_survivors)
    assert (result.best_index, result.survivors) == (0, (0,))
    assert result.n_trainings == 5
    assert math.isnan(result.probability)


@pytest.mark.parametrize(("gap", "most"), [(5.0, 4), (0.05, 16)])
def test_two_models(gap: float, most: int) -> None:
    losses = table(2, 8, gap=gap)
    result = race(losses)
    assert result.best_index == int(np.argmin(losses.mean(axis=1)))
    assert len(result.survivors) == 1
    assert 4 <= result.n_trainings <= most


def test_with_one_instance_the_lowest_loss_wins() -> None:
    losses = [[0.3], [0.1], [0.2], [0.1]]
    result = race(losses)
    assert (result.best_index, result.n_trainings) == (1, 4)
    assert result.survivors == (1,)


@pytest.mark.parametrize("criterion", ["mean", "q3+iqr", "std"])
def test_with_two_instances_the_best_of_those_wins(criterion: str) -> None:
    losses = table(12, 2, gap=0.2)
    result = race(losses, criterion=criterion)
    assert result.best_index == int(np.argmin(get_criterion(criterion).score(losses)))
    assert len(result.survivors) == 1
    assert result.n_trainings <= 24


# --- criteria ------------------------------------------------------------------------------------


def mean_and_range(losses: FloatArray) -> float:
    return float(np.mean(losses) + np.ptp(losses))


@pytest.mark.parametrize(
    "criterion", ["mean", "median", "q3+iqr", "std", "max", "min", "cvar", mean_and_range]
)
def test_models_are_ranked_by_any_criterion(criterion: Any) -> None:
    # The better, the steadier.
    rng = np.random.default_rng(3)
    spread = 0.05 * 2.0 ** np.arange(12)[:, None]
    losses = spread * (1.0 + rng.normal(size=(12, 10)))
    losses[:, 0] += rng.normal(0.0, 0.01)
    result = race(losses, criterion=criterion)
    full = get_criterion(criterion).score(losses)
    if criterion == "min":
        # Then an unsteady model may well be the best.
        assert full[result.best_index] <= np.sort(full)[2]
    else:
        assert result.best_index == int(np.argmin(full))
    assert result.survivors == (result.best_index,)
    assert result.n_trainings < 120
    assert result.criterion == get_criterion(criterion).name


# --- ties ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:All .* have the same loss:UserWarning")
@pytest.mark.parametrize("criterion", ["mean", "q3+iqr", "std"])
@pytest.mark.parametrize("tolerance", [0.0, 5.0])
def test_of_identical_models_the_first_is_selected(criterion: str, tolerance: float) -> None:
    result = race([[1.0] * 5] * 6, criterion=criterion, tolerance=tolerance)
    assert (result.best_index, result.survivors, result.n_trainings) == (0, (0,), 12)
    assert result.probability > 0.95


@pytest.mark.parametrize("criterion", ["mean", "q3+iqr", "std"])
def test_identical_models_that_vary_come_to_an_end(criterion: str) -> None:
    # Which one it is depends on who got an instance more than the others on the way.
    result = race([table(1, 5)[0]] * 6, criterion=criterion)
    assert result.survivors == (result.best_index,)
    assert result.n_trainings <= 30


@pytest.mark.filterwarnings("ignore:All .* have the same loss:UserWarning")
def test_models_without_noise_need_two_instances() -> None:
    result = race([[float(model)] * 6 for model in (3, 1, 2, 5)])
    assert result.best_index == 1
    assert result.n_trainings <= 8


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1])
def test_a_model_that_prunes_itself_is_out(number: int) -> None:
    losses = clear(**{f"m0_{number}": optuna.TrialPruned("too deep")})
    result = race(losses)
    assert result.steps[number].removed[0] == "the objective raised TrialPruned: too deep"
    assert (result.best_index, result.survivors) == (1, (1,))
    # Who is out is not missed.
    assert result.probability > 0.95
    assert result.n_trainings < 24
    assert n_trained(result)[0] == number


def test_all_but_one_prune_themselves() -> None:
    result = race(clear(**{f"m{model}_0": optuna.TrialPruned() for model in range(7)}))
    assert (result.best_index, result.survivors, result.n_trainings) == (7, (7,), 8)


def test_it_is_an_error_if_every_model_prunes_itself() -> None:
    with pytest.raises(RuntimeError, match=r"No model is left.*TrialPruned"):
        race(clear(**{f"m{model}_0": optuna.TrialPruned() for model in range(8)}))


@pytest.mark.parametrize("on_failure", ["worst", "drop"])
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("criterion", ["mean", "median", "min"])
def test_a_model_that_fails_too_often_is_out(criterion: str, number: int, on_failure: str) -> None:
    losses = clear(**{f"m0_{number}": math.nan})
    calls: Calls = []
    result = race(losses, calls, criterion=criterion, max_failures=0.0, on_failure=on_failure)
    assert result.best_index == 1
    assert result.survivors == (1,)
    assert result.failures == {0: {number: "the objective returned nan"}}
    assert result.probability > 0.95
    assert result.n_trainings == len(calls) < 24
    assert max(each for model, each in calls if model == 0) == number


def test_a_model_that_is_out_gets_no_more_instances() -> None:
    losses: list[list[Any]] = table(8, 6, noise=1.0).tolist()
    for model in range(3):
        losses[model][1 + model] = math.nan
    calls: Calls = []
    result = race(losses, calls, max_failures=0.0, on_failure="drop")
    for model in range(3):
        assert max(number for each, number in calls if each == model) <= 1 + model
    assert len(result.survivors) == 1


def test_a_failed_instance_is_the_worst() -> None:
    result = race(clear(m0_1=RuntimeError("boom")))
    assert result.best_index == 1
    assert result.failures == {0: {1: "RuntimeError: boom"}}
    assert result.losses[0, 1] == math.inf


def test_a_criterion_that_forgives_failures_forgives_them() -> None:
    losses = clear(m0_1=math.nan)
    assert race(losses, criterion="median", max_failures=0.5).best_index == 0


@pytest.mark.parametrize("seed", range(4))
def test_dropped_failures_do_not_end_the_race(seed: int) -> None:
    losses: list[list[Any]] = table(8, 4, gap=0.1, noise=1.0, seed=seed).tolist()
    for model in range(8):
        losses[model][model % 4] = math.nan
    result = race(losses, on_failure="drop")
    # Over when one is chosen, whatever gaps there are.
    assert len(result.survivors) == 1
    assert result.best_index == result.survivors[0]


def test_failures_can_be_raised() -> None:
    with pytest.raises(ValueError, match=r"Instance 1 of trial 0, \{'model': 0\}: .* nan"):
        race(clear(m0_1=math.nan), on_failure="raise")


@pytest.mark.parametrize("on_failure", ["worst", "drop"])
@pytest.mark.parametrize("max_failures", [0.5, 1.0])
def test_all_models_fail(max_failures: float, on_failure: str) -> None:
    losses = np.full((5, 4), math.nan)
    result = race(losses, max_failures=max_failures, on_failure=on_failure)
    assert (result.best_index, 0 in result.survivors) == (0, True)
    assert math.isnan(result.probability)
    assert not np.isfinite(result.values).any()
    assert result.n_trainings <= 20


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("criterion", ["mean", "q3+iqr", "median", "std"])
def test_infinite_losses(criterion: str) -> None:
    losses = table(10, 8)
    losses[::2, 1] = math.inf
    result = race(losses, criterion=criterion)
    full = get_criterion(criterion).score(losses)
    assert math.isfinite(full[result.best_index])
    assert len(result.survivors) == 1
    losses = table(10, 8)
    losses[:, 1] = math.inf
    result = race(losses, criterion=criterion)
    assert len(result.survivors) == 1


# --- in a study ----------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_study_gets_every_model(direction: str) -> None:
    sign = 1 if direction == "minimize" else -1
    losses = (sign * table(12, 8)).tolist()
    losses[3][1] = optuna.TrialPruned("too deep")
    study = optuna.create_study(direction=direction)
    result = race(losses, study=study, n_select=2, criterion="q3+iqr")
    assert sorted(trial.params["model"] for trial in study.trials) == list(range(12))
    reasons = {model: why for step in result.steps for model, why in step.removed.items()}
    for trial in study.trials:
        model = trial.params["model"]
        survives = model in result.survivors
        assert trial.state == (TrialState.COMPLETE if survives else TrialState.PRUNED)
        assert trial.user_attrs.get("robust:stopped") == reasons.get(model)
        shown = [each for each in trial.user_attrs["robust:losses"] if each is not None]
        assert shown == result.losses[model][~np.isnan(result.losses[model])].tolist()
        if n_trained(result)[model] > 1:
            assert trial.value == pytest.approx(result.values[model])
    assert reasons[3] == "the objective raised TrialPruned: too deep"
    assert len(reasons) == 10
    before = study.trials
    race(losses, study=study, n_select=2, criterion="q3+iqr")
    assert study.trials == before


@pytest.mark.parametrize("at", [0, 5, 13, 20])
def test_after_an_interruption_every_model_is_in_the_study_once(at: int) -> None:
    losses = table(12, 8)
    undisturbed = optuna.create_study()
    expected = race(losses, study=undisturbed)
    assert expected.n_trainings > 20
    study, store, calls = optuna.create_study(), InstanceStore(), 0

    def interrupted(trial: optuna.Trial, instance: Instance) -> float:
        nonlocal calls
        if calls == at:
            raise KeyboardInterrupt
        calls += 1
        return float(of_table(losses)(trial, instance))

    options: dict[str, Any] = {"criterion": "mean", "n_instances": 8, "store": store}
    with pytest.raises(KeyboardInterrupt):
        robust_select(interrupted, {"model": range(12)}, study=study, **options)
    result = race(losses, study=study, store=store)
    assert found(result) == found(expected)
    assert result.n_reused == at
    assert [(t.state, t.value, t.params, t.intermediate_values) for t in study.trials] == [
        (t.state, t.value, t.params, t.intermediate_values) for t in undisturbed.trials
    ]


# --- a limit on all trainings --------------------------------------------------------------------


@pytest.mark.parametrize("limit", [30, 31, 37, 60])
def test_a_race_ends_where_its_trainings_are_spent(limit: int) -> None:
    losses = table(gap=0.02)
    result = race(losses, max_trainings=limit)
    assert sum(n_trained(result)) == limit
    assert result.survivors == (result.best_index,)


def test_a_limited_race_begins_like_an_unlimited_one() -> None:
    losses = table(gap=0.02)
    limited, unlimited = race(losses, max_trainings=60), race(losses)
    assert len(limited.steps) > 2
    assert [found_in(step) for step in limited.steps[:-1]] == [
        found_in(step) for step in unlimited.steps[: len(limited.steps) - 1]
    ]


def found_in(step: Step) -> dict[str, Any]:
    return {**replace(step, seconds=0.0).__dict__, "probability": repr(step.probability)}


def test_the_last_trainings_are_the_likeliest_models() -> None:
    losses = table(gap=0.02)
    whole, cut = race(losses, max_trainings=60), race(losses, max_trainings=58)
    more = np.array(n_trained(whole)) - np.array(n_trained(cut))
    assert more.min() == 0
    assert more.sum() == 2


@pytest.mark.parametrize("limit", [30, 31, 33, 40])
@pytest.mark.parametrize("criterion", ["mean", "q3+iqr", "std"])
def test_even_the_shortest_race_ends_with_a_good_model(limit: int, criterion: str) -> None:
    # The best one comes last, and no other criterion than the mean has a value for one loss.
    losses = table(gap=1.0, noise=0.05)[::-1]
    result = race(losses, max_trainings=limit, criterion=criterion)
    assert sum(n_trained(result)) <= limit
    if criterion != "std":
        assert result.best_index >= 25


def test_of_several_at_a_time_few_are_trained_beyond_the_limit() -> None:
    store = InstanceStore()
    models = {"x": np.linspace(-1.0, 1.0, 8).tolist()}
    with ThreadPoolExecutor(4) as executor:
        at_once = robust_select(
            noisy, models, max_trainings=12, executor=executor, n_jobs=4, store=store
        )
    assert sum(n_trained(at_once)) == 12
    assert len(store.instances()) < 12 + 4
    alone = robust_select(noisy, models, max_trainings=12)
    assert found(at_once) == found(alone)


def test_several_instances_at_once_keep_to_the_limit() -> None:
    losses, asked = table(8, 10), []

    def objective(trial: optuna.Trial, instances: list[Instance]) -> list[float]:
        model = trial.suggest_int("model", 0, 7)
        asked.extend(instances)
        return [float(losses[model][instance.number]) for instance in instances]

    options: dict[str, Any] = {"n_instances": 10, "max_trainings": 24}
    robust_select(objective, {"model": range(8)}, rule="halving", **options)
    assert len(asked) <= 24


def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    losses = table()
    assert found(race(losses, max_trainings=300)) == found(race(losses))


def test_losses_from_a_store_count_towards_the_limit() -> None:
    losses, store = table(gap=0.02), InstanceStore()
    first = race(losses, max_trainings=40, store=store)
    again = race(losses, max_trainings=40, store=store)
    assert (first.n_trainings, again.n_trainings, again.n_reused) == (40, 0, 40)
    assert found(again) == found(first)


@pytest.mark.parametrize("limit", [24, 25, 30, 36])
def test_halving_trains_no_part_of_a_wave(limit: int) -> None:
    losses = table(8, 10)
    result = race(losses, rule="halving", n_warmup_instances=2, max_trainings=limit)
    # Three waves of all, then one of the four that are left after the first elimination, …
    expected = max(n for n in (24, 28, 30) if n <= limit)
    assert sum(n_trained(result)) == expected
    assert result.best_index in result.survivors
    assert len(result.survivors) == {24: 4, 28: 2, 30: 1}[expected]


def test_survivors_are_trained_on_within_the_limit() -> None:
    losses = table(8, 10, gap=1.0, noise=0.05)
    result = race(
        losses, rule="halving", n_warmup_instances=2, max_trainings=33, train_survivors=True
    )
    assert sum(n_trained(result)) == 33
    assert n_trained(result)[result.best_index] == 8


# --- arguments, progress -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"rule": RaceRule(n_instances=19), "n_instances": 20},
            ValueError,
            "rule 'race' has n_instances=19, but the selection n_instances=20",
        ),
        (
            {"rule": RaceRule(), "tolerance": 0.1},
            ValueError,
            "has tolerance=0.0, but the selection tolerance=0.1",
        ),
        (
            {"rule": RaceRule(), "n_warmup_instances": 1},
            ValueError,
            "n_warmup_instances has no effect",
        ),
        ({"tolerance": 0.1, "rule": "halving"}, ValueError, "no effect with rule='halving'"),
        ({"tolerance": 0.1, "rule": "welch"}, ValueError, "no effect with rule='welch'"),
        (
            {"n_warmup_instances": 4},
            ValueError,
            "n_warmup_instances has no effect with rule='race'",
        ),
        ({"tolerance": -0.1}, ValueError, "tolerance must lie in"),
        ({"tolerance": math.nan}, ValueError, "tolerance must lie in"),
        ({"tolerance": "much"}, TypeError, "tolerance must be a number"),
        ({"alpha": 1.0}, ValueError, r"alpha must lie in \(0, 1\)"),
        ({"n_instances": 1, "criterion": "std"}, ValueError, "n_instances=1 is too few"),
        ({"n_select": 3}, ValueError, "n_select=3 is more than the 2 models"),
        ({"max_trainings": 1}, ValueError, "max_trainings=1 is less than one for each of the 2"),
        ({"max_trainings": 0}, ValueError, "max_trainings must be at least 1"),
        ({"max_trainings": 2.5}, TypeError, "max_trainings must be an integer"),
    ],
)
def test_bad_argument_is_an_error_before_training(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    def never_called(trial: optuna.Trial) -> float:
        raise AssertionError("the objective was called")

    with pytest.raises(error, match=message):
        robust_select(never_called, {"x": [0.0, 1.0]}, **options)


@pytest.mark.parametrize("asked", [False, True])
def test_a_progress_bar_is_shown_when_asked(
    asked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    result = race(table(), show_progress_bar=asked)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert bool(shown.err) == asked
    if asked:
        assert f"{result.n_trainings} instances" in shown.err
        assert "1 models left" in shown.err


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_race_among_identical_models_ends_soon(direction: str) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        trial.suggest_int("max_depth", 5, 8)
        return float(instance.rng.normal())

    for tolerance in (0.0, 0.1):
        result = robust_select(
            objective,
            {"max_depth": [5, 6, 7, 8]},
            tolerance=tolerance,
            direction=direction,
        )
        assert result.n_trainings <= 30  # of 80
        assert result.best_params == {"max_depth": 5}


def test_the_same_models_have_the_same_instances_in_the_end() -> None:
    """What seldom happens to one of two tells them apart, if it happened in the race."""
    diverges = np.random.default_rng(0).random((12, 20)) < 0.15
    for repetition in range(12):

        def objective(trial: optuna.Trial, instance: Instance, seed: int = repetition) -> float:
            clips = trial.suggest_categorical("clips", [False, True])
            size = trial.suggest_int("size", 0, 3)
            noise = np.random.default_rng([seed, size, instance.number]).normal()
            loss = 0.5 * size + 0.2 * float(noise)
            return loss if clips or not diverges[seed, instance.number] else loss + 10.0

        models = {"clips": [False, True], "size": [0, 1, 2, 3]}
        result = robust_select(objective, models, n_instances=20)
        n_trained = np.count_nonzero(~np.isnan(result.losses), axis=1)
        for model, removal in result.removals.items():
            if isinstance(removal, NoDifference):
                assert n_trained[model] == n_trained[removal.original]
        if not result.best_params["clips"]:
            trained = result.losses[result.best_index]
            assert np.nanmax(trained) < 5.0
