"""The numbers of the report: what outcomes say about a winner, an arm, and both arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np
from scipy import stats

from benchmarks.nas_vs_robust.arms import ArmName
from benchmarks.nas_vs_robust.arms import Outcome
from optuna_robust.comparison import bootstrap_interval
from optuna_robust.criteria import Criterion
from optuna_robust.criteria import get_criterion


# Statistics of a winner's fresh losses, as named in tables and JSON.
CONFIRMED: dict[str, Criterion] = {
    "median": get_criterion("median"),
    "iqr": get_criterion("iqr"),
    "q3+iqr": get_criterion("q3+iqr"),
    "worst": get_criterion("max"),
}
# Winners are compared by this one.
DECISIVE = "q3+iqr"

_CONFIDENCE = 0.95
_N_SUBSETS = 4000


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN bounds if there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)


@dataclass(frozen=True)
class Comparison:
    """Robust arm against NAS, search seed by search seed.

    Differences are robust - nas: negative is better for the robust arm.
    """

    n_seeds: int
    wins: float
    differences: dict[str, Estimate]


def search_value(outcome: Outcome) -> float:
    """Return the value that a search reported for its winner."""
    return float(_search_criterion(outcome)(outcome.search_losses))


def optimism(outcome: Outcome) -> float:
    """Return how much better the search value is than the same statistic of fresh instances.

    A statistic of few instances is not an estimate of that of many (E[q3+iqr] of a standard
    normal is 1.48 at 5 instances and 1.88 at 20), so that the fresh instances are taken so many
    at a time as the search had: their mean for one training a model, else the mean of the
    criterion over random subsets. Positive = too optimistic.
    """
    size = len(outcome.search_losses)
    fresh = np.asarray(outcome.fresh_losses)
    rng = np.random.default_rng(0)
    subsets = rng.permuted(np.tile(fresh, (_N_SUBSETS, 1)), axis=1)[:, :size]
    expected = fresh.mean() if size == 1 else _search_criterion(outcome)(subsets).mean()
    return float(expected) - search_value(outcome)


def confirmed(outcome: Outcome, name: str) -> Estimate:
    """Return a statistic of a winner's fresh losses, with a bootstrap interval.

    The interval is over fresh instances, for this winner and split. The worst has none: resampling
    cannot go beyond the worst loss seen.
    """
    value = float(CONFIRMED[name](outcome.fresh_losses))
    if name == "worst":
        return Estimate(value)
    interval = bootstrap_interval(outcome.fresh_losses, CONFIRMED[name], confidence=_CONFIDENCE)
    return Estimate(value, interval.low, interval.high)


def mean_over_seeds(values: Sequence[float]) -> Estimate:
    """Return the mean over search seeds, with a t interval: seeds are independent replications."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean)
    half = float(stats.sem(values) * stats.t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1))
    return Estimate(mean, mean - half, mean + half)


def compare(outcomes: Sequence[Outcome]) -> Comparison:
    """Compare the arms' winners of the same search seeds.

    Winners of one seed share the split and the fresh instances, so that differences are paired.
    """
    pairs = list(zip(of_arm(outcomes, "nas"), of_arm(outcomes, "robust"), strict=True))
    differences = {
        name: np.array(
            [
                float(criterion(robust.fresh_losses)) - float(criterion(nas.fresh_losses))
                for nas, robust in pairs
            ]
        )
        for name, criterion in CONFIRMED.items()
    }
    tied = np.isclose(differences[DECISIVE], 0.0, rtol=0.0, atol=1e-9)
    wins = float(np.sum(np.where(tied, 0.5, differences[DECISIVE] < 0.0)))
    return Comparison(
        n_seeds=len(pairs),
        wins=wins,
        differences={
            name: mean_over_seeds(values.tolist()) for name, values in differences.items()
        },
    )


def of_arm(outcomes: Sequence[Outcome], arm: ArmName) -> list[Outcome]:
    """Return an arm's outcomes by seed."""
    return sorted((each for each in outcomes if each.arm == arm), key=lambda each: each.seed)


def _search_criterion(outcome: Outcome) -> Criterion:
    return get_criterion("mean" if len(outcome.search_losses) == 1 else DECISIVE)
