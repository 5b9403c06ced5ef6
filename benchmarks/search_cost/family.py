"""A made-up family of models whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from typing import TypeAlias

import numpy as np
from optuna.trial import BaseTrial
from scipy import optimize

from benchmarks.search_cost.noise import Noise
from benchmarks.search_cost.noise import Population
from benchmarks.search_cost.space import Space
from optuna_robust import Instance
from optuna_robust._base.arrays import FloatArray
from optuna_robust._instances.model_key import model_key


CRITERION = "q3+iqr"

# Hyperparameters by name: plain values of one model, or arrays of many.
Models: TypeAlias = Mapping[str, Any]
OfModels: TypeAlias = Callable[[Models], FloatArray]

_NORMAL = Noise()
_N_OPTIMISATIONS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """A search space, and what its models are worth.

    A loss is level + spread times noise. Part of the noise is the instance's, the same for all
    models; the rest is the model's own. Both are pure functions of instance and model.

    Attributes:
        about: What is special about it.
        space: The hyperparameters.
        level: Mean losses of models.
        spread: Their standard deviations.
        failures: Shares of their trainings that fail: the loss is infinite.
        noise: Shape of the noise.
    """

    about: str
    space: Space
    level: OfModels
    spread: OfModels
    failures: OfModels = lambda models: np.zeros(())
    noise: Noise = _NORMAL

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Draw a model from the search space."""
        return self.space.suggest(trial)

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
        complete = self.space.complete(models)
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


@cache
def _best(family: Family, criterion: str) -> float:
    """Return the least value of a criterion: the best of several differential evolutions."""

    def values(unit: FloatArray) -> FloatArray:
        models = family.space.decode(np.clip(unit, 0.0, 1.0))
        return family.population(models).value(criterion)

    return min(
        float(
            optimize.differential_evolution(
                values,
                [(0.0, 1.0)] * len(family.space.distributions),
                vectorized=True,
                updating="deferred",
                init="sobol",
                polish=False,
                tol=1e-8,
                rng=seed,
            ).fun
        )
        for seed in range(_N_OPTIMISATIONS)
    )
