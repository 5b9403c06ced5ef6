"""The evaluation of one instance: an objective called once, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from functools import cached_property
import inspect
import math
import time
from typing import Any
from typing import TYPE_CHECKING

from optuna.exceptions import OptunaError
from optuna.exceptions import TrialPruned

from optuna_robust.evaluation._instance_trial import InstanceTrial
from optuna_robust.evaluation._model_trial import ModelTrial
from optuna_robust.evaluation._seeding import global_seed
from optuna_robust.model_key import model_key


if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from optuna_robust.instance import Instance


# Model key, phase, instance number, and the model whose own instance it is (-1: common).
Key = tuple[str, str, int, int]


@dataclass(frozen=True)
class Job:
    """One instance of one model, to be trained.

    Attributes:
        params: The model's hyperparameters.
        instance: Which of its trainings.
        number: What the objective sees as the trial's number.
        direction: What it sees as the study's direction.
        user_attrs: What it sees as the trial's user attributes.
    """

    params: Mapping[str, Any]
    instance: Instance
    number: int = 0
    direction: str = "minimize"
    user_attrs: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> Key:
        """What makes two trainings the same."""
        own = -1 if self.instance.model is None else self.instance.model
        return model_key(self.params), self.instance.phase, self.instance.number, own


@dataclass(frozen=True)
class Outcome:
    """What came of one instance.

    Attributes:
        loss: As the objective returned it; None if it failed.
        failure: Why it failed; None if it did not.
        pruned: Whether the objective raised :class:`optuna.TrialPruned`.
        seconds: How long it took.
        learning_curve: What the objective reported, by step.
        user_attrs: User attributes that the objective set.
        constraints: Constraints that the objective set.
        distributions: What the objective suggested from; empty if it is kept elsewhere.
        error: The exception of a failure, if it was one and is at hand.
    """

    loss: float | None
    failure: str | None = None
    pruned: bool = False
    seconds: float = 0.0
    learning_curve: dict[int, float] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)
    constraints: dict[str, float] = field(default_factory=dict)
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    error: Exception | None = field(default=None, compare=False)


class Evaluator:
    """An objective, and how it is called for one instance.

    Args:
        objective:
            ``objective(trial)`` or ``objective(trial, instance)``, returning one loss.
        seed_function:
            Called with ``instance.seed`` before every instance, to seed other libraries.

    Raises:
        TypeError: If one of them cannot be called so.
    """

    def __init__(
        self,
        objective: Callable[..., Any],
        seed_function: Callable[[int], object] | None = None,
    ) -> None:
        self._takes_instance = _takes_instance(objective)
        self._objective = objective
        if seed_function is not None and not callable(seed_function):
            raise TypeError(f"seed_function must be callable, but was {seed_function!r}.")
        self._seed_function = seed_function

    def evaluate(self, job: Job) -> Outcome:
        """Train an instance of a given model."""
        trial = ModelTrial(job.params, job.number, job.direction, job.user_attrs)
        return self(InstanceTrial(trial, job.instance.number), job.instance)

    def __call__(
        self,
        trial: InstanceTrial,
        instance: Instance,
        on_wait: Callable[[], None] | None = None,
    ) -> Outcome:
        """Train an instance of a trial's model.

        Args:
            trial:
                What the objective is called with.
            instance:
                Which of the model's trainings.
            on_wait:
                Called before waiting for another thread's use of global random generators.

        Raises:
            optuna.exceptions.OptunaError: What storages raise, or that the objective asks for
                what the model does not have, is not the model's behaviour.
        """
        start = time.perf_counter()
        instance = replace(instance)  # its generator moves on: trained again, it begins again
        loss: float | None = None
        failure: str | None = None
        error: Exception | None = None
        pruned = False
        try:
            loss = as_loss(self._train(trial, instance, on_wait))
        except TrialPruned as stopped:
            pruned = True
            failure = "the objective raised TrialPruned" + (f": {stopped}" if str(stopped) else "")
        except OptunaError:
            raise
        except Exception as raised:
            failure, error = f"{type(raised).__name__}: {raised}", raised
        else:
            if not math.isfinite(loss):
                loss, failure = None, f"the objective returned {loss}"
        return Outcome(
            loss,
            failure,
            pruned,
            time.perf_counter() - start,
            trial.learning_curve,
            trial.own_user_attrs,
            trial.constraints,
            trial.own_distributions,
            error,
        )

    def _train(
        self, trial: InstanceTrial, instance: Instance, on_wait: Callable[[], None] | None
    ) -> object:
        if self._takes_instance:
            if self._seed_function is not None:
                self._seed_function(instance.seed)
            return self._objective(trial, instance=instance)
        with global_seed(instance.seed, self._seed_function, on_wait=on_wait):
            return self._objective(trial)


def _takes_instance(objective: Callable[..., Any]) -> bool:
    """Tell whether an objective has a parameter named ``instance``; checks how it is called."""
    if not callable(objective):
        raise TypeError(f"objective must be callable, but was {objective!r}.")
    try:
        signature = inspect.signature(objective)
    except ValueError:  # some callables written in C have none
        return False
    takes_instance = "instance" in signature.parameters
    try:
        signature.bind(None, **({"instance": None} if takes_instance else {}))
    except TypeError as error:
        raise TypeError(
            "objective must be callable as objective(trial) or objective(trial, instance=…), but "
            f"{getattr(objective, '__name__', objective)!r} has the signature {signature}: "
            f"{error}."
        ) from None
    return takes_instance


def as_loss(returned: object) -> float:
    """Return what the objective returned as a float.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is a sequence, but not of one number.
    """
    wrong = (
        "The objective must return one loss, a number, for each instance, but returned "
        f"{returned!r} of type {type(returned).__name__}."
    )
    if isinstance(returned, Sequence) and not isinstance(returned, (str, bytes)):
        if len(returned) != 1:
            raise ValueError(wrong)
        returned = returned[0]
    if isinstance(returned, (str, bytes)) or not hasattr(returned, "__float__"):
        raise TypeError(wrong)
    try:
        # float() of a tensor with a gradient warns, and of an array with one element fails.
        return float(returned.item() if hasattr(returned, "item") else returned)
    except (TypeError, ValueError, RuntimeError):  # arrays and tensors of several numbers
        raise ValueError(wrong) from None
