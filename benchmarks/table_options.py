"""Options of commands that work on tables of measured losses."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import tables


_DOC = tables.__doc__ or ""
# What a table is, as the continuation of a line of help.
TABLES = _DOC[:1].lower() + _DOC[1:]


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a table and say how to read it."""
    parser.add_argument("--table", type=Path, metavar="CSV", help="measured losses; see above")
    parser.add_argument(
        "--where",
        nargs="+",
        action="extend",
        default=[],
        type=_equation,
        metavar="COLUMN=VALUE",
        help="only the table's rows with these values",
    )
    parser.add_argument(
        "--columns", metavar="PREFIX", help="of the instances' columns; default: a known one"
    )
    parser.add_argument(
        "--direction",
        choices=("maximize", "minimize"),
        help="which losses are better; default: higher ones of an accuracy, else lower ones",
    )


def given_table(parser: argparse.ArgumentParser, args: argparse.Namespace) -> tables.Table | None:
    """Return the table that the options name, if one; what is wrong with them ends the program."""
    if args.table is None:
        if args.where or args.columns or args.direction:
            parser.error("--where, --columns and --direction are about a --table")
        return None
    try:
        return tables.read_table(
            args.table,
            columns=args.columns,
            direction=args.direction,
            where=dict(args.where),
        )
    except tables.TableError as error:
        parser.error(str(error))


def _equation(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not (column and equals):
        raise argparse.ArgumentTypeError(f"must be COLUMN=VALUE, but was {text!r}")
    return column.strip(), value.strip()
