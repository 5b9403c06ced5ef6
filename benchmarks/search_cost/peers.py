"""Searches of other packages, which judge models by their mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib import import_module
import logging
import math
from pathlib import Path
import tempfile
from typing import Any
import warnings

from optuna.distributions import CategoricalDistribution
from optuna.distributions import IntDistribution

from benchmarks.search_cost.problems import Landscape
from benchmarks.search_cost.space import Space
from benchmarks.search_cost.trained import Found
from optuna_robust import Instance
from optuna_robust._instances.model_key import model_key
from optuna_robust._instances.model_key import plain


# SMAC3 and Nevergrad take finite numbers only.
_FAILED = 1e3


def run_smac(landscape: Landscape, seed: int, budgets: Sequence[int]) -> list[Found]:
    """SMAC3's facade for hyperparameters: a forest, and its intensifier over common seeds."""
    smac = import_module("smac")
    (budget,) = budgets
    space = landscape.space
    with tempfile.TemporaryDirectory() as folder:
        scenario = smac.Scenario(
            _config_space(space, seed),
            output_directory=Path(folder),
            deterministic=False,
            n_trials=budget,
            seed=seed,
        )
        facade = smac.HyperparameterOptimizationFacade
        optimizer = facade(
            scenario,
            _never_called,
            intensifier=facade.get_intensifier(scenario, max_config_calls=landscape.n_instances),
            logging_level=logging.CRITICAL,
        )
        trial_value = import_module("smac.runhistory").TrialValue
        exhausted = import_module("smac.main.exceptions").ConfigurationSpaceExhaustedException
        numbers: dict[int | None, int] = {}
        spent = 0
        while spent < budget:
            try:
                trial = optimizer.ask()
            except (exhausted, StopIteration):  # a small space
                break
            number = numbers.setdefault(trial.seed, len(numbers))
            loss = landscape.loss(plain(dict(trial.config)), Instance(number, study_seed=seed))
            optimizer.tell(trial, trial_value(cost=_finite(loss)), save=False)
            spent += 1
        incumbent = optimizer.intensifier.get_incumbent()
    return [Found(budget, plain(dict(incumbent)), spent)]


def run_nevergrad(landscape: Landscape, seed: int, budgets: Sequence[int]) -> list[Found]:
    """Nevergrad's (1+1) strategy for noise, which trains good models again."""
    nevergrad = import_module("nevergrad")
    space = landscape.space
    parameters = _nevergrad_parameters(nevergrad.p, space)
    parameters.random_state.seed(seed)
    optimizer = nevergrad.optimizers.OptimisticNoisyOnePlusOne(parameters, budget=budgets[-1])
    seen: Counter[str] = Counter()
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for spent in range(1, budgets[-1] + 1):
            candidate = optimizer.ask()
            params = _model(space, candidate.value)
            key = model_key(params)
            loss = landscape.loss(params, Instance(seen[key], study_seed=seed))
            seen[key] += 1
            optimizer.tell(candidate, _finite(loss))
            if spent in budgets:
                found.append(Found(spent, _model(space, optimizer.recommend().value), spent))
    return found


def _config_space(space: Space, seed: int) -> Any:
    config_space = import_module("ConfigSpace")
    made: dict[str, Any] = {}
    for name, each in space.distributions.items():
        if isinstance(each, CategoricalDistribution):
            made[name] = config_space.Categorical(name, list(each.choices))
        else:
            low, high, log = space.range(name)
            kind = (
                config_space.Integer if isinstance(each, IntDistribution) else config_space.Float
            )
            made[name] = kind(name, (low, high), log=log)
    found = config_space.ConfigurationSpace(seed=seed)
    found.add(list(made.values()))
    found.add(
        [
            config_space.EqualsCondition(made[name], made[parent], value)
            for name, (parent, value) in space.only_if.items()
        ]
    )
    return found


def _nevergrad_parameters(p: Any, space: Space) -> Any:
    made: dict[str, Any] = {}
    for name, each in space.distributions.items():
        if isinstance(each, CategoricalDistribution):
            made[name] = p.Choice(list(each.choices))
            continue
        low, high, log = space.range(name)
        made[name] = p.Log(lower=low, upper=high) if log else p.Scalar(lower=low, upper=high)
        if isinstance(each, IntDistribution):
            made[name].set_integer_casting()
    return p.Dict(**made)


def _model(space: Space, value: dict[str, Any]) -> dict[str, Any]:
    return space.active(plain(dict(value)))


def _finite(loss: float) -> float:
    return loss if math.isfinite(loss) else _FAILED


def _never_called(config: Any, seed: int = 0) -> float:
    """Stand for the function that SMAC3 wants, though it is asked and told."""
    raise AssertionError
