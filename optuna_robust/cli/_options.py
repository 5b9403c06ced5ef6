"""Arguments and options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import TypeVar

import click

from optuna_robust._base.arguments import FAILURE_POLICIES


_Command = TypeVar("_Command", bound=Callable[..., Any])

# Not imported from where they are known: that takes a second, and --help none.
CRITERIA = "mean, median, q3, max, min, cvar, std, iqr, mad, mean+std or q3+iqr"


def study_arguments(command: _Command) -> _Command:
    """Add STORAGE and STUDY."""
    return click.argument("storage")(click.argument("study")(command))


def objective_argument(command: _Command) -> _Command:
    """Add MODULE:OBJECTIVE."""
    return click.argument("objective", metavar="MODULE:OBJECTIVE")(command)


def training_options(command: _Command) -> _Command:
    """Add the options of every command that trains."""
    options = [
        click.option(
            "--n-jobs",
            default=1,
            show_default=True,
            help="Instances trained at a time, each in a process of its own; -1: one a core.",
        ),
        click.option(
            "--instance-timeout",
            type=float,
            metavar="SECONDS",
            help="How long an instance may take; then it failed.  [default: as long as it likes]",
        ),
        click.option(
            "--store",
            metavar="URL",
            help="Database that keeps the instances, so that none is trained twice.  [default: "
            "STORAGE if it is a database, else STORAGE.instances.db beside the journal file]",
        ),
        click.option(
            "--experiment",
            metavar="NAME",
            help="Name of what is trained. Instances of different experiments are apart: use "
            "another one when the objective has changed.  [default: STUDY]",
        ),
        click.option(
            "--version",
            default="",
            metavar="TAG",
            help="Your tag of the objective's version: the store refuses another one in the same "
            "experiment, so that you cannot forget to use a new one.",
        ),
        click.option(
            "--out",
            type=click.Path(dir_okay=False, writable=True),
            metavar="FILE.h5",
            help="Also write the whole result to an HDF5 file.",
        ),
        click.option("--no-progress", is_flag=True, help="Show no progress bar."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def on_failure_option(default: str) -> Callable[[_Command], _Command]:
    """Return what adds ``--on-failure``.

    Args:
        default:
            What the help says of the default.
    """
    return click.option(
        "--on-failure",
        type=click.Choice(FAILURE_POLICIES),
        help="What an instance counts as that raises or returns NaN: the worst loss, an error, or "
        f"nothing (drop).  [default: {default}]",
    )
