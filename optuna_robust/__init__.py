"""Robust hyperparameter search with Optuna: models that are good and stay good when retrained."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from optuna_robust import dashboard
    from optuna_robust import visualization
    from optuna_robust.budget import MaxInstancesCallback
    from optuna_robust.confirmation import confirm
    from optuna_robust.confirmation import ConfirmationResult
    from optuna_robust.elimination import expected_trainings
    from optuna_robust.instance import Instance
    from optuna_robust.objective import MultiInstanceObjective
    from optuna_robust.pruner import RobustnessPruner
    from optuna_robust.sampler import recommend
    from optuna_robust.sampler import Recommendation
    from optuna_robust.sampler import RobustnessSampler
    from optuna_robust.selection import robust_select
    from optuna_robust.selection import SelectionResult
    from optuna_robust.store import InstanceStore


__version__ = "0.1.0"

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
    "confirm",
    "dashboard",
    "expected_trainings",
    "recommend",
    "robust_select",
    "visualization",
]

_HOMES = {
    "ConfirmationResult": "confirmation",
    "Instance": "instance",
    "InstanceStore": "store",
    "MaxInstancesCallback": "budget",
    "MultiInstanceObjective": "objective",
    "Recommendation": "sampler",
    "RobustnessPruner": "pruner",
    "RobustnessSampler": "sampler",
    "SelectionResult": "selection",
    "confirm": "confirmation",
    "expected_trainings": "elimination",
    "recommend": "sampler",
    "robust_select": "selection",
}
_ROOMS = ("dashboard", "visualization")


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562), so that importing the package stays cheap."""
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
