"""A budget counted in trainings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna_robust._base.arguments import check_count
from optuna_robust._base.arguments import check_flag
from optuna_robust._instances.trials import n_spent_by
from optuna_robust._search.sampler import RobustnessSampler


if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


class MaxInstancesCallback:
    """Ends a study when its trials have trained a number of instances.

    The counterpart of :class:`optuna.study.MaxTrialsCallback` for budgets that are counted in
    trainings. It looks after every trial: one that has begun is finished, so that the budget is
    exceeded by less than one trial's instances (for each worker, and for each restart of a study
    whose budget is spent). Trials of ordinary objectives count as one training. In the study of a
    :class:`~optuna_robust.RobustnessSampler`, every trial is one training, and the last ones
    complete the best model, so that the budget is met; it is exceeded only where no model can be
    completed within it.

    Example:
        >>> import optuna
        >>> import optuna_robust as opr
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> objective = opr.MultiInstanceObjective(
        ...     lambda trial, instance: trial.suggest_float("x", 0, 1) + instance.rng.normal(),
        ...     n_instances=4,
        ... )
        >>> study = optuna.create_study()
        >>> study.optimize(objective, callbacks=[opr.MaxInstancesCallback(10)])
        >>> sum(len(trial.user_attrs["robust:losses"]) for trial in study.trials)
        12

    Args:
        n_instances:
            Number of trainings after which the study stops.
        count_reused:
            Count instances that were taken from a store, too, so that a study that is started
            again from its store ends where it would have ended. Default: False.

    Raises:
        ValueError: If n_instances is less than 1.
    """

    def __init__(self, n_instances: int, *, count_reused: bool = False) -> None:
        self._n_instances = check_count("n_instances", n_instances, minimum=1)
        self._count_reused = check_flag("count_reused", count_reused)

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """Stop the study if the budget is spent; called by ``study.optimize``."""
        n_spent = n_spent_by(study.get_trials(deepcopy=False), count_reused=self._count_reused)
        n_left = self._n_instances - n_spent
        if isinstance(study.sampler, RobustnessSampler):
            study.sampler.set_trainings_left(study, n_left)
            n_left = max(n_left, study.sampler.n_to_complete(study, -n_left))
            if n_left <= 0:
                study.sampler.set_trainings_left(study, None)
        if n_left <= 0:
            study.stop()
