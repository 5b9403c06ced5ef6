"""What differences of models the instances of a study can show, in words."""

from __future__ import annotations

from collections.abc import Callable

import optuna
import pytest

import optuna_robust as opr
from optuna_robust._reporting.summary import detectable_difference
from optuna_robust._reporting.summary import study_report
from optuna_robust._reporting.summary import StudyReport
from optuna_robust.comparison import required_instances


# Own noise of each model, without any in the mean.
NOISE = ((1, -1, 1, -1), (1, 1, -1, -1), (1, -1, -1, 1))


def reported(
    level: Callable[[int], float], noise: float = 0.1, direction: str = "minimize"
) -> StudyReport:
    """Report a study of three models, whose mean losses are given."""

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        model = trial.suggest_int("model", 0, 2)
        return level(model) + noise * NOISE[model][instance.number]

    study = optuna.create_study(direction=direction)
    for model in range(3):
        study.enqueue_trial({"model": model})
    study.optimize(opr.MultiInstanceObjective(objective, 4, criterion="mean"), n_trials=3)
    return study_report(study, n_trials=3)


@pytest.mark.parametrize(("direction", "first"), [("minimize", 0), ("maximize", 2)])
def test_leaders_that_are_close_need_more_instances(direction: str, first: int) -> None:
    found = reported(lambda model: 0.001 * model, direction=direction)
    assert found.leaders is not None
    assert found.leaders.numbers == (first, 1)
    losses = [trial.user_attrs["robust:losses"] for trial in found.best]
    needed = required_instances(losses, found.leaders.difference, criterion="mean")
    assert found.leaders.n_instances == needed > 4
    told = detectable_difference(found)
    assert f"The two best trials, {first} and 1, differ by" in told
    assert f"to show that takes about {needed} instances of each." in told
    assert found.to_dict()["leaders"]["n_instances"] == needed


def test_leaders_that_are_far_apart() -> None:
    told = detectable_difference(reported(lambda model: 9.0 * model))
    assert told.startswith("With 4 instances you can tell models apart whose mean differs by ")
    assert "or more (in 4 of 5 cases" in told
    assert told.endswith(" and 1, differ by 9.")


def test_leaders_that_are_the_same() -> None:
    found = reported(lambda model: float(model // 2))
    assert found.leaders is not None
    assert (found.leaders.difference, found.leaders.n_instances) == (0.0, None)
    assert "The two best trials, 0 and 1, do not differ." in detectable_difference(found)


def test_leaders_that_no_number_of_instances_tells_apart() -> None:
    found = reported(lambda model: 1e-9 * model)
    assert found.leaders is not None
    assert found.leaders.n_instances is None
    assert "too little to be shown by any number" in detectable_difference(found)


def test_without_noise_there_is_no_plan() -> None:
    with pytest.warns(UserWarning, match="same loss"):
        found = reported(float, noise=0.0)
    assert found.leaders is None
    assert not detectable_difference(found)
