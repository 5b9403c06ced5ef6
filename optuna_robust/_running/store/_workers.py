"""Who is working on a store: workers say that they are alive, and see who is not."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Any
from typing import TYPE_CHECKING
import uuid
import weakref

import sqlalchemy as sa

from optuna_robust._running.process import Process
from optuna_robust._running.process import this_process
from optuna_robust._running.store._schema import workers


if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger(__name__)

# A worker renews its lease so many times before it would end.
_RENEWALS = 3


def register(connection: sa.Connection, lease: float) -> str:
    """Enter this process as a worker; returns the worker's id."""
    process = this_process()
    worker_id = uuid.uuid4().hex
    connection.execute(
        sa.insert(workers).values(
            id=worker_id,
            host=process.host,
            pid=process.pid,
            started=process.started,
            expires=time.time() + lease,
        )
    )
    return worker_id


def renew(connection: sa.Connection, worker_id: str, lease: float) -> None:
    """Say that a worker is alive."""
    connection.execute(
        sa.update(workers).where(workers.c.id == worker_id).values(expires=time.time() + lease)
    )


def dead_workers(connection: sa.Connection, ids: set[str]) -> set[str]:
    """Return which workers are dead.

    A worker of this machine is dead if its process is gone; of others that is not known, and they
    are dead when they have not renewed their lease in time.
    """
    if not ids:
        return set()
    rows = connection.execute(sa.select(workers).where(workers.c.id.in_(sorted(ids)))).all()
    return {row.id for row in rows if not _is_alive(row)}


def _is_alive(row: sa.Row[Any]) -> bool:
    process = Process(row.host, row.pid, row.started)
    if process.is_local:
        return process.is_alive()
    return bool(row.expires > time.time())


class Heartbeat:
    """A thread that renews a worker's lease for as long as its owner lives.

    Args:
        renewal:
            Renews the lease; a bound method, whose object is held weakly.
        lease:
            Seconds that a lease lasts.
    """

    def __init__(self, renewal: Callable[[], None], lease: float) -> None:
        self._stopped = threading.Event()
        self._renewal = weakref.WeakMethod(renewal)
        self._interval = min(lease / _RENEWALS, threading.TIMEOUT_MAX)
        threading.Thread(target=self._run, name="optuna_robust-heartbeat", daemon=True).start()

    def stop(self) -> None:
        """End the thread at its next turn."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            renewal = self._renewal()
            if renewal is None:
                return
            try:
                renewal()
            except Exception as error:  # the database may be back for the next renewal
                with contextlib.suppress(Exception):  # at interpreter exit logging may be gone
                    _logger.warning("Could not renew the lease: %s", error)
            del renewal
