"""Results as text."""

from __future__ import annotations

import json
import math
from typing import Any
from typing import TYPE_CHECKING

from optuna_robust.cli._text_tables import number
from optuna_robust.cli._text_tables import printable
from optuna_robust.cli._text_tables import short_params
from optuna_robust.cli._text_tables import text_table


if TYPE_CHECKING:
    from optuna_robust.comparison import Interval
    from optuna_robust.confirmation import ConfirmationResult
    from optuna_robust.selection import SelectionResult


# p-values below are not told apart.
_SMALLEST_P = 0.0001


def confirmation_text(result: ConfirmationResult) -> str:
    """Return the confirmation of a study's models as text."""
    n_instances = len(result.instance_numbers)
    parts = [
        f"{result.criterion} of {n_instances} fresh instances ({result.direction}), intervals "
        f"of {100 * result.confidence:g} %:",
        _confirmed_models(result),
        _optimism_note(result),
    ]
    if result.pairs:
        parts += [
            "Differences, the first model less the second:",
            _confirmed_pairs(result),
            "p-values are two-sided and Holm-adjusted: p of the criterion, p level of Wilcoxon's "
            "signed ranks, p spread of Pitman and Morgan.",
        ]
    if result.stopped_early:
        parts.append(f"Stopped early: {n_instances} instances made the order clear.")
    parts += [_cost(result), _best_confirmed(result)]
    return "\n\n".join(parts)


def selection_text(result: SelectionResult) -> str:
    """Return a selection as text."""
    best = (
        f"Best: model {result.best_index} with {result.criterion} {number(result.best_value)} of "
        f"{result.best_n_instances} instances, {_exact(result.best_params)}."
    )
    if not math.isnan(result.probability):
        among = f"within {result.tolerance:g} of the best" if result.tolerance else "the best"
        best += f" It is {among} of them all with probability {result.probability:.3g}."
    parts = [
        f"{len(result.models)} models (counted from 0), {result.rule} by {result.criterion} "
        f"({result.direction}):",
        _steps(result),
    ]
    if len(result.survivors) > 1:
        parts += [f"{len(result.survivors)} models are left:", _survivors(result)]
    return "\n\n".join([*parts, _cost(result), best])


def _confirmed_models(result: ConfirmationResult) -> str:
    header = ["model", "trial", "search", "confirmed", "interval", "optimism", "P(best)"]
    rows = [
        [
            str(position + 1),
            str(model.index),
            number(model.search_value),
            number(model.value),
            _interval(model.interval),
            number(model.optimism, 3),
            f"{model.probability_best:.2f}",
            *([str(len(result.failures.get(position, {})))] if result.failures else []),
            short_params(model.params),
        ]
        for position, model in enumerate(result.models)
    ]
    failed = ["failed"] if result.failures else []
    return text_table([*header, *failed, "params"], rows, left=["interval", "params"])


def _optimism_note(result: ConfirmationResult) -> str:
    compared = sorted({(model.statistic, model.n_compared) for model in result.models})
    what = " or ".join(
        f"the {statistic} of {n} instances" if n > 1 else "the mean with the search's one training"
        for statistic, n in compared
    )
    return f"Optimism compares {what}; where it is positive, the search promised too much."


def _confirmed_pairs(result: ConfirmationResult) -> str:
    rows = [
        [
            f"{pair.first + 1} - {pair.second + 1}",
            number(pair.difference, 3),
            _interval(pair.interval, 3),
            *map(_p_value, (pair.p_value, pair.p_level, pair.p_spread)),
        ]
        for pair in result.pairs
    ]
    return text_table(
        ["models", "difference", "interval", "p", "p level", "p spread"],
        rows,
        left=["models", "interval"],
    )


def _best_confirmed(result: ConfirmationResult) -> str:
    best = result.models[result.best_index]
    text = (
        f"Best: trial {best.index} with {result.criterion} {number(best.value)} "
        f"{_interval(best.interval)} on fresh instances, {_exact(best.params)}."
    )
    if len(result.models) > 1:
        text += f" As the best of {len(result.models)}, this value is again slightly optimistic."
    return text


def _steps(result: SelectionResult) -> str:
    rows = [
        [
            str(step.step),
            str(len(step.kept)),
            str(step.incumbent),
            number(step.incumbent_value),
            str(step.n_trained),
        ]
        for step in result.steps
    ]
    return text_table(["step", "models kept", "incumbent", result.criterion, "trained"], rows)


def _survivors(result: SelectionResult) -> str:
    sign = -1 if result.direction == "maximize" else 1
    # The best first, by the selection's own choice; then by value.
    ranked = sorted(
        result.survivors,
        key=lambda model: (model != result.best_index, sign * result.values[model]),
    )
    rows = [
        [str(model), number(float(result.values[model])), short_params(result.models[model])]
        for model in ranked
    ]
    return text_table(["model", result.criterion, "params"], rows, left=["params"])


def _cost(result: ConfirmationResult | SelectionResult) -> str:
    return (
        f"{result.n_trainings} instances trained, {result.n_reused} taken from the store; the "
        f"{result.n_trainings + result.n_reused} trainings took {result.seconds:.1f} s."
    )


def _interval(interval: Interval, digits: int = 5) -> str:
    low, high = (number(bound, digits) for bound in interval)
    return "-" if low == high == "-" else f"[{low}, {high}]"


def _p_value(p: float) -> str:
    return f"<{_SMALLEST_P}" if p < _SMALLEST_P else number(p, 2)


def _exact(params: dict[str, Any]) -> str:
    return printable(json.dumps(params, ensure_ascii=False, default=str))
