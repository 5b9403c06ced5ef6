"""A study that is confirmed again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import math
from typing import Any

import numpy as np
import optuna
import pytest

from optuna_robust import confirm
from optuna_robust import ConfirmationResult
from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import MultiInstanceObjective
from tests.objectives import study_of


Objective = Callable[[optuna.Trial, Instance], float]


def searched() -> optuna.Study:
    """Three models, the better the smaller."""
    study = study_of()
    for x in (0.1, 0.2, 0.3):
        study.enqueue_trial({"x": x})
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    return study


def counting(seen: list[tuple[float, int]]) -> Objective:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        seen.append((x, instance.number))
        return x + 0.1 * float(instance.rng.normal())

    return objective


def another(trial: optuna.Trial, instance: Instance) -> float:
    return trial.suggest_float("x", 0, 1) + 0.2 * float(instance.rng.normal())


def kept(study: optuna.Study) -> ConfirmationResult:
    return ConfirmationResult.from_dict(study.user_attrs["robust:confirmation"])


def test_only_what_is_missing_is_trained() -> None:
    study, seen = searched(), list[tuple[float, int]]()
    objective, results = counting(seen), []
    for n_models, n_instances, n_trainings in [(1, 4, 4), (2, 4, 4), (2, 7, 6), (3, 7, 7)]:
        results.append(confirm(study, objective, n_models=n_models, n_instances=n_instances))
        assert results[-1].n_trainings == n_trainings
        assert results[-1].n_reused == n_models * n_instances - n_trainings
    assert len(set(seen)) == len(seen) == 21
    undisturbed = confirm(searched(), counting([]), n_instances=7)
    np.testing.assert_array_equal(results[-1].losses, undisturbed.losses)
    assert results[-1].models == undisturbed.models


@pytest.mark.parametrize("store", [None, InstanceStore()])
@pytest.mark.parametrize(
    "smaller",
    [
        {"n_instances": 2},
        {"n_models": 1},
        {"n_models": 2, "n_instances": 5, "criterion": "mean"},
        {"n_instances": 4, "seed": 1},
    ],
)
def test_a_larger_one_is_kept(store: InstanceStore | None, smaller: dict[str, Any]) -> None:
    if store is not None and "seed" in smaller:
        store = InstanceStore(experiment="another seed")
    study = searched()
    larger = confirm(
        study, counting([]), n_instances=6, store=None if "seed" in smaller else store
    )
    with pytest.warns(UserWarning, match="keeps its confirmation on 6 instances of 3 models"):
        result = confirm(study, counting([]), **{"n_instances": 6, "store": store, **smaller})
    assert result.losses.size < larger.losses.size
    np.testing.assert_array_equal(kept(study).losses, larger.losses)
    assert kept(study).criterion == larger.criterion


def test_other_seeds_are_apart() -> None:
    study = searched()
    first = confirm(study, counting([]), n_instances=5)
    second = confirm(study, counting([]), n_instances=5, seed=1)
    assert second.n_reused == 0
    assert not np.isin(second.losses, first.losses).any()
    np.testing.assert_array_equal(kept(study).losses, second.losses)
    third = confirm(study, counting([]), n_instances=6)
    assert (third.n_trainings, third.n_reused) == (3, 15)
    np.testing.assert_array_equal(third.losses[:, :5], first.losses)


def test_another_objective_is_trained_anew_and_says_what_it_replaces() -> None:
    study = searched()
    confirm(study, counting([]), n_instances=6)
    with pytest.warns(UserWarning, match="6 instances of 3 models is replaced.*another objective"):
        result = confirm(study, another, n_instances=4)
    assert result.n_reused == 0
    np.testing.assert_array_equal(kept(study).losses, result.losses)
    with pytest.warns(UserWarning, match="is replaced"):
        assert confirm(study, counting([]), n_models=1, n_instances=6).n_trainings == 0


def test_other_models_say_what_they_replace() -> None:
    study = searched()
    confirm(study, counting([]), n_instances=6)
    study.enqueue_trial({"x": 0.0})
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.warns(UserWarning, match="replaced by one on 6 instances of 2 models, of other"):
        result = confirm(study, counting([]), n_models=2, n_instances=6)
    assert (result.n_trainings, result.n_reused) == (6, 6)
    assert [model.params["x"] for model in kept(study).models] == [0.0, 0.1]


FAILING: set[tuple[float, int]] = set()


@pytest.mark.parametrize("on_failure", ["worst", "drop", "raise"])
def test_failures_are_known_unless_they_are_errors(on_failure: str) -> None:
    FAILING.add((0.2, 1_000_001))

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        if (x, instance.number) in FAILING:
            raise ValueError("diverged")
        return x + float(instance.rng.normal())

    study = searched()
    confirm(study, objective, n_instances=3)
    FAILING.clear()
    result = confirm(study, objective, n_instances=3, on_failure=on_failure)
    if on_failure == "raise":
        assert (result.n_trainings, result.failures) == (1, {})
        return
    assert (result.n_trainings, result.failures) == (0, {1: {1_000_001: "ValueError: diverged"}})
    assert math.isnan(result.losses[1, 1]) if on_failure == "drop" else result.losses[1, 1] > 1e9


class Counting:
    """Changes what it holds at every call."""

    def __init__(self, noise: float) -> None:
        self.noise = noise
        self.seen: list[float] = []

    def __call__(self, trial: optuna.Trial, instance: Instance) -> float:
        self.seen.append(trial.suggest_float("x", 0, 1))
        return self.seen[-1] + self.noise * float(instance.rng.normal())


def test_what_a_search_changed_makes_no_other_objective() -> None:
    study, objective = study_of(), Counting(0.1)
    study.optimize(MultiInstanceObjective(objective, 2), n_trials=3)
    assert confirm(study, objective, n_instances=3).n_trainings == 9
    assert confirm(study, objective, n_instances=3).n_reused == 9
    assert confirm(study, Counting(0.1), n_instances=3).n_reused == 9  # started again
    assert confirm(study, Counting(0.2), n_instances=3).n_reused == 0


def shifted(trial: optuna.Trial, instance: Instance, data: Any) -> float:
    return trial.suggest_float("x", 0, 1) + float(np.sum(data)) + float(instance.rng.normal())


def test_other_data_are_another_objective() -> None:
    study = searched()
    confirm(study, partial(shifted, data=np.arange(3)), n_instances=3)
    with pytest.warns(UserWarning, match="keeps its|is replaced") as caught:
        result = confirm(study, partial(shifted, data=np.arange(4)), n_models=2, n_instances=3)
    assert "another objective" in str(caught[0].message)
    assert (result.n_trainings, result.n_reused) == (6, 0)


def told(logged: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in logged.records if each.levelname == "WARNING"]


def test_what_is_taken_from_the_study_is_logged(logged: pytest.LogCaptureFixture) -> None:
    study = searched()
    confirm(study, another, n_models=1, n_instances=3)
    assert not told(logged)
    confirm(study, another, n_models=2, n_instances=3)
    (record,) = told(logged)
    assert "3 instances of this confirmation were taken from the study" in record
    assert "another seed" in record
    confirm(study, another, n_models=2, n_instances=3, seed=1)
    assert told(logged) == [record]


STOPPED_AT: list[int] = []


def stopping(trial: optuna.Trial, instance: Instance) -> float:
    x = trial.suggest_float("x", 0, 1)
    if instance.number - 1_000_000 in STOPPED_AT and x == 0.2:
        raise KeyboardInterrupt
    return another(trial, instance)


def test_an_interrupted_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    study = searched()
    monkeypatch.setattr(f"{__name__}.STOPPED_AT", [2])
    with pytest.raises(KeyboardInterrupt):
        confirm(study, stopping, n_instances=4)
    monkeypatch.setattr(f"{__name__}.STOPPED_AT", [])
    result = confirm(study, stopping, n_instances=4)
    assert (result.n_trainings, result.n_reused) == (5, 7)
    undisturbed = confirm(searched(), stopping, n_instances=4)
    np.testing.assert_array_equal(result.losses, undisturbed.losses)


def test_a_study_that_cannot_be_written_to_hides_nothing(
    monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    def refuses(*_: Any) -> None:
        raise OSError("disk full")

    study = searched()
    monkeypatch.setattr(optuna.Study, "set_user_attr", refuses)
    assert confirm(study, another, n_instances=4).n_trainings == 12
    assert len(told(logged)) == 2
    assert all("OSError: disk full" in each for each in told(logged))
    monkeypatch.setattr(f"{__name__}.STOPPED_AT", [2])
    with pytest.raises(KeyboardInterrupt):
        confirm(study, stopping, n_instances=4)
