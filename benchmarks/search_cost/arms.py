"""The searches that are compared: all spend the same number of trainings."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
import math
from typing import Any
from typing import TypeAlias

import numpy as np
import optuna
from optuna.pruners import NopPruner
from optuna.pruners import WilcoxonPruner
from optuna.samplers import BaseSampler
from optuna.samplers import GPSampler
from optuna.samplers import RandomSampler
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import BaseTrial
from optuna.trial import Trial
from optuna.trial import TrialState

from benchmarks.search_cost.peers import run_nevergrad
from benchmarks.search_cost.peers import run_smac
from benchmarks.search_cost.problems import Landscape
from benchmarks.search_cost.trained import Found
from benchmarks.search_cost.trained import prefixes
from benchmarks.search_cost.trained import Trained
import optuna_robust as opr
from optuna_robust import Instance
from optuna_robust._instances.trials import n_instances_of
from optuna_robust._instances.trials import n_trainings
from optuna_robust.criteria import rank_models


REFERENCE = "nas"

# Searches a landscape with a seed, for budgets in rising order.
Search: TypeAlias = Callable[[Landscape, int, Sequence[int]], list[Found]]

_RETRAINED_SHARE, _MOST_RETRAINED, _FEWEST_AGAIN = 0.3, 10, 3
_AVERAGED = 5


@dataclass(frozen=True)
class Arm:
    """A way to search.

    Attributes:
        about: What it does, in a sentence.
        search: Does it.
        is_anytime: Whether a search with a smaller budget is the beginning of one with a larger.
        package: Another package that it needs.
        code: Modules of this package that it depends on; others may change.
    """

    about: str
    search: Search
    is_anytime: bool = True
    package: str | None = None
    code: tuple[str, ...] = ("optuna_robust._instances.instance", "optuna_robust.criteria")

    def why_missing(self) -> str | None:
        """Return why it cannot be run here; None if it can."""
        if self.package is not None and find_spec(self.package) is None:
            return f"{self.package} is not installed"
        return None


def _nas(landscape: Landscape, seed: int, budgets: Sequence[int]) -> list[Found]:
    """Train every model once, each with another seed; the best number wins."""
    return prefixes(_trained_once(landscape, seed, budgets[-1]), budgets)


def _nas_retrained(landscape: Landscape, seed: int, budgets: Sequence[int]) -> list[Found]:
    """Spend 30 % on the best models again; the best mean of these trainings wins."""
    again = {budget: _again(budget, landscape.n_instances) for budget in budgets}
    n_searched = {budget: budget - math.prod(each) for budget, each in again.items()}
    searched = _trained_once(landscape, seed, max(n_searched.values()))
    found = []
    for budget, (n_models, n_again) in again.items():
        first = searched[: n_searched[budget]]
        best = rank_models([model.value for model in first])[:n_models]
        means = [_mean(landscape, first[i].params, seed, n_again) for i in best]
        winner = best[rank_models(means)[0]]
        found.append(Found(budget, first[winner].params, budget))
    return found


def _again(budget: int, n_instances: int) -> tuple[int, int]:
    """Return how many models are trained again, and how often."""
    left = int(_RETRAINED_SHARE * budget)
    n_models = min(_MOST_RETRAINED, max(1, left // _FEWEST_AGAIN))
    n_again = min(n_instances, max(1, left // n_models))
    return max(1, left // n_again), n_again


def _mean_of_5(landscape: Landscape, seed: int, budgets: Sequence[int]) -> list[Found]:
    """Train every model five times; the best mean wins."""
    n = min(_AVERAGED, landscape.n_instances)

    def objective(trial: Trial) -> float:
        return _mean(landscape, landscape.space.suggest(trial), seed, n)

    study = _study(TPESampler(seed=seed))
    study.optimize(objective, n_trials=math.ceil(budgets[-1] / n))
    return prefixes([Trained(each.params, _value(each), n) for each in study.trials], budgets)


def _wilcoxon(landscape: Landscape, seed: int, budgets: Sequence[int]) -> list[Found]:
    """Stop models that Optuna's paired test finds worse; the best mean of whole ones wins."""
    trained: list[Trained] = []
    spent = 0

    def objective(trial: Trial) -> float:
        nonlocal spent
        params = landscape.space.suggest(trial)
        losses: list[float] = []
        stopped = False
        while len(losses) < landscape.n_instances and not stopped:
            loss = landscape.loss(params, Instance(len(losses), study_seed=seed))
            if math.isfinite(loss):
                trial.report(loss, len(losses))
            losses.append(loss)
            stopped = math.isfinite(loss) and trial.should_prune()
        # As Optuna documents: a stopped trial returns the mean, too, for the sampler to learn.
        mean = float(np.mean(losses))
        trained.append(Trained(params, math.nan if stopped else mean, len(losses)))
        spent += len(losses)
        if spent >= budgets[-1]:
            trial.study.stop()
        return mean

    _study(TPESampler(seed=seed), WilcoxonPruner()).optimize(objective)
    return prefixes(trained, budgets)


