"""The report as text: tables in Markdown for the screen and a file."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Any

from benchmarks.estimates import Estimate
from benchmarks.estimates import mean
from benchmarks.nas_vs_robust import statistics
from benchmarks.nas_vs_robust.arms import describe
from benchmarks.nas_vs_robust.plan import fewest_trainings
from benchmarks.nas_vs_robust.plan import Outcome
from benchmarks.nas_vs_robust.plan import Plan
from benchmarks.nas_vs_robust.plan import REFERENCE
from benchmarks.nas_vs_robust.plan import Row
from benchmarks.nas_vs_robust.statistics import Comparison
from benchmarks.nas_vs_robust.statistics import CONFIRMED
from benchmarks.nas_vs_robust.statistics import DECISIVE
from benchmarks.nas_vs_robust.verdict import sentence
from benchmarks.nas_vs_robust.verdict import verdict
from benchmarks.text_tables import markdown_table


_FEWEST_RETRAINED = fewest_trainings("nas-retrained")
HEADINGS = {"median": "median", "iqr": "IQR", "q3+iqr": "Q3+IQR", "worst": "worst"}


@dataclass(frozen=True)
class Findings:
    """Everything that was found.

    Attributes:
        plan: What searches of all budgets were given.
        outcomes: At equal trainings, of all budgets.
        timed: The same searches, where they took longer than the fastest of their seed with fewer
            trainings, so that all of a seed take about as long.
        n_timed: Fresh instances that winners are compared by at equal seconds.
        rows: Fixed models.
        about: Task, loss, command, date, versions, machine, settings.
    """

    plan: Plan
    outcomes: tuple[Outcome, ...]
    timed: tuple[Outcome, ...]
    n_timed: int
    rows: tuple[Row, ...]
    about: Mapping[str, Any]

    @property
    def budgets(self) -> list[int]:
        """How many trainings searches were given, ascending."""
        return statistics.budgets_of(self.outcomes)

    @property
    def main(self) -> list[Outcome]:
        """Outcomes at the largest budget."""
        return statistics.at_budget(self.outcomes, self.budgets[-1])


def as_markdown(found: Findings) -> str:
    """Return the report as Markdown that can be read as it is."""
    return f"{lead(found)}\n{details(found)}"


def lead(found: Findings) -> str:
    """Return the heading and the first sentence of the verdict."""
    first = [f"**{each}**" for each in verdict(found.outcomes)[:1]]
    return "\n\n".join([f"# nas-vs-robust: {found.about['task']}", *first]) + "\n"


def details(found: Findings) -> str:
    """Return the rest of the verdict, what was done, and tables."""
    plan, about = found.plan, found.about
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    trainings = found.budgets[-1]
    n_seeds = len({outcome.search.seed for outcome in found.outcomes})
    arms = statistics.arms_of(found.outcomes)
    meanings = "\n".join(f"- **{arm}**: {describe(arm)}" for arm in arms)
    budgets = " or ".join(map(str, found.budgets))
    rest = verdict(found.outcomes)[1:]
    sections = ["\n".join(f"- {each}" for each in rest)] if rest else []
    sections += [
        f"`{about['command']}`, {about['date']}, {versions}; {about['machine']}.",
        f"Task: {about['about']}. Loss: {about['loss']}, smaller is better. Every search may "
        f"train {budgets} instances, on samples of {plan.sample_size}; a model that has "
        "begun is finished, and a race ends when it is decided. Search values are of the "
        f"validation part; confirmed ones of {plan.confirmations} fresh instances of the winner, "
        "on the test part.",
        meanings,
    ]
    if len(found.budgets) > 1:
        sections += [
            f"## By budget: means over {n_seeds} search seeds, 95 % t intervals",
            _budgets_table(found),
            f"Change: of Q3+IQR beside {REFERENCE}'s of the same budget and seeds, the geometric "
            "mean of ratios where all losses are positive, else the mean difference; p: "
            f"{statistics.TEST}.",
        ]
    sections += [
        f"## Arms at {trainings} trainings: means over {n_seeds} search seeds, 95 % t intervals",
        _arms_table(found.main),
        "Search value: the winner's mean (robust arms: Q3+IQR) on its search instances. Optimism: "
        "the same statistic of as many fresh instances, minus the search value; positive is too "
        "optimistic. Seconds: of all trainings of a search, added up.",
    ]
    comparisons = statistics.compare(found.main)
    if comparisons:
        sections += [
            f"## Beside {REFERENCE} at {trainings} trainings, in pairs",
            _comparison_table(comparisons),
            f"Differences are arm - {REFERENCE} with 95 % t intervals, on the same fresh "
            f"instances; p of the Q3+IQR: {statistics.TEST}. Win rate by Q3+IQR, with Wilson "
            "intervals; ratios are geometric means, that of optimism one of means. A difference "
            "is shown if p is at most 0.05 and the interval of the change by Q3+IQR is clear of "
            "no change.",
            "\n".join(f"- {sentence(each, trainings)}" for each in comparisons),
        ]
    if found.timed:
        sections += [
            "## At equal seconds",
            _timed_table(found),
            "Each search was run again with so many trainings fewer that it takes about as long "
            f"as the fastest of its seed (nas-retrained never with fewer than {_FEWEST_RETRAINED}"
            f"). Confirmed by {found.n_timed} fresh instances.",
        ]
    if found.rows:
        sections += ["## Fixed models, with 95 % bootstrap intervals", _rows_table(found.rows)]
    if len(plan.sample_sizes) > 1:
        sections += ["## Winners by sample size: means over search seeds", _sizes_table(found)]
    sections += [
        f"## Searches of {trainings} trainings, with 95 % bootstrap intervals over instances",
        _searches_table(found.main),
    ]
    return "\n\n".join(sections) + "\n"


def _budgets_table(found: Findings) -> str:
    by_ratio = statistics.has_ratios(found.outcomes)
    rows = []
    for trainings in found.budgets:
        outcomes = statistics.at_budget(found.outcomes, trainings)
        beside = {each.arm: each for each in statistics.compare(outcomes, by_ratio=by_ratio)}
        for arm in statistics.arms_of(outcomes):
            of_arm, other = statistics.of_arm(outcomes, arm), beside.get(arm)
            rows.append(
                [
                    str(trainings),
                    arm,
                    *(_text(statistics.over_seeds(of_arm, name)) for name in ("median", DECISIVE)),
                    "" if other is None else _text(other.change),
                    "" if other is None else f"{other.p_value:.2g}",
                    "" if other is None else f"{other.wins:g} of {other.n_seeds}",
                    _average(of_arm, lambda each: each.n_trainings),
                    _average(of_arm, lambda each: each.n_models),
                ]
            )
    head = ["budget", "arm", "median", HEADINGS[DECISIVE], "change", "p", "wins"]
    return markdown_table([*head, "trainings", "models"], rows)


def _arms_table(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for arm in statistics.arms_of(outcomes):
        found = statistics.of_arm(outcomes, arm)
        n_fresh = sum(len(each.fresh()) for each in found)
        rows.append(
            [
                arm,
                _text(mean([statistics.search_value(each) for each in found])),
                *(_text(statistics.over_seeds(found, name)) for name in CONFIRMED),
                f"{sum(statistics.n_failures(each.fresh()) for each in found)} of {n_fresh}",
                _text(mean([statistics.optimism(each) for each in found])),
                _average(found, lambda each: each.n_trainings),
                _average(found, lambda each: each.n_models),
                _average(found, lambda each: each.seconds),
            ]
        )
    head = ["arm", "search value", *HEADINGS.values(), "failed", "optimism"]
    return markdown_table([*head, "trainings", "models", "seconds"], rows)


def _comparison_table(comparisons: Sequence[Comparison]) -> str:
    rows = [
        [
            each.arm,
            *(_signed(each.differences[name]) for name in ("q3+iqr", "median", "iqr", "worst")),
            f"{each.p_value:.2g}",
            f"{each.wins:g} of {each.n_seeds} ({each.win_rate.low:.0%} to "
            f"{each.win_rate.high:.0%})",
            _text(each.iqr_ratio),
            f"{each.optimism_ratio:.2f}",
        ]
        for each in comparisons
    ]
    head = ["arm", "Q3+IQR", "median", "IQR", "worst", "p", "wins", "ratio of IQR"]
    return markdown_table([*head, "ratio of optimism"], rows)


def _timed_table(found: Findings) -> str:
    by_arm = {each.arm: each for each in statistics.compare(found.timed, found.n_timed)}
    rows = []
    for arm in statistics.arms_of(found.timed):
        timed = statistics.of_arm(found.timed, arm)
        beside = by_arm.get(arm)
        rows.append(
            [
                arm,
                _average(timed, lambda each: each.seconds),
                _average(timed, lambda each: each.n_trainings),
                *(
                    _text(statistics.over_seeds(timed, name, found.n_timed))
                    for name in ("median", "iqr", "q3+iqr")
                ),
                "" if beside is None else _signed(beside.differences[DECISIVE]),
                "" if beside is None else f"{beside.p_value:.2g}",
                "" if beside is None else f"{beside.wins:g} of {beside.n_seeds}",
            ]
        )
    head = ["arm", "seconds", "trainings", "median", "IQR", "Q3+IQR"]
    return markdown_table([*head, f"Q3+IQR - {REFERENCE}'s", "p", "wins"], rows)


def _rows_table(rows: Sequence[Row]) -> str:
    lines = [
        [
            row.name,
            str(size),
            *(_text(statistics.confirmed(losses, name)) for name in CONFIRMED),
            f"{statistics.n_failures(losses)} of {len(losses)}",
        ]
        for row in rows
        for size, losses in row.fresh_losses.items()
    ]
    return markdown_table(["model", "sample", *HEADINGS.values(), "failed"], lines)


def _sizes_table(found: Findings) -> str:
    rows = []
    for arm in statistics.arms_of(found.outcomes):
        of_arm = statistics.of_arm(found.main, arm)
        for size in found.plan.sample_sizes:
            estimates = [
                mean([float(criterion(each.fresh_losses[size])) for each in of_arm])
                for criterion in CONFIRMED.values()
            ]
            rows.append([arm, str(size), *map(_text, estimates)])
    return markdown_table(["arm", "sample", *HEADINGS.values()], rows)


def _searches_table(outcomes: Sequence[Outcome]) -> str:
    rows = [
        [
            str(outcome.search.seed),
            outcome.search.arm,
            _number(statistics.search_value(outcome)),
            *(_text(statistics.confirmed(outcome.fresh(), name)) for name in CONFIRMED),
            _signed_number(statistics.optimism(outcome)),
            str(outcome.n_trainings),
            f"{outcome.n_models} ({outcome.n_pruned})",
            f"{outcome.seconds:.1f}",
        ]
        for outcome in sorted(outcomes, key=lambda each: each.search.seed)
    ]
    head = ["seed", "arm", "search value", *HEADINGS.values(), "optimism", "trainings"]
    return markdown_table([*head, "models (pruned)", "seconds"], rows)


def _average(outcomes: Sequence[Outcome], number: Callable[[Outcome], float]) -> str:
    return f"{math.fsum(map(number, outcomes)) / len(outcomes):.1f}"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _signed_number(value: float) -> str:
    return f"{value:+.0f}" if 100.0 <= abs(value) < 1e6 else f"{value:+.2g}"


def _text(estimate: Estimate) -> str:
    if not estimate.has_interval:
        return _number(estimate.value)
    return f"{_number(estimate.value)} [{_number(estimate.low)}, {_number(estimate.high)}]"


def _signed(estimate: Estimate) -> str:
    if not estimate.has_interval:
        return _signed_number(estimate.value)
    low, high = map(_signed_number, (estimate.low, estimate.high))
    return f"{_signed_number(estimate.value)} [{low}, {high}]"
