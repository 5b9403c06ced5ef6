"""The database of a store: transactions one at a time, tried again if need be; forks."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
import logging
import os
import threading
import time
from typing import TypeVar
import weakref

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import InterfaceError
from sqlalchemy.exc import OperationalError

from optuna_robust._running.store._schema import check_file
from optuna_robust._running.store._schema import create_tables
from optuna_robust._running.store._schema import is_in_memory
from optuna_robust._running.store._schema import make_engine
from optuna_robust._running.store._schema import without_password


_T = TypeVar("_T")

# Another worker may claim the same instances at the same moment; then look again.
_ATTEMPTS = 20
# What databases say of transactions that met and may be tried again: SQLSTATE; MySQL's numbers.
_MET = {"40001", "40P01", 1020, 1205, 1213}
# How long a server may be away, as when it restarts, and between attempts to reach it, seconds.
_PATIENCE, _LONGEST_PAUSE = 120.0, 5.0

_logger = logging.getLogger(__name__)


class Database:
    """The database of a store.

    Args:
        url:
            As SQLAlchemy takes it.

    Raises:
        ValueError: If the URL cannot be understood, its file cannot be opened and written, or the
            database was made by another version of this package.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine = make_engine(url)
        self._lock = threading.RLock()
        self._gone: str | None = None
        _forks.add(self)
        try:
            with self._lock:
                create_tables(self._engine, url)
        except BaseException as error:
            self._engine.dispose()
            check_file(url, error)
            raise

    @property
    def is_in_memory(self) -> bool:
        """Whether it lives in this process only."""
        return is_in_memory(self._engine.url)

    @property
    def lock(self) -> threading.RLock:
        """Held by a thread during a transaction."""
        return self._lock

    def close(self) -> None:
        """Close the connections. What is in memory is gone; a database on disk opens again."""
        with self._lock:
            self._engine.dispose()
            if self.is_in_memory:
                self._gone = "it was closed"

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Begin a transaction."""
        # In memory there is one connection; elsewhere it is quick enough in turn.
        with self._lock:
            if self._gone is not None:
                raise RuntimeError(
                    f"What was in this InstanceStore in memory is gone: {self._gone}. Use a file, "
                    "such as InstanceStore('sqlite:///robust.db')."
                )
            try:
                with self._engine.begin() as connection:
                    yield connection
            except OperationalError as error:
                if "readonly" not in str(error.orig):
                    raise
                raise RuntimeError(
                    f"The store at {without_password(self._url)!r} can only be read: {error.orig}."
                ) from None

    def run(self, function: Callable[[sa.Connection], _T]) -> _T:
        """Run a function in a transaction; again if it met another one, or the server was away.

        What a server did before it went away may not be known: a function that runs a second time
        has to see what the first one changed.
        """
        absence = _Absence(without_password(self._url))
        for _ in range(_ATTEMPTS):
            try:
                return self._run_until_there(function, absence)
            except IntegrityError:  # another worker inserted the same row
                continue
            except DBAPIError as error:
                if not _met(error):
                    raise
        raise RuntimeError(
            f"The store at {without_password(self._url)!r} changes too fast to claim anything."
        )

    def _run_until_there(self, function: Callable[[sa.Connection], _T], absence: _Absence) -> _T:
        while True:
            try:
                with self.transaction() as connection:
                    return function(connection)
            except DBAPIError as error:
                if not self._is_away(error):
                    raise
                absence.wait(error)

    def _is_away(self, error: DBAPIError) -> bool:
        """Return True if the connection was lost, or there was none to be had."""
        if self._engine.url.get_backend_name() == "sqlite" or _met(error):
            return False
        is_of_connection = isinstance(error, (InterfaceError, OperationalError))
        return error.connection_invalidated or (is_of_connection and error.statement is None)

    def before_fork(self) -> None:
        """Come to rest: connections and a lock that is held must not be inherited."""
        self._lock.acquire()
        if not self.is_in_memory:
            self._engine.dispose()

    def after_fork(self, *, in_child: bool) -> None:
        """Go on."""
        if in_child and self.is_in_memory:
            self._gone = "this process was forked from the one that has it"
        self._lock.release()


class _Absence:
    """Waits for a server that is away, and not for ever."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pause = 0.1
        self._since: float | None = None

    def wait(self, error: DBAPIError) -> None:
        """Wait before the next attempt.

        Raises:
            DBAPIError: If the server has been away for too long.
        """
        if self._since is None:
            self._since = time.monotonic()
            _logger.warning(
                "The store at %r cannot be reached (%s): trying again for %.0f s.",
                self._name,
                error.orig,
                _PATIENCE,
            )
        elif time.monotonic() - self._since > _PATIENCE:
            raise error
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)


def _met(error: DBAPIError) -> bool:
    """Return True if a transaction failed only because it met another one, as in a deadlock."""
    codes = [getattr(error.orig, name, None) for name in ("sqlstate", "pgcode")]
    codes += getattr(error.orig, "args", ())[:1]
    return any(isinstance(code, (str, int)) and code in _MET for code in codes)


class _Forks:
    """Has the databases at rest while this process forks.

    Otherwise a child would inherit transactions, locks that no thread of its own ever releases,
    and connections to SQLite, which believes that it holds the parent's file locks: when the
    parent closes the database, what the child writes is lost.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._databases: weakref.WeakSet[Database] = weakref.WeakSet()
        self._resting: list[Database] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._rest,
                after_in_parent=partial(self._go_on, in_child=False),
                after_in_child=partial(self._go_on, in_child=True),
            )

    def add(self, database: Database) -> None:
        """Look after a database for as long as it is there."""
        with self._lock:
            self._databases.add(database)

    def _rest(self) -> None:
        self._lock.acquire()
        self._resting = list(self._databases)
        for database in self._resting:
            database.before_fork()

    def _go_on(self, *, in_child: bool) -> None:
        for database in self._resting:
            database.after_fork(in_child=in_child)
        self._resting = []
        self._lock.release()


_forks = _Forks()
