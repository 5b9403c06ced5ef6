"""A trial of a given model: suggests the model's values, in any process, without a study."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import check_distribution_compatibility
from optuna.exceptions import OptunaError
from optuna.study import Study
from optuna.trial import create_trial
from optuna.trial import FixedTrial


class ModelMismatchError(OptunaError, ValueError):
    """The objective asks for a hyperparameter that the model does not have, or not so."""


class ModelTrial(FixedTrial):
    """A trial of a given model: what is suggested are the model's values.

    Suggesting raises :class:`ModelMismatchError` for a name that the model does not have, or a
    value outside the range that is asked for.

    Args:
        params:
            The model's hyperparameters.
        number:
            What the objective sees as the trial's number.
        direction:
            Direction of :attr:`study`.
        user_attrs:
            What the objective sees as the trial's user attributes.
    """

    def __init__(
        self,
        params: Mapping[str, Any],
        number: int = 0,
        direction: str = "minimize",
        user_attrs: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(dict(params), number)
        self._direction = direction
        self._user_attrs = dict(user_attrs)

    @property
    def params(self) -> dict[str, Any]:
        """All hyperparameters of the model, suggested yet or not."""
        return dict(self._params)

    @property
    def study(self) -> Study:
        """A study in memory without trials, for callbacks that ask for the direction."""
        return _study(self._direction)

    def suggest_float(
        self,
        name: str,
        low: float,
        high: float,
        *,
        step: float | None = None,
        log: bool = False,
    ) -> float:
        """Return the model's value as a float; it may be given as an integer."""
        return float(super().suggest_float(name, low, high, step=step, log=log))

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._params:
            raise ModelMismatchError(
                f"The objective asks for the hyperparameter {name!r}, which the model "
                f"{self._params} does not have."
            )
        known = self._distributions.get(name)
        if known is not None:
            check_distribution_compatibility(known, distribution)
        if known != distribution:
            if not can_give(distribution, self._params[name]):
                raise ModelMismatchError(
                    f"The model's {name}={self._params[name]!r} is not what the objective may be "
                    f"given: {distribution}."
                )
            self._distributions[name] = distribution
        value = self._suggested_params[name] = self._params[name]
        return value


@cache
def _study(direction: str) -> Study:
    """Return one study for all trials of a process: Optuna logs a line for each."""
    return optuna.create_study(direction=direction)  # type: ignore[arg-type]


def can_give(distribution: BaseDistribution, value: Any) -> bool:
    """Tell whether a value lies in a distribution."""
    try:
        create_trial(value=0.0, params={"": value}, distributions={"": distribution})
    except (ValueError, TypeError):
        return False
    return True
