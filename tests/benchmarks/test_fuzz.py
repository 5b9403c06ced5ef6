"""Hostile arguments for public functions: what counts as clear, and that all errors do."""

from __future__ import annotations

from typing import Any

from benchmarks import fuzz
from benchmarks.fuzz import Target


def test_no_error_is_unclear() -> None:
    counts, unclear = fuzz.fuzz(250, seed=1)
    assert unclear == []
    assert sum(counts.values()) == 250
    assert sum(n for (_, kind), n in counts.items() if kind == "clear") > 150


def test_errors_from_within_are_unclear() -> None:
    def breaks(**arguments: Any) -> None:
        {}["x"]

    target = Target("breaks", breaks, dict, ("x",))
    found = fuzz.call(target, {"x": "<script>"})
    assert isinstance(found, fuzz.Unclear)
    assert found.error.startswith("KeyError")
    assert fuzz.call(Target("works", dict, dict, ("x",)), {"x": 1}) == "result"
