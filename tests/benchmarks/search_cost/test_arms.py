"""Searches: their budgets, and that short ones are the beginnings of long ones."""

from importlib.util import find_spec
import math

import numpy as np
import optuna
import pytest

from benchmarks.search_cost.arms import ARMS
from benchmarks.search_cost.problems import FamilyProblem
from benchmarks.search_cost.trained import prefixes
from benchmarks.search_cost.trained import Trained
from optuna_robust import Instance


ANYTIME = [
    name for name, arm in ARMS.items() if arm.is_anytime and arm.why_missing() is None
]  # fmt: skip


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


class Counting:
    """A landscape that counts its trainings."""

    def __init__(self, name):
        self._problem = FamilyProblem(name)
        self.trained = []

    def __getattr__(self, name):
        return getattr(self._problem, name)

    def loss(self, params, instance):
        self.trained.append((tuple(sorted(params.items())), instance.number, instance.model))
        return self._problem.loss(params, instance)


def search(name, landscape, budgets, seed=0):
    return ARMS[name].search(landscape, seed, budgets)


@pytest.mark.parametrize("name", ANYTIME)
def test_a_short_search_is_the_beginning_of_a_long_one(name):
    landscape = FamilyProblem("fail")
    together = search(name, landscape, [12, 33])
    assert together == [
        *search(name, landscape, [12]),
        *search(name, landscape, [33]),
    ]
    assert [each.budget for each in together] == [12, 33]


@pytest.mark.parametrize("name", ANYTIME)
def test_what_is_reported_as_spent_was_trained(name):
    landscape = Counting("synth")
    (found,) = search(name, landscape, [40])
    assert 40 <= found.n_trainings < 40 + 10
    assert len(landscape.trained) == found.n_trainings
    assert len(set(landscape.trained)) == found.n_trainings


def test_budgets_of_the_usual_searches_are_kept_exactly():
    for name in ("nas", "nas-retrained", "mean-of-5"):
        for budget in (5, 25, 100):
            assert search(name, FamilyProblem("nothing"), [budget])[0].n_trainings == budget


@pytest.mark.parametrize("budget", [2, 3, 4, 7])
def test_nas_retrained_takes_few_trainings(budget):
    landscape = Counting("synth")
    (found,) = search("nas-retrained", landscape, [budget])
    assert len(landscape.trained) == found.n_trainings == budget


def test_nas_trains_every_model_once_on_instances_of_its_own():
    landscape = Counting("synth")
    search("nas", landscape, [8])
    assert [(number, model) for _, number, model in landscape.trained] == [
        (0, trial) for trial in range(8)
    ]


def test_nas_retrained_trains_its_best_models_three_times_again():
    landscape = Counting("synth")
    (found,) = search("nas-retrained", landscape, [100])
    first, again = landscape.trained[:70], landscape.trained[70:]
    assert {model for _, _, model in again} == {None}
    chosen = list(dict.fromkeys(params for params, _, _ in again))
    assert [(params, number) for params, number, _ in again] == [
        (params, number) for params in chosen for number in range(3)
    ]
    values = [landscape.loss(dict(p), Instance(0, model=m)) for p, _, m in first]
    best = {first[i][0] for i in np.argsort(values)[:10]}
    assert set(chosen) == best
    means = {
        params: np.mean([landscape.loss(dict(params), Instance(i)) for i in range(3)])
        for params in chosen
    }
    assert tuple(sorted(found.params.items())) == min(means, key=means.get)


def test_models_that_cannot_win_do_not():
    trained = [
        Trained({"x": 0}, 3.0, 2),
        Trained({"x": 1}, math.nan, 1),
        Trained({"x": 2}, 1.0, 4),
        Trained({"x": 3}, 0.0, 1),
    ]
    found = prefixes(trained, [1, 2, 3, 4, 7, 8])
    assert [each.params["x"] for each in found] == [0, 0, 0, 2, 2, 3]
    assert [each.n_trainings for each in found] == [2, 2, 3, 7, 7, 8]


@pytest.mark.parametrize("name", ["robust", "robust-random"])
def test_a_robust_search_keeps_its_budget(name):
    landscape = Counting("synth")
    (found,) = search(name, landscape, [40])
    assert len(landscape.trained) == len(set(landscape.trained)) == found.n_trainings
    assert found.n_trainings < 40 + 10


@pytest.mark.skipif(find_spec("smac") is None, reason="SMAC3 is not installed")
@pytest.mark.parametrize("family", ["conditional", "mixed"])
def test_smac_takes_the_space(family):
    landscape = Counting(family)
    (found,) = search("smac", landscape, [25])
    assert len(landscape.trained) == found.n_trainings == 25
    assert math.isfinite(landscape.truth(found.params))
