"""What the sections of a report say."""

from __future__ import annotations

from datetime import datetime
from datetime import UTC
from importlib.metadata import version
import math
import platform
from typing import TYPE_CHECKING

from optuna_robust._base.version import __version__
from optuna_robust._base.wording import counted
from optuna_robust._reporting.summary import confirmed_value
from optuna_robust._reporting.summary import is_usable
from optuna_robust._reporting.summary import newer_best_text
from optuna_robust._reporting.summary import none_feasible
from optuna_robust._reporting.summary import none_usable
from optuna_robust._reporting.summary import number
from optuna_robust._reporting.summary import ranked_otherwise
from optuna_robust._reporting.summary import short_params
from optuna_robust._reporting.summary import shown_value
from optuna_robust._reporting.summary import StudyReport
from optuna_robust._reporting.summary import Table
from optuna_robust._reporting.summary import trial_counts
from optuna_robust._reporting.summary import unconfirmed
from optuna_robust._reporting.summary import unreadable
from optuna_robust._statistics.criterion_names import shown_name


if TYPE_CHECKING:
    from optuna.study import Study


_PACKAGES = ("optuna", "numpy", "scipy", "plotly")
_LONGEST_REASON = 200
_PER_MINUTE, _PER_HOUR = 60.0, 3600.0


def in_short(found: StudyReport) -> list[str]:
    """Return what a reader must know who reads nothing else."""
    if found.confirmation is not None:
        result = found.confirmation
        best = result.models[result.best_index]
        now = list(filter(None, [newer_best_text(found)]))
        if not is_usable(best):
            return [none_usable(result), *now]
        told = [
            f"Take trial {best.index}: {short_params(best.params)}.",
            f"On {counted(len(result.instance_numbers), 'fresh instance')}: "
            f"{confirmed_value(result, best)}.",
        ]
        if best.violation > 0.0:
            told.insert(0, none_feasible(best))
        if 0 < best.optimism < math.inf:
            told.append(
                f"The search promised too much by {number(best.optimism, 3)} "
                f"({shown_name(best.statistic, result.direction)} of equally many instances)."
            )
        return [" ".join(told), *now]
    if not found.best:
        return []
    if len(found.directions) > 1:
        return [f"{found.n_best} trials are on the Pareto front: no other one beats them in all."]
    best_trial = found.best[0]
    confirmation = unreadable(found) or (
        "It has not been confirmed on fresh instances: optuna-robust confirm does that."
    )
    return [
        f"The best trial of the search is {best_trial.number}, with {found.shown_names[0]} "
        f"{shown_value(found, best_trial)}: {short_params(best_trial.params)}.",
        f"{unconfirmed(found)} {confirmation}",
    ]


def costs(found: StudyReport) -> Table:
    """Return the account of what a study and its confirmation cost."""
    rows = [
        ("trials", trial_counts(found).removeprefix("Trials: ").rstrip(".")),
        ("instances trained", str(found.n_trainings)),
    ]
    if found.is_robust:
        rows.append(("instances taken from a store", str(found.n_reused)))
        if found.n_spared is not None:
            share = 100 * found.n_spared / found.n_unpruned if found.n_unpruned else 0.0
            rows.append(
                (
                    "instances not trained, since trials were stopped",
                    f"{found.n_spared} ({share:.0f} %)",
                )
            )
        if found.n_pruned:
            rows.append(("instances pruned by their epochs", str(found.n_pruned)))
        rows.append(("instances that failed", str(found.n_failures)))
        rows += [("of these", f"{n} with {_cut(reason)}") for reason, n in found.reasons]
    rows.append(("time of the trainings, added up", _duration(found.seconds)))
    if found.confirmation is not None:
        result = found.confirmation
        n_failed = sum(map(len, result.failures.values()))
        rows += [
            ("confirmation: instances trained", str(result.n_trainings)),
            ("confirmation: instances taken from a store", str(result.n_reused)),
            ("confirmation: instances that failed", str(n_failed)),
            ("confirmation: time of the trainings, added up", _duration(result.seconds)),
        ]
    return Table(("what", "how much"), tuple(rows), frozenset({"what", "how much"}))


def caveats(found: StudyReport) -> list[str]:
    """Return what the numbers do not say."""
    told = [
        "The values of the search are the best of many, and so they are optimistic: some of what "
        "made them good was luck."
    ]
    if found.n_trials["pruned"] and found.is_robust:
        told.append(
            "Values of pruned trials are of fewer instances, where a criterion with spread in it "
            "is smaller: they cannot be compared with those of complete trials."
        )
    if found.settings.get("on_failure") == "drop":
        told.append(
            "Failed instances were left out (on_failure drop), which favours models that fail: "
            "the table of the best, and study.best_trial, compare values of unequal numbers of "
            "instances."
        )
    if ranked_otherwise(found):
        told.append(ranked_otherwise(found))
    result = found.confirmation
    if found.unreadable is not None:
        told.append(
            "There is a confirmation, but it cannot be read: what the best trial is worth when it "
            "is trained again is not told here."
        )
        return told
    if result is None:
        told.append(
            "Nothing here was confirmed on fresh instances: what the best trial is worth when it "
            "is trained again is not known."
        )
        return told
    told.append(
        "The confirmation is unbiased over instances (seeds and training samples) only. Over data "
        "it is unbiased only if the objective judges confirmation instances by data that the "
        "search has not seen."
    )
    if len(result.models) > 1:
        told.append(
            f"The best of {len(result.models)} by confirmed value is again slightly optimistic, "
            "since it is chosen by the same instances that it is judged by."
        )
    if any(math.isnan(model.interval.low) for model in result.models):
        told.append(
            f"Where {shown_name(result.criterion, result.direction)} has no interval, none is "
            "valid: of fewer than 10 instances, of the extremes of a sample, or of infinite or "
            "identical losses."
        )
    if result.stopped_early:
        told.append(
            "The confirmation stopped when the order was clear; its intervals and p-values do not "
            "know of the looks in between, and are somewhat too narrow and too small."
        )
    return told


def origins(found: StudyReport, study: Study) -> Table:
    """Return settings, seeds and versions."""
    rows = [
        (name, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in sorted(found.settings.items())
    ]
    times = [trial.datetime_start for trial in study.get_trials(deepcopy=False)]
    begun = [time for time in times if time is not None]
    if begun:
        rows.append(("first trial begun", f"{min(begun):%Y-%m-%d %H:%M:%S}"))
        rows.append(("last trial begun", f"{max(begun):%Y-%m-%d %H:%M:%S}"))
    rows.append(("report written", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"))
    # Of a source tree that is not installed, nothing but itself tells the version.
    ours = [f"Python {platform.python_version()}", f"optuna-robust {__version__}"]
    rows.append(("by", ", ".join([*ours, *map(_version, _PACKAGES)])))
    return Table(("what", "value"), tuple(rows), frozenset({"what", "value"}))


def _version(package: str) -> str:
    return f"{package} {version(package)}"


def _cut(text: str) -> str:
    """Return the beginning of a long text."""
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


def _duration(seconds: float) -> str:
    if seconds < 2 * _PER_MINUTE:
        return f"{seconds:.1f} s"
    if seconds < 2 * _PER_HOUR:
        return f"{seconds / _PER_MINUTE:.1f} min"
    return f"{seconds / _PER_HOUR:.1f} h"
