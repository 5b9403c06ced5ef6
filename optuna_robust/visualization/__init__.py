"""Figures of studies, selections and confirmations (plotly).

Every figure is made of a study or of the result of :func:`~optuna_robust.robust_select`, but for
:func:`plot_optimism`, which shows a confirmation, and :func:`plot_sample_size`.
"""

from optuna_robust.visualization._instance_losses import plot_instance_losses
from optuna_robust.visualization._level_spread import plot_level_spread
from optuna_robust.visualization._selection_path import plot_selection_path
from optuna_robust.visualization._trainings import plot_trainings


__all__ = [
    "plot_instance_losses",
    "plot_level_spread",
    "plot_selection_path",
    "plot_trainings",
]
