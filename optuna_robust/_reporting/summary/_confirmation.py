"""What a confirmation found, as paragraphs and tables."""

from __future__ import annotations

from collections.abc import Sequence
import math

import numpy as np

from optuna_robust._base.wording import counted
from optuna_robust._instances.failures import count_kinds
from optuna_robust._instances.failures import failures_text
from optuna_robust._instances.failures import kind_of
from optuna_robust._reporting.summary._table import Table
from optuna_robust._reporting.summary._values import exact_params
from optuna_robust._reporting.summary._values import number
from optuna_robust._reporting.summary._values import short_params
from optuna_robust._search.confirmation import ConfirmationResult
from optuna_robust._search.confirmation import ConfirmedModel
from optuna_robust._search.selection import SelectionResult
from optuna_robust._statistics.comparison import Interval
from optuna_robust._statistics.criterion_names import better_side
from optuna_robust._statistics.criterion_names import column_head
from optuna_robust._statistics.criterion_names import shown_name
from optuna_robust._statistics.criterion_names import shown_sign


# p-values below are not told apart.
_SMALLEST_P = 0.0001


def confirmation_parts(
    result: ConfirmationResult, searched_by: str | None, loss_name: str | None = None
) -> list[str | Table]:
    """Return paragraphs and tables that tell a confirmation; nothing is escaped.

    Args:
        result:
            What was confirmed.
        searched_by:
            Name of the criterion of the search; None if it is not known.
        loss_name:
            What losses are; None if it is not known.
    """
    n_instances = len(result.instance_numbers)
    head = column_head(result.criterion, result.direction, loss_name)
    parts: list[str | Table] = [
        f"{_criterion(result)} of {counted(n_instances, 'fresh instance')} "
        f"({better_side(result.criterion, result.direction)}), intervals of "
        f"{100 * result.confidence:g} %:",
        _confirmed_models(result, searched_by, head),
        _optimism_note(result),
    ]
    if result.pairs:
        parts += [
            "Differences, the first model less the second:",
            _confirmed_pairs(result),
            "p-values are two-sided. p is that of the difference and its interval; the others are "
            "Holm-adjusted: p adjusted of the difference, p level of Wilcoxon's signed ranks, "
            "p spread of Pitman and Morgan.",
            *_not_told_apart(result),
        ]
    if result.stopped_early:
        parts.append(f"Stopped early: {n_instances} instances made the order clear.")
    return [*parts, trainings_of(result), failures_of(result), _best_confirmed(result)]


def _confirmed_models(result: ConfirmationResult, searched_by: str | None, head: str) -> Table:
    """Return a table of the confirmed models, in the order of the search."""
    is_constrained = any(model.violation > 0.0 for model in result.models)
    header = ["model", "trial", "search", head, "interval", "optimism", "P(best)"]
    rows = [
        (
            str(position + 1),
            str(model.index),
            search_value(result, model, searched_by),
            number(_sign(result) * model.value),
            _interval_text(model.interval, sign=_sign(result)),
            number(model.optimism, 3),
            f"{model.probability_best:.2f}",
            *([str(len(result.failures.get(position, {})))] if result.failures else []),
            *([number(model.violation)] if is_constrained else []),
            short_params(model.params),
        )
        for position, model in enumerate(result.models)
    ]
    failed = ["failed"] if result.failures else []
    violation = ["violation"] if is_constrained else []
    return Table(
        (*header, *failed, *violation, "params"), tuple(rows), frozenset({"interval", "params"})
    )


def _best_confirmed(result: ConfirmationResult) -> str:
    """Say which of the confirmed models is the best, and what it is worth."""
    best = result.models[result.best_index]
    if not is_usable(best):
        return none_usable(result)
    text = (
        f"Best: trial {best.index} with {confirmed_value(result, best)} on fresh instances, "
        f"{exact_params(best.params)}."
    )
    if best.violation > 0.0:
        text += f" {none_feasible(best)}"
    if len(result.models) > 1:
        text += f" As the best of {len(result.models)}, this value is again slightly optimistic."
    return text


def is_usable(model: ConfirmedModel) -> bool:
    """Return True if a model's confirmed criterion is a number: failures may leave none."""
    return math.isfinite(model.value)


def none_usable(result: ConfirmationResult) -> str:
    """Say that the best of the confirmed models is worth nothing."""
    best = result.models[result.best_index]
    return (
        f"No confirmed model is usable: even the best, trial {best.index}, has "
        f"{confirmed_value(result, best)} on "
        f"{counted(len(result.instance_numbers), 'fresh instance')}."
    )