def _pruned(rule: str, landscape: Landscape, seed: int, budgets: Sequence[int]) -> list[Found]:
    study = _study(TPESampler(seed=seed), opr.RobustnessPruner(rule=rule))
    _optimize(study, landscape, seed, budgets[-1])
    return prefixes(
        [
            Trained(
                trial.params,
                _value(trial) if trial.state == TrialState.COMPLETE else math.nan,
                n_instances_of(trial),
            )
            for trial in study.trials
        ],
        budgets,
    )


def _robust(
    base: Callable[[int], BaseSampler] | None,
    landscape: Landscape,
    seed: int,
    budgets: Sequence[int],
) -> list[Found]:
    (budget,) = budgets
    given: dict[str, Any] = {} if base is None else {"base_sampler": base(seed)}
    study = _study(opr.RobustnessSampler(seed=seed, **given), opr.RobustnessPruner())
    _optimize(study, landscape, seed, budget)
    spent = sum(n_trainings(trial) for trial in study.trials)
    return [Found(budget, study.best_params, spent)]


def _optimize(study: Study, landscape: Landscape, seed: int, budget: int) -> None:
    def objective(trial: BaseTrial, instance: Instance) -> float:
        return landscape.loss(landscape.space.suggest(trial), instance)

    study.optimize(
        opr.MultiInstanceObjective(objective, n_instances=landscape.n_instances, seed=seed),
        callbacks=[opr.MaxInstancesCallback(budget)],
    )


def _trained_once(landscape: Landscape, seed: int, n: int) -> list[Trained]:
    def objective(trial: Trial) -> float:
        # Instances of the trial's own: which seed is kind to a model is luck.
        instance = Instance(0, study_seed=seed, model=trial.number)
        return landscape.loss(landscape.space.suggest(trial), instance)

    study = _study(TPESampler(seed=seed))
    study.optimize(objective, n_trials=n)
    return [Trained(trial.params, _value(trial), 1) for trial in study.trials]


def _mean(landscape: Landscape, params: dict[str, Any], seed: int, n: int) -> float:
    losses = [landscape.loss(params, Instance(number, study_seed=seed)) for number in range(n)]
    return float(np.mean(losses))


def _study(sampler: BaseSampler, pruner: optuna.pruners.BasePruner | None = None) -> Study:
    return optuna.create_study(sampler=sampler, pruner=pruner or NopPruner())


def _value(trial: optuna.trial.FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _doc(search: Search) -> str:
    return (search.__doc__ or "").strip()


_OURS = ("optuna_robust",)

ARMS: dict[str, Arm] = {
    REFERENCE: Arm(_doc(_nas), _nas),
    "nas-retrained": Arm(_doc(_nas_retrained), _nas_retrained),
    "mean-of-5": Arm(_doc(_mean_of_5), _mean_of_5),
    "wilcoxon": Arm(_doc(_wilcoxon), _wilcoxon),
    "halving": Arm(
        "Train models instance by instance until RobustnessPruner's halving stops them.",
        partial(_pruned, "halving"),
        code=_OURS,
    ),
    "race-pruner": Arm(
        "Train models instance by instance until RobustnessPruner's race stops them.",
        partial(_pruned, "race"),
        code=_OURS,
    ),
    "robust": Arm(
        "RobustnessSampler over TPE: new models, and one more instance of those that may be best.",
        partial(_robust, None),
        is_anytime=False,
        code=_OURS,
    ),
    "robust-gp": Arm(
        "RobustnessSampler over Optuna's Gaussian process.",
        partial(_robust, lambda seed: GPSampler(seed=seed)),
        is_anytime=False,
        package="torch",
        code=_OURS,
    ),
    "robust-random": Arm(
        "RobustnessSampler over random models.",
        partial(_robust, lambda seed: RandomSampler(seed=seed)),
        is_anytime=False,
        code=_OURS,
    ),
    "smac": Arm(_doc(run_smac), run_smac, is_anytime=False, package="smac"),
    "nevergrad": Arm(_doc(run_nevergrad), run_nevergrad, package="nevergrad"),
}
DEFAULT_ARMS = (
    "nas",
    "nas-retrained",
    "mean-of-5",
    "wilcoxon",
    "halving",
    "robust",
)
