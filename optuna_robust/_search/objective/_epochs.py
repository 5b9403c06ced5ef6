"""What the instances of a study's trials were, epoch by epoch, for an instance pruner."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from itertools import takewhile
import threading
from typing import Any
from typing import TYPE_CHECKING
import weakref

from optuna.pruners import BasePruner
from optuna.pruners import HyperbandPruner
from optuna.study import StudyDirection
from optuna.trial import TrialState

from optuna_robust._base.arguments import check_choice
from optuna_robust._instances import trials
from optuna_robust._instances.evaluation import EpochPruning
from optuna_robust._instances.evaluation import number_among_instances
from optuna_robust._instances.evaluation import PastInstance
from optuna_robust._search.model_record import ModelRecord
from optuna_robust._search.objective._judge import is_robust
from optuna_robust._search.objective._judge import unwrapped


if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial

    from optuna_robust._search.objective._judge import Judge


# An instance is compared with so many at most, of so many points in all.
_MOST_INSTANCES, _MOST_POINTS = 256, 20_000
_ON_INSTANCE_PRUNED = ("worst", "last")


class EpochHistory:
    """The instances of a study's finished trials, as they are read from the study.

    Args:
        n_instances:
            Instances of every model.
        sign:
            -1 if losses are maximised, else 1.
    """

    def __init__(self, n_instances: int, sign: int) -> None:
        self._n_instances, self._sign = n_instances, sign
        self._lock = threading.Lock()
        self._read: dict[int, int] = {}
        # By the trial that a model began with and the instance's number; the newest last.
        self._feasible: dict[tuple[int, int], PastInstance] = {}

    def past(self, study: Study) -> tuple[PastInstance, ...]:
        """Return the instances that one that begins is compared with.

        They are those of feasible models: infeasible ones stop nobody.
        """
        finished = (TrialState.COMPLETE, TrialState.PRUNED)
        with self._lock:
            for trial in study.get_trials(deepcopy=False, states=finished):
                if trial.number not in self._read:
                    self._add(trial)
            self._feasible = _newest(self._feasible)
            return tuple(self._feasible.values())

    def _add(self, trial: FrozenTrial) -> None:
        """Add the instances of a trial, which may have those of the one that it goes on with."""
        before = trial.user_attrs.get(trials.CONTINUES, trial.number)
        first = self._read[trial.number] = self._read.get(before, before)
        if trials.violation_so_far(trial) > 0.0:
            # Its earlier instances did not show it.
            for key in [key for key in self._feasible if key[0] == first]:
                del self._feasible[key]
            return
        if trials.LEARNING_CURVES not in trial.user_attrs:
            return
        for instance, past in _instances_of(trial, self._n_instances, self._sign):
            self._feasible.setdefault((first, instance), past)


def _newest(
    instances: dict[tuple[int, int], PastInstance],
) -> dict[tuple[int, int], PastInstance]:
    """Return as many of the newest instances as one is compared with."""
    newest = list(reversed(instances.items()))[:_MOST_INSTANCES]
    n_points = accumulate(len(each.curve) for _, each in newest)
    n_kept = sum(1 for _ in takewhile(lambda n: n <= _MOST_POINTS, n_points))
    return dict(reversed(newest[:n_kept]))


def _instances_of(
    trial: FrozenTrial, n_instances: int, sign: int
) -> Iterator[tuple[int, PastInstance]]:
    """Yield the instances of a trial that did not fail, by their numbers."""
    record = ModelRecord.of_trial(trial, sign)
    for instance, curve in record.curves.items():
        loss = record.losses[instance]
        if instance in record.failures or loss is None:
            continue
        yield (
            instance,
            PastInstance(
                number_among_instances(trial.number, n_instances, instance),
                curve,
                None if instance in record.pruned else float(loss),
                record.pruner_states.get(instance, {}),
            ),
        )


class InstancePruning:
    """How the instances of studies are pruned by their epochs.

    Args:
        pruner:
            The user's.
        counts_as:
            What a pruned instance counts as: ``"worst"`` or ``"last"``.

    Attributes:
        counts_as: As given.
    """

    def __init__(self, pruner: BasePruner, counts_as: str) -> None:
        self._pruner = pruner
        self.counts_as = counts_as
        self._reset()

    def of(self, trial: Trial, judge: Judge, n_instances: int) -> EpochPruning:
        """Return how the instances of a trial that begins are pruned."""
        with self._lock:
            history = self._histories.setdefault(
                trial.study, EpochHistory(n_instances, judge.sign)
            )
        return EpochPruning(
            self._pruner,
            StudyDirection.MAXIMIZE if judge.sign < 0 else StudyDirection.MINIMIZE,
            trial.number,
            n_instances,
            history.past(trial.study),
            by_number=isinstance(unwrapped(self._pruner), HyperbandPruner),
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what was read from studies: it is read again."""
        return {"_pruner": self._pruner, "counts_as": self.counts_as}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the arguments."""
        self.__dict__.update(state)
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._histories: weakref.WeakKeyDictionary[Study, EpochHistory] = (
            weakref.WeakKeyDictionary()
        )


def make_instance_pruning(
    pruner: object, on_instance_pruned: str, *, takes_several: bool
) -> InstancePruning | None:
    """Return how instances are pruned, as a user chose it; None: they are not.

    Raises:
        TypeError: If it is no pruner.
        ValueError: If it judges instances, the objective takes several of them at a time, or
            ``on_instance_pruned`` is unknown or has no effect.
    """
    check_choice("on_instance_pruned", on_instance_pruned, _ON_INSTANCE_PRUNED)
    if pruner is None:
        if on_instance_pruned != _ON_INSTANCE_PRUNED[0]:
            raise ValueError(f"{on_instance_pruned=} has no effect without an instance_pruner.")
        return None
    if not isinstance(pruner, BasePruner):
        raise TypeError(
            "instance_pruner must be an Optuna pruner, such as optuna.pruners.MedianPruner(), "
            f"but was {pruner!r}."
        )
    if is_robust(pruner):
        raise ValueError(
            "instance_pruner must judge epochs, but was a RobustnessPruner, which judges "
            "instances: give that to the study, create_study(pruner=RobustnessPruner())."
        )
    if takes_several:
        raise ValueError(
            "instance_pruner prunes one instance at a time, but the objective takes several (its "
            "parameter 'instances'), which run together."
        )
    return InstancePruning(pruner, on_instance_pruned)
