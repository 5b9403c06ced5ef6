"""The measurements, from the checkout's root: ``python -m benchmarks nas-vs-robust``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import shlex
import sys

from benchmarks import checked_by_others
from benchmarks import confirm_levels
from benchmarks import fuzz
from benchmarks import levels_of_tests
from benchmarks import overheads
from benchmarks import publishing
from benchmarks import sampler_time
from benchmarks import scale
from benchmarks import soak
from benchmarks.calorimeter import command as calorimeter
from benchmarks.cifar10 import command as cifar10
from benchmarks.faults import command as faults
from benchmarks.nas_vs_robust import command as nas_vs_robust
from benchmarks.search_cost import command as search_cost
from benchmarks.selection_cost import command as selection_cost
from benchmarks.selection_cost import error_rate
from benchmarks.training_throughput import command as training_throughput
from benchmarks.zdc import command as zdc


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the measurements."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar="measurement")
    calorimeter.add_parser(subparsers)
    checked_by_others.add_parser(subparsers)
    cifar10.add_parser(subparsers)
    confirm_levels.add_parser(subparsers)
    faults.add_parser(subparsers)
    fuzz.add_parser(subparsers)
    nas_vs_robust.add_parser(subparsers)
    overheads.add_parser(subparsers)
    publishing.add_parser(subparsers)
    sampler_time.add_parser(subparsers)
    scale.add_parser(subparsers)
    soak.add_parser(subparsers)
    search_cost.add_parser(subparsers)
    selection_cost.add_parser(subparsers)
    error_rate.add_parser(subparsers)
    levels_of_tests.add_parser(subparsers)
    training_throughput.add_parser(subparsers)
    zdc.add_parser(subparsers)
    args = parser.parse_args(given)
    status: int = args.run(args, shlex.join(["python", "-m", "benchmarks", *given]))
    return status


if __name__ == "__main__":
    sys.exit(main())
