"""The objective that trains several instances of every trial, and how it judges them."""

from optuna_robust._search.objective._objective import check_unwrapped
from optuna_robust._search.objective._objective import MultiInstanceObjective


__all__ = [
    "MultiInstanceObjective",
    "check_unwrapped",
]
