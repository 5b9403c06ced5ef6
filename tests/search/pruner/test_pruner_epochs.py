"""Epochs that are given to the pruner as if they were instances."""

from __future__ import annotations

from collections.abc import Callable
import pickle
import warnings

import numpy as np
import optuna
import pytest

import optuna_robust as opr


Objective = Callable[[optuna.Trial], float]


def epochs(n_epochs: int, *, noise: float = 0.0, sign: int = 1, worse: float = 0.0) -> Objective:
    """A training, as an ordinary objective reports it; worse: overfits in the end."""
    rng = np.random.default_rng(0)

    def objective(trial: optuna.Trial) -> float:
        x, value = trial.suggest_float("x", 0, 1), 0.0
        for epoch in range(n_epochs):
            value = x**2 + (0.3 + x) * np.exp(-epoch / 8) + noise * rng.normal()
            value += worse * max(0, epoch - 0.7 * n_epochs)
            trial.report(sign * value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return sign * value

    return objective


def instances(n_instances: int, *, effect: float, seed: int) -> Objective:
    """A proper use of the pruner alone: each step is an instance, the same for all trials."""
    rng = np.random.default_rng(seed)
    effects = effect * rng.normal(size=n_instances)

    def objective(trial: optuna.Trial) -> float:
        x, losses = trial.suggest_float("x", 0, 1), []
        for instance in range(n_instances):
            losses.append(x + effects[instance] + (0.1 + x) * rng.normal())
            trial.report(losses[-1], step=instance)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(losses))

    return objective


def warnings_of(
    objective: Objective, *, pruner: optuna.pruners.BasePruner, direction: str = "minimize"
) -> list[str]:
    study = optuna.create_study(
        direction=direction, sampler=optuna.samplers.RandomSampler(seed=0), pruner=pruner
    )
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        study.optimize(objective, n_trials=8)
    return [str(each.message) for each in seen if "epochs" in str(each.message)]


@pytest.mark.parametrize("rule", ["halving", "race", "directed-welch"])
def test_epochs_warn_once(rule: str) -> None:
    told = warnings_of(epochs(20), pruner=opr.RobustnessPruner(rule=rule))
    assert len(told) == 1
    assert "MultiInstanceObjective" in told[0]
    assert "instance_pruner" in told[0]


@pytest.mark.parametrize(
    "objective", [epochs(8), epochs(20, noise=0.1), epochs(50, noise=0.3), epochs(64, worse=0.01)]
)
def test_short_noisy_and_overfitting_trainings_warn(objective: Objective) -> None:
    assert len(warnings_of(objective, pruner=opr.RobustnessPruner())) == 1


def test_accuracies_warn() -> None:
    told = warnings_of(epochs(20, sign=-1), pruner=opr.RobustnessPruner(), direction="maximize")
    assert len(told) == 1


def test_a_pruner_that_was_pickled_warns() -> None:
    pruner = pickle.loads(pickle.dumps(opr.RobustnessPruner()))
    assert len(warnings_of(epochs(20), pruner=pruner)) == 1


def test_instances_do_not_warn() -> None:
    for seed in range(40):
        for n_instances, effect in ((10, 0.0), (20, 1.0), (40, 5.0)):
            objective = instances(n_instances, effect=effect, seed=seed)
            assert not warnings_of(objective, pruner=opr.RobustnessPruner())


def test_equal_instances_do_not_warn() -> None:
    def constant(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        for instance in range(20):
            trial.report(x, step=instance)
            if trial.should_prune():
                raise optuna.TrialPruned
        return x

    assert not warnings_of(constant, pruner=opr.RobustnessPruner())


def test_a_wrapped_objective_does_not_warn() -> None:
    wrapped = opr.MultiInstanceObjective(epochs(20, noise=0.1), n_instances=16)
    assert not warnings_of(wrapped, pruner=opr.RobustnessPruner())  # type: ignore[arg-type]
