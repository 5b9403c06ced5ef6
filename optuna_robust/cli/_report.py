"""``optuna-robust report``."""

from __future__ import annotations

import json
import math
import shlex
from typing import Any
from typing import TYPE_CHECKING

import click

from optuna_robust.cli._options import study_arguments
from optuna_robust.cli._output import say
from optuna_robust.cli._output import tell
from optuna_robust.cli._results import confirmation_text
from optuna_robust.cli._studies import load_study
from optuna_robust.cli._studies import open_storage
from optuna_robust.cli._studies import shown
from optuna_robust.cli._text_tables import number
from optuna_robust.cli._text_tables import printable
from optuna_robust.cli._text_tables import short_params
from optuna_robust.cli._text_tables import text_table


if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from optuna_robust.cli._study_report import StudyReport


@click.command(short_help="Report a study: best trials, cost and confirmation.")
@study_arguments
@click.option(
    "--n-trials",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many of the best trials.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON: NaN is null, infinity is the string Infinity or -Infinity.",
)
def report(*, storage: str, study: str, n_trials: int, as_json: bool) -> None:
    """Report a study: its best trials, what it cost, and its confirmation.

    STORAGE is where the study is: a database's URL, such as sqlite:///study.db, or the path of a
    journal file. STUDY is its name. A study with several objectives is reported by its Pareto
    front. Nothing is changed.

    The columns of a robust study: the criterion that is the trial's value, the median and the
    spread (interquartile range) of its instances' losses, how many instances it trained, how
    many of them failed, and the model.

    \b
    Examples:
      optuna-robust report sqlite:///study.db energy
      optuna-robust report sqlite:///study.db energy --json | jq '.best_trials[0].params'
    """
    loaded = load_study(open_storage(storage), study, shown_storage=shown(storage))
    from optuna_robust.cli._study_report import study_report  # noqa: PLC0415

    found = study_report(loaded, n_trials=n_trials)
    if found.unreadable is not None:
        tell(f"Warning: the study's confirmation cannot be read: {found.unreadable}")
    if as_json:
        say(json.dumps(_strict(found.to_dict()), indent=2, allow_nan=False, default=str))
    else:
        say(_text(found, storage))


def _text(found: StudyReport, storage: str) -> str:
    counts = ", ".join(
        f"{n} {state}" for state, n in found.n_trials.items() if n or state != "waiting"
    )
    parts = [
        printable(f"Study {found.study!r} ({', '.join(found.directions)})"),
        f"Trials: {counts}.\n{_cost(found)}{_settings(found)}",
    ]
    if found.best:
        parts.append(f"{_heading(found)}\n\n{_best_trials(found)}{_detectable(found)}")
    elif found.n_trials["complete"] and not found.n_best:
        parts.append("No complete trial is feasible.")
    elif not found.n_best:
        parts.append("No trial is complete yet.")
    if found.confirmation is not None:
        parts.append(f"Confirmation, {confirmation_text(found.confirmation)}")
    elif found.n_best and len(found.directions) == 1:
        parts.append(_advice(found, storage))
    return "\n\n".join(parts)


def _cost(found: StudyReport) -> str:
    text = f"Trainings: {found.n_trainings}, {found.seconds:.1f} s."
    if found.is_robust and found.n_unpruned is not None:
        text += f" Without pruning they would have been {found.n_unpruned}."
    return text


def _settings(found: StudyReport) -> str:
    if not found.settings:
        return ""
    told = (
        f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in sorted(found.settings.items())
    )
    return "\n" + printable(f"Settings: {', '.join(told)}.")


def _heading(found: StudyReport) -> str:
    if len(found.directions) > 1:
        return f"Pareto front, {len(found.best)} of {found.n_best} trials:"
    return f"The best {len(found.best)} of {found.n_best} complete trials:"


def _best_trials(found: StudyReport) -> str:
    names = ["median", "spread", "instances", "failures"] if found.is_robust else []
    rows = [
        [
            str(trial.number),
            *map(number, trial.values),
            *(_instances(trial) if found.is_robust else []),
            short_params(trial.params),
        ]
        for trial in found.best
    ]
    return text_table(["trial", *found.value_names, *names, "params"], rows, left=["params"])


def _detectable(found: StudyReport) -> str:
    if found.detectable is None:
        return ""
    return (
        f"\n\n{found.settings['n_instances']} instances of two models are likely (80 %) to tell "
        f"that their {found.value_names[0]} differs, at the level 0.05, if it does by "
        f"{number(found.detectable, 3)} or more."
    )


def _instances(trial: FrozenTrial) -> list[str]:
    from optuna_robust import trials  # noqa: PLC0415
    from optuna_robust.cli._study_report import n_failures  # noqa: PLC0415

    return [
        number(trial.user_attrs.get(trials.MEDIAN)),
        number(trial.user_attrs.get(trials.SPREAD)),
        str(trials.n_trainings(trial)),
        str(n_failures(trial)),
    ]


def _advice(found: StudyReport, storage: str) -> str:
    command = shlex.join(
        ["optuna-robust", "confirm", shown(storage), found.study, "MODULE:OBJECTIVE"]
    )
    why = (
        "These values are the best of many."
        if found.is_robust
        else "Each trial is one training, as far as the study tells: the best may have been lucky."
    )
    return f"{why} To learn what they are worth on fresh instances:\n  {printable(command)}"


def _strict(value: Any) -> Any:
    """Replace the numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _strict(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value
