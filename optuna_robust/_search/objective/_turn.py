"""A turn of a robust search: the instances that one trial trains, and those that it takes over."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial
from typing import Any
from typing import Protocol
from typing import TYPE_CHECKING

from optuna.exceptions import TrialPruned
from optuna.trial import TrialState

from optuna_robust._base.wording import counted
from optuna_robust._instances import trials
from optuna_robust._running.process import this_process


if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial

    from optuna_robust._instances.evaluation import Outcome
    from optuna_robust._instances.instance import Instance
    from optuna_robust._search.objective._trial_instances import Train
    from optuna_robust._search.objective._trial_run import TrialRun
    from optuna_robust._search.sampler import Known
    from optuna_robust._search.sampler import RobustnessSampler


class TrainUpTo(Protocol):
    """Trains a trial's instances, and takes each into the trial's account."""

    def __call__(self, upto: int, train: Train) -> Iterator[None]:
        """Train those from the next one up to a number, with what trains in this process."""


class _SuggestedAgain(BaseException):  # like GeneratorExit, no error, and not caught
    """Ends an objective whose suggestions make up a known model.

    Attributes:
        known: That model.
    """

    def __init__(self, known: Known) -> None:
        self.known = known


def take_turn(
    run: TrialRun,
    sampler: RobustnessSampler,
    *,
    n_instances: int,
    per_turn: int,
    train: Train,
    train_up_to: TrainUpTo,
) -> None:
    """Train the next instances of a trial's model, of a new one the first.

    Args:
        run:
            The trial's account.
        sampler:
            Knows which model the trial goes on with.
        n_instances:
            Most instances of a model.
        per_turn:
            How many are trained.
        train:
            Trains in this process.
        train_up_to:
            Trains and takes instances into account.

    Raises:
        optuna.TrialPruned: If the model does not have all its instances then.
        ValueError: If the objective does not suggest the hyperparameters of its earlier instances.
    """
    trial = run.trial
    if trials.PROCESS not in trial.user_attrs:  # the sampler did not know yet what this is
        trial.set_user_attr(trials.PROCESS, list(vars(this_process()).values()))

    def train_some(train: Train) -> None:
        _train_some(run, min(run.n_instances + per_turn, n_instances), train, train_up_to)

    earlier = sampler.continued_trial(trial.study, trial.number)
    try:
        if earlier is None:
            train_some(_train_new(sampler, trial, train))
        else:
            run.take_over(earlier)
            train_some(train)
            _check_same(trial, earlier)
    except _SuggestedAgain as again:
        run.take_over(again.known.trial)
        if trials.is_given_up(again.known.trial):
            run.stop(again.known.trial.user_attrs[trials.STOPPED])
        if again.known.may_go_on:
            train_some(train)
            _check_same(trial, again.known.trial)
    if run.n_instances < n_instances:
        raise TrialPruned(f"{run.n_instances} of {n_instances} instances are trained.")


def _check_same(trial: Trial, earlier: FrozenTrial) -> None:
    """Check that a model's instances are all of the same hyperparameters.

    Raises:
        ValueError: If the objective has come to suggest others.
    """
    new = sorted(trial.params.keys() - earlier.params.keys())
    if new and earlier.state != TrialState.FAIL:  # which may have ended before it suggested all
        raise ValueError(
            f"Trial {trial.number} goes on with trial {earlier.number}, but the objective now "
            f"suggests hyperparameters that it did not suggest before: {new}. Use a new study for "
            "a new search space."
        )


def _train_some(run: TrialRun, upto: int, train: Train, train_up_to: TrainUpTo) -> None:
    if run.n_instances == upto:
        return
    try:
        for _ in train_up_to(upto, train):
            pass
    except TrialPruned as pruned:  # the model shall not go on
        run.stop(str(pruned))
    limit = run.judge.pruner
    if limit is not None and limit.exceeds_limit(run.oriented()):
        run.stop(
            f"Its spread of {counted(run.n_instances, 'instance')} exceeds the pruner's limit."
        )


def _train_new(sampler: RobustnessSampler, trial: Trial, train: Train) -> Train:
    """Return how to train the first instances of a trial, if its model is a new one.

    Raises:
        _SuggestedAgain: When called, if its model is a known one.
    """

    def train_if_new(
        instances: Sequence[Instance],
        is_known: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> list[Outcome]:
        return train(instances, partial(_is_known, sampler, trial, is_known))

    return train_if_new


def _is_known(
    sampler: RobustnessSampler,
    trial: Trial,
    is_known: Callable[[Mapping[str, Any]], bool] | None,
    params: Mapping[str, Any],
) -> bool:
    known = sampler.known(trial)
    if known is not None:
        raise _SuggestedAgain(known)
    return is_known is not None and is_known(params)
