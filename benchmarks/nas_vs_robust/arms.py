"""The arms: one search each, all with the same number of trainings."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
import math
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.pruners import NopPruner
from optuna.pruners import WilcoxonPruner
from optuna.samplers import BaseSampler
from optuna.samplers import RandomSampler
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import BaseTrial
from optuna.trial import FrozenTrial
from optuna.trial import TrialState

from benchmarks.nas_vs_robust.plan import ArmName
from benchmarks.nas_vs_robust.plan import N_AGAIN
from benchmarks.nas_vs_robust.plan import N_RACED
from benchmarks.nas_vs_robust.plan import N_RETRAINED
from optuna_robust import InstanceStore
from optuna_robust import MaxInstancesCallback
from optuna_robust import MultiInstanceObjective
from optuna_robust import robust_select
from optuna_robust import RobustnessPruner
from optuna_robust import RobustnessSampler
from optuna_robust import SelectionResult
from optuna_robust._instances import trials
from optuna_robust._instances.model_key import model_key


# Draws, for each random model, until there are enough different ones.
_MOST_DRAWS = 10


@dataclass(frozen=True)
class Given:
    """What an arm is given.

    Args:
        suggest:
            Draws a model from the search space.
        objective:
            Of one instance, or of several.
        trains_together:
            Whether the objective is of several.
        trainings:
            That it may spend.
        n_instances:
            Of a model, for arms that leave it open.
        seed:
            Of the sampler and of all instances.
        store:
            Of all instances.
        storage:
            Where the study is kept.
        study_name:
            How it is called there.
    """

    suggest: Callable[[BaseTrial], object]
    objective: Callable[..., Any]
    trains_together: bool
    trainings: int
    n_instances: int
    seed: int
    store: InstanceStore
    storage: BaseStorage
    study_name: str


@dataclass(frozen=True)
class Winner:
    """What a search ends with.

    Args:
        params:
            The model.
        criterion:
            What it was chosen by.
        losses:
            Of it, by which it was chosen.
        n_trainings:
            Of the whole search.
        seconds:
            These took.
        n_models:
            That the search tried.
        n_pruned:
            Of these, models that did not get all instances.
    """

    params: dict[str, Any]
    criterion: str
    losses: tuple[float, ...]
    n_trainings: int
    seconds: float
    n_models: int
    n_pruned: int


def _nas(given: Given) -> Winner:
    """Train every model once, each with another seed; the best number wins."""
    study = _optimized(given, 1, criterion="mean", reshuffle=True)
    return _best_of(study, "mean")


def _nas_retrained(given: Given) -> Winner:
    """Train every model once, then the best ones again; the best mean of these wins."""
    again = N_RETRAINED * N_AGAIN
    study = _optimized(
        replace(given, trainings=given.trainings - again), 1, criterion="mean", reshuffle=True
    )
    result = robust_select(
        given.objective,
        study,
        n_models=N_RETRAINED,
        criterion="mean",
        rule="halving",
        n_instances=N_AGAIN,
        n_warmup_instances=N_AGAIN - 1,
        seed=given.seed,
        store=given.store,
    )
    return _selected(result, study, searched=True)


def _mean_of_5(given: Given) -> Winner:
    """Train every model five times; the best mean wins."""
    return _best_of(_optimized(given, 5, criterion="mean"), "mean")


def _wilcoxon(given: Given) -> Winner:
    """Stop models that Optuna's test of pairs finds worse than the best; the best mean wins."""
    study = _optimized(
        given,
        given.n_instances,
        criterion="mean",
        pruner=WilcoxonPruner(),
        # The pruner may stop a trial after any instance: none is trained in vain.
        instances_per_call=1 if given.trains_together else None,
    )
    return _best_of(study, "mean")


def _robust(given: Given) -> Winner:
    """Every trial is one training, of a new model or of one that may be the best."""
    study = _optimized(
        given,
        given.n_instances,
        criterion=None,
        sampler=RobustnessSampler(seed=given.seed),
        pruner=RobustnessPruner(),
    )
    return _best_of(study, "q3+iqr")


