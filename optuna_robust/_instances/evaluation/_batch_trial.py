"""The trial that an objective sees while several instances of a model run together."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import TYPE_CHECKING

from optuna_robust._instances.evaluation._instance_trial import InstanceTrial


if TYPE_CHECKING:
    from optuna.trial import Trial

    from optuna_robust._instances.evaluation._model_trial import ModelTrial


class BatchTrial(InstanceTrial):
    """A view of a trial for several of its instances.

    What is reported is a number for each instance; attributes and constraints are of all.

    Args:
        trial:
            The study's trial, or that of a given model.
        numbers:
            Numbers of the instances.
        is_known:
            As in :class:`InstanceTrial`.
    """

    def __init__(
        self,
        trial: Trial | ModelTrial,
        numbers: Sequence[int],
        is_known: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> None:
        super().__init__(trial, numbers[0], is_known)
        self.instances = [InstanceTrial(trial, number) for number in numbers]

    def report(self, value: float | Iterable[float], step: int) -> None:
        """Add a point to the learning curve of each instance.

        Args:
            value:
                A number for each instance, in their order.
            step:
                The same for all.

        Raises:
            TypeError: If ``value`` is not a sequence of numbers, or ``step`` not an integer.
            ValueError: If there are not as many as instances, or ``step`` is negative.
        """
        values = list(value) if isinstance(value, Iterable) else [value]
        if len(values) != len(self.instances):
            raise ValueError(
                f"report takes a number for each of the {len(self.instances)} instances, but got "
                f"{len(values)}."
            )
        for instance, each in zip(self.instances, values, strict=True):
            instance.report(each, step)

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep an attribute of every instance.

        Raises:
            TypeError: If the value cannot be written as JSON.
        """
        super().set_user_attr(key, value)
        for instance in self.instances:
            instance.set_user_attr(key, value)

    def set_constraint(self, key: str, value: float) -> None:
        """Set a constraint of every instance; greater than zero means infeasible (Optuna 5).

        Raises:
            AttributeError: If Optuna is older and its trials have no constraints.
            TypeError: If ``value`` is not a number.
            ValueError: If it is NaN.
        """
        for instance in self.instances:
            instance.set_constraint(key, value)
