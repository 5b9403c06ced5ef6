"""Faults from outside: signals, servers, disks, damaged files."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
import os
from pathlib import Path
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import psutil

from benchmarks.faults.driver import Run
from benchmarks.servers import PostgreSQL


ROOT = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds; nothing takes so long unless it hangs
_DISK = "8m"
_OTHER_VERSION = 999


class NotInjectedError(RuntimeError):
    """The run ended before the fault came."""


class UnclearError(RuntimeError):
    """What a process says of a fault does not name it."""


@dataclass
class Disturbed:
    """A run that is disturbed, and started again until it ends.

    Args:
        run:
            What it does.
        folder:
            Of its files.
        rng:
            When faults come is drawn from it.
        server:
            Of the store, where that is on one.
        deaths:
            When processes were killed, seconds since the epoch, by their ids.
    """

    run: Run
    folder: Path
    rng: random.Random
    server: PostgreSQL | None = None
    deaths: dict[int, float] = field(default_factory=dict)

    def begin(self) -> subprocess.Popen[str]:
        """Start the driver in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.faults.driver", self.run.as_json()],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def finish(self, driver: subprocess.Popen[str] | None = None) -> None:
        """Have the run come to its end."""
        driver = driver or self.begin()
        _, said = driver.communicate(timeout=PATIENCE)
        if driver.returncode:
            raise UnclearError(f"It ended with status {driver.returncode}: {said[-2000:]}")
        # With the driver end its workers, whatever they train that nobody needs.
        now = time.time()
        for event in self.run.objective.events():
            self.deaths.setdefault(event.pid, now)

    def wait_for_moment(self, driver: subprocess.Popen[str]) -> None:
        """Wait for a random number of instances, and some milliseconds more.

        Raises:
            NotInjectedError: If the run ends before.
        """
        n_ended = self.rng.randrange(16)
        deadline = time.monotonic() + PATIENCE
        while sum(each.kind == "end" for each in self.run.objective.events()) < n_ended:
            if driver.poll() is not None or time.monotonic() > deadline:
                driver.communicate()
                raise NotInjectedError
            time.sleep(0.005)
        time.sleep(self.rng.uniform(0.0, 0.1))

    def kill_group(self, driver: subprocess.Popen[str], number: int) -> None:
        """Send a signal to a driver and its workers, as a terminal does, and wait for its end."""
        members = [driver.pid, *_children(driver.pid)]
        if driver.poll() is not None:
            driver.communicate()
            raise NotInjectedError
        os.killpg(driver.pid, number)
        now = time.time()
        driver.communicate(timeout=PATIENCE)
        self.deaths.update(dict.fromkeys(members, now))


def _children(pid: int) -> list[int]:
    with suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return []


def kill_worker(disturbed: Disturbed) -> None:
    """SIGKILL for a worker of a selection that trains."""
    driver = disturbed.begin()
    disturbed.wait_for_moment(driver)
    training = {each.pid for each in disturbed.run.objective.events()} & set(_children(driver.pid))
    if not training or driver.poll() is not None:
        disturbed.finish(driver)
        raise NotInjectedError
    victim = disturbed.rng.choice(sorted(training))
    disturbed.deaths[victim] = time.time()
    with suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    disturbed.finish(driver)


def kill_driver(disturbed: Disturbed) -> None:
    """SIGKILL for the driver alone: its workers end by themselves."""
    driver = disturbed.begin()
    disturbed.wait_for_moment(driver)
    members = [driver.pid, *_children(driver.pid)]
    if driver.poll() is not None:
        driver.communicate()
        raise NotInjectedError
    driver.kill()
    disturbed.deaths.update(dict.fromkeys(members, time.time()))
    driver.communicate(timeout=PATIENCE)
    disturbed.finish()


def terminate(disturbed: Disturbed) -> None:
    """SIGTERM for driver and workers, as a batch system ends a job."""
    driver = disturbed.begin()
    disturbed.wait_for_moment(driver)
    disturbed.kill_group(driver, signal.SIGTERM)
    disturbed.finish()


def interrupt(disturbed: Disturbed) -> None:
    """Ctrl-C, in any phase from the start of the process on."""
    driver = disturbed.begin()
    if disturbed.rng.random() < 0.3:
        time.sleep(disturbed.rng.uniform(0.0, 3.0))
    else:
        disturbed.wait_for_moment(driver)
    disturbed.kill_group(driver, signal.SIGINT)
    disturbed.finish()


def kill_server(disturbed: Disturbed) -> None:
    """SIGKILL for the store's server, which comes back a moment later."""
    assert disturbed.server is not None
    driver = disturbed.begin()
    disturbed.wait_for_moment(driver)
    disturbed.server.kill()
    time.sleep(disturbed.rng.uniform(0.0, 1.0))
    disturbed.server.start()
    disturbed.finish(driver)


def fill_disk(disturbed: Disturbed) -> None:
    """No space is left where the store is; later there is some again."""
    driver = disturbed.begin()
    disturbed.wait_for_moment(driver)
    filler = disturbed.folder / "disk" / "filler"
    full = time.time()
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    _, said = driver.communicate(timeout=PATIENCE)
    filler.unlink()
    if driver.returncode == 0:
        raise NotInjectedError
    # What ends from then on cannot be kept.
    pids = {each.pid for each in disturbed.run.objective.events()}
    disturbed.deaths.update(dict.fromkeys(pids, full))
    if "full" not in said and "space" not in said and "disk" not in said:
        raise UnclearError(said[-2000:])
    disturbed.finish()


def truncate_store(disturbed: Disturbed) -> None:
    """Half of the store's file is gone: it is refused, and goes on when it is put back."""
    _refused(disturbed, lambda store: os.truncate(store, store.stat().st_size // 2))


def change_version(disturbed: Disturbed) -> None:
    """The store is of another version: it is refused, and goes on when it is put back."""

    def change(store: Path) -> None:
        with sqlite3.connect(store) as connection:
            connection.execute("UPDATE optuna_robust_schema SET version = ?", (_OTHER_VERSION,))
        connection.close()

    _refused(disturbed, change)


def _refused(disturbed: Disturbed, damage: Callable[[Path], object]) -> None:
    driver = disturbed.begin()
    disturbed.wait_for_moment(driver)
    disturbed.kill_group(driver, signal.SIGINT)
    store = disturbed.folder / "disk" / "store.db"
    kept = disturbed.folder / "kept.db"
    if not store.exists() or store.stat().st_size == 0:
        raise NotInjectedError
    shutil.copy(store, kept)
    n_before = len(disturbed.run.objective.events())
    damage(store)
    driver = disturbed.begin()
    _, said = driver.communicate(timeout=PATIENCE)
    if driver.returncode == 0 or "store.db" not in said:
        raise UnclearError(f"Status {driver.returncode}: {said[-2000:]}")
    if len(disturbed.run.objective.events()) > n_before:
        raise UnclearError("It trained before it refused the store.")
    for journal in store.parent.glob("store.db-*"):
        journal.unlink()
    shutil.copy(kept, store)
    disturbed.finish()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a small disk of memory on ``folder/disk``.

    Raises:
        PermissionError: If this user may not.
    """
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(folder / "disk")],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        raise PermissionError(mounted.stderr.strip())
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder / "disk")], check=False)


OUTSIDE: dict[str, Callable[[Disturbed], None]] = {
    "worker killed": kill_worker,
    "driver killed": kill_driver,
    "SIGTERM": terminate,
    "Ctrl-C": interrupt,
    "server killed": kill_server,
    "disk full": fill_disk,
    "store truncated": truncate_store,
    "store of another version": change_version,
}
