"""Optuna's storages and studies, as a command's arguments name them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from optuna_robust.cli._errors import WrongArgument


if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

    from optuna_robust._running.store import InstanceStore


_SQLITE = b"SQLite format 3\x00"
_SQLITE_SUFFIXES = (".db", ".sqlite", ".sqlite3")
_MOST_NAMES = 20


def open_storage(storage: str, *, create: bool = False) -> BaseStorage:
    """Open the storage that a user names.

    Args:
        storage:
            URL of a database, or path of a journal file.
        create:
            Make the file and the tables if there are none.

    Raises:
        WrongArgument: If it cannot be opened.
    """
    import optuna  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = _file_of(storage)
    if file is not None:
        _check_file(file, storage, create=create)
    try:
        if is_url(storage):
            return optuna.storages.RDBStorage(storage, skip_table_creation=not create)
        return _journal(storage)
    except optuna.exceptions.StorageInternalError as error:
        raise WrongArgument(
            f"{shown(storage)} is no storage of Optuna's: {_reason(error.__cause__ or error)}"
        ) from None
    except Exception as error:  # each of the many database drivers has errors of its own
        if not is_url(storage) and isinstance(error, (KeyError, TypeError, ValueError)):
            raise WrongArgument(f"{storage!r} is no journal file of Optuna's.") from None
        raise WrongArgument(f"{shown(storage)} cannot be opened: {_reason(error)}") from None


def load_study(storage: BaseStorage, name: str, *, shown_storage: str) -> Study:
    """Load a study.

    Args:
        storage:
            Where it is.
        name:
            Its name.
        shown_storage:
            How the storage is called in messages.

    Raises:
        WrongArgument: If there is no such study.
    """
    import optuna  # noqa: PLC0415

    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        names = optuna.get_all_study_names(storage)
        raise WrongArgument(
            f"{shown_storage} has no study {name!r}. {_there_are(names)}"
        ) from None


def has_study(storage: BaseStorage, name: str) -> bool:
    """Return True if a storage has a study of this name."""
    import optuna  # noqa: PLC0415

    return name in optuna.get_all_study_names(storage)


@contextmanager
def study_to_fill(storage: BaseStorage, name: str, direction: str) -> Iterator[Study]:
    """Load a study, or create it.

    A study that is created here, and has no trial when the command fails, is deleted again:
    otherwise its direction and settings would stand in the way of the next try.

    Args:
        storage:
            Where it is.
        name:
            Its name.
        direction:
            Of a study that is created.
    """
    import optuna  # noqa: PLC0415
    from optuna.study import StudyDirection  # noqa: PLC0415

    is_new = not has_study(storage, name)
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction=StudyDirection[direction.upper()],
        load_if_exists=True,
    )
    try:
        yield study
    except Exception:
        if is_new and not study.get_trials(deepcopy=False):
            optuna.delete_study(study_name=name, storage=storage)
        raise


def store_url(storage: str, store: str | None) -> str:
    """Return the URL of the database that keeps instances.

    Args:
        storage:
            The storage that the user names.
        store:
            The store that the user names. Default: the storage's database; beside a journal file
            a file of its own.

    Raises:
        WrongArgument: If it would be gone with the process.
    """
    if store is None:
        if is_url(storage):
            return storage
        return f"sqlite:///{Path(storage).with_name(Path(storage).name + '.instances.db')}"
    if _is_in_memory(store):
        raise WrongArgument(
            f"--store {store} lives in memory and would be gone with this command; name a file, "
            "such as sqlite:///instances.db."
        )
    return store


def check_exists(url: str) -> None:
    """Check that a store's file exists, where it has one: opening it would make it.

    Args:
        url:
            URL of the database.

    Raises:
        WrongArgument: If it does not.
    """
    file = _sqlite_file(url)
    if file is not None:
        _check_file(file, url, create=False)


@contextmanager
def opened_store(url: str, experiment: str, version: str) -> Iterator[InstanceStore]:
    """Open the store, and close it at the end.

    Args:
        url:
            URL of the database.
        experiment:
            Name of what is trained.
        version:
            The user's tag of the objective.

    Raises:
        ValueError: If the store refuses an argument.
        WrongArgument: If the database cannot be opened.
    """
    from optuna_robust._running.store import InstanceStore  # noqa: PLC0415

    try:
        store = InstanceStore(url, experiment, version=version)
    except ValueError:
        raise
    except Exception as error:  # each of the many database drivers has errors of its own
        raise WrongArgument(f"The store {shown(url)} cannot be opened: {_reason(error)}") from None
    try:
        yield store
    finally:
        store.close()


def shown(storage: str) -> str:
    """Return a storage as it may be shown: without its password."""
    if not is_url(storage):
        return storage
    from optuna_robust._running.store import without_password  # noqa: PLC0415

    return without_password(storage)


def is_url(storage: str) -> bool:
    """Return True if a storage is named by a URL; otherwise it is the path of a journal file."""
    return "://" in storage


def _journal(path: str) -> BaseStorage:
    from optuna.storages import JournalStorage  # noqa: PLC0415
    from optuna.storages.journal import JournalFileBackend  # noqa: PLC0415
    from optuna.storages.journal import JournalFileOpenLock  # noqa: PLC0415

    # Optuna's own lock is a symbolic link, which Windows allows to few.
    lock = JournalFileOpenLock(path) if os.name == "nt" else None
    return JournalStorage(JournalFileBackend(path, lock_obj=lock))


def _file_of(storage: str) -> Path | None:
    """Return the file of a storage; None if it is on a server."""
    if not is_url(storage):
        return Path(storage)
    if _is_in_memory(storage):
        raise WrongArgument(
            f"{storage} lives in memory: no other process can see its studies. Name a file, such "
            "as sqlite:///study.db."
        )
    return _sqlite_file(storage)


def _sqlite_file(url: str) -> Path | None:
    import sqlalchemy as sa  # noqa: PLC0415

    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        return None  # opening it tells why
    name = parsed.database or ""
    is_file = parsed.get_backend_name() == "sqlite" and not name.startswith("file:")
    return Path(name) if is_file and name else None


def _is_in_memory(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    return scheme.partition("+")[0] == "sqlite" and (
        rest.strip("/") == "" or ":memory:" in rest or "mode=memory" in rest
    )


def _check_file(file: Path, storage: str, *, create: bool) -> None:
    if not file.exists():
        if not create:
            raise WrongArgument(f"There is no file {str(file)!r}.")
        if not file.parent.is_dir():
            raise WrongArgument(f"There is no directory {str(file.parent)!r}.")
    if is_url(storage):
        return
    if file.is_file():
        with file.open("rb") as opened:
            is_sqlite = opened.read(len(_SQLITE)) == _SQLITE
    else:
        is_sqlite = file.suffix in _SQLITE_SUFFIXES
    if is_sqlite:
        raise WrongArgument(
            f"{storage!r} is taken for a journal file, but seems to be an SQLite database: write "
            f"sqlite:///{storage}."
        )


def _reason(error: BaseException) -> str:
    """Return what an error says, without SQLAlchemy's statement and link."""
    told = itertools.takewhile(
        lambda line: not line.startswith(("[SQL:", "(Background on this error")),
        str(error).splitlines(),
    )
    return " ".join(line.strip() for line in told) or type(error).__name__


def _there_are(names: list[str]) -> str:
    if not names:
        return "It has no studies at all."
    more = len(names) - _MOST_NAMES
    listed = ", ".join(map(repr, sorted(names)[:_MOST_NAMES]))
    return f"Its studies are {listed}" + (f" and {more} more." if more > 0 else ".")
