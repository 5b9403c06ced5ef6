"""Instances as rows of the database, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import json
import math
from typing import Any

import sqlalchemy as sa

from optuna_robust._instances.evaluation import distributions_from_json
from optuna_robust._instances.evaluation import distributions_to_json
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Key
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._instances.model_key import canonical_json


RUNNING, DONE, FAILED, PRUNED = "running", "done", "failed", "pruned"
# By its instance pruner: it counts where instances are pruned, and is trained again elsewhere.
STOPPED = "stopped"
FINISHED = (DONE, FAILED, PRUNED, STOPPED)
# Stand in the column of user attributes.
_SYSTEM_ATTRS = "robust:system_attrs"
_KIND = "robust:failure_kind"
_PRUNER_STATE = "robust:pruner_state"
_READ_PARAMS = "robust:read_params"


@dataclass(frozen=True)
class StoredInstance:
    """An instance as the store keeps it.

    Attributes:
        model_key: Hash of the model's hyperparameters.
        params: The model's hyperparameters.
        phase: ``"search"`` or ``"confirmation"``.
        number: Number of the instance.
        own: Number of the model whose own instance it is; None: common to all models.
        seed: Seed of its initialisation.
        order_seed: Seed of its order.
        state: ``"running"``, ``"done"``, ``"failed"``, ``"pruned"`` or ``"stopped"``.
        outcome: What came of it; None while it is running.
        begun: When it began, seconds since the epoch.
        finished: When it ended; None while it is running.
        worker: Host and process id that trained it; None if it was imported.
    """

    model_key: str
    params: dict[str, Any]
    phase: str
    number: int
    own: int | None
    seed: int
    order_seed: int
    state: str
    outcome: Outcome | None
    begun: float
    finished: float | None
    worker: str | None

    @property
    def key(self) -> Key:
        """What makes two trainings the same."""
        return self.model_key, self.phase, self.number, -1 if self.own is None else self.own


def state_of(outcome: Outcome) -> str:
    """Return the state of a finished instance."""
    if outcome.stopped:
        return STOPPED
    if outcome.pruned:
        return PRUNED
    return DONE if outcome.failure is None else FAILED


def is_finished(row: sa.Row[Any], job: Job) -> bool:
    """Return True if an instance that is wanted need not be trained."""
    return row.state in FINISHED and (row.state != STOPPED or job.epochs is not None)


def job_columns(job: Job) -> dict[str, Any]:
    """Return what is known of an instance before it is trained."""
    key, phase, number, own = job.key
    return {
        "model_key": key,
        "phase": phase,
        "number": number,
        "own": own,
        "params": canonical_json(job.params),
        "seed": job.instance.seed,
        "order_seed": job.instance.order_seed,
    }


def outcome_columns(outcome: Outcome) -> dict[str, Any]:
    """Return what is known of an instance once it was trained.

    Raises:
        ValueError: If an instance that succeeded has no finite loss, or another one has a loss.
    """
    state, loss = state_of(outcome), outcome.loss
    if loss is not None and (state != DONE or not math.isfinite(loss)):
        raise ValueError(f"An instance that is {state} cannot have the loss {loss}.")
    if loss is None and state == DONE:
        raise ValueError("An instance that is done must have a loss.")
    return {
        "state": state,
        "loss": loss,
        "seconds": outcome.seconds,
        "failure": None if outcome.failure is None else storable(outcome.failure),
        "user_attrs": _json(_with_others(outcome)),
        "constraints": _json(outcome.constraints),
        "learning_curve": _json(outcome.learning_curve),
        "distributions": distributions_to_json(outcome.distributions),
    }


def imported_columns(instance: StoredInstance) -> dict[str, Any]:
    """Return the columns of a finished instance that another store kept."""
    if instance.outcome is None:
        raise ValueError("Only finished instances can be imported.")
    return {
        "model_key": instance.model_key,
        "phase": instance.phase,
        "number": instance.number,
        "own": -1 if instance.own is None else instance.own,
        "params": canonical_json(instance.params),
        "seed": instance.seed,
        "order_seed": instance.order_seed,
        **outcome_columns(instance.outcome),
        "begun": instance.begun,
        "finished": instance.finished,
    }


def stored_instance(row: Any, worker: str | None) -> StoredInstance:
    """Return the instance that is kept in a row."""
    return StoredInstance(
        row.model_key,
        json.loads(row.params),
        row.phase,
        row.number,
        None if row.own < 0 else row.own,
        row.seed,
        row.order_seed,
        row.state,
        None if row.state == RUNNING else row_outcome(row),
        row.begun,
        row.finished,
        worker,
    )


def storable(text: str) -> str:
    r"""Return a text as all databases can keep it: what they refuse is written as ``\x00``.

    Exceptions name files, and names of files may have bytes that are no UTF-8.
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def row_outcome(row: Any) -> Outcome:
    """Return what came of a finished instance."""
    curve, user_attrs = _read(row.learning_curve), _read(row.user_attrs)
    system_attrs = user_attrs.pop(_SYSTEM_ATTRS, {})
    kind = user_attrs.pop(_KIND, None)
    pruner_state = user_attrs.pop(_PRUNER_STATE, {})
    read_params = frozenset(user_attrs.pop(_READ_PARAMS, ()))
    return Outcome(
        row.loss,
        row.failure,
        row.state in (PRUNED, STOPPED),
        row.seconds,
        {int(step): value for step, value in curve.items()},
        user_attrs,
        _read(row.constraints),
        distributions_from_json(row.distributions),
        system_attrs,
        failure_kind=kind,
        stopped=row.state == STOPPED,
        pruner_state=pruner_state,
        read_params=read_params,
    )


def _with_others(outcome: Outcome) -> dict[str, Any]:
    """Return the user attributes, among them what tables of version 0.1.0 have no columns for."""
    others: dict[str, Any] = {}
    if outcome.system_attrs:
        others[_SYSTEM_ATTRS] = outcome.system_attrs
    if outcome.failure_kind is not None:
        others[_KIND] = storable(outcome.failure_kind)
    if outcome.pruner_state:
        others[_PRUNER_STATE] = outcome.pruner_state
    if outcome.read_params:
        others[_READ_PARAMS] = sorted(outcome.read_params)
    return {**outcome.user_attrs, **others}


def _read(text: str | None) -> dict[str, Any]:
    return json.loads(text) if text else {}


def _json(value: Mapping[Any, Any]) -> str | None:
    return json.dumps(value) if value else None
