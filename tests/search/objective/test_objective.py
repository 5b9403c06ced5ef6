from __future__ import annotations

from collections.abc import Callable
import functools
import math
import pickle
import random
from typing import Any
import warnings

import numpy as np
import optuna
from optuna.trial import TrialState
import pytest
import torch

from optuna_robust import Instance
from optuna_robust import MultiInstanceObjective
from optuna_robust import robust_select
from optuna_robust import RobustnessPruner
from optuna_robust._instances.trials import worst_loss
from tests.objectives import from_table
from tests.objectives import losses_of
from tests.objectives import noisy
from tests.objectives import study_of
from tests.objectives import unchanged


# --- instances -----------------------------------------------------------------------------------


def test_unchanged_objective_has_the_same_parameters_in_every_instance() -> None:
    seen: list[tuple[Any, ...]] = []

    def objective(trial: optuna.Trial) -> float:
        params = (
            trial.suggest_float("lr", 1e-4, 1e-1, log=True),
            trial.suggest_int("width", 1, 64),
            trial.suggest_categorical("kind", ["a", "b", None]),
        )
        seen.append(params)
        assert trial.params == {"lr": params[0], "width": params[1], "kind": params[2]}
        return random.random()

    study_of().optimize(MultiInstanceObjective(objective, 4), n_trials=3)
    assert [len(set(seen[i : i + 4])) for i in (0, 4, 8)] == [1, 1, 1]
    assert len(set(seen)) == 3


def test_every_instance_differs_and_is_common_to_all_trials() -> None:
    numbers: list[list[int]] = []

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        if instance.number == 0:
            numbers.append([])
        numbers[-1].append(instance.seed)
        assert instance.phase == "search"
        return instance.seed

    study_of().optimize(MultiInstanceObjective(objective, 5), n_trials=3)
    assert numbers[0] == numbers[1] == numbers[2]
    assert len(set(numbers[0])) == 5


def test_reshuffle_gives_every_trial_its_own_instances() -> None:
    study = study_of()
    study.optimize(
        MultiInstanceObjective(lambda trial, instance: instance.seed, 3, reshuffle=True),
        n_trials=2,
    )
    first, second = losses_of(study)
    assert not set(first) & set(second)


def test_vary_freezes_the_other_sources() -> None:
    samples: set[bytes] = set()
    seeds: set[int] = set()

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        samples.add(instance.sample(100, 10).tobytes())
        seeds.add(instance.seed)
        return instance.seed

    study_of().optimize(MultiInstanceObjective(objective, 4, vary=("init",)), n_trials=2)
    assert (len(samples), len(seeds)) == (1, 4)


@pytest.mark.parametrize("kind", ["function", "method", "partial", "callable", "keyword"])
def test_instance_is_passed_to_anything_with_that_parameter(kind: str) -> None:
    class Task:
        def method(self, trial: optuna.Trial, instance: Instance) -> float:
            return instance.number

        def __call__(self, trial: optuna.Trial, *, instance: Instance) -> float:
            return instance.number

    def with_data(data: int, trial: optuna.Trial, instance: Instance) -> float:
        return instance.number

    objective = {
        "function": lambda trial, instance: instance.number,
        "method": Task().method,
        "partial": functools.partial(with_data, 1),
        "callable": Task(),
        "keyword": lambda trial, *, instance=None: instance.number,
    }[kind]
    study = study_of()
    study.optimize(MultiInstanceObjective(objective, 3), n_trials=1)
    assert losses_of(study) == [[0, 1, 2]]


@pytest.mark.parametrize("objective", [noisy, unchanged])
def test_the_same_study_twice_gives_identical_losses(
    objective: Callable[..., float], storage: optuna.storages.BaseStorage
) -> None:
    def losses(name: str, where: optuna.storages.BaseStorage | None) -> list[list[float]]:
        study = study_of(study_name=name, storage=where, pruner=RobustnessPruner())
        study.optimize(MultiInstanceObjective(objective, 6, seed=3), n_trials=8)
        return losses_of(study)

    name = objective.__name__
    assert losses(f"{name} a", storage) == losses(f"{name} b", storage) == losses("c", None)
    for study_name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=study_name, storage=storage)


