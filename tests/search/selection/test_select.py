"""robust_select: what it spends, keeps, survives and refuses."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from dataclasses import replace
import math
import os
from pathlib import Path
from typing import Any
import warnings

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
import numpy as np
import numpy.typing as npt
import optuna
import pytest

from optuna_robust import expected_trainings
from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import MultiInstanceObjective
from optuna_robust import robust_select
from optuna_robust import SelectionResult
from optuna_robust._base.arrays import FloatArray
from optuna_robust._search.selection import Step
from optuna_robust.criteria import CRITERIA
from optuna_robust.elimination import Decision
from optuna_robust.elimination import get_rule
from optuna_robust.elimination import Halving
from optuna_robust.elimination import IncumbentTest
from optuna_robust.elimination import Removal
from optuna_robust.elimination import RULES
from tests.objectives import noisy
from tests.objectives import unchanged
from tests.search.selection.tables import found
from tests.search.selection.tables import of_table


# Interrupted objectives are the same ones, wrapped.
pytestmark = pytest.mark.filterwarnings("ignore:The search instances of experiment")


examples = settings(derandomize=True, deadline=None, max_examples=12)
few_examples = settings(derandomize=True, deadline=None, max_examples=8)

# Four models, the better the lower the index; five instances that shift all of them alike.
TABLE = np.array([[0.0], [1.0], [2.0], [3.0]]) + np.array([0.1, 0.2, 0.0, 0.3, 0.4])
XS = {"x": [-1.0, -0.5, 0.0, 0.5, 1.0]}


def select(table: Any, **options: Any) -> SelectionResult:
    """Select by halving, unless told otherwise; test_race.py has the race."""
    options.setdefault("n_instances", len(table[0]))
    options.setdefault("rule", "halving")
    return robust_select(of_table(table), {"model": range(len(table))}, **options)


# --- costs ---------------------------------------------------------------------------------------


def simulated_trainings(
    n_models: int, k: int, n_instances: int | None, n_select: int, eta: float
) -> int:
    """Algorithm 1, model by model."""
    models = list(range(n_models))
    trainings = step = 0
    while len(models) > n_select and step != n_instances:
        for _ in models:
            trainings += 1
        step += 1
        if step > k:
            keep = max(n_select, math.ceil(len(models) / eta))
            models = models[: min(keep, len(models) - 1)]
    while n_instances is not None and step < n_instances:
        trainings += len(models)
        step += 1
    return trainings


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    n_models=st.integers(1, 300),
    k=st.integers(0, 10),
    more_instances=st.none() | st.integers(1, 20),
    n_select=st.integers(1, 20),
    eta=st.floats(1.01, 10),
)
def test_expected_trainings_is_what_the_algorithm_spends(
    n_models: int, k: int, more_instances: int | None, n_select: int, eta: float
) -> None:
    n_instances = None if more_instances is None else k + more_instances
    assert expected_trainings(
        n_models, k, n_instances, n_select=n_select, reduction_factor=eta
    ) == simulated_trainings(n_models, k, n_instances, n_select, eta)


def test_published_numbers_of_trainings() -> None:
    assert expected_trainings(6912, 4) == 41_472
    assert expected_trainings(6912, 4, 100) == 41_555


@pytest.mark.parametrize("power", range(1, 13))
@pytest.mark.parametrize("k", [0, 1, 4])
def test_powers_of_two_cost_what_the_paper_says(power: int, k: int) -> None:
    assert expected_trainings(2**power, k) == (k + 2) * 2**power - 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 4), ValueError, "n_models must be at least 1"),
        ((4, -1), ValueError, "n_warmup_instances must be at least 0"),
        ((4, 4, 4), ValueError, "n_warmup_instances=4 leaves nothing"),
        ((4.0, 4), TypeError, "n_models must be an integer"),
    ],
)
def test_bad_numbers_of_trainings_are_errors(
    arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        expected_trainings(*arguments)


@examples
@given(
    n_models=st.integers(1, 12),
    k=st.integers(0, 3),
    n_select=st.integers(1, 3),
    eta=st.sampled_from([1.5, 2.0, 3.0]),
    train_survivors=st.booleans(),
)
def test_halving_spends_what_was_expected(
    n_models: int, k: int, n_select: int, eta: float, train_survivors: bool
) -> None:
    n_select = min(n_select, n_models)
    table = np.random.default_rng(n_models).normal(size=(n_models, 20))
    result = select(
        table,
        criterion="mean",
        n_warmup_instances=k,
        n_select=n_select,
        reduction_factor=eta,
        train_survivors=train_survivors,
    )
    to_the_end = train_survivors or n_select == n_models
    assert result.n_trainings == expected_trainings(
        n_models, k, 20 if to_the_end else None, n_select=n_select, reduction_factor=eta
    )


def test_no_warmup_costs_as_one_where_the_criterion_needs_two_instances() -> None:
    table = np.random.default_rng(0).normal(size=(8, 10))
    assert select(table, n_warmup_instances=0).n_trainings == expected_trainings(8, 1)


def test_the_papers_selection_costs_what_the_paper_says() -> None:
    table = np.random.default_rng(0).normal(size=(6912, 20))
    result = robust_select(
        lambda trial, instance: table[trial.number, instance.number],
        {"model": range(len(table))},
        rule="halving",
        n_warmup_instances=4,
    )
    assert (result.n_trainings, len(result.survivors)) == (41_472, 1)


# --- steps ---------------------------------------------------------------------------------------


def test_halving_by_hand() -> None:
    result = select(TABLE, criterion="max", n_warmup_instances=1)
    assert [(s.step, s.kept, s.incumbent, s.n_trained) for s in result.steps] == [
        (1, (0, 1, 2, 3), 0, 4),
        (2, (0, 1), 0, 4),
        (3, (0,), 0, 2),
    ]
    assert result.steps[1].removed == {
        2: "halving: 2.2 is worse than 1.2",
        3: "halving: 3.2 is worse than 1.2",
    }
    assert [step.incumbent_value for step in result.steps] == [0.1, 0.2, 0.2]
    assert (result.best_params, result.best_index, result.best_value) == ({"model": 0}, 0, 0.2)
    assert (result.survivors, result.n_trainings, result.n_reused) == ((0,), 10, 0)
    nan = math.nan
    np.testing.assert_array_equal(
        result.losses, [[0.1, 0.2, 0.0], [1.1, 1.2, 1.0], [2.1, 2.2, nan], [3.1, 3.2, nan]]
    )
    np.testing.assert_array_equal(result.values, [0.2, 1.2, 2.2, 3.2])
    assert (result.criterion, result.rule, result.direction) == ("max", "halving", "minimize")


def test_it_ends_when_the_instances_are_spent() -> None:
    result = select(TABLE, criterion="mean", rule=Never())
    assert (result.survivors, result.n_trainings) == ((0, 1, 2, 3), 20)
    assert [step.step for step in result.steps] == [1, 2, 3, 4, 5]


def test_the_last_wave_is_followed_by_an_elimination() -> None:
    result = select(TABLE, criterion="mean", n_warmup_instances=4)
    assert [len(step.kept) for step in result.steps] == [4, 4, 4, 4, 2]


@pytest.mark.parametrize("rule", ["race", "halving", "directed-welch"])
@pytest.mark.parametrize("n_models", [1, 4])
def test_no_more_models_than_shall_be_selected_are_trained_to_the_end(
    rule: str, n_models: int
) -> None:
    table = TABLE[:n_models]
    result = select(table, rule=rule, criterion="mean", n_select=n_models, n_instances=5)
    assert (result.survivors, result.n_trainings) == (tuple(range(n_models)), 5 * n_models)
    assert result.best_index == np.argmin(table[:, :5].mean(axis=1))
    assert result.best_value == pytest.approx(table[:, :5].mean(axis=1).min())


def test_one_model_keeps_to_the_trainings() -> None:
    assert select(TABLE[:1], n_instances=5, max_trainings=3).n_trainings == 3


def test_a_winner_that_is_left_alone_gets_a_value() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        if trial.suggest_int("model", 0, 2):
            raise optuna.TrialPruned
        return float(instance.rng.normal())

    result = robust_select(objective, {"model": [0, 1, 2]}, n_instances=5)
    assert (result.best_index, result.n_trainings) == (0, 4)
    assert math.isfinite(result.best_value)


def test_survivors_are_trained_on_when_asked() -> None:
    seen: list[Step] = []
    result = select(
        TABLE,
        criterion="mean",
        n_warmup_instances=0,
        n_select=2,
        train_survivors=True,
        callbacks=[seen.append],
    )
    assert [(s.step, s.kept, s.n_trained) for s in result.steps] == [
        (1, (0, 1), 4),
        *((step, (0, 1), 2) for step in (2, 3, 4, 5)),
    ]
    assert result.n_trainings == 12
    assert np.isfinite(result.losses[:2]).all()
    assert tuple(seen) == result.steps
    assert result.best_value == pytest.approx(0.2)


def test_the_best_survivor_may_not_be_the_last_incumbent() -> None:
    # Trained on, the second survivor turns out to be the better.
    table = [[0.0, 9.0, 9.0], [1.0, 1.1, 1.0], [2.0, 2.1, 2.0]]
    options: dict[str, Any] = {"criterion": "mean", "n_warmup_instances": 0, "n_select": 2}
    assert select(table, **options).best_index == 0
    assert select(table, **options, train_survivors=True).best_index == 1


def test_every_callback_is_told_every_step() -> None:
    first: list[Step] = []
    second: list[Step] = []
    result = select(TABLE, n_warmup_instances=1, callbacks=[first.append, second.append])
    assert tuple(first) == tuple(second) == result.steps
    assert all(step.seconds >= 0.0 for step in first)
    assert result.seconds == math.fsum(step.seconds for step in first)


def test_ties_keep_the_lower_index() -> None:
    result = select([[1.0, 1.0, 1.0]] * 4, criterion="mean", n_warmup_instances=0)
    assert (result.best_index, result.survivors) == (0, (0,))


# --- rules ---------------------------------------------------------------------------------------


class Never:
    """A user's rule that eliminates nothing."""

    name = "never"

    def eliminates_at(self, n_instances: int) -> bool:
        return False

    def eliminate(self, losses: npt.ArrayLike, alive: Iterable[int] | None = None) -> Decision:
        matrix = np.asarray(losses, dtype=np.float64)
        kept = tuple(range(len(matrix)) if alive is None else alive)
        scores = np.full(len(matrix), np.nan)
        scores[list(kept)] = matrix[list(kept)].mean(axis=1)
        incumbent = kept[int(np.argmin(scores[list(kept)]))]
        return Decision(kept, {}, incumbent, scores, np.full(len(matrix), np.nan))


