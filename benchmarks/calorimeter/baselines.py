"""What networks are compared with, fitted to the same training samples.

``"parametric"`` is the calibrated sum, or the barycentre corrected by its S-curve. ``"xgboost"``
are boosted trees that learn the target from cells, sum and barycentre as they are, in GeV and cm.
Steps of trees are bad at a target that is nearly proportional to a feature, so
``"xgboost_shares"`` learns the energy for each GeV of the sum, from cells as shares of the sum.
How the published trees (doi:10.1109/ACCESS.2025.3578926) were made is not known; the first have
losses like theirs, the second are the ones to beat.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.calorimeter.events import Events
from benchmarks.calorimeter.inputs import Problem
from benchmarks.calorimeter.inputs import PROBLEMS
from benchmarks.calorimeter.parametric import barycentre
from benchmarks.calorimeter.parametric import CalibratedSum
from benchmarks.calorimeter.parametric import SCurve
from benchmarks.calorimeter.parametric import total_energy
from benchmarks.calorimeter.shower import Floats
from optuna_robust._base.arguments import check_choice


# Usual settings, the same for both problems and all sample sizes. Trees see all columns and their
# default number of bins: without the sum, or with a coarse one, energies get much worse. Nothing
# is stopped early, since what judges must not be looked at. A training takes seconds even with few
# events, on one thread or more: every node of a tree tries all bins of all 228 columns, and there
# are 16 000 nodes with 1000 events.
_N_TREES = 300
_TREES: dict[str, Any] = {
    "objective": "reg:squarederror",
    "tree_method": "hist",
    "max_depth": 6,
    "learning_rate": 0.1,
    "subsample": 0.8,
    "nthread": 1,
}


def fit_and_judge(
    name: str, train: Events, test: Events, problem: Problem, *, seed: int = 0
) -> float:
    """Return the loss, on other events, of a baseline that was fitted to the training sample.

    Args:
        name:
            One of ``BASELINES``.
        train:
            The training sample.
        test:
            Events that the fitted baseline is judged on.
        problem:
            ``"energy"``: the loss is RMSE(E)/E; ``"position"``: it is RMSE(x) in cm.
        seed:
            Which rows each tree sees.

    Raises:
        ImportError: If XGBoost is needed and not installed.
        ValueError: If there is no such baseline or problem.

    Example:
        >>> from benchmarks.calorimeter.baselines import fit_and_judge
        >>> from benchmarks.calorimeter.setting import DATASETS
        >>> from benchmarks.calorimeter.simulation import simulate
        >>> train, test = (simulate(DATASETS["B"], 300, seed=seed) for seed in (0, 1))
        >>> 0.02 < fit_and_judge("parametric", train, test, "energy") < 0.03
        True
    """
    check_choice("name", name, BASELINES)
    check_choice("problem", problem, PROBLEMS)
    predicted = BASELINES[name](train, test, problem, seed)
    error = predicted / test.energy - 1.0 if problem == "energy" else predicted - test.x
    return float(np.sqrt(np.mean(error**2)))


def _parametric(train: Events, test: Events, problem: Problem, seed: int) -> Floats:
    if problem == "energy":
        energy = train.energy.astype(np.float64)
        calibrated = CalibratedSum.fit(total_energy(train.cells), energy)
        return calibrated(total_energy(test.cells))
    corrected = SCurve.fit(_barycentre(train)[0], train.x, train.cell_size)
    return corrected(_barycentre(test)[0])


def _barycentre(events: Events) -> tuple[Floats, Floats]:
    return barycentre(events.cells, events.cell_size)


def _trees(train: Events, test: Events, problem: Problem, seed: int, *, as_shares: bool) -> Floats:
    import xgboost  # noqa: PLC0415

    # Energies are learned in units of the sum of deposits, or in GeV.
    unit, test_unit = (
        total_energy(events.cells) if as_shares and problem == "energy" else np.ones(len(events))
        for events in (train, test)
    )
    if problem == "energy":
        # Weights make the mean squared error the one of E_predicted / E.
        target = train.energy / unit
        weight = target**-2.0 / np.mean(target**-2.0)
    else:
        target, weight = train.x.astype(np.float64), None
    data = xgboost.DMatrix(
        _features(train, as_shares=as_shares), label=target, weight=weight, nthread=1
    )
    booster = xgboost.train({**_TREES, "seed": seed}, data, num_boost_round=_N_TREES)
    asked = xgboost.DMatrix(_features(test, as_shares=as_shares), nthread=1)
    predicted: Floats = booster.predict(asked).astype(np.float64) * test_unit
    return predicted


def _features(events: Events, *, as_shares: bool) -> Floats:
    """Return 225 cells, in GeV or as shares of their sum, the sum, and the barycentre."""
    total = total_energy(events.cells)
    cells: Floats = events.cells.reshape(len(events), -1).astype(np.float64)
    if as_shares:
        cells = cells / total[:, None]
    return np.column_stack([cells, total, *_barycentre(events)])


BASELINES: dict[str, Callable[[Events, Events, Problem, int], Floats]] = {
    "parametric": _parametric,
    "xgboost": partial(_trees, as_shares=False),
    "xgboost_shares": partial(_trees, as_shares=True),
}
