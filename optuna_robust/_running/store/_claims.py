"""Claims: who trains which instance, and what came of it.

Each function is a part of one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from functools import cache
from typing import Any

import sqlalchemy as sa

from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Key
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._running.store import _rows
from optuna_robust._running.store._schema import continued_trials
from optuna_robust._running.store._schema import instances
from optuna_robust._running.store._workers import dead_workers


# Databases limit how many values a statement may name.
_CHUNK = 200
# All but what an instance that is asked for has itself.
_LOOKED_AT = [
    column
    for column in instances.c
    if column.name not in {"experiment_id", "params", "seed", "order_seed", "finished"}
]
# Begins the names of values that are compared, beside those that are set.
_OF = "of_"


@dataclass(frozen=True)
class Claims:
    """What became of the instances that a worker wanted to train.

    Attributes:
        granted: Those that the worker shall train.
        finished: Those that were trained, and what came of them.
        busy: Those that another worker is training.
    """

    granted: set[Key] = field(default_factory=set)
    finished: dict[Key, Outcome] = field(default_factory=dict)
    busy: set[Key] = field(default_factory=set)


def find(connection: sa.Connection, experiment: int, keys: set[Key]) -> dict[Key, sa.Row[Any]]:
    """Return the rows of those instances that are there."""
    model_keys = sorted({key[0] for key in keys})
    numbers = sorted({key[2] for key in keys})
    found = {}
    for start in range(0, len(model_keys), _CHUNK):
        for first in range(0, len(numbers), _CHUNK):
            rows = connection.execute(
                sa.select(*_LOOKED_AT).where(
                    instances.c.experiment_id == experiment,
                    instances.c.model_key.in_(model_keys[start : start + _CHUNK]),
                    instances.c.number.in_(numbers[first : first + _CHUNK]),
                )
            )
            for row in rows.all():
                key = (row.model_key, row.phase, row.number, row.own)
                if key in keys:
                    found[key] = row
    return found


def claim(
    connection: sa.Connection, experiment: int, worker: str, jobs: Sequence[Job], begun: float
) -> Claims:
    """Claim instances that nobody has trained and no living worker is training.

    One that was stopped by its epochs is trained again where no instance is pruned.

    Args:
        connection:
            In a transaction.
        experiment:
            Id of the experiment.
        worker:
            Id of the worker.
        jobs:
            The instances.
        begun:
            Now; no other claim of the worker has the same. By it a claim is known that was made,
            though the database went away before it said so.
    """
    rows = find(connection, experiment, {job.key for job in jobs})
    others = {row.worker_id for row in rows.values() if row.state == _rows.RUNNING} - {worker}
    dead = dead_workers(connection, others)
    claims = Claims()
    new = []
    for job in {job.key: job for job in jobs}.values():
        row = rows.get(job.key)
        if row is None:
            new.append(
                {
                    **_rows.job_columns(job),
                    "experiment_id": experiment,
                    "state": _rows.RUNNING,
                    "worker_id": worker,
                    "begun": begun,
                }
            )
            claims.granted.add(job.key)
        elif _rows.is_finished(row, job):
            claims.finished[job.key] = _rows.row_outcome(row)
        elif (row.worker_id, row.begun) == (worker, begun) or (
            (row.state == _rows.STOPPED or row.worker_id in dead)
            and _take_over(connection, row, worker, begun)
        ):
            claims.granted.add(job.key)
        else:
            claims.busy.add(job.key)
    if new:
        connection.execute(sa.insert(instances), new)
    return claims


def record(
    connection: sa.Connection,
    experiment: int,
    worker: str,
    job: Job,
    outcome: Outcome,
    *,
    finished: float,
) -> bool:
    """Keep what came of a claimed instance; False if the claim was taken over.

    Args:
        connection:
            In a transaction.
        experiment:
            Id of the experiment.
        worker:
            Id of the worker.
        job:
            The instance.
        outcome:
            What came of it.
        finished:
            Now; by it is known what was kept, though the database went away before it said so.
    """
    values = {**_rows.outcome_columns(outcome), "finished": finished}
    claimed = _claimed(experiment, worker, job.key)
    statement = _record(tuple(values), tuple(claimed))
    where = {_OF + name: value for name, value in claimed.items()}
    if connection.execute(statement, values | where).rowcount == 1:
        return True
    kept = {**claimed, "state": values["state"], "finished": finished}
    return connection.scalar(sa.select(instances.c.id).filter_by(**kept)) is not None


@cache
def _record(names: tuple[str, ...], known_by: tuple[str, ...]) -> sa.Update:
    """Return the statement that records an instance: building it takes longer than running it."""
    return (
        sa.update(instances)
        .where(*(instances.c[name] == sa.bindparam(_OF + name) for name in known_by))
        .values({name: sa.bindparam(name) for name in names})
    )


def release(connection: sa.Connection, experiment: int, worker: str, jobs: Iterable[Job]) -> None:
    """Give claims up."""
    for job in jobs:
        claimed = _claimed(experiment, worker, job.key)
        connection.execute(sa.delete(instances).filter_by(**claimed))


def claim_trial(
    connection: sa.Connection, experiment: int, worker: str, study_name: str, number: int
) -> bool:
    """Claim the right to continue a dead worker's trial; one living worker gets it."""
    table = continued_trials
    here = (
        table.c.experiment_id == experiment,
        table.c.study == study_name,
        table.c.number == number,
    )
    holder = connection.scalar(sa.select(table.c.worker_id).where(*here))
    if holder is None:
        connection.execute(
            sa.insert(table).values(
                experiment_id=experiment, study=study_name, number=number, worker_id=worker
            )
        )
        return True
    if not dead_workers(connection, {holder}):
        return False
    taken = connection.execute(
        sa.update(table).where(*here, table.c.worker_id == holder).values(worker_id=worker)
    )
    return taken.rowcount == 1


def _take_over(connection: sa.Connection, row: sa.Row[Any], worker: str, begun: float) -> bool:
    taken = connection.execute(
        sa.update(instances)
        .where(
            instances.c.id == row.id,
            instances.c.state == row.state,
            instances.c.worker_id == row.worker_id,
        )
        .values(state=_rows.RUNNING, worker_id=worker, begun=begun)
    )
    return taken.rowcount == 1


def _claimed(experiment: int, worker: str, key: Key) -> dict[str, Any]:
    """Return the columns by which a claimed instance is known."""
    return {
        "experiment_id": experiment,
        "model_key": key[0],
        "phase": key[1],
        "number": key[2],
        "own": key[3],
        "state": _rows.RUNNING,
        "worker_id": worker,
    }