def test_another_seed_gives_other_losses() -> None:
    studies = []
    for seed in (0, 1):
        studies.append(study_of())
        studies[-1].optimize(MultiInstanceObjective(noisy, 3, seed=seed), n_trials=2)
    assert not set(np.ravel(losses_of(studies[0]))) & set(np.ravel(losses_of(studies[1])))


# --- values, reports, attributes -----------------------------------------------------------------


def test_value_and_running_criterion_when_minimising() -> None:
    study = study_of()
    study.optimize(MultiInstanceObjective(from_table({0: [4.0, 1.0, 2.0, 3.0]}), 4), n_trials=1)
    trial = study.trials[0]
    # q3 + iqr: of (4, 1) 3.25 + 1.5, of (4, 1, 2) 3 + 1.5, of all 3.25 + 1.5.
    assert trial.intermediate_values == pytest.approx({1: 4.75, 2: 4.5, 3: 4.75})
    assert trial.value == pytest.approx(4.75)


def test_value_is_oriented_when_maximising() -> None:
    study = study_of(direction="maximize")
    study.optimize(MultiInstanceObjective(from_table({0: [0.4, 0.1, 0.2, 0.3]}), 4), n_trials=1)
    assert study.trials[0].value == pytest.approx(0.175 - 0.15)  # Q1 - IQR
    study = study_of(direction="maximize")
    study.optimize(
        MultiInstanceObjective(from_table({0: [0.4, 0.1]}), 2, criterion="std"), n_trials=1
    )
    assert study.trials[0].value == pytest.approx(-np.std([0.4, 0.1], ddof=1))


def test_level_and_spread_in_the_attributes_are_the_users() -> None:
    study = study_of(direction="maximize")
    study.optimize(MultiInstanceObjective(from_table({0: [0.4, 0.1, 0.2, 0.3]}), 4), n_trials=1)
    assert study.trials[0].user_attrs["robust:median"] == pytest.approx(0.25)
    assert study.trials[0].user_attrs["robust:spread"] == pytest.approx(0.15)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_every_trial_has_numbers_to_sort_by(direction: str) -> None:
    study = study_of(
        direction=direction, pruner=optuna.pruners.ThresholdPruner(lower=-9.0, upper=9.0)
    )
    table = {0: [0.4, 0.1, 0.2, 0.3], 1: [0.5, 20.0], 2: [0.5, math.nan, 0.3, 0.1]}
    objective = MultiInstanceObjective(from_table(table), 4, criterion="median", on_failure="drop")
    study.optimize(objective, n_trials=3)
    complete, pruned, failing = (trial.user_attrs for trial in study.trials)
    assert study.trials[1].state == TrialState.PRUNED
    assert complete["robust:criterion"] == study.trials[0].value
    assert pruned["robust:criterion"] == study.trials[1].value == 10.25
    assert failing["robust:criterion"] == pytest.approx(0.3)
    counts = [
        (attrs["robust:n_instances"], attrs["robust:n_failures"])
        for attrs in (complete, pruned, failing)
    ]
    assert counts == [(4, 0), (2, 0), (4, 1)]


def test_an_infinite_criterion_is_not_sorted_by() -> None:
    study = study_of()
    table = {0: [0.5, math.nan, 0.3]}
    study.optimize(MultiInstanceObjective(from_table(table), 3, criterion="max"), n_trials=1)
    assert study.trials[0].value == math.inf
    assert "robust:criterion" not in study.trials[0].user_attrs
    assert study.trials[0].user_attrs["robust:n_failures"] == 1


def test_several_objectives_are_sorted_by_their_values() -> None:
    study = study_of(directions=["minimize", "minimize"])
    objective = MultiInstanceObjective(
        from_table({0: [0.4, 0.1, 0.3]}), 3, returns=("median", "iqr")
    )
    study.optimize(objective, n_trials=1)
    assert "robust:criterion" not in study.trials[0].user_attrs
    assert study.trials[0].user_attrs["robust:n_failures"] == 0


def test_criterion_can_be_a_callable_of_oriented_losses() -> None:
    study = study_of(direction="maximize")
    study.optimize(
        MultiInstanceObjective(
            from_table({0: [0.4, 0.1, 0.3]}), 3, criterion=lambda losses: losses.max()
        ),
        n_trials=1,
    )
    assert study.trials[0].value == 0.1


