"""The numbers of the report: what outcomes say of a winner, an arm, and an arm beside another."""

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
from benchmarks.estimates import geometric_mean
from benchmarks.estimates import mean
from benchmarks.estimates import wilson
from benchmarks.nas_vs_robust.plan import ArmName
from benchmarks.nas_vs_robust.plan import ARMS
from benchmarks.nas_vs_robust.plan import Outcome
from benchmarks.nas_vs_robust.plan import REFERENCE
from optuna_robust.comparison import bootstrap_interval
from optuna_robust.comparison import holm
from optuna_robust.criteria import Criterion
from optuna_robust.criteria import get_criterion


# Statistics of fresh losses, as named in tables and JSON.
CONFIRMED: dict[str, Criterion] = {
    "median": get_criterion("median"),
    "iqr": get_criterion("iqr"),
    "q3+iqr": get_criterion("q3+iqr"),
    "worst": get_criterion("max"),
}
# Winners are compared by this one.
DECISIVE = "q3+iqr"
# Of the paired differences of the decisive statistic.
TEST = "Wilcoxon's signed ranks, two-sided, corrected by Holm (1979)"

Shown: TypeAlias = Literal["better", "worse", "nothing"]

_N_SUBSETS = 4000


@dataclass(frozen=True)
class Comparison:
    """An arm beside the reference, search seed by search seed.

    Attributes:
        arm: The arm.
        reference: What it is compared with.
        n_seeds: Seeds that both have.
        wins: Seeds at which its winner is better by the decisive statistic; ties count half.
        win_rate: Share of these.
        differences: Mean of arm - reference, by statistic; negative is better for the arm.
        change: Geometric mean of the ratios arm / reference of the decisive statistic where all
            are positive, else the mean difference; with the t interval.
        is_ratio: Whether the change is a ratio.
        changes: The same of each seed.
        p_value: Of the decisive differences, by ``TEST``.
        iqr_ratio: Geometric mean of the interquartile ranges, arm / reference; NaN if one of them
            is not finite.
        optimism_ratio: Mean optimism, arm / reference; NaN if one is not finite, or the
            reference's is not positive.
    """

    arm: ArmName
    reference: ArmName
    n_seeds: int
    wins: float
    win_rate: Estimate
    differences: dict[str, Estimate]
    change: Estimate
    is_ratio: bool
    changes: tuple[float, ...]
    p_value: float
    iqr_ratio: Estimate
    optimism_ratio: float

    @property
    def shows(self) -> Shown:
        """What is shown: by the corrected test, and by the interval of the change."""
        if self.p_value > 1.0 - CONFIDENCE:
            return "nothing"
        wins_more = self.wins > self.n_seeds / 2
        if not self.change.has_interval:  # a winner failed
            return "better" if wins_more else "worse"
        unchanged = 1.0 if self.is_ratio else 0.0
        if self.change.high < unchanged and wins_more:
            return "better"
        return "worse" if self.change.low > unchanged and not wins_more else "nothing"


def search_value(outcome: Outcome) -> float:
    """Return the value that a search reported for its winner."""
    return float(get_criterion(outcome.criterion)(outcome.search_losses))


def optimism(outcome: Outcome) -> float:
    """Return how much better the search value is than the same statistic of fresh instances.

    A statistic of few instances is not an estimate of that of many (E[q3+iqr] of a standard
    normal is 1.48 at 5 instances and 1.88 at 20), so that the fresh instances are taken so many
    at a time as the search had: the mean of the criterion over random subsets. Positive = too
    optimistic.
    """
    size = len(outcome.search_losses)
    fresh = np.asarray(outcome.fresh())
    criterion = get_criterion(outcome.criterion)
    if criterion.name == "mean":
        expected = fresh.mean()
    else:
        rng = np.random.default_rng(0)
        subsets = rng.permuted(np.tile(fresh, (_N_SUBSETS, 1)), axis=1)[:, :size]
        expected = criterion(subsets).mean()
    return float(expected) - search_value(outcome)


def confirmed(losses: Sequence[float], name: str) -> Estimate:
    """Return a statistic of fresh losses, with a bootstrap interval.

    The interval is over fresh instances, for this winner and split. The worst has none: resampling
    cannot go beyond the worst loss seen.
    """
    value = float(CONFIRMED[name](losses))
    if name == "worst" or not math.isfinite(value):
        return Estimate(value)
    interval = bootstrap_interval(losses, CONFIRMED[name], confidence=CONFIDENCE)
    return Estimate(value, interval.low, interval.high)


def over_seeds(outcomes: Sequence[Outcome], name: str, n: int | None = None) -> Estimate:
    """Return the mean of a statistic of the first n fresh losses over search seeds."""
    return mean([_of_fresh(outcome, name, n) for outcome in outcomes])


def n_failures(losses: Sequence[float]) -> int:
    """Return how many instances failed."""
    return sum(not math.isfinite(loss) for loss in losses)


