"""Constraints of models: those that objectives set, and those that samplers compute."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import itertools
import math
from typing import Any
from typing import TYPE_CHECKING
import warnings

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial

from optuna_robust._base.arrays import FloatArray
from optuna_robust._instances.evaluation import canonical_params
from optuna_robust._instances.trials import violation_of


if TYPE_CHECKING:
    import numpy.typing as npt
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from optuna_robust._instances.evaluation import Outcome


@dataclass
class Constraints:
    """Constraints of a model, of which each instance has its own: the worst ones count.

    Attributes:
        named: Those that the objective set.
        computed: Those that the sampler of a study computed.
    """

    named: dict[str, float] = field(default_factory=dict)
    computed: tuple[float, ...] = ()

    def add(self, named: Mapping[str, float], computed: Sequence[float]) -> None:
        """Take those of an instance into account."""
        for key, value in named.items():
            self.named[key] = max(value, self.named.get(key, -math.inf))
        both = itertools.zip_longest(self.computed, computed, fillvalue=-math.inf)
        self.computed = tuple(map(max, both))

    @property
    def violation(self) -> float:
        """By how much the model violates them in all; 0 if it is feasible."""
        return violation_of([*self.named.values(), *self.computed])

    def __bool__(self) -> bool:
        """Return True if there are any."""
        return bool(self.named or self.computed)


def least_violating(violations: FloatArray) -> npt.NDArray[np.intp]:
    """Return the indices of the models that violate constraints least: feasible ones, if any."""
    return np.flatnonzero(violations == violations.min())


def constraints_function(sampler: Any) -> Callable[[FrozenTrial], Sequence[float]] | None:
    """Return the ``constraints_func`` of a sampler, or of that within it; None if it has none.

    A RobustnessSampler or a PartialFixedSampler has another one, which may have one, too.
    """
    while base := getattr(sampler, "_base", None) or getattr(sampler, "_base_sampler", None):
        sampler = base
    function: Callable[[FrozenTrial], Sequence[float]] | None
    function = getattr(sampler, "_constraints_func", None)
    return function


class ComputedConstraints:
    """What the ``constraints_func`` of a study's sampler says of instances.

    It gets a COMPLETE trial for each instance: its hyperparameters, its loss as the value, and the
    user attributes that the objective set, also those of earlier instances that this one did not
    set. Number, times and intermediate values are not those of a trial of the study.

    Args:
        study:
            The study; None: nothing is computed.
    """

    def __init__(self, study: Study | None) -> None:
        self._function = None if study is None else constraints_function(study.sampler)

    def __bool__(self) -> bool:
        """Return True if there is such a function."""
        return self._function is not None

    def of(
        self,
        params: Mapping[str, Any],
        outcome: Outcome,
        earlier_attrs: Mapping[str, Any],
        distributions: Mapping[str, BaseDistribution],
    ) -> tuple[float, ...]:
        """Return the constraints of an instance; none of one that failed, as of a failed trial.

        Where the function raises an exception, a warning says that they are not known.

        Args:
            params:
                The model's hyperparameters.
            outcome:
                What came of the instance.
            earlier_attrs:
                User attributes that earlier instances set.
            distributions:
                What hyperparameters were drawn from, as far as the outcome does not say.

        Raises:
            ValueError: If one is NaN.
        """
        if self._function is None or outcome.loss is None:
            return ()
        trial = create_trial(
            value=outcome.loss, user_attrs={**earlier_attrs, **outcome.user_attrs}
        )
        known = {**distributions, **outcome.distributions}
        # Given to create_trial, an enqueued value that lies outside its range would be refused.
        trial.distributions = {
            name: known.get(name, CategoricalDistribution([value]))
            for name, value in params.items()
        }
        trial.params = canonical_params(params, trial.distributions)
        try:
            constraints = tuple(map(float, self._function(trial)))
        except Exception as error:
            warnings.warn(
                "The constraints_func of the study's sampler raised "
                f"{type(error).__name__}({error}) for an instance, whose constraints are "
                "therefore not known; let the objective use trial.set_constraint.",
                stacklevel=2,
            )
            return ()
        if any(map(math.isnan, constraints)):
            raise ValueError(
                f"The constraints_func of the study's sampler returned {constraints} for "
                f"{dict(params)}; constraints must not be NaN."
            )
        return constraints
