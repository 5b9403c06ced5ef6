"""How often tests tell two models apart that do not differ, at a nominal level of 5 %."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
import itertools
import math

import numpy as np

from benchmarks.confirm_pairs import NOISES
from benchmarks.estimates import Estimate
from benchmarks.estimates import wilson
from benchmarks.options import at_least
from benchmarks.text_tables import markdown_table
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.elimination import DIRECTED_PREFIX
from optuna_robust.comparison import Alternative
from optuna_robust.comparison import get_test
from optuna_robust.comparison import smallest_p_value
from optuna_robust.comparison import TESTS


_N_INSTANCES = tuple(range(2, 11))
_CORRELATIONS = (0.0, 0.8)
# Of the first model's losses, beside those of the second.
_EQUAL, _UNEQUAL = 1.0, 3.0
_ALPHA = 0.05
# A level whose interval lies above this is marked.
_TOO_OFTEN = 0.06


@dataclass(frozen=True)
class Losses:
    """What the losses of two models are like, whose means are the same.

    Attributes:
        noise: Name of the distribution.
        spreads: Ratio of the two standard deviations.
        correlation: Of the losses of the same instances.
    """

    noise: str
    spreads: float
    correlation: float

    @property
    def title(self) -> str:
        """What they are, in words."""
        return f"{self.noise} noise, {_spreads(self.spreads)}, correlation {self.correlation:g}"


def draw(rng: np.random.Generator, n_pairs: int, n_instances: int, losses: Losses) -> FloatArray:
    """Draw losses of pairs of models, shape ``(2, n_pairs, n_instances)``.

    What models have in common, and what each has of its own, are of the same distribution.
    """
    noise = NOISES[losses.noise]
    common = math.sqrt(losses.correlation) * noise(rng, (1, n_pairs, n_instances))
    own = math.sqrt(1.0 - losses.correlation) * noise(rng, (2, n_pairs, n_instances))
    return np.asarray((common + own) * np.array([losses.spreads, 1.0])[:, None, None])


def rejections(pairs: FloatArray, rule: str) -> Estimate | None:
    """Return how often a rule tells pairs of models apart; None where it never can.

    A directed test of level has two directions to err in: the one in which it errs more counts. A
    test of spread is asked whether the first model's is greater.

    Args:
        pairs:
            Shape ``(2, n_pairs, n_instances)``.
        rule:
            The name of a test, or ``"directed-"`` and the name of a test.
    """
    test = get_test(rule.removeprefix(DIRECTED_PREFIX))
    sides: tuple[Alternative, ...] = ("two-sided",)
    if rule.startswith(DIRECTED_PREFIX):
        sides = ("greater", "less") if test.kind == "level" else ("greater",)
    x, y = pairs
    if smallest_p_value(test.name, x.shape[1], sides[0]) >= _ALPHA:
        return None
    counts = []
    for side in sides:
        with np.errstate(all="ignore"):
            counts.append(np.count_nonzero(test.p_value(x, y, side) < _ALPHA))
    return wilson(float(max(counts)), len(x))


def measure(
    losses: Losses, n_instances: Sequence[int], n_pairs: int
) -> dict[str, list[Estimate | None]]:
    """Return how often each rule rejects, with each number of instances.

    All rules get the same pairs, which depend on nothing but the arguments.
    """
    rules = [prefix + name for name in TESTS for prefix in ("", DIRECTED_PREFIX)]
    rates: dict[str, list[Estimate | None]] = {rule: [] for rule in rules}
    noise = sorted(NOISES).index(losses.noise)
    for n in n_instances:
        seed = (noise, int(losses.spreads), round(10 * losses.correlation), n)
        pairs = draw(np.random.default_rng(seed), n_pairs, n, losses)
        for rule, found in rates.items():
            found.append(rejections(pairs, rule))
    return rates


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        "test-levels", help="real levels of the tests at few instances", description=__doc__
    )
    parser.add_argument(
        "--n-pairs", type=at_least(1), default=10_000, help="pairs a cell; default: %(default)s"
    )
    parser.add_argument(
        "--n-instances",
        type=at_least(1),
        nargs="+",
        default=_N_INSTANCES,
        help="instances of each model; default: 2 to 10",
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, command: str) -> int:
    cases = [
        Losses(*case) for case in itertools.product(NOISES, (_EQUAL, _UNEQUAL), _CORRELATIONS)
    ]
    rates = {case: measure(case, args.n_instances, args.n_pairs) for case in cases}
    print(f"`{command}`\n")
    head = ["rule", *(f"n = {n}" for n in args.n_instances)]
    for spreads in (_EQUAL, _UNEQUAL):
        null = [case for case in cases if case.spreads == spreads]
        print(f"### Levels: {_spreads(spreads)}, the least and the most of {len(null)} kinds\n")
        rows = [
            [rule, *map(_range, zip(*(rates[case][rule] for case in null), strict=True))]
            for rule in _rules(*_kinds(spreads))
        ]
        print(markdown_table(head, rows) + "\n")
    for case in cases:
        print(f"### Levels: {case.title}\n")
        rows = [_row(rates[case], rule) for rule in _rules(*_kinds(case.spreads))]
        print(markdown_table(head, rows) + "\n")
    for case in cases:
        if case.spreads != _EQUAL:
            print(f"### Power: {case.title}\n")
            rows = [_row(rates[case], rule, mark=False) for rule in _rules("spread")]
            print(markdown_table(head, rows) + "\n")
    return 0


def _kinds(spreads: float) -> tuple[str, ...]:
    """Return which tests err by rejecting: spreads that differ are what a test of spread sees."""
    return ("level", "spread") if spreads == _EQUAL else ("level",)


def _spreads(spreads: float) -> str:
    return "equal spreads" if spreads == _EQUAL else f"spreads {spreads:g} : 1"


def _rules(*kinds: str) -> list[str]:
    names = [name for name, test in TESTS.items() if test.kind in kinds]
    return [prefix + name for name in names for prefix in ("", DIRECTED_PREFIX)]


def _row(rates: dict[str, list[Estimate | None]], rule: str, *, mark: bool = True) -> list[str]:
    return [rule, *(_cell(rate, mark=mark) for rate in rates[rule])]


def _cell(rate: Estimate | None, *, mark: bool) -> str:
    if rate is None:
        return "–"
    text = f"{100 * rate.value:.1f} ± {50 * (rate.high - rate.low):.1f}"
    return f"**{text}**" if mark and rate.low > _TOO_OFTEN else text


def _range(rates: Iterable[Estimate | None]) -> str:
    """Return the least and the most of some rates; either all can be or none."""
    known = [rate for rate in rates if rate is not None]
    if not known:
        return "–"
    least, most = (100 * bound(rate.value for rate in known) for bound in (min, max))
    text = f"{least:.1f} to {most:.1f}"
    return f"**{text}**" if max(rate.low for rate in known) > _TOO_OFTEN else text
