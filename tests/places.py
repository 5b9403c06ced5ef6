"""Where objectives run: a study, its workers, selections and confirmations."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np
import optuna

import optuna_robust as opr


PLACES = ("study", "study, workers", "confirm", "confirm, workers", "select", "select, workers")
WORKERS = tuple(place for place in PLACES if place.endswith("workers"))
N_INSTANCES = 3


def losses_in(
    place: str,
    objective: Callable[..., Any],
    study: optuna.Study,
    executor: Executor,
    params: dict[str, Any],
) -> list[float]:
    """Return the losses of a model, three instances of which are trained in a place.

    The model is in the study afterwards, whose artifacts and attributes the place uses.
    """
    options: dict[str, Any] = {}
    if place in WORKERS:
        options = {"executor": executor, "n_jobs": 2}
    if place.startswith("study"):
        study.enqueue_trial(params)
        wrapped = opr.MultiInstanceObjective(objective, N_INSTANCES, on_failure="raise", **options)
        study.optimize(wrapped, n_trials=1)
        losses: list[float] = study.trials[-1].user_attrs["robust:losses"]
        return losses
    options.update(n_instances=N_INSTANCES, on_failure="raise")
    if place.startswith("select"):
        selected = opr.robust_select(
            objective, [params], study=study, criterion="mean", train_survivors=True, **options
        )
        return list(np.ravel(selected.losses))
    if not study.trials:
        distribution = optuna.distributions.FloatDistribution(0, 1)
        study.add_trial(
            optuna.trial.create_trial(
                value=0.0, params=params, distributions=dict.fromkeys(params, distribution)
            )
        )
    return list(np.ravel(opr.confirm(study, objective, n_models=1, **options).losses))
