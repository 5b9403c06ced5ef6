"""The numbers of the report, with 95 % intervals over search seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
import math
from typing import Literal
from typing import TypeAlias

import numpy as np
from scipy import stats

from benchmarks.estimates import CONFIDENCE
from benchmarks.estimates import Estimate
from benchmarks.estimates import mean
from benchmarks.search_cost.runner import Outcome
from optuna_robust._base.arrays import FloatArray
from optuna_robust.comparison import holm


Verdict: TypeAlias = Literal["lower", "higher", "not told apart"]

_ALPHA = 1 - CONFIDENCE
_N_RESAMPLES = 4000
# Of the scale of the values: nothing is left to gain.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Point:
    """An arm on a problem at a budget.

    Attributes:
        problem: The problem.
        arm: The arm.
        budget: Trainings that it was given.
        truth: Mean of what returned models are worth.
        excess: The same over the best possible.
        n_trainings: Mean of the trainings that it spent.
        seconds: Mean of the seconds that a search took.
    """

    problem: str
    arm: str
    budget: int
    truth: Estimate
    excess: Estimate
    n_trainings: Estimate
    seconds: Estimate


@dataclass(frozen=True)
class Versus:
    """An arm beside the reference at the same budget, search seed by search seed.

    Attributes:
        problem: The problem.
        arm: The arm.
        budget: Trainings that both were given.
        n_seeds: Search seeds.
        wins: At how many its model is worth more; ties count half.
        difference: Mean of arm - reference, with a t interval; negative is better for the arm.
        share: The same, divided by the reference's mean excess over the best possible, with a
            bootstrap interval; NaN if it has none.
        p_value: Of a paired t test, corrected by Holm over the problems.
        verdict: Whether that is significant at 5 %, and which way.
    """

    problem: str
    arm: str
    budget: int
    n_seeds: int
    wins: float
    difference: Estimate
    share: Estimate
    p_value: float
    verdict: Verdict


@dataclass(frozen=True)
class Reached:
    """When an arm is as good as the reference at its largest budget.

    Attributes:
        problem: The problem.
        arm: The arm.
        budget: The smallest at which its mean is no worse; None if there is none.
    """

    problem: str
    arm: str
    budget: int | None


def points(outcomes: Sequence[Outcome]) -> list[Point]:
    """Return every arm on every problem at every budget, in the order of the outcomes."""
    groups: dict[tuple[str, str, int], list[Outcome]] = {}
    for outcome in outcomes:
        search = outcome.search
        groups.setdefault((search.problem, search.arm, search.budget), []).append(outcome)
    return [
        Point(
            *key,
            truth=mean([each.truth for each in group]),
            excess=mean([each.truth - each.best for each in group]),
            n_trainings=mean([each.n_trainings for each in group]),
            seconds=mean([each.seconds for each in group]),
        )
        for key, group in groups.items()
    ]


def versus(outcomes: Sequence[Outcome], reference: str) -> list[Versus]:
    """Compare all other arms with the reference, at the same seeds and budgets."""
    by_arm: dict[tuple[str, int], list[Versus]] = {}
    for point in points(outcomes):
        if point.arm == reference:
            continue
        ours, theirs = (
            _of(outcomes, point.problem, arm, point.budget) for arm in (point.arm, reference)
        )
        seeds = sorted(ours.keys() & theirs.keys())
        if seeds:
            pairs = [(ours[seed], theirs[seed]) for seed in seeds]
            by_arm.setdefault((point.arm, point.budget), []).append(_versus(point, pairs))
    found: list[Versus] = []
    for group in by_arm.values():
        corrected = holm([each.p_value for each in group])
        found += [_corrected(each, float(p)) for each, p in zip(group, corrected, strict=True)]
    return found


def reached(outcomes: Sequence[Outcome], reference: str) -> list[Reached]:
    """Return at which budget every arm is as good as the reference at its largest."""
    found = points(outcomes)
    goals: dict[str, tuple[int, float]] = {}
    for point in found:
        if point.arm == reference and point.budget >= goals.get(point.problem, (0, 0.0))[0]:
            goals[point.problem] = (point.budget, point.truth.value)
    budgets: dict[tuple[str, str], list[int]] = {}
    for point in found:
        if point.problem in goals:
            there = budgets.setdefault((point.problem, point.arm), [])
            if point.truth.value <= goals[point.problem][1]:
                there.append(point.budget)
    return [
        Reached(problem, arm, min(there, default=None))
        for (problem, arm), there in budgets.items()
    ]


def share_of_excess(differences: FloatArray, excesses: FloatArray, scale: float) -> Estimate:
    """Return a mean difference as a share of a mean excess, with a percentile interval.

    Args:
        differences:
            By seed.
        excesses:
            Of the reference, by seed.
        scale:
            Of the values; an excess that is nothing beside it has no share.
    """
    nothing = _ROUNDING * scale
    if excesses.mean() <= nothing:
        return Estimate(math.nan)
    value = float(differences.mean() / excesses.mean())
    n = len(differences)
    if n < 2:
        return Estimate(value)
    chosen = np.random.default_rng(0).integers(n, size=(_N_RESAMPLES, n))
    below = excesses[chosen].mean(axis=1)
    ratios = differences[chosen].mean(axis=1)[below > nothing] / below[below > nothing]
    low, high = np.quantile(ratios, [_ALPHA / 2, 1 - _ALPHA / 2])
    return Estimate(value, float(low), float(high))


def _of(outcomes: Sequence[Outcome], problem: str, arm: str, budget: int) -> dict[int, Outcome]:
    return {
        each.search.seed: each
        for each in outcomes
        if (each.search.problem, each.search.arm, each.search.budget) == (problem, arm, budget)
    }


def _versus(point: Point, pairs: Sequence[tuple[Outcome, Outcome]]) -> Versus:
    differences = np.array([ours.truth - theirs.truth for ours, theirs in pairs])
    excesses = np.array([theirs.truth - theirs.best for _, theirs in pairs])
    scale = max(max(abs(ours.truth), abs(theirs.truth)) for ours, theirs in pairs)
    differences[np.abs(differences) <= _ROUNDING * scale] = 0.0
    return Versus(
        problem=point.problem,
        arm=point.arm,
        budget=point.budget,
        n_seeds=len(pairs),
        wins=float(np.sum(differences < 0.0) + 0.5 * np.sum(differences == 0.0)),
        difference=mean(differences),
        share=share_of_excess(differences, excesses, scale),
        p_value=_p_value(differences),
        verdict="not told apart",
    )


def _p_value(differences: FloatArray) -> float:
    if len(differences) < 2 or not differences.any():
        return 1.0
    if differences.std() == 0.0:
        return 0.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def _corrected(found: Versus, p_value: float) -> Versus:
    verdict: Verdict = "not told apart"
    if p_value < _ALPHA:
        verdict = "lower" if found.difference.value < 0.0 else "higher"
    return replace(found, p_value=p_value, verdict=verdict)
