"""The command ``python -m benchmarks training-throughput``."""

from __future__ import annotations

import argparse

from benchmarks.options import at_least


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        "training-throughput",
        help="instances trained in a second: plain loop, processes, together",
        description=(
            "Trains Model 2 of the calorimeter problem by the plain loop that users write, in "
            "processes, and several instances together, in turn. Ratios are to the plain loop on "
            "the same device."
        ),
    )
    parser.add_argument(
        "--devices",
        nargs="+",
        choices=("cpu", "cuda"),
        help="default: the CPU, and a GPU if there is one",
    )
    parser.add_argument(
        "--together",
        nargs="+",
        type=at_least(1),
        metavar="N",
        help="instances that are trained together; default: 1 to 64 on a CPU, 1 to 512 on a GPU",
    )
    parser.add_argument(
        "--steps",
        type=at_least(1),
        default=128,
        metavar="N",
        help="optimizer steps of an instance; default: %(default)s",
    )
    parser.add_argument(
        "--rounds", type=at_least(1), default=5, metavar="N", help="default: %(default)s"
    )
    parser.set_defaults(run=lambda args, command: _run(parser, args, command))


def _run(parser: argparse.ArgumentParser, args: argparse.Namespace, command: str) -> int:
    # PyTorch takes long to import, and the other commands do without it.
    import torch  # noqa: PLC0415

    from benchmarks.training_throughput import measure  # noqa: PLC0415

    devices = args.devices or ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    if "cuda" in devices and not torch.cuda.is_available():
        parser.error("--devices cuda: PyTorch finds no GPU")
    found = [
        measured
        for device in devices
        for measured in measure.measure(
            device,
            together=args.together or measure.TOGETHER[device],
            n_steps=args.steps,
            n_rounds=args.rounds,
        )
    ]
    print(f"`{command}`\n\n{measure.machine(devices)}\n\n{measure.table(found)}")
    return 0
