"""The verdict in sentences, which the page begins with."""

from __future__ import annotations

from collections.abc import Sequence
import math

from benchmarks.estimates import mean
from benchmarks.nas_vs_robust import statistics
from benchmarks.nas_vs_robust.plan import ArmName
from benchmarks.nas_vs_robust.plan import CHALLENGER
from benchmarks.nas_vs_robust.plan import Outcome
from benchmarks.nas_vs_robust.plan import REFERENCE
from benchmarks.nas_vs_robust.statistics import Comparison


_CAREFUL: ArmName = "nas-retrained"


def verdict(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a sentence for each budget, the largest first, and what searches promised at it.

    They are of the robust search beside the reference, and beside the careful one where that was
    run; without the robust search, of all arms beside the reference.

    Args:
        outcomes:
            Of all budgets.
    """
    arms = statistics.arms_of(outcomes)
    budgets = statistics.budgets_of(outcomes)
    by_ratio = statistics.has_ratios(outcomes)
    found = []
    for reference in (REFERENCE, _CAREFUL):
        if reference == _CAREFUL and CHALLENGER not in arms:
            continue
        for trainings in reversed(budgets):
            comparisons = statistics.compare(
                statistics.at_budget(outcomes, trainings), reference=reference, by_ratio=by_ratio
            )
            found += [
                sentence(each, trainings)
                for each in comparisons
                if each.arm == CHALLENGER or CHALLENGER not in arms
            ]
    if found:
        found.append(_promises(statistics.at_budget(outcomes, budgets[-1])))
    return found


def sentence(comparison: Comparison, trainings: int) -> str:
    """Return in one sentence what a comparison shows.

    Args:
        comparison:
            Of an arm with a reference.
        trainings:
            Of each of their searches.
    """
    arm, reference = comparison.arm, comparison.reference
    subject = f"the models that {arm} returned are"
    size = f"{_size(comparison)} than those of {reference} by Q3+IQR on fresh instances"
    seeds = f"better at {comparison.wins:g} of {comparison.n_seeds} seeds"
    seeds += f" (p = {comparison.p_value:.2g})"
    if comparison.shows == "nothing":
        return (
            f"At {trainings} trainings, no difference between {arm} and {reference} can be "
            f"shown: {subject} {size}, {seeds}."
        )
    return f"At {trainings} trainings, {subject} {size}, {seeds}."


def _size(comparison: Comparison) -> str:
    """Return how much better or worse, by the point estimate, with its interval."""
    change, value = comparison.change, comparison.change.value
    if not math.isfinite(value):
        better = comparison.wins > comparison.n_seeds / 2
        word = "better" if better else "worse"
        return (
            f"{word} (some failed when they were trained again, so that no number says how much)"
        )
    unchanged, scale = (1.0, 100.0) if comparison.is_ratio else (0.0, 1.0)
    sign = -1.0 if value <= unchanged else 1.0
    word = "better" if sign < 0 else "worse"
    bounds = sorted(sign * scale * (bound - unchanged) for bound in (change.low, change.high))
    unit = " %" if comparison.is_ratio else ""
    text = f"{_number(sign * scale * (value - unchanged))}{unit}"
    if change.has_interval:
        text += f" [{_number(bounds[0])}, {_number(bounds[1])}]"
    return f"{text} {word}"


def _promises(outcomes: Sequence[Outcome]) -> str:
    """Return by how much searches were too optimistic."""
    texts = []
    for arm in statistics.arms_of(outcomes):
        of_arm = statistics.of_arm(outcomes, arm)
        said = mean([statistics.search_value(each) for each in of_arm]).value
        too_good = mean([statistics.optimism(each) for each in of_arm]).value
        texts.append(f"{arm} {_number(said)} ({_number(said + too_good)})")
    return (
        "What the searches said of their winners, and in brackets what the same statistic of "
        f"fresh instances is: {', '.join(texts)}."
    )


def _number(value: float) -> str:
    value += 0.0  # no negative zero
    return f"{value:.2g}" if abs(value) < 10 else f"{value:.0f}"
