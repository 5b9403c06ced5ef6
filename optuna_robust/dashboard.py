"""Figures and notes of a study in optuna-dashboard."""

from optuna_robust._reporting.dashboard import publish
from optuna_robust._reporting.dashboard import PublishCallback


__all__ = [
    "PublishCallback",
    "publish",
]
