"""How the trials of a study are judged, with samplers, pruners and several objectives."""

from __future__ import annotations

import math
from typing import Any

import optuna
from optuna.trial import TrialState
import pytest

from optuna_robust import Instance
from optuna_robust import MultiInstanceObjective
from optuna_robust import RobustnessPruner
from tests.objectives import from_table
from tests.objectives import noisy
from tests.objectives import study_of


# --- the study -----------------------------------------------------------------------------------


def test_best_trial_is_fully_evaluated() -> None:
    study = study_of(pruner=RobustnessPruner(n_startup_trials=2))
    study.optimize(MultiInstanceObjective(noisy, 8), n_trials=40)
    n_pruned = sum(trial.state == TrialState.PRUNED for trial in study.trials)
    assert n_pruned > 5
    assert study.best_trial.user_attrs["robust:n_instances"] == 8
    assert all(
        (trial.user_attrs["robust:n_instances"] == 8) == (trial.state == TrialState.COMPLETE)
        for trial in study.trials
    )


def test_criterion_defaults_to_that_of_the_pruner() -> None:
    study = study_of(pruner=RobustnessPruner(criterion="max"))
    study.optimize(MultiInstanceObjective(from_table({0: [1.0, 3.0, 2.0]}), 3), n_trials=1)
    assert study.best_value == 3.0


def test_a_criterion_that_differs_from_the_pruners_warns() -> None:
    study = study_of(pruner=RobustnessPruner(criterion="max"))
    with pytest.warns(UserWarning, match=r"mean.*max"):
        study.optimize(MultiInstanceObjective(noisy, 4, criterion="mean"), n_trials=1)


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"vary": ("init",)},
        {"reshuffle": True},
        {"n_instances": 4},
        {"on_failure": "drop"},
    ],
    ids=str,
)
def test_going_on_with_other_instances_is_an_error(
    changed: dict[str, Any], storage: optuna.storages.BaseStorage
) -> None:
    study = study_of(study_name="resumed", storage=storage)
    study.optimize(MultiInstanceObjective(noisy, 3), n_trials=1)
    resumed = optuna.load_study(study_name="resumed", storage=storage)
    with pytest.raises(ValueError, match=f"{next(iter(changed))}.*resumed"):
        resumed.optimize(
            MultiInstanceObjective(noisy, **{"n_instances": 3, **changed}), n_trials=1
        )
    resumed.optimize(MultiInstanceObjective(noisy, 3), n_trials=1)
    assert len([t for t in resumed.trials if t.state == TrialState.COMPLETE]) == 2
    optuna.delete_study(study_name="resumed", storage=storage)


def test_ordinary_trials_of_a_study_are_told() -> None:
    study = study_of()
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1), n_trials=2)
    with pytest.warns(UserWarning, match="2 complete trials of another objective"):
        study.optimize(MultiInstanceObjective(noisy, 3), n_trials=1)


def test_a_wrapped_pruner_is_recognised() -> None:
    patient = optuna.pruners.PatientPruner(RobustnessPruner("max"), patience=1)
    study = study_of(pruner=patient)
    study.optimize(MultiInstanceObjective(from_table({0: [1.0, 3.0, 2.0]}), 3), n_trials=1)
    assert study.best_value == 3.0
    pruner = optuna.pruners.PatientPruner(RobustnessPruner(n_warmup_instances=4), patience=1)
    with pytest.raises(ValueError, match="n_warmup_instances=4"):
        study_of(pruner=pruner).optimize(MultiInstanceObjective(noisy, 4), n_trials=1)


def test_another_pruner_is_seen_by_the_same_wrapper() -> None:
    study = study_of()
    robust = MultiInstanceObjective(from_table({0: [1.0, 3.0, 2.0], 1: [1.0, 3.0, 2.0]}), 3)
    study.optimize(robust, n_trials=1)
    study.pruner = RobustnessPruner("max")
    with pytest.warns(UserWarning, match="begun with criterion"):
        study.optimize(robust, n_trials=1)
    assert study.trials[1].value == 3.0


def test_a_retried_trial_starts_afresh() -> None:
    study = study_of()
    study.enqueue_trial(
        {"x": 0.5},
        user_attrs={
            "robust:losses": [9.0],
            "robust:failures": {"0": "boom"},
            "robust:stopped": "why",
        },
    )
    study.optimize(MultiInstanceObjective(noisy, 3), n_trials=1)
    attrs = study.trials[0].user_attrs
    assert len(attrs["robust:losses"]) == 3
    assert not attrs["robust:failures"]
    assert not attrs["robust:stopped"]


def test_errors_of_optuna_are_not_the_models() -> None:
    robust = MultiInstanceObjective(
        from_table({0: [1.0, optuna.exceptions.StorageInternalError("gone")]}), 2
    )
    with pytest.raises(optuna.exceptions.StorageInternalError):
        study_of().optimize(robust, n_trials=1)


def test_ask_and_tell_works() -> None:
    study = study_of()
    trial = study.ask()
    study.tell(trial, MultiInstanceObjective(noisy, 3)(trial))
    assert study.best_trial.user_attrs["robust:n_instances"] == 3


@pytest.mark.parametrize(
    "pruner",
    [
        optuna.pruners.MedianPruner(n_startup_trials=2),
        optuna.pruners.SuccessiveHalvingPruner(),
        optuna.pruners.HyperbandPruner(max_resource=8),
    ],
    ids=lambda pruner: type(pruner).__name__,
)
def test_pruners_of_optuna_work_on_the_running_criterion(pruner: Any) -> None:
    study = study_of(pruner=pruner)
    study.optimize(MultiInstanceObjective(noisy, 8), n_trials=30)
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.PRUNED) > 0
    assert study.best_trial.user_attrs["robust:n_instances"] == 8


