"""What a disturbed run lost, trained twice, or decided otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
import json
from pathlib import Path
import tempfile
from typing import Any
from typing import NamedTuple
import warnings

from benchmarks.faults.driver import Run
from benchmarks.faults.driver import select
from benchmarks.faults.objective import Event
from benchmarks.faults.objective import FAILING
from benchmarks.faults.objective import N_INSTANCES
from benchmarks.faults.objective import Objective
from benchmarks.faults.objective import Trained
import optuna_robust as opr


# What ends so shortly before a kill may not have reached the database, seconds.
MARGIN = 0.5


class Count(NamedTuple):
    """What came of a run.

    Args:
        trained:
            Instances in the store.
        lost:
            Instances that ended, and are not in the store.
        doubled:
            Finished instances that were trained again.
        wrong:
            Why the decision is not that of an undisturbed run; empty if it is.
    """

    trained: int
    lost: list[Trained]
    doubled: list[Trained]
    wrong: str


def count(run: Run, deaths: Mapping[int, float]) -> Count:
    """Return what came of a run, from the objective's log, the store and the decision."""
    events = run.objective.events()
    with closing(opr.InstanceStore(run.store, "faults")) as store:
        kept = {
            (each.params["model"], each.number): each.outcome.loss
            for each in store.instances()
            if each.outcome is not None
        }
    decided = json.loads(Path(run.decision).read_text())
    expected = _undisturbed(run, events) if run.kind == "selection" else None
    return Count(
        len(kept),
        lost(events, kept, deaths),
        doubled(events, deaths),
        _difference(decided, expected),
    )


def lost(
    events: Sequence[Event], kept: Mapping[Trained, object], deaths: Mapping[int, float]
) -> list[Trained]:
    """Return the instances that ended well before their process was killed, and are not kept."""
    return sorted(
        {each.instance for each in events if _is_safe(each, deaths) and each.instance not in kept}
    )


def doubled(events: Sequence[Event], deaths: Mapping[int, float]) -> list[Trained]:
    """Return the instances that began after they had ended well before any kill."""
    finished: set[Trained] = set()
    again: set[Trained] = set()
    for event in events:
        if event.kind == "begin" and event.instance in finished:
            again.add(event.instance)
        if _is_safe(event, deaths):
            finished.add(event.instance)
    return sorted(again)


def _is_safe(event: Event, deaths: Mapping[int, float]) -> bool:
    return event.kind == "end" and event.at < deaths.get(event.pid, float("inf")) - MARGIN


def _undisturbed(run: Run, events: Sequence[Event]) -> dict[str, Any]:
    """Return what a selection decides that nothing disturbs; what hung or leaked has failed."""
    failed = [each.instance for each in events if each.kind == "fault" and run.misdeed in FAILING]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        objective = replace(Objective(f"{folder}/log"), raises=failed[0] if failed else None)
        decided = select(objective, None, n_jobs=1, timeout=None)
    undisturbed: dict[str, Any] = json.loads(json.dumps(decided))
    return undisturbed


def _difference(decided: dict[str, Any], expected: dict[str, Any] | None) -> str:
    if expected is None:
        complete = decided["n_instances"] == N_INSTANCES
        return "" if complete else f"its best model has {decided['n_instances']} instances"
    return "" if decided == expected else f"{decided['best']} instead of {expected['best']}"
