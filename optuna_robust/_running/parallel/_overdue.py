"""Worker processes that do not come back: where no alarm reaches an instance whose time is up."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import InvalidStateError
import threading

from optuna_robust._instances.evaluation import Outcome


# After so many times its limit, and what a process takes to start, seconds.
_TIMES, _STARTING = 2.0, 30.0


def unless_overdue(
    begun: Future[Outcome], limit: float, end_process: Callable[[], None]
) -> Future[Outcome]:
    """Return what comes of an instance, or that it failed when its process had to be ended.

    Args:
        begun:
            The instance.
        limit:
            Of its time, seconds, after which an alarm should have ended it.
        end_process:
            Ends its process.
    """
    outcome: Future[Outcome] = Future()
    outcome.set_running_or_notify_cancel()
    seconds = _TIMES * limit + _STARTING

    def end() -> None:
        failure = f"its worker process was ended, which had not come back for {seconds:g} s"
        error = TimeoutError(failure)
        failed = Outcome(None, f"TimeoutError: {failure}", seconds=seconds, error=error)
        try:
            outcome.set_result(failed)
        except InvalidStateError:  # it has come back just now
            return
        end_process()

    timer = threading.Timer(seconds, end)
    timer.daemon = True

    def pass_on(done: Future[Outcome]) -> None:
        timer.cancel()
        try:
            raised = done.exception()
            if raised is None:
                outcome.set_result(done.result())
            else:
                outcome.set_exception(raised)
        except InvalidStateError:  # its process has just been ended
            return

    timer.start()
    begun.add_done_callback(pass_on)
    return outcome
