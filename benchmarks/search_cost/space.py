"""A search space that is known as a whole, for searches of any package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.trial import BaseTrial

from optuna_robust._base.arrays import FloatArray


@dataclass(frozen=True)
class Space:
    """Hyperparameters and their distributions.

    Attributes:
        distributions: Of the hyperparameters, in the order of their suggestion.
        only_if: Hyperparameters that are there only if another, before them, has some value.
    """

    distributions: Mapping[str, BaseDistribution]
    only_if: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Draw a model."""
        params: dict[str, Any] = {}
        for name, distribution in self.distributions.items():
            if self._is_active(name, params):
                params[name] = _suggest(trial, name, distribution)
        return params

    def active(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a model without the hyperparameters that it does not have."""
        return {name: params[name] for name in params if self._is_active(name, params)}

    def complete(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return models with some value of every hyperparameter that they do not have."""
        if len(params) == len(self.distributions):
            return dict(params)
        lowest = self.decode(np.zeros(len(self.distributions)))
        return {**lowest, **params}

    def decode(self, unit: FloatArray) -> dict[str, Any]:
        """Return the models at points of the unit cube, whose first axis is hyperparameters."""
        return {
            name: _decode(distribution, row)
            for (name, distribution), row in zip(self.distributions.items(), unit, strict=True)
        }

    def range(self, name: str) -> tuple[float, float, bool]:
        """Return the ends of a number, and whether it is logarithmic."""
        return _range(self.distributions[name])

    def _is_active(self, name: str, params: Mapping[str, Any]) -> bool:
        if name not in self.only_if:
            return True
        parent, value = self.only_if[name]
        return bool(params[parent] == value)


def _suggest(trial: BaseTrial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    low, high, log = _range(distribution)
    return trial.suggest_float(name, low, high, log=log)


def _decode(distribution: BaseDistribution, unit: FloatArray) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        n = len(distribution.choices)
        return np.array(distribution.choices)[np.minimum((n * unit).astype(int), n - 1)]
    low, high, log = _range(distribution)
    value = low * (high / low) ** unit if log else low + (high - low) * unit
    return np.rint(value) if isinstance(distribution, IntDistribution) else value


def _range(distribution: BaseDistribution) -> tuple[float, float, bool]:
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low, distribution.high, distribution.log
