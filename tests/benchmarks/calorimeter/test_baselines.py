"""Baselines, fitted to few events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest


# Losses share their names of problems with the networks' inputs.
pytest.importorskip("torch")
pytest.importorskip("xgboost")

from benchmarks.calorimeter.baselines import fit_and_judge
from benchmarks.calorimeter.events import Events
from benchmarks.calorimeter.facts import measure
from benchmarks.calorimeter.inputs import Problem
from benchmarks.calorimeter.setting import DATASETS
from benchmarks.calorimeter.simulation import simulate


@pytest.fixture(scope="module")
def events() -> Events:
    return simulate(DATASETS["B"], 300, seed=0)


@pytest.fixture(scope="module")
def train(events: Events) -> Events:
    return events.take(np.arange(150))


@pytest.fixture(scope="module")
def test(events: Events) -> Events:
    return events.take(np.arange(150, 300))


Loss = Callable[[str, Problem], float]


@pytest.fixture(scope="module")
def loss(train: Events, test: Events) -> Loss:
    return cache(lambda name, problem: fit_and_judge(name, train, test, problem))


def test_parametric_figures_are_those_of_the_facts(events: Events, loss: Loss) -> None:
    facts = measure(events)
    assert loss("parametric", "energy") == pytest.approx(facts.energy_rmse)
    assert loss("parametric", "position") == pytest.approx(facts.position_rmse)


@pytest.mark.parametrize(
    "name", [pytest.param("xgboost", marks=pytest.mark.slow), "xgboost_shares"]
)
def test_trees_learn(name: str, loss: Loss, train: Events, test: Events) -> None:
    inverse = 1.0 / train.energy.astype(np.float64)
    guess = inverse.sum() / (inverse**2).sum()
    of_guess = np.sqrt(np.mean((guess / test.energy - 1.0) ** 2))
    assert loss(name, "energy") < 0.4 * of_guess
    assert loss(name, "position") < 0.8 * test.x.std()


@pytest.mark.slow
def test_trees_that_know_the_sum_are_about_as_good_as_it(loss: Loss) -> None:
    parametric = loss("parametric", "energy")
    assert loss("xgboost_shares", "energy") < 1.3 * parametric < loss("xgboost", "energy")


@pytest.mark.slow
def test_trees_repeat_with_their_seed(loss: Loss, train: Events, test: Events) -> None:
    again, other = (
        fit_and_judge("xgboost_shares", train, test, "energy", seed=seed) for seed in (0, 1)
    )
    assert loss("xgboost_shares", "energy") == again != other


@pytest.mark.parametrize(
    "name", ["parametric", pytest.param("xgboost_shares", marks=pytest.mark.slow)]
)
def test_energies_are_judged_relatively(
    name: str, loss: Loss, train: Events, test: Events
) -> None:
    def brighter(events: Events) -> Events:
        factor = np.float32(4.0)
        return replace(events, cells=events.cells * factor, energy=events.energy * factor)

    found = fit_and_judge(name, brighter(train), brighter(test), "energy")
    assert found == pytest.approx(loss(name, "energy"), rel=0.01)


def test_unknown_names(train: Events) -> None:
    with pytest.raises(ValueError, match="name='forest' is unknown; choose one of parametric"):
        fit_and_judge("forest", train, train, "energy")
    with pytest.raises(ValueError, match="problem='mass' is unknown"):
        fit_and_judge("parametric", train, train, "mass")
