"""Robust hyperparameter search with Optuna: models that are good and stay good when retrained."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from typing import TYPE_CHECKING

from optuna_robust._base.version import __version__ as __version__


if TYPE_CHECKING:
    from optuna_robust import comparison
    from optuna_robust import criteria
    from optuna_robust import dashboard
    from optuna_robust import elimination
    from optuna_robust import parallel
    from optuna_robust import report
    from optuna_robust import training
    from optuna_robust import visualization
    from optuna_robust._instances.instance import Instance
    from optuna_robust._running.store import InstanceStore
    from optuna_robust._search.budget import MaxInstancesCallback
    from optuna_robust._search.confirmation import confirm
    from optuna_robust._search.confirmation import ConfirmationResult
    from optuna_robust._search.objective import MultiInstanceObjective
    from optuna_robust._search.pruner import RobustnessPruner
    from optuna_robust._search.sampler import recommend
    from optuna_robust._search.sampler import Recommendation
    from optuna_robust._search.sampler import RobustnessSampler
    from optuna_robust._search.selection import robust_select
    from optuna_robust._search.selection import SelectionResult
    from optuna_robust._statistics.elimination import expected_trainings


__all__ = [
    "ConfirmationResult",
    "Instance",
    "InstanceStore",
    "MaxInstancesCallback",
    "MultiInstanceObjective",
    "Recommendation",
    "RobustnessPruner",
    "RobustnessSampler",
    "SelectionResult",
    "comparison",
    "confirm",
    "criteria",
    "dashboard",
    "elimination",
    "expected_trainings",
    "parallel",
    "recommend",
    "report",
    "robust_select",
    "training",
    "visualization",
]

_HOMES = {
    "ConfirmationResult": "_search.confirmation",
    "Instance": "_instances.instance",
    "InstanceStore": "_running.store",
    "MaxInstancesCallback": "_search.budget",
    "MultiInstanceObjective": "_search.objective",
    "Recommendation": "_search.sampler",
    "RobustnessPruner": "_search.pruner",
    "RobustnessSampler": "_search.sampler",
    "SelectionResult": "_search.selection",
    "confirm": "_search.confirmation",
    "expected_trainings": "_statistics.elimination",
    "recommend": "_search.sampler",
    "robust_select": "_search.selection",
}
_MODULES = (
    "comparison",
    "criteria",
    "dashboard",
    "elimination",
    "parallel",
    "report",
    "training",
    "visualization",
)


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562), so that importing the package stays cheap."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
