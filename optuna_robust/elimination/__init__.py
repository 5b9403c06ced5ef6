"""Elimination rules: from a losses matrix to the models that go on, and why the others do not.

Rules know neither Optuna nor how models are trained. They take oriented losses (smaller is
better) after every wave of instances and answer with a :class:`Decision`.
"""

from __future__ import annotations

from collections.abc import Callable
import math

from optuna_robust.arguments import check_between
from optuna_robust.arguments import check_choice
from optuna_robust.comparison import TESTS
from optuna_robust.criteria import Criterion
from optuna_robust.criteria import FloatArray
from optuna_robust.elimination._base import Decision
from optuna_robust.elimination._base import EliminationRule
from optuna_robust.elimination._base import Removal
from optuna_robust.elimination._halving import check_warmup
from optuna_robust.elimination._halving import expected_trainings
from optuna_robust.elimination._halving import Halving
from optuna_robust.elimination._halving import is_rung
from optuna_robust.elimination._halving import n_kept
from optuna_robust.elimination._halving import SequentialHalving
from optuna_robust.elimination._incumbent_test import DIRECTED_PREFIX
from optuna_robust.elimination._incumbent_test import IncumbentTest
from optuna_robust.elimination._race import RaceRule
from optuna_robust.elimination._race import UnlikelyBest


__all__ = [
    "DIRECTED_PREFIX",
    "RULES",
    "Decision",
    "EliminationRule",
    "Halving",
    "IncumbentTest",
    "RaceRule",
    "Removal",
    "SequentialHalving",
    "UnlikelyBest",
    "check_warmup",
    "expected_trainings",
    "get_rule",
    "is_rung",
    "n_kept",
]

_DEFAULT_WARMUP = 4
RULES: tuple[str, ...] = (
    "race",
    "halving",
    "sequential-halving",
    *TESTS,
    *(DIRECTED_PREFIX + test for test in TESTS),
)


def get_rule(
    name: str,
    *,
    criterion: str | Callable[[FloatArray], float] | Criterion = "q3+iqr",
    n_instances: int = 20,
    n_warmup_instances: int | None = None,
    n_select: int = 1,
    alpha: float = 0.05,
    tolerance: float = 0.0,
    reduction_factor: float = 2.0,
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
            Most instances of a model; the race needs to know.
        n_warmup_instances:
            As in :class:`Halving`; default: 4, or less if there are no more than 4 instances. The
            race has none.
        n_select:
            As in :class:`Halving`.
        alpha:
            Error rate of the race, or level of a test; halving ignores it.
        tolerance:
            Of the race, see :class:`RaceRule`.
        reduction_factor:
            Of halving; the others ignore it.
        common_instances:
            As in :class:`RaceRule`; the others ignore it.

    Raises:
        ValueError: If the name is unknown or an option is out of range.

    Example:
        >>> from optuna_robust.elimination import get_rule
        >>> get_rule("directed-welch", alpha=0.1).name
        'directed-welch'
    """
    check_choice("rule", name, RULES)
    check_between("alpha", alpha, 0.0, 1.0)
    check_between("reduction_factor", reduction_factor, 1.0, math.inf)
    check_between("tolerance", tolerance, 0.0, math.inf, closed=True)
    if name == "race":
        if n_warmup_instances:
            raise ValueError(
                f"n_warmup_instances={n_warmup_instances} means nothing to rule='race', which "
                "acts from the first instance on; leave it out."
            )
        return RaceRule(
            criterion=criterion,
            n_instances=n_instances,
            n_select=n_select,
            alpha=alpha,
            tolerance=tolerance,
            common_instances=common_instances,
        )
    if tolerance > 0.0:
        raise ValueError(f"tolerance={tolerance!r} means nothing to rule={name!r}; leave it 0.")
    if n_warmup_instances is None:
        n_warmup_instances = min(_DEFAULT_WARMUP, n_instances - 1)
    if name in ("halving", "sequential-halving"):
        return (Halving if name == "halving" else SequentialHalving)(
            criterion=criterion,
            n_warmup_instances=n_warmup_instances,
            n_select=n_select,
            reduction_factor=reduction_factor,
        )
    return IncumbentTest(
        criterion=criterion,
        n_warmup_instances=n_warmup_instances,
        n_select=n_select,
        test=name.removeprefix(DIRECTED_PREFIX),
        alpha=alpha,
        directed=name.startswith(DIRECTED_PREFIX),
    )
