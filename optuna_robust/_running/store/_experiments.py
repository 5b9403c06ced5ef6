"""Experiments: what is trained, and what its instances' seeds are made from.

Each function is a part of one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
import json
from typing import Any
from typing import TYPE_CHECKING

import sqlalchemy as sa

from optuna_robust._running.store._rows import FINISHED
from optuna_robust._running.store._schema import experiments
from optuna_robust._running.store._schema import instances


if TYPE_CHECKING:
    from optuna_robust._instances.instance import Phase
    from optuna_robust._instances.objective_identity import ObjectiveIdentity


# Beside the settings: which objective trains the instances of each phase.
_OBJECTIVES = "objectives"


def open_experiment(connection: sa.Connection, name: str, version: str, store: str) -> int:
    """Return the id of an experiment, which is begun if it is new.

    Args:
        connection:
            In a transaction.
        name:
            Name of the experiment.
        version:
            The user's tag of the objective.
        store:
            What the store is called in messages.

    Raises:
        ValueError: If it has another version, or the database takes another name for the same.
    """
    row = connection.execute(sa.select(experiments).where(experiments.c.name == name)).first()
    if row is None:
        found = connection.execute(sa.insert(experiments).values(name=name, version=version))
        (new,) = found.inserted_primary_key or (None,)
        assert new is not None
        return int(new)
    if row.name != name:  # MySQL ignores spaces at the end
        raise ValueError(
            f"experiment={name!r} is the same as {row.name!r} to the database of the store "
            f"{store!r}. Use that name or another one."
        )
    if row.version != version:
        raise ValueError(
            f"version={version!r} differs from version={row.version!r}, with which experiment "
            f"{name!r} in the store {store!r} was begun. Use the old version or another "
            "experiment."
        )
    return int(row.id)


def settings_of(connection: sa.Connection, experiment: int) -> dict[str, Any] | None:
    """Return the seed and ``vary`` of an experiment's instances; None if they are open."""
    settings = _settings(connection, experiment)
    if settings is not None:
        settings.pop(_OBJECTIVES, None)
    return settings


def keep_objective(
    connection: sa.Connection, experiment: int, objective: ObjectiveIdentity, phase: Phase
) -> dict[str, str]:
    """Return which objective trained the instances of a phase: the first one that finished any.

    Args:
        connection:
            In a transaction.
        experiment:
            Id of the experiment, which is bound to settings.
        objective:
            Which it is from now on, if there are no instances of another one.
        phase:
            The phase.
    """
    settings = _settings(connection, experiment)
    assert settings is not None
    objectives: dict[str, dict[str, str]] = settings.setdefault(_OBJECTIVES, {})
    if phase not in objectives or not _has_finished(connection, experiment, phase):
        objectives[phase] = objective.to_dict()
        connection.execute(
            sa.update(experiments)
            .where(experiments.c.id == experiment)
            .values(settings=json.dumps(settings))
        )
    return objectives[phase]


def _has_finished(connection: sa.Connection, experiment: int, phase: Phase) -> bool:
    found = connection.execute(
        sa.select(instances.c.id)
        .where(
            instances.c.experiment_id == experiment,
            instances.c.phase == phase,
            instances.c.state.in_(FINISHED),
        )
        .limit(1)
    ).first()
    return found is not None


def _settings(connection: sa.Connection, experiment: int) -> dict[str, Any] | None:
    settings = connection.scalar(
        sa.select(experiments.c.settings).where(experiments.c.id == experiment)
    )
    return None if settings is None else json.loads(settings)


def bind(
    connection: sa.Connection, experiment: int, wanted: Mapping[str, Any], store: str
) -> None:
    """Say what the seeds of an experiment's instances are made from, or check it.

    Raises:
        ValueError: If it was said differently before.
    """
    connection.execute(
        sa.update(experiments)
        .where(experiments.c.id == experiment, experiments.c.settings.is_(None))
        .values(settings=json.dumps(dict(wanted)))
    )
    kept = settings_of(connection, experiment)
    assert kept is not None
    for name, value in wanted.items():
        if kept[name] != value:
            trained = connection.scalar(
                sa.select(experiments.c.name).where(experiments.c.id == experiment)
            )
            raise ValueError(
                f"{name}={value!r} differs from {name}={kept[name]!r}, with which the instances "
                f"of experiment {trained!r} in the store {store!r} were trained. Use the old "
                "value or another experiment."
            )
