"""All arms on all replays, in processes with one thread each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import NamedTuple
import zlib

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from benchmarks.processes import run_in_processes
from benchmarks.selection_cost.arms import Arm
from benchmarks.selection_cost.arms import RACE
from benchmarks.selection_cost.arms import rule_arms
from benchmarks.selection_cost.arms import Terms
from benchmarks.selection_cost.peers import peer_arms
from benchmarks.selection_cost.problems import default_tolerance
from benchmarks.selection_cost.problems import generator
from benchmarks.selection_cost.problems import Problem
from benchmarks.selection_cost.race import Outcome
from optuna_robust._base.arrays import FloatArray
from optuna_robust._base.progress import seconds_between_updates
from optuna_robust._statistics.criteria import is_better
from optuna_robust.criteria import get_criterion


_FEWEST_REPLAYS = 2
_REPLAYS_A_TASK = 4
# A regret that equals the tolerance up to rounding is within it.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Plan:
    """What every problem is given.

    Attributes:
        n_replays: Replays of a problem of the usual size.
        n_slow_replays: Of these, the first so many for the arms that are slow.
        n_race_replays: The first so many are for the race, which takes longer than other rules.
            None: all.
        tolerance: How much worse than the best a model may be; None: what suits the problem.
        seed: All randomness comes from it.
    """

    n_replays: int
    n_slow_replays: int
    tolerance: float | None
    seed: int
    n_race_replays: int | None = None

    def replays(self, problem: Problem) -> int:
        """Return how many replays a problem gets."""
        return _share(self.n_replays, problem.replay_share)

    def slow_replays(self, problem: Problem) -> int:
        """Return how many replays the slow arms of a problem get."""
        return min(self.replays(problem), _share(self.n_slow_replays, problem.replay_share))

    def replays_of(self, arm: Arm, problem: Problem) -> int:
        """Return how many replays an arm of a problem gets."""
        if arm.is_slow:
            return self.slow_replays(problem)
        if arm.kind == RACE and self.n_race_replays is not None:
            return min(self.replays(problem), _share(self.n_race_replays, problem.replay_share))
        return self.replays(problem)

    def tolerance_of(self, problem: Problem) -> float:
        """Return how much worse than the best a model of a problem may be."""
        return default_tolerance(problem) if self.tolerance is None else self.tolerance


@dataclass(frozen=True)
class ArmReplays:
    """What an arm did, replay by replay, from the first.

    Attributes:
        name: The arm.
        kind: Its kind.
        trainings: Instances trained, a model.
        regret: How much worse the winner is than the best, by the criterion over all instances.
        population_regret: The same by the criterion of the population; None where not known.
        lost: Whether no survivor is within the tolerance of the population's best; None where not
            known.
    """

    name: str
    kind: str
    trainings: FloatArray
    regret: FloatArray
    population_regret: FloatArray | None
    lost: npt.NDArray[np.bool_] | None


@dataclass(frozen=True)
class Case:
    """A problem and a criterion, with what all arms did."""

    problem: str
    about: str
    criterion: str
    n_models: int
    n_instances: int
    tolerance: float
    n_replays: int
    arms: tuple[ArmReplays, ...]


class _Record(NamedTuple):
    name: str
    kind: str
    trainings: float
    regret: float
    population_regret: float | None
    lost: bool | None


class _Task(NamedTuple):
    case: int
    replays: range


def run_cases(
    problems: Sequence[Problem], criteria: Sequence[str], plan: Plan, *, n_jobs: int
) -> list[Case]:
    """Replay all arms on all problems by all criteria.

    Args:
        problems:
            What to replay on.
        criteria:
            Names of criteria.
        plan:
            What every problem is given.
        n_jobs:
            Number of processes; the result is the same.
    """
    wanted = [(problem, criterion) for problem in problems for criterion in criteria]
    tasks = [
        _Task(case, range(first, min(first + _REPLAYS_A_TASK, plan.replays(problem))))
        for case, (problem, _) in enumerate(wanted)
        for first in range(0, plan.replays(problem), _REPLAYS_A_TASK)
    ]
    records: list[list[_Record]] = [[] for _ in tasks]

    def replay(task: _Task) -> list[_Record]:
        return _replay(*wanted[task.case], task.replays, plan)

    with tqdm(
        total=sum(len(task.replays) for task in tasks),
        unit=" replays",
        mininterval=seconds_between_updates(),
    ) as bar:
        for index, found in run_in_processes(replay, tasks, n_jobs=n_jobs):
            records[index] = found
            bar.update(len(tasks[index].replays))
    return [
        _case(
            problem,
            criterion,
            plan,
            [
                record
                for task, found in zip(tasks, records, strict=True)
                if task.case == case
                for record in found
            ],
        )
        for case, (problem, criterion) in enumerate(wanted)
    ]


def _replay(
    problem: Problem, criterion_name: str, numbers: Sequence[int], plan: Plan
) -> list[_Record]:
    criterion = get_criterion(criterion_name)
    tolerance = plan.tolerance_of(problem)
    terms = Terms(
        criterion,
        problem.n_models,
        problem.n_instances,
        tolerance,
        problem.has_ties,
        problem.models,
    )
    arms = [*rule_arms(terms), *peer_arms(terms)]
    records = []
    for number in numbers:
        draw = problem.draw(generator(problem, number, seed=plan.seed))
        true = criterion.score(draw.losses)
        population = None if draw.population is None else draw.population.value(criterion_name)
        for arm in arms:
            if number >= plan.replays_of(arm, problem):
                continue
            outcome = arm.select(draw.losses, _generator_of(arm, number, plan.seed))
            records.append(_record(arm, outcome, true, population, tolerance))
    return records


def _generator_of(arm: Arm, number: int, seed: int) -> np.random.Generator:
    key = (zlib.crc32(arm.name.encode()), number)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _record(
    arm: Arm,
    outcome: Outcome,
    true: FloatArray,
    population: FloatArray | None,
    tolerance: float,
) -> _Record:
    return _Record(
        arm.name,
        arm.kind,
        outcome.n_trainings / len(true),
        _regret(true, [outcome.winner]),
        None if population is None else _regret(population, [outcome.winner]),
        None
        if population is None
        else not is_within(_regret(population, outcome.survivors), tolerance),
    )


def _regret(true: FloatArray, models: Sequence[int]) -> float:
    """Return how much worse the best of some models is than the best of all; 0 for a tie."""
    best, found = true.min(), true[list(models)].min()
    return float(found - best) if is_better(best, found) else 0.0


def is_within(regret: npt.ArrayLike, tolerance: float) -> npt.NDArray[np.bool_]:
    """Tell which regrets are no more than the tolerance."""
    return np.asarray(np.asarray(regret) <= tolerance * (1 + _ROUNDING) + 1e-15)


def _case(problem: Problem, criterion: str, plan: Plan, records: Sequence[_Record]) -> Case:
    by_arm: dict[tuple[str, str], list[_Record]] = defaultdict(list)
    for record in records:
        by_arm[record.name, record.kind].append(record)
    return Case(
        problem=problem.name,
        about=problem.about,
        criterion=criterion,
        n_models=problem.n_models,
        n_instances=problem.n_instances,
        tolerance=plan.tolerance_of(problem),
        n_replays=plan.replays(problem),
        arms=tuple(_arm(name, kind, found) for (name, kind), found in by_arm.items()),
    )


def _arm(name: str, kind: str, records: Sequence[_Record]) -> ArmReplays:
    known = all(record.lost is not None for record in records)
    return ArmReplays(
        name,
        kind,
        np.array([record.trainings for record in records]),
        np.array([record.regret for record in records]),
        np.array([record.population_regret for record in records], dtype=float) if known else None,
        np.array([record.lost for record in records], dtype=bool) if known else None,
    )


def _share(number: int, share: float) -> int:
    return min(number, max(_FEWEST_REPLAYS, math.ceil(number * share)))