def test_raw_losses_can_be_reported() -> None:
    study = study_of(direction="maximize")
    study.optimize(
        MultiInstanceObjective(from_table({0: [0.4, 0.1, 0.3]}), 3, report="loss"), n_trials=1
    )
    assert study.trials[0].intermediate_values == {0: 0.4, 1: 0.1, 2: 0.3}


def test_wilcoxon_pruner_gets_raw_losses() -> None:
    study = study_of(pruner=optuna.pruners.WilcoxonPruner(p_threshold=0.2))
    table = {0: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 1: [2.0, 3.1, 4.2, 5.3, 6.4, 7.5]}
    study.optimize(MultiInstanceObjective(from_table(table), 6), n_trials=2)
    assert study.trials[0].intermediate_values == dict(enumerate(table[0]))
    assert study.trials[1].state == TrialState.PRUNED


def test_attributes_hold_what_was_seen(storage: optuna.storages.BaseStorage) -> None:
    study = study_of(study_name="attributes", storage=storage)
    study.optimize(
        MultiInstanceObjective(from_table({0: [4.0, 1.0, math.nan, 3.0]}), 4), n_trials=1
    )
    attrs = study.trials[0].user_attrs
    assert attrs["robust:losses"] == [4.0, 1.0, worst_loss(1), 3.0]
    assert attrs["robust:failures"] == {"2": "the objective returned nan"}
    assert len(attrs["robust:seconds"]) == attrs["robust:n_instances"] == 4
    assert attrs["robust:median"] == 3.5
    study_of(study_name="finite", storage=storage).optimize(
        MultiInstanceObjective(from_table({0: [4.0, 1.0, 2.0, 3.0]}), 4), n_trials=1
    )
    finite = optuna.load_study(study_name="finite", storage=storage)
    assert finite.trials[0].user_attrs["robust:spread"] == 1.5
    for name in ("attributes", "finite"):
        optuna.delete_study(study_name=name, storage=storage)


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [math.nan, math.inf, -math.inf, RuntimeError("boom")])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_failed_instance_counts_as_the_worst(outcome: Any, direction: str) -> None:
    study = study_of(direction=direction)
    study.optimize(
        MultiInstanceObjective(
            from_table({0: [1.0, 2.0, outcome, 3.0, 4.0, 5.0]}), 6, criterion="max"
        ),
        n_trials=1,
    )
    worst = math.inf if direction == "minimize" else -math.inf
    assert study.trials[0].value == worst
    assert study.trials[0].intermediate_values[2] == worst


def test_a_minority_of_failures_leaves_a_quantile_finite() -> None:
    study = study_of()
    study.optimize(
        MultiInstanceObjective(from_table({0: [1.0, 2.0, math.nan, 3.0, 4.0]}), 5, criterion="q3"),
        n_trials=1,
    )
    assert study.trials[0].value == 4.0


def test_dropped_failures_do_not_count() -> None:
    study = study_of()
    study.optimize(
        MultiInstanceObjective(
            from_table({0: [1.0, math.nan, 3.0]}), 3, criterion="mean", on_failure="drop"
        ),
        n_trials=1,
    )
    assert study.trials[0].value == 2.0
    assert losses_of(study) == [[1.0, None, 3.0]]
    assert list(study.trials[0].intermediate_values) == [0, 1, 2]


@pytest.mark.parametrize("outcome", [math.nan, RuntimeError("boom")])
def test_failures_can_be_raised(outcome: Any) -> None:
    study = study_of()
    with pytest.raises((ValueError, RuntimeError), match=r"nan|boom"):
        study.optimize(
            MultiInstanceObjective(from_table({0: [1.0, outcome]}), 2, on_failure="raise"),
            n_trials=1,
        )
    assert study.trials[0].state == TrialState.FAIL
    assert losses_of(study) == [[1.0]]


def test_exceptions_are_raised_until_an_instance_has_succeeded() -> None:
    robust = MultiInstanceObjective(
        from_table({0: [NameError("typo")], 1: [1.0, OSError("later"), 2.0]}), 3
    )
    study = study_of()
    with pytest.raises(NameError, match="typo"):
        study.optimize(robust, n_trials=1)
    study.optimize(robust, n_trials=1)
    assert study.trials[1].state == TrialState.COMPLETE
    assert study.trials[1].user_attrs["robust:failures"] == {"1": "OSError: later"}


