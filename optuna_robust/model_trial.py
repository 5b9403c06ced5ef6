"""A trial of a given model: suggests the model's values, in any process, without a study."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
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
    """

    def __init__(
        self, params: Mapping[str, Any], number: int = 0, direction: str = "minimize"
    ) -> None:
        super().__init__(dict(params), number)
        self._direction = direction

    @property
    def params(self) -> dict[str, Any]:
        """All hyperparameters of the model, suggested yet or not."""
        return dict(self._params)

    @cached_property
    def study(self) -> Study:
        """An empty study in memory, for callbacks that ask for the direction."""
        return optuna.create_study(direction=self._direction)  # type: ignore[arg-type]

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
            self._check(name, distribution)
            self._distributions[name] = distribution
        value = self._suggested_params[name] = self._params[name]
        return value

    def _check(self, name: str, distribution: BaseDistribution) -> None:
        try:  # checks that the value lies in the distribution
            create_trial(
                value=0.0,
                params={name: self._params[name]},
                distributions={name: distribution},
            )
        except (ValueError, TypeError):
            raise ModelMismatchError(
                f"The model's {name}={self._params[name]!r} is not what the objective may be "
                f"given: {distribution}."
            ) from None
