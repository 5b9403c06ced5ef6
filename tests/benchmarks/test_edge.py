"""The landscape of the edge task, against its closed form."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from benchmarks.tasks import edge
from benchmarks.tasks import Setting
from optuna_robust import Instance


def losses(params: dict[str, float], n: int) -> np.ndarray:
    task = edge.load(seed=0, setting=Setting())
    model = task.suggest(optuna.trial.FixedTrial(params))
    instances = [Instance(number) for number in range(n)]
    return np.array(task.losses(model, instances, part="test", sample_size=1))


@pytest.mark.parametrize("speed", [0.0, 0.6])
def test_losses_have_the_level_and_the_spread_of_the_landscape(speed: float) -> None:
    model = edge.Model(speed, (0.1, -0.2, 0.3, 0.0))
    found = losses({"speed": speed, **{f"x{i}": x for i, x in enumerate(model.others)}}, 2000)
    assert found.mean() == pytest.approx(edge.level(model), abs=0.02)
    assert found.std() == pytest.approx(edge.spread(model), rel=0.06)


def test_the_best_level_is_not_where_models_are_stable() -> None:
    fast, slow = (edge.Model(speed, (0.0,) * 4) for speed in (0.6, 0.2))
    assert edge.level(fast) < edge.level(slow)
    assert edge.spread(fast) > 5 * edge.spread(slow)


def test_instances_are_functions_of_parameters_and_instance() -> None:
    params = {"speed": 0.5, "x0": 0.0, "x1": 0.0, "x2": 0.0, "x3": 0.0}
    assert (losses(params, 5) == losses(params, 5)).all()
    assert (losses(params, 5) != losses({**params, "x0": 0.1}, 5)).all()
