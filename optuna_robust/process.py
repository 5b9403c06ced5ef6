"""Processes as others see them: who is working, and whether it is still alive."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
import os
from pathlib import Path
import socket


# Start times of processes are compared to within so many seconds: clocks are adjusted.
_SAME_START = 1.0


@dataclass(frozen=True)
class Process:
    """A process: process ids are given again, so that its start time belongs to it.

    Attributes:
        host: Name of the machine, and of the container that numbers its processes apart.
        pid: Process id.
        started: Start time, seconds since the epoch.
    """

    host: str
    pid: int
    started: float

    @property
    def is_local(self) -> bool:
        """Tell whether it runs, or ran, where this process runs."""
        return self.host == _host()

    def is_alive(self) -> bool:
        """Tell whether a local process is still running.

        Raises:
            ValueError: If it is not local.
        """
        if not self.is_local:
            raise ValueError(f"Process {self.pid} ran on {self.host}, not on {_host()}.")
        import psutil  # noqa: PLC0415

        try:
            process = psutil.Process(self.pid)
            started = process.create_time()
            gone = process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        return not gone and abs(started - self.started) <= _SAME_START


def this_process() -> Process:
    """Return the process that asks."""
    return _process(os.getpid())


@cache
def _process(pid: int) -> Process:
    import psutil  # noqa: PLC0415

    return Process(_host(), pid, psutil.Process(pid).create_time())


@cache
def _host() -> str:
    name = socket.gethostname()
    namespace = Path("/proc/self/ns/pid")
    return f"{name} {namespace.readlink()}" if namespace.is_symlink() else name
