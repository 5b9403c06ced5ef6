"""What one run knows of its failures: whether they are the models', and which were shown."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from optuna_robust.log import logger


if TYPE_CHECKING:
    from optuna_robust.evaluation import Job
    from optuna_robust.evaluation import Outcome


class RunFailures:
    """What a study, a selection or a confirmation knows of its failures.

    Workers may lack what this process has, such as files, memory or a module: their failures are
    the models' once a worker has succeeded, those of this process once it has.

    Attributes:
        here: Whether an instance has succeeded in this process.
        in_workers: Whether one has succeeded in a worker.
    """

    def __init__(self) -> None:
        self.here = False
        self.in_workers = False
        self._shown: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def may_be_the_models(self, outcome: Outcome) -> bool:
        """Return True if instances have succeeded where this one failed."""
        return self.in_workers if outcome.in_worker else self.here

    def succeed(self, outcome: Outcome) -> None:
        """Take note of an instance that succeeded."""
        if outcome.in_worker:
            self.in_workers = True
        else:
            self.here = True

    def show(self, job: Job, outcome: Outcome) -> None:
        """Log a failure, if it is the first of its kind."""
        fault = outcome.fault
        kind = str(outcome.kind), "" if fault is None else fault.path
        with self._lock:
            if kind in self._shown:
                return
            self._shown.add(kind)
        shown = "" if fault is None else f"\n{fault.traceback.rstrip()}"
        logger.warning(
            f"{described(job, outcome)} It counts as a failure of the model (on_failure). More of "
            f"this kind are counted in reports, but not shown.{shown}"
        )


def is_programming_error(outcome: Outcome) -> bool:
    """Return True if an instance failed of a mistake in the objective, not of its model."""
    return outcome.fault is not None and outcome.fault.is_programming_error


def described(job: Job, outcome: Outcome) -> str:
    """Return a sentence on an instance that failed."""
    return (
        f"Instance {job.instance.number} of trial {job.number}, {dict(job.params)}: "
        f"{outcome.failure}."
    )
