"""The instance store."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
import math
import os
from pathlib import Path
import time
from typing import Any
from typing import TYPE_CHECKING
import warnings

import sqlalchemy as sa

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arguments import check_count
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Key
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._instances.instance import check_sources
from optuna_robust._instances.instance import Phase
from optuna_robust._instances.instance import Source
from optuna_robust._running.store import _claims
from optuna_robust._running.store import _rows
from optuna_robust._running.store import _workers
from optuna_robust._running.store._claims import Claims
from optuna_robust._running.store._database import Database
from optuna_robust._running.store._experiments import bind
from optuna_robust._running.store._experiments import keep_objective
from optuna_robust._running.store._experiments import open_experiment
from optuna_robust._running.store._experiments import settings_of
from optuna_robust._running.store._rows import StoredInstance
from optuna_robust._running.store._schema import instances
from optuna_robust._running.store._schema import without_password
from optuna_robust._running.store._schema import workers


if TYPE_CHECKING:
    from optuna_robust._instances.objective_identity import ObjectiveIdentity


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
        6
        >>> again = opr.robust_select(objective, models, n_instances=6, store=store)
        >>> again.n_trainings, again.n_reused
        (0, 6)

    Args:
        url:
            URL of a database, as SQLAlchemy and Optuna's RDB storage take it, such as
            ``"sqlite:///robust.db"``. Default: in memory, gone with this object.
        experiment:
            Name of what is trained: instances of different experiments are apart. If another
            objective uses the experiment, or one whose code has changed (comments and docstrings
            apart) or holds something else (arguments, closure, attributes), a warning says so;
            what it reads (files, module variables, other modules) is not looked at.
        version:
            Your tag of the objective, of which only the name is compared then. Change the
            objective, and change the experiment with it: a store refuses to mix versions in one.
        lease:
            Seconds after which another machine's claims may be taken over if it has not been
            heard of. Clocks of machines should agree better than that.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the URL cannot be understood, its file cannot be opened and written, a name
            is too long, the experiment has another version, or the database was made by another
            version of this package.
    """

    _worker_id: str | None
    _heartbeat: _workers.Heartbeat | None
    _worker_pid: int
    # When something was claimed or finished last.
    _latest: float

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
        with self._database.lock:
            self._stop_heartbeat()
            self._database.close()

    def instances(self) -> list[StoredInstance]:
        """Return the experiment's instances, in the order in which they were claimed."""
        statement = (
            sa.select(instances, workers.c.host, workers.c.pid)
            .join_from(instances, workers, isouter=True)
            .where(instances.c.experiment_id == self._experiment_id)
            .order_by(instances.c.id)
        )
        rows = self._database.run(lambda connection: connection.execute(statement).all())
        return [
            _rows.stored_instance(
                row, None if row.pid is None else f"{row.host.split()[0]}:{row.pid}"
            )
            for row in rows
        ]

    def forget_failures(self) -> int:
        """Delete the failed instances of the experiment, so that they are trained again.

        Returns:
            How many they were.
        """
        statement = sa.delete(instances).where(
            instances.c.experiment_id == self._experiment_id,
            instances.c.state == _rows.FAILED,
        )
        return self._database.run(lambda connection: connection.execute(statement).rowcount)

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
        from optuna_robust._running.store import _hdf5  # noqa: PLC0415

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
        from optuna_robust._running.store import _hdf5  # noqa: PLC0415

        found, version, settings = _hdf5.read(path)
        if version != self._version:
            raise ValueError(
                f"{path} holds instances of version {version!r}, but this store is for "
                f"version {self._version!r}."
            )

        def insert(connection: sa.Connection) -> int:
            if settings is not None:
                bind(connection, self._experiment_id, settings, without_password(self._url))
            return self._insert_finished(connection, found)

        return self._database.run(insert)

    def settings(self) -> dict[str, Any] | None:
        """Return the seed and ``vary`` of the experiment's instances; None without any."""
        return self._database.run(lambda connection: settings_of(connection, self._experiment_id))

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
        self._database.run(
            lambda connection: bind(
                connection, self._experiment_id, wanted, without_password(self._url)
            )
        )

    def warn_of_another_objective(
        self, objective: ObjectiveIdentity, phase: Phase = "search"
    ) -> None:
        """Keep which objective trains the instances of a phase; warn if another one did.

        With a ``version``, which says what the user calls another objective, one of the same name
        is the same.
        """
        kept = self._database.run(
            lambda connection: keep_objective(connection, self._experiment_id, objective, phase)
        )
        is_same_name = kept["name"] == objective.name
        if objective.is_of(kept) or (self._version and is_same_name):
            return
        what = (
            "but its code has changed, or what it holds (arguments, closure, attributes)"
            if is_same_name
            else f"not by {objective.name!r}"
        )
        warnings.warn(
            f"The {phase} instances of experiment {self._experiment!r} in the store "
            f"{without_password(self._url)!r} were trained by the objective {kept['name']!r}, "
            f"{what}: what is stored is taken as this objective's nevertheless. If it trains "
            "otherwise, use another experiment for it, as in InstanceStore(url, 'experiment').",
            stacklevel=2,
        )

    def has_success(self, phase: Phase = "search") -> bool:
        """Return True if an instance of a phase was trained without failing."""
        statement = (
            sa.select(instances.c.id)
            .where(
                instances.c.experiment_id == self._experiment_id,
                instances.c.phase == phase,
                instances.c.state == _rows.DONE,
            )
            .limit(1)
        )
        found = self._database.run(lambda connection: connection.scalar(statement))
        return found is not None

    def outcomes(self, jobs: Iterable[Job]) -> dict[Key, Outcome]:
        """Return what came of those instances that were trained."""
        wanted = {job.key: job for job in jobs}
        rows = self._database.run(
            lambda connection: _claims.find(connection, self._experiment_id, set(wanted))
        )
        return {
            key: _rows.row_outcome(row)
            for key, row in rows.items()
            if _rows.is_finished(row, wanted[key])
        }

    def claim(self, jobs: Sequence[Job]) -> Claims:
        """Claim instances, so that no other worker trains them.

        Instances that were trained, or that a living worker is training, are not granted.
        """
        worker, begun = self.worker(), self._now()
        return self._database.run(
            lambda connection: _claims.claim(connection, self._experiment_id, worker, jobs, begun)
        )

    def record(self, job: Job, outcome: Outcome) -> bool:
        """Keep what came of a claimed instance.

        Returns:
            False if the claim was taken over: then nothing is kept.
        """
        worker, finished = self.worker(), self._now()
        return self._database.run(
            lambda connection: _claims.record(
                connection, self._experiment_id, worker, job, outcome, finished=finished
            )
        )

    def release(self, jobs: Iterable[Job]) -> None:
        """Give up claims of instances that this worker does not train after all."""
        worker = self.worker()
        given_up = list(jobs)
        self._database.run(
            lambda connection: _claims.release(connection, self._experiment_id, worker, given_up)
        )

    def worker(self) -> str:
        """Return the id under which this process works; its lease is renewed from now on."""
        with self._database.lock:
            if self._worker_pid != os.getpid():  # a fork: claims and threads are the parent's
                self._worker_id, self._heartbeat, self._worker_pid = None, None, os.getpid()
            if self._worker_id is None:
                self._worker_id = self._database.run(
                    lambda connection: _workers.register(connection, self._lease)
                )
            if self._heartbeat is None and not self._database.is_in_memory:
                self._heartbeat = _workers.Heartbeat(self._renew_lease, self._lease)
            return self._worker_id

    def dead_workers(self, ids: Iterable[str]) -> set[str]:
        """Return which of the workers with these ids are dead; unknown ids are not."""
        asked = set(ids)
        return self._database.run(lambda connection: _workers.dead_workers(connection, asked))

    def claim_trial(self, study_name: str, number: int) -> bool:
        """Claim the right to continue a dead worker's trial; one living worker gets it."""
        worker = self.worker()
        return self._database.run(
            lambda connection: _claims.claim_trial(
                connection, self._experiment_id, worker, study_name, number
            )
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out connections, which belong to a process.

        Raises:
            TypeError: If the store is in memory.
        """
        if self._database.is_in_memory:
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
        self._database = Database(self._url)
        self._worker_id, self._heartbeat, self._worker_pid = None, None, os.getpid()
        self._latest = 0.0
        try:
            self._experiment_id = self._database.run(
                lambda connection: open_experiment(
                    connection, self._experiment, self._version, without_password(self._url)
                )
            )
        except BaseException:
            self._database.close()
            raise

    def _now(self) -> float:
        """Return the time, seconds since the epoch; no two threads get the same."""
        with self._database.lock:
            self._latest = max(time.time(), math.nextafter(self._latest, math.inf))
            return self._latest

    def _renew_lease(self) -> None:
        if self._worker_id is not None:
            with self._database.transaction() as connection:
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
