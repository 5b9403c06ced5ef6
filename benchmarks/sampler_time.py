"""What RobustnessSampler's own part of a suggestion takes, beside that of the sampler it wraps.

Both parts are of the same trials: the wrapped TPE sampler's methods are timed, and what is left of
asking for a trial and its hyperparameters is the robust search's own, storage included. The same
trials with TPE alone, on a study with as many trials, stand beside for storage's part.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import statistics
import tempfile
import time
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler
from optuna.samplers import TPESampler
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial
from tqdm import tqdm

import optuna_robust as opr
from optuna_robust._instances import trials


STORAGES = ("memory", "sqlite", "journal")
_N_INSTANCES = 10
_SPACE: dict[str, BaseDistribution] = {f"x{i}": FloatDistribution(0.0, 1.0) for i in range(6)}
# Trials of a search for each of its models, as a search of a noisy problem has them.
_TRIALS_A_MODEL = 5 / 3


class TimedSampler(BaseSampler):
    """A sampler that adds up the seconds that its methods take."""

    def __init__(self, sampler: BaseSampler) -> None:
        self._sampler = sampler
        self.seconds = 0.0

    def infer_relative_search_space(self, *args: Any) -> Any:
        return self._timed(self._sampler.infer_relative_search_space, *args)

    def sample_relative(self, *args: Any) -> Any:
        return self._timed(self._sampler.sample_relative, *args)

    def sample_independent(self, *args: Any) -> Any:
        return self._timed(self._sampler.sample_independent, *args)

    def before_trial(self, *args: Any) -> None:
        self._timed(self._sampler.before_trial, *args)

    def after_trial(self, *args: Any) -> None:
        self._timed(self._sampler.after_trial, *args)

    def _timed(self, method: Callable[..., Any], *args: Any) -> Any:
        start = time.perf_counter()
        try:
            return method(*args)
        finally:
            self.seconds += time.perf_counter() - start


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        "sampler-time", help="what a turn of a robust search costs", description=__doc__
    )
    parser.add_argument(
        "--n-models",
        type=int,
        nargs="+",
        default=[100, 1000, 6000],
        help="known models; default: %(default)s",
    )
    parser.add_argument("--storages", nargs="+", choices=STORAGES, default=STORAGES)
    parser.add_argument(
        "--turns", type=int, default=60, help="trials that are timed; default: %(default)s"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, command: str) -> int:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(
        f"`{command}`\n\n"
        "| storage | models | trials | TPE's part, ms | own part, ms: median, mean | ratio of "
        "medians | ratio of means | trial, beside that of TPE alone |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    cases = [(kind, n) for n in args.n_models for kind in args.storages]
    for kind, n_models in tqdm(cases, unit=" studies"):
        with tempfile.TemporaryDirectory() as folder, _storages(kind, Path(folder)) as pair:
            print(_row(kind, n_models, args.turns, pair), flush=True)
    return 0


def _row(
    kind: str, n_models: int, n_turns: int, storages: tuple[Any, optuna.storages.BaseStorage]
) -> str:
    rng = np.random.default_rng(0)
    search, ordinary = storages
    base = TimedSampler(TPESampler(seed=0))
    robust = _searched(search, base, n_models, rng)
    n_trials = len(robust.trials)
    plain = _ordinary(ordinary, n_trials, rng)
    own, tpe, alone = [], [], []
    for _ in range(n_turns):
        before = base.seconds
        seconds = _turn(robust)
        if base.seconds > before:  # a new model; a known one is only looked up
            tpe.append(base.seconds - before)
            own.append(seconds - tpe[-1])
            alone.append(_turn(plain))
    medians, means = statistics.median, statistics.fmean
    whole = medians(a + b for a, b in zip(own, tpe, strict=True)) / medians(alone)
    return (
        f"| {kind} | {n_models} | {n_trials} | {1e3 * medians(tpe):.1f} | "
        f"{1e3 * medians(own):.1f}, {1e3 * means(own):.1f} | {medians(own) / medians(tpe):.2f} | "
        f"{means(own) / means(tpe):.2f} | {whole:.2f} |"
    )


def _turn(study: optuna.Study) -> float:
    """Run one trial; returns the seconds of asking for it and its hyperparameters."""
    start = time.perf_counter()
    trial = study.ask(dict(_SPACE))
    seconds = time.perf_counter() - start
    earlier = trial.user_attrs.get(trials.CONTINUES)
    losses = [] if earlier is None else study.trials[earlier].user_attrs[trials.LOSSES]
    rng = np.random.default_rng(trial.number)
    trial.set_user_attr(trials.LOSSES, [*losses, _loss(trial.params, rng)])
    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    return seconds


def _loss(params: dict[str, Any], rng: np.random.Generator) -> float:
    return float(sum((value - 0.4) ** 2 for value in params.values()) + 0.3 * rng.normal())


def _searched(
    storage: Any, base: BaseSampler, n_models: int, rng: np.random.Generator
) -> optuna.Study:
    """Return a robust search with so many models, some of which have more instances."""
    study = optuna.create_study(
        storage=storage,
        sampler=opr.RobustnessSampler(base, seed=0),
        pruner=opr.RobustnessPruner(),
    )
    objective = opr.MultiInstanceObjective(
        lambda trial, instance: _loss(
            {name: trial.suggest_float(name, 0.0, 1.0) for name in _SPACE}, instance.rng
        ),
        _N_INSTANCES,
    )
    study.optimize(objective, n_trials=1)  # keeps what the study looks for
    n_again = round(n_models * (_TRIALS_A_MODEL - 1.0))
    number, earlier = len(study.trials), []
    for model in range(n_models - 1):
        params = dict(zip(_SPACE, rng.random(len(_SPACE)).tolist(), strict=True))
        losses = [_loss(params, rng)]
        study.add_trial(_trial(params, losses))
        earlier.append((losses[0], number + model, params, losses))
    number += n_models - 1
    best = sorted(earlier, key=lambda each: each[0])[: max(n_again // 4, 1)]
    for k in range(n_again):
        _, before, params, losses = best[k % len(best)]
        losses = [*losses, _loss(params, rng)]
        if len(losses) >= _N_INSTANCES:
            break
        study.add_trial(_trial(params, losses, before))
        best[k % len(best)] = (losses[0], number + k, params, losses)
    return study


def _trial(
    params: dict[str, float], losses: list[float], earlier: int | None = None
) -> optuna.trial.FrozenTrial:
    attrs: dict[str, Any] = {trials.LOSSES: losses}
    if earlier is not None:
        attrs |= {trials.CONTINUES: earlier, trials.N_REUSED: len(losses) - 1}
    return create_trial(
        state=optuna.trial.TrialState.PRUNED,
        params=params,
        distributions=_SPACE,
        user_attrs=attrs,
    )


def _ordinary(storage: Any, n_trials: int, rng: np.random.Generator) -> optuna.Study:
    study = optuna.create_study(storage=storage, sampler=TPESampler(seed=0))
    for _ in range(n_trials):
        params = dict(zip(_SPACE, rng.random(len(_SPACE)).tolist(), strict=True))
        study.add_trial(
            create_trial(params=params, distributions=_SPACE, value=_loss(params, rng))
        )
    return study


@contextmanager
def _storages(kind: str, folder: Path) -> Iterator[tuple[Any, Any]]:
    """Yield two storages of a kind; None: in memory."""
    if kind == "memory":
        yield None, None
    elif kind == "sqlite":
        yield f"sqlite:///{folder}/a.db", f"sqlite:///{folder}/b.db"
    else:
        yield _journal(folder / "a.log"), _journal(folder / "b.log")


def _journal(path: Path) -> optuna.storages.JournalStorage:
    return optuna.storages.JournalStorage(JournalFileBackend(str(path)))
