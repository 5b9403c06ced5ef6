"""The command ``python -m benchmarks search-cost``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from datetime import UTC
from importlib.metadata import version
import json
from pathlib import Path
import sqlite3
from typing import Any

from benchmarks.options import at_least
from benchmarks.pages import write_page
from benchmarks.resumable import FinishedWork
from benchmarks.search_cost.arms import ARMS
from benchmarks.search_cost.arms import DEFAULT_ARMS
from benchmarks.search_cost.arms import REFERENCE
from benchmarks.search_cost.families import FAMILIES
from benchmarks.search_cost.figure import figures
from benchmarks.search_cost.problems import FamilyProblem
from benchmarks.search_cost.problems import Problem
from benchmarks.search_cost.problems import TableProblem
from benchmarks.search_cost.report import as_json
from benchmarks.search_cost.report import as_markdown
from benchmarks.search_cost.report import Findings
from benchmarks.search_cost.report import main_table
from benchmarks.search_cost.runner import run_searches
from benchmarks.search_cost.runner import Search
from benchmarks.table_options import add_table_options
from benchmarks.table_options import given_table
from benchmarks.table_options import TABLES
from benchmarks.tables import TableError


_BUDGETS = (25, 50, 100)
_N_SEEDS = 30
_STEM = "search-cost"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    families = "\n".join(f"  {name}: {family.about}" for name, family in FAMILIES.items())
    arms = "\n".join(f"  {name}: {arm.about}" for name, arm in ARMS.items())
    parser = subparsers.add_parser(
        "search-cost",
        help="searches for the same number of trainings, on problems whose truth is known",
        description=(
            "Searches by many arms with the same budgets of trainings, on made-up families whose\n"
            "truth is known, or on the models of a table, and compares what the returned models\n"
            f"are worth. Writes {_STEM}.db, .json, .md and .html; stopped or killed, the same\n"
            "command goes on.\n\n"
            f"--families:\n{families}\n\n--arms:\n{arms}\n\n--table: {TABLES}\n"
            "A search sees a random part of the instances (10, or half of them), and is judged\n"
            "by the others. Proposed are the values of the columns; numbers by their order. A\n"
            "combination that the table lacks stands for the nearest model."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--families",
        nargs="+",
        choices=FAMILIES,
        metavar="NAME",
        help="default: all; with a --table none",
    )
    add_table_options(parser)
    parser.add_argument(
        "--arms",
        nargs="+",
        choices=[*ARMS, "all"],
        metavar="NAME",
        help=f"default: {' '.join(DEFAULT_ARMS)}; all: all that can be run here",
    )
    parser.add_argument(
        "--reference",
        choices=ARMS,
        default=REFERENCE,
        metavar="NAME",
        help="the arm that others are compared with; default: %(default)s",
    )
    parser.add_argument(
        "--budgets",
        nargs="+",
        type=at_least(2),
        default=_BUDGETS,
        metavar="N",
        help=f"trainings that a search may spend; default: {' '.join(map(str, _BUDGETS))}",
    )
    for option, minimum, default, meaning in (
        ("--seeds", 1, _N_SEEDS, "search seeds"),
        ("--first-seed", 0, 0, "the first of them"),
        ("--jobs", 1, 2, "processes; the result is the same"),
    ):
        parser.add_argument(
            option,
            type=at_least(minimum),
            default=default,
            metavar="N",
            help=f"{meaning}; default: %(default)s",
        )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results") / _STEM,
        metavar="DIR",
        help="folder; default: %(default)s",
    )
    parser.set_defaults(run=lambda args, command: _run(parser, args, command))


def _run(parser: argparse.ArgumentParser, args: argparse.Namespace, command: str) -> int:
    problems = _problems(parser, args)
    arms, left_out = _arms(parser, args)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    searches = [
        Search(problem.name, arm, seed, budget)
        for seed in seeds
        for problem in problems
        for arm in arms
        for budget in sorted(set(args.budgets))
    ]
    finished = _open(parser, args.out)
    try:
        outcomes = run_searches(problems, searches, finished, n_jobs=args.jobs)
    except KeyboardInterrupt:
        print("Stopped; the same command goes on.")
        return 130
    finally:
        finished.close()
    packages = [arm.package for name, arm in ARMS.items() if name in arms and arm.package]
    about = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {
            name: version(name) for name in ("optuna-robust", "optuna", "numpy", *packages)
        },
        "seeds": [seeds[0], seeds[-1]],
        "left_out": left_out,
        "problems": {problem.name: problem.about for problem in problems},
    }
    _write(args.out, Findings(tuple(outcomes), args.reference, about))
    return 0


def _problems(parser: argparse.ArgumentParser, args: argparse.Namespace) -> list[Problem]:
    table = given_table(parser, args)
    problems: list[Problem] = []
    if table is not None:
        try:
            problems.append(TableProblem(table))
        except TableError as error:
            parser.error(str(error))
    names = args.families or (() if problems else FAMILIES)
    return problems + [FamilyProblem(name) for name in dict.fromkeys(names)]


def _arms(
    parser: argparse.ArgumentParser, args: argparse.Namespace
) -> tuple[list[str], list[str]]:
    """Return the arms, and why others are left out."""
    takes_all = args.arms is not None and "all" in args.arms
    wanted: Sequence[str] = list(ARMS) if takes_all else args.arms or DEFAULT_ARMS
    arms, left_out = [], []
    for name, arm in ARMS.items():
        if name not in wanted:
            continue
        reason = arm.why_missing()
        if reason is None:
            arms.append(name)
        elif args.arms and not takes_all:
            parser.error(f"--arms {name}: {reason}")
        else:
            left_out.append(f"the arm {name}, since {reason}")
    if args.reference not in arms:
        parser.error(f"--reference {args.reference} is not among the --arms {' '.join(arms)}")
    return arms, left_out


def _open(parser: argparse.ArgumentParser, folder: Path) -> FinishedWork:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FinishedWork(folder / f"{_STEM}.db")
    except (OSError, sqlite3.Error) as error:
        parser.error(f"--out {folder} cannot be written: {error}")


def _write(folder: Path, found: Findings) -> None:
    text = as_markdown(found)
    plain: dict[str, Any] = as_json(found)
    (folder / f"{_STEM}.json").write_text(
        json.dumps(plain, allow_nan=False) + "\n", encoding="utf-8"
    )
    (folder / f"{_STEM}.md").write_text(text, encoding="utf-8")
    write_page(folder / f"{_STEM}.html", figures(found), text, _STEM)
    print(f"\nDifference to {found.reference} with {found.main_budget} trainings, in % of its")
    print(f"excess over the best possible:\n\n{main_table(found, found.main_budget)}\n")
    for reason in found.about["left_out"]:
        print(f"Left out: {reason}.")
    names = ", ".join(f"{_STEM}.{kind}" for kind in ("db", "json", "md", "html"))
    print(f"Written to {folder}: {names}.")
