"""The robust selection: the race over a set of models."""

from optuna_robust._search.selection._result import SelectionResult
from optuna_robust._search.selection._result import Step
from optuna_robust._search.selection._select import robust_select


__all__ = [
    "SelectionResult",
    "Step",
    "robust_select",
]