def _robust_pruned(given: Given) -> Winner:
    """Several instances of every model in a row, halved by their level and spread."""
    study = _optimized(given, given.n_instances, criterion=None, pruner=RobustnessPruner())
    return _best_of(study, "q3+iqr")


def _robust_select(given: Given) -> Winner:
    """Race random models, half as many as trainings."""
    sampled = optuna.create_study(sampler=RandomSampler(seed=given.seed))
    models: dict[str, dict[str, Any]] = {}
    n_models = given.trainings // 2
    # A small space has fewer different models than that.
    for _ in range(_MOST_DRAWS * n_models):
        trial = sampled.ask()
        given.suggest(trial)
        models.setdefault(model_key(trial.params), trial.params)
        if len(models) == n_models:
            break
    study = optuna.create_study(storage=given.storage, study_name=given.study_name)
    result = robust_select(
        given.objective,
        list(models.values()),
        n_instances=N_RACED,
        max_trainings=given.trainings,
        seed=given.seed,
        store=given.store,
        study=study,
    )
    return _selected(result, study, searched=False)


SEARCHES: dict[ArmName, Callable[[Given], Winner]] = {
    "nas": _nas,
    "nas-retrained": _nas_retrained,
    "mean-of-5": _mean_of_5,
    "wilcoxon": _wilcoxon,
    "robust": _robust,
    "robust-pruned": _robust_pruned,
    "robust-select": _robust_select,
}


def _optimized(
    given: Given,
    n_instances: int,
    *,
    criterion: str | None,
    sampler: BaseSampler | None = None,
    pruner: BasePruner | None = None,
    reshuffle: bool = False,
    instances_per_call: int | None = None,
) -> Study:
    study = optuna.create_study(
        storage=given.storage,
        study_name=given.study_name,
        sampler=sampler or TPESampler(seed=given.seed),
        pruner=pruner or NopPruner(),
    )
    study.optimize(
        MultiInstanceObjective(
            given.objective,
            n_instances,
            criterion=criterion,
            seed=given.seed,
            reshuffle=reshuffle,
            store=given.store,
            instances_per_call=instances_per_call,
        ),
        # A search that goes on from the store ends where it would have ended.
        callbacks=[MaxInstancesCallback(given.trainings, count_reused=True)],
    )
    return study


def _best_of(study: Study, criterion: str) -> Winner:
    models = _models(study)
    return Winner(
        study.best_params,
        criterion,
        tuple(trials.oriented_losses(study.best_trial, sign=1).values()),
        n_trainings=_n_trainings(models),
        seconds=_seconds(models),
        n_models=len(models),
        n_pruned=_n_pruned(models),
    )


def _selected(result: SelectionResult, study: Study, *, searched: bool) -> Winner:
    """Return the winner of a selection; its models and trainings add to those of a search."""
    losses = result.losses[result.best_index][: result.best_n_instances]
    models = _models(study)
    before = models if searched else []
    return Winner(
        result.best_params,
        result.criterion,
        tuple(float(loss) for loss in losses),
        n_trainings=_n_trainings(before) + result.n_trainings + result.n_reused,
        seconds=_seconds(before) + result.seconds,
        n_models=len(models),
        n_pruned=_n_pruned(models),
    )


def _models(study: Study) -> list[FrozenTrial]:
    """Return the last trial of every model: a trial that goes on has the losses of its earlier."""
    found = study.get_trials(deepcopy=False)
    continued = trials.continued_numbers(found)
    return [trial for trial in found if trial.number not in continued]


def _n_trainings(models: Sequence[FrozenTrial]) -> int:
    """Return how many instances models have, those that were taken from a store too."""
    return trials.n_spent_by(models, count_reused=True)


def _n_pruned(models: Sequence[FrozenTrial]) -> int:
    return sum(trial.state == TrialState.PRUNED for trial in models)


def _seconds(models: Sequence[FrozenTrial]) -> float:
    return math.fsum(
        second for trial in models for second in trial.user_attrs.get(trials.SECONDS, [])
    )


def describe(arm: ArmName) -> str:
    """Return what an arm does, in a sentence."""
    return (SEARCHES[arm].__doc__ or "").strip()
