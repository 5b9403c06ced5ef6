"""The evaluation of instances: an objective called once, and what came of each."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextlib import nullcontext
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from functools import cached_property
import math
import time
from typing import Any
from typing import TYPE_CHECKING

from optuna.exceptions import OptunaError
from optuna.exceptions import TrialPruned

from optuna_robust._instances.evaluation._batch_trial import BatchTrial
from optuna_robust._instances.evaluation._epochs import EpochPruning
from optuna_robust._instances.evaluation._fault import Fault
from optuna_robust._instances.evaluation._fault import fault_of
from optuna_robust._instances.evaluation._fault import forget_frames
from optuna_robust._instances.evaluation._instance_trial import InstanceTrial
from optuna_robust._instances.evaluation._model_trial import ModelTrial
from optuna_robust._instances.evaluation._returned import as_loss
from optuna_robust._instances.evaluation._returned import as_losses
from optuna_robust._instances.evaluation._returned import as_values
from optuna_robust._instances.evaluation._seeding import global_seed
from optuna_robust._instances.evaluation._signature import what_it_takes
from optuna_robust._instances.evaluation._study_view import StudyView
from optuna_robust._instances.evaluation._time_limit import check_main_thread
from optuna_robust._instances.evaluation._time_limit import time_limit
from optuna_robust._instances.failures import kind_of
from optuna_robust._instances.failures import shortened
from optuna_robust._instances.model_key import model_key
from optuna_robust._instances.objective_identity import objective_identity
from optuna_robust._instances.objective_identity import ObjectiveIdentity
from optuna_robust._instances.trials import VALUES


if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

    from optuna_robust._instances.instance import Instance


# Model key, phase, instance number, and the model whose own instance it is (-1: common).
Key = tuple[str, str, int, int]


@dataclass(frozen=True)
class Job:
    """One instance of one model, to be trained.

    Attributes:
        params: The model's hyperparameters.
        instance: Which of its trainings.
        number: What the objective sees as the trial's number.
        study: What it sees as the study.
        user_attrs: What it sees as the trial's user attributes.
        distributions: What the values were suggested from, as far as it is known.
        any_range: Whether the trial gives them whatever range the objective asks for.
        epochs: How the instance is pruned by its epochs; None: it is not.
    """

    params: Mapping[str, Any]
    instance: Instance
    number: int = 0
    study: StudyView = field(default_factory=StudyView, compare=False)
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    distributions: Mapping[str, BaseDistribution] = field(default_factory=dict)
    any_range: bool = False
    epochs: EpochPruning | None = field(default=None, compare=False)

    @cached_property
    def key(self) -> Key:
        """What makes two trainings the same."""
        own = -1 if self.instance.model is None else self.instance.model
        return model_key(self.params), self.instance.phase, self.instance.number, own

    def sent(self) -> Job:
        """Return the job for another process, with the study's user attributes of now."""
        return replace(self, study=self.study.sent())


@dataclass(frozen=True)
class Outcome:
    """What came of one instance.

    Attributes:
        loss: As the objective returned it; None if it failed.
        failure: Why it failed; None if it did not.
        pruned: Whether the objective raised :class:`optuna.TrialPruned`.
        stopped: Whether it did so because its instance pruner said so.
        seconds: How long it took.
        learning_curve: What the objective reported, by step.
        user_attrs: User attributes that the objective set.
        constraints: Constraints that the objective set.
        distributions: What the objective suggested from; empty if it is kept elsewhere.
        system_attrs: What integrations wrote to the trial's storage; likewise.
        pruner_state: What the instance pruner noted.
        read_params: Names of a given model's hyperparameters that the objective read.
        error: The exception of a failure, as long as it may be raised.
        fault: What is kept of it, in the run that trained the instance.
        failure_kind: Type and place of the exception; None if it was none, or is not known.
        in_worker: Whether a worker trained the instance, not this process.
    """

    loss: float | None
    failure: str | None = None
    pruned: bool = False
    seconds: float = 0.0
    learning_curve: dict[int, float] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)
    constraints: dict[str, float] = field(default_factory=dict)
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    system_attrs: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = field(default=None, compare=False)
    fault: Fault | None = field(default=None, compare=False)
    in_worker: bool = field(default=False, compare=False)
    failure_kind: str | None = field(default=None, compare=False)
    stopped: bool = False
    pruner_state: dict[str, Any] = field(default_factory=dict)
    read_params: frozenset[str] = frozenset()

    @property
    def kind(self) -> str | None:
        """Type and place of a failure, as far as it is known; None if it did not fail."""
        if self.failure is None:
            return None
        return self.failure_kind or kind_of(self.failure)

    def without_error(self) -> Outcome:
        """Return the outcome without its exception, and free what the objective's frames hold."""
        if self.error is None:
            return self
        forget_frames(self.error)
        return replace(self, error=None)


