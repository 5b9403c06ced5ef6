"""The race, one trial at a time: will this trial be as good as the best one?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optuna_robust.comparison import criterion_posterior
from optuna_robust.criteria import Criterion
from optuna_robust.criteria import FloatArray
from optuna_robust.trials import FinishedTrials

MODE = "absolute"
LOG = []
_N_TRIALS = 256
_TIE = 1e-9
_TOO_LARGE = 1e150


@dataclass(frozen=True)
class Field:
    losses: FloatArray
    complete: object
    n_instances: int


def make_field(finished, instances, values, *, n_instances, n_startup_trials, criterion, recorded):
    full = finished.complete() & finished.eligible(recorded=recorded)
    n_run = finished.n_run()
    if not full.any():
        return None
    if n_instances is None:
        n_instances = int(n_run[full].max())
    full &= n_run >= n_instances
    if len(instances) >= n_instances:
        return None
    if np.count_nonzero(full & finished.has(instances)) < max(n_startup_trials, 1):
        return None
    rows = np.flatnonzero(finished.eligible(recorded=recorded))[-_N_TRIALS:]
    best = int(np.argmin(np.where(full, finished.own_scores(criterion), np.inf)))
    rows = np.union1d(rows, [best])
    matrix = finished.losses(rows, instances)
    own = np.full((1, matrix.shape[1]), np.nan)
    own[0, : len(values)] = values
    return Field(np.concatenate([matrix, own]), np.append(full[rows], False), n_instances)


def is_out(field, criterion, alpha, tolerance, common_instances):
    matrix = field.losses
    if not (np.count_nonzero(np.abs(matrix) < _TOO_LARGE, axis=1) >= 2).any():
        return False
    if MODE == "relative":
        matrix = np.concatenate([np.full((1, matrix.shape[1]), np.nan), matrix])
    posterior = criterion_posterior(
        matrix, criterion, field.n_instances, common_instances=common_instances
    )
    means = posterior.mean
    if MODE == "relative":
        best = means[1:][field.complete].min()
    else:
        best = means[field.complete].min()
    limit = best + tolerance
    p = posterior.probability_below(limit + _TIE * abs(limit))
    LOG.append((p[-1], p[0]))
    if MODE == "relative":
        return p[-1] < alpha * p[0]
    return p[-1] < alpha
