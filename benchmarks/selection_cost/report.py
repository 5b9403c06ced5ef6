"""The report: tables in Markdown, for the screen and for a file, and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
import math
from typing import Any

from benchmarks.estimates import Estimate
from benchmarks.selection_cost import statistics
from benchmarks.selection_cost.runner import ArmReplays
from benchmarks.selection_cost.runner import Case
from benchmarks.selection_cost.statistics import Summary
from benchmarks.selection_cost.statistics import Versus
from benchmarks.text_tables import markdown_table


# The screen shows all arms of so many cases, and of more only those that none surpasses.
_MOST_FULL_TABLES = 3
_QUESTION = (
    "For each k of Algorithm 1: is there a setting of ours with no more trainings whose regret is "
    "not significantly higher?"
)
_METHOD = """\
Every arm selects one model, on the same tables and orders of instances. Regret: how much worse the
winner is than the best, by the criterion over all instances of the table. **A model that reaches
all instances therefore has no error of its own, and training all models on all instances has zero
regret by construction.** Tables of made-up families are drawn afresh for every replay; there,
regret and error rate are also given by the criterion of the population (error: no survivor is
within the tolerance of the population's best). Intervals are 95 %, over replays: Wilson's for
rates, t for means, order statistics for the quantile."""


def as_json(cases: Sequence[Case], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report as plain JSON values; a bound that does not exist is null."""
    return {**about, "cases": [_finite(_case_json(case)) for case in cases]}


def as_markdown(cases: Sequence[Case], about: Mapping[str, Any]) -> str:
    """Return the whole report as Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    sections = [
        "# What selecting a robust model costs",
        f"`{about['command']}`, {about['date']}, {versions}; {about['seconds']:.0f} s.",
        _METHOD,
        *(f"Left out: {reason}." for reason in about["left_out"]),
        f"## {_QUESTION}",
        _versus_answers(cases),
        _versus_table(cases),
        *(_case_section(case) for case in cases),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def for_screen(cases: Sequence[Case]) -> str:
    """Return tables that a person can read in a terminal."""
    full = len(cases) <= _MOST_FULL_TABLES
    parts = []
    for case in cases:
        found = statistics.summaries(case)
        parts.append(
            f"{_title(case)}\n{_compact_table(found if full else statistics.front(found))}"
        )
    if not full:
        parts.append(
            "Shown are the arms with all replays than which none is both cheaper and better on "
            "average; report.md has all."
        )
    parts.append(f"{_QUESTION}\n{_versus_answers(cases)}")
    return "\n\n".join(parts)


def _case_section(case: Case) -> str:
    return "\n\n".join(
        [
            f"## {_title(case)}",
            f"{case.about.capitalize()}. {case.n_models} models, {case.n_instances} instances, "
            f"tolerance {case.tolerance:.3g}.",
            _full_table(statistics.summaries(case)),
        ]
    )


def _title(case: Case) -> str:
    return f"{case.problem}, {case.criterion}, {case.n_replays} replays"


def _full_table(found: Sequence[Summary]) -> str:
    known = any(summary.error_rate is not None for summary in found)
    rows = [
        [
            summary.name,
            str(summary.n_replays),
            _text(summary.trainings, _cost),
            _text(summary.at_best, _percent),
            _text(summary.within, _percent),
            _text(summary.regret, _loss),
            _text(summary.regret_quantile, _loss),
            *(
                [_text(summary.error_rate, _percent), _text(summary.population_regret, _loss)]
                if known
                else []
            ),
        ]
        for summary in found
    ]
    head = ["arm", "replays", "trainings a model", "at the best", "within the tolerance"]
    head += ["mean regret", "95 % quantile of the regret"]
    return markdown_table(head + (["error rate", "population regret"] if known else []), rows)


def _compact_table(found: Sequence[Summary]) -> str:
    known = any(summary.error_rate is not None for summary in found)
    rows = [
        [
            summary.name,
            str(summary.n_replays),
            _cost(summary.trainings.value),
            _percent(summary.at_best.value),
            _percent(summary.within.value),
            _text(summary.regret, _loss),
            _loss(summary.regret_quantile.value),
            *([_percent(summary.error_rate.value) if summary.error_rate else ""] if known else []),
        ]
        for summary in found
    ]
    head = ["arm", "replays", "trainings", "best", "within", "mean regret", "95 %"]
    return markdown_table(head + (["error"] if known else []), rows)


def _versus_answers(cases: Sequence[Case]) -> str:
    """Return for every case how often the answer is yes, and where it is no."""
    rows = []
    for case in cases:
        found = statistics.versus_halving(case)
        no = [f"{each.halving}: {each.verdict}" for each in found if not _is_met(each)]
        if found:
            yes = f"{len(found) - len(no)} of {len(found)}"
            rows.append([case.problem, case.criterion, yes, "; ".join(no)])
    if not rows:
        return "This version of the package has no race, so that there is nothing to compare."
    return markdown_table(["table", "criterion", "yes", "no"], rows)


def _versus_table(cases: Sequence[Case]) -> str:
    rows = [_versus_row(case, each) for case in cases for each in statistics.versus_halving(case)]
    if not rows:
        return ""
    head = ["table", "criterion", "Algorithm 1", "trainings", "ours", "trainings"]
    return (
        markdown_table([*head, "regret, ours - Algorithm 1", "verdict"], rows)
        + "\n\nOurs is the best of the settings that cost no more, in paired t intervals over the "
        "same replays: choosing among a few settings favours it a little."
    )


def _is_met(versus: Versus) -> bool:
    return versus.verdict in ("lower", "not significantly higher")


def _versus_row(case: Case, versus: Versus) -> list[str]:
    return [
        case.problem,
        case.criterion,
        versus.halving,
        _cost(versus.halving_trainings),
        versus.race,
        _cost(versus.race_trainings),
        _text(versus.difference, lambda value: f"{value:+.2g}"),
        versus.verdict,
    ]


def _case_json(case: Case) -> dict[str, Any]:
    fields = {name: value for name, value in vars(case).items() if name != "arms"}
    replays = {arm.name: _replays_json(arm) for arm in case.arms}
    return {
        **fields,
        "arms": [
            {**asdict(summary), "replays": replays[summary.name]}
            for summary in statistics.summaries(case)
        ],
        "versus_halving": [asdict(each) for each in statistics.versus_halving(case)],
    }


def _replays_json(arm: ArmReplays) -> dict[str, Any]:
    return {
        "trainings": arm.trainings.tolist(),
        "regret": arm.regret.tolist(),
        "population_regret": (
            None if arm.population_regret is None else arm.population_regret.tolist()
        ),
        "lost": None if arm.lost is None else arm.lost.tolist(),
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(estimate: Estimate | None, number: Any) -> str:
    if estimate is None:
        return ""
    if math.isnan(estimate.low):
        return str(number(estimate.value))
    return f"{number(estimate.value)} [{number(estimate.low)}, {number(estimate.high)}]"


def _cost(value: float) -> str:
    return f"{value:.2f}"


def _percent(value: float) -> str:
    return f"{100 * value:.3g}%"


def _loss(value: float) -> str:
    return f"{value:.2g}"
