"""The command ``python -m benchmarks calorimeter``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from benchmarks.calorimeter import study_command
from benchmarks.calorimeter.events import POSITIONS
from benchmarks.calorimeter.setting import DATASETS
from benchmarks.calorimeter.simulated_file import simulate_to_file
from benchmarks.calorimeter.simulation import simulate
from benchmarks.options import at_least


_PAGE = "calorimeter-validation.html"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        "calorimeter",
        help="photon clusters in a calorimeter: events, and studies of networks",
        description="The calorimeter problem of doi:10.1109/ACCESS.2025.3578926.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_simulate(commands)
    _add_validate(commands)
    study_command.add_sample_size(commands)
    study_command.add_initialization(commands)


def _add_simulate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "simulate",
        help="write events to an HDF5 file",
        description=(
            "Simulates photon clusters and writes them to an HDF5 file, whose schema is described "
            "in benchmarks/calorimeter/events_file.py. The same seed gives the same events, "
            "whatever --jobs; more --events go on where fewer end."
        ),
    )
    parser.add_argument(
        "--dataset",
        choices=DATASETS,
        required=True,
        help="A: energies flat from 1 to 100 GeV, normal incidence; B: a falling spectrum, angles",
    )
    parser.add_argument(
        "--events", type=at_least(1), default=100_000, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--jobs", type=at_least(1), metavar="N", help="processes; default: as many as cores"
    )
    parser.add_argument(
        "--position",
        choices=POSITIONS,
        default="face",
        help="where x and y are: front face, or centre of the shower; default: %(default)s",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the HDF5 file")
    parser.set_defaults(run=lambda args, command: _simulate(parser, args))


def _add_validate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "validate",
        help="figures that compare the simulation with what is known",
        description=(
            "Prints published and simulated figures, and writes linearity, resolution, "
            f"containment, S-curve, spectra and example events to OUT/{_PAGE}."
        ),
    )
    parser.add_argument(
        "--events",
        type=at_least(1000),
        default=40_000,
        metavar="N",
        help="of each data set; default: %(default)s",
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="folder; default: %(default)s"
    )
    parser.set_defaults(run=lambda args, command: _validate(parser, args, command))


def _simulate(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    if args.out.is_dir():
        parser.error(f"--out must be a file, but {args.out} is a folder")
    try:
        simulate_to_file(
            args.out,
            args.dataset,
            args.events,
            seed=args.seed,
            n_jobs=args.jobs or os.cpu_count() or 1,
            position=args.position,
        )
    except KeyboardInterrupt:
        print(f"Stopped. {args.out} was not written.")
        return 130
    except (ImportError, ValueError) as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"--out {args.out} cannot be written: {error}")
    print(f"{args.events} events of data set {args.dataset}, seed {args.seed}: {args.out}")
    return 0


def _validate(parser: argparse.ArgumentParser, args: argparse.Namespace, command: str) -> int:
    # Plotly takes long to import, and the other commands do without it.
    from benchmarks.calorimeter import validation_page  # noqa: PLC0415
    from benchmarks.pages import write_page  # noqa: PLC0415

    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out {args.out} cannot be written: {error}")
    n_jobs = os.cpu_count() or 1
    events = {
        name: simulate(setting, args.events, seed=args.seed, n_jobs=n_jobs)
        for name, setting in DATASETS.items()
    }
    table = validation_page.facts_table(events)
    print(f"`{command}`\n\n{table}")
    figures = validation_page.figures(events, n=args.events // 10, seed=args.seed)
    page = args.out / _PAGE
    title = "Simulated photon clusters"
    write_page(page, figures, f"# {title}\n\n{table}", title)
    print(f"\nFigures: {page}")
    return 0
