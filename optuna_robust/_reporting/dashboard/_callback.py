"""A callback that keeps the dashboard up to date while a study runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from optuna_robust._base.arguments import check_count
from optuna_robust._reporting.dashboard._publish import dashboard_package
from optuna_robust._reporting.dashboard._publish import publish


if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


_logger = logging.getLogger(__name__)


class PublishCallback:
    """Publishes a study after every so many trials.

    It goes by trial numbers, so that many workers on one study publish it once; processes that
    happen to publish different trials at the same time do not wait for each other, and the next
    time puts right what they mixed. What the last trials were is published by :func:`publish`
    when all are done. If publishing fails, the search goes on, and the log says why.

    Example:
        >>> import optuna
        >>> import optuna_robust as opr
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> def objective(trial, instance):
        ...     x = trial.suggest_float("x", -1, 1)
        ...     return x**2 + (0.1 + abs(x)) * instance.rng.normal()
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(
        ...     opr.MultiInstanceObjective(objective, n_instances=4),
        ...     n_trials=4,
        ...     callbacks=[opr.dashboard.PublishCallback(2)],
        ... )

    Args:
        n_trials:
            After how many trials the study is published again. Default: 20.

    Raises:
        ImportError: If optuna-dashboard is not installed.
        TypeError: If ``n_trials`` is not an integer.
        ValueError: If it is less than 1.
    """

    def __init__(self, n_trials: int = 20) -> None:
        self._n_trials = check_count("n_trials", n_trials, minimum=1)
        dashboard_package()

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """Publish the study, if it is time."""
        if (trial.number + 1) % self._n_trials:
            return
        try:
            publish(study)
        except Exception:  # a search of many hours must not end for want of a figure
            _logger.warning(
                "The study is not published after trial %d", trial.number, exc_info=True
            )
