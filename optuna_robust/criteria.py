"""Criteria: statistics of a model's losses, by which models are ranked."""

from optuna_robust._statistics.criteria import CRITERIA
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion
from optuna_robust._statistics.criteria import rank_models


__all__ = [
    "CRITERIA",
    "Criterion",
    "get_criterion",
    "rank_models",
]
