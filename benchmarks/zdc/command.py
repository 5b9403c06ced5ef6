"""The command ``python -m benchmarks zdc``."""

from __future__ import annotations

import argparse
from datetime import datetime
from datetime import UTC
from importlib.metadata import version
import json
from pathlib import Path
import platform
import warnings

import loky

from benchmarks.options import at_least


_NAME = "zdc"
_PRESETS = ("quick", "standard", "paper")
_N_INSTANCES = {"quick": 3, "standard": 10, "paper": 20}
# A spread needs two.
_FEWEST_INSTANCES = 2


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        _NAME,
        help="generators of calorimeter images: which weight of the loss, and which network?",
        description=(
            "Trains instances of eight generators of images (two networks, four weights w of the "
            "loss L_MASK + w L_VALUE) with samples of two sizes, and compares the images with "
            "simulated ones by Wasserstein distances, which w does not scale. The same command "
            "goes on where it was stopped."
        ),
    )
    parser.add_argument(
        "--preset",
        choices=_PRESETS,
        default="quick",
        help="how large: quick: minutes on 2 cores; paper: the published width; default: "
        "%(default)s",
    )
    parser.add_argument(
        "--instances",
        type=at_least(_FEWEST_INSTANCES),
        metavar="N",
        help="; ".join(f"{name}: {number}" for name, number in _N_INSTANCES.items()),
    )
    parser.add_argument(
        "--jobs", type=at_least(1), metavar="N", help="processes; default: as many as cores"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="folder; default: %(default)s"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, command: str) -> int:
    # PyTorch takes long to import, and the other commands do without it.
    from benchmarks.pages import write_page  # noqa: PLC0415
    from benchmarks.zdc import report  # noqa: PLC0415
    from benchmarks.zdc.study import Distance  # noqa: PLC0415
    from benchmarks.zdc.study import RECIPES  # noqa: PLC0415
    from benchmarks.zdc.study import SAMPLE_SIZES  # noqa: PLC0415
    from benchmarks.zdc.study import study  # noqa: PLC0415

    recipe = RECIPES[args.preset]
    n_instances = args.instances or _N_INSTANCES[args.preset]
    n_jobs = args.jobs or loky.cpu_count()
    args.out.mkdir(parents=True, exist_ok=True)
    # A generator that draws nothing is as far off in every instance.
    warnings.filterwarnings("ignore", "All .* instances of model .* have the same loss")
    try:
        studied = {
            size: study(
                Distance(recipe, size),
                n_instances=n_instances,
                n_jobs=n_jobs,
                database=args.out / f"{_NAME}-instances.db",
            )
            for size in SAMPLE_SIZES[args.preset]
        }
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.")
        return 130
    answer = report.answer(studied)
    about = (
        f"{datetime.now(UTC):%Y-%m-%d}: simulated photons of 10 to 100 GeV, 20 x 20 cells; "
        f"networks of width {recipe.width}, {recipe.n_epochs} epochs, {n_instances} instances of "
        f"each. Python {platform.python_version()}, torch {version('torch')}, "
        f"{platform.machine()}, {n_jobs} processes."
    )
    title = "Images of showers from one number"
    text = f"## All generators\n\n`{command}`\n\n{about}\n\n{report.text_of(studied)}\n"
    print(f"# {title}\n\n{answer}\n\n{text}")
    (args.out / f"{_NAME}.md").write_text(f"# {title}\n\n{answer}\n\n{text}", encoding="utf-8")
    (args.out / f"{_NAME}.json").write_text(
        json.dumps(
            [
                {"sample_size": size, **model, "distances": list(losses)}
                for size, result in studied.items()
                for model, losses in zip(result.models, result.losses.tolist(), strict=True)
            ],
            indent=1,
        ),
        encoding="utf-8",
    )
    images = [
        report.images_figure(Distance(recipe, size), result) for size, result in studied.items()
    ]
    first = (f"# {title}\n\n{answer}", report.distances_figure(studied))
    write_page(args.out / f"{_NAME}.html", images, text, title, first=first)
    print(f"Page: {args.out / _NAME}.html; distances: {args.out / _NAME}.json")
    return 0
