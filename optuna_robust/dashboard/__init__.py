"""Figures and notes of a study in optuna-dashboard."""

from optuna_robust.dashboard._callback import PublishCallback
from optuna_robust.dashboard._publish import publish


__all__ = [
    "PublishCallback",
    "publish",
]
