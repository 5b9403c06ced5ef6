"""Robust searches over each of Optuna's samplers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import TrialState
import pytest

import optuna_robust as opr
from tests.search.sampler.searches import assert_as_logged
from tests.search.sampler.searches import assert_best_is_complete
from tests.search.sampler.searches import mixed
from tests.search.sampler.searches import noisy
from tests.search.sampler.searches import Objective
from tests.search.sampler.searches import sampler_of
from tests.search.sampler.searches import search


samplers = optuna.samplers

BASE: dict[str, Callable[[], samplers.BaseSampler]] = {
    "tpe": lambda: samplers.TPESampler(seed=1),
    "multivariate-tpe": lambda: samplers.TPESampler(
        seed=1, multivariate=True, group=True, constant_liar=True
    ),
    "gp": lambda: samplers.GPSampler(seed=1),
    "cmaes": lambda: samplers.CmaEsSampler(seed=1, warn_independent_sampling=False),
    "cmaes-pruned": lambda: samplers.CmaEsSampler(
        seed=1, consider_pruned_trials=True, warn_independent_sampling=False
    ),
    "nsga2": lambda: samplers.NSGAIISampler(seed=1, population_size=5),
    "nsga3": lambda: samplers.NSGAIIISampler(seed=1, population_size=5),
    "random": lambda: samplers.RandomSampler(seed=1),
    "qmc": lambda: samplers.QMCSampler(seed=1, warn_independent_sampling=False),
}


def base_samplers(*names: str) -> Any:
    """Return a parameter for each base sampler of these names, of which some are slow."""
    return pytest.mark.parametrize(
        "base",
        [pytest.param(name, marks=pytest.mark.slow) if name == "gp" else name for name in names],
    )


def conditional(trial: optuna.Trial, instance: opr.Instance) -> float:
    if trial.suggest_categorical("deep", [True, False]):
        level = trial.suggest_float("x", 0, 1) * trial.suggest_float("one", 1, 1)
    else:
        level = 0.3 + trial.suggest_int("n", 0, 50) / 50
    return level + 0.1 * float(instance.rng.normal())


def turned(objective: Objective) -> Objective:
    return lambda trial, instance: -objective(trial, instance)


@base_samplers(*BASE)
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_search_over_each(base: str, direction: str) -> None:
    study = optuna.create_study(direction=direction, sampler=sampler_of(BASE[base]()))
    objective = mixed if direction == "minimize" else turned(mixed)
    study, log = search(objective, study=study)
    assert len(log) == 40
    assert_as_logged(study, log)
    assert_best_is_complete(study)


def test_directions_mirror_each_other() -> None:
    """A search that maximises does what one of the negative that minimises does."""
    found = []
    for direction, objective in (("minimize", mixed), ("maximize", turned(mixed))):
        study = optuna.create_study(
            direction=direction, sampler=sampler_of(BASE["tpe"](), informed=True)
        )
        found.append(search(objective, study=study)[0])
    lower, higher = found
    assert [trial.params for trial in lower.trials] == [trial.params for trial in higher.trials]
    assert lower.best_value == pytest.approx(-higher.best_value)


@base_samplers(*BASE)
def test_conditional_spaces(base: str) -> None:
    study = optuna.create_study(sampler=sampler_of(BASE[base]()))
    study, log = search(conditional, study=study, budget=30)
    assert len(log) == 30
    assert_as_logged(study, log)
    assert_best_is_complete(study)


@base_samplers("tpe", "nsga2", "nsga3", "random", "gp")
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_two_criteria(base: str, direction: str) -> None:
    study = optuna.create_study(
        directions=[direction, "minimize"], sampler=sampler_of(BASE[base](), repeat_share=0.7)
    )
    objective = mixed if direction == "minimize" else turned(mixed)
    study, log = search(objective, study=study, returns=("median", "iqr"))
    assert len(log) == 40
    assert_as_logged(study, log)
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert complete
    for trial in complete:
        assert len(trial.user_attrs["robust:losses"]) == 5
        assert trial.values[1] >= 0


@base_samplers("tpe", "multivariate-tpe", "random", "nsga2")
def test_ranges_that_change(base: str) -> None:
    ranges: dict[float, tuple[int, int]] = {}

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        low, high = (0, 10) if trial.number < 8 else (5, 20) if trial.number < 16 else (30, 40)
        x, n = trial.suggest_float("x", low, high), trial.suggest_int("n", low, high)
        # A known model is that model, whatever the range is now.
        assert ranges.setdefault(x, (low, high)) == (low, high) or instance.number > 0
        return x + n + float(instance.rng.normal())

    study = optuna.create_study(sampler=sampler_of(BASE[base]()))
    study, log = search(objective, study=study)
    assert_as_logged(study, log)
    assert_best_is_complete(study)


GRID: dict[str, list[Any]] = {"x": [-0.5, 0.0, 0.3], "kind": ["a", "b"]}


def on_grid(trial: optuna.Trial, instance: opr.Instance) -> float:
    trial.suggest_categorical("kind", ["a", "b"])
    return noisy(trial, instance)


def choices(trial: optuna.Trial, instance: opr.Instance) -> float:
    level = trial.suggest_categorical("level", [1, 2]) + (
        trial.suggest_categorical("kind", ["u", "v", None]) == "u"
    )
    return level + 0.3 * float(instance.rng.normal())


def single(trial: optuna.Trial, instance: opr.Instance) -> float:
    return trial.suggest_categorical("level", [1]) + 0.3 * float(instance.rng.normal())


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    ("base", "objective", "n_models"),
    [
        (lambda: samplers.GridSampler(GRID, seed=0), on_grid, 6),
        (lambda: samplers.GridSampler({"x": [0.3], "kind": ["a"]}, seed=0), on_grid, 1),
        (lambda: samplers.BruteForceSampler(seed=0), choices, 6),
        (lambda: samplers.BruteForceSampler(seed=0), single, 1),
    ],
)
def test_an_exhausted_space_ends_the_study(
    base: Callable[[], samplers.BaseSampler], objective: Objective, n_models: int
) -> None:
    study = optuna.create_study(sampler=sampler_of(base()))
    study, log = search(objective, study=study, budget=None, n_trials=None)
    assert len(study.trials) == len(log) == 5 * n_models
    assert sum(trial.state == TrialState.COMPLETE for trial in study.trials) == n_models
    assert_as_logged(study, log)
    assert_best_is_complete(study)
    # Another run has nothing left to do.
    again = optuna.load_study(
        study_name=study.study_name, storage=study._storage, sampler=sampler_of(base())
    )
    _, more = search(objective, study=again, budget=None, n_trials=None)
    assert more == []


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("reshuffle", [False, True])
def test_a_grid_of_one_instance(reshuffle: bool) -> None:
    study = optuna.create_study(sampler=sampler_of(samplers.GridSampler(GRID, seed=0)))
    study, log = search(
        on_grid,
        study=study,
        n_instances=1,
        criterion="mean",
        budget=None,
        n_trials=None,
        reshuffle=reshuffle,
    )
    assert len(study.trials) == len(log) == 6
    assert_best_is_complete(study, 1)


@base_samplers("tpe", "multivariate-tpe", "nsga2", "random", "gp")
def test_small_spaces_of_samplers_that_suggest_again(base: str) -> None:
    """They do not know that all is suggested; trials that find nothing to train are few."""
    study = optuna.create_study(sampler=sampler_of(BASE[base]()))
    study, log = search(choices, study=study, budget=None, n_trials=300)
    assert len(log) == 30
    assert len(study.trials) < 100
    assert_as_logged(study, log)
    assert_best_is_complete(study)


def test_a_grid_with_models_beside_it() -> None:
    study = optuna.create_study(sampler=sampler_of(samplers.GridSampler(GRID, seed=0)))
    study.enqueue_trial({"x": 0.9, "kind": "b"})
    study.enqueue_trial({"x": 0.3, "kind": "a"})
    study, log = search(on_grid, study=study, budget=None, n_trials=200)
    assert len(log) == 35
    assert_as_logged(study, log)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_sampler_of_fixed_values() -> None:
    base = samplers.PartialFixedSampler({"n": 4}, samplers.TPESampler(seed=0))
    study = optuna.create_study(sampler=sampler_of(base))
    study, log = search(mixed, study=study, budget=20)
    assert {trial.params["n"] for trial in study.trials} == {4}
    assert_as_logged(study, log)
    assert_best_is_complete(study)
