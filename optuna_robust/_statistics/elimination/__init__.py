"""Elimination rules: from a losses matrix to the models that go on, and why the others do not.

Rules know neither Optuna nor how models are trained. They take oriented losses (smaller is
better) after every wave of instances and answer with a :class:`Decision`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_count
from optuna_robust._base.arguments import check_effect
from optuna_robust._base.arguments import given
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison import TESTS
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.elimination._base import Decision
from optuna_robust._statistics.elimination._base import EliminationRule
from optuna_robust._statistics.elimination._base import Removal
from optuna_robust._statistics.elimination._halving import check_warmup
from optuna_robust._statistics.elimination._halving import expected_trainings
from optuna_robust._statistics.elimination._halving import Halving
from optuna_robust._statistics.elimination._halving import is_rung
from optuna_robust._statistics.elimination._halving import n_kept
from optuna_robust._statistics.elimination._halving import SequentialHalving
from optuna_robust._statistics.elimination._incumbent_test import DIRECTED_PREFIX
from optuna_robust._statistics.elimination._incumbent_test import IncumbentTest
from optuna_robust._statistics.elimination._race import RaceRule
from optuna_robust._statistics.elimination._removals import NoDifference
from optuna_robust._statistics.elimination._removals import UnlikelyBest


__all__ = [
    "DIRECTED_PREFIX",
    "RULES",
    "Decision",
    "EliminationRule",
    "Halving",
    "IncumbentTest",
    "NoDifference",
    "RaceRule",
    "Removal",
    "SequentialHalving",
    "UnlikelyBest",
    "check_warmup",
    "expected_trainings",
    "get_rule",
    "is_rung",
    "n_kept",
    "rule_options",
]

_DEFAULT_WARMUP = 4
RULES: tuple[str, ...] = (
    "race",
    "halving",
    "sequential-halving",
    *TESTS,
    *(DIRECTED_PREFIX + test for test in TESTS),
)
# All others are tests.
_CLASSES: dict[str, type[Halving | RaceRule]] = {
    "race": RaceRule,
    "halving": Halving,
    "sequential-halving": SequentialHalving,
}


def rule_options(name: str) -> frozenset[str]:
    """Return the names of the options that a rule takes.

    Args:
        name:
            As for :func:`get_rule`.

    Raises:
        ValueError: If it is unknown.

    Example:
        >>> from optuna_robust._statistics.elimination import rule_options
        >>> sorted(rule_options("halving"))
        ['criterion', 'n_select', 'n_warmup_instances', 'reduction_factor']
    """
    check_choice("rule", name, RULES)
    return frozenset(each.name for each in fields(_rule_class(name)))


def _rule_class(name: str) -> type[Halving | IncumbentTest | RaceRule]:
    return _CLASSES.get(name, IncumbentTest)


def get_rule(
    name: str,
    *,
    criterion: str | Callable[[FloatArray], float] | Criterion = "q3+iqr",
    n_instances: int = 20,
    n_warmup_instances: int | None = None,
    n_select: int = 1,
    alpha: float | None = None,
    tolerance: float | None = None,
    reduction_factor: float | None = None,
    common_instances: bool = True,
) -> EliminationRule:
    """Return an elimination rule by its name.

    Args:
        name:
            ``"race"`` (:class:`RaceRule`), ``"halving"`` (:class:`Halving`),
            ``"sequential-halving"`` (:class:`SequentialHalving`), the name of a test (two-sided,
            as the method's authors use them) or ``"directed-"`` and the name of a test
            (:class:`IncumbentTest`).
        criterion:
            As in :class:`Halving`.
        n_instances:
            Most instances of a model.
        n_warmup_instances:
            As in :class:`Halving`; default: 4, or less if there are no more than 4 instances. Not
            for the race.
        n_select:
            As in :class:`Halving`.
        alpha:
            Error rate of the race, or level of a test; default: 0.05. Not for halving.
        tolerance:
            Of the race, see :class:`RaceRule`; default: 0.
        reduction_factor:
            Of halving; default: 2.
        common_instances:
            Whether instance j is the same for all models. It matters to the race only.

    Raises:
        ValueError: If the name is unknown, or an option is out of range or has no effect with the
            rule.

    Example:
        >>> from optuna_robust.elimination import get_rule
        >>> get_rule("directed-welch", alpha=0.1).name
        'directed-welch'
    """
    taken = rule_options(name)
    options = given(
        n_warmup_instances=n_warmup_instances,
        alpha=alpha,
        tolerance=tolerance,
        reduction_factor=reduction_factor,
    )
    check_effect(options, taken, f"rule={name!r}")
    n_instances = check_count("n_instances", n_instances, minimum=1)
    known = {
        "criterion": criterion,
        "n_instances": n_instances,
        "n_warmup_instances": min(_DEFAULT_WARMUP, n_instances - 1),
        "n_select": n_select,
        "common_instances": common_instances,
        "test": name.removeprefix(DIRECTED_PREFIX),
        "directed": name.startswith(DIRECTED_PREFIX),
        **options,
    }
    rule = _rule_class(name)
    if rule is IncumbentTest:
        taken |= {"n_instances"}
    arguments: dict[str, Any] = {each: value for each, value in known.items() if each in taken}
    return rule(**arguments)
