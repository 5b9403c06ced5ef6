"""The pruner of optuna_robust, and the wrapper that it works with."""

from optuna_robust import MultiInstanceObjective
from optuna_robust import RobustnessPruner


__all__ = ["MultiInstanceObjective", "RobustnessPruner"]
