"""Objectives that take several instances at once."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from functools import partial
import math
from typing import Any

import numpy as np
import optuna
from optuna.trial import Trial
import pytest
import torch

from optuna_robust import Instance
from optuna_robust._instances.evaluation import Evaluator
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Outcome


def evaluate(objective: Callable[..., Any], n: int = 3) -> list[Outcome]:
    jobs = [Job({"x": 0.5}, Instance(number), number=4) for number in range(n)]
    return Evaluator(objective).evaluate_together(jobs)


def numbers(trial: Trial, instances: Sequence[Instance]) -> list[float]:
    return [trial.suggest_float("x", 0, 1) + instance.number for instance in instances]


class Method:
    def __call__(self, trial: Trial, instances: Sequence[Instance]) -> list[float]:
        return numbers(trial, instances)


def with_data(data: float, trial: Trial, *, instances: Sequence[Instance]) -> list[float]:
    return [loss + data for loss in numbers(trial, instances)]


@pytest.mark.parametrize(
    ("objective", "losses"),
    [
        (numbers, [0.5, 1.5, 2.5]),
        (Method(), [0.5, 1.5, 2.5]),
        (partial(with_data, 1), [1.5, 2.5, 3.5]),
        (lambda trial, instances: np.arange(3.0), [0.0, 1.0, 2.0]),
        (lambda trial, instances: torch.arange(3), [0.0, 1.0, 2.0]),
        (lambda trial, instances: (each.number for each in instances), [0.0, 1.0, 2.0]),
    ],
    ids=["function", "callable", "partial", "array", "tensor", "generator"],
)
def test_losses_are_in_the_order_of_instances(
    objective: Callable[..., Any], losses: list[float]
) -> None:
    assert Evaluator(objective).takes_several
    assert [outcome.loss for outcome in evaluate(objective)] == losses


def test_one_job_is_one_instance() -> None:
    assert Evaluator(numbers).evaluate(Job({"x": 0.5}, Instance(7))).loss == 7.5


def test_instances_are_those_that_an_objective_of_one_would_get() -> None:
    def several(trial: Trial, instances: Sequence[Instance]) -> list[float]:
        return [float(instance.rng.normal()) for instance in instances]

    def single(trial: Trial, instance: Instance) -> float:
        return float(instance.rng.normal())

    alone = [Evaluator(single).evaluate(Job({}, Instance(number))).loss for number in range(3)]
    assert [outcome.loss for outcome in evaluate(several)] == alone
    assert [outcome.loss for outcome in evaluate(several)] == alone, "trained again, the same"


def test_each_instance_has_its_learning_curve_and_all_have_the_attributes() -> None:
    def objective(trial: Trial, instances: Sequence[Instance]) -> list[float]:
        trial.report(torch.tensor([3.0, 2.0, 1.0]), step=0)  # type: ignore[arg-type]
        trial.report([0.3, 0.2, 0.1], step=1)  # type: ignore[arg-type]
        trial.set_user_attr("device", "cpu")
        if hasattr(Trial, "set_constraint"):
            trial.set_constraint("size", -1.0)
        assert trial.user_attrs == {"device": "cpu"}
        assert not trial.should_prune()
        assert isinstance(trial, Trial)
        return [1.0, 2.0, 3.0]

    outcomes = evaluate(objective)
    curves = [list(outcome.learning_curve.values()) for outcome in outcomes]
    np.testing.assert_allclose(curves, [[3, 0.3], [2, 0.2], [1, 0.1]])
    assert [outcome.user_attrs for outcome in outcomes] == [{"device": "cpu"}] * 3
    if hasattr(Trial, "set_constraint"):
        assert [outcome.constraints for outcome in outcomes] == [{"size": -1.0}] * 3
    assert "x" not in outcomes[0].distributions


def test_an_instance_without_a_finite_loss_failed_alone() -> None:
    outcomes = evaluate(lambda trial, instances: [1.0, math.nan, -math.inf])
    assert [outcome.loss for outcome in outcomes] == [1.0, None, None]
    assert [outcome.failure for outcome in outcomes] == [
        None,
        "the objective returned nan",
        "the objective returned -inf",
    ]


def test_an_exception_is_the_failure_of_all() -> None:
    def raises(trial: Trial, instances: Sequence[Instance]) -> list[float]:
        raise RuntimeError("out of memory")

    outcomes = evaluate(raises)
    assert [outcome.failure for outcome in outcomes] == ["RuntimeError: out of memory"] * 3
    assert all(isinstance(outcome.error, RuntimeError) for outcome in outcomes)

    def prunes(trial: Trial, instances: Sequence[Instance]) -> list[float]:
        raise optuna.TrialPruned

    assert all(outcome.pruned for outcome in evaluate(prunes))


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (1.0, TypeError, "a loss for each of its 3 instances, but returned 1.0 of type float"),
        ("abc", TypeError, "a loss for each of its 3 instances, but returned 'abc'"),
        ({0: 1.0, 1: 2.0, 2: 3.0}, TypeError, "a loss for each of its 3 instances"),
        ({1.0, 2.0, 3.0}, TypeError, "a loss for each of its 3 instances"),
        ([1.0, 2.0], ValueError, "a loss for each of its 3 instances, but returned 2"),
        ([1.0, 2.0, None], TypeError, "must return one loss, a number"),
        (np.ones((3, 2)), ValueError, "must return one loss, a number"),
    ],
)
def test_what_is_no_loss_for_each_instance_is_named(
    returned: Any, error: type[Exception], message: str
) -> None:
    outcome = evaluate(lambda trial, instances: returned)[0]
    assert isinstance(outcome.error, error)
    assert message in str(outcome.error)


def test_a_report_needs_a_number_for_each_instance() -> None:
    def objective(trial: Trial, instances: Sequence[Instance]) -> list[float]:
        trial.report(1.0, step=0)
        return [0.0] * 3

    error = evaluate(objective)[0].error
    assert isinstance(error, ValueError)
    assert "a number for each of the 3 instances, but got 1" in str(error)


def test_an_objective_takes_one_or_several() -> None:
    def both(trial: Trial, instance: Instance, instances: Sequence[Instance]) -> float:
        return 0.0

    with pytest.raises(TypeError, match="either 'instance' or 'instances', but 'both'"):
        Evaluator(both)
    with pytest.raises(ValueError, match="seed_function seeds one instance at a time"):
        Evaluator(numbers, seed_function=lambda seed: None)
