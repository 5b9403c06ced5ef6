"""What the notes say: of the study, and of its finalists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from typing import TYPE_CHECKING

from optuna_robust._base.wording import counted
from optuna_robust._reporting.dashboard._markdown import escaped
from optuna_robust._reporting.dashboard._markdown import markdown_table
from optuna_robust._reporting.summary import best_heading
from optuna_robust._reporting.summary import best_trials
from optuna_robust._reporting.summary import confirmation_parts
from optuna_robust._reporting.summary import confirmed_value
from optuna_robust._reporting.summary import detectable_difference
from optuna_robust._reporting.summary import is_usable
from optuna_robust._reporting.summary import newer_best_text
from optuna_robust._reporting.summary import number
from optuna_robust._reporting.summary import ranked_otherwise
from optuna_robust._reporting.summary import search_value
from optuna_robust._reporting.summary import settings_text
from optuna_robust._reporting.summary import shown_value
from optuna_robust._reporting.summary import study_cost
from optuna_robust._reporting.summary import study_failures
from optuna_robust._reporting.summary import StudyReport
from optuna_robust._reporting.summary import trial_counts
from optuna_robust._reporting.summary import unconfirmed
from optuna_robust._reporting.summary import unreadable
from optuna_robust._search.confirmation import ConfirmationResult


if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from optuna_robust._reporting.main_figures import MainFigure


class Note(NamedTuple):
    """What is said of a trial.

    Attributes:
        trial: Its number.
        text: Markdown.
    """

    trial: int
    text: str


def study_note(found: StudyReport, figures: Iterable[MainFigure]) -> str:
    """Return what is said of a study, as Markdown."""
    parts = [
        "## Robust search",
        " ".join(map(escaped, (trial_counts(found), study_cost(found), study_failures(found)))),
        f"### {escaped(best_heading(found).rstrip(':.'))}" if best_heading(found) else "",
        markdown_table(best_trials(found)) if found.best else "",
        escaped(detectable_difference(found)) if found.best else "",
    ]
    if found.confirmation is not None:
        parts.append("### Confirmation")
        parts += [
            escaped(part) if isinstance(part, str) else markdown_table(part)
            for part in confirmation_parts(found.confirmation, found.searched_by, found.loss_name)
        ]
        parts.append(escaped(newer_best_text(found)))
    elif found.unreadable is not None:
        parts += ["### Confirmation", escaped(unreadable(found))]
    elif found.n_best and len(found.directions) == 1:
        parts.append(
            f"{escaped(unconfirmed(found))} `optuna-robust confirm` tells what they are worth on "
            "fresh instances."
        )
    told = [f"- **{escaped(each.title)}.** {escaped(' '.join(each.hints))}" for each in figures]
    if told:
        parts += ["### What to look for in the figures", "\n".join(told)]
        parts.append(escaped(ranked_otherwise(found)))
    parts.append(escaped(settings_text(found)))
    return "\n\n".join(filter(None, parts))


def finalist_notes(found: StudyReport, n_finalists: int) -> list[Note]:
    """Return what is said of the finalists: the models that were confirmed, or the best trials.

    Args:
        found:
            What there is to report.
        n_finalists:
            How many of the best trials are finalists of a study without confirmation.
    """
    if len(found.directions) > 1:
        return []
    confirmation = found.confirmation
    if confirmation is not None:
        return [
            Note(model.index, _confirmed(found, confirmation, position))
            for position, model in enumerate(confirmation.models)
        ]
    n = min(n_finalists, len(found.best))
    return [
        Note(trial.number, _unconfirmed(found, trial, place))
        for place, trial in enumerate(found.best[:n], start=1)
    ]


def _unconfirmed(found: StudyReport, trial: FrozenTrial, place: int) -> str:
    return _bullets(
        f"Place {place} of {found.n_best} in the search",
        [f"{found.shown_names[0]} {shown_value(found, trial)}", unconfirmed(found)],
    )


def _confirmed(found: StudyReport, result: ConfirmationResult, position: int) -> str:
    model = result.models[position]
    n_models, n_failed = len(result.models), len(result.failures.get(position, {}))
    is_best = position == result.best_index and is_usable(model)
    place = "The best" if is_best else "One"
    told = [
        confirmed_value(result, model),
        f"of {counted(len(result.instance_numbers), 'fresh instance')}",
        f"{search_value(result, model, found.searched_by)} in the search",
        f"optimism {number(model.optimism, 3)}",
    ]
    if n_models > 1:
        told.append(f"the best of {n_models} with probability {model.probability_best:.2f}")
    if model.violation > 0.0:
        told.append(f"infeasible: it violates its constraints by {number(model.violation)}")
    if n_failed:
        told.append(f"{n_failed} of its fresh instances failed")
    confirmed = f"{n_models} confirmed models" if n_models > 1 else "1 confirmed model"
    return _bullets(f"{place} of {confirmed}", told)


def _bullets(heading: str, told: Iterable[str]) -> str:
    """Return short lines: long ones run out of the page of a trial, which is wide."""
    return "\n".join([f"**{escaped(heading)}**", "", *(f"- {escaped(each)}" for each in told)])
