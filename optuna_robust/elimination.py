"""Elimination rules: from a losses matrix to the models that go on, and why the others do not."""

from optuna_robust._statistics.elimination import Decision
from optuna_robust._statistics.elimination import EliminationRule
from optuna_robust._statistics.elimination import expected_trainings
from optuna_robust._statistics.elimination import get_rule
from optuna_robust._statistics.elimination import Halving
from optuna_robust._statistics.elimination import IncumbentTest
from optuna_robust._statistics.elimination import NoDifference
from optuna_robust._statistics.elimination import RaceRule
from optuna_robust._statistics.elimination import Removal
from optuna_robust._statistics.elimination import RULES
from optuna_robust._statistics.elimination import SequentialHalving
from optuna_robust._statistics.elimination import UnlikelyBest


__all__ = [
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
    "expected_trainings",
    "get_rule",
]