class Always(Never):
    """A user's rule that would leave nobody."""

    name = "always"

    def eliminate(self, losses: npt.ArrayLike, alive: Iterable[int] | None = None) -> Decision:
        decision = super().eliminate(losses, alive)
        removed = {
            model: Removal(self.name, float(decision.scores[model]), 0.0, None, decision.incumbent)
            for model in decision.kept
        }
        return Decision((), removed, decision.incumbent, decision.scores, decision.p_values)


@st.composite
def tables(draw: st.DrawFn) -> FloatArray:
    shape = draw(st.tuples(st.integers(2, 6), st.integers(2, 6)))
    losses = st.floats(-10, 10, width=32) | st.sampled_from([0.0, 1.0, math.inf])
    return draw(hnp.arrays(np.float64, shape, elements=losses))


@pytest.mark.filterwarnings("ignore:.*cannot reject at alpha:UserWarning")
@pytest.mark.filterwarnings("ignore:All .* have the same loss:UserWarning")
@pytest.mark.parametrize("rule", RULES)
@few_examples
@given(
    table=tables(),
    criterion=st.sampled_from(sorted(CRITERIA)),
    n_select=st.integers(1, 6),
    k=st.integers(0, 5),
    on_failure=st.sampled_from(["worst", "drop"]),
    max_failures=st.sampled_from([0.3, 1.0]),
)
def test_every_rule_keeps_its_books(
    rule: str,
    table: FloatArray,
    criterion: str,
    n_select: int,
    k: int,
    on_failure: str,
    max_failures: float,
) -> None:
    n_models, n_instances = table.shape
    n_select = min(n_select, n_models)
    races = rule == "race"
    calls: list[tuple[int, int]] = []
    result = robust_select(
        of_table(table, calls),
        {"model": range(n_models)},
        n_instances=n_instances,
        rule=rule,
        criterion=criterion,
        n_select=n_select,
        n_warmup_instances=None if races else min(k, n_instances - 1),
        on_failure=on_failure,
        max_failures=max_failures,
    )
    alive: tuple[int, ...] = tuple(range(n_models))
    for number, step in enumerate(result.steps, start=1):
        assert step.step == number
        if races and number > 1:
            assert 1 <= step.n_trained <= len(alive)
        else:
            assert step.n_trained == len(alive)
        assert step.kept == tuple(sorted(set(alive) - set(step.removed)))
        assert set(step.removed) <= set(alive)
        assert len(step.kept) >= n_select
        assert step.incumbent in alive
        if max_failures == 1.0:
            assert step.incumbent in step.kept
        alive = step.kept
    assert result.rule == rule
    assert result.survivors == alive
    assert result.best_index in alive
    # A race knows when it is over.
    assert len(alive) == n_select or (not races and len(result.steps) == n_instances)
    assert result.n_trainings == sum(step.n_trained for step in result.steps)
    if not result.steps:
        return
    shown = np.where(np.isinf(table), math.nan if on_failure == "drop" else math.inf, table)
    n_trained = np.bincount([model for model, _ in calls], minlength=n_models)
    if not races:
        n_kept = [
            sum(model in step.kept for step in result.steps[:-1]) for model in range(n_models)
        ]
        np.testing.assert_array_equal(n_trained, 1 + np.array(n_kept))
    trained = np.arange(n_instances) < n_trained[:, None]
    expected = np.where(trained, shown, math.nan)[:, : n_trained.max()]
    np.testing.assert_array_equal(result.losses, expected)
    assert set(calls) == {(int(model), int(number)) for model, number in np.argwhere(trained)}


