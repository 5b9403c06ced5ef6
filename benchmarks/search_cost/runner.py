"""All searches, in processes with one thread each; what is finished is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
import hashlib
from importlib.metadata import version
from itertools import groupby
import time
from typing import Any
import warnings

import optuna
from tqdm import tqdm

from benchmarks import fingerprints
from benchmarks.processes import run_in_processes
from benchmarks.resumable import FinishedWork
from benchmarks.search_cost.arms import Arm
from benchmarks.search_cost.arms import ARMS
from benchmarks.search_cost.problems import Problem
from optuna_robust._base.progress import seconds_between_updates


_VERSIONS = ("optuna", "numpy", "scipy")
_CODE = tuple(
    f"benchmarks.search_cost.{name}"
    for name in ("arms", "families", "family", "noise", "peers", "problems", "space", "trained")
)


@dataclass(frozen=True, order=True)
class Search:
    """One search: of a problem, by an arm, with a seed and a budget."""

    problem: str
    arm: str
    seed: int
    budget: int


@dataclass(frozen=True)
class Outcome:
    """What came of a search.

    Attributes:
        search: The search.
        truth: What the returned model is worth; smaller is better.
        best: What the best possible model is worth.
        params: The returned model.
        n_trainings: Trainings that were spent.
        seconds: The search took, with all budgets that it was the beginning of.
    """

    search: Search
    truth: float
    best: float
    params: dict[str, Any]
    n_trainings: int
    seconds: float


@dataclass(frozen=True)
class _Piece:
    """Searches that are the beginnings of one another."""

    problem: Problem
    searches: tuple[Search, ...]


def run_searches(
    problems: Sequence[Problem],
    searches: Sequence[Search],
    finished: FinishedWork,
    *,
    n_jobs: int,
) -> list[Outcome]:
    """Run the searches that are not finished, and return what came of all.

    Args:
        problems:
            What is searched on.
        searches:
            They are begun in this order; those of one search with several budgets together.
        finished:
            Gets the record of every search when it ends.
        n_jobs:
            Number of processes; the result is the same.
    """
    by_name = {problem.name: problem for problem in problems}
    keys = _Keys(by_name)
    open_searches = [each for each in searches if finished.get(keys.of(each)) is None]
    pieces = _pieces(by_name, open_searches)
    with tqdm(
        total=len(searches),
        initial=len(searches) - len(open_searches),
        unit=" searches",
        mininterval=seconds_between_updates(),
    ) as bar:
        for _, records in run_in_processes(_search, pieces, n_jobs=n_jobs):
            for search, record in records:
                finished.add(keys.of(search), record)
            bar.update(len(records))
    bests: dict[tuple[str, int], float] = {}
    return [_outcome(by_name, each, finished.get(keys.of(each)), bests) for each in searches]


def _pieces(problems: dict[str, Problem], searches: Sequence[Search]) -> list[_Piece]:
    pieces = []
    for (name, arm, _), group in groupby(
        searches, lambda each: (each.problem, each.arm, each.seed)
    ):
        alike = sorted(group, key=lambda each: each.budget)
        for together in [alike] if ARMS[arm].is_anytime else [[each] for each in alike]:
            pieces.append(_Piece(problems[name], tuple(together)))
    return pieces


def _search(piece: _Piece) -> list[tuple[Search, dict[str, Any]]]:
    first = piece.searches[0]
    landscape = piece.problem.landscape(first.seed)
    start = time.perf_counter()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Of a model that fails in every instance, and of what Optuna calls experimental.
            warnings.simplefilter("ignore")
            found = ARMS[first.arm].search(
                landscape, first.seed, [search.budget for search in piece.searches]
            )
    finally:
        optuna.logging.set_verbosity(verbosity)
    seconds = time.perf_counter() - start
    return [
        (
            search,
            {
                "truth": landscape.truth(each.params),
                "params": each.params,
                "n_trainings": each.n_trainings,
                "seconds": seconds,
            },
        )
        for search, each in zip(piece.searches, found, strict=True)
    ]


def _outcome(
    problems: dict[str, Problem],
    search: Search,
    record: dict[str, Any] | None,
    bests: dict[tuple[str, int], float],
) -> Outcome:
    assert record is not None
    at = (search.problem, search.seed)
    if at not in bests:
        bests[at] = problems[search.problem].landscape(search.seed).best()
    return Outcome(search=search, best=bests[at], **record)


class _Keys:
    """What searches depend on: only what has all of it in common is put together."""

    def __init__(self, problems: dict[str, Problem]) -> None:
        self._contents = {
            name: hashlib.sha256(problem.contents.encode()).hexdigest()[:12]
            for name, problem in problems.items()
        }
        self._circumstances: dict[str, dict[str, str]] = {}

    def of(self, search: Search) -> dict[str, Any]:
        """Return what a search depends on."""
        if search.arm not in self._circumstances:
            self._circumstances[search.arm] = _circumstances(ARMS[search.arm])
        return {
            **asdict(search),
            "contents": self._contents[search.problem],
            **self._circumstances[search.arm],
        }


def _circumstances(arm: Arm) -> dict[str, str]:
    packages = [*_VERSIONS, *([] if arm.package is None else [arm.package])]
    return {
        **{name: version(name) for name in packages},
        "code": fingerprints.of_code(*_CODE, *arm.code),
    }