def test_a_trial_with_too_many_failures_is_stopped_with_the_reason() -> None:
    study = study_of()
    study.optimize(
        MultiInstanceObjective(
            from_table({0: [1.0, math.nan, math.nan, 2.0, 3.0, 4.0]}), 6, max_failures=0.2
        ),
        n_trials=1,
    )
    trial = study.trials[0]
    assert trial.state == TrialState.PRUNED
    assert trial.user_attrs["robust:n_instances"] == 3
    assert "2 of 6 instances failed" in trial.user_attrs["robust:stopped"]


def test_a_trial_without_a_value_is_stopped() -> None:
    study = study_of()
    study.optimize(
        MultiInstanceObjective(from_table({0: [1.0, math.nan]}), 2, on_failure="drop"),
        n_trials=1,
    )
    assert study.trials[0].state == TrialState.PRUNED
    assert "Q3 + IQR" in study.trials[0].user_attrs["robust:stopped"]


def test_trial_pruned_inside_ends_the_trial_as_pruned() -> None:
    study = study_of()
    study.optimize(
        MultiInstanceObjective(from_table({0: [1.0, 2.0, optuna.TrialPruned()]}), 5), n_trials=1
    )
    assert study.trials[0].state == TrialState.PRUNED
    assert study.trials[0].value == pytest.approx(1.75 + 0.5)
    assert losses_of(study) == [[1.0, 2.0, None]]
    assert "TrialPruned" in study.trials[0].user_attrs["robust:failures"]["2"]


def test_keyboard_interrupt_gets_through_and_losses_are_kept(
    storage: optuna.storages.BaseStorage,
) -> None:
    study = study_of(study_name="interrupted", storage=storage)
    with pytest.raises(KeyboardInterrupt):
        study.optimize(
            MultiInstanceObjective(from_table({0: [1.0, 2.0, KeyboardInterrupt()]}), 5),
            n_trials=1,
        )
    trial = optuna.load_study(study_name="interrupted", storage=storage).trials[0]
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["robust:losses"] == [1.0, 2.0]
    optuna.delete_study(study_name="interrupted", storage=storage)


def test_identical_losses_warn_and_are_never_perfectly_stable() -> None:
    table = {0: [0.5] * 4, 1: [0.1, 0.9, 0.2, 0.8]}
    study = study_of()
    with pytest.warns(UserWarning, match="fix its own seed"):
        study.optimize(MultiInstanceObjective(from_table(table), 4, criterion="std"), n_trials=2)
    assert study.trials[0].value == math.inf
    assert study.best_trial.number == 1
    assert "robust:spread" not in study.trials[0].user_attrs


def test_two_equal_losses_of_a_coarse_metric_do_not_warn() -> None:
    study = study_of()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study.optimize(
            MultiInstanceObjective(from_table({0: [0.5, 0.5, 0.25, 0.5]}), 4), n_trials=1
        )
    assert study.best_trial.number == 0


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        ("0.5", TypeError),
        (None, TypeError),
        ({"loss": 1.0}, TypeError),
        ((0.5, 0.6), ValueError),
        ((), ValueError),
        (np.array([0.5, 0.6]), ValueError),
    ],
)
@pytest.mark.parametrize("on_failure", ["worst", "drop", "raise"])
def test_wrong_return_is_an_error_at_the_first_instance(
    returned: Any, error: type[Exception], on_failure: str
) -> None:
    with pytest.raises(error, match="one loss"):
        study_of().optimize(
            MultiInstanceObjective(from_table({0: [returned]}), 2, on_failure=on_failure),
            n_trials=1,
        )


