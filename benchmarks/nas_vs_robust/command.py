"""The command ``python -m benchmarks nas-vs-robust``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from dataclasses import dataclass
from datetime import datetime
from datetime import UTC
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version
from importlib.util import find_spec
import json
import os
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.nas_vs_robust import report
from benchmarks.nas_vs_robust.archive import Archive
from benchmarks.nas_vs_robust.archive import digest
from benchmarks.nas_vs_robust.archive import OtherSettingsError
from benchmarks.nas_vs_robust.arms import ArmName
from benchmarks.nas_vs_robust.arms import ARMS
from benchmarks.nas_vs_robust.arms import Plan
from benchmarks.nas_vs_robust.runner import run_searches
from benchmarks.options import at_least
from benchmarks.tasks import TaskCard
from benchmarks.tasks import TASKS
import optuna_robust


_NAME = "nas-vs-robust"
# The warm-up of the pruner takes two instances, and one must be left to prune.
_FEWEST_INSTANCES = 3


@dataclass(frozen=True)
class Preset:
    """A plan, and for how many search seeds."""

    plan: Plan
    n_seeds: int


PRESETS: dict[str, Preset] = {
    "quick": Preset(Plan(trainings=400, n_instances=8, confirmations=24), n_seeds=6),
    "full": Preset(Plan(trainings=4000, n_instances=10, confirmations=100), n_seeds=20),
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        _NAME,
        help="search as today, one training a model, against the robust search at equal cost",
        description=(
            "Searches with TPE, one training a model (nas), and with MultiInstanceObjective and "
            "RobustnessPruner (robust), both with the same number of trainings; then trains each "
            "winner on fresh instances and judges it on the test part. Searches that are in "
            "OUT/nas-vs-robust.db are not run again: after Ctrl-C, give the same command."
        ),
    )
    parser.add_argument(
        "--task", choices=TASKS, default="digits", help="what to search; default: %(default)s"
    )
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default="quick",
        help="numbers for a look (minutes) or for publication (hours), which the options below "
        "override; default: %(default)s",
    )
    for option, minimum, meaning in (
        ("--seeds", 1, f"search seeds; {_in_presets(lambda preset: preset.n_seeds)}"),
        (
            "--trainings",
            _FEWEST_INSTANCES,
            f"trainings of each search; {_in_presets(lambda preset: preset.plan.trainings)}",
        ),
        (
            "--n-instances",
            _FEWEST_INSTANCES,
            "instances of a model in the robust arm; "
            f"{_in_presets(lambda preset: preset.plan.n_instances)}",
        ),
        (
            "--confirmations",
            _FEWEST_INSTANCES,
            "fresh instances of each winner; "
            f"{_in_presets(lambda preset: preset.plan.confirmations)}",
        ),
        ("--jobs", 1, "processes; default: as many as cores"),
    ):
        parser.add_argument(option, type=at_least(minimum), metavar="N", help=meaning)
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="folder; default: %(default)s"
    )
    parser.set_defaults(run=lambda args, command: _run(parser, args, command))


def _in_presets(number: Callable[[Preset], int]) -> str:
    return ", ".join(f"{name}: {number(preset)}" for name, preset in PRESETS.items())


def _run(parser: argparse.ArgumentParser, args: argparse.Namespace, command: str) -> int:
    plan, n_seeds = _chosen(parser, args)
    card = TASKS[args.task]
    versions = _versions(parser, card)
    settings = {"task": args.task, **asdict(plan), **versions, "code fingerprint": _code(card)}
    archive = _open_archive(parser, args.out, settings)
    wanted: list[tuple[ArmName, int]] = [(arm, seed) for seed in range(n_seeds) for arm in ARMS]
    try:
        finished = _finish(archive, card, plan, wanted, n_jobs=args.jobs or os.cpu_count() or 1)
    finally:
        archive.close()
    if not finished:
        return 130
    about = {
        "task": args.task,
        "loss": card.loss,
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "settings": settings,
        "versions": versions,
    }
    _write(args.out, [archive[search] for search in wanted], about)
    return 0


def _chosen(parser: argparse.ArgumentParser, args: argparse.Namespace) -> tuple[Plan, int]:
    """Return the preset's numbers, with the user's in their place."""
    preset = PRESETS[args.preset]
    numbers = {
        name: number if getattr(args, name) is None else getattr(args, name)
        for name, number in asdict(preset.plan).items()
    }
    for name in ("trainings", "confirmations"):
        if numbers[name] < numbers["n_instances"]:
            parser.error(
                f"--{name} must be at least --n-instances ({numbers['n_instances']}), "
                f"but was {numbers[name]}"
            )
    return Plan(**numbers), preset.n_seeds if args.seeds is None else args.seeds


def _versions(parser: argparse.ArgumentParser, card: TaskCard) -> dict[str, str]:
    try:
        return {name: version(name) for name in ("optuna", "numpy", *card.packages)}
    except PackageNotFoundError as error:
        parser.error(f"{error.name} is not installed: pip install 'optuna-robust[bench]'")


def _code(card: TaskCard) -> str:
    """Return the fingerprint of the code that outcomes depend on."""
    task = find_spec(card.module)
    assert task is not None
    assert task.origin is not None
    package = Path(optuna_robust.__file__).parent
    return digest(
        [Path(task.origin), Path(__file__).with_name("arms.py"), *package.rglob("*.py")],
    )


def _open_archive(
    parser: argparse.ArgumentParser, folder: Path, settings: dict[str, Any]
) -> Archive:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Archive(folder / f"{_NAME}.db", settings)
    except OSError as error:
        parser.error(f"--out {folder} cannot be written: {error}")
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        parser.error(f"{folder / _NAME}.db is not a database of Optuna studies: {reason}")
    except OtherSettingsError as error:
        parser.error(str(error))


def _finish(
    archive: Archive,
    card: TaskCard,
    plan: Plan,
    wanted: list[tuple[ArmName, int]],
    *,
    n_jobs: int,
) -> bool:
    """Run the searches that the archive does not have; False if the user stopped it."""
    missing = [search for search in wanted if search not in archive]
    if len(missing) < len(wanted):
        print(f"{len(wanted) - len(missing)} of {len(wanted)} searches are there already.")
    if not missing:
        return True
    try:
        for outcome, study_name, storage in run_searches(card, plan, missing, n_jobs=n_jobs):
            archive.add(outcome, study_name, storage)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on with the searches that are not finished.")
        return False
    return True


def _write(folder: Path, outcomes: list[Any], about: dict[str, Any]) -> None:
    text = report.as_markdown(outcomes, about)
    (folder / f"{_NAME}.md").write_text(text, encoding="utf-8")
    (folder / f"{_NAME}.json").write_text(
        json.dumps(report.as_json(outcomes, about), indent=1, allow_nan=False) + "\n",
        encoding="utf-8",
    )
    print(f"\n{text}")
    database = folder / f"{_NAME}.db"
    print(f"Written to {folder}. See every trial: optuna-dashboard sqlite:///{database}")
