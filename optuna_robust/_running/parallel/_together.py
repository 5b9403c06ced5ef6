"""Several instances of a model with one call of the objective, in this process."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import groupby

from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Outcome


class Together:
    """Trains instances of a model together, when all are submitted.

    Args:
        evaluate:
            Trains instances of one model.
    """

    # The objective decides how many are trained at a time, since it knows what for.
    width = 1_000_000

    def __init__(self, evaluate: Callable[[Sequence[Job]], Sequence[Outcome]]) -> None:
        self._evaluate = evaluate
        self._submitted: list[tuple[Job, Future[Outcome]]] = []

    def submit(self, job: Job) -> Future[Outcome]:
        """Have an instance trained with others, by :meth:`begin`."""
        future: Future[Outcome] = Future()
        self._submitted.append((job, future))
        return future

    def begin(self) -> None:
        """Train what was submitted; whatever is raised is raised here."""
        submitted, self._submitted = self._submitted, []
        for _, of_one_model in groupby(submitted, key=lambda each: each[0].number):
            jobs, futures = zip(*of_one_model, strict=True)
            for future, outcome in zip(futures, self._evaluate(jobs), strict=True):
                future.set_result(outcome)

    def close(self) -> None:
        """There is nothing to stop."""
