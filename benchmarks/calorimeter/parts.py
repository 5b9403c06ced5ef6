"""The three disjoint parts of a file of events: training population, validation, test."""

from __future__ import annotations

from functools import cached_property
from functools import lru_cache
from pathlib import Path
from typing import Literal
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.calorimeter.events import Events
from benchmarks.calorimeter.events import EventSource
from benchmarks.calorimeter.events_file import EventsFile
from benchmarks.calorimeter.inputs import prepare
from benchmarks.calorimeter.inputs import Prepared
from benchmarks.calorimeter.inputs import Problem


JudgedPart: TypeAlias = Literal["validation", "test"]

# Of each of the parts that models are judged by: this share of all events, and so many at most.
_SHARE, _MOST = 0.15, 10_000
# A file may be sorted. Which event is in which part is the same for all.
_SEED_OF_SPLIT = 0


class Parts:
    """Events of a source, split at random, the same way each time.

    Args:
        source:
            All events.

    Raises:
        ValueError: If there are too few for three parts.
    """

    def __init__(self, source: EventSource) -> None:
        n, n_judged = len(source), min(_MOST, int(_SHARE * len(source)))
        if n_judged < 1:
            raise ValueError(f"There must be at least {1 / _SHARE:.0f} events, but were {n}.")
        rows = np.random.default_rng(_SEED_OF_SPLIT).permutation(n)
        self._source = source
        self._rows: dict[str, npt.NDArray[np.int64]] = {
            "validation": rows[:n_judged],
            "test": rows[n_judged : 2 * n_judged],
            "population": rows[2 * n_judged :],
        }
        self._prepared: dict[tuple[str, Problem], Prepared] = {}

    @property
    def n_population(self) -> int:
        """Events that training samples are drawn from."""
        return len(self._rows["population"])

    @cached_property
    def validation(self) -> Events:
        """What a search sees the losses of."""
        return self._source.take(self._rows["validation"])

    @cached_property
    def test(self) -> Events:
        """What no search sees."""
        return self._source.take(self._rows["test"])

    def sample(self, rows: npt.NDArray[np.int64]) -> Events:
        """Return events of the population; a file is not read whole."""
        return self._source.take(self._rows["population"][rows])

    def prepared(
        self, part: Literal["population", "validation", "test"], problem: Problem
    ) -> Prepared:
        """Return a whole part as tensors."""
        if (part, problem) not in self._prepared:
            events = self._source.take(self._rows[part])
            self._prepared[part, problem] = prepare(events, problem)
        return self._prepared[part, problem]


@lru_cache(maxsize=2)
def parts_of(path: Path) -> Parts:
    """Return the parts of a file, which a process reads once."""
    return Parts(EventsFile(path, check_values=False))