def none_feasible(best: ConfirmedModel) -> str:
    """Say that even the best of the confirmed models violates constraints."""
    return (
        "No confirmed model is feasible: even the best violates its constraints by "
        f"{number(best.violation)}."
    )


def confirmed_value(result: ConfirmationResult, model: ConfirmedModel) -> str:
    """Return a model's confirmed criterion, with its interval if there is one."""
    sign = _sign(result)
    told = f"{_criterion(result)} {number(sign * model.value)}"
    if math.isnan(model.interval.low):
        return told
    return f"{told} {_interval_text(model.interval, sign=sign)}"


def search_value(
    result: ConfirmationResult, model: ConfirmedModel, searched_by: str | None
) -> str:
    """Return what the search said of a model.

    Args:
        result:
            What was confirmed.
        model:
            One of its models.
        searched_by:
            Name of the criterion of the search; None if it is not known.
    """
    return number(shown_sign(searched_by, result.direction) * model.search_value)


def trainings_of(result: ConfirmationResult | SelectionResult) -> str:
    """Say what a confirmation or a selection cost."""
    n_trained = counted(result.n_trainings, "instance")
    n_all = counted(result.n_trainings + result.n_reused, "training")
    return (
        f"{n_trained} trained, {result.n_reused} taken from the store; the {n_all} took "
        f"{result.seconds:.1f} s."
    )


def failures_of(result: ConfirmationResult | SelectionResult) -> str:
    """Return a line about the failed instances of a confirmation or a selection."""
    reasons = (why for failed in result.failures.values() for why in failed.values())
    # A result of version 0.1.0 has the reasons only.
    return failures_text(result.failure_kinds or count_kinds(map(kind_of, reasons)))


def _criterion(result: ConfirmationResult) -> str:
    return shown_name(result.criterion, result.direction)


def _sign(result: ConfirmationResult) -> int:
    """Return what turns values of the criterion into what is shown."""
    return shown_sign(result.criterion, result.direction)


def _interval_text(interval: Interval, digits: int = 5, *, sign: int = 1) -> str:
    """Return an interval in brackets; ``-`` where there is none."""
    low, high = (number(sign * bound, digits) for bound in interval[::sign])
    return "-" if low == high == "-" else f"[{low}, {high}]"


def _optimism_note(result: ConfirmationResult) -> str:
    compared = sorted({(model.statistic, model.n_compared) for model in result.models})
    what = " or ".join(
        f"the {shown_name(statistic, result.direction)} of {n} instances"
        if n > 1
        else "the mean with the search's one training"
        for statistic, n in compared
    )
    return f"Optimism compares {what}; where it is positive, the search promised too much."


def _confirmed_pairs(result: ConfirmationResult) -> Table:
    rows = [
        (
            f"{pair.first + 1} - {pair.second + 1}",
            number(_sign(result) * pair.difference, 3),
            _interval_text(pair.interval, 3, sign=_sign(result)),
            *map(_p_value, (pair.p_value, pair.p_adjusted, pair.p_level, pair.p_spread)),
        )
        for pair in result.pairs
    ]
    return Table(
        (
            "models",
            f"difference in {_criterion(result)}",
            "interval",
            "p",
            "p adjusted",
            "p level",
            "p spread",
        ),
        tuple(rows),
        frozenset({"models", "interval"}),
    )


def _not_told_apart(result: ConfirmationResult) -> list[str]:
    """Return a sentence on the models that the best one is not shown to differ from, if any."""
    alpha = 1.0 - result.confidence
    others = [
        pair.first + pair.second - result.best_index
        for pair in result.pairs
        if result.best_index in (pair.first, pair.second) and not pair.p_adjusted <= alpha
    ]
    if not others:
        return []
    same = [
        other
        for other in others
        if np.array_equal(result.losses[other], result.losses[result.best_index])
    ]
    told = (
        f"No difference in {_criterion(result)} can be shown between the best, model "
        f"{result.best_index + 1}, and {_models(others)} (p adjusted > {alpha:.2g})."
    )
    if same:
        told += f" The losses of {_models(same)} are the same as those of the best."
    return [told]


def _models(positions: Sequence[int]) -> str:
    names = [str(position + 1) for position in positions]
    if len(names) == 1:
        return f"model {names[0]}"
    return f"models {', '.join(names[:-1])} and {names[-1]}"


def _p_value(p: float) -> str:
    return f"<{_SMALLEST_P}" if p < _SMALLEST_P else number(p, 2)
