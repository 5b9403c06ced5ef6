"""The search space and the grids."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
import itertools

import optuna
import pytest


torch = pytest.importorskip("torch")

from benchmarks.calorimeter.inputs import Problem  # noqa: E402
from benchmarks.calorimeter.inputs import PROBLEMS  # noqa: E402
from benchmarks.calorimeter.models import Model  # noqa: E402
from benchmarks.calorimeter.models import PUBLISHED  # noqa: E402
from benchmarks.calorimeter.networks import Convolution  # noqa: E402
from benchmarks.calorimeter.networks import Network  # noqa: E402
from benchmarks.calorimeter.space import grid  # noqa: E402
from benchmarks.calorimeter.space import parameters  # noqa: E402
from benchmarks.calorimeter.space import suggest  # noqa: E402


both_problems = pytest.mark.parametrize("problem", PROBLEMS)
PROBLEM_OF: dict[str, Problem] = {
    "Model 1": "energy",
    "Model 2": "energy",
    "Model 3": "position",
    "Model 4": "position",
    "NAS 1": "energy",
    "NAS 2": "energy",
}


@cache
def models(problem: Problem) -> list[Model]:
    axes = grid(problem)
    points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    # A FixedTrial warns of a value that is outside of its distribution.
    return [suggest(optuna.trial.FixedTrial(point), problem) for point in points]


@both_problems
@pytest.mark.filterwarnings("error")
def test_a_grid_has_6912_models_that_differ(problem: Problem) -> None:
    # Building a Network checks that it is one of the family.
    assert len(models(problem)) == len(set(models(problem))) == 6912


@pytest.mark.parametrize("name", ["Model 1", "Model 2", "Model 3", "Model 4"])
def test_grids_contain_the_selected_models(name: str) -> None:
    problem = PROBLEM_OF[name]
    assert PUBLISHED[name] in models(problem)
    axes, point = grid(problem), parameters(PUBLISHED[name], problem)
    assert point.keys() == axes.keys()
    assert all(point[axis] in values for axis, values in axes.items())


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.filterwarnings("error")
def test_published_models_are_in_the_space(name: str) -> None:
    point = parameters(PUBLISHED[name], PROBLEM_OF[name])
    again = suggest(optuna.trial.FixedTrial(point), PROBLEM_OF[name])
    assert again == PUBLISHED[name]


@pytest.mark.parametrize("name", ["Model 2", "Model 4"])
def test_the_inductive_bias_goes_with_the_problem(name: str) -> None:
    other = "position" if PROBLEM_OF[name] == "energy" else "energy"
    with pytest.raises(ValueError, match="not in the search space"):
        parameters(PUBLISHED[name], other)


@pytest.mark.parametrize(
    "network",
    [
        Network((), (9,)),
        Network(PUBLISHED["Model 1"].network.convolutions, (10,)),
        Network(PUBLISHED["Model 1"].network.convolutions[:1], (9,)),
        Network((Convolution(32, 2, 2), Convolution(7, 4, 4)), (9,)),
    ],
)
def test_networks_that_are_not_in_the_space(network: Network) -> None:
    with pytest.raises(ValueError, match="not in the search space"):
        parameters(replace(PUBLISHED["Model 1"], network=network), "energy")


@both_problems
def test_every_suggestion_is_a_model_of_the_family(problem: Problem) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = [suggest(study.ask(), problem) for _ in range(400)]
    largest = max(model.network.n_parameters for model in found)
    assert 29_000 < largest <= 30_000
    assert {len(model.network.convolutions) for model in found} == {1, 2}
    assert {side for model in found for side in model.network.sides[-1:]} == {1, 2, 3}
    assert {model.network.extra for model in found} == (
        {"none", "sum"} if problem == "energy" else {"none", "barycentre"}
    )


def test_a_study_learns_in_the_space() -> None:
    """Ranges that depend on other hyperparameters must be fine with samplers and storages."""

    def objective(trial: optuna.Trial) -> float:
        return -float(suggest(trial, "energy").network.n_parameters)

    study = optuna.create_study(
        storage="sqlite://", sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=5)
    )
    study.optimize(objective, n_trials=12)
    assert len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE])) == 12


def test_a_grid_goes_with_the_grid_sampler() -> None:
    axes = {name: values[:1] for name, values in grid("position").items()}
    axes["hidden"] = grid("position")["hidden"]
    study = optuna.create_study(sampler=optuna.samplers.GridSampler(axes, seed=0))
    found: list[Model] = []

    def objective(trial: optuna.Trial) -> float:
        found.append(suggest(trial, "position"))
        return 0.0

    study.optimize(objective)
    assert len(set(found)) == len(found) == 4


def test_unknown_problems() -> None:
    with pytest.raises(ValueError, match="problem='mass' is unknown"):
        grid("mass")
    with pytest.raises(ValueError, match="problem='mass' is unknown"):
        suggest(optuna.trial.FixedTrial({}), "mass")
