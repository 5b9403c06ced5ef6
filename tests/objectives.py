"""Objectives that tests share, and what they left in a study."""

from __future__ import annotations

from collections.abc import Callable
import random
from typing import Any

import numpy as np
import optuna

from optuna_robust import Instance


def noisy(trial: optuna.Trial, instance: Instance) -> float:
    x = trial.suggest_float("x", -1, 1)
    return x**2 + 0.3 * float(instance.rng.normal())


def unchanged(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", -1, 1) + random.random() + float(np.random.normal())


def study_of(**kwargs: Any) -> optuna.Study:
    kwargs.setdefault("sampler", optuna.samplers.RandomSampler(seed=0))
    return optuna.create_study(**kwargs)


def losses_of(study: optuna.Study) -> list[list[float]]:
    return [trial.user_attrs["robust:losses"] for trial in study.trials]


def from_table(table: dict[int, list[Any]]) -> Callable[..., Any]:
    """An objective that returns, or raises, what the table says for a trial and an instance."""

    def objective(trial: optuna.Trial, instance: Instance) -> Any:
        trial.suggest_float("x", 0, 1)
        outcome = table[trial.number][instance.number]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return objective
