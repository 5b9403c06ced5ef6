"""Selections whose objective trains several instances of a model at each call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import Trial
import pytest

from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import robust_select
from optuna_robust import SelectionResult


GRID = {"x": [0.1, 0.3, 0.5, 0.7, 0.9]}


def single(trial: Trial, instance: Instance) -> float:
    x = trial.suggest_float("x", 0, 1)
    return x + 0.3 * x * float(instance.rng.normal())


class Listed:
    """Lists the calls: the model, and how many instances."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, int]] = []

    def __call__(self, trial: Trial, instances: Sequence[Instance]) -> list[float]:
        losses = [single(trial, instance) for instance in instances]
        self.calls.append((trial.params["x"], len(instances)))
        return losses


def assert_same(first: SelectionResult, second: SelectionResult) -> None:
    assert first.best_params == second.best_params
    assert first.n_trainings == second.n_trainings
    np.testing.assert_array_equal(first.losses, second.losses)
    assert [step.kept for step in first.steps] == [step.kept for step in second.steps]


@pytest.mark.parametrize("rule", ["race", "halving", "sequential-halving", "directed-welch"])
@pytest.mark.parametrize("per_call", [None, 3])
def test_the_result_is_that_of_one_instance_at_a_time(rule: str, per_call: int | None) -> None:
    options: dict[str, Any] = {"rule": rule, "n_instances": 10}
    together = robust_select(Listed(), GRID, instances_per_call=per_call, **options)
    assert_same(together, robust_select(single, GRID, **options))


def test_a_warm_up_is_one_call_a_model() -> None:
    objective = Listed()
    result = robust_select(
        objective, GRID, rule="sequential-halving", n_instances=12, n_warmup_instances=2
    )
    # 3 of each; then 6, 12: of those that are left, what is missing.
    n_alive = [len(step.kept) for step in result.steps]
    assert objective.calls[:5] == [(x, 3) for x in GRID["x"]]
    assert {n for _, n in objective.calls[5:]} <= {3, 6}
    assert len(objective.calls) == 5 + n_alive[2] + (n_alive[5] if len(n_alive) > 5 else 0)
    assert sum(n for _, n in objective.calls) == result.n_trainings


def test_instances_beyond_those_needed_are_kept_in_the_store(tmp_path: Path) -> None:
    store = InstanceStore(f"sqlite:///{tmp_path / 'store.db'}")
    objective = Listed()
    result = robust_select(
        objective, GRID, rule="race", n_instances=8, instances_per_call=4, store=store
    )
    assert objective.calls[:5] == [(x, 4) for x in GRID["x"]]
    assert result.n_trainings < len(list(store.instances())) == sum(n for _, n in objective.calls)
    again = Listed()
    repeated = robust_select(again, GRID, rule="race", n_instances=8, store=store)
    assert not again.calls
    np.testing.assert_array_equal(repeated.losses, result.losses)


def test_survivors_are_trained_on_with_one_call() -> None:
    objective = Listed()
    result = robust_select(
        objective, GRID, rule="race", n_instances=12, train_survivors=True, n_select=2
    )
    survivors = [GRID["x"][model] for model in result.survivors]
    trained_on = [call for call in objective.calls if call[1] > 1]
    assert sorted(x for x, _ in trained_on) == survivors
    assert np.isfinite(result.losses[list(result.survivors)]).all()
