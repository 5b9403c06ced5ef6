"""``optuna-robust publish``."""

from __future__ import annotations

import shlex

import click

from optuna_robust.cli._errors import Failure
from optuna_robust.cli._options import study_arguments
from optuna_robust.cli._output import tell
from optuna_robust.cli._studies import load_study
from optuna_robust.cli._studies import open_storage
from optuna_robust.cli._studies import shown


@click.command(short_help="Put figures and notes into a study, for optuna-dashboard.")
@study_arguments
@click.option(
    "--n-trials",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many of the best trials the note has.",
)
def publish(*, storage: str, study: str, n_trials: int) -> None:
    """Put figures and notes into a study, where optuna-dashboard shows them.

    STORAGE is where the study is: a database's URL, such as sqlite:///study.db, or the path of a
    journal file. STUDY is its name. What was published before is replaced; what you wrote into
    the notes stays. Needs optuna-dashboard: pip install "optuna-robust[dashboard]".

    \b
    Example:
      optuna-robust publish sqlite:///study.db energy
      optuna-dashboard sqlite:///study.db
    """
    loaded = load_study(open_storage(storage), study, shown_storage=shown(storage))
    from optuna_robust._reporting.dashboard import publish as publish_study  # noqa: PLC0415

    try:
        names = publish_study(loaded, n_trials=n_trials)
    except ImportError as error:
        raise Failure(str(error)) from None
    figures = f"{len(names)} figures" if len(names) != 1 else "1 figure"
    command = shlex.join(["optuna-dashboard", shown(storage)])
    tell(f"Published {figures} and the notes of {loaded.study_name!r}. To see them: {command}")
