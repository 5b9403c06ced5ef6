"""Results as text. Imported when a command runs, since it imports what is reported."""

from __future__ import annotations

from collections.abc import Sequence
import math
import shlex

from optuna.study import Study

from optuna_robust._base.wording import counted
from optuna_robust._instances import trials
from optuna_robust._instances.model_key import model_key
from optuna_robust._reporting.summary import best_heading
from optuna_robust._reporting.summary import best_trials
from optuna_robust._reporting.summary import confirmation_parts
from optuna_robust._reporting.summary import detectable_difference
from optuna_robust._reporting.summary import exact_params
from optuna_robust._reporting.summary import failures_of
from optuna_robust._reporting.summary import loss_name
from optuna_robust._reporting.summary import newer_best_text
from optuna_robust._reporting.summary import number
from optuna_robust._reporting.summary import settings_text
from optuna_robust._reporting.summary import short_params
from optuna_robust._reporting.summary import study_cost
from optuna_robust._reporting.summary import study_failures
from optuna_robust._reporting.summary import StudyReport
from optuna_robust._reporting.summary import Table
from optuna_robust._reporting.summary import trainings_of
from optuna_robust._reporting.summary import trial_counts
from optuna_robust._reporting.summary import unconfirmed
from optuna_robust._search.confirmation import ConfirmationResult
from optuna_robust._search.selection import SelectionResult
from optuna_robust._statistics.criterion_names import better_side
from optuna_robust._statistics.criterion_names import column_head
from optuna_robust._statistics.criterion_names import shown_name
from optuna_robust._statistics.criterion_names import shown_sign
from optuna_robust.cli._studies import shown
from optuna_robust.cli._text_tables import printable
from optuna_robust.cli._text_tables import text_table


def study_text(found: StudyReport, storage: str) -> str:
    """Return what there is to report of a study as text.

    Args:
        found:
            What there is to report.
        storage:
            The study's storage, as the user named it.
    """
    settings, failures = printable(settings_text(found)), printable(study_failures(found))
    parts = [
        printable(f"Study {found.study!r} ({', '.join(found.directions)})"),
        "\n".join(filter(None, [trial_counts(found), study_cost(found), failures, settings])),
        best_heading(found),
        table_text(best_trials(found)) if found.best else "",
        detectable_difference(found) if found.best else "",
    ]
    if found.confirmation is not None:
        told = confirmation_text(found.confirmation, found.searched_by, found.loss_name)
        parts += [f"Confirmation, {told}", newer_best_text(found)]
    elif found.n_best and len(found.directions) == 1:
        parts.append(_advice(found, storage))
    return "\n\n".join(filter(None, parts))


def confirmation_text(
    result: ConfirmationResult, searched_by: str | None, loss_name: str | None = None
) -> str:
    """Return the confirmation of a study's models as text.

    Args:
        result:
            What was confirmed.
        searched_by:
            Name of the criterion of the search; None if it is not known.
        loss_name:
            What losses are; None if it is not known.
    """
    return "\n\n".join(
        printable(part) if isinstance(part, str) else table_text(part)
        for part in confirmation_parts(result, searched_by, loss_name)
    )


def table_text(table: Table) -> str:
    """Return a table as text."""
    return text_table(table.header, table.rows, left=table.left)


def selection_text(result: SelectionResult, study: Study) -> str:
    """Return a selection as text.

    Args:
        result:
            What was selected.
        study:
            The study that has the models as trials.
    """
    numbers = _trial_numbers(result, study)
    criterion = shown_name(result.criterion, result.direction)
    head = column_head(result.criterion, result.direction, loss_name(study))
    value = number(shown_sign(result.criterion, result.direction) * result.best_value)
    best = (
        f"Best: model {result.best_index} (trial {numbers[result.best_index]} of "
        f"{printable(study.study_name)}) with {criterion} {value} of "
        f"{counted(result.best_n_instances, 'instance')}, "
        f"{printable(exact_params(result.best_params))}."
    )
    if not math.isnan(result.probability):
        among = f"within {result.tolerance:g} of the best" if result.tolerance else "the best"
        best += f" It is {among} of them all with probability {result.probability:.3g}."
    if not result.is_feasible:
        best += (
            " No model is feasible: even the best violates its constraints by "
            f"{number(result.violations[result.best_index])}."
        )
    n_infeasible = sum(violation > 0.0 for violation in result.violations)
    infeasible = f", {n_infeasible} of them infeasible" if n_infeasible else ""
    parts = [
        f"{counted(len(result.models), 'model')} (counted from 0){infeasible}, {result.rule} by "
        f"{criterion} ({better_side(result.criterion, result.direction)}):",
        _steps(result, head),
    ]
    if len(result.survivors) > 1:
        parts += [f"{len(result.survivors)} models are left:", _survivors(result, numbers, head)]
    return "\n\n".join([*parts, trainings_of(result), printable(failures_of(result)), best])


def _advice(found: StudyReport, storage: str) -> str:
    command = shlex.join(
        ["optuna-robust", "confirm", shown(storage), found.study, "MODULE:OBJECTIVE"]
    )
    return (
        f"{unconfirmed(found)} To learn what they are worth on fresh instances:\n"
        f"  {printable(command)}"
    )


def _steps(result: SelectionResult, head: str) -> str:
    rows = [
        [
            str(step.step),
            str(len(step.kept)),
            str(step.incumbent),
            number(shown_sign(result.criterion, result.direction) * step.incumbent_value),
            str(step.n_trained),
        ]
        for step in result.steps
    ]
    return text_table(["step", "models kept", "incumbent", head, "trained"], rows)


def _trial_numbers(result: SelectionResult, study: Study) -> list[int]:
    """Return the number of each model's latest trial, which it got when its fate was decided."""
    latest = {
        trial.user_attrs[trials.MODEL]: trial.number
        for trial in study.get_trials(deepcopy=False)
        if trials.MODEL in trial.user_attrs
    }
    return [latest[model_key(params)] for params in result.models]


def _survivors(result: SelectionResult, numbers: Sequence[int], head: str) -> str:
    sign = -1 if result.direction == "maximize" else 1
    # The best first, by the selection's own choice; then by value.
    ranked = sorted(
        result.survivors,
        key=lambda model: (model != result.best_index, sign * result.values[model]),
    )
    turned = shown_sign(result.criterion, result.direction)
    rows = [
        [
            str(model),
            str(numbers[model]),
            number(turned * float(result.values[model])),
            short_params(result.models[model]),
        ]
        for model in ranked
    ]
    return text_table(["model", "trial", head, "params"], rows, left=["params"])
