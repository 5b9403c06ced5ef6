"""The command ``python -m benchmarks nas-vs-robust``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from dataclasses import replace
from datetime import datetime
from datetime import UTC
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version
import os
from pathlib import Path
import platform
from typing import Any

import optuna
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.cifar10.simulated import simulated_images
from benchmarks.nas_vs_robust import files
from benchmarks.nas_vs_robust.archive import Archive
from benchmarks.nas_vs_robust.circumstances import circumstances
from benchmarks.nas_vs_robust.measure import measure
from benchmarks.nas_vs_robust.measure import n_timed
from benchmarks.nas_vs_robust.plan import ARMS
from benchmarks.nas_vs_robust.plan import fewest_confirmations
from benchmarks.nas_vs_robust.plan import fewest_trainings
from benchmarks.nas_vs_robust.plan import Numbers
from benchmarks.nas_vs_robust.plan import numbers_of
from benchmarks.nas_vs_robust.plan import Plan
from benchmarks.nas_vs_robust.plan import PRESETS
from benchmarks.nas_vs_robust.report import Findings
from benchmarks.nas_vs_robust.work import Bench
from benchmarks.nas_vs_robust.work import check_sample_sizes
from benchmarks.nas_vs_robust.work import check_store
from benchmarks.nas_vs_robust.work import trains_together
from benchmarks.options import at_least
from benchmarks.tasks import Setting
from benchmarks.tasks import TaskCard
from benchmarks.tasks import TASKS


_NAME = "nas-vs-robust"
_FOR_FILES = ("h5py", "markdown-it-py")
# The warm-up of the pruner takes two instances, and one must be left to prune.
_FEWEST_INSTANCES = 3


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        _NAME,
        help="search as today, one training a model, against robust searches at equal cost",
        description=(
            "Searches for a model as today, with TPE and one training a model (nas), and in ways "
            "that look at several instances, all with the same number of trainings; then trains "
            "each winner on fresh instances and judges it on the test part. What is in "
            f"OUT/{_NAME}.db is not trained again: after Ctrl-C or a kill, give the same command."
        ),
    )
    parser.add_argument(
        "--task",
        choices=TASKS,
        default="energy",
        help="; ".join(f"{name}: {card.about}" for name, card in TASKS.items()).replace("%", "%%")
        + "; default: %(default)s",
    )
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default="quick",
        help="quick: minutes on 2 cores; standard: about 90 minutes; paper: meant for a GPU. The "
        "options below override it; default: %(default)s",
    )
    parser.add_argument(
        "--arms",
        nargs="+",
        choices=ARMS,
        metavar="ARM",
        help=f"of {', '.join(ARMS)}; quick: {', '.join(PRESETS['quick'].arms)}; standard: "
        f"{', '.join(PRESETS['standard'].arms)}; paper: all",
    )
    for option, minimum, meaning in (
        (
            "--seeds",
            1,
            f"number of search seeds; {_in_presets(lambda preset: preset.seeds)}",
        ),
        (
            "--trainings",
            _FEWEST_INSTANCES,
            f"trainings of each search; {_in_presets(lambda preset: preset.trainings)}",
        ),
        (
            "--n-instances",
            _FEWEST_INSTANCES,
            "instances of a model in the arms robust, robust-pruned and wilcoxon; "
            f"{_in_presets(lambda preset: preset.n_instances)}",
        ),
        (
            "--confirmations",
            _FEWEST_INSTANCES,
            "fresh instances of each winner and fixed model; "
            f"{_in_presets(lambda preset: preset.confirmations)}",
        ),
        ("--jobs", 1, "processes; default: as many as cores, one on a GPU"),
    ):
        parser.add_argument(option, type=at_least(minimum), metavar="N", help=meaning)
    parser.add_argument(
        "--first-seed",
        type=at_least(0),
        default=0,
        metavar="N",
        help="the first of the search seeds; default: %(default)s",
    )
    parser.add_argument(
        "--budgets",
        nargs="+",
        type=at_least(_FEWEST_INSTANCES),
        metavar="N",
        help="in place of --trainings: compare winners at several numbers of trainings; what "
        "searches have in common is trained once",
    )
    parser.add_argument(
        "--sample-sizes",
        nargs="+",
        type=at_least(1),
        metavar="N",
        help="of training samples; searches use the largest; default: those of task and preset",
    )
    parser.add_argument(
        "--events",
        type=Path,
        metavar="FILE",
        help="energy, position: events of your own, as HDF5; default: they are simulated into OUT",
    )
    parser.add_argument(
        "--dataset",
        choices=("A", "B"),
        help="energy, position: that is simulated, A: energies flat, normal incidence, B: a "
        "falling spectrum with angles; default: B",
    )
    parser.add_argument(
        "--schedule",
        choices=("constant", "cosine"),
        help="energy, position: of learning rates, constant or annealed to zero; "
        "default: constant",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="cifar10: of CIFAR-10's binary version; default: images are simulated into OUT",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="folder; default: %(default)s"
    )
    parser.set_defaults(run=lambda args, command: _run(parser, args, command))


def _in_presets(number: Callable[[Numbers], int]) -> str:
    return ", ".join(f"{name}: {number(preset)}" for name, preset in PRESETS.items())


def _run(parser: argparse.ArgumentParser, args: argparse.Namespace, command: str) -> int:
    card = TASKS[args.task]
    numbers, budgets, plan = _chosen(parser, args, card)
    versions = _versions(parser, card)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        bench, archive, settings = _open(parser, args, plan, versions)
        n_jobs = args.jobs or (1 if trains_together(bench) else _n_cores())
        try:
            outcomes, timed, rows = measure(
                archive,
                bench,
                plan,
                arms=numbers.arms,
                budgets=budgets,
                seeds=range(args.first_seed, args.first_seed + numbers.seeds),
                rows=card.rows.get(args.preset, ()),
                equal_seconds=numbers.equal_seconds,
                n_jobs=n_jobs,
            )
        finally:
            archive.close()
    except KeyboardInterrupt:
        print("Stopped. The same command goes on with what is not finished.")
        return 130
    except BrokenProcessPool:
        print("A process has ended unexpectedly. The same command goes on with what is left.")
        return 1
    found = Findings(
        plan,
        tuple(outcomes),
        tuple(timed),
        n_timed(plan),
        tuple(rows),
        {
            "task": args.task,
            "about": card.about,
            "loss": card.loss,
            "command": command,
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{platform.system()}, {_n_cores()} cores, {n_jobs} processes",
            "settings": settings,
            "versions": versions,
        },
    )
    print(f"\n{files.write(args.out, _NAME, found)}")
    print(f"Figures: {args.out / _NAME}.html; numbers: {_NAME}.json, {_NAME}.h5.")
    print(f"See every trial: optuna-dashboard sqlite:///{args.out / _NAME}.db")
    return 0


def _chosen(
    parser: argparse.ArgumentParser, args: argparse.Namespace, card: TaskCard
) -> tuple[Numbers, tuple[int, ...], Plan]:
    """Return the preset's numbers, with the user's in their place, and the budgets."""
    numbers = numbers_of(args.task, args.preset)
    given = {name: getattr(args, name, None) for name in asdict(numbers)}
    numbers = replace(
        numbers, **{name: value for name, value in given.items() if value is not None}
    )
    budgets = tuple(sorted(set(args.budgets or [numbers.trainings])))
    option, smallest = "--budgets" if args.budgets else "--trainings", budgets[0]
    if smallest < numbers.n_instances:
        parser.error(
            f"{option} must be at least --n-instances ({numbers.n_instances}), but was {smallest}"
        )
    for arm in numbers.arms:
        if smallest < fewest_trainings(arm):
            parser.error(
                f"{option} must be at least {fewest_trainings(arm)} for the arm {arm}, "
                f"but was {smallest}"
            )
        least = fewest_confirmations(arm, numbers.n_instances)
        if numbers.confirmations < least:
            parser.error(
                f"--confirmations must be at least {least} for the arm {arm}, "
                f"but was {numbers.confirmations}"
            )
    if args.budgets and args.trainings:
        parser.error("--budgets is in place of --trainings")
    for option in ("events", "dataset", "schedule", "data"):
        if option not in card.options and getattr(args, option) is not None:
            tasks = [name for name, each in TASKS.items() if option in each.options]
            parser.error(f"--{option} goes with {' and '.join(tasks)}, but --task was {args.task}")
    if "data" in card.options and args.data is None and args.preset not in card.n_simulated:
        parser.error(f"--preset {args.preset} of {args.task} needs --data FOLDER")
    if args.events is not None and args.dataset is not None:
        parser.error("--dataset is what is simulated; with --events nothing is")
    sizes = tuple(sorted(set(args.sample_sizes or card.sample_sizes[args.preset])))
    plan = Plan(numbers.n_instances, numbers.confirmations, sizes)
    # In the order of the arms, whatever the user's.
    arms = tuple(arm for arm in ARMS if arm in numbers.arms)
    return replace(numbers, arms=arms), budgets, plan


def _versions(parser: argparse.ArgumentParser, card: TaskCard) -> dict[str, str]:
    try:
        for name in _FOR_FILES:
            version(name)
        return {name: version(name) for name in ("optuna", "numpy", "scipy", *card.packages)}
    except PackageNotFoundError as error:
        parser.error(f"{error.name} is not installed: pip install 'optuna-robust[bench]'")


def _n_cores() -> int:
    return os.cpu_count() or 1


def _open(
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    plan: Plan,
    versions: dict[str, str],
) -> tuple[Bench, Archive, dict[str, Any]]:
    """Return task, finished work, and all that it depends on; or say what is wrong with --out."""
    path, card = args.out / f"{_NAME}.db", TASKS[args.task]
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        setting = _setting(args, card)
        losses_depend_on, settings = circumstances(args.task, card, setting, plan, versions)
        bench = Bench(args.task, card, setting, path, losses_depend_on)
        check_sample_sizes(bench, plan)
        archive = Archive(path, settings)
        check_store(bench, plan)
        return bench, archive, settings
    except OSError as error:
        parser.error(f"--out {args.out} cannot be written, or the data not read: {error}")
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        parser.error(f"{path} is not a database of Optuna studies: {reason}")
    except ValueError as error:
        parser.error(str(error))


def _setting(args: argparse.Namespace, card: TaskCard) -> Setting:
    events, images = args.events, args.data
    if "events" in card.options and events is None:
        from benchmarks.calorimeter.simulated_file import simulated_events  # noqa: PLC0415

        n = card.n_simulated[args.preset]
        events = simulated_events(args.out, args.dataset or "B", n, n_jobs=_n_cores())
    if "data" in card.options and images is None:
        images = simulated_images(args.out, card.n_simulated[args.preset])
    return Setting(args.preset, events, images, args.schedule or "constant")
