"""The command ``python -m benchmarks cifar10``."""

from __future__ import annotations

import argparse
from datetime import datetime
from datetime import UTC
from importlib.metadata import version
from pathlib import Path
import platform
import warnings

import loky

from benchmarks.cifar10.binary import read
from benchmarks.cifar10.simulated import simulated_images
from benchmarks.cifar10.variants import RECIPES
from benchmarks.options import at_least
from benchmarks.tasks import TASKS


_NAME = "cifar10"
_N_INSTANCES = {"quick": 2, "standard": 5, "paper": 20}
# A spread needs two.
_FEWEST_INSTANCES = 2


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    card = TASKS[_NAME]
    parser = subparsers.add_parser(
        _NAME,
        help="72 variants of ResNet-18: a race over them, and whether early epochs tell the best",
        description=(
            "Trains all instances of 72 variants of ResNet-18 (batch size x peak learning rate x "
            "L2), races the variants with robust_select, and compares the ranking at every epoch "
            "with that of the last one (doi:10.1109/ACCESS.2025.3578926). The same command goes "
            "on where it was stopped."
        ),
    )
    parser.add_argument(
        "--preset",
        choices=RECIPES,
        default="quick",
        help="how large: quick: a narrow network, minutes on 2 cores; paper: meant for a GPU, and "
        "needs --data; default: %(default)s",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="of CIFAR-10's binary version (data_batch_1.bin to test_batch.bin); default: "
        "simulated images of ten shapes, written once into OUT",
    )
    parser.add_argument(
        "--sample-sizes",
        nargs="+",
        type=at_least(1),
        metavar="N",
        help="; ".join(f"{name}: {sizes}" for name, sizes in card.sample_sizes.items()),
    )
    parser.add_argument(
        "--instances",
        type=at_least(_FEWEST_INSTANCES),
        metavar="N",
        help="; ".join(f"{name}: {number}" for name, number in _N_INSTANCES.items()),
    )
    parser.add_argument(
        "--jobs",
        type=at_least(1),
        metavar="N",
        help="processes; default: as many as cores, one on a GPU",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="folder; default: %(default)s"
    )
    parser.set_defaults(run=lambda args, command: _run(parser, args, command))


def _run(parser: argparse.ArgumentParser, args: argparse.Namespace, command: str) -> int:
    card = TASKS[_NAME]
    if args.data is None and args.preset not in card.n_simulated:
        parser.error(f"--preset {args.preset} needs --data FOLDER")
    # PyTorch takes long to import, and the other commands do without it.
    import torch  # noqa: PLC0415

    from benchmarks.cifar10.report import figures_of  # noqa: PLC0415
    from benchmarks.cifar10.report import text_of  # noqa: PLC0415
    from benchmarks.cifar10.study import Accuracy  # noqa: PLC0415
    from benchmarks.cifar10.study import study  # noqa: PLC0415
    from benchmarks.pages import write_page  # noqa: PLC0415

    recipe = RECIPES[args.preset]
    has_gpu = torch.cuda.is_available()
    n_jobs = args.jobs or (1 if has_gpu else loky.cpu_count())
    # A variant that diverges in every instance guesses alike in every instance.
    warnings.filterwarnings("ignore", "All .* instances of model .* have the same loss")
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        folder = args.data or simulated_images(args.out, card.n_simulated[args.preset])
        simulated = read(folder).simulated
        studied = {
            size: study(
                Accuracy(folder, recipe, size),
                n_instances=args.instances or _N_INSTANCES[args.preset],
                n_jobs=n_jobs,
                database=args.out / f"{_NAME}-instances.db",
            )
            for size in args.sample_sizes or card.sample_sizes[args.preset]
        }
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.")
        return 130
    except (OSError, ValueError) as error:
        parser.error(str(error))
    images = "**simulated images of ten shapes, not CIFAR-10**" if simulated else "CIFAR-10"
    about = (
        f"{datetime.now(UTC):%Y-%m-%d}, {images}: {len(read(folder).training)} to train on, "
        f"judged on {len(read(folder).test)}; ResNet-18 with {recipe.width} channels in its first "
        f"stage, {recipe.n_epochs} epochs. Python {platform.python_version()}, torch "
        f"{version('torch')}; {torch.cuda.get_device_name() if has_gpu else platform.machine()}, "
        f"{n_jobs} processes."
    )
    title = "72 variants of ResNet-18" + (", simulated images" if simulated else ", CIFAR-10")
    text = f"# {title}\n\n`{command}`\n\n{about}\n\n{text_of(studied)}\n"
    print(text)
    (args.out / f"{_NAME}.md").write_text(text, encoding="utf-8")
    write_page(args.out / f"{_NAME}.html", figures_of(studied), text, title)
    for size, each in studied.items():
        each.every.save(args.out / f"{_NAME}-{size}.h5")
    print(f"Figures: {args.out / _NAME}.html; accuracies: {args.out / _NAME}-*.h5")
    return 0