@pytest.mark.filterwarnings("ignore:.*cannot reject at alpha:UserWarning")
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_can_be_given_as_an_object(rule: str) -> None:
    table = np.random.default_rng(1).normal(size=(6, 8)) + np.arange(6)[:, None]
    own: dict[str, Any] = {"n_instances": 8} if rule == "race" else {"n_warmup_instances": 2}
    options: dict[str, Any] = {"criterion": "mean", **own}
    named = select(table, rule=rule, **options)
    given_rule = select(table, rule=get_rule(rule, **options), criterion="mean")
    assert found(given_rule) == found(named)


def test_a_test_that_can_never_reject_warns_once_by_name_and_as_an_object() -> None:
    table = np.random.default_rng(1).normal(size=(3, 4)) + np.arange(3)[:, None]
    never = "directed-wilcoxon cannot reject at alpha=0.05 with fewer than 5 instances.*never"
    with pytest.warns(UserWarning, match=never) as caught:
        by_name = select(table, rule="directed-wilcoxon", criterion="mean")
    assert len(caught) == 1
    rule = IncumbentTest(
        test="wilcoxon", directed=True, alpha=0.05, criterion="mean", n_warmup_instances=4
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        select(np.hstack([table, table]), rule=rule)
    with pytest.warns(UserWarning, match="nothing is eliminated before"):
        rule = replace(rule, n_warmup_instances=3)
    with pytest.warns(UserWarning, match=never) as caught:
        as_object = select(table, rule=rule)
    assert [Path(each.filename).name for each in caught] == [Path(__file__).name]
    assert found(as_object) == found(by_name)


def test_sequential_halving_looks_at_growing_numbers_of_instances() -> None:
    table = np.arange(8.0)[:, None] + np.linspace(0, 0.1, 8)
    result = select(table, rule="sequential-halving", n_warmup_instances=0, criterion="mean")
    assert [len(step.kept) for step in result.steps] == [4, 2, 2, 1]
    assert result.n_trainings == 8 + 4 + 2 + 2


def test_two_sided_tests_drop_a_model_that_is_better_and_directed_ones_do_not() -> None:
    rng = np.random.default_rng(0)
    wide, narrow = rng.normal(0.0, 1.0, 12), rng.normal(3.0, 0.01, 12)
    options: dict[str, Any] = {"criterion": "mean", "n_warmup_instances": 10}
    assert select([wide, narrow], rule="bartlett", **options).survivors == (0,)
    assert select([wide, narrow], rule="directed-bartlett", **options).survivors == (0, 1)


def test_alpha_is_the_level_of_the_tests() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(10, 8)) + 0.3 * np.arange(10)[:, None]
    options: dict[str, Any] = {"rule": "welch", "criterion": "mean"}
    strict = select(table, alpha=1e-6, **options)
    lax = select(table, alpha=0.5, **options)
    assert len(lax.survivors) < len(strict.survivors) == 10


def test_a_rule_that_keeps_too_few_keeps_the_best() -> None:
    table = np.array([[3.0], [1.0], [2.0], [0.0]]) + np.zeros(3)
    result = select(table, criterion="mean", rule=Always(), n_select=2)
    assert [(step.kept, sorted(step.removed)) for step in result.steps] == [((1, 3), [0, 2])]
    assert result.best_index == 3


def test_a_users_rule_drives_the_race() -> None:
    result = select(TABLE, criterion="mean", rule=Never(), n_select=2)
    assert (result.rule, len(result.survivors), result.n_trainings) == ("never", 4, 20)


