"""All work of the benchmark: what is there already, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import replace
import math

from benchmarks.nas_vs_robust.archive import Archive
from benchmarks.nas_vs_robust.plan import ArmName
from benchmarks.nas_vs_robust.plan import ARMS
from benchmarks.nas_vs_robust.plan import fewest_trainings
from benchmarks.nas_vs_robust.plan import Outcome
from benchmarks.nas_vs_robust.plan import Plan
from benchmarks.nas_vs_robust.plan import Row
from benchmarks.nas_vs_robust.plan import Search
from benchmarks.nas_vs_robust.runner import Piece
from benchmarks.nas_vs_robust.runner import run_pieces
from benchmarks.nas_vs_robust.work import Bench


# At equal seconds, winners are confirmed by so many fresh instances at most.
_MOST_TIMED = 20
# Searches that take less are not compared by time.
_FEWEST_SECONDS = 1.0


def measure(
    archive: Archive,
    bench: Bench,
    plan: Plan,
    *,
    arms: Sequence[ArmName],
    budgets: Sequence[int],
    seeds: Sequence[int],
    rows: Sequence[str],
    equal_seconds: bool,
    n_jobs: int,
) -> tuple[list[Outcome], list[Outcome], list[Row]]:
    """Do what the archive does not have, and return all that was found.

    Args:
        archive:
            What is finished.
        bench:
            Task and database.
        plan:
            What searches of all budgets are given.
        arms:
            Which arms.
        budgets:
            How many instances searches may train, ascending. An instance is trained once for all.
        seeds:
            Search seeds.
        rows:
            Names of fixed models.
        equal_seconds:
            Whether to compare at equal seconds, too, where there is one budget.
        n_jobs:
            Number of processes.

    Returns:
        Outcomes at equal trainings, outcomes at equal seconds (none for one arm, or where nothing
        takes time), and fixed rows.
    """
    searches = [
        Search(arm, seed, trainings) for trainings in budgets for arm in arms for seed in seeds
    ]
    # Rows first: boosted trees take long, and at the end they would be waited for.
    wanted: list[Search | str] = [*rows, *sorted(searches, key=_turn)]
    pieces = [Piece(each, plan) for each in wanted]
    _finish(archive, bench, pieces, n_jobs=n_jobs)
    outcomes = [archive.outcome(search) for search in searches]
    rows_found = [archive.row(name) for name in rows]
    shorter = _shorter(outcomes) if equal_seconds and len(budgets) == 1 else {}
    if not shorter:
        return outcomes, [], rows_found
    pieces = [Piece(each, _timed_plan(plan)) for each in shorter.values()]
    _finish(archive, bench, pieces, n_jobs=n_jobs)
    timed = [archive.outcome(shorter.get(search, search)) for search in searches]
    return outcomes, timed, rows_found


def n_timed(plan: Plan) -> int:
    """Return by how many fresh instances winners are compared at equal seconds."""
    return min(plan.confirmations, _MOST_TIMED)


def _turn(search: Search) -> tuple[int, int, int]:
    """Order searches: small budgets first, arms in turn, so that none has the quieter hours.

    nas-retrained begins with what nas of its seed trains, and comes after it.
    """
    late = search.arm == "nas-retrained"
    return search.trainings, search.seed + late, ARMS.index(search.arm)


def _shorter(outcomes: Iterable[Outcome]) -> dict[Search, Search]:
    """Return what replaces searches that take longer than the fastest of their seed."""
    by_seed: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        by_seed.setdefault(outcome.search.seed, []).append(outcome)
    found = {}
    for of_seed in by_seed.values():
        fastest = min(outcome.seconds for outcome in of_seed)
        for outcome in of_seed:
            search = outcome.search
            share = fastest / outcome.seconds if fastest > _FEWEST_SECONDS else 1.0
            trainings = max(math.floor(share * search.trainings), fewest_trainings(search.arm))
            if trainings < search.trainings:
                found[search] = replace(search, trainings=trainings, timed=True)
    return found


def _timed_plan(plan: Plan) -> Plan:
    return replace(plan, confirmations=n_timed(plan), sample_sizes=(plan.sample_size,))


def _finish(archive: Archive, bench: Bench, pieces: Iterable[Piece], *, n_jobs: int) -> None:
    pieces = list(pieces)
    missing = [piece for piece in pieces if piece.what not in archive]
    if len(missing) < len(pieces):
        print(f"{len(pieces) - len(missing)} of {len(pieces)} searches and rows are there.")
    if not missing:
        return
    for done in run_pieces(bench, missing, n_jobs=n_jobs):
        if isinstance(done.found, Row):
            archive.add_row(done.found)
        else:
            assert done.storage is not None
            archive.add_outcome(done.found, done.storage)
