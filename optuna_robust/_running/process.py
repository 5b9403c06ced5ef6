"""Processes as others see them: who is working, and whether it is still alive."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
import os
from pathlib import Path
import socket
import sys


# Start times of processes are compared to within so many seconds: clocks are adjusted.
_SAME_START = 1.0
_BOOT = " boot:"


@dataclass(frozen=True)
class Process:
    """A process: process ids are given again, so that its start time belongs to it.

    Attributes:
        host: Name of the machine, of the container that numbers its processes apart, and of the
            machine's boot, where there are such names.
        pid: Process id.
        started: Start time, seconds since the boot on Linux, where a clock that is set must not
            make all processes look dead; elsewhere since the epoch.
    """

    host: str
    pid: int
    started: float

    @property
    def is_local(self) -> bool:
        """Return True if it runs, or ran, where this process runs."""
        return self.host.partition(_BOOT)[0] == _host().partition(_BOOT)[0]

    def is_alive(self) -> bool:
        """Return True if a local process is still running.

        Raises:
            ValueError: If it is not local.
        """
        if not self.is_local:
            raise ValueError(f"Process {self.pid} ran on {self.host}, not on {_host()}.")
        if self.host != _host():
            return False  # it ran before the machine was booted
        started = _start_time(self.pid)
        return started is not None and abs(started - self.started) <= _SAME_START


def this_process() -> Process:
    """Return the process that asks."""
    return _process(os.getpid())


@cache
def _process(pid: int) -> Process:
    started = _start_time(pid)
    assert started is not None
    return Process(_host(), pid, started)


def _start_time(pid: int) -> float | None:
    """Return when a process started; None if there is none, or only its exit status is left."""
    if sys.platform == "linux":
        try:
            told = Path(f"/proc/{pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The second field, a name in parentheses, may have blanks and parentheses in it.
        state, *others = told.rpartition(b")")[2].split()
        return None if state in {b"Z", b"X"} else int(others[18]) / os.sysconf("SC_CLK_TCK")
    import psutil  # noqa: PLC0415

    try:
        process = psutil.Process(pid)
        started: float = process.create_time()
        gone = process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return None if gone else started


@cache
def _host() -> str:
    name = socket.gethostname()
    namespace = Path("/proc/self/ns/pid")
    if namespace.is_symlink():
        name += f" {namespace.readlink()}"
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{name}{_BOOT}{boot.read_text().strip()}" if boot.is_file() else name
