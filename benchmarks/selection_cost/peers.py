"""What else selects models today: Optuna's pruners, mltb2's pruner and SMAC3's racing.

Each is used as its documentation says, in a study of one trial a model, in random order:

- WilcoxonPruner and mltb2's SignificanceRepeatedTrainingPruner get every loss as it is, and a
  stopped trial returns the criterion of the losses that it has.
- SuccessiveHalvingPruner and MedianPruner get the running criterion (Optuna's documentation of
  WilcoxonPruner says that they need values that converge), and a stopped trial is PRUNED.
- SMAC3 races random configurations against its incumbent (ROAR), by the mean of their losses.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
import logging
import math
from pathlib import Path
import tempfile
import warnings

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.pruners import MedianPruner
from optuna.pruners import SuccessiveHalvingPruner
from optuna.pruners import WilcoxonPruner
from optuna.trial import TrialState

from benchmarks.selection_cost.arms import Arm
from benchmarks.selection_cost.arms import OPTUNA
from benchmarks.selection_cost.arms import PEER
from benchmarks.selection_cost.arms import Terms
from benchmarks.selection_cost.race import Outcome
from optuna_robust._base.arrays import FloatArray
from optuna_robust.criteria import Criterion


OPTIONAL = ("mltb2", "smac")
# A study of more models takes too long: pruners look at all trials at every step.
MOST_MODELS = 1000

# Optuna's default.
_P_THRESHOLD = 0.1
# Of the range from 0.3 to 0.4 that mltb2's documentation advises.
_MLTB2_ALPHA = 0.4


def missing() -> tuple[str, ...]:
    """Return the optional packages that are not installed, whose arms are left out."""
    return tuple(name for name in OPTIONAL if find_spec(name) is None)


def peer_arms(terms: Terms) -> list[Arm]:
    """Return the arms of other packages that fit the criterion."""
    if terms.n_models > MOST_MODELS:
        return []
    return [
        *_running_arms(terms.criterion),
        *(_raw_arms(terms.criterion) if terms.criterion.kind != "spread" else []),
        *(_smac_arms() if terms.criterion.name == "mean" else []),
    ]


def _running_arms(criterion: Criterion) -> Iterator[Arm]:
    makers: tuple[Callable[[], BasePruner], ...] = (SuccessiveHalvingPruner, MedianPruner)
    for make in makers:
        study = _Study(make, criterion, reports_losses=False)
        yield Arm(make.__name__, OPTUNA, study, is_slow=True)


def _raw_arms(criterion: Criterion) -> Iterator[Arm]:
    study = _Study(_wilcoxon, criterion, reports_losses=True)
    yield Arm(f"WilcoxonPruner p={_P_THRESHOLD:g}", OPTUNA, study, is_slow=True)
    if find_spec("mltb2") is not None:
        study = _Study(_mltb2, criterion, reports_losses=True)
        yield Arm(f"mltb2 alpha={_MLTB2_ALPHA:g}", PEER, study, is_slow=True)


def _wilcoxon() -> BasePruner:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return WilcoxonPruner(p_threshold=_P_THRESHOLD)


def _mltb2() -> BasePruner:
    pruner: BasePruner = import_module("mltb2.optuna").SignificanceRepeatedTrainingPruner(
        alpha=_MLTB2_ALPHA
    )
    return pruner


@dataclass(frozen=True)
class _Study:
    """Trains models in random order in a study, and takes its best trial.

    Attributes:
        make_pruner: Makes what stops trials.
        criterion: A trial's value.
        reports_losses: Report every loss under the number of its instance, in random order, and
            let a stopped trial return its value; else report the running criterion, and tell
            Optuna that the trial is pruned.
    """

    make_pruner: Callable[[], BasePruner]
    criterion: Criterion
    reports_losses: bool

    def __call__(self, losses: FloatArray, rng: np.random.Generator) -> Outcome:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(pruner=self.make_pruner())
        models = rng.permutation(len(losses))
        with warnings.catch_warnings():
            # The best trial may be a stopped one, with few instances: that comes of the usage.
            warnings.filterwarnings("ignore", "WilcoxonPruner finds steps")
            n_trainings = sum(self._train(study.ask(), losses[model], rng) for model in models)
        winner = int(models[study.best_trial.number])
        return Outcome(winner, (winner,), n_trainings)

    def _train(self, trial: optuna.Trial, losses: FloatArray, rng: np.random.Generator) -> int:
        """Train a model until it is stopped; returns how many instances that took."""
        instances = rng.permutation(len(losses)) if self.reports_losses else np.arange(len(losses))
        value, n = math.nan, 0
        stopped = False
        while n < len(losses) and not stopped:
            n += 1
            value = float(self.criterion.score(losses[instances[:n]])[()])
            reported = float(losses[instances[n - 1]]) if self.reports_losses else value
            if math.isfinite(reported):
                trial.report(reported, int(instances[n - 1]))
                stopped = trial.should_prune()
        if stopped and not self.reports_losses:
            trial.study.tell(trial, state=TrialState.PRUNED)
        else:
            trial.study.tell(trial, value)
        return n


def _smac_arms() -> Iterator[Arm]:
    if find_spec("smac") is not None:
        yield Arm("SMAC3 ROAR", PEER, _run_smac, is_slow=True)


def _run_smac(losses: FloatArray, rng: np.random.Generator) -> Outcome:
    """Let SMAC3's intensifier race the models, in random order, until it has seen all."""
    config_space, smac = import_module("ConfigSpace"), import_module("smac")
    initial_design = import_module("smac.initial_design")
    exhausted = import_module("smac.main.exceptions").ConfigurationSpaceExhaustedException
    trial_value = import_module("smac.runhistory").TrialValue

    n_models, n_instances = losses.shape
    space = config_space.ConfigurationSpace()
    space.add(config_space.CategoricalHyperparameter("model", list(range(n_models))))
    with tempfile.TemporaryDirectory() as folder:
        scenario = smac.Scenario(
            space,
            output_directory=Path(folder),
            n_trials=losses.size,
            seed=int(rng.integers(2**31)),
        )
        models = [
            config_space.Configuration(space, {"model": int(each)})
            for each in rng.permutation(n_models)
        ]
        optimizer = smac.RandomFacade(
            scenario,
            intensifier=smac.RandomFacade.get_intensifier(scenario, max_config_calls=n_instances),
            initial_design=initial_design.DefaultInitialDesign(
                scenario, n_configs=0, additional_configs=models
            ),
            logging_level=logging.CRITICAL,
        )
        instances: dict[int | None, int] = {}
        seen: set[int] = set()
        n_trainings = 0
        while n_trainings < losses.size:
            try:
                trial = optimizer.ask()
            except (exhausted, StopIteration):  # all were raced
                break
            model = int(trial.config["model"])
            seen.add(model)
            instance = instances.setdefault(trial.seed, len(instances))
            optimizer.tell(trial, trial_value(cost=float(losses[model, instance])), save=False)
            n_trainings += 1
        assert len(seen) == n_models
        winner = int(optimizer.intensifier.get_incumbent()["model"])
    return Outcome(winner, (winner,), n_trainings)