def of_arm(outcomes: Sequence[Outcome], arm: ArmName) -> list[Outcome]:
    """Return an arm's outcomes by seed."""
    found = [each for each in outcomes if each.search.arm == arm]
    return sorted(found, key=lambda each: each.search.seed)


def arms_of(outcomes: Sequence[Outcome]) -> list[ArmName]:
    """Return the arms that there are, in the order of the plan."""
    there = {outcome.search.arm for outcome in outcomes}
    return [arm for arm in ARMS if arm in there]


def budgets_of(outcomes: Sequence[Outcome]) -> list[int]:
    """Return how many trainings searches were given, ascending."""
    return sorted({outcome.search.trainings for outcome in outcomes})


def at_budget(outcomes: Sequence[Outcome], trainings: int) -> list[Outcome]:
    """Return the outcomes of searches that were given so many trainings."""
    return [outcome for outcome in outcomes if outcome.search.trainings == trainings]


def has_ratios(outcomes: Sequence[Outcome], n: int | None = None) -> bool:
    """Return True if ratios of the decisive statistic mean something: all are positive."""
    values = [_of_fresh(outcome, DECISIVE, n) for outcome in outcomes]
    return all(math.isfinite(value) and value > 0.0 for value in values)


def compare(
    outcomes: Sequence[Outcome],
    n: int | None = None,
    *,
    reference: ArmName = REFERENCE,
    by_ratio: bool | None = None,
) -> list[Comparison]:
    """Compare the winners of each arm with those of the reference of the same search seeds.

    Winners of one seed share the split and the fresh instances, so that differences are paired.

    Args:
        outcomes:
            Of several arms at one budget, with the same seeds.
        n:
            How many fresh instances to compare by; default: all.
        reference:
            What the other arms are compared with.
        by_ratio:
            Whether changes are ratios; default: where all outcomes allow it.

    Returns:
        A comparison for each other arm; none without the reference.
    """
    of_reference = of_arm(outcomes, reference)
    others = [arm for arm in arms_of(outcomes) if arm != reference]
    if not of_reference:
        return []
    by_ratio = has_ratios(outcomes, n) if by_ratio is None else by_ratio
    found = [
        _compared(of_reference, of_arm(outcomes, arm), n, by_ratio=by_ratio) for arm in others
    ]
    corrected = holm([each.p_value for each in found])
    return [replace(each, p_value=float(p)) for each, p in zip(found, corrected, strict=True)]


def _compared(
    reference: Sequence[Outcome], others: Sequence[Outcome], n: int | None, *, by_ratio: bool
) -> Comparison:
    differences = {
        name: np.array(
            [
                _difference(_of_fresh(other, name, n), _of_fresh(nas, name, n))
                for nas, other in zip(reference, others, strict=True)
            ]
        )
        for name in CONFIRMED
    }
    decisive = differences[DECISIVE]
    scale = max(abs(_of_fresh(nas, DECISIVE, n)) for nas in reference)
    tied = np.isclose(decisive, 0.0, rtol=0.0, atol=1e-9 * (scale if math.isfinite(scale) else 1))
    wins = float(np.sum(np.where(tied, 0.5, decisive < 0.0)))
    ratios = [
        _ratio(_of_fresh(other, "iqr", n), _of_fresh(nas, "iqr", n))
        for nas, other in zip(reference, others, strict=True)
    ]
    changes = decisive
    if by_ratio:
        changes = np.array(
            [
                _ratio(_of_fresh(other, DECISIVE, n), _of_fresh(nas, DECISIVE, n))
                for nas, other in zip(reference, others, strict=True)
            ]
        )
    promised = [float(np.mean([optimism(each) for each in arm])) for arm in (others, reference)]
    return Comparison(
        arm=others[0].search.arm,
        reference=reference[0].search.arm,
        n_seeds=len(others),
        wins=wins,
        win_rate=wilson(wins, len(others)),
        differences={name: mean(values) for name, values in differences.items()},
        change=geometric_mean(changes) if by_ratio else mean(changes),
        is_ratio=by_ratio,
        changes=tuple(changes.tolist()),
        p_value=(
            1.0 if tied.all() else float(stats.wilcoxon(np.where(tied, 0.0, decisive)).pvalue)
        ),
        iqr_ratio=geometric_mean(ratios),
        optimism_ratio=_ratio(*promised),
    )


def _of_fresh(outcome: Outcome, name: str, n: int | None) -> float:
    return float(CONFIRMED[name](outcome.fresh(n)))


def _ratio(value: float, reference: float) -> float:
    """Return a ratio of positive numbers; NaN where it means nothing."""
    is_one = math.isfinite(value) and math.isfinite(reference) and reference > 0.0
    return value / reference if is_one else math.nan


def _difference(value: float, reference: float) -> float:
    return 0.0 if value == reference else value - reference
