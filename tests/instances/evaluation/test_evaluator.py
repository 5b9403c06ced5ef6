"""One instance: how an objective is called, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
import functools
import math
import pickle
import random
from typing import Any

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
import pandas as pd
import pytest
import torch

from optuna_robust import Instance
from optuna_robust._instances.evaluation import as_loss
from optuna_robust._instances.evaluation import Evaluator
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._instances.evaluation import StudyView
from optuna_robust._instances.model_key import model_key
from tests.objectives import noisy


MAXIMIZED = StudyView(directions=[StudyDirection.MAXIMIZE])
JOB = Job({"x": 0.5}, Instance(2), number=3)


def evaluate(objective: Callable[..., Any], job: Job = JOB, **options: Any) -> Outcome:
    return Evaluator(objective, **options).evaluate(job)


# --- how it is called ----------------------------------------------------------------------------


class Task:
    def method(self, trial: optuna.Trial, instance: Instance) -> float:
        return instance.number

    def __call__(self, trial: optuna.Trial, *, instance: Instance) -> float:
        return instance.number


def with_data(data: int, trial: optuna.Trial, instance: Instance) -> float:
    return instance.number


def with_instance_given(trial: optuna.Trial, instance: int) -> float:
    return instance


@pytest.mark.parametrize(
    ("objective", "loss"),
    [
        (lambda trial, instance: instance.number, 2.0),
        (lambda trial, *, instance=None: instance.number, 2.0),
        (lambda trial, extra=5, instance=None: extra, 5.0),
        (Task().method, 2.0),
        (Task(), 2.0),
        (functools.partial(with_data, 1), 2.0),
        (lambda trial: trial.number, 3.0),
        (lambda trial, instance_=7: instance_, 7.0),
        (lambda trial, **options: len(options), 0.0),
    ],
    ids=[
        "function",
        "keyword",
        "third",
        "method",
        "callable",
        "partial",
        "unchanged",
        "default",
        "options",
    ],
)
def test_the_instance_is_passed_to_anything_with_that_parameter(
    objective: Callable[..., Any], loss: float
) -> None:
    assert evaluate(objective).loss == loss


@pytest.mark.parametrize(
    "objective",
    [None, 3, lambda: 0.0, lambda trial, data: 0.0, lambda instance: 0.0, lambda *, trial: 0.0],
)
def test_what_cannot_be_called_so_is_an_error(objective: Any) -> None:
    with pytest.raises(TypeError, match="objective must be callable"):
        Evaluator(objective)


def passes_on_everything(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def takes_a_trial_only(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(trial: optuna.Trial) -> Any:
        return function(trial)

    return wrapper


def gives_the_instance(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(trial: optuna.Trial, instance: Instance) -> Any:
        return function(trial) + instance.number

    return wrapper


class Decorated:
    @passes_on_everything
    def method(self, trial: optuna.Trial, instance: Instance) -> float:
        return instance.number

    @passes_on_everything
    def __call__(self, trial: optuna.Trial, *, instance: Instance) -> float:
        return instance.number

    @takes_a_trial_only
    def keeps_it(self, trial: optuna.Trial, instance: Instance) -> float:
        return instance.number


@pytest.mark.parametrize(
    ("objective", "loss"),
    [
        (passes_on_everything(Task().method), 2.0),
        (passes_on_everything(lambda trial: trial.number), 3.0),
        (functools.partial(passes_on_everything(with_data), 1), 2.0),
        (passes_on_everything(passes_on_everything(lambda trial, instance: instance.number)), 2.0),
        (Decorated().method, 2.0),
        (Decorated(), 2.0),
        # Called as the outer signature allows.
        (takes_a_trial_only(lambda trial: trial.number), 3.0),
        (takes_a_trial_only(lambda trial, instance=5: instance), 5.0),
        (gives_the_instance(lambda trial: trial.number), 5.0),
    ],
    ids=[
        "method",
        "unchanged",
        "partial",
        "twice",
        "decorated method",
        "decorated callable",
        "trial only",
        "default",
        "outer",
    ],
)
def test_a_decorated_objective_is_called_as_its_decorator_allows(
    objective: Callable[..., Any], loss: float
) -> None:
    assert evaluate(objective).loss == loss


@pytest.mark.parametrize(
    "objective",
    [
        takes_a_trial_only(with_instance_given),
        passes_on_everything(takes_a_trial_only(with_instance_given)),
        functools.partial(takes_a_trial_only(with_instance_given)),
        takes_a_trial_only(lambda trial, instances: [0.0]),
    ],
    ids=["decorator", "decorator inside", "partial", "several"],
)
def test_a_decorator_that_keeps_the_instance_is_an_error(objective: Any) -> None:
    with pytest.raises(TypeError, match="its decorator takes"):
        Evaluator(objective)


def test_a_seed_function_that_cannot_be_called_is_an_error() -> None:
    with pytest.raises(TypeError, match="seed_function must be callable, but was 3"):
        Evaluator(noisy, 3)  # type: ignore[arg-type]


def global_numbers(trial: optuna.Trial) -> float:
    return random.random() + float(np.random.random()) + float(torch.rand(()))


def test_an_objective_without_an_instance_has_global_generators_seeded() -> None:
    random.seed(0)
    expected = random.random()
    random.seed(0)
    first, again, other = (
        evaluate(global_numbers, Job({}, Instance(number))).loss for number in (2, 2, 3)
    )
    assert first == again != other
    assert random.random() == expected  # the generators are where they were


def test_an_objective_with_an_instance_seeds_for_itself() -> None:
    random.seed(0)
    expected = random.random()
    random.seed(0)
    assert evaluate(lambda trial, instance: random.random()).loss == expected


def one_argument(trial: optuna.Trial) -> float:
    return 0.0


@pytest.mark.parametrize("objective", [one_argument, noisy])
def test_the_seed_function_is_called_with_the_instances_seed(
    objective: Callable[..., Any],
) -> None:
    seeds: list[int] = []
    evaluate(objective, seed_function=seeds.append)
    assert seeds == [Instance(2).seed]


def test_the_trial_is_that_of_the_model() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        assert isinstance(trial, optuna.Trial)
        assert (trial.number, trial.params) == (3, {"x": 0.5})
        assert trial.study.direction == optuna.study.StudyDirection.MAXIMIZE
        return trial.suggest_float("x", 0, 1)

    assert evaluate(objective, Job({"x": 0.5}, Instance(2), 3, MAXIMIZED)).loss == 0.5


def test_an_instance_that_is_trained_again_begins_again() -> None:
    evaluator = Evaluator(noisy)
    assert evaluator.evaluate(JOB).loss == evaluator.evaluate(JOB).loss


def test_an_evaluator_pickles() -> None:
    again = pickle.loads(pickle.dumps(Evaluator(noisy)))
    assert again.evaluate(JOB).loss == evaluate(noisy).loss


# --- what comes of it ----------------------------------------------------------------------------


def test_an_outcome_holds_what_the_objective_left() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        trial.suggest_float("x", -1, 1)
        trial.report(0.9, 0)
        trial.report(0.4, 5)
        trial.set_user_attr("epochs", 5)
        if hasattr(optuna.Trial, "set_constraint"):
            trial.set_constraint("memory", 0.5)
        return 0.25

    outcome = evaluate(objective)
    assert (outcome.loss, outcome.failure, outcome.pruned, outcome.error) == (
        0.25,
        None,
        False,
        None,
    )
    assert outcome.learning_curve == {0: 0.9, 5: 0.4}
    assert outcome.user_attrs == {"epochs": 5}
    assert outcome.distributions == {"x": FloatDistribution(-1, 1)}
    assert 0.0 < outcome.seconds < 60.0
    if hasattr(optuna.Trial, "set_constraint"):
        assert outcome.constraints == {"memory": 0.5}


def raising(error: BaseException) -> Callable[..., float]:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        trial.report(0.9, 0)
        raise error

    return objective


def test_an_exception_is_a_failure() -> None:
    error = RuntimeError("boom")
    outcome = evaluate(raising(error))
    assert (outcome.loss, outcome.failure, outcome.pruned) == (None, "RuntimeError: boom", False)
    assert outcome.error is error
    assert outcome.learning_curve == {0: 0.9}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_a_failure(value: float) -> None:
    outcome = evaluate(lambda trial: value)
    assert (outcome.loss, outcome.failure) == (None, f"the objective returned {value}")
    assert (outcome.error, outcome.pruned) == (None, False)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (optuna.TrialPruned(), "the objective raised TrialPruned"),
        (optuna.TrialPruned("too deep"), "the objective raised TrialPruned: too deep"),
    ],
)
def test_trial_pruned_is_told_apart(error: Exception, reason: str) -> None:
    outcome = evaluate(raising(error))
    assert (outcome.loss, outcome.pruned, outcome.failure) == (None, True, reason)


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(),
        optuna.exceptions.StorageInternalError("database is locked"),
        optuna.exceptions.DuplicatedStudyError("a study"),
    ],
)
def test_what_is_not_the_models_behaviour_gets_through(error: BaseException) -> None:
    with pytest.raises(type(error)):
        evaluate(raising(error))


# --- losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "loss"),
    [
        (1, 1.0),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(1.5), 1.5),
        (np.array([1.5]), 1.5),
        (torch.tensor(0.5), 0.5),
        (torch.tensor([0.5], requires_grad=True), 0.5),
        ((0.5,), 0.5),
        ([np.float64(0.5)], 0.5),
        (math.inf, math.inf),
    ],
)
def test_anything_that_is_a_number_is_a_loss(returned: Any, loss: float) -> None:
    found = as_loss(returned)
    assert (found, type(found)) == (loss, float)


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        (None, TypeError),
        ("0.5", TypeError),
        (b"1", TypeError),
        (1j, TypeError),
        ({"loss": 1.0}, TypeError),
        (["0.5"], TypeError),
        ([[0.5]], TypeError),
        (object(), TypeError),
        ((), ValueError),
        ((0.5, 0.6), ValueError),
        (np.array([0.5, 0.6]), ValueError),
        (np.array(["a"]), ValueError),
        (torch.tensor([0.5, 0.6]), ValueError),
        (pd.Series([0.5, 0.6]), (TypeError, ValueError)),
    ],
)
def test_anything_else_is_an_error(
    returned: Any, error: type[Exception] | tuple[type[Exception], ...]
) -> None:
    with pytest.raises(error, match="must return one loss"):
        as_loss(returned)
    outcome = evaluate(lambda trial: returned)
    assert isinstance(outcome.error, error)
    assert outcome.failure == f"{type(outcome.error).__name__}: {outcome.error}"


# --- jobs ----------------------------------------------------------------------------------------


def test_a_job_is_known_by_what_is_trained() -> None:
    key = Job({"x": 0.5, "n": 1}, Instance(2)).key
    assert key == (model_key({"x": 0.5, "n": 1}), "search", 2, -1)
    same = Job({"n": 1, "x": 0.5}, Instance(2), number=9, study=MAXIMIZED)
    others = [
        Job({"x": 0.5, "n": 2}, Instance(2)),
        Job({"x": 0.5, "n": 1}, Instance(3)),
        Job({"x": 0.5, "n": 1}, Instance(2, phase="confirmation")),
        Job({"x": 0.5, "n": 1}, Instance(2, model=0)),
        Job({"x": 0.5, "n": 1}, Instance(2, model=1)),
    ]
    assert same.key == key
    assert len({key, *(job.key for job in others)}) == 6
