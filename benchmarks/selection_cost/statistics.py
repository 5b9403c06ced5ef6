"""The numbers of the report, with 95 % intervals over replays."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Literal
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.estimates import CONFIDENCE
from benchmarks.estimates import Estimate
from benchmarks.estimates import mean
from benchmarks.estimates import wilson
from benchmarks.selection_cost.arms import HALVING
from benchmarks.selection_cost.arms import RACE
from benchmarks.selection_cost.runner import ArmReplays
from benchmarks.selection_cost.runner import Case
from benchmarks.selection_cost.runner import is_within


_QUANTILE = 0.95

Verdict: TypeAlias = Literal[
    "lower", "not significantly higher", "significantly higher", "none is as cheap"
]


@dataclass(frozen=True)
class Summary:
    """What replays say of an arm.

    Attributes:
        name: The arm.
        kind: Its kind.
        n_replays: Over how many replays.
        trainings: Mean trainings, a model.
        at_best: How often it ended at the best model.
        within: How often it ended within the tolerance of the best.
        regret: Mean regret.
        regret_quantile: 95 % quantile of the regret.
        error_rate: How often no survivor was within the tolerance of the population's best; None
            where not known.
        population_regret: Mean regret by the criterion of the population; None where not known.
    """

    name: str
    kind: str
    n_replays: int
    trainings: Estimate
    at_best: Estimate
    within: Estimate
    regret: Estimate
    regret_quantile: Estimate
    error_rate: Estimate | None
    population_regret: Estimate | None


@dataclass(frozen=True)
class Versus:
    """A setting of Algorithm 1 beside the setting of the race that replaces it best.

    Attributes:
        halving: The setting of Algorithm 1.
        halving_trainings: Its mean trainings, a model.
        race: The setting of the race, of those with no more trainings, with the lowest mean
            regret; the cheapest where none is as cheap.
        race_trainings: Its mean trainings, a model.
        difference: Mean difference of the regrets on the same replays, race - halving.
        verdict: What the difference says.
    """

    halving: str
    halving_trainings: float
    race: str
    race_trainings: float
    difference: Estimate
    verdict: Verdict


def quantile(values: npt.ArrayLike, share: float = _QUANTILE) -> Estimate:
    """Return a quantile with the interval between two order statistics.

    The number of values below the quantile is binomial (e.g. Conover 1999, section 3.2). Too few
    values have no upper bound: it is infinite.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    low = int(stats.binom.ppf((1 - CONFIDENCE) / 2, n, share))
    high = int(stats.binom.ppf((1 + CONFIDENCE) / 2, n, share)) + 1
    return Estimate(
        float(np.quantile(ordered, share)),
        float(ordered[max(low, 1) - 1]),
        float(ordered[high - 1]) if high <= n else math.inf,
    )


def summaries(case: Case) -> list[Summary]:
    """Return what replays say of the arms of a case, the cheapest first."""
    found = [_summary(arm, case.tolerance) for arm in case.arms]
    return sorted(found, key=lambda each: (each.trainings.value, each.regret.value))


def front(found: list[Summary]) -> list[Summary]:
    """Return the arms than which none is both cheaper and better on average, cheapest first.

    Arms with fewer replays than others are left out: their averages are too uncertain.

    Args:
        found:
            Summaries, the cheapest first.
    """
    most = max(summary.n_replays for summary in found)
    kept: list[Summary] = []
    for summary in found:
        if summary.n_replays < most:
            continue
        if not kept or summary.regret.value < kept[-1].regret.value:
            kept.append(summary)
    return kept


def versus_halving(case: Case) -> list[Versus]:
    """Compare every setting of Algorithm 1 with the settings of the race, replay by replay."""
    races = [arm for arm in case.arms if arm.kind == RACE]
    if not races:
        return []
    return [_versus(arm, races) for arm in case.arms if arm.kind == HALVING]


def _summary(arm: ArmReplays, tolerance: float) -> Summary:
    n = len(arm.regret)
    return Summary(
        name=arm.name,
        kind=arm.kind,
        n_replays=n,
        trainings=mean(arm.trainings),
        at_best=wilson(int(np.count_nonzero(arm.regret == 0.0)), n),
        within=wilson(int(np.count_nonzero(is_within(arm.regret, tolerance))), n),
        regret=mean(arm.regret),
        regret_quantile=quantile(arm.regret),
        error_rate=None if arm.lost is None else wilson(int(np.count_nonzero(arm.lost)), n),
        population_regret=(None if arm.population_regret is None else mean(arm.population_regret)),
    )


def _versus(halving: ArmReplays, races: list[ArmReplays]) -> Versus:
    cost = float(halving.trainings.mean())
    cheap = [race for race in races if race.trainings.mean() <= cost * (1 + 1e-12)]
    if cheap:
        race = min(cheap, key=lambda each: float(each.regret.mean()))
    else:
        race = min(races, key=lambda each: float(each.trainings.mean()))
    difference = mean(race.regret - halving.regret)
    verdict: Verdict
    if not cheap:
        verdict = "none is as cheap"
    elif difference.high < 0.0:
        verdict = "lower"
    elif difference.low > 0.0:
        verdict = "significantly higher"
    else:
        verdict = "not significantly higher"
    return Versus(
        halving=halving.name,
        halving_trainings=cost,
        race=race.name,
        race_trainings=float(race.trainings.mean()),
        difference=difference,
        verdict=verdict,
    )
