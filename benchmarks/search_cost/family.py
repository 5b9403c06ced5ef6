"""A made-up family of models whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from functools import cache
from typing import Any
from typing import TypeAlias

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.trial import BaseTrial
from scipy import optimize

from benchmarks.search_cost.noise import Noise
from benchmarks.search_cost.noise import Population
from optuna_robust import Instance
from optuna_robust.criteria import FloatArray
from optuna_robust.model_key import model_key


CRITERION = "q3+iqr"

# Hyperparameters by name: plain values of one model, or arrays of many.
Models: TypeAlias = Mapping[str, Any]
OfModels: TypeAlias = Callable[[Models], FloatArray]

_NORMAL = Noise()
_N_OPTIMISATIONS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """A search space, and what its models are worth.

    A loss is level + spread times noise. Part of the noise is the instance's, the same for all
    models; the rest is the model's own. Both are pure functions of instance and model.

    Attributes:
        about: What is special about it.
        space: Distributions of the hyperparameters, in the order of their suggestion.
        level: Mean losses of models.
        spread: Their standard deviations.
        failures: Shares of their trainings that fail: the loss is infinite.
        noise: Shape of the noise.
        only_if: Hyperparameters that are there only if another has some value.
    """

    about: str
    space: Mapping[str, BaseDistribution]
    level: OfModels
    spread: OfModels
    failures: OfModels = lambda models: np.zeros(())
    noise: Noise = _NORMAL
    only_if: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Draw a model from the search space."""
        params: dict[str, Any] = {}
        for name, distribution in self.space.items():
            parent, value = self.only_if.get(name, (None, None))
            if parent is None or params[parent] == value:
                params[name] = _suggest(trial, name, distribution)
        return params

    def objective(self, trial: BaseTrial, instance: Instance) -> float:
        """Return the loss of an instance of the trial's model."""
        return self.loss(self.suggest(trial), instance)

    def loss(self, params: Mapping[str, Any], instance: Instance) -> float:
        """Return the loss of an instance of a model: a pure function of both."""
        found = self.population(params)
        # instance.rng would move on from call to call.
        own = np.random.default_rng([instance.order_seed, int(model_key(params), 16)])
        deviation = self.noise.draw(np.random.default_rng(instance.order_seed), own)
        if own.random() < found.failures[()]:
            return float("inf")
        return float(found.level[()] + found.spread[()] * deviation)

    def population(self, models: Models) -> Population:
        """Return what models are worth over infinitely many instances."""
        absent = {name: _decode(each, np.zeros(1))[0] for name, each in self.space.items()}
        complete = {**absent, **models}
        level, spread, failures, *_ = np.broadcast_arrays(
            self.level(complete),
            self.spread(complete),
            self.failures(complete),
            *complete.values(),
        )
        return Population(level, spread, failures, self.noise)

    def true_criterion(self, params: Mapping[str, Any], criterion: str = CRITERION) -> float:
        """Return a criterion of a model over infinitely many instances."""
        return float(self.population(params).value(criterion)[()])

    def best(self, criterion: str = CRITERION) -> float:
        """Return the best possible value of a criterion."""
        return _best(self, criterion)

    def decode(self, unit: FloatArray) -> dict[str, Any]:
        """Return models for points of the unit cube, shape ``(n_hyperparameters, n_models)``."""
        return {
            name: _decode(distribution, row)
            for (name, distribution), row in zip(self.space.items(), unit, strict=True)
        }


@cache
def _best(family: Family, criterion: str) -> float:
    """Return the least value of a criterion: the best of several differential evolutions."""

    def values(unit: FloatArray) -> FloatArray:
        return family.population(family.decode(np.clip(unit, 0.0, 1.0))).value(criterion)

    return min(
        float(
            optimize.differential_evolution(
                values,
                [(0.0, 1.0)] * len(family.space),
                vectorized=True,
                updating="deferred",
                init="sobol",
                polish=False,
                maxiter=1000,
                tol=1e-8,
                rng=seed,
            ).fun
        )
        for seed in range(_N_OPTIMISATIONS)
    )


def _suggest(trial: BaseTrial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    assert isinstance(distribution, CategoricalDistribution)
    return trial.suggest_categorical(name, distribution.choices)


def _decode(distribution: BaseDistribution, unit: FloatArray) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        n = len(distribution.choices)
        return np.array(distribution.choices)[np.minimum((n * unit).astype(int), n - 1)]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    value = low * (high / low) ** unit if distribution.log else low + (high - low) * unit
    return np.rint(value) if isinstance(distribution, IntDistribution) else value
