"""Figures and notes of a study in optuna-dashboard."""

from optuna_robust._reporting.dashboard._callback import PublishCallback
from optuna_robust._reporting.dashboard._publish import publish


__all__ = [
    "PublishCallback",
    "publish",
]
