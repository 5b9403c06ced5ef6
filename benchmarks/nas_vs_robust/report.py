"""The report: tables in Markdown for the screen and a file, and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
import math
from typing import Any

from benchmarks.nas_vs_robust import statistics
from benchmarks.nas_vs_robust.arms import ARMS
from benchmarks.nas_vs_robust.arms import Outcome
from benchmarks.nas_vs_robust.statistics import Comparison
from benchmarks.nas_vs_robust.statistics import CONFIRMED
from benchmarks.nas_vs_robust.statistics import DECISIVE
from benchmarks.nas_vs_robust.statistics import Estimate


_HEADINGS = {"median": "median", "iqr": "IQR", "q3+iqr": "Q3+IQR", "worst": "worst"}


def as_json(outcomes: Sequence[Outcome], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report as plain JSON values; a bound that does not exist is null."""
    comparison = statistics.compare(outcomes)
    return {
        **about,
        "arms": [_arm_json(outcome) for outcome in _in_order(outcomes)],
        "paired": {
            "difference": "robust - nas, mean over seeds with a 95 % t interval",
            "n_seeds": comparison.n_seeds,
            "wins_of_robust": comparison.wins,
            "win_rate_of_robust": comparison.wins / comparison.n_seeds,
            "differences": {
                name: _estimate_json(estimate) for name, estimate in comparison.differences.items()
            },
            "conclusion": conclusion(comparison),
        },
    }


def as_markdown(outcomes: Sequence[Outcome], about: Mapping[str, Any]) -> str:
    """Return the report as Markdown that can be read as it is."""
    comparison = statistics.compare(outcomes)
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    plan = about["settings"]
    return f"""\
# nas-vs-robust on {about["task"]}

`{about["command"]}`, {about["date"]}, {versions}.
Loss: {about["loss"]}, smaller is better. Every search trains {plan["trainings"]} instances
(robust: up to {plan["n_instances"]} of a model, and the last model is finished). Search values are
of the validation part, confirmed values of {plan["confirmations"]} fresh instances on the test
part.

## Arms: means over {comparison.n_seeds} search seeds, with 95 % t intervals

{_arms_table(outcomes)}

Search value: nas the one loss of the winner, robust its {_HEADINGS[DECISIVE]}. Optimism: the same
statistic of as many fresh instances, minus the search value; positive is too optimistic.

## Searches, with 95 % bootstrap intervals over fresh instances

{_searches_table(outcomes)}

## Robust against nas, in pairs

{_paired_table(comparison)}

{conclusion(comparison)}
"""


def conclusion(comparison: Comparison) -> str:
    """Return in one sentence what the comparison shows."""
    estimate = comparison.differences[DECISIVE]
    won = f"{comparison.wins:g} of {comparison.n_seeds} searches"
    statistic = f"the {_HEADINGS[DECISIVE]} of retrained winners"
    if not estimate.has_interval:
        return (
            f"One search seed decides nothing: {statistic} differs by {_signed(estimate)} "
            "(robust - nas)."
        )
    if estimate.high < 0.0:
        verdict = f"The robust search is better: it lowers {statistic} by {_size(estimate)}"
    elif estimate.low > 0.0:
        verdict = f"The robust search is worse: it raises {statistic} by {_size(estimate)}"
    else:
        verdict = (
            f"No difference is shown: {statistic} differs by {_signed(estimate)} (robust - nas), "
            "an interval that contains 0"
        )
    return f"{verdict}; the robust arm wins {won}."


def _arms_table(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for arm in ARMS:
        found = statistics.of_arm(outcomes, arm)
        rows.append(
            [
                arm,
                _text(statistics.mean_over_seeds([statistics.search_value(o) for o in found])),
                *(
                    _text(
                        statistics.mean_over_seeds(
                            [float(criterion(outcome.fresh_losses)) for outcome in found]
                        )
                    )
                    for criterion in CONFIRMED.values()
                ),
                _text(statistics.mean_over_seeds([statistics.optimism(o) for o in found])),
                f"{sum(o.n_trainings for o in found) / len(found):.1f}",
                f"{sum(o.n_trials for o in found) / len(found):.1f}",
                f"{sum(o.seconds for o in found) / len(found):.1f}",
            ]
        )
    return _table(
        ["arm", "search value", *_HEADINGS.values(), "optimism", "trainings", "models", "seconds"],
        rows,
    )


def _searches_table(outcomes: Sequence[Outcome]) -> str:
    rows = [
        [
            str(outcome.seed),
            outcome.arm,
            f"{statistics.search_value(outcome):.2f}",
            *(_text(statistics.confirmed(outcome, name)) for name in CONFIRMED),
            f"{statistics.optimism(outcome):+.2f}",
            str(outcome.n_trainings),
            f"{outcome.n_trials} ({outcome.n_pruned})",
            f"{outcome.seconds:.1f}",
        ]
        for outcome in _in_order(outcomes)
    ]
    return _table(
        [
            *("seed", "arm", "search value", *_HEADINGS.values()),
            *("optimism", "trainings", "models (pruned)", "seconds"),
        ],
        rows,
    )


def _paired_table(comparison: Comparison) -> str:
    rows = [
        [_HEADINGS[name], _signed(estimate)] for name, estimate in comparison.differences.items()
    ]
    rate = comparison.wins / comparison.n_seeds
    rows.append(["win rate", f"{rate:.0%} ({comparison.wins:g} of {comparison.n_seeds})"])
    return _table(["statistic", "robust - nas"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        f"| {' | '.join(f'{cell:<{w}}' for cell, w in zip(line, widths, strict=True))} |"
        for line in lines
    )


def _text(estimate: Estimate) -> str:
    if not estimate.has_interval:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _signed(estimate: Estimate) -> str:
    if not estimate.has_interval:
        return f"{estimate.value:+.2f}"
    return f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"


def _size(estimate: Estimate) -> str:
    low, high = sorted((abs(estimate.low), abs(estimate.high)))
    return f"{abs(estimate.value):.2f} [{low:.2f}, {high:.2f}]"


def _in_order(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return sorted(outcomes, key=lambda outcome: (outcome.seed, ARMS.index(outcome.arm)))


def _arm_json(outcome: Outcome) -> dict[str, Any]:
    estimates = {name: statistics.confirmed(outcome, name) for name in CONFIRMED}
    fields = asdict(outcome)
    return {
        "name": fields.pop("arm"),
        **fields,
        "search_value": statistics.search_value(outcome),
        "optimism": statistics.optimism(outcome),
        "confirmed": {
            **{name: estimate.value for name, estimate in estimates.items()},
            "n": len(outcome.fresh_losses),
            "intervals": {
                name: [_finite(estimate.low), _finite(estimate.high)]
                for name, estimate in estimates.items()
                if name != "worst"
            },
        },
    }


def _estimate_json(estimate: Estimate) -> dict[str, float | None]:
    return {
        "mean": estimate.value,
        "low": _finite(estimate.low),
        "high": _finite(estimate.high),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
