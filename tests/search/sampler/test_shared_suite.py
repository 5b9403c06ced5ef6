"""What Optuna asks of every sampler, of RobustnessSampler over each base sampler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
from optuna.samplers import BaseSampler
import pytest

from optuna_robust import RobustnessSampler


suite = pytest.importorskip("optuna.testing.pytest_samplers")  # Optuna 5

# What is trained here is no robust search, and the sampler says so.
pytestmark = pytest.mark.filterwarnings("ignore:RobustnessSampler has no effect")

Make = Callable[[], BaseSampler]


def over(make: Callable[..., BaseSampler], **kwargs: Any) -> Make:
    """Return what makes a RobustnessSampler over a base sampler."""
    return lambda: RobustnessSampler(make(**kwargs), seed=0)


RELATIVE = {
    "multivariate-tpe": over(
        optuna.samplers.TPESampler, n_startup_trials=0, multivariate=True, constant_liar=True
    ),
    "gp": over(optuna.samplers.GPSampler, n_startup_trials=0, deterministic_objective=True),
    "cmaes": over(optuna.samplers.CmaEsSampler, n_startup_trials=0),
    "qmc": over(optuna.samplers.QMCSampler),
}
INDEPENDENT = {
    "nsga2": over(optuna.samplers.NSGAIISampler),
    "nsga3": over(optuna.samplers.NSGAIIISampler),
    "tpe": over(optuna.samplers.TPESampler),
    "random": over(optuna.samplers.RandomSampler),
    "default": lambda: RobustnessSampler(seed=0),
}
SINGLE_ONLY = ("cmaes",)
ALL = RELATIVE | INDEPENDENT


def slow_with_gp(names: Any) -> list[Any]:
    """Return parameters, of which the Gaussian process is slow."""
    return [pytest.param(name, marks=pytest.mark.slow) if name == "gp" else name for name in names]


def each_of(names: Any) -> Any:
    """Return the fixture that the suite asks for, with each of these."""

    @pytest.fixture(params=slow_with_gp(names))
    def sampler(self: object, request: pytest.FixtureRequest) -> Make:
        return ALL[request.param]

    return sampler


class TestBasic(suite.BasicSamplerTestCase):  # type: ignore[misc, name-defined]
    sampler = each_of(ALL)


class TestRelative(suite.RelativeSamplerTestCase):  # type: ignore[misc, name-defined]
    sampler = each_of(RELATIVE)


class TestMultiObjective(suite.MultiObjectiveSamplerTestCase):  # type: ignore[misc, name-defined]
    sampler = each_of([name for name in ALL if name not in SINGLE_ONLY])


class TestSingleOnly(suite.SingleOnlySamplerTestCase):  # type: ignore[misc, name-defined]
    sampler = each_of(SINGLE_ONLY)
