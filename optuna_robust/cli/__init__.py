"""The command line ``optuna-robust``.

Thin: every command parses its arguments, calls the public Python API, and prints the result.
Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import click

from optuna_robust._base.version import __version__
from optuna_robust.cli._confirm import confirm
from optuna_robust.cli._errors import Commands
from optuna_robust.cli._publish import publish
from optuna_robust.cli._report import report
from optuna_robust.cli._select import select


__all__ = ["main"]


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 99},
)
@click.version_option(__version__, prog_name="optuna-robust")
def main() -> None:
    """Choose models that are good, and stay good when they are trained again.

    Models are trained several times each, with other seeds and samples ("instances"), and judged
    by all of them. See `optuna-robust COMMAND --help` for each command.

    \b
    Examples:
      optuna-robust report sqlite:///study.db energy
      optuna-robust confirm sqlite:///study.db energy train:objective
      optuna-robust select sqlite:///study.db choice train:objective --models grid.json \\
        --direction minimize
      optuna-robust publish sqlite:///study.db energy

    Exit codes: 0 fine, 1 the objective or the work failed, 2 wrong arguments, 130 Ctrl-C.
    """


for command in (report, confirm, select, publish):
    main.add_command(command)
