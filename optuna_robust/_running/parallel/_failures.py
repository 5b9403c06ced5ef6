"""Failures: whether they are raised or are the models', and which of them are shown."""

from __future__ import annotations

from collections.abc import Callable
import threading
from typing import TYPE_CHECKING
import warnings

from optuna_robust._base.log import logger


if TYPE_CHECKING:
    from optuna_robust._instances.evaluation import Job
    from optuna_robust._instances.evaluation import Outcome
    from optuna_robust._instances.trained import Trained


# The failure that is raised in a run that goes on, if none of its instances succeeds before.
_PATIENCE = 10


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
        self._n_tolerated = 0
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

    def count_tolerated(self) -> int:
        """Count a failure that is not raised, before the first success; return which it is."""
        with self._lock:
            self._n_tolerated += 1
            return self._n_tolerated

    def show(self, trained: Trained) -> None:
        """Log a failure, if it is the first of its kind."""
        outcome, fault = trained.outcome, trained.outcome.fault
        kind = str(outcome.kind), "" if fault is None else fault.path
        with self._lock:
            if kind in self._shown:
                return
            self._shown.add(kind)
        shown = "" if fault is None else f"\n{fault.traceback.rstrip()}"
        logger.warning(
            f"{_described(trained)} It counts as a failure of the model (on_failure). More of "
            f"this kind are counted in reports, but not shown.{shown}"
        )


class FailurePolicy:
    """Says which failures are raised: in general, those that no model is to blame for.

    Args:
        run:
            What the run knows of its failures.
        raise_all:
            Raise every failure.
        goes_on:
            Whether the run goes on with an earlier one, in which instances have succeeded. Then
            its first failures are not raised: they may be the models'.
        train_here:
            Trains an instance in this process, if workers train the others.
    """

    def __init__(
        self,
        run: RunFailures,
        *,
        raise_all: bool,
        goes_on: bool,
        train_here: Callable[[Job], Outcome] | None,
    ) -> None:
        self._run = run
        self._raise_all = raise_all
        self._patience = _PATIENCE if goes_on else 1
        self._train_here = train_here

    def may_raise(self, outcome: Outcome) -> bool:
        """Return True if an outcome is a failure that may have to be raised."""
        if outcome.failure is None or outcome.pruned:
            return False
        if self._raise_all or _is_programming_error(outcome):
            return True
        return outcome.error is not None and not self._run.may_be_the_models(outcome)

    def succeed(self, outcome: Outcome) -> bool:
        """Take note of an instance that succeeded; return True if it is the first of its kind."""
        if self._run.may_be_the_models(outcome):
            return False
        self._run.succeed(outcome)
        return True

    def check(self, trained: Trained) -> bool:
        """Raise a failure, or show it if it is the model's.

        Returns:
            Whether it was not known before that it is the model's.

        Raises:
            Exception: What the objective raised.
        """
        outcome = trained.outcome
        if outcome.pruned or (trained.reused and not self._raise_all):
            return False
        if self._raise_all or _is_programming_error(outcome):
            raise outcome.error or ValueError(_described(trained))
        proved = False
        if self.may_raise(outcome):
            if outcome.fault is not None and self._run.here and self._train_here is not None:
                self._check_worker(trained, self._train_here)
                proved = True
            else:
                self._tolerate(trained)
        self._run.show(trained)
        return proved

    @staticmethod
    def _check_worker(trained: Trained, train_here: Callable[[Job], Outcome]) -> None:
        """Raise the failure of a worker before its first success, unless this process has it."""
        error = trained.outcome.error
        if error is not None and train_here(trained.job).failure is None:
            error.add_note(
                f"{_described(trained)} This process trains it without a failure, and no worker "
                "has succeeded yet: the workers lack something, such as a file, a module, memory "
                "or a device."
            )
            raise error

    def _tolerate(self, trained: Trained) -> None:
        """Raise a failure before the first success, unless a run that goes on may have some."""
        if self._run.count_tolerated() >= self._patience:
            raise trained.outcome.error or ValueError(_described(trained))
        warnings.warn(
            f"{_described(trained)} Nothing has succeeded in this run yet: if the objective was "
            "changed since the last one, stop and fix it.",
            stacklevel=2,
        )


def _is_programming_error(outcome: Outcome) -> bool:
    return outcome.fault is not None and outcome.fault.is_programming_error


def _described(trained: Trained) -> str:
    job = trained.job
    return (
        f"Instance {job.instance.number} of trial {job.number}, {dict(job.params)}: "
        f"{trained.outcome.failure}."
    )