def test_going_on_with_another_criterion_warns() -> None:
    study = study_of()
    study.optimize(MultiInstanceObjective(noisy, 3), n_trials=1)
    with pytest.warns(UserWarning, match="cannot be compared"):
        study.optimize(MultiInstanceObjective(noisy, 3, criterion="mean"), n_trials=1)


@pytest.mark.parametrize(
    "sampler",
    [
        optuna.samplers.TPESampler(seed=0),
        optuna.samplers.CmaEsSampler(seed=0, n_startup_trials=2),
        optuna.samplers.RandomSampler(seed=0),
        optuna.samplers.GridSampler({"x": [-0.5, 0.0, 0.5], "y": [0, 1, 2]}),
        optuna.samplers.NSGAIISampler(seed=0, population_size=4),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_samplers_see_one_trial_and_one_value_a_model(sampler: Any) -> None:
    asked: list[int] = []

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x, y = trial.suggest_float("x", -1, 1), trial.suggest_int("y", 0, 2)
        asked.append(trial.number)
        return x**2 + y + 0.1 * float(instance.rng.normal())

    study = study_of(sampler=sampler, pruner=RobustnessPruner(n_startup_trials=2))
    study.optimize(MultiInstanceObjective(objective, 5), n_trials=9)
    assert len(study.trials) == 9
    for trial in study.trials:
        assert asked.count(trial.number) == trial.user_attrs["robust:n_instances"]
        if trial.intermediate_values:  # q3+iqr of one instance is not defined
            assert trial.value == pytest.approx(trial.intermediate_values[trial.last_step])


@pytest.mark.slow
def test_gp_sampler_works_with_worst_losses_and_pruned_trials() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", -1, 1)
        return math.nan if x < -0.5 and instance.number > 2 else x**2 + instance.rng.normal()

    study = study_of(
        sampler=optuna.samplers.GPSampler(seed=0, n_startup_trials=4),
        pruner=RobustnessPruner("max"),
    )
    study.optimize(MultiInstanceObjective(objective, 6), n_trials=15)
    assert len(study.trials) == 15
    assert math.isfinite(study.best_value)


# --- several objectives --------------------------------------------------------------------------


def test_multi_objective_study_gets_a_pareto_front_of_quality_and_spread(
    storage: optuna.storages.BaseStorage,
) -> None:
    study = study_of(study_name="pareto", storage=storage, directions=["maximize", "minimize"])
    study.optimize(
        MultiInstanceObjective(
            from_table({0: [0.4, 0.1, 0.2, 0.3], 1: [0.1, 0.1, 0.1, 0.2]}),
            4,
            returns=("median", "iqr"),
        ),
        n_trials=2,
    )
    assert study.trials[0].values == pytest.approx([0.25, 0.15])
    assert {trial.number for trial in study.best_trials} == {0, 1}
    optuna.delete_study(study_name="pareto", storage=storage)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_multi_objective_study_is_pruned_by_the_wrapper(direction: str) -> None:
    # Trial 4 is worse in both, trial 5 in quality only.
    table = {i: [1.0, 1.1 + 0.01 * i, 1.2, 0.9] for i in range(4)}
    table[4] = [2.0, 2.9, 2.4, 3.5]
    table[5] = [2.0, 2.01, 2.02, 2.0]
    if direction == "maximize":
        table = {number: [-loss for loss in losses] for number, losses in table.items()}
    study = study_of(directions=[direction, "minimize"], pruner=RobustnessPruner())
    study.optimize(
        MultiInstanceObjective(from_table(table), 4, returns=("median", "iqr")), n_trials=6
    )
    assert [trial.state for trial in study.trials[4:]] == [TrialState.PRUNED, TrialState.COMPLETE]
    assert study.trials[4].user_attrs["robust:n_instances"] == 2


@pytest.mark.parametrize(
    "sampler",
    [
        optuna.samplers.TPESampler(seed=0),
        optuna.samplers.NSGAIISampler(seed=0, population_size=4),
        optuna.samplers.RandomSampler(seed=0),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_samplers_of_several_objectives_work_with_pruned_trials(sampler: Any) -> None:
    study = study_of(
        directions=["minimize", "minimize"], sampler=sampler, pruner=RobustnessPruner()
    )
    study.optimize(MultiInstanceObjective(noisy, 6, returns=("median", "iqr")), n_trials=30)
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.PRUNED) > 0
    assert states.count(TrialState.PRUNED) + states.count(TrialState.COMPLETE) == 30
    assert all(trial.state == TrialState.COMPLETE for trial in study.best_trials)


@pytest.mark.parametrize(
    ("directions", "returns", "message"),
    [
        (["minimize", "minimize"], None, "returns="),
        (["minimize", "minimize"], ("median",), "names 1 criteria"),
        (["minimize", "maximize"], ("median", "iqr"), "iqr is a spread"),
        (["minimize", "maximize"], ("median", "max"), "one direction"),
    ],
)
def test_directions_that_do_not_fit_returns_are_an_error(
    directions: list[str], returns: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        study_of(directions=directions).optimize(
            MultiInstanceObjective(noisy, 4, returns=returns), n_trials=1
        )
