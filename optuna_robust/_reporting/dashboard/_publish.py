"""A study's figures and notes, written into the study, where optuna-dashboard shows them."""

from __future__ import annotations

from collections.abc import Mapping
import threading
from types import SimpleNamespace
from typing import Any
from typing import TYPE_CHECKING

from optuna_robust._base.arguments import check_count
from optuna_robust._instances import trials
from optuna_robust._reporting.dashboard._notes import finalist_notes
from optuna_robust._reporting.dashboard._notes import study_note
from optuna_robust._reporting.dashboard._sections import with_section
from optuna_robust._reporting.main_figures import dashboard_figures
from optuna_robust._reporting.summary import study_report


if TYPE_CHECKING:
    from optuna.study import Study


# A figure is written in pieces: two threads would mix theirs. And who read the study first must
# not be the last one to write.
_PUBLISHING = threading.Lock()


def publish(study: Study, *, n_trials: int = 10, n_finalists: int = 3) -> tuple[str, ...]:
    """Write a study's figures and notes into it, where optuna-dashboard shows them.

    The study gets the main figures and a note with its best trials, cost and confirmation; its
    finalists, the confirmed models or else the best trials, get notes of their own. They are
    snapshots: what was published before is replaced. Text that users wrote into the notes stays.
    Threads may publish at the same time; of several processes let one do it, since they do not
    wait for each other.

    Example:
        >>> import optuna
        >>> import optuna_robust as opr
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> def objective(trial, instance):
        ...     x = trial.suggest_float("x", -1, 1)
        ...     return x**2 + (0.1 + abs(x)) * instance.rng.normal()
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(opr.MultiInstanceObjective(objective, n_instances=4), n_trials=4)
        >>> "robust-instance-losses" in opr.dashboard.publish(study)
        True

    Args:
        study:
            Any study, on any storage; one without trials of several instances gets the note alone.
        n_trials:
            Number of the best trials in the note.
        n_finalists:
            Number of the best trials that get a note, if nothing was confirmed.

    Returns:
        Identifiers of the figures.

    Raises:
        ImportError: If optuna-dashboard is not installed.
        TypeError: If a number is not an integer.
        ValueError: If it is negative.
    """
    n_trials = check_count("n_trials", n_trials, minimum=0)
    n_finalists = check_count("n_finalists", n_finalists, minimum=0)
    dashboard = dashboard_package()
    with _PUBLISHING:
        found = study_report(study, n_trials=max(n_trials, n_finalists))
        figures = dashboard_figures(study, found)
        notes = {note.trial: note.text for note in finalist_notes(found, n_finalists)}
        for each in figures:
            dashboard.save_plotly_graph_object(study, each.figure, graph_object_id=each.name)
        _save_note(dashboard, study, study_note(found.top(n_trials), figures))
        _save_trial_notes(dashboard, study, notes)
    return tuple(each.name for each in figures)


def dashboard_package() -> Any:
    """Return optuna-dashboard.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import optuna_dashboard  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(
            'Publishing needs optuna-dashboard: pip install "optuna-robust[dashboard]".'
        ) from error
    return optuna_dashboard


def _save_trial_notes(dashboard: Any, study: Study, notes: Mapping[int, str]) -> None:
    """Write the finalists' notes, and take back those of trials that are none any more."""
    before = study.user_attrs.get(trials.FINALISTS, [])
    ids = {trial.number: trial._trial_id for trial in study.get_trials(deepcopy=False)}
    for number in sorted({*before, *notes} & ids.keys()):
        # What optuna-dashboard asks of a trial. A Trial would have the sampler begin it again.
        trial = SimpleNamespace(storage=study._storage, study=study, _trial_id=ids[number])
        _save_note(dashboard, trial, notes.get(number, ""))
    if sorted(notes) != before:
        study.set_user_attr(trials.FINALISTS, sorted(notes))


def _save_note(dashboard: Any, study_or_trial: Study | SimpleNamespace, section: str) -> None:
    before = dashboard.get_note(study_or_trial)
    note = with_section(before, section)
    if note != before:
        dashboard.save_note(study_or_trial, note)