@pytest.mark.parametrize(("n_instances", "first_look"), [(20, 5), (5, 5), (4, 4), (2, 2)])
def test_default_warmup_is_four_or_all_but_one(n_instances: int, first_look: int) -> None:
    table = np.arange(4.0)[:, None] + np.linspace(0, 0.1, n_instances)
    result = select(table, criterion="mean")
    assert next(step.step for step in result.steps if step.removed) == first_look


@pytest.mark.parametrize("rule", ["paired-t", "directed-paired-t", IncumbentTest(test="paired-t")])
def test_paired_rule_with_reshuffled_instances_is_an_error(rule: Any) -> None:
    with pytest.raises(ValueError, match=r"reshuffle=True.*'paired-t'"):
        robust_select(noisy, XS, rule=rule, reshuffle=True)


# --- direction and criterion ---------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:All .* have the same loss:UserWarning")
@pytest.mark.filterwarnings("ignore:.*cannot reject at alpha:UserWarning")
@pytest.mark.parametrize("rule", ["halving", "directed-welch", "levene", "sequential-halving"])
@examples
@given(table=tables(), criterion=st.sampled_from([*sorted(CRITERIA), "callable"]))
def test_maximising_is_minimising_the_negative(
    rule: str, table: FloatArray, criterion: str
) -> None:
    def third_moment(losses: FloatArray) -> float:
        return float(np.mean(losses**3))

    options: dict[str, Any] = {
        "rule": rule,
        "criterion": third_moment if criterion == "callable" else criterion,
        "n_warmup_instances": 1,
    }
    down = select(table, **options)
    up = select(-table, direction="maximize", **options)
    assert [(s.step, s.kept, s.incumbent) for s in up.steps] == [
        (s.step, s.kept, s.incumbent) for s in down.steps
    ]
    np.testing.assert_array_equal(up.losses, -down.losses)
    np.testing.assert_array_equal(up.values, -down.values)
    np.testing.assert_array_equal(
        [step.incumbent_value for step in up.steps],
        [-step.incumbent_value for step in down.steps],
    )
    assert (up.best_index, up.direction) == (down.best_index, "maximize")


def test_values_are_oriented_as_a_study_would_see_them() -> None:
    accuracies = [[0.4, 0.1, 0.2, 0.3], [0.5, 0.5, 0.5, 0.1]]
    result = select(accuracies, direction="maximize", rule=Never())
    np.testing.assert_allclose(result.values, [0.175 - 0.15, 0.4 - 0.1])  # Q1 - IQR
    assert (result.best_index, result.best_value) == (1, pytest.approx(0.3))
    result = select(accuracies, direction="maximize", rule=Never(), criterion="std")
    np.testing.assert_allclose(result.values, -np.std(accuracies, axis=1, ddof=1))


def test_reasons_are_told_in_the_users_orientation() -> None:
    result = select([[0.8, 1.0], [0.4, 0.6]], direction="maximize", criterion="mean")
    assert result.steps[-1].removed == {1: "halving: 0.5 is worse than 0.9"}


def test_callables_receive_oriented_losses() -> None:
    result = select(
        [[0.9, 0.1], [0.5, 0.4]],
        direction="maximize",
        criterion=lambda losses: losses.max(),
        rule=Never(),
    )
    np.testing.assert_array_equal(result.values, [0.1, 0.4])
    assert result.best_index == 1


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_studys_direction_is_taken(direction: str) -> None:
    study = optuna.create_study(direction=direction)
    result = select([[1.0, 1.1], [2.0, 2.1]], criterion="mean", study=study)
    assert (result.direction, result.best_index) == (direction, int(direction == "maximize"))


def test_the_direction_of_the_study_of_models_is_taken() -> None:
    models = optuna.create_study(direction="maximize")
    models.enqueue_trial({"x": 0.5})
    models.optimize(lambda trial: trial.suggest_float("x", -1, 1), n_trials=1)
    assert robust_select(noisy, models, n_instances=6).direction == "maximize"


def test_directions_that_contradict_each_other_are_an_error() -> None:
    study = optuna.create_study(study_name="s", direction="maximize")
    with pytest.raises(
        ValueError, match=r"direction='minimize' says minimize, study 's' says maximize"
    ):
        robust_select(noisy, XS, direction="minimize", study=study)
    models = optuna.create_study()
    models.optimize(lambda trial: trial.suggest_float("x", -1, 1), n_trials=1)
    with pytest.raises(ValueError, match="Directions differ"):
        robust_select(noisy, models, study=study)
    assert (study.trials, study.user_attrs) == ([], {})


def test_a_study_with_several_objectives_is_an_error() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"])
    with pytest.raises(ValueError, match="study has 2 objectives"):
        robust_select(noisy, XS, study=study)
    with pytest.raises(ValueError, match=r"trial\.params for trial in study\.best_trials"):
        robust_select(noisy, study)


def test_an_objective_sees_the_direction() -> None:
    seen = set()

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        seen.add(trial.study.direction)
        return float(instance.rng.normal()) + trial.number

    robust_select(objective, XS, direction="maximize", n_instances=6)
    assert seen == {optuna.study.StudyDirection.MAXIMIZE}


# --- instances -----------------------------------------------------------------------------------


def test_instances_are_those_of_a_search_with_the_same_seed() -> None:
    seeds: dict[float, list[int]] = {}

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        assert instance.phase == "search"
        seeds.setdefault(trial.suggest_float("x", -1, 1), []).append(instance.seed)
        return noisy(trial, instance)

    robust_select(objective, XS, seed=3, n_instances=6)
    expected = [Instance(number, study_seed=3).seed for number in range(6)]
    assert len(seeds) == 5
    assert all(each == expected[: len(each)] for each in seeds.values())


