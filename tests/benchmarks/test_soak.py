"""Searches whose workers are killed: what is counted as lost, or as trained twice."""

from __future__ import annotations

from pathlib import Path
import random

import pytest

from benchmarks import soak
from benchmarks.soak import Event
import optuna_robust as opr


A, B = ("a", 0), ("b", 0)


def event(kind: str, instance: tuple[str, int], at: float, pid: int) -> Event:
    return Event(kind, instance, at, pid, 0)


def test_an_end_that_is_not_kept_is_lost_unless_its_process_was_killed_just_then() -> None:
    events = [event("end", A, 10.0, 1), event("end", B, 10.0, 2)]
    assert soak.lost_instances(events, {A, B}, {}) == []
    assert soak.lost_instances(events, {A}, {2: 10.5}) == []
    assert [each.instance for each in soak.lost_instances(events, {A}, {2: 15.0})] == [B]
    assert [each.instance for each in soak.lost_instances(events, {A}, {})] == [B]


def test_a_second_beginning_is_right_only_after_a_kill() -> None:
    first, again = event("begin", A, 10.0, 1), event("begin", A, 20.0, 2)
    end = event("end", A, 11.0, 1)
    assert soak.trained_twice([first, again], {1: 15.0}) == []
    assert soak.trained_twice([first, end, again], {1: 11.5}) == []
    assert soak.trained_twice([first, end, again], {1: 15.0}) == [A]
    assert soak.trained_twice([first, again], {}) == [A]
    assert soak.trained_twice([first, end, event("begin", B, 12.0, 1)], {}) == []


@pytest.mark.slow
def test_a_short_soak(tmp_path: Path) -> None:
    objective, url = soak.Objective(str(tmp_path / "log")), f"sqlite:///{tmp_path / 'soak.db'}"
    kills = soak.search(
        url, objective, seconds=12, n_workers=2, kill_every=4, random=random.Random(0)
    )
    events = objective.events()
    store = opr.InstanceStore(url, "soak")
    kept = {(each.model_key, each.number) for each in store.instances() if each.outcome}
    store.close()
    assert len(kills) > 2
    assert kept
    assert soak.lost_instances(events, kept, kills) == []
    assert soak.trained_twice(events, kills) == []
    assert "latency" in soak.periods_table(events, events[0].at)
