"""The command ``python -m benchmarks race-error-rate``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
import math
import time
from typing import Any

import loky
import numpy as np
from tqdm import tqdm

from benchmarks.estimates import wilson
from benchmarks.options import at_least
from benchmarks.options import share
from benchmarks.selection_cost.families import Family
from benchmarks.selection_cost.families import inverse_chi
from benchmarks.selection_cost.families import N_INSTANCES
from benchmarks.selection_cost.families import NOISE
from benchmarks.selection_cost.race import run_race
from optuna_robust._base.progress import seconds_between_updates
from optuna_robust.criteria import get_criterion
from optuna_robust.elimination import Decision
from optuna_robust.elimination import RaceRule


_RACES_A_TASK = 10
_LARGE = Family(about="large", n_models=7000)


@dataclass(frozen=True)
class _Cell:
    """Races over sets of models of one kind; the smaller the share, the fewer of them."""

    name: str
    family: Family
    share: float = 1.0


def _family(n_models: int, **options: Any) -> Family:
    return Family(about="", n_models=n_models, levels=NOISE, common=0.0, **options)


_GRID = (5, 5, 2, 2)
_CELLS = (
    _Cell("equal variances", _family(100)),
    _Cell("unequal variances", _family(100, spreads=inverse_chi)),
    _Cell("t3 noise", _family(100, heavy_tails=True)),
    _Cell("informed", _family(100, grid=_GRID)),
    _Cell("informed, the best is a surprise", _family(100, grid=_GRID, surprise=True)),
    _Cell("shuffled hyperparameters", _family(100, grid=_GRID, shuffled=True)),
    _Cell("labels", _family(100, labels=True)),
    _Cell("equal variances", _family(1000), share=0.4),
    _Cell("unequal variances", _family(1000, spreads=inverse_chi), share=0.4),
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        "race-error-rate",
        help="how often the race misses the best model, on made-up models; and its own time",
        description=(
            "Races over made-up models whose levels spread as much as their noise, with nothing "
            "in common and no tolerance; some have hyperparameters, which tell something, nothing "
            "or the wrong thing. Counts how often the winner is not the best of all by the mean "
            "over all instances. Then times one race over 7000 models."
        ),
    )
    parser.add_argument("--races", type=at_least(1), default=1000, help="default: %(default)s")
    parser.add_argument("--alpha", type=share, default=0.05, help="default: %(default)s")
    parser.add_argument(
        "--cells",
        nargs="+",
        choices=list(dict.fromkeys(cell.name for cell in _CELLS)),
        metavar="NOISE",
        help="only these lines of the table, and no timing",
    )
    parser.add_argument(
        "--jobs", type=at_least(1), default=2, help="processes; default: %(default)s"
    )
    parser.set_defaults(run=lambda args, command: _run(args))


def _run(args: argparse.Namespace) -> int:
    print(
        f"| models | noise | races | missed [95 %], alpha = {args.alpha:g} | trainings a model |"
    )
    print("| --- | --- | --- | --- | --- |")
    executor = loky.get_reusable_executor(args.jobs, env={"OMP_NUM_THREADS": "1"})
    for cell in _CELLS:
        if args.cells and cell.name not in args.cells:
            continue
        n_races = max(1, math.ceil(args.races * cell.share))
        tasks = [
            executor.submit(_races, cell.family, args.alpha, range(n_races)[i : i + _RACES_A_TASK])
            for i in range(0, n_races, _RACES_A_TASK)
        ]
        bar = tqdm(tasks, desc=cell.name, leave=False, mininterval=seconds_between_updates())
        found = [pair for task in bar for pair in task.result()]
        missed = sum(miss for miss, _ in found)
        rate = wilson(missed, n_races)
        cost = np.mean([trainings for _, trainings in found])
        print(
            f"| {cell.family.n_models} | {cell.name} | {n_races} | {rate.value:.3f} "
            f"[{rate.low:.3f}, {rate.high:.3f}] | {cost:.2f} |",
            flush=True,
        )
    for criterion in ("mean", "q3+iqr") if not args.cells else ():
        seconds, decisions, trainings = _time_of_a_large_race(criterion, args.alpha)
        print(
            f"\n{_LARGE.n_models} models x {N_INSTANCES} instances, {criterion}: the rule took "
            f"{seconds:.2f} s for {decisions} decisions ({trainings:.2f} trainings a model)."
        )
    return 0


def _races(family: Family, alpha: float, numbers: range) -> list[tuple[bool, float]]:
    """Return of every race whether it missed the best model, and its trainings a model."""
    found = []
    for number in numbers:
        losses, _ = family.draw(np.random.default_rng([family.n_models, number]))
        rule = RaceRule(
            criterion="mean", n_instances=N_INSTANCES, alpha=alpha, models=family.models
        )
        outcome = run_race(rule, losses)
        best = int(np.argmin(get_criterion("mean")(losses)))
        found.append((outcome.winner != best, outcome.n_trainings / len(losses)))
    return found


class _TimedRule:
    """A race that adds up how long it takes to decide."""

    name = "race"

    def __init__(self, rule: RaceRule) -> None:
        self._rule = rule
        self.seconds = 0.0
        self.n_decisions = 0

    def eliminates_at(self, n_instances: int) -> bool:
        return self._rule.eliminates_at(n_instances)

    def eliminate(self, losses: object, alive: object = None) -> Decision:
        start = time.perf_counter()
        decision = self._rule.eliminate(losses, alive)  # type: ignore[arg-type]
        self.seconds += time.perf_counter() - start
        self.n_decisions += 1
        return decision


def _time_of_a_large_race(criterion: str, alpha: float) -> tuple[float, int, float]:
    losses, _ = _LARGE.draw(np.random.default_rng(0))
    rule = _TimedRule(RaceRule(criterion=criterion, n_instances=N_INSTANCES, alpha=alpha))
    outcome = run_race(rule, losses)
    return rule.seconds, rule.n_decisions, outcome.n_trainings / len(losses)
