from __future__ import annotations

import pytest

from benchmarks.publishing import measure
from benchmarks.publishing import STORAGES
from benchmarks.publishing import table


@pytest.mark.parametrize(
    "kind", ["memory", *(pytest.param(kind, marks=pytest.mark.slow) for kind in STORAGES[1:])]
)
def test_a_study_is_published_on_every_storage(kind: str) -> None:
    (found,) = measure(kind, n_trials=12, n_params=2, n_repeats=1)
    assert found.n_bytes > 10_000
    assert found.n_attributes > 10
    *_, row = table({kind: [found]}).splitlines()
    assert row.startswith(f"| {kind} | ")
    assert f"| {found.n_bytes / 1000:.0f} | {found.n_attributes} |" in row