def test_reshuffle_gives_every_model_its_own_instances() -> None:
    result = robust_select(
        lambda trial, instance: instance.seed, XS, n_instances=3, rule=Never(), reshuffle=True
    )
    assert len(np.unique(result.losses)) == result.losses.size == 15
    assert result.settings["reshuffle"] is True


def test_vary_freezes_the_other_sources() -> None:
    seeds: set[int] = set()
    samples: set[bytes] = set()

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        seeds.add(instance.seed)
        samples.add(instance.sample(100, 10).tobytes())
        return instance.seed + trial.suggest_float("x", -1, 1)

    result = robust_select(objective, XS, n_instances=4, vary=("init",), rule=Never())
    assert (len(seeds), len(samples)) == (4, 1)
    assert result.settings["vary"] == ["init"]


@pytest.mark.parametrize("objective", [noisy, unchanged])
def test_the_same_call_twice_gives_the_same_result(objective: Callable[..., Any]) -> None:
    results = [robust_select(objective, XS, n_instances=8) for _ in range(2)]
    assert found(results[0]) == found(results[1])
    assert [result.n_trainings for result in results] == [results[0].n_trainings] * 2
    assert np.nanstd(results[0].losses, axis=1).min() > 0.01
    other = robust_select(objective, XS, n_instances=8, seed=1)
    assert not set(other.losses[:, 0]) & set(results[0].losses[:, 0])


def test_seed_function_is_called_before_every_instance() -> None:
    seeds: list[int] = []
    result = robust_select(noisy, XS, n_instances=6, seed_function=seeds.append)
    assert len(seeds) == result.n_trainings
    assert set(seeds) <= {Instance(number).seed for number in range(6)}


def test_identical_losses_warn_and_never_win_as_perfectly_stable() -> None:
    table = [[5.0] * 6, [4.0] * 6, [0.1, 0.9, 0.2, 0.8, 0.3, 0.7]]
    with pytest.warns(UserWarning, match="All 5 instances of model 0 have the same loss") as told:
        result = select(table, criterion="std")
    assert len(told) == 1
    assert (result.best_index, result.values[0], result.values[1]) == (2, math.inf, math.inf)


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [math.nan, math.inf, -math.inf, RuntimeError("boom"), "text"])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_failed_instance_counts_as_the_worst(outcome: Any, direction: str) -> None:
    worst = math.inf if direction == "minimize" else -math.inf
    table = [[1.0, 1.0, 1.0], [1.0, outcome, 1.0]]
    result = select(table, criterion="mean", direction=direction, n_warmup_instances=1)
    assert (result.best_index, result.survivors) == (0, (0,))
    assert (result.losses[1, 1], result.values[1]) == (worst, worst)
    assert list(result.failures) == [1]
    assert list(result.failures[1]) == [1]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (math.nan, "the objective returned nan"),
        (-math.inf, "the objective returned -inf"),
        (RuntimeError("boom"), "RuntimeError: boom"),
    ],
)
def test_reasons_of_failures_are_kept(outcome: Any, reason: str) -> None:
    result = select([[1.0, 2.0], [1.0, outcome]])
    assert result.failures == {1: {1: reason}}


def test_failures_can_be_dropped() -> None:
    table = [[1.0, math.nan, 3.0], [4.0, 4.0, math.nan]]
    result = select(table, criterion="mean", on_failure="drop", rule=Never())
    np.testing.assert_array_equal(result.losses, [[1.0, math.nan, 3.0], [4.0, 4.0, math.nan]])
    np.testing.assert_array_equal(result.values, [2.0, 4.0])
    assert result.n_trainings == 6


def test_models_without_any_loss_are_kept() -> None:
    table = [[math.nan] * 3, [math.nan] * 3]
    result = select(table, criterion="mean", on_failure="drop", max_failures=1.0)
    assert (result.survivors, result.n_trainings, result.best_index) == ((0, 1), 6, 0)
    assert np.isnan(result.values).all()


@pytest.mark.parametrize(
    ("outcome", "error", "message"),
    [
        (math.nan, ValueError, r"Instance 1 of trial 1, \{'model': 1\}: .* returned nan"),
        (RuntimeError("boom"), RuntimeError, "boom"),
    ],
)
def test_failures_can_be_raised(outcome: Any, error: type[Exception], message: str) -> None:
    store = InstanceStore()
    with pytest.raises(error, match=message):
        select([[1.0, 2.0], [1.0, outcome]], on_failure="raise", store=store)
    # What succeeded is kept, and what failed can be mended.
    assert [each.state for each in store.instances()] == ["done"] * 3
    mended = select([[1.0, 2.0], [1.0, 5.0]], on_failure="raise", store=store)
    assert (mended.n_trainings, mended.n_reused) == (1, 3)


def test_a_failure_that_the_store_keeps_is_raised_too_if_failures_are() -> None:
    store = InstanceStore()
    table = [[1.0, 2.0], [1.0, math.nan]]
    select(table, store=store)
    with pytest.raises(ValueError, match="returned nan"):
        select(table, on_failure="raise", store=store)


def test_exceptions_are_raised_until_an_instance_has_succeeded() -> None:
    store = InstanceStore()
    with pytest.raises(NameError, match="typo"):
        select([[NameError("typo"), 1.0], [1.0, 1.0]], store=store)
    # Nothing is kept of it, so that the mended objective is trained.
    assert store.instances() == []
    result = select([[2.0, 2.1], [1.0, OSError("later")]], criterion="mean", store=store)
    assert (result.n_trainings, result.n_reused, result.best_index) == (4, 0, 0)
    assert result.failures == {1: {1: "OSError: later"}}


def test_nan_is_no_success() -> None:
    with pytest.raises(NameError, match="typo"):
        select([[math.nan, 1.0], [NameError("typo"), 1.0]])


