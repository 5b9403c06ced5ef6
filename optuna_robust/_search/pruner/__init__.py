"""A pruner that stops trials on what their instances show."""

from optuna_robust._search.pruner._pruner import PRUNER_RULES
from optuna_robust._search.pruner._pruner import RobustnessPruner


__all__ = ["PRUNER_RULES", "RobustnessPruner"]
