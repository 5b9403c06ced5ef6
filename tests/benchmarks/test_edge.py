"""The landscape of the edge task, against its closed form."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from benchmarks.tasks import edge
from optuna_robust import Instance


def losses(params: dict[str, float], n: int) -> np.ndarray:
    task = edge.load(seed=0)
    trial = optuna.trial.FixedTrial(params)
    return np.array([task.loss(trial, Instance(i), part="test") for i in range(n)])


@pytest.mark.parametrize("speed", [0.0, 0.6])
def test_losses_have_the_level_and_the_spread_of_the_landscape(speed: float) -> None:
    others = [0.1, -0.2, 0.3, 0.0]
    found = losses({"speed": speed, **{f"x{i}": x for i, x in enumerate(others)}}, 2000)
    assert found.mean() == pytest.approx(edge.level(speed, others), abs=0.02)
    assert found.std() == pytest.approx(edge.spread(speed), rel=0.06)


def test_the_best_level_is_not_where_models_are_stable() -> None:
    best_level, before_edge = edge.level(0.6, [0.0] * 4), edge.level(0.2, [0.0] * 4)
    assert best_level < before_edge
    assert edge.spread(0.6) > 5 * edge.spread(0.2)


def test_instances_are_functions_of_parameters_and_instance() -> None:
    params = {"speed": 0.5, "x0": 0.0, "x1": 0.0, "x2": 0.0, "x3": 0.0}
    assert (losses(params, 5) == losses(params, 5)).all()
    assert (losses(params, 5) != losses({**params, "x0": 0.1}, 5)).all()
