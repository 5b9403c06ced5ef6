"""What the package costs beside training: imports, pruning decisions, instances.

Everything is measured side by side in one run, as ratios: times of one machine mean little.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings

import numpy as np
import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial
from tqdm import tqdm

import optuna_robust as opr
from optuna_robust._instances.evaluation import ModelTrial


N_CHECKS = 10
N_MODELS, N_INSTANCES = 604, 20
STORAGES = ("memory", "journal", "sqlite", "grpc")


@dataclass(frozen=True)
class Comparison:
    """Seconds of ours and of what it stands beside, in pairs measured in turn."""

    name: str
    unit: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    def __str__(self) -> str:
        ratios = [a / b for a, b in zip(self.ours, self.theirs, strict=True)]
        return (
            f"| {self.name} | {1e3 * statistics.median(self.ours):.3g} | "
            f"{1e3 * statistics.median(self.theirs):.3g} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}) | {self.unit} |"
        )


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        "overheads", help="what the package costs beside training", description=__doc__
    )
    parser.add_argument(
        "--n-trials", type=int, default=10_000, help="trials of a study; default: %(default)s"
    )
    parser.add_argument(
        "--storages", nargs="+", choices=STORAGES, default=STORAGES, help="default: all"
    )
    parser.add_argument(
        "--repeats", type=int, default=7, help="pairs of measurements; default: %(default)s"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, command: str) -> int:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    found = measure(n_trials=args.n_trials, storages=args.storages, n_repeats=args.repeats)
    print(f"`{command}`\n\n{table(found)}")
    return 0


def measure(*, n_trials: int, storages: Sequence[str], n_repeats: int) -> list[Comparison]:
    """Measure everything.

    Args:
        n_trials:
            Finished trials of the studies in which a pruner decides.
        storages:
            Kinds of storage.
        n_repeats:
            Pairs of measurements of each kind.
    """
    found = [_import_times(n_repeats)]
    for kind in storages:
        with tempfile.TemporaryDirectory() as folder, _storage(kind, Path(folder)) as storage:
            study = _filled_study(storage, n_trials, kind)
            found.append(_pruning_times(study, n_repeats, f"{kind}, {n_trials} trials"))
    found.append(_instance_times(n_repeats))
    found.extend(_selection_times(kind, n_repeats) for kind in ("memory", "sqlite"))
    return found


def table(comparisons: list[Comparison]) -> str:
    """Return the measurements as a Markdown table."""
    return "\n".join(
        [
            "| what | ours, ms | beside, ms | ratio, median (range) | measured |",
            "|---|---|---|---|---|",
            *map(str, comparisons),
        ]
    )


def _import_times(n_repeats: int) -> Comparison:
    ours, theirs = _in_turn(
        n_repeats,
        lambda: _seconds_of_python(
            "import optuna_robust as opr; opr.MultiInstanceObjective, opr.RobustnessPruner"
        ),
        lambda: _seconds_of_python("import optuna"),
    )
    return Comparison("import", "with all names / Optuna alone, whole process", ours, theirs)


def _pruning_times(study: optuna.Study, n_repeats: int, name: str) -> Comparison:
    pruners = opr.RobustnessPruner(), optuna.pruners.MedianPruner()
    for pruner in pruners:  # the first trial reads the study into memory
        _seconds_of_pruning(study, pruner)
    ours, theirs = _in_turn(
        n_repeats,
        lambda: _seconds_of_pruning(study, pruners[0]),
        lambda: _seconds_of_pruning(study, pruners[1]),
    )
    return Comparison(
        f"should_prune, {name}",
        f"{N_CHECKS} calls of a trial: RobustnessPruner / MedianPruner",
        ours,
        theirs,
    )


def _instance_times(n_repeats: int) -> Comparison:
    def robust() -> float:
        objective = opr.MultiInstanceObjective(_instant, n_instances=N_CHECKS)
        return _seconds_of_study(objective, opr.RobustnessPruner(n_startup_trials=10**6))

    def by_hand(trial: optuna.Trial) -> float:
        losses = []
        for number in range(N_CHECKS):
            losses.append(_instant(trial, opr.Instance(number)))
            trial.report(losses[-1], number)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(losses))

    ours, theirs = _in_turn(
        n_repeats,
        robust,
        lambda: _seconds_of_study(by_hand, optuna.pruners.MedianPruner(n_startup_trials=10**6)),
    )
    return Comparison(
        "an instance, in memory", "MultiInstanceObjective / a loop by hand", ours, theirs
    )


def _selection_times(kind: str, n_repeats: int) -> Comparison:
    rng = np.random.default_rng(0)
    losses = rng.normal(size=(N_MODELS, N_INSTANCES)) + 0.01 * np.arange(N_MODELS)[:, None]

    def look_up(trial: optuna.Trial, instance: opr.Instance) -> float:
        return float(losses[trial.suggest_int("model", 0, N_MODELS - 1), instance.number])

    def select() -> float:
        with tempfile.TemporaryDirectory() as folder:
            store = opr.InstanceStore(
                "sqlite://" if kind == "memory" else f"sqlite:///{Path(folder) / 'store.db'}"
            )
            start = time.perf_counter()
            result = opr.robust_select(
                look_up,
                {"model": range(N_MODELS)},
                n_instances=N_INSTANCES,
                rule="halving",
                n_warmup_instances=N_INSTANCES - 1,  # every model has all its instances
                store=store,
            )
            seconds = time.perf_counter() - start
            store.close()
        return seconds / result.n_trainings

    def by_hand() -> float:
        models = [ModelTrial({"model": model}) for model in range(N_MODELS)]
        start = time.perf_counter()
        for model in models:
            for number in range(N_INSTANCES):
                look_up(model, opr.Instance(number))  # type: ignore[arg-type]
        return (time.perf_counter() - start) / losses.size

    ours, theirs = _in_turn(n_repeats, select, by_hand)
    return Comparison(
        f"an instance of a selection, {kind}",
        f"robust_select with a store, {N_MODELS} models x {N_INSTANCES} look-ups / a loop by hand",
        ours,
        theirs,
    )


def _instant(trial: optuna.Trial, instance: opr.Instance) -> float:
    return trial.suggest_float("x", 0, 1) + float(instance.rng.normal())


def _in_turn(
    n_repeats: int, first: Callable[[], float], second: Callable[[], float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    pairs = [(first(), second()) for _ in range(n_repeats)]
    return tuple(a for a, _ in pairs), tuple(b for _, b in pairs)


def _seconds_of_python(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def _seconds_of_study(
    objective: Callable[[optuna.Trial], object], pruner: optuna.pruners.BasePruner
) -> float:
    """Return the seconds an instance takes."""
    n_trials = 100
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), pruner=pruner)
    start = time.perf_counter()
    study.optimize(objective, n_trials=n_trials)  # type: ignore[arg-type]
    return (time.perf_counter() - start) / (n_trials * N_CHECKS)


def _seconds_of_pruning(study: optuna.Study, pruner: optuna.pruners.BasePruner) -> float:
    """Return the seconds that the decisions of one trial take."""
    study.pruner = pruner
    trial = study.ask()
    losses: list[float] = []
    seconds = 0.0
    for step in range(N_CHECKS):
        losses.append(0.01 * step)  # better than the others: a trial that goes all the way
        trial.set_user_attr("robust:losses", list(losses))
        trial.report(losses[-1], step)
        start = time.perf_counter()
        trial.should_prune()
        seconds += time.perf_counter() - start
    study.tell(trial, losses[-1])
    return seconds


def _filled_study(storage: optuna.storages.BaseStorage, n_trials: int, kind: str) -> optuna.Study:
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
    rng = np.random.default_rng(0)
    for row in tqdm(rng.normal(size=(n_trials, N_CHECKS)) + 5.0, desc=f"fill {kind}"):
        losses = row.tolist()
        study.add_trial(
            create_trial(
                value=losses[-1],
                intermediate_values=dict(enumerate(losses)),
                user_attrs={"robust:losses": losses},
            )
        )
    return study


@contextmanager
def _storage(kind: str, folder: Path) -> Iterator[optuna.storages.BaseStorage]:
    if kind == "memory":
        yield optuna.storages.InMemoryStorage()
    elif kind == "journal":
        yield optuna.storages.JournalStorage(JournalFileBackend(str(folder / "study.log")))
    elif kind == "sqlite":
        yield optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}")
    else:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        threading.Thread(
            target=optuna.storages.run_grpc_proxy_server,
            args=(optuna.storages.get_storage(f"sqlite:///{folder / 'study.db'}"),),
            kwargs={"host": "localhost", "port": port},
            daemon=True,
        ).start()
        proxy = optuna.storages.GrpcStorageProxy(host="localhost", port=port)
        proxy.wait_server_ready(timeout=60)
        yield proxy
        proxy.close()
