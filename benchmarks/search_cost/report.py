"""The report: tables in Markdown, for the screen and for a page, and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
import math
from typing import Any

from benchmarks.estimates import Estimate
from benchmarks.search_cost import statistics
from benchmarks.search_cost.arms import ARMS
from benchmarks.search_cost.runner import Outcome
from benchmarks.search_cost.statistics import Versus
from benchmarks.text_tables import markdown_table


_USUAL_BUDGET = 100
_METHOD = """\
Every arm returns one model; what it is worth is its Q3 + IQR over infinitely many trainings, by
formula (of a measured table: over the instances that the search did not see). All arms of a search
seed get the same budget of trainings and share their instances. Excess: over the best possible
model. Differences are paired by search seed, and given as shares of the reference's mean excess:
-100 % would be the best possible, negative is better. Intervals are 95 %, over search seeds (t;
percentile bootstrap for shares). **Bold**: significant at 5 % by a paired t test, corrected by
Holm (1979) over the problems."""


@dataclass(frozen=True)
class Findings:
    """What a report is about.

    Attributes:
        outcomes: Of all searches.
        reference: The arm that the others are compared with.
        about: Command, date, versions and the like; ``problems`` says what each is.
    """

    outcomes: tuple[Outcome, ...]
    reference: str
    about: Mapping[str, Any]

    @property
    def budgets(self) -> list[int]:
        """Return all budgets, in rising order."""
        return sorted({outcome.search.budget for outcome in self.outcomes})

    @property
    def main_budget(self) -> int:
        """Return the budget that the first table is about."""
        return _USUAL_BUDGET if _USUAL_BUDGET in self.budgets else self.budgets[-1]

    @property
    def problems(self) -> list[str]:
        """Return all problems, in order."""
        return list(dict.fromkeys(outcome.search.problem for outcome in self.outcomes))

    @property
    def arms(self) -> list[str]:
        """Return all arms, in order."""
        there = {outcome.search.arm for outcome in self.outcomes}
        return [arm for arm in ARMS if arm in there]


def as_json(found: Findings) -> dict[str, Any]:
    """Return the findings as plain JSON values; what is not finite is null."""
    plain: dict[str, Any] = _finite(
        {
            **found.about,
            "reference": found.reference,
            "points": [asdict(each) for each in statistics.points(found.outcomes)],
            "versus": [
                asdict(each) for each in statistics.versus(found.outcomes, found.reference)
            ],
            "reached": [
                asdict(each) for each in statistics.reached(found.outcomes, found.reference)
            ],
            "searches": [asdict(each) for each in found.outcomes],
        }
    )
    return plain


def as_markdown(found: Findings) -> str:
    """Return the whole report as Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in found.about["versions"].items())
    others = [budget for budget in found.budgets if budget != found.main_budget]
    sections = [
        "# What a search finds for its trainings",
        f"`{found.about['command']}`, {found.about['date']}, {versions}.",
        *(f"Left out: {reason}." for reason in found.about["left_out"]),
        f"## At {found.main_budget} trainings",
        main_table(found, found.main_budget),
        _METHOD,
        "## What was searched on, and how",
        "\n".join(f"- {name}: {about}." for name, about in found.about["problems"].items()),
        "\n".join(f"- {arm}: {ARMS[arm].about}" for arm in found.arms),
        *(f"## At {each} trainings\n\n{main_table(found, each)}" for each in others),
        f"## When an arm is as good as {found.reference} with {found.budgets[-1]} trainings",
        "The smallest budget at which its mean is no worse; -: none of these.",
        _reached_table(found),
        "## Trainings and seconds",
        "Means over problems and seeds. A model that is begun is finished. A search that is the "
        "beginning of a longer one takes the seconds of the longest.",
        _cost_table(found),
        *(f"## {problem}\n\n{_curve_table(found, problem)}" for problem in found.problems),
    ]
    return "\n\n".join(sections) + "\n"


def main_table(found: Findings, budget: int) -> str:
    """Return the shares of the reference's excess that arms save, by problem."""
    points = {
        each.problem: each
        for each in statistics.points(found.outcomes)
        if (each.arm, each.budget) == (found.reference, budget)
    }
    compared = {
        (each.problem, each.arm): each
        for each in statistics.versus(found.outcomes, found.reference)
        if each.budget == budget
    }
    arms = [arm for arm in found.arms if arm != found.reference]
    rows = [
        [
            problem,
            _with_half(points[problem].excess) if problem in points else "",
            *(_share(compared.get((problem, arm))) for arm in arms),
        ]
        for problem in found.problems
    ]
    counts = [_counts([v for (_, name), v in compared.items() if name == arm]) for arm in arms]
    rows.append(["lower / higher, significantly", "", *counts])
    return markdown_table(["problem", f"excess of {found.reference}", *arms], rows)


def _share(versus: Versus | None) -> str:
    if versus is None:
        return ""
    if math.isnan(versus.share.value):
        return f"{versus.difference.value:+.2g}"
    text = f"{100 * versus.share.value:+.0f} %"
    if versus.verdict != "not told apart":
        text = f"**{text}**"
    if not versus.share.has_interval:
        return text
    return f"{text} [{100 * versus.share.low:+.0f}, {100 * versus.share.high:+.0f}]"


def _counts(compared: Sequence[Versus]) -> str:
    lower, higher = (
        sum(each.verdict == verdict for each in compared) for verdict in ("lower", "higher")
    )
    return f"{lower} / {higher} of {len(compared)}"


def _reached_table(found: Findings) -> str:
    at = {
        (each.problem, each.arm): each.budget
        for each in statistics.reached(found.outcomes, found.reference)
    }
    rows = [
        [problem, *(str(at.get((problem, arm)) or "-") for arm in found.arms)]
        for problem in found.problems
    ]
    return markdown_table(["problem", *found.arms], rows)


def _cost_table(found: Findings) -> str:
    rows = []
    for arm in found.arms:
        row = [arm]
        for budget in found.budgets:
            alike = [
                each
                for each in found.outcomes
                if (each.search.arm, each.search.budget) == (arm, budget)
            ]
            spent = sum(each.n_trainings for each in alike) / len(alike)
            seconds = sum(each.seconds for each in alike) / len(alike)
            row.append(f"{spent:.1f} in {seconds:.2g} s")
        rows.append(row)
    return markdown_table(["arm", *map(str, found.budgets)], rows)


def _curve_table(found: Findings, problem: str) -> str:
    at = {
        (each.arm, each.budget): each.truth
        for each in statistics.points(found.outcomes)
        if each.problem == problem
    }
    rows = [
        [arm, *(_with_half(at[arm, budget]) for budget in found.budgets)]
        for arm in found.arms
        if (arm, found.budgets[0]) in at
    ]
    return markdown_table(["arm, true Q3 + IQR at", *map(str, found.budgets)], rows)


def _with_half(estimate: Estimate) -> str:
    if not estimate.has_interval:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} ± {estimate.high - estimate.value:.2g}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
