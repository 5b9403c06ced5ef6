"""An objective that writes down what it trains, and misbehaves once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import json
import multiprocessing
import os
from pathlib import Path
import random
import resource
import sys
import time
from typing import NamedTuple

import numpy as np
import optuna

import optuna_robust as opr


N_MODELS = 12
N_INSTANCES = 6
INSTANCE_TIMEOUT = 1.0  # seconds, where an instance hangs
_TRAINING = 0.1  # seconds
Trained = tuple[int, int]


class Event(NamedTuple):
    """An instance began, misbehaved, or came to its end.

    Args:
        kind:
            ``"begin"``, ``"end"`` or ``"fault"``.
        instance:
            Model and number.
        at:
            Seconds since the epoch.
        pid:
            The process.
    """

    kind: str
    instance: Trained
    at: float
    pid: int


@dataclass(frozen=True)
class Objective:
    """Trains for a moment.

    Args:
        path:
            Of the log.
        misdeed:
            One of the ``MISDEEDS``, or None.
        after:
            It is done by the instance that is the so-manieth to begin, once in all.
        raises:
            An instance that raises, which is what is expected of one that is ended.
    """

    path: str
    misdeed: str | None = None
    after: int = 0
    raises: Trained | None = None

    def __call__(self, trial: optuna.Trial, instance: opr.Instance) -> float:
        """Train an instance."""
        trained = trial.suggest_int("model", 0, N_MODELS - 1), instance.number
        self._write("begin", trained)
        if self.misdeed is not None and self._is_my_turn():
            self._write("fault", trained)
            MISDEEDS[self.misdeed]()
        if trained == self.raises:
            raise RuntimeError("as expected")
        time.sleep(_TRAINING)
        loss = 0.05 * trained[0] + 0.3 * float(instance.rng.normal())
        self._write("end", trained)
        return loss

    def events(self) -> list[Event]:
        """Return what was written; a line without its end is being written."""
        if not Path(self.path).exists():
            return []
        lines = Path(self.path).read_text().split("\n")[:-1]
        return [
            Event(kind, (model, number), at, pid)
            for kind, model, number, at, pid in map(json.loads, lines)
        ]

    def _is_my_turn(self) -> bool:
        if sum(each.kind == "begin" for each in self.events()) < self.after:
            return False
        try:
            os.close(os.open(f"{self.path}.done", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def _write(self, kind: str, instance: Trained) -> None:
        """Add a line, by one system call: the process may be killed at any moment."""
        line = json.dumps([kind, *instance, time.time(), os.getpid()]) + "\n"
        log = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(log, line.encode())
        finally:
            os.close(log)


def _exit() -> None:
    os._exit(1)


def _hang() -> None:
    time.sleep(3600)


def _leak() -> None:
    """Take memory until there is no more, within a limit as the documentation has it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, hard))
    kept = []
    try:
        while True:
            kept.append(bytearray(2**24))
    finally:
        kept.clear()
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _fork() -> None:
    if os.fork() == 0:
        time.sleep(0.2)
        os._exit(0)


def _print_garbage() -> None:
    for stream in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.write(stream, bytes(range(256)) * 40)


def _change_seeds() -> None:
    random.seed(0)
    np.random.seed(0)


def _change_threads() -> None:
    os.environ["OMP_NUM_THREADS"] = "7"
    os.environ["OPENBLAS_NUM_THREADS"] = "7"
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _start_processes() -> None:
    for _ in range(2):
        child = multiprocessing.Process(target=time.sleep, args=(0.05,))
        child.start()
        child.join()


MISDEEDS: dict[str, Callable[[], None]] = {
    "os._exit": _exit,
    "hangs": _hang,
    "leaks memory": _leak,
    "forks": _fork,
    "prints garbage": _print_garbage,
    "changes seeds": _change_seeds,
    "changes threads": _change_threads,
    "starts processes": _start_processes,
}
# An instance that does so has failed.
FAILING = ("hangs", "leaks memory")