@pytest.mark.parametrize(
    "returned", [1, np.float32(1.0), np.array(1.0), (1.0,), [1.0], torch.tensor(1.0), True]
)
def test_anything_that_is_a_number_is_a_loss(returned: Any) -> None:
    study = study_of()
    study.optimize(
        MultiInstanceObjective(from_table({0: [returned]}), 1, criterion="mean"), n_trials=1
    )
    assert losses_of(study) == [[1.0]]


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_instances": 0}, ValueError, "n_instances must be at least 1, but was 0"),
        ({"n_instances": 2.5}, TypeError, "n_instances must be an integer"),
        ({"criterion": "q4"}, ValueError, "criterion='q4' is unknown; choose one of mean"),
        ({"criterion": 3}, TypeError, "criterion must be a name or a callable"),
        ({"n_instances": 1, "criterion": "std"}, ValueError, "too few for criterion 'std'"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"on_failure": "ignore"}, ValueError, "on_failure='ignore' is unknown"),
        ({"max_failures": 1.5}, ValueError, r"max_failures must lie in \[0, 1\], but was 1.5"),
        ({"vary": ("weights",)}, ValueError, "unknown source 'weights'"),
        ({"vary": "init"}, TypeError, "sequence of names"),
        ({"vary": None}, TypeError, "sequence of names"),
        ({"report": "raw"}, ValueError, "report='raw' is unknown"),
        ({"returns": "median"}, TypeError, "returns must be a sequence"),
        ({"returns": ()}, ValueError, "at least one criterion"),
        ({"seed_function": 3}, TypeError, "seed_function must be callable"),
    ],
)
def test_bad_argument_is_an_error_before_training(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        MultiInstanceObjective(noisy, **arguments)


@pytest.mark.parametrize(
    "objective", [None, lambda: 0.0, lambda trial, data: 0.0, lambda instance: 0.0]
)
def test_objective_that_cannot_be_called_is_an_error(objective: Any) -> None:
    with pytest.raises(TypeError, match="objective must be callable"):
        MultiInstanceObjective(objective)


def test_warmup_of_all_instances_is_an_error_before_training() -> None:
    study = study_of(pruner=RobustnessPruner(n_warmup_instances=4))
    with pytest.raises(ValueError, match=r"n_warmup_instances=4.*n_instances=4"):
        study.optimize(MultiInstanceObjective(noisy, 4), n_trials=1)
    assert "robust:losses" not in study.trials[0].user_attrs


def test_one_instance_is_too_few_for_the_default_criterion() -> None:
    with pytest.raises(ValueError, match=r"n_instances=1 is too few for criterion 'q3\+iqr'"):
        study_of().optimize(MultiInstanceObjective(noisy, 1), n_trials=1)


def test_criterion_and_returns_together_are_an_error() -> None:
    with pytest.raises(ValueError, match="either criterion or returns"):
        MultiInstanceObjective(noisy, criterion="mean", returns=("median", "iqr"))


def test_paired_rule_with_reshuffled_instances_is_an_error() -> None:
    study = study_of(pruner=RobustnessPruner(rule="directed-paired-t"))
    with pytest.raises(ValueError, match="reshuffle=True"):
        study.optimize(MultiInstanceObjective(noisy, 4, reshuffle=True), n_trials=1)


def test_a_trial_without_a_study_is_an_error() -> None:
    with pytest.raises(TypeError, match="enqueue_trial"):
        MultiInstanceObjective(noisy)(optuna.trial.FixedTrial({"x": 0.5}))  # type: ignore[arg-type]


def test_the_wrapper_pickles() -> None:
    study = study_of()
    robust = MultiInstanceObjective(noisy, 3)
    study.optimize(robust, n_trials=1)
    study.optimize(pickle.loads(pickle.dumps(robust)), n_trials=1)
    assert [len(losses) for losses in losses_of(study)] == [3, 3]


# --- a wrapper in a wrapper ----------------------------------------------------------------------


def decorated_wrapper() -> Callable[..., Any]:
    inner = MultiInstanceObjective(noisy)

    @functools.wraps(inner)
    def wrapper(trial: optuna.Trial) -> Any:
        return inner(trial)

    return wrapper


@pytest.mark.parametrize(
    "wrapped",
    [
        MultiInstanceObjective(noisy),
        functools.partial(MultiInstanceObjective(noisy)),
        MultiInstanceObjective(noisy).__call__,
        decorated_wrapper(),
    ],
    ids=["itself", "partial", "method", "decorated"],
)
def test_a_wrapper_in_a_wrapper_is_an_error(wrapped: Any) -> None:
    for call in (MultiInstanceObjective, lambda each: robust_select(each, [{"x": 0.5}])):
        with pytest.raises(TypeError, match="what the MultiInstanceObjective was made of"):
            call(wrapped)


def test_a_wrapper_that_is_called_by_an_objective_is_an_error() -> None:
    study = study_of()
    inner = MultiInstanceObjective(noisy)

    def objective(trial: optuna.Trial) -> Any:
        return inner(trial) + 1.0

    with pytest.raises(TypeError, match="what the MultiInstanceObjective was made of"):
        study.optimize(MultiInstanceObjective(objective), n_trials=1)
