"""The instance store."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from functools import partial
import json
import math
import os
from pathlib import Path
import threading
from typing import Any
from typing import TypeVar
import weakref

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import IntegrityError

from optuna_robust.arguments import check_between
from optuna_robust.arguments import check_count
from optuna_robust.evaluation import Job
from optuna_robust.evaluation import Key
from optuna_robust.evaluation import Outcome
from optuna_robust.instance import check_sources
from optuna_robust.instance import Source
from optuna_robust.store import _claims
from optuna_robust.store import _rows
from optuna_robust.store import _workers
from optuna_robust.store._claims import Claims
from optuna_robust.store._rows import StoredInstance
from optuna_robust.store._schema import create_tables
from optuna_robust.store._schema import experiments
from optuna_robust.store._schema import instances
from optuna_robust.store._schema import is_in_memory
from optuna_robust.store._schema import make_engine
from optuna_robust.store._schema import shown
from optuna_robust.store._schema import workers


_T = TypeVar("_T")

# Another worker may claim the same instances at the same moment; then look again.
_ATTEMPTS = 20
# What databases say of transactions that met and may be tried again: SQLSTATE; MySQL's number.
_MET = {"40001", "40P01", 1213}
# Columns of names end here.
_LONGEST_NAME = 255


class InstanceStore:
    """Every instance that was ever trained, in a database; none is trained twice.

    An instance is known by the experiment, the model's hyperparameters, its phase and its number.
    Give the same store to :class:`~optuna_robust.MultiInstanceObjective`,
    :func:`~optuna_robust.robust_select` and :func:`~optuna_robust.confirm`, and each takes what is
    there instead of training it. Whatever kills a process, finished instances are kept; started
    again, the same program goes on. Many processes, on many machines, may work with one store:
    a worker claims an instance before it trains it, claims of a process that died on this machine
    are taken over at once, those of other machines when their lease has ended, and a result that
    comes after its claim was taken over is refused.

    The tables (named ``optuna_robust_…``) may stand in the database of an Optuna storage.

    Example:
        >>> import optuna_robust as opr
        >>> def objective(trial, instance):
        ...     return trial.suggest_float("x", -1, 1) ** 2 + 0.1 * instance.rng.normal()
        >>> store = opr.InstanceStore()
        >>> models = [{"x": 0.0}, {"x": 0.9}]
        >>> opr.robust_select(objective, models, n_instances=6, store=store).n_trainings
        10
        >>> again = opr.robust_select(objective, models, n_instances=6, store=store)
        >>> again.n_trainings, again.n_reused
        (0, 10)

    Args:
        url:
            URL of a database, as SQLAlchemy and Optuna's RDB storage take it, such as
            ``"sqlite:///robust.db"``. Default: in memory, gone with this object.
        experiment:
            Name of what is trained: instances of different experiments are apart.
        version:
            Your tag of the objective. Change the objective, and change the experiment with it:
            a store refuses to mix versions in one.
        lease:
            Seconds after which another machine's claims may be taken over if it has not been
            heard of. Clocks of machines should agree better than that.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the URL cannot be understood, a name is too long, the experiment has another
            version, or the database was made by another version of this package.
    """

    _worker_id: str | None
    _heartbeat: _workers.Heartbeat | None
    _gone: str | None

    def __init__(
        self,
        url: str = "sqlite://",
        experiment: str = "default",
        *,
        version: str = "",
        lease: float = 60,
    ) -> None:
        for name, value in (("url", url), ("experiment", experiment), ("version", version)):
            if not isinstance(value, str):
                raise TypeError(
                    f"{name} must be a string, but was {value!r} of type {type(value).__name__}."
                )
        for name, value in (("experiment", experiment), ("version", version)):
            if len(value) > _LONGEST_NAME or _rows.storable(value) != value:
                raise ValueError(
                    f"{name} must be a text of at most {_LONGEST_NAME} characters, none of them "
                    f"NUL or a lone surrogate, but was {value!r}."
                )
        self._url = url
        self._experiment = experiment
        self._version = version
        self._lease = check_between("lease", lease, 0.0, math.inf)
        self._connect()

    @property
    def url(self) -> str:
        """URL of the database."""
        return self._url

    @property
    def experiment(self) -> str:
        """Name of what is trained."""
        return self._experiment

    @property
    def version(self) -> str:
        """The user's tag of the objective."""
        return self._version

    def close(self) -> None:
        """Close the connections and let the lease end. What is in memory is gone.

        A store that is on disk may be used again.
        """
        with self._lock:
            self._stop_heartbeat()
            self._engine.dispose()
            if is_in_memory(self._engine.url):
                self._gone = "it was closed"

    def instances(self) -> list[StoredInstance]:
        """Return the experiment's instances, in the order in which they were claimed."""
        with self._transaction() as connection:
            rows = connection.execute(
                sa.select(instances, workers.c.host, workers.c.pid)
                .join_from(instances, workers, isouter=True)
                .where(instances.c.experiment_id == self._experiment_id)
                .order_by(instances.c.id)
            ).all()
        return [
            _rows.stored_instance(
                row._mapping, None if row.pid is None else f"{row.host.split()[0]}:{row.pid}"
            )
            for row in rows
        ]

    def forget_failures(self) -> int:
        """Delete the failed instances of the experiment, so that they are trained again.

        Returns:
            How many they were.
        """
        with self._transaction() as connection:
            return connection.execute(
                sa.delete(instances).where(
                    instances.c.experiment_id == self._experiment_id,
                    instances.c.state == _rows.FAILED,
                )
            ).rowcount

    def export_hdf5(self, path: str | Path) -> int:
        """Write the finished instances of the experiment to an HDF5 file.

        Args:
            path:
                The file; one that is there is overwritten.

        Returns:
            How many instances were written.

        Raises:
            ImportError: If h5py is not installed.
        """
        from optuna_robust.store import _hdf5  # noqa: PLC0415

        finished = [each for each in self.instances() if each.outcome is not None]
        _hdf5.write(path, finished, self._experiment, self._version, self.settings())
        return len(finished)

    def import_hdf5(self, path: str | Path) -> int:
        """Add the instances of an HDF5 file that :meth:`export_hdf5` wrote.

        Args:
            path:
                The file. Its experiment may have another name.

        Returns:
            How many instances were new; those that are there stay as they are.

        Raises:
            FileNotFoundError: If there is no such file.
            ImportError: If h5py is not installed.
            ValueError: If it is no such file, or of another version, seed or ``vary``.
        """
        from optuna_robust.store import _hdf5  # noqa: PLC0415

        found, version, settings = _hdf5.read(path)
        if version != self._version:
            raise ValueError(
                f"{path} holds instances of version {version!r}, but this store is for "
                f"version {self._version!r}."
            )

        def insert(connection: sa.Connection) -> int:
            if settings is not None:
                self._bind(connection, settings)
            return self._insert_finished(connection, found)

        return self._retried(insert)

    def settings(self) -> dict[str, Any] | None:
        """Return the seed and ``vary`` of the experiment's instances; None without any."""
        with self._transaction() as connection:
            return self._settings(connection)

    def bind(self, *, seed: int, vary: Iterable[Source]) -> None:
        """Say what the seeds of the experiment's instances are made from, or check it.

        Args:
            seed:
                The integer that all seeds come from.
            vary:
                The sources that differ between instances.

        Raises:
            TypeError: If ``seed`` is not an integer, or ``vary`` no sequence.
            ValueError: If instances of another seed or ``vary`` are there, or a source is unknown.
        """
        wanted = {
            "seed": check_count("seed", seed, minimum=0),
            "vary": list(check_sources(vary)),
        }
        with self._transaction() as connection:
            self._bind(connection, wanted)

    def has_success(self) -> bool:
        """Tell whether an instance of the experiment was trained without failing."""
        with self._transaction() as connection:
            found = connection.execute(
                sa.select(instances.c.id)
                .where(
                    instances.c.experiment_id == self._experiment_id,
                    instances.c.state == _rows.DONE,
                )
                .limit(1)
            ).first()
        return found is not None

    def outcomes(self, jobs: Iterable[Job]) -> dict[Key, Outcome]:
        """Return what came of those instances that were trained."""
        with self._transaction() as connection:
            rows = _claims.find(connection, self._experiment_id, {job.key for job in jobs})
        return {
            key: _rows.row_outcome(row) for key, row in rows.items() if row.state in _rows.FINISHED
        }

    def claim(self, jobs: Sequence[Job]) -> Claims:
        """Claim instances, so that no other worker trains them.

        Instances that were trained, or that a living worker is training, are not granted.
        """
        worker = self.worker()
        return self._retried(
            lambda connection: _claims.claim(connection, self._experiment_id, worker, jobs)
        )

    def record(self, job: Job, outcome: Outcome) -> bool:
        """Keep what came of a claimed instance.

        Returns:
            False if the claim was taken over: then nothing is kept.
        """
        worker = self.worker()
        with self._transaction() as connection:
            return _claims.record(connection, self._experiment_id, worker, job, outcome)

    def release(self, jobs: Iterable[Job]) -> None:
        """Give up claims of instances that this worker does not train after all."""
        worker = self.worker()
        with self._transaction() as connection:
            _claims.release(connection, self._experiment_id, worker, jobs)

    def worker(self) -> str:
        """Return the id under which this process works; its lease is renewed from now on."""
        with self._lock:
            if self._worker_id is None:
                with self._transaction() as connection:
                    self._worker_id = _workers.register(connection, self._lease)
            if self._heartbeat is None and not is_in_memory(self._engine.url):
                self._heartbeat = _workers.Heartbeat(self._renew_lease, self._lease)
            return self._worker_id

    def dead_workers(self, ids: Iterable[str]) -> set[str]:
        """Return which of the workers with these ids are dead; unknown ids are not."""
        with self._transaction() as connection:
            return _workers.dead_workers(connection, set(ids))

    def claim_trial(self, study_name: str, number: int) -> bool:
        """Claim the right to continue a dead worker's trial; one living worker gets it."""
        worker = self.worker()
        return self._retried(
            lambda connection: _claims.claim_trial(
                connection, self._experiment_id, worker, study_name, number
            )
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out connections, which belong to a process.

        Raises:
            TypeError: If the store is in memory.
        """
        if is_in_memory(self._engine.url):
            raise TypeError(
                "An InstanceStore in memory cannot be sent to another process; use a file, such "
                "as InstanceStore('sqlite:///robust.db')."
            )
        names = ("_url", "_experiment", "_version", "_lease")
        return {name: self.__dict__[name] for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Connect again."""
        self.__dict__.update(state)
        self._connect()

    def _connect(self) -> None:
        self._engine = make_engine(self._url)
        self._lock = threading.RLock()
        self._worker_id, self._heartbeat, self._gone = None, None, None
        _forks.add(self)
        try:
            with self._lock:
                create_tables(self._engine, self._url)
                self._experiment_id = self._retried(self._open_experiment)
        except BaseException:
            self._engine.dispose()
            raise

    def _open_experiment(self, connection: sa.Connection) -> int:
        row = connection.execute(
            sa.select(experiments).where(experiments.c.name == self._experiment)
        ).first()
        if row is None:
            found = connection.execute(
                sa.insert(experiments).values(name=self._experiment, version=self._version)
            )
            (new,) = found.inserted_primary_key or (None,)
            assert new is not None
            return int(new)
        if row.version != self._version:
            raise ValueError(
                f"version={self._version!r} differs from version={row.version!r}, with which "
                f"experiment {self._experiment!r} in the store {shown(self._url)!r} was begun. "
                "Use the old version or another experiment."
            )
        return int(row.id)

    def _settings(self, connection: sa.Connection) -> dict[str, Any] | None:
        settings = connection.scalar(
            sa.select(experiments.c.settings).where(experiments.c.id == self._experiment_id)
        )
        return None if settings is None else json.loads(settings)

    def _bind(self, connection: sa.Connection, wanted: dict[str, Any]) -> None:
        connection.execute(
            sa.update(experiments)
            .where(experiments.c.id == self._experiment_id, experiments.c.settings.is_(None))
            .values(settings=json.dumps(wanted))
        )
        kept = self._settings(connection)
        assert kept is not None
        for name, value in wanted.items():
            if kept[name] != value:
                raise ValueError(
                    f"{name}={value!r} differs from {name}={kept[name]!r}, with which the "
                    f"instances of experiment {self._experiment!r} in the store "
                    f"{shown(self._url)!r} were trained. Use the old value or another experiment."
                )

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        # In memory there is one connection; elsewhere it is quick enough in turn.
        with self._lock:
            if self._gone is not None:
                raise RuntimeError(
                    f"What was in this InstanceStore in memory is gone: {self._gone}. Use a file, "
                    "such as InstanceStore('sqlite:///robust.db')."
                )
            with self._engine.begin() as connection:
                yield connection

    def _before_fork(self) -> None:
        """Come to rest: connections and a lock that is held must not be inherited."""
        self._lock.acquire()
        if not is_in_memory(self._engine.url):
            self._engine.dispose()

    def _after_fork(self, *, in_child: bool) -> None:
        """Go on; a forked process has claims and threads of its own."""
        if in_child:
            self._worker_id, self._heartbeat = None, None
            if is_in_memory(self._engine.url):
                self._gone = "this process was forked from the one that has it"
        self._lock.release()

    def _retried(self, function: Callable[[sa.Connection], _T]) -> _T:
        for _ in range(_ATTEMPTS):
            try:
                with self._transaction() as connection:
                    return function(connection)
            except IntegrityError:  # another worker inserted the same row
                continue
            except DBAPIError as error:
                if not _met(error):
                    raise
        raise RuntimeError(
            f"The store at {shown(self._url)!r} changes too fast to claim anything."
        )

    def _renew_lease(self) -> None:
        if self._worker_id is not None:
            with self._transaction() as connection:
                _workers.renew(connection, self._worker_id, self._lease)

    def _stop_heartbeat(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.stop()
            self._heartbeat = None

    def _insert_finished(self, connection: sa.Connection, found: Sequence[StoredInstance]) -> int:
        there = _claims.find(connection, self._experiment_id, {each.key for each in found})
        new = [each for each in found if each.key not in there]
        if new:
            connection.execute(
                sa.insert(instances).values(experiment_id=self._experiment_id),
                [_rows.imported_columns(each) for each in new],
            )
        return len(new)


def _met(error: DBAPIError) -> bool:
    """Tell whether a transaction failed only because it met another one, as in a deadlock."""
    codes = [getattr(error.orig, name, None) for name in ("sqlstate", "pgcode")]
    codes += getattr(error.orig, "args", ())[:1]
    return any(isinstance(code, (str, int)) and code in _MET for code in codes)


class _Forks:
    """Has the stores at rest while this process forks.

    Otherwise a child would inherit transactions, locks that no thread of its own ever releases,
    and connections to SQLite, which believes that it holds the parent's file locks: when the
    parent closes the database, what the child writes is lost.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stores: weakref.WeakSet[InstanceStore] = weakref.WeakSet()
        self._resting: list[InstanceStore] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._rest,
                after_in_parent=partial(self._go_on, in_child=False),
                after_in_child=partial(self._go_on, in_child=True),
            )

    def add(self, store: InstanceStore) -> None:
        """Look after a store for as long as it is there."""
        with self._lock:
            self._stores.add(store)

    def _rest(self) -> None:
        self._lock.acquire()
        self._resting = list(self._stores)
        for store in self._resting:
            store._before_fork()

    def _go_on(self, *, in_child: bool) -> None:
        for store in self._resting:
            store._after_fork(in_child=in_child)
        self._resting = []
        self._lock.release()


_forks = _Forks()
