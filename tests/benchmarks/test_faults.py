"""Faults on purpose: what is counted, and that a few of them cost nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.faults.counting import doubled
from benchmarks.faults.counting import lost
from benchmarks.faults.objective import Event


A, B = (3, 0), (4, 1)


def test_an_end_that_is_not_kept_is_lost_unless_its_process_was_killed_just_then() -> None:
    events = [Event("end", A, 10.0, 1), Event("end", B, 10.0, 2)]
    assert lost(events, {A: 0.0, B: 0.0}, {}) == []
    assert lost(events, {A: 0.0}, {}) == [B]
    assert lost(events, {A: 0.0}, {2: 10.1}) == []
    assert lost(events, {A: 0.0}, {2: 15.0}) == [B]


def test_what_begins_after_it_has_ended_is_doubled() -> None:
    first, end, again = (
        Event("begin", A, 10.0, 1),
        Event("end", A, 11.0, 1),
        Event("begin", A, 20.0, 2),
    )
    assert doubled([first, again], {1: 10.5}) == []
    assert doubled([first, end, again], {}) == [A]
    assert doubled([first, end, again], {1: 11.1}) == []
    assert doubled([first, end, again], {1: 15.0}) == [A]


@pytest.mark.slow
def test_a_killed_driver_and_a_worker_that_exits_cost_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = ["store truncated", "os._exit"]
    assert main(["faults", "--times", "1", "--out", str(tmp_path), "--only", *kinds]) == 0
    assert "4 faults, 0 with a loss" in capsys.readouterr().out
    rows = json.loads((tmp_path / "faults.json").read_text())
    assert [row["error"] for row in rows] == [""] * 4
