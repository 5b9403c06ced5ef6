"""Objectives that return several values, such as accuracy and latency."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import inspect
import math
from typing import Any
from typing import TYPE_CHECKING

from optuna_robust.criteria import Criterion
from optuna_robust.criteria import FloatArray
from optuna_robust.criteria import get_criterion
from optuna_robust.evaluation import as_loss
from optuna_robust.trials import VALUES


if TYPE_CHECKING:
    from optuna.trial import Trial


class SeveralValues:
    """An objective of several values as one of the first value; its trial keeps the others.

    Where one of them is NaN or infinite, the instance failed.

    Args:
        objective:
            Returns the values of one instance.
        n_values:
            How many.

    Raises:
        TypeError: If the objective takes several instances.
    """

    def __init__(self, objective: Callable[..., Any], n_values: int) -> None:
        self._objective = objective
        self._n_values = n_values
        self.__qualname__ = getattr(objective, "__qualname__", type(objective).__qualname__)
        if "instances" in self.__signature__.parameters:
            raise TypeError(
                "criterion names a criterion for each of several values, but the objective takes "
                "several instances (its parameter 'instances'), which return one loss each."
            )

    @property
    def __signature__(self) -> inspect.Signature:
        """That of the objective, which says whether it takes an instance."""
        return inspect.signature(self._objective)

    def __call__(self, trial: Trial, **instance: Any) -> float:
        """Return the first value."""
        returned = self._objective(trial, **instance)
        if isinstance(returned, (str, bytes)) or not isinstance(returned, Iterable):
            raise TypeError(self._wrong(returned))
        values = list(returned)
        if len(values) != self._n_values:
            raise ValueError(self._wrong(returned))
        first, *others = map(as_loss, values)
        for value in others:
            if not math.isfinite(value):
                return value
        trial.set_user_attr(VALUES, others)
        return first

    def _wrong(self, returned: object) -> str:
        return (
            f"The objective must return {self._n_values} values for each instance, one for each "
            f"criterion, but returned {returned!r} of type {type(returned).__name__}."
        )


def check_criteria(
    criteria: Sequence[str | Callable[[FloatArray], float] | Criterion],
) -> tuple[Criterion, ...]:
    """Return the criteria of an objective's values.

    Raises:
        ValueError: If there are fewer than two, or one is unknown.
    """
    if len(criteria) < 2:
        raise ValueError(
            f"criterion must be one criterion, or a sequence of one for each of the study's "
            f"objectives, at least two, but was {criteria!r}."
        )
    return tuple(map(get_criterion, criteria))
