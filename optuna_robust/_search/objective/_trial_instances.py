"""The instances of one trial, trained in order, when its model is not known before."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import Protocol
from typing import TYPE_CHECKING

from optuna.pruners import NopPruner

from optuna_robust._instances.evaluation import canonical_params
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import ModelKnown
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._instances.evaluation import StudyView
from optuna_robust._instances.long_attributes import PREFIX


if TYPE_CHECKING:
    from optuna.trial import Trial

    from optuna_robust._instances.evaluation import EpochPruning
    from optuna_robust._instances.instance import Instance
    from optuna_robust._instances.trained import Trained
    from optuna_robust._running.parallel import InstancePool


class Train(Protocol):
    """Trains instances of a trial's model in this process."""

    def __call__(
        self,
        instances: Sequence[Instance],
        is_known: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> list[Outcome]:
        """Return what came of each; ModelKnown is raised as ``is_known`` tells."""


@dataclass(frozen=True)
class TrialInstances:
    """The instances of one trial; iterating trains them.

    The first ones are trained in this process, since they ask the sampler for the model.

    Args:
        trial:
            The study's.
        instances:
            All that the trial may get.
        pool:
            Trains those after the first, and knows those that are there.
        train:
            Trains the first.
        per_call:
            Instances of a call of the objective, if it takes several; None: as many as are
            decided on together.
        may_be_known:
            Whether the pool may know instances of the model.
        epochs:
            How they are pruned by their epochs; None: they are not.
    """

    trial: Trial
    instances: Sequence[Instance]
    pool: InstancePool
    train: Train
    per_call: int | None
    may_be_known: bool
    epochs: EpochPruning | None = None

    def __iter__(self) -> Iterator[Trained]:
        """Yield instances in order."""
        attrs = self.trial.user_attrs
        given = {name: attrs[name] for name in attrs if not name.startswith(PREFIX)}
        n_first = 0
        for trained in self._first(self.instances[: self._n_together(0)]):
            n_first += 1
            yield trained
        study, distributions = StudyView.of(self.trial.study), self.trial.distributions
        params, number = trained.job.params, self.trial.number
        jobs = [
            Job(
                params,
                instance,
                number,
                study,
                given,
                distributions,
                any_range=True,
                epochs=self.epochs,
            )
            for instance in self.instances[n_first:]
        ]
        for position, job in enumerate(jobs):
            n_together = self._n_together(n_first + position)
            yield from self.pool.train([job], jobs[position + 1 : position + n_together])

    def _n_together(self, n_done: int) -> int:
        """Return how many instances may be trained at a time, after so many."""
        if not self.pool.trains_together:
            return self.pool.width if n_done else 1
        if self.per_call is not None:
            return self.per_call
        if type(self.trial.study.pruner) is NopPruner:
            return len(self.instances)
        # A pruner is asked after each; halving, the default, decides at 1, 2, 4, 8, …
        return max(1, n_done)

    def _first(self, instances: Sequence[Instance]) -> Iterator[Trained]:
        """Yield the first instances, when nobody knows the model yet."""
        if not self.may_be_known:
            yield from self._add(instances, self.train(instances))
            return
        found = self._known(self._params())  # a trial that goes on has its model
        if found is not None:
            yield found
            return
        seen: list[Trained] = []

        def is_known(params: Mapping[str, Any]) -> bool:
            seen.extend(filter(None, [self._known(params)]))
            return bool(seen)

        try:
            outcomes = self.train(instances, is_known)
        except ModelKnown:
            yield seen[0]
        else:
            yield from self._add(instances, outcomes)

    def _params(self) -> dict[str, Any]:
        """Return the trial's model, whose values may have been enqueued in another form."""
        return canonical_params(self.trial.params, self.trial.distributions)

    def _known(self, params: Mapping[str, Any]) -> Trained | None:
        job = Job(params, self.instances[0], self.trial.number, epochs=self.epochs)
        return self.pool.known(job)

    def _add(
        self, instances: Sequence[Instance], outcomes: Sequence[Outcome]
    ) -> Iterator[Trained]:
        params, number = self._params(), self.trial.number
        jobs = [Job(params, each, number, epochs=self.epochs) for each in instances]
        return self.pool.add(jobs, outcomes)
