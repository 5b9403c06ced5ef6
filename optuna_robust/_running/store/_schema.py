"""The tables, and the engine of a database that has them."""

from __future__ import annotations

import logging
import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DatabaseError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import StaticPool

from optuna_robust._base.output_files import check_writable


SCHEMA_VERSION = 1

_logger = logging.getLogger(__name__)

# How long a transaction waits for others, seconds.
_BUSY_TIMEOUT = 60.0
_MYSQL = ("mysql", "mariadb")
# MySQL's TEXT ends at 64 kB: too short for a learning curve.
_long_text = sa.Text().with_variant(mysql.MEDIUMTEXT(), *_MYSQL)

# Elsewhere names that differ in case only are different ones.
_as_written: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in _MYSQL
    for option, value in (("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}

metadata = sa.MetaData()

schema = sa.Table(
    "optuna_robust_schema",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    **_as_written,
)

experiments = sa.Table(
    "optuna_robust_experiments",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("version", sa.String(255), nullable=False),
    # JSON; null until instances are asked for.
    sa.Column("settings", _long_text),
    **_as_written,
)

workers = sa.Table(
    "optuna_robust_workers",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("expires", sa.Double, nullable=False),
    **_as_written,
)

instances = sa.Table(
    "optuna_robust_instances",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("experiment_id", sa.ForeignKey(experiments.c.id), nullable=False),
    sa.Column("model_key", sa.String(64), nullable=False),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    # The model whose own instance it is (reshuffle=True); -1: common instances.
    sa.Column("own", sa.Integer, nullable=False),
    sa.Column("params", _long_text, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("order_seed", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("worker_id", sa.ForeignKey(workers.c.id)),
    sa.Column("loss", sa.Double),
    sa.Column("seconds", sa.Double),
    sa.Column("failure", _long_text),
    sa.Column("user_attrs", _long_text),
    sa.Column("constraints", _long_text),
    sa.Column("learning_curve", _long_text),
    sa.Column("distributions", _long_text),
    # Seconds since the epoch.
    sa.Column("begun", sa.Double),
    sa.Column("finished", sa.Double),
    sa.UniqueConstraint("experiment_id", "model_key", "phase", "number", "own"),
    **_as_written,
)

# Trials of dead workers, each continued by one worker.
continued_trials = sa.Table(
    "optuna_robust_continued_trials",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("experiment_id", sa.ForeignKey(experiments.c.id), nullable=False),
    sa.Column("study", sa.String(512), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("worker_id", sa.ForeignKey(workers.c.id), nullable=False),
    sa.UniqueConstraint("experiment_id", "study", "number"),
    **_as_written,
)


def make_engine(url: str) -> sa.Engine:
    """Return an engine; on SQLite with a write-ahead log and transactions that wait in turn.

    Raises:
        ValueError: If the URL cannot be understood.
    """
    try:
        parsed = sa.make_url(url)
        parsed.get_dialect()
    except (sa.exc.ArgumentError, ValueError) as error:  # ValueError: the port is no number
        raise ValueError(
            f"url={without_password(url)!r} is no database URL ({error}); use one as in Optuna's "
            "storages, such as 'sqlite:///robust.db' or 'postgresql+psycopg://user@host/database'."
        ) from None
    if parsed.get_backend_name() != "sqlite":
        # PostgreSQL's default. MySQL's own would read what was when the transaction began, and
        # lock the gaps between rows, so that workers who claim new instances lock each other out.
        return sa.create_engine(parsed, pool_pre_ping=True, isolation_level="READ COMMITTED")
    options: dict[str, Any] = {"connect_args": {"timeout": _BUSY_TIMEOUT}}
    if is_in_memory(parsed):
        # One connection, which threads use in turn: another one would be another database.
        options["poolclass"] = StaticPool
        options["connect_args"]["check_same_thread"] = False
    engine = sa.create_engine(parsed, **options)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_immediately)
    return engine


def is_in_memory(url: sa.URL) -> bool:
    """Return True if a database lives in this process only."""
    if url.get_backend_name() != "sqlite":
        return False
    name = url.database or ":memory:"
    return name in {":memory:", "file::memory:"} or url.query.get("mode") == "memory"


def without_password(url: str) -> str:
    """Return a database's URL as messages may show it: without its password."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except (sa.exc.ArgumentError, ValueError):
        return re.sub("(?<=:)[^:/@]+(?=@)", "***", url)


def create_tables(engine: sa.Engine, url: str) -> None:
    """Create the tables that are missing, beside any others, and check their version.

    Raises:
        ValueError: If they were made by another version of this package.
    """
    for last in (False, False, True):  # another process may be creating them
        try:
            version = _version(engine)
            if version is None:
                # One transaction: whoever sees the tables sees their version.
                with engine.begin() as connection:
                    metadata.create_all(connection)
                    connection.execute(sa.insert(schema).values(id=1, version=SCHEMA_VERSION))
                version = SCHEMA_VERSION
            break
        except (IntegrityError, OperationalError, ProgrammingError):
            if last:
                raise
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"The store at {without_password(url)!r} has schema version {version}, but this "
            f"version of optuna_robust knows {SCHEMA_VERSION}: use the one that made it, or "
            "another store."
        )


def check_file(url: str, error: BaseException) -> None:
    """Say why the file of an SQLite database cannot be used, if that is why opening it failed.

    Raises:
        ValueError: If it is.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite" or not isinstance(error, DatabaseError):
        return
    reason = str(error.orig)
    if "locked" in reason:  # by another process; the file is fine
        return
    if not (parsed.database or "").startswith("file:"):
        try:
            check_writable(parsed.database or "")
        except OSError as why:
            reason = str(why)
    raise ValueError(f"url={url!r} cannot be opened as a store: {reason}.") from None


def _version(engine: sa.Engine) -> int | None:
    if not sa.inspect(engine).has_table(schema.name):
        return None
    with engine.begin() as connection:
        version: int | None = connection.scalar(sa.select(schema.c.version))
    return version


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where we say so
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
    except Exception as error:  # another process uses the database; the next one may succeed
        _logger.debug("No write-ahead log yet: %s", error)
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _begin_immediately(connection: sa.Connection) -> None:
    # A transaction that reads first and writes then would fail if another one wrote between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
