"""The command ``python -m benchmarks checked-by-others``."""

from __future__ import annotations

import argparse

from benchmarks.checked_by_others import comparisons
from benchmarks.checked_by_others.environment import installed
from benchmarks.checked_by_others.environment import PACKAGES
from benchmarks.text_tables import markdown_table


_COMPARISONS = {
    "limma": comparisons.limma,
    "rliable": comparisons.rliable,
    "adastop": comparisons.adastop,
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        "checked-by-others",
        help="statistics beside those of limma, rliable and AdaStop",
        description="Install each package in an environment that is thrown away (up to 700 MB), "
        "and compare what it gives for the same losses.",
    )
    parser.add_argument(
        "--packages", nargs="+", choices=PACKAGES, default=list(PACKAGES), help="default: all"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, command: str) -> int:
    rows = []
    for name in args.packages:
        with installed(name) as ask:
            rows += [(PACKAGES[name][0], *row) for row in _COMPARISONS[name](ask)]
    print(f"`{command}`\n")
    print(markdown_table(("package", "compared", "on", "result"), rows))
    return 0