def test_exceptions_are_not_raised_when_the_store_knows_a_success() -> None:
    store = InstanceStore()
    select([[1.0, 1.1], [2.0, 2.1]], criterion="mean", store=store)
    models = [{"model": 2}, {"model": 0}]
    table = [[1.0, 1.1], [2.0, 2.1], [RuntimeError("too big"), RuntimeError("too big")]]
    options: dict[str, Any] = {"criterion": "mean", "n_instances": 2, "store": store}
    with pytest.warns(UserWarning, match="Nothing has succeeded in this run"):
        result = robust_select(of_table(table), models, **options)
    assert (result.best_index, list(result.failures)) == (1, [0])
    # Without a success in the run they may be the objective's own fault, and are not kept.
    assert {each.state for each in store.instances()} == {"done"}


def test_a_typo_between_two_runs_does_not_run_for_hours() -> None:
    def broken(trial: optuna.Trial, instance: Instance) -> float:
        raise AttributeError("lossses")

    store = InstanceStore()
    select([[1.0, 1.1], [2.0, 2.1]], criterion="mean", store=store)
    models = [{"model": model} for model in range(2, 30)]
    with (
        pytest.warns(UserWarning, match="Nothing has succeeded in this run"),
        pytest.raises(AttributeError, match="lossses"),
    ):
        robust_select(broken, models, criterion="mean", n_instances=2, store=store)
    assert {each.state for each in store.instances()} == {"done"}


def test_a_model_with_too_many_failures_is_removed() -> None:
    table = [[1.0, math.nan, math.nan, 1.0, 1.0], [2.0] * 5, [3.0] * 5]
    result = select(table, criterion="min", max_failures=0.2, n_warmup_instances=3)
    assert result.steps[2].kept == (1, 2)
    assert result.steps[2].removed[0] == (
        "2 of 5 instances failed, more than max_failures=0.2 allows; the last one: the objective "
        "returned nan"
    )
    assert result.best_index == 1


def test_failing_models_stay_if_too_few_would_be_left() -> None:
    table = [[math.nan] * 3, [1.0, math.nan, 1.0], [math.nan] * 3]
    result = select(table, criterion="mean", max_failures=0.0, n_select=2)
    assert result.survivors == (0, 1)


@pytest.mark.parametrize("on_failure", ["worst", "drop", "raise"])
def test_trial_pruned_from_inside_removes_the_model(on_failure: str) -> None:
    table = [[1.0, optuna.TrialPruned("too deep"), 1.0], [2.0, 2.1, 2.0], [3.0, 3.1, 3.0]]
    store = InstanceStore()
    options: dict[str, Any] = {"criterion": "mean", "n_warmup_instances": 2, "store": store}
    result = select(table, on_failure=on_failure, **options)
    assert result.steps[1].kept == (1, 2)
    assert result.steps[1].removed == {0: "the objective raised TrialPruned: too deep"}
    assert result.steps[1].incumbent == 1
    assert (result.best_index, result.n_trainings) == (1, 3 + 3 + 2)
    np.testing.assert_array_equal(result.losses[0], [1.0, math.nan, math.nan])
    again = select(table, on_failure=on_failure, **options)
    assert found(again) == found(result)
    assert (again.n_trainings, again.n_reused) == (0, 8)


def test_pruned_models_do_not_come_back_if_too_few_are_left() -> None:
    table = [[optuna.TrialPruned(), 1.0], [2.0, 2.1], [3.0, 3.1]]
    result = select(table, criterion="mean", n_select=3, train_survivors=True)
    assert result.survivors == (1, 2)


def test_it_is_an_error_if_every_model_is_pruned() -> None:
    table = [[1.0, optuna.TrialPruned()], [2.0, optuna.TrialPruned("no memory")]]
    with pytest.raises(RuntimeError, match=r"No model is left.*no memory"):
        select(table)


@pytest.mark.parametrize("on_failure", ["worst", "drop", "raise"])
@pytest.mark.parametrize(
    ("returned", "error"), [("0.5", TypeError), (None, TypeError), ((0.5, 0.6), ValueError)]
)
def test_a_wrong_return_is_an_error_at_the_first_instance(
    on_failure: str, returned: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="one loss"):
        select([[returned, 1.0], [1.0, 1.0]], on_failure=on_failure)


# --- store ---------------------------------------------------------------------------------------


def test_two_calls_never_share_results_by_accident() -> None:
    assert [select(TABLE).n_trainings for _ in range(2)] == [select(TABLE).n_trainings] * 2


@pytest.mark.parametrize("rule", ["race", "halving"])
@pytest.mark.parametrize("url", ["sqlite://", "file"])
def test_a_store_reuses_everything(url: str, rule: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'robust.db'}" if url == "file" else url
    table = np.random.default_rng(0).normal(size=(6, 8)).tolist()
    table[2][1] = math.nan
    table[3][2] = RuntimeError("boom")
    table[4][0] = optuna.TrialPruned()
    store = InstanceStore(url)
    calls: list[tuple[int, int]] = []
    options: dict[str, Any] = {"rule": rule, "n_instances": 8, "store": store}
    first = robust_select(of_table(table, calls), {"model": range(6)}, **options)
    n_calls = len(calls)
    second = robust_select(of_table(table, calls), {"model": range(6)}, **options)
    assert len(calls) == n_calls
    assert (second.n_trainings, second.n_reused) == (0, first.n_trainings)
    assert found(second) == found(first)
    assert [step.seconds for step in second.steps] == [step.seconds for step in first.steps]
    assert second.seconds == first.seconds


def test_a_larger_selection_trains_what_is_missing_only() -> None:
    store = InstanceStore()
    select(TABLE, n_warmup_instances=1, store=store)
    calls: list[tuple[int, int]] = []
    result = robust_select(
        of_table(TABLE, calls),
        {"model": range(4)},
        rule="halving",
        n_instances=5,
        n_warmup_instances=3,
        store=store,
    )
    assert result.n_trainings + result.n_reused == expected_trainings(4, 3)
    assert calls == [(2, 2), (3, 2), *((model, 3) for model in range(4)), (0, 4), (1, 4)]


