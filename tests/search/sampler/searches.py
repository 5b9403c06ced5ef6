"""Robust searches whose objective keeps its own account of what it trains."""

from __future__ import annotations

from collections import Counter
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import TrialState

import optuna_robust as opr
from optuna_robust._instances.model_key import canonical_json


# What an objective trained: the model's hyperparameters as JSON, and the instance's number.
Log = list[tuple[str, int]]
Objective = Callable[[optuna.Trial, opr.Instance], float]


def noisy(trial: optuna.Trial, instance: opr.Instance) -> float:
    x = trial.suggest_float("x", -1, 1)
    return (x - 0.3) ** 2 + (0.1 + abs(x)) * float(instance.rng.normal())


def mixed(trial: optuna.Trial, instance: opr.Instance) -> float:
    x = trial.suggest_float("x", 1e-3, 1, log=True)
    n = trial.suggest_int("n", 1, 64, log=True)
    kind = trial.suggest_categorical("kind", ["a", "b", None])
    return x + 0.01 * n * (kind == "a") + (0.05 + 0.2 * x) * float(instance.rng.normal())


def sampler_of(base: optuna.samplers.BaseSampler | None = None, **kwargs: Any) -> Any:
    """Return a sampler that decides quickly."""
    kwargs = {"seed": 0, "informed": False, "n_startup_models": 4} | kwargs
    return opr.RobustnessSampler(base, **kwargs)


def logged(objective: Objective, log: Log) -> Objective:
    """Return an objective that writes down what it trains, even if that fails."""

    def objective_of(trial: optuna.Trial, instance: opr.Instance) -> float:
        failed = None
        try:
            loss = objective(trial, instance)
        except Exception as error:  # what ends a known model's suggestions is none
            failed = error
        params = {
            name: each.to_external_repr(each.to_internal_repr(trial.params[name]))
            for name, each in trial.distributions.items()
        }
        log.append((canonical_json(params), instance.number))
        if failed is not None:
            raise failed
        return loss

    return objective_of


def search(
    objective: Objective = noisy,
    *,
    study: optuna.Study | None = None,
    n_instances: int = 5,
    budget: int | None = 40,
    n_trials: int | None = 200,
    log: Log | None = None,
    **kwargs: Any,
) -> tuple[optuna.Study, Log]:
    """Run a robust search, and return its study and what was trained."""
    if study is None:
        study = optuna.create_study(sampler=sampler_of())
    log = [] if log is None else log
    study.optimize(
        opr.MultiInstanceObjective(logged(objective, log), n_instances, **kwargs),
        n_trials=n_trials,
        callbacks=[] if budget is None else [opr.MaxInstancesCallback(budget)],
    )
    return study, log


def assert_each_is_trained_once(log: Log) -> None:
    """Instances are trained in order, each once."""
    by_model = defaultdict(list)
    for model, number in log:
        by_model[model].append(number)
    for model, numbers in by_model.items():
        assert numbers == list(range(len(numbers))), (model, numbers)


def assert_as_logged(study: optuna.Study, log: Log) -> None:
    """The trials hold what was trained: all of it, and each training once."""
    assert_each_is_trained_once(log)
    known: Counter[str] = Counter()
    n_new = 0
    for trial in study.trials:
        losses = trial.user_attrs.get("robust:losses", [])
        model = canonical_json(trial.params)
        known[model] = max(known[model], len(losses))
        n_new += len(losses) - trial.user_attrs.get("robust:n_reused", 0)
    assert {model: n for model, n in known.items() if n} == Counter(model for model, _ in log)
    assert n_new == len(log)


def assert_best_is_complete(study: optuna.Study, n_instances: int = 5) -> None:
    """The study's best trial has all instances, and is recommended if that one is complete."""
    best = study.best_trial
    assert best.state == TrialState.COMPLETE
    assert len(best.user_attrs["robust:losses"]) == n_instances
    recommended = opr.recommend(study)
    if recommended.n_missing == 0:
        assert recommended.params == best.params
        assert recommended.number == best.number
