"""The command ``python -m benchmarks training-throughput``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from dataclasses import dataclass
import json
from pathlib import Path
import time
from typing import TYPE_CHECKING

from benchmarks.options import at_least
from benchmarks.text_tables import markdown_table


if TYPE_CHECKING:
    from benchmarks.training_throughput.measure import Difference
    from benchmarks.training_throughput.measure import Throughput

_STEM = "training-throughput"
_MODELS = ("Model 1", "Model 2", "Model 3", "Model 4")


@dataclass(frozen=True)
class _Preset:
    """What is measured, unless options say otherwise.

    Attributes:
        device: Where.
        models: Which.
        together: Numbers of instances that are trained together.
        n_epochs: Of an instance.
        n_rounds: How often each is measured.
        minutes: How long all may take; None: as long as it does.
    """

    device: str
    models: tuple[str, ...]
    together: tuple[int, ...]
    n_epochs: int
    n_rounds: int
    minutes: float | None


_PRESETS = {
    "cpu": _Preset("cpu", _MODELS, (), n_epochs=50, n_rounds=5, minutes=None),
    # Starting and the last measurement take what is missing to eight minutes.
    "gpu": _Preset(
        "cuda",
        ("Model 2", "Model 4"),
        (1, 4, 16, 64, 128, 256, 512),
        n_epochs=4,
        n_rounds=5,
        minutes=6.0,
    ),
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        "training-throughput",
        help="instances trained in a second: plain loop, processes, together",
        description=(
            "Trains models of the calorimeter problem by the plain loop that users write, in "
            "processes, and several instances together, in turn; and compares losses in float64 "
            "with those of the plain loop on the CPU. Ratios are to the plain loop on the same "
            f"device. Writes {_STEM}.json and .md; the status is 1 if losses differ."
        ),
    )
    parser.add_argument(
        "--preset",
        choices=_PRESETS,
        default="cpu",
        help=(
            "cpu (default): Models 1 to 4, full trainings; gpu: Models 2 and 4, 1 to 512 "
            "instances together, in less than 8 minutes"
        ),
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: the preset's")
    parser.add_argument("--models", nargs="+", choices=_MODELS, metavar="NAME")
    parser.add_argument(
        "--together",
        nargs="*",
        type=at_least(1),
        metavar="N",
        help="instances that are trained together",
    )
    for option, what in (
        ("--events", "of a training sample; default: 1000"),
        ("--batch-size", "events of a step; default: 32"),
        ("--epochs", "passes through a training sample"),
        ("--rounds", "how often each way is measured"),
    ):
        parser.add_argument(option, type=at_least(1), metavar="N", help=what)
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="folder; default: %(default)s"
    )
    parser.set_defaults(run=lambda args, command: _run(parser, args, command))


def _run(parser: argparse.ArgumentParser, args: argparse.Namespace, command: str) -> int:
    # PyTorch takes long to import, and the other commands do without it.
    import torch  # noqa: PLC0415

    from benchmarks.training_throughput import measure  # noqa: PLC0415
    from benchmarks.training_throughput.ways import Case  # noqa: PLC0415

    preset = _PRESETS[args.preset]
    device = args.device or preset.device
    if device == "cuda" and not torch.cuda.is_available():
        parser.error(
            "PyTorch finds no GPU; --device cpu runs the same on the CPU, where a few epochs and "
            "numbers do: --device cpu --epochs 1 --together 1 4"
        )
    together = sorted(preset.together if args.together is None else args.together)
    deadline = time.monotonic() + 60 * (preset.minutes or float("inf"))
    differences, found = [], []
    models = args.models or preset.models
    for number, name in enumerate(models):
        case = Case(
            name,
            device,
            n_events=args.events or 1000,
            n_epochs=args.epochs or preset.n_epochs,
            batch_size=args.batch_size or 32,
        )
        methods = ["vmap"] if args.preset == "gpu" else ["processes"]
        differences += measure.compare(case, methods)
        now = time.monotonic()
        found += measure.measure(
            case,
            together=together,
            n_rounds=args.rounds or preset.n_rounds,
            deadline=now + (deadline - now) / (len(models) - number),
        )
    text = f"`{command}`\n\n{measure.machine(device)}\n\n{_as_markdown(found, differences)}\n"
    print(text)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / f"{_STEM}.md").write_text(text, encoding="utf-8")
    (args.out / f"{_STEM}.json").write_text(
        json.dumps(
            {
                "command": command,
                "machine": measure.machine(device),
                "throughput": [asdict(each) for each in found],
                "differences": [asdict(each) for each in differences],
            },
            indent=1,
        ),
        encoding="utf-8",
    )
    return 0 if all(each.is_small for each in differences) else 1


def _as_markdown(found: list[Throughput], differences: list[Difference]) -> str:
    head = [
        "model",
        "device",
        "way",
        "instance-steps/s",
        "beside the plain loop: median (range)",
        "CPU ms a step",
    ]
    rates = markdown_table(head, [each.row() for each in found])
    head = ["model", "device", "method", "relative difference of losses, float64", "verdict"]
    return f"{rates}\n\n{markdown_table(head, [each.row() for each in differences])}"