def test_the_order_of_the_models_does_not_matter_to_the_store() -> None:
    store = InstanceStore()
    models = [{"x": x, "kind": "a"} for x in (0.0, 0.3, 0.6)]
    robust_select(noisy, models, n_instances=6, rule=Never(), store=store)
    turned = [{"kind": "a", "x": x} for x in (0.6, 0.3, 0.0)]
    again = robust_select(noisy, turned, n_instances=6, rule=Never(), store=store)
    assert again.n_trainings == 0


def test_a_store_shares_instances_with_a_study() -> None:
    store = InstanceStore()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(MultiInstanceObjective(noisy, 6, seed=2, store=store), n_trials=5)
    result = robust_select(noisy, study, n_instances=8, seed=2, rule=Never(), store=store)
    assert (result.n_trainings, result.n_reused) == (10, 30)
    by_value = sorted(study.trials, key=lambda trial: trial.value)
    np.testing.assert_array_equal(
        result.losses[:, :6], [trial.user_attrs["robust:losses"] for trial in by_value]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, r"seed=1 differs from seed=0"),
        ({"vary": ("init",)}, r"vary=\['init'\] differs from vary="),
    ],
)
def test_instances_of_other_settings_are_refused(options: dict[str, Any], message: str) -> None:
    store = InstanceStore()
    robust_select(noisy, XS, n_instances=6, store=store)
    before = store.instances()
    study = optuna.create_study()
    with pytest.raises(ValueError, match=message):
        robust_select(noisy, XS, n_instances=6, store=store, study=study, **options)
    assert store.instances() == before
    # The study is as it was, and can be used with the right settings.
    assert (study.user_attrs, study.trials) == ({}, [])
    assert robust_select(noisy, XS, n_instances=6, store=store, study=study).n_trainings == 0


def test_a_store_is_not_bound_by_a_call_that_the_study_refuses() -> None:
    study = optuna.create_study()
    robust_select(noisy, XS, n_instances=6, study=study)
    store = InstanceStore()
    with pytest.raises(ValueError, match="seed=5 differs from seed=0"):
        robust_select(noisy, XS, n_instances=6, study=study, store=store, seed=5)
    assert robust_select(noisy, XS, n_instances=6, study=study, store=store).n_trainings > 0


def test_another_version_of_the_objective_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'robust.db'}"
    store = InstanceStore(url, version="1")
    robust_select(noisy, XS, n_instances=6, store=store)
    before = store.instances()
    with pytest.raises(ValueError, match="version='2' differs from version='1'"):
        InstanceStore(url, version="2")
    assert store.instances() == before


def test_reshuffled_instances_are_apart_from_common_ones() -> None:
    store = InstanceStore()
    options: dict[str, Any] = {"n_instances": 6, "store": store}
    robust_select(noisy, XS, **options)
    own = robust_select(noisy, XS, reshuffle=True, **options)
    assert own.n_reused == 0
    again = robust_select(noisy, XS, reshuffle=True, **options)
    assert (again.n_trainings, found(again)) == (0, found(own))


# --- interruption --------------------------------------------------------------------------------


MODELS = {"model": range(4)}
# Too close for the race to be over at once.
CLOSE = (np.random.default_rng(2).normal(size=(4, 5)) + 0.4 * np.arange(4.0)[:, None]).tolist()
INTERRUPTED: list[Any] = [
    pytest.param({"rule": "halving", "n_warmup_instances": 1}, 10, id="halving"),
    pytest.param({"rule": "race"}, 11, id="race"),
]
LAST = [
    pytest.param(*each.values, last, id=f"{each.id}-{last}")
    for each in INTERRUPTED
    for last in range(each.values[1])
]


@pytest.mark.parametrize(("options", "n_trainings", "last"), LAST)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_selection_goes_on(
    options: dict[str, Any],
    n_trainings: int,
    last: int,
    error: type[BaseException],
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'robust.db'}"
    options = {"criterion": "mean", "n_instances": 5, **options}
    calls: list[tuple[int, int]] = []
    lookup = of_table(CLOSE, calls)

    def interrupted(trial: optuna.Trial, instance: Instance) -> float:
        if len(calls) == last:
            raise error
        return float(lookup(trial, instance))

    with pytest.raises(error):
        robust_select(interrupted, MODELS, store=InstanceStore(url), **options)
    store = InstanceStore(url)
    assert [each.state for each in store.instances()] == ["done"] * last
    result = robust_select(lookup, MODELS, store=store, **options)
    assert (result.n_trainings, result.n_reused) == (n_trainings - last, last)
    assert len(set(calls)) == len(calls) == n_trainings
    assert found(result) == found(robust_select(lookup, MODELS, **options))


@pytest.mark.parametrize(("options", "n_trainings"), INTERRUPTED)
def test_a_selection_interrupted_at_every_instance_gets_to_the_end(
    options: dict[str, Any], n_trainings: int
) -> None:
    options = {"criterion": "mean", "n_instances": 5, **options}
    store = InstanceStore()
    calls: list[tuple[int, int]] = []
    lookup = of_table(CLOSE, calls)
    tries = 0

    def one_at_a_time(trial: optuna.Trial, instance: Instance) -> float:
        if len(calls) == tries:
            raise KeyboardInterrupt
        return float(lookup(trial, instance))

    while True:
        tries += 1
        try:
            result = robust_select(one_at_a_time, MODELS, store=store, **options)
        except KeyboardInterrupt:
            assert {each.state for each in store.instances()} == {"done"}
        else:
            break
    assert tries == n_trainings
    assert (result.n_trainings, result.n_reused) == (1, n_trainings - 1)
    assert found(result) == found(robust_select(lookup, MODELS, **options))


