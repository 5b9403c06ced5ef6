"""The commands ``python -m benchmarks calorimeter sample-size`` and ``initialization``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import loky
import numpy as np

from benchmarks.calorimeter.events import Position
from benchmarks.calorimeter.events import POSITIONS
from benchmarks.calorimeter.events_file import EventsFile
from benchmarks.calorimeter.setting import DATASETS
from benchmarks.calorimeter.simulated_file import simulated_events
from benchmarks.options import at_least


_PROBLEMS = ("energy", "position")
_STORE = "calorimeter-instances.db"


@dataclass(frozen=True)
class Preset:
    """How large a study is.

    Args:
        n_events:
            That are simulated.
        n_instances:
            Of each model.
        sizes:
            Of training samples, for the study of these.
        sample_size:
            For the study of sources.
    """

    n_events: int
    n_instances: int
    sizes: tuple[int, ...]
    sample_size: int


PRESETS = {
    # Minutes on 2 cores.
    "quick": Preset(20_000, 5, (100, 320, 1000), 320),
    # Under an hour on 2 cores, each problem.
    "standard": Preset(60_000, 10, (100, 320, 1000, 3200), 1000),
    # As published, and meant for a GPU.
    "paper": Preset(
        500_000, 1000, tuple(np.geomspace(100, 32_000, 132).round().astype(int).tolist()), 32_000
    ),
}


def add_sample_size(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the study of sample sizes."""
    parser = commands.add_parser(
        "sample-size",
        help="losses against the size of the training sample, with and without inductive bias",
        description=(
            "Trains models of the paper on samples of several sizes, and writes level and spread "
            "of their instances as Markdown, HDF5 and HTML. The same command goes on where it was "
            "stopped."
        ),
    )
    _add_common(parser)
    parser.add_argument(
        "--sizes", nargs="+", type=at_least(1), metavar="N", help="default: those of the preset"
    )
    parser.set_defaults(run=lambda args, command: _run(parser, args, command, "sample-size"))


def add_initialization(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the study of sources of variation."""
    parser = commands.add_parser(
        "initialization",
        help="where the spread comes from: weights and order, the sample, or both",
        description=(
            "Trains models of the paper with internal sources of variation (initial weights, "
            "order), external ones (the training sample) and both, and writes what each does to "
            "the losses. The same command goes on where it was stopped."
        ),
    )
    _add_common(parser)
    parser.add_argument(
        "--sample-size", type=at_least(1), metavar="N", help="default: that of the preset"
    )
    parser.set_defaults(run=lambda args, command: _run(parser, args, command, "initialization"))


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--problem", choices=_PROBLEMS, default="energy", help="default: %(default)s"
    )
    parser.add_argument(
        "--preset", choices=PRESETS, default="quick", help="how large; default: %(default)s"
    )
    parser.add_argument(
        "--dataset", choices=DATASETS, default="B", help="that is simulated; default: %(default)s"
    )
    parser.add_argument(
        "--events",
        type=Path,
        metavar="FILE",
        help="events of your own, as HDF5; default: they are simulated, once, into OUT",
    )
    parser.add_argument(
        "--position",
        choices=POSITIONS,
        help=(
            "where x and y are: at the front face, or at the shower's centre; default: the face, "
            "or as FILE has it, of which others are refused"
        ),
    )
    parser.add_argument(
        "--models",
        nargs="+",
        metavar="NAME",
        help=(
            "'Model 1' to 'Model 4', 'NAS 1', 'NAS 2', parametric, xgboost, xgboost_shares; "
            "default: those of the problem without and with the inductive bias"
        ),
    )
    parser.add_argument(
        "--schedule",
        choices=("cosine", "constant"),
        default="cosine",
        help="of learning rates: annealed to zero, or constant; default: %(default)s",
    )
    parser.add_argument(
        "--instances", type=at_least(2), metavar="N", help="default: those of the preset"
    )
    parser.add_argument(
        "--jobs", type=at_least(1), metavar="N", help="processes; default: as many as cores"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="folder; default: %(default)s"
    )


def _run(
    parser: argparse.ArgumentParser, args: argparse.Namespace, command: str, name: str
) -> int:
    # PyTorch takes long to import, and the other commands do without it.
    from benchmarks.calorimeter import initialization  # noqa: PLC0415
    from benchmarks.calorimeter import sample_size  # noqa: PLC0415
    from benchmarks.calorimeter.study import MODELS  # noqa: PLC0415
    from benchmarks.calorimeter.study import Study  # noqa: PLC0415
    from benchmarks.pages import write_page  # noqa: PLC0415

    preset, n_jobs = PRESETS[args.preset], args.jobs or loky.cpu_count()
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        study = Study(
            events=_events(args, preset.n_events, n_jobs),
            problem=args.problem,
            schedule=args.schedule,
            n_instances=args.instances or preset.n_instances,
            n_jobs=n_jobs,
            store=args.out / _STORE,
        )
        names = args.models or MODELS[study.problem]
        if name == "sample-size":
            report = sample_size.run(study, names, args.sizes or preset.sizes)
        else:
            report = initialization.run(study, names, args.sample_size or preset.sample_size)
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.")
        return 130
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    title = f"{name}, {study.problem}"
    text = f"# {title}\n\n`{command}`\n\n{study.about()}\n\n{report.text}\n"
    print(text)
    stem = f"{name}-{study.problem}" + ("" if args.schedule == "cosine" else f"-{args.schedule}")
    (args.out / f"{stem}.md").write_text(text, encoding="utf-8")
    write_page(args.out / f"{stem}.html", report.figures, text, title)
    for part, result in report.results.items():
        result.save(args.out / f"{stem}{part}.h5")
    print(f"Figures: {args.out / stem}.html; losses: {args.out / stem}*.h5")
    return 0


def _events(args: argparse.Namespace, n_events: int, n_jobs: int) -> Path:
    """Return the file of events, with positions where they are wanted."""
    if args.events is None:
        wanted: Position = args.position or "face"
        return simulated_events(args.out, args.dataset, n_events, n_jobs, wanted)
    file: Path = args.events
    position = EventsFile(file, check_values=False).position
    if args.position not in (None, position):
        raise ValueError(
            f"--position {args.position}: {file} has positions at the {position}. Leave the "
            "option out, or use other events."
        )
    return file