class Evaluator:
    """An objective, and how it is called.

    Args:
        objective:
            ``objective(trial)`` or ``objective(trial, instance)``, returning one loss; or
            ``objective(trial, instances)``, returning a loss for each.
        seed_function:
            Called with ``instance.seed`` before every instance, to seed other libraries.
        n_values:
            How many values the objective returns for an instance: the first one is the loss, and
            the trial keeps the others. Where one of them is NaN or infinite, the instance failed.
        instance_timeout:
            How long an instance may take, seconds; then it failed. None: as long as it likes.

    Raises:
        TypeError: If one of them cannot be called so, or an objective of several values takes
            several instances.
        ValueError: If an objective that takes several instances has a ``seed_function``, which
            seeds one.
    """

    def __init__(
        self,
        objective: Callable[..., Any],
        seed_function: Callable[[int], object] | None = None,
        n_values: int = 1,
        instance_timeout: float | None = None,
    ) -> None:
        self._takes = what_it_takes(objective)
        self._objective = objective
        if seed_function is not None and not callable(seed_function):
            raise TypeError(f"seed_function must be callable, but was {seed_function!r}.")
        if seed_function is not None and self.takes_several:
            raise ValueError(
                "seed_function seeds one instance at a time, but the objective takes several "
                "(its parameter 'instances'); seed other libraries inside it."
            )
        if n_values > 1 and self.takes_several:
            raise TypeError(
                "criterion names a criterion for each of several values, but the objective takes "
                "several instances (its parameter 'instances'), which return one loss each."
            )
        self._seed_function = seed_function
        self._n_values = n_values
        self.instance_timeout = instance_timeout

    @property
    def takes_several(self) -> bool:
        """Whether the objective trains several instances of a model at each call."""
        return self._takes == "instances"

    @cached_property
    def identity(self) -> ObjectiveIdentity:
        """Which objective it is."""
        return objective_identity(self._objective)

    def evaluate(self, job: Job) -> Outcome:
        """Train an instance of a given model."""
        return self.evaluate_together([job])[0]

    def evaluate_together(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Train instances of one given model."""
        job = jobs[0]
        trial = ModelTrial(
            job.params,
            job.number,
            job.study,
            job.user_attrs,
            job.distributions,
            any_range=job.any_range,
        )
        return self(trial, [each.instance for each in jobs], epochs=job.epochs)

    def __call__(
        self,
        trial: Trial | ModelTrial,
        instances: Sequence[Instance],
        *,
        is_known: Callable[[Mapping[str, Any]], bool] | None = None,
        on_wait: Callable[[], None] | None = None,
        epochs: EpochPruning | None = None,
    ) -> list[Outcome]:
        """Train instances of a trial's model: several if the objective takes them, else one.

        Args:
            trial:
                Of which the objective sees a view.
            instances:
                Which of the model's trainings.
            is_known:
                As in :class:`InstanceTrial`.
            on_wait:
                Called before waiting for another thread's use of global random generators.
            epochs:
                How an instance is pruned by its epochs; not with an objective that takes several.

        Raises:
            optuna.exceptions.OptunaError: What storages raise, or that the objective asks for
                what the model does not have, is not the model's behaviour.
        """
        if self.instance_timeout is not None:
            check_main_thread()
        start = time.perf_counter()
        # Their generators move on: trained again, they begin again.
        instances = [instance.fresh() for instance in instances]
        view: InstanceTrial
        if self.takes_several:
            view = BatchTrial(trial, [instance.number for instance in instances], is_known)
            views = view.instances
        else:
            number = instances[0].number
            judge = None if epochs is None else epochs.begin(number)
            view = InstanceTrial(trial, number, is_known, judge)
            views = [view]
        failure: str | None = None
        error: Exception | None = None
        fault: Fault | None = None
        pruned = False
        losses = [math.nan] * len(views)
        try:
            with self._limited(instances):
                losses = self._train(view, instances, on_wait)
        except TrialPruned as stopped:
            pruned = True
            why = f": {shortened(str(stopped))}" if str(stopped) else ""
            failure = view.stopped_by or f"the objective raised TrialPruned{why}"
        except OptunaError:
            raise
        except Exception as raised:
            failure, error = shortened(f"{type(raised).__name__}: {raised}"), raised
            fault = fault_of(raised)
        seconds = (time.perf_counter() - start) / len(views)
        return [
            Outcome(
                loss if failure is None and math.isfinite(loss) else None,
                _failure(loss) if failure is None else failure,
                pruned,
                seconds,
                each.learning_curve,
                each.own_user_attrs,
                each.constraints,
                view.own_distributions,
                view.own_system_attrs,
                error,
                fault,
                failure_kind=None if fault is None else fault.kind,
                stopped=pruned and view.stopped_by is not None,
                pruner_state=view.pruner_state,
                read_params=view.read_params,
            )
            for each, loss in zip(views, losses, strict=True)
        ]

    def _limited(self, instances: Sequence[Instance]) -> AbstractContextManager[None]:
        """Return what raises an exception in an objective that takes too long."""
        if self.instance_timeout is None:
            return nullcontext()
        n = len(instances)
        number = instances[0].number
        what = f"instance {number}" if n == 1 else f"{n} instances, the first of them {number},"
        each = "" if n == 1 else " each"
        return time_limit(
            n * self.instance_timeout,
            f"{what} took longer than instance_timeout={self.instance_timeout:g} s{each}",
        )

    def _train(
        self,
        trial: InstanceTrial,
        instances: Sequence[Instance],
        on_wait: Callable[[], None] | None,
    ) -> list[float]:
        if self.takes_several:
            return as_losses(self._objective(trial, instances=tuple(instances)), len(instances))
        instance = instances[0]
        if self._takes == "instance":
            if self._seed_function is not None:
                self._seed_function(instance.seed)
            return [self._loss(trial, self._objective(trial, instance=instance))]
        with global_seed(instance.seed, self._seed_function, on_wait=on_wait):
            return [self._loss(trial, self._objective(trial))]

    def _loss(self, trial: InstanceTrial, returned: object) -> float:
        if self._n_values == 1:
            return as_loss(returned)
        first, *others = as_values(returned, self._n_values)
        for value in others:
            if not math.isfinite(value):
                return value
        trial.set_user_attr(VALUES, others)
        return first


def _failure(loss: float) -> str | None:
    return None if math.isfinite(loss) else f"the objective returned {loss}"