@pytest.mark.parametrize(("options", "n_trainings"), INTERRUPTED)
def test_a_callback_that_raises_interrupts_the_selection(
    options: dict[str, Any], n_trainings: int
) -> None:
    options = {"criterion": "mean", "n_instances": 5, **options}
    store = InstanceStore()
    n_trained = 0

    def stop(step: Step) -> None:
        nonlocal n_trained
        n_trained += step.n_trained
        if step.step == 2:
            raise StopIteration("enough")

    with pytest.raises(StopIteration, match="enough"):
        robust_select(of_table(CLOSE), MODELS, store=store, callbacks=[stop], **options)
    assert [each.state for each in store.instances()] == ["done"] * 8
    assert n_trained == 8 < n_trainings


# --- workers, progress ---------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["race", "halving"])
def test_two_processes_give_the_result_of_one(rule: str) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        trial.suggest_categorical("here", [os.getpid()])  # an error in another process
        return noisy(trial, instance)

    models = [{"x": x, "here": os.getpid()} for x in XS["x"]]
    options: dict[str, Any] = {"rule": rule, "n_instances": 6}
    here = robust_select(objective, models, **options)
    with pytest.raises(ValueError, match="here"):
        robust_select(objective, models, n_jobs=2, **options)
    elsewhere = robust_select(noisy, models, n_jobs=2, **options)
    assert found(elsewhere) == found(here)
    assert elsewhere.n_trainings == here.n_trainings


@pytest.mark.parametrize("asked", [False, True])
def test_a_progress_bar_is_shown_when_asked(
    asked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    select(TABLE, n_warmup_instances=1, show_progress_bar=asked)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert bool(shown.err) == asked
    if asked:
        assert "10" in shown.err
        assert "1 models left" in shown.err


# --- bad input -----------------------------------------------------------------------------------


def never_called(trial: optuna.Trial) -> float:
    raise AssertionError("the objective was called")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_instances": 0}, ValueError, "n_instances must be at least 1"),
        ({"n_instances": 1}, ValueError, r"n_instances=1 is too few for criterion 'q3\+iqr'"),
        ({"n_select": 0}, ValueError, "n_select must be at least 1, but was 0"),
        ({"n_select": 6}, ValueError, "n_select=6 is more than the 5 models"),
        ({"n_select": 1.5}, TypeError, "n_select must be an integer"),
        ({"criterion": "q4"}, ValueError, "criterion='q4' is unknown"),
        ({"direction": "up"}, ValueError, "direction='up' is unknown; choose one of minimize"),
        (
            {"rule": "hyperband"},
            ValueError,
            "rule='hyperband' is unknown; choose one of race, halving",
        ),
        ({"rule": "directed-halving"}, ValueError, "rule='directed-halving' is unknown"),
        ({"rule": None}, TypeError, "rule must be a name or an elimination rule"),
        ({"rule": Halving}, TypeError, "rule must be a name or an elimination rule"),
        (
            {"rule": Halving(), "n_warmup_instances": 3},
            ValueError,
            "has n_warmup_instances=4, but",
        ),
        ({"rule": Halving(n_warmup_instances=20)}, ValueError, "n_warmup_instances=20 leaves"),
        (
            {"rule": "halving", "n_warmup_instances": 20},
            ValueError,
            "n_warmup_instances=20 leaves nothing",
        ),
        (
            {"rule": "halving", "n_warmup_instances": -1},
            ValueError,
            "n_warmup_instances must be at least 0",
        ),
        (
            {"rule": "halving", "n_warmup_instances": 1.5},
            TypeError,
            "n_warmup_instances must be an integer",
        ),
        ({"alpha": 0.0}, ValueError, r"alpha must lie in \(0, 1\)"),
        ({"rule": "halving", "reduction_factor": 1.0}, ValueError, "reduction_factor must lie in"),
        (
            {"rule": "halving", "tolerance": 0.1},
            ValueError,
            "tolerance has no effect with rule='halving'",
        ),
        ({"tolerance": -0.1}, ValueError, "tolerance must lie in"),
        ({"on_failure": "ignore"}, ValueError, "on_failure='ignore' is unknown"),
        ({"max_failures": 1.5}, ValueError, r"max_failures must lie in \[0, 1\]"),
        ({"vary": ("weights",)}, ValueError, "unknown source 'weights'"),
        ({"vary": "init"}, TypeError, "sequence of names"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": 1.0}, TypeError, "seed must be an integer"),
        ({"seed_function": 3}, TypeError, "seed_function must be callable"),
        ({"n_jobs": 0}, ValueError, "n_jobs must be at least 1"),
        ({"executor": 2}, TypeError, "executor must be a"),
        ({"store": "sqlite://"}, TypeError, "store must be an InstanceStore"),
        ({"study": "study"}, TypeError, "study must be an optuna.Study"),
        ({"callbacks": print}, TypeError, "callbacks must be a sequence of callables"),
        ({"callbacks": [3]}, TypeError, "callbacks must be a sequence of callables"),
    ],
)
def test_bad_argument_is_an_error_before_training(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        robust_select(never_called, XS, **options)


@pytest.mark.parametrize("objective", [None, lambda: 0.0, lambda trial, data: 0.0])
def test_an_objective_that_cannot_be_called_is_an_error(objective: Any) -> None:
    with pytest.raises(TypeError, match="objective must be callable"):
        robust_select(objective, XS)


def test_an_objective_that_cannot_be_sent_to_a_process_is_an_error() -> None:
    store = InstanceStore()  # holds connections

    def objective(trial: optuna.Trial) -> float:
        return float(len(store.instances()))

    with pytest.raises(TypeError, match="cannot be sent to another process"):
        robust_select(objective, XS, n_jobs=2)


def test_a_survivor_that_stops_itself_stays_selected() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        model = trial.suggest_int("model", 0, 1)
        if instance.number == 4:
            raise optuna.TrialPruned("enough")
        return model + 0.01 * instance.number

    result = robust_select(
        objective,
        {"model": [0, 1]},
        rule="halving",
        criterion="mean",
        n_instances=6,
        n_warmup_instances=1,
        train_survivors=True,
    )
    assert result.survivors == (0,)
    assert result.steps[-1].step == 5
    assert result.failures == {0: {4: "the objective raised TrialPruned: enough"}}
