"""Studies whose objective trains several instances at each call."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import Trial
from optuna.trial import TrialState
import pytest

from optuna_robust import confirm
from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import MultiInstanceObjective
from optuna_robust import RobustnessPruner
from optuna_robust._instances.trials import worst_loss
from tests.objectives import losses_of
from tests.objectives import noisy
from tests.objectives import study_of


class Listed:
    """An objective that lists which instances it was called for."""

    def __init__(self, single: Callable[..., float] = noisy) -> None:
        self.calls: list[tuple[int, ...]] = []
        self._single = single

    def __call__(self, trial: Trial, instances: Sequence[Instance]) -> list[float]:
        losses = [self._single(trial, instance) for instance in instances]
        self.calls.append(tuple(instance.number for instance in instances))
        return losses


def test_a_study_is_that_of_one_instance_at_a_time() -> None:
    studies = []
    for objective in (noisy, Listed()):
        study = study_of(pruner=RobustnessPruner())
        study.optimize(MultiInstanceObjective(objective, 8), n_trials=12)
        studies.append(study)
    alone, together = studies
    assert losses_of(alone) == losses_of(together)
    assert [trial.state for trial in alone.trials] == [trial.state for trial in together.trials]
    assert [trial.value for trial in alone.trials] == [trial.value for trial in together.trials]
    assert [t.intermediate_values for t in alone.trials] == [
        t.intermediate_values for t in together.trials
    ]
    assert TrialState.PRUNED in {trial.state for trial in together.trials}


@pytest.mark.parametrize(
    ("pruner", "per_call", "calls"),
    [
        (optuna.pruners.NopPruner(), None, [(0, 1, 2, 3, 4, 5, 6, 7, 8)]),
        (RobustnessPruner(), None, [(0,), (1,), (2, 3), (4, 5, 6, 7), (8,)]),
        (RobustnessPruner(), 4, [(0, 1, 2, 3), (4, 5, 6, 7), (8,)]),
        (optuna.pruners.NopPruner(), 5, [(0, 1, 2, 3, 4), (5, 6, 7, 8)]),
    ],
    ids=["no pruner", "pruner", "four", "five"],
)
def test_calls_go_by_the_pruner_or_as_the_user_wants(
    pruner: optuna.pruners.BasePruner, per_call: int | None, calls: list[tuple[int, ...]]
) -> None:
    objective = Listed()
    study = study_of(pruner=pruner)
    study.optimize(MultiInstanceObjective(objective, 9, instances_per_call=per_call), n_trials=1)
    assert objective.calls == calls


def test_what_was_trained_beyond_a_stop_is_kept_and_does_not_count(tmp_path: Path) -> None:
    class StopsAfterTwo(optuna.pruners.BasePruner):
        def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
            return (trial.last_step or 0) >= 1

    store = InstanceStore(f"sqlite:///{tmp_path / 'store.db'}")
    study = study_of(pruner=StopsAfterTwo())
    objective = Listed()
    wrapped = MultiInstanceObjective(objective, 6, store=store, instances_per_call=4)
    study.optimize(wrapped, n_trials=1)
    assert [len(losses) for losses in losses_of(study)] == [2]
    assert sorted(row.number for row in store.instances()) == [0, 1, 2, 3]

    study.pruner = optuna.pruners.NopPruner()
    study.enqueue_trial(study.trials[0].params)
    study.optimize(wrapped, n_trials=1)
    assert objective.calls == [(0, 1, 2, 3), (4, 5)]
    assert study.trials[1].user_attrs["robust:n_reused"] == 4


def test_an_instance_beyond_a_stop_raises_nothing(tmp_path: Path) -> None:
    class StopsAtOnce(optuna.pruners.BasePruner):
        def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
            return True

    def fails(trial: Trial, instance: Instance) -> float:
        return float("nan") if instance.number == 1 else noisy(trial, instance)

    store = InstanceStore(f"sqlite:///{tmp_path / 'store.db'}")
    study = study_of(pruner=StopsAtOnce())
    wrapped = MultiInstanceObjective(
        Listed(fails), 6, store=store, instances_per_call=3, on_failure="raise", criterion="mean"
    )
    study.optimize(wrapped, n_trials=1)
    assert study.trials[0].state == TrialState.PRUNED
    # The failure would be raised if it were needed, and is not kept; the others are.
    assert sorted(row.number for row in store.instances()) == [0, 2]


def test_workers_get_one_instance_at_a_time() -> None:
    here, there = study_of(), study_of()
    here.optimize(MultiInstanceObjective(Listed(), 5), n_trials=2)
    there.optimize(MultiInstanceObjective(Listed(), 5, n_jobs=2), n_trials=2)
    assert losses_of(here) == losses_of(there)


def test_failures_are_the_instances_own() -> None:
    def fails(trial: Trial, instance: Instance) -> float:
        return float("nan") if instance.number == 1 else noisy(trial, instance)

    study = study_of()
    study.optimize(MultiInstanceObjective(Listed(fails), 4, criterion="median"), n_trials=1)
    assert study.trials[0].user_attrs["robust:failures"] == {"1": "the objective returned nan"}
    assert study.trials[0].user_attrs["robust:losses"][1] == worst_loss(1)


def test_a_wrong_number_of_losses_is_raised_at_the_first_call() -> None:
    wrapped = MultiInstanceObjective(lambda trial, instances: [1.0], 4)
    with pytest.raises(ValueError, match="a loss for each of its 4 instances, but returned 1"):
        study_of(pruner=optuna.pruners.NopPruner()).optimize(wrapped, n_trials=1)


def test_a_confirmation_is_one_call_a_model() -> None:
    study = study_of()
    study.optimize(MultiInstanceObjective(noisy, 3), n_trials=4)
    objective = Listed()
    together = confirm(study, objective, n_models=2, n_instances=6)
    assert [len(call) for call in objective.calls] == [6, 6]
    np.testing.assert_array_equal(
        together.losses, confirm(study, noisy, n_models=2, n_instances=6).losses
    )


@pytest.mark.parametrize(
    ("objective", "options", "message"),
    [
        (noisy, {}, "instances_per_call=2 is for an objective with a parameter named 'instances'"),
        (Listed(), {"n_jobs": 2}, "instances_per_call=2 is for n_jobs=1"),
    ],
)
def test_instances_per_call_must_fit(
    objective: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        MultiInstanceObjective(objective, instances_per_call=2, **options)
