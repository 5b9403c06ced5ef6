"""What objectives did in whatever process, from a log that they append to themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
import itertools
import os
from pathlib import Path
import subprocess
import sys
import threading
import time
from typing import TypeVar

import optuna
import psutil

from optuna_robust import Instance


ROOT = Path(__file__).parent.parent
# No wait of these tests lasts so long unless something hangs, seconds.
PATIENCE = 120.0

# A result takes so long at most from the end of an instance to the database, and a worker so long
# to begin what it was sent before its driver was killed, seconds. It is milliseconds if the
# machine has nothing else to do.
MARGIN = 1.0
# Model and number of an instance.
Trained = tuple[int, int]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Event:
    """An objective began, or came to its end."""

    kind: str
    instance: Trained
    time: float
    pid: int


@dataclass(frozen=True)
class Logged:
    """An objective that logs what it begins and what it ends.

    Attributes:
        path: The log.
        seconds: How long an instance takes on average; some take several times as long as others.
    """

    path: str
    seconds: float = 0.0

    def __call__(self, trial: optuna.Trial, instance: Instance) -> float:
        model = trial.suggest_int("model", 0, 99)
        self.write("begin", model, instance.number)
        time.sleep(self.seconds * (1 + (7 * model + 3 * instance.number) % 5) / 3)
        loss = 0.05 * model + 0.3 * float(instance.rng.normal())
        self.write("end", model, instance.number)
        return loss

    def write(self, kind: str, model: int, number: int) -> None:
        """Add a line, by one system call, since the process may be killed at any moment."""
        line = f"{kind} {model} {number} {time.time()} {os.getpid()}\n"
        log = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(log, line.encode())
        finally:
            os.close(log)

    def events(self) -> list[Event]:
        """Return what was logged so far."""
        if not Path(self.path).exists():
            return []
        # A line without its end is still being written.
        lines = [line.split() for line in Path(self.path).read_text().split("\n")[:-1]]
        return [
            Event(kind, (int(model), int(number)), float(at), int(pid))
            for kind, model, number, at, pid in lines
        ]

    def count(self, kind: str) -> Counter[Trained]:
        """Return how often each instance was begun, or ended."""
        return Counter(event.instance for event in self.events() if event.kind == kind)

    def running(self) -> list[Event]:
        """Return the beginnings of what has not ended; its process may be dead."""
        begun: dict[tuple[int, Trained], Event] = {}
        for event in self.events():
            if event.kind == "begin":
                begun[event.pid, event.instance] = event
            else:
                begun.pop((event.pid, event.instance), None)
        return list(begun.values())


def begin_script(script: str, *args: object) -> subprocess.Popen[str]:
    """Run a Python script in a process group of its own."""
    guard = (
        f"import faulthandler; faulthandler.dump_traceback_later({PATIENCE}, exit=True)\n"
        # Whoever is started in the background ignores it, and so do its children.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", guard + script, *map(str, args)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_script(script: str, *args: object) -> str:
    """Run a Python script to its end, and return what it printed."""
    with begin_script(script, *args) as process:
        printed, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    return printed


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def is_running(pid: int) -> bool:
    """Return True if a process runs; one is gone even if nobody asked for its exit status."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_end(*pids: int) -> None:
    """Wait until processes are gone."""
    wait_until(lambda: not any(map(is_running, pids)))


def assert_only_the_killed_were_trained_again(log: Logged, kills: Sequence[float]) -> None:
    """Whatever was begun again was running at a kill, or had ended just before it."""
    by_instance: dict[tuple[int, int], list[Event]] = {}
    for event in log.events():
        by_instance.setdefault(event.instance, []).append(event)
    for events in by_instance.values():
        begun = [event for event in events if event.kind == "begin"]
        ended = {event.pid: event.time for event in events if event.kind == "end"}
        for first, again in itertools.pairwise(begun):
            until = ended.get(first.pid, again.time)
            assert any(first.time - MARGIN <= kill <= until + MARGIN for kill in kills), events


def in_time(function: Callable[[], Result]) -> Result:
    """Return what a function returns, or fail if it hangs."""
    found: Future[Result] = Future()

    def run() -> None:
        try:
            found.set_result(function())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return found.result(timeout=PATIENCE)
