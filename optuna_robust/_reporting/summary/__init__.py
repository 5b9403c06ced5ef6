"""What there is to say of a study or a confirmation, before it becomes text, Markdown or HTML."""

from optuna_robust._reporting.summary._confirmation import confirmation_parts
from optuna_robust._reporting.summary._confirmation import confirmed_value
from optuna_robust._reporting.summary._confirmation import failures_of
from optuna_robust._reporting.summary._confirmation import is_usable
from optuna_robust._reporting.summary._confirmation import none_feasible
from optuna_robust._reporting.summary._confirmation import none_usable
from optuna_robust._reporting.summary._confirmation import search_value
from optuna_robust._reporting.summary._confirmation import trainings_of
from optuna_robust._reporting.summary._study import best_heading
from optuna_robust._reporting.summary._study import best_trials
from optuna_robust._reporting.summary._study import detectable_difference
from optuna_robust._reporting.summary._study import newer_best_text
from optuna_robust._reporting.summary._study import ranked_otherwise
from optuna_robust._reporting.summary._study import settings_text
from optuna_robust._reporting.summary._study import shown_value
from optuna_robust._reporting.summary._study import study_cost
from optuna_robust._reporting.summary._study import study_failures
from optuna_robust._reporting.summary._study import trial_counts
from optuna_robust._reporting.summary._study import unconfirmed
from optuna_robust._reporting.summary._study import unreadable
from optuna_robust._reporting.summary._study_report import loss_name
from optuna_robust._reporting.summary._study_report import n_failures
from optuna_robust._reporting.summary._study_report import searched_by
from optuna_robust._reporting.summary._study_report import study_report
from optuna_robust._reporting.summary._study_report import StudyReport
from optuna_robust._reporting.summary._table import Table
from optuna_robust._reporting.summary._values import exact_params
from optuna_robust._reporting.summary._values import number
from optuna_robust._reporting.summary._values import short_params


__all__ = [
    "StudyReport",
    "Table",
    "best_heading",
    "best_trials",
    "confirmation_parts",
    "confirmed_value",
    "detectable_difference",
    "exact_params",
    "failures_of",
    "is_usable",
    "loss_name",
    "n_failures",
    "newer_best_text",
    "none_feasible",
    "none_usable",
    "number",
    "ranked_otherwise",
    "search_value",
    "searched_by",
    "settings_text",
    "short_params",
    "shown_value",
    "study_cost",
    "study_failures",
    "study_report",
    "trainings_of",
    "trial_counts",
    "unconfirmed",
    "unreadable",
]
