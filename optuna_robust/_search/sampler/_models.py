"""The trials of a study as models: what is known of each, whichever trials trained it."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
import math
from typing import Any
from typing import TYPE_CHECKING

from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from optuna_robust._instances.long_attributes import whole
from optuna_robust._instances.trials import CONTINUES
from optuna_robust._instances.trials import INTERRUPTED
from optuna_robust._instances.trials import is_given_up
from optuna_robust._instances.trials import is_recorded
from optuna_robust._instances.trials import LOSSES
from optuna_robust._instances.trials import oriented_losses
from optuna_robust._instances.trials import total_violation
from optuna_robust._search.sampler._view import is_to_begin


if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Sequence

    from optuna.distributions import BaseDistribution


# A model whose trainings were interrupted, or failed, so often in a row is taken to be the reason.
_MOST_ATTEMPTS = 3


@dataclass(eq=False)
class Model:
    """What is known of one model.

    Attributes:
        first: The trial that the model began with.
        latest: The finished trial with all its instances so far; until there is one, the last
            that was to train it.
        losses: Oriented losses by instance number.
        n_instances: Instances that were trained, dropped ones too.
        running: Numbers of the trials that train it now.
        stopped: Whether it shall not be trained on.
        n_interruptions: How often its next training was interrupted.
        n_failures: How many trials that went on with it have failed, in a row.
        violation: Total violation of the constraints; 0 = feasible.
    """

    first: FrozenTrial
    latest: FrozenTrial
    losses: dict[int, float] = field(default_factory=dict)
    n_instances: int = 0
    running: set[int] = field(default_factory=set)
    stopped: bool = False
    n_interruptions: int = 0
    n_failures: int = 0
    violation: float = 0.0

    @property
    def number(self) -> int:
        """Number of the trial that the model began with."""
        return self.first.number

    @property
    def is_free(self) -> bool:
        """Whether another trial may train it."""
        is_begun = self.n_instances > 0 or self.is_interrupted
        return self.may_go_on and not self.running and is_begun

    @property
    def may_go_on(self) -> bool:
        """Whether it is not given up."""
        return not self.stopped and max(self.n_interruptions, self.n_failures) < _MOST_ATTEMPTS

    @property
    def is_interrupted(self) -> bool:
        """Whether it has no instance since its training was interrupted."""
        return self.n_instances == 0 and self.n_interruptions > 0


class StudyModels:
    """The models of a study, read from its trials one by one.

    A trial that goes on with another one belongs to that one's model, and so does one with its
    hyperparameters. A FAIL trial is no model, unless it was interrupted: then its model can be
    trained again.

    Args:
        sign:
            -1 if losses are turned round to be minimised, else 1.
    """

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._n_read = 0
        self._unfinished: list[int] = []
        self._of_trial: dict[int, Model] = {}
        self._of_params: dict[str, Model] = {}
        self._of_number: dict[int, Model] = {}
        self._shapes: set[frozenset[str]] = set()
        self._running: set[int] = set()
        # Trials that are no model, or one of which nothing is known yet, by number.
        self.without_losses: dict[int, FrozenTrial] = {}
        self.changed: dict[int, Model] = {}  # models that have had more losses, by number
        self.n_barren = 0

    @property
    def all(self) -> list[Model]:
        """All models, in the order in which they began."""
        return list(self._of_number.values())

    def unfinished(self, trials: Sequence[FrozenTrial]) -> list[int]:
        """Return the positions of trials that were not finished when they were last read."""
        return [*self._unfinished, *range(self._n_read, len(trials))]

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Read what is new in all trials of the study."""
        positions = self.unfinished(trials)
        self._n_read = len(trials)
        self._unfinished = []
        for position in positions:
            trial = trials[position]
            if not trial.state.is_finished():
                self._unfinished.append(position)
            if trial.state == TrialState.WAITING:
                self.without_losses[trial.number] = trial
            else:
                self._read(trial, trials)

    def with_params(
        self, params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
    ) -> Model | None:
        """Return the model with just these hyperparameters; None if it has no instance.

        Args:
            params:
                The hyperparameters. Equal values, such as the 2.0 that was enqueued for an
                integer, are the same.
            distributions:
                What they were suggested from.
        """
        return self._of_params.get(_key(params, distributions))

    def is_begun(self, trial: FrozenTrial) -> Model | None:
        """Return the model that an earlier trial has begun with a trial's hyperparameters.

        These may not be all yet. So models are compared only if finished ones have
        hyperparameters of these names.
        """
        if frozenset(trial.params) not in self._shapes:
            return None
        key = _key(trial.params, trial.distributions)
        for model in self._of_number.values():
            if model.number < trial.number and model.running and model.n_instances == 0:
                first = model.first
                if _key(first.params, first.distributions) == key:
                    return model
        return None

    def n_running(self) -> int:
        """Return how many trials are running."""
        return len(self._running)

    def _read(self, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> None:
        model = self._model_of(trial, trials)
        model.running.discard(trial.number)
        self._running.discard(trial.number)
        if trial.number == model.number:
            model.first = trial
        if trial.state == TrialState.RUNNING:
            model.running.add(trial.number)
            self._running.add(trial.number)
        elif trial.state == TrialState.FAIL:
            model.n_interruptions += INTERRUPTED in trial.user_attrs and is_to_begin(trial)
            # An objective whose next instance raises would raise again.
            model.n_failures += INTERRUPTED not in trial.user_attrs and model.n_instances > 0
            if model.n_instances == 0 and len(trial.params) >= len(model.latest.params):
                model.latest = trial
        else:
            self._take(model, trial)
        if self._of_number.get(trial.number) is model and not model.losses:
            self.without_losses[trial.number] = trial
        else:
            self.without_losses.pop(trial.number, None)

    def _model_of(self, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> Model:
        """Return the model of a trial, which may be a new one."""
        continued = trial.user_attrs.get(CONTINUES)
        if continued is not None and continued not in self._of_trial and continued < len(trials):
            self._read(trials[continued], trials)  # a later one that was quicker
        before = self._of_trial.get(trial.number)
        model = self._of_number.get(trial.number)
        if continued is not None:
            model = self._of_trial.get(continued)  # none if trials were copied in part
        if before is not None and before is not model:
            # It has gone on with a known model since, or left that to a quicker trial.
            before.running.discard(trial.number)
            if before.number == trial.number:
                del self._of_number[trial.number]
        if model is None:
            model = self._of_number[trial.number] = Model(trial, trial)
        self._of_trial[trial.number] = model
        return model

    def _take(self, model: Model, trial: FrozenTrial) -> None:
        losses, n_instances = _losses_of(trial, self._sign)
        if n_instances == 0:  # another trial was training the model that was suggested
            self.n_barren += trial.user_attrs.get(CONTINUES) is not None
            return
        model = self._only_one(model, trial)
        model.stopped |= is_given_up(trial)
        if n_instances <= model.n_instances:
            self.n_barren += model.latest.number != trial.number  # which may be read twice
            return
        self.n_barren = 0
        self.changed[model.number] = model
        model.latest, model.losses, model.n_instances = trial, losses, n_instances
        model.n_interruptions = model.n_failures = 0
        model.violation = total_violation(trial)

    def _only_one(self, model: Model, trial: FrozenTrial) -> Model:
        """Return a trial's model, or that of other trials with the same hyperparameters."""
        self._shapes.add(frozenset(trial.params))
        known = self._of_params.setdefault(_key(trial.params, trial.distributions), model)
        if known is not model and model.n_instances == 0 and model.number == trial.number:
            del self._of_number[model.number]
            self._of_trial[trial.number] = known
            return known
        return model


def _key(params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> str:
    canonical = {name: _canonical(distributions[name], value) for name, value in params.items()}
    return repr(sorted(canonical.items()))


def _canonical(distribution: BaseDistribution, value: Any) -> Any:
    internal = distribution.to_internal_repr(value)
    if isinstance(distribution, CategoricalDistribution):
        return internal  # choices need not be JSON, and a database gives back tuples as lists
    return distribution.to_external_repr(internal)


def _losses_of(trial: FrozenTrial, sign: int) -> tuple[dict[int, float], int]:
    """Return a finished trial's oriented losses and the number of its instances.

    A COMPLETE trial of an ordinary objective was trained once: its value is that of instance 0.
    """
    if is_recorded(trial):
        return oriented_losses(trial, sign), len(whole(trial.user_attrs, LOSSES))
    if trial.state != TrialState.COMPLETE or len(trial.values) != 1:
        return {}, 0
    value = trial.values[0]
    return {0: sign * value if math.isfinite(value) else math.inf}, 1
