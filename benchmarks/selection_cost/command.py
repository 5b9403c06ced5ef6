"""The command ``python -m benchmarks selection-cost``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import datetime
from datetime import UTC
from importlib.metadata import version
import json
from pathlib import Path
import time
from typing import Any

from benchmarks.options import at_least
from benchmarks.selection_cost import report
from benchmarks.selection_cost.families import FAMILIES
from benchmarks.selection_cost.figure import write_figure
from benchmarks.selection_cost.peers import missing
from benchmarks.selection_cost.peers import MOST_MODELS
from benchmarks.selection_cost.peers import OPTIONAL
from benchmarks.selection_cost.problems import FamilyProblem
from benchmarks.selection_cost.problems import Problem
from benchmarks.selection_cost.problems import TableProblem
from benchmarks.selection_cost.problems import TOLERANCE_IN_NOISE
from benchmarks.selection_cost.runner import Case
from benchmarks.selection_cost.runner import Plan
from benchmarks.selection_cost.runner import run_cases
from benchmarks.table_options import add_table_options
from benchmarks.table_options import given_table
from benchmarks.table_options import TABLES
from optuna_robust.criteria import CRITERIA
from optuna_robust.criteria import get_criterion


@dataclass(frozen=True)
class Preset:
    """On what, and how often, where the user does not say."""

    families: tuple[str, ...]
    n_replays: int
    n_slow_replays: int
    n_race_replays: int


PRESETS: dict[str, Preset] = {
    "quick": Preset(("measured-64", "lucky-64"), n_replays=20, n_slow_replays=3, n_race_replays=5),
    "default": Preset(
        (
            "measured-64",
            "measured-600",
            "unequal-64",
            "heavy-tails-64",
            "lucky-64",
            "identical-512",
        ),
        n_replays=200,
        n_slow_replays=20,
        n_race_replays=40,
    ),
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    families = "\n".join(f"  {name}: {family.about}" for name, family in FAMILIES.items())
    parser = subparsers.add_parser(
        "selection-cost",
        help="every elimination rule replayed on tables of losses: trainings against regret",
        description=(
            "Replays every elimination rule, exhaustive training and the pruners of other\n"
            "packages on tables of losses, with a random order of the instances in every replay.\n"
            "Writes results.json, report.md and cost_regret.html.\n\n"
            f"--table: {TABLES}\n"
            f"--synthetic, each with a fresh table for every replay:\n{families}"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_table_options(parser)
    parser.add_argument(
        "--synthetic",
        nargs="+",
        choices=FAMILIES,
        metavar="NAME",
        help="families; default: without --table those of the preset",
    )
    parser.add_argument(
        "--criterion",
        nargs="+",
        choices=CRITERIA,
        metavar="NAME",
        default=["mean", "q3+iqr", "std"],
        help=f"of {', '.join(CRITERIA)}; default: mean q3+iqr std",
    )
    parser.add_argument(
        "--tolerance",
        type=_not_negative,
        metavar="X",
        help="how much worse than the best a model may be; default: "
        f"{TOLERANCE_IN_NOISE:g} times the typical standard deviation of a model's losses",
    )
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default="default",
        help="numbers for a look or for good, which the options override; default: %(default)s",
    )
    for option, minimum, meaning in (
        ("--replays", 2, "replays; large families get a share of them"),
        ("--optuna-replays", 1, "of these, for Optuna's pruners and other packages"),
        ("--jobs", 1, "processes; the result is the same; default: 2"),
        ("--seed", 0, "all randomness comes from it; default: 0"),
    ):
        parser.add_argument(option, type=at_least(minimum), metavar="N", help=meaning)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results") / "selection-cost",
        metavar="DIR",
        help="folder; default: %(default)s",
    )
    parser.set_defaults(run=lambda args, command: _run(parser, args, command), jobs=2, seed=0)


def _not_negative(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, but was {text!r}") from None
    if not 0.0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be at least 0, but was {text}")
    return number


def _run(parser: argparse.ArgumentParser, args: argparse.Namespace, command: str) -> int:
    preset = PRESETS[args.preset]
    problems = _problems(parser, args, preset)
    _check_instances(parser, args.criterion, problems)
    plan = Plan(
        n_replays=args.replays or preset.n_replays,
        n_slow_replays=args.optuna_replays or preset.n_slow_replays,
        n_race_replays=args.replays or preset.n_race_replays,
        tolerance=args.tolerance,
        seed=args.seed,
    )
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out {args.out} cannot be written: {error}")
    start = time.perf_counter()
    try:
        cases = run_cases(problems, list(dict.fromkeys(args.criterion)), plan, n_jobs=args.jobs)
    except KeyboardInterrupt:
        print("Stopped; nothing is written.")
        return 130
    installed = [name for name in OPTIONAL if name not in missing()]
    about = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {
            name: version(name) for name in ("optuna-robust", "optuna", "numpy", *installed)
        },
        "seconds": time.perf_counter() - start,
        "seed": plan.seed,
        "left_out": _left_out(problems),
    }
    _write(args.out, cases, about)
    return 0


def _problems(
    parser: argparse.ArgumentParser, args: argparse.Namespace, preset: Preset
) -> list[Problem]:
    problems: list[Problem] = []
    table = given_table(parser, args)
    if table is not None:
        problems.append(TableProblem(table))
    names = args.synthetic or (() if problems else preset.families)
    return problems + [FamilyProblem(name) for name in dict.fromkeys(names)]


def _check_instances(
    parser: argparse.ArgumentParser, criteria: list[str], problems: list[Problem]
) -> None:
    for name in criteria:
        needed = get_criterion(name).min_instances
        for problem in problems:
            if problem.n_instances < needed:
                parser.error(f"--criterion {name} needs {needed} instances: {problem.name}")


def _left_out(problems: list[Problem]) -> list[str]:
    reasons = [f"the arm of {name}, which is not installed" for name in missing()]
    large = [problem.name for problem in problems if problem.n_models > MOST_MODELS]
    if large:
        reasons.append(f"the pruners of studies on {', '.join(large)}, which would take too long")
    return reasons


def _write(folder: Path, cases: list[Case], about: dict[str, Any]) -> None:
    (folder / "results.json").write_text(
        json.dumps(report.as_json(cases, about), allow_nan=False) + "\n", encoding="utf-8"
    )
    (folder / "report.md").write_text(report.as_markdown(cases, about), encoding="utf-8")
    figures = write_figure(cases, folder, "cost_regret")
    print(f"\n{report.for_screen(cases)}\n")
    for reason in about["left_out"]:
        print(f"Left out: {reason}.")
    names = ", ".join(["results.json", "report.md", *(path.name for path in figures)])
    print(f"Written to {folder}: {names}.")
