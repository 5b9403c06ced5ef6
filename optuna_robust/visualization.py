"""Figures of studies, selections and confirmations (plotly).

Every figure is made of a study or of the result of :func:`~optuna_robust.robust_select`, but for
:func:`plot_optimism`, which shows a confirmation, and :func:`plot_sample_size`.
"""

from optuna_robust._reporting.visualization import plot_criteria
from optuna_robust._reporting.visualization import plot_instance_effect
from optuna_robust._reporting.visualization import plot_instance_losses
from optuna_robust._reporting.visualization import plot_learning_curves
from optuna_robust._reporting.visualization import plot_level_spread
from optuna_robust._reporting.visualization import plot_optimism
from optuna_robust._reporting.visualization import plot_rank_correlation
from optuna_robust._reporting.visualization import plot_sample_size
from optuna_robust._reporting.visualization import plot_selection_path
from optuna_robust._reporting.visualization import plot_top_overlap
from optuna_robust._reporting.visualization import plot_trainings


__all__ = [
    "plot_criteria",
    "plot_instance_effect",
    "plot_instance_losses",
    "plot_learning_curves",
    "plot_level_spread",
    "plot_optimism",
    "plot_rank_correlation",
    "plot_sample_size",
    "plot_selection_path",
    "plot_top_overlap",
    "plot_trainings",
]
