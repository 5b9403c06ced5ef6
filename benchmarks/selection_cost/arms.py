"""The rules that are replayed, each with its settings."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from typing import Any
import warnings

import numpy as np

from benchmarks.selection_cost.race import Outcome
from benchmarks.selection_cost.race import run_race
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.elimination import DIRECTED_PREFIX
from optuna_robust.comparison import TESTS
from optuna_robust.criteria import Criterion
from optuna_robust.criteria import rank_models
from optuna_robust.elimination import EliminationRule
from optuna_robust.elimination import get_rule
from optuna_robust.elimination import RaceRule
from optuna_robust.elimination import RULES


EXHAUSTIVE, HALVING, SEQUENTIAL = "exhaustive", "halving", "sequential-halving"
TEST, DIRECTED, RACE, OPTUNA, PEER = "test", "directed test", "race", "Optuna pruner", "peer"
KINDS = (EXHAUSTIVE, HALVING, SEQUENTIAL, TEST, DIRECTED, RACE, OPTUNA, PEER)

_EXHAUSTIVE_INSTANCES = (1, 2, 3, 5, 10, 20)
_HALVING_WARMUPS = range(1, 9)
_SEQUENTIAL_WARMUPS = range(1, 4)
_TEST_ALPHA = 0.05
_TEST_WARMUPS: dict[str, tuple[int, ...]] = {"welch": (1, 4)}
_RACE_ALPHAS = (0.9, 0.5, 0.2, 0.05, 0.01)


@dataclass(frozen=True)
class Terms:
    """What every arm is told of the task.

    Attributes:
        criterion: Says which model is the best.
        n_models: How many models there are.
        n_instances: How many instances a model has.
        tolerance: How much worse than the best a model may be.
        has_ties: Whether losses are rounded, so that some are equal.
        models: Hyperparameters of every model, if they are known.
    """

    criterion: Criterion
    n_models: int
    n_instances: int
    tolerance: float
    has_ties: bool
    models: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True)
class Arm:
    """A way to select a model.

    Attributes:
        name: What reports call it.
        kind: One of ``KINDS``.
        select: Selects a model, given oriented losses and a source of randomness.
        is_slow: Whether it gets fewer replays.
    """

    name: str
    kind: str
    select: Callable[[FloatArray, np.random.Generator], Outcome]
    is_slow: bool = False


def rule_arms(terms: Terms) -> list[Arm]:
    """Return the arms of this package: exhaustive training and the elimination rules."""
    return [*_exhaustive_arms(terms), *_rule_arms(terms)]


def _exhaustive_arms(terms: Terms) -> Iterator[Arm]:
    for n in _EXHAUSTIVE_INSTANCES:
        if terms.criterion.min_instances <= n <= terms.n_instances:
            yield Arm(f"exhaustive n={n}", EXHAUSTIVE, _Exhaustive(terms.criterion, n))


def _rule_arms(terms: Terms) -> Iterator[Arm]:
    for kind, warmups in ((HALVING, _HALVING_WARMUPS), (SEQUENTIAL, _SEQUENTIAL_WARMUPS)):
        for k in warmups:
            if k < terms.n_instances:
                rule = get_rule(kind, criterion=terms.criterion, n_warmup_instances=k)
                yield Arm(f"{kind} k={k}", kind, _Race(rule))
    of_spread = terms.criterion.kind == "spread"
    for test in TESTS.values():
        if (test.kind == "spread") == of_spread:
            yield from _test_arms(terms, test.name, TEST)
    yield from _test_arms(terms, DIRECTED_PREFIX + _directed(of_spread), DIRECTED)
    if RACE in RULES:
        yield from _race_arms(terms)


def _directed(of_spread: bool) -> str:
    return "pitman-morgan" if of_spread else "paired-t"


def _test_arms(terms: Terms, name: str, kind: str) -> Iterator[Arm]:
    for k in _TEST_WARMUPS.get(name, (4,)):
        if k < terms.n_instances:
            with warnings.catch_warnings():
                # Rank tests tell that they can reject only later: known, and part of the measure.
                warnings.filterwarnings("ignore", ".*cannot reject at alpha")
                rule = get_rule(
                    name, criterion=terms.criterion, n_warmup_instances=k, alpha=_TEST_ALPHA
                )
            # SciPy permutes the signs of differences one of which is 0 or tied.
            is_slow = name == "wilcoxon" and terms.has_ties
            yield Arm(f"{name} {_TEST_ALPHA:g} from {k + 1}", kind, _Race(rule), is_slow=is_slow)


def _race_arms(terms: Terms) -> Iterator[Arm]:
    for alpha in _RACE_ALPHAS:
        options: dict[str, Any] = {"n_instances": terms.n_instances, "tolerance": terms.tolerance}
        plain = RaceRule(criterion=terms.criterion, alpha=alpha, **options)
        if terms.models is None:
            yield Arm(f"{RACE} alpha={alpha:g}", RACE, _Race(plain))
            continue
        informed = replace(plain, models=terms.models)
        yield Arm(f"{RACE} alpha={alpha:g}", RACE, _Race(informed))
        yield Arm(f"{RACE}-plain alpha={alpha:g}", RACE, _Race(plain))


@dataclass(frozen=True)
class _Exhaustive:
    """Trains so many instances of every model, and takes the best."""

    criterion: Criterion
    n_instances: int

    def __call__(self, losses: FloatArray, rng: np.random.Generator) -> Outcome:
        known = losses[:, : self.n_instances]
        best = int(rank_models(self.criterion.score(known))[0])
        return Outcome(best, (best,), known.size)


@dataclass(frozen=True)
class _Race:
    """Races the models by a rule."""

    rule: EliminationRule

    def __call__(self, losses: FloatArray, rng: np.random.Generator) -> Outcome:
        return run_race(self.rule, losses)
