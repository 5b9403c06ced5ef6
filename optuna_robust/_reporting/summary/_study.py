"""What a study found and what it cost, as paragraphs and tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from optuna_robust._base.wording import counted
from optuna_robust._instances import trials
from optuna_robust._instances.failures import failures_text
from optuna_robust._reporting.summary._study_report import n_failures
from optuna_robust._reporting.summary._study_report import n_instances
from optuna_robust._reporting.summary._study_report import StudyReport
from optuna_robust._reporting.summary._table import Table
from optuna_robust._reporting.summary._values import number
from optuna_robust._reporting.summary._values import short_params
from optuna_robust._statistics.criteria import CRITERIA
from optuna_robust._statistics.criterion_names import shown_name
from optuna_robust._statistics.criterion_names import shown_sign


if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def trial_counts(found: StudyReport) -> str:
    """Say how many trials there are in each state."""
    infeasible = f" ({found.n_infeasible} infeasible)" if found.n_infeasible else ""
    counts = ", ".join(
        f"{n} {state}{infeasible if state == 'complete' else ''}"
        for state, n in found.n_trials.items()
        if n or state != "waiting"
    )
    return f"Trials: {counts}."


def study_cost(found: StudyReport) -> str:
    """Say how many instances were trained, how many were spared, and how many a store had."""
    told = []
    if found.is_robust and found.n_spared is not None:
        were = "was" if found.n_spared == 1 else "were"
        spared = counted(found.n_spared, "instance")
        told.append(f"{spared} of stopped trials {were} not trained")
    if found.n_reused:
        told.append(f"{found.n_reused} came from a store")
    if found.n_pruned:
        told.append(f"{found.n_pruned} were pruned by their epochs")
    text = f"Trainings: {found.n_trainings}, {found.seconds:.1f} s."
    return f"{text} {'; '.join(told)}." if told else text


def study_failures(found: StudyReport) -> str:
    """Return a line about failed instances; empty if trials have no instances."""
    return failures_text(found.failure_kinds) if found.is_robust else ""


def settings_text(found: StudyReport) -> str:
    """Say what the losses depend on; empty if that is not known."""
    if not found.settings:
        return ""
    told = (
        f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in sorted(found.settings.items())
    )
    return f"Settings: {', '.join(told)}."


def best_heading(found: StudyReport) -> str:
    """Say what the table of the best trials holds; or why there is none, empty if on purpose."""
    if found.best and len(found.directions) > 1:
        return f"Pareto front, {len(found.best)} of {counted(found.n_best, 'trial')}:"
    if found.best:
        return f"The best {len(found.best)} of {counted(found.n_best, 'complete trial')}:"
    if found.n_best:
        return ""
    if found.least_infeasible is not None:
        trial = found.least_infeasible
        return (
            "No complete trial is feasible: the best of them, "
            f"trial {trial.number}, violates its constraints by "
            f"{number(trials.total_violation(trial))}."
        )
    return "No trial is complete yet."


def best_trials(found: StudyReport) -> Table:
    """Return a table of the best trials."""
    more = _instance_columns(found) if found.is_robust else {}
    rows = [
        (
            str(trial.number),
            *(shown_value(found, trial, i) for i in range(len(trial.values))),
            *(cell(trial) for cell in more.values()),
            short_params(trial.params),
        )
        for trial in found.best
    ]
    return Table(("trial", *found.heads, *more, "params"), tuple(rows), frozenset({"params"}))


def shown_value(found: StudyReport, trial: FrozenTrial, objective: int = 0) -> str:
    """Return a value of a trial; a spread is positive, also in a study that maximises."""
    criterion = found.criteria[objective] if found.criteria else None
    return number(shown_sign(criterion, found.directions[objective]) * trial.values[objective])


def detectable_difference(found: StudyReport) -> str:
    """Say what difference of two models the instances tell; empty if that is not known."""
    if found.detectable is None:
        return ""
    told = (
        f"With {counted(found.settings['n_instances'], 'instance')} you can tell models apart "
        f"whose {found.shown_names[0]} differs by {number(found.detectable, 3)} or more (in 4 of "
        "5 cases, by a test at the level 0.05)."
    )
    return f"{told} {leaders_apart(found)}".rstrip()


def leaders_apart(found: StudyReport) -> str:
    """Say how many instances would tell the two best trials apart; empty if it is not known."""
    leaders = found.leaders
    if leaders is None:
        return ""
    first, second = leaders.numbers
    if leaders.difference == 0.0:
        return f"The two best trials, {first} and {second}, do not differ."
    by = number(leaders.difference, 3)
    differ = f"The two best trials, {first} and {second}, differ by {by}"
    if leaders.n_instances is None:
        return f"{differ}: too little to be shown by any number of instances that you would train."
    if leaders.n_instances <= found.settings["n_instances"]:
        return f"{differ}."
    return f"{differ}: to show that takes about {leaders.n_instances} instances of each."


def unconfirmed(found: StudyReport) -> str:
    """Say why the values of the best trials are not what they are worth."""
    if found.is_robust:
        return "These values are the best of many."
    return "Each trial is one training, as far as the study tells: the best may have been lucky."


def newer_best_text(found: StudyReport) -> str:
    """Say that the search has found a better trial than those confirmed; empty if it has not."""
    if found.better is None:
        return ""
    return (
        f"The best trial of the search is now {found.better.number}, with {found.shown_names[0]} "
        f"{shown_value(found, found.better)}: it was not confirmed, and may be better. Confirm "
        "again."
    )


def unreadable(found: StudyReport) -> str:
    """Say that the study's confirmation cannot be read; empty if it can, or there is none."""
    if found.unreadable is None:
        return ""
    return f"The study's confirmation cannot be read: {found.unreadable}"


def ranked_otherwise(found: StudyReport) -> str:
    """Say that figures rank models by another criterion than the search; empty if they do not."""
    if found.searched_by is None or found.searched_by in CRITERIA:
        return ""
    return (
        f"The search used a criterion of its own, {found.searched_by}, by which the table of the "
        "best trials is sorted. Figures cannot know it and rank models by "
        f"{shown_name('q3+iqr', found.directions[0])}: what is best there may not be the best of "
        "the search."
    )


def _instance_columns(found: StudyReport) -> dict[str, Callable[[FrozenTrial], str]]:
    """Return what is shown of a trial's instances beside its values, and how to get it."""
    columns: dict[str, Callable[[FrozenTrial], str]] = {
        "median": lambda trial: number(trial.user_attrs.get(trials.MEDIAN)),
        "IQR": lambda trial: number(trial.user_attrs.get(trials.SPREAD)),
        "instances": lambda trial: str(n_instances(trial)),
        "failures": lambda trial: str(n_failures(trial)),
    }
    # What is a value of the study already.
    for name, criterion in (("median", "median"), ("IQR", "iqr")):
        if criterion in found.value_names:
            del columns[name]
    return columns
