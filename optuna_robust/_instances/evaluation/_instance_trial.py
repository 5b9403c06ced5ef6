"""The trial that an objective sees while one instance runs."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any
from typing import TYPE_CHECKING
from typing import TypeVar
import warnings

from optuna.distributions import CategoricalDistribution
from optuna.trial import Trial

from optuna_robust._instances.evaluation._attributes import plain_attribute
from optuna_robust._instances.evaluation._model_trial import ModelTrial
from optuna_robust._instances.evaluation._read_params import ReadParams
from optuna_robust._instances.evaluation._values import canonical_params
from optuna_robust._instances.evaluation._values import canonical_value
from optuna_robust._instances.evaluation._values import check_choices
from optuna_robust._instances.evaluation._values import same_choices
from optuna_robust._instances.long_attributes import PREFIX
from optuna_robust._instances.long_attributes import whole
from optuna_robust._instances.trials import INSTANCE_ATTRS


if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.distributions import CategoricalChoiceType

    from optuna_robust._instances.evaluation._epochs import InstanceEpochs

_T = TypeVar("_T")


class ModelKnown(BaseException):  # like GeneratorExit, no error, and not caught
    """Ends an objective whose suggestions make up a model that needs no training."""


class InstanceTrial(Trial):
    """A view of a trial for one of its instances.

    Parameters are the trial's own: suggested by the first instance that asks, and the same for
    the others. What callbacks of training libraries report is the instance's learning curve and
    stays apart from the trial's values; :meth:`should_prune` is False without an instance pruner,
    since a trial is stopped on full instances. User attributes and constraints are the instance's
    own.

    Args:
        trial:
            The study's trial, or that of a given model.
        number:
            Number of the instance.
        is_known:
            Asked after every suggestion whether a model with just these hyperparameters needs no
            training; then :class:`ModelKnown` is raised.
        epochs:
            Judges the instance by its epochs; None: it always runs to its end.
    """

    def __init__(
        self,
        trial: Trial | ModelTrial,
        number: int,
        is_known: Callable[[Mapping[str, Any]], bool] | None = None,
        epochs: InstanceEpochs | None = None,
    ) -> None:
        # Not Trial.__init__, which would tell the sampler that a trial begins.
        self._trial = trial
        self._number = number
        self._is_known = is_known
        self._epochs = epochs
        self._learning_curve: dict[int, float] = {}
        self._own_user_attrs: dict[str, Any] = {}
        self._constraint_values: dict[str, float] = {}
        self._read_params: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        """Answer as the study's trial does."""
        if name == "_trial":
            raise AttributeError(name)
        return getattr(self._trial, name)

    @property
    def number(self) -> int:
        """Number of the trial."""
        return self._trial.number

    @property
    def params(self) -> dict[str, Any]:
        """The trial's hyperparameters, as its distributions give them."""
        params = canonical_params(self._trial.params, self._trial.distributions)
        is_given = isinstance(self._trial, ModelTrial)
        return ReadParams(params, self._read_params) if is_given else params

    @property
    def read_params(self) -> frozenset[str]:
        """Names of a given model's hyperparameters that were read from :attr:`params`."""
        return frozenset(self._read_params)

    @property
    def learning_curve(self) -> dict[int, float]:
        """What the instance reported, by step."""
        return dict(self._learning_curve)

    def suggest_float(
        self,
        name: str,
        low: float,
        high: float,
        *,
        step: float | None = None,
        log: bool = False,
    ) -> float:
        """Suggest as the study's trial does."""
        value = self._trial.suggest_float(name, low, high, step=step, log=log)
        return self._suggested(float(value))  # an integer may have been enqueued

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Suggest as the study's trial does."""
        return self._suggested(self._trial.suggest_int(name, low, high, step=step, log=log))

    def suggest_categorical(  # type: ignore[override]  # Optuna has an overload for each type
        self, name: str, choices: Sequence[CategoricalChoiceType]
    ) -> CategoricalChoiceType:
        """Suggest as the study's trial does.

        Raises:
            AmbiguousChoicesError: If Optuna would take one choice for another.
        """
        choices = tuple(choices)
        check_choices(name, choices)
        try:
            value = self._trial.suggest_categorical(name, choices)
        except ValueError:
            if isinstance(self._trial, ModelTrial):
                raise
            value = self._from_database(name, choices)
        return self._suggested(value)

    def _from_database(self, name: str, choices: Sequence[Any]) -> Any:
        """Return a choice that a database gave back in another form, such as a tuple as a list.

        Raises:
            ValueError: If it is no such choice.
        """
        asked = CategoricalDistribution(choices)
        enqueued = getattr(self._trial, "_fixed_params", {})
        if same_choices(self._trial.distributions.get(name), choices):
            return canonical_value(asked, self._trial.params[name])
        if name in enqueued:
            enqueued[name] = canonical_value(asked, enqueued[name])
        return self._trial.suggest_categorical(name, choices)

    def _suggested(self, value: _T) -> _T:
        if self._is_known is not None and self._is_known(self.params):
            raise ModelKnown
        return value

    def report(self, value: float, step: int) -> None:
        """Add a point to the instance's learning curve.

        Raises:
            TypeError: If ``value`` is not a number or ``step`` not an integer.
            ValueError: If ``step`` is negative.
        """
        try:
            point, at = float(value), int(step)
        except (TypeError, ValueError):
            raise TypeError(
                f"report takes a number and an integer step, but got {value!r} and {step!r}."
            ) from None
        if at < 0:
            raise ValueError(f"step must be non-negative, but was {step}.")
        if at in self._learning_curve:
            warnings.warn(
                f"The reported value is ignored because step={at} is already reported.",
                stacklevel=2,
            )
            return
        self._learning_curve[at] = point
        if self._epochs is not None:
            self._epochs.report(point, at)

    def should_prune(self) -> bool:
        """Return True if the instance pruner stops the instance; False without such a pruner."""
        return self._epochs is not None and self._epochs.should_prune()

    @property
    def stopped_by(self) -> str | None:
        """Why the instance pruner stopped the instance; None if it did not."""
        return None if self._epochs is None else self._epochs.stopped_by

    @property
    def pruner_state(self) -> dict[str, Any]:
        """What the instance pruner noted about the instance."""
        return {} if self._epochs is None else self._epochs.state

    @property
    def user_attrs(self) -> dict[str, Any]:
        """The trial's user attributes and this instance's own, without other instances'."""
        attrs = self._trial.user_attrs
        by_instance: dict[str, dict[str, Any]] = whole(attrs, INSTANCE_ATTRS, {})
        others = set().union(*by_instance.values())
        given = {
            key: attrs[key] for key in attrs if key not in others and not key.startswith(PREFIX)
        }
        return {**given, **self._own_user_attrs}

    @property
    def own_user_attrs(self) -> dict[str, Any]:
        """The user attributes that the instance set."""
        return dict(self._own_user_attrs)

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep an attribute of this instance; NumPy's numbers become plain ones.

        Raises:
            AttributeValueError: If the value cannot be written as JSON.
        """
        self._own_user_attrs[key] = plain_attribute(key, value)

    @property
    def own_system_attrs(self) -> dict[str, Any]:
        """What integrations wrote to a given model's storage; a study's trial keeps it itself."""
        return self._trial.storage.system_attrs if isinstance(self._trial, ModelTrial) else {}

    @property
    def own_distributions(self) -> dict[str, BaseDistribution]:
        """What a given model's values were suggested from; a study's trial keeps it itself."""
        return self._trial.distributions if isinstance(self._trial, ModelTrial) else {}

    @property
    def constraints(self) -> dict[str, float]:
        """The constraints that the instance set."""
        return dict(self._constraint_values)

    def set_constraint(self, key: str, value: float) -> None:
        """Set a constraint of this instance; greater than zero means infeasible (Optuna 5).

        Raises:
            AttributeError: If Optuna is older and its trials have no constraints.
            TypeError: If ``value`` is not a number.
            ValueError: If it is NaN.
        """
        if not hasattr(Trial, "set_constraint"):
            raise AttributeError("set_constraint needs Optuna 5 or newer.")
        try:
            constraint = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"set_constraint takes a number, but got {value!r}.") from None
        if math.isnan(constraint):
            raise ValueError(f"The constraint {key!r} must not be NaN.")
        self._constraint_values[key] = constraint
