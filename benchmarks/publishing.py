"""What it takes to publish a study for the dashboard: seconds, and bytes of study attributes.

Whoever reads an attribute of a study reads all of them, so that they must be few and small.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import json
from pathlib import Path
import shutil
import statistics
import tempfile
import time
from typing import Any
import warnings

import numpy as np
import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial
from optuna.trial import TrialState

import optuna_robust as opr
from optuna_robust._instances import trials
from optuna_robust.criteria import get_criterion


STORAGES = ("memory", "journal", "sqlite")


@dataclass(frozen=True)
class Published:
    """What publishing a study took.

    Attributes:
        first: Seconds of the first time, with the trials read already.
        again: Seconds of the second time.
        n_bytes: Of all attributes of the study, keys and JSON.
        n_attributes: How many there are.
        read: Seconds that reading the study's attributes takes afterwards.
    """

    first: float
    again: float
    n_bytes: int
    n_attributes: int
    read: float


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        "publishing", help="what publishing a study for the dashboard takes", description=__doc__
    )
    parser.add_argument(
        "--n-trials", type=int, default=1000, help="trials of the study; default: %(default)s"
    )
    parser.add_argument(
        "--n-params", type=int, default=6, help="hyperparameters; default: %(default)s"
    )
    parser.add_argument(
        "--storages", nargs="+", choices=STORAGES, default=STORAGES, help="default: all"
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=3,
        help="measurements for each storage; default: %(default)s",
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace, command: str) -> int:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    found = {
        kind: measure(kind, args.n_trials, args.n_params, args.repeats) for kind in args.storages
    }
    print(f"`{command}`\n\n{table(found)}")
    return 0


def table(found: Mapping[str, Sequence[Published]]) -> str:
    """Return the measurements as a Markdown table."""
    lines = [
        "| storage | first, s: median (range) | again, s | kB | attributes | a read, ms |",
        "|---|---|---|---|---|---|",
    ]
    for kind, measured in found.items():
        first = [each.first for each in measured]
        again = statistics.median(each.again for each in measured)
        read = statistics.median(each.read for each in measured)
        lines.append(
            f"| {kind} | {statistics.median(first):.2f} ({min(first):.2f} to {max(first):.2f}) | "
            f"{again:.2f} | {measured[0].n_bytes / 1000:.0f} | {measured[0].n_attributes} | "
            f"{1000 * read:.1f} |"
        )
    return "\n".join(lines)


def measure(kind: str, n_trials: int, n_params: int, n_repeats: int) -> list[Published]:
    """Fill a study, and publish copies of it twice each.

    Args:
        kind:
            Kind of storage.
        n_trials:
            Trials of the study.
        n_params:
            Hyperparameters of each.
        n_repeats:
            How many copies.
    """
    opr.dashboard.publish(optuna.create_study())  # imports what there is to import
    with tempfile.TemporaryDirectory() as folder:
        filled = Path(folder) / "filled"
        study = filled_study(_storage(kind, filled), n_trials, n_params)
        found = []
        for number in range(n_repeats):
            if kind == "memory":
                copied = filled_study(_storage(kind, filled), n_trials, n_params)
            else:  # filling a file takes minutes
                copy = shutil.copy(filled, filled.with_name(f"copy{number}"))
                copied = optuna.load_study(
                    study_name=study.study_name, storage=_storage(kind, Path(copy))
                )
            found.append(_published(copied))
        return found


def _published(study: optuna.Study) -> Published:
    study.get_trials(deepcopy=False)
    first, again = (_seconds(lambda: opr.dashboard.publish(study)) for _ in range(2))
    found = attributes(study)
    read = statistics.median(_seconds(lambda: attributes(study)) for _ in range(5))
    n_bytes = sum(len(key) + len(json.dumps(value)) for key, value in found.items())
    return Published(first, again, n_bytes, len(found), read)


def attributes(study: optuna.Study) -> dict[str, Any]:
    """Return all attributes of a study: those of users and those of the system."""
    storage, number = study._storage, study._study_id
    return {**storage.get_study_system_attrs(number), **storage.get_study_user_attrs(number)}


def filled_study(
    storage: optuna.storages.BaseStorage, n_trials: int, n_params: int, *, name: str = "parameter_"
) -> optuna.Study:
    """Return a study of trials with 20 instances each, half of them pruned, and a confirmation.

    Args:
        storage:
            Where it is.
        n_trials:
            How many trials it has.
        n_params:
            How many hyperparameters each has.
        name:
            How their names begin.
    """
    rng = np.random.default_rng(0)
    score = get_criterion("q3+iqr").score
    study = optuna.create_study(storage=storage, study_name="filled")
    settings = {"seed": 0, "n_instances": 20, "on_failure": "worst", "criterion": ["q3+iqr"]}
    study.set_user_attr(trials.SETTINGS, settings)
    names = [f"{name}{number}" for number in range(n_params)]
    distribution = optuna.distributions.FloatDistribution(0, 1)
    found = []
    for number in range(n_trials):
        n = 20 if number % 2 == 0 else int(rng.choice([2, 4, 8, 16]))
        losses = (rng.random() + rng.random() * rng.normal(size=n)).tolist()
        running = {i: float(score(losses[: i + 1])) for i in range(1, n)}
        summary = trials.summary_attrs(losses, 1, n_failures=0, criterion=running[n - 1])
        attrs: dict[str, Any] = {trials.LOSSES: losses, trials.SECONDS: [0.1] * n, **summary}
        if n < 20:
            attrs[trials.STOPPED] = f"RobustnessPruner stopped it after {n} instances."
        found.append(
            create_trial(
                state=TrialState.COMPLETE if n == 20 else TrialState.PRUNED,
                value=running[n - 1],
                params={each: float(rng.random()) for each in names},
                distributions=dict.fromkeys(names, distribution),
                intermediate_values=running,
                user_attrs=attrs,
            )
        )
    study.add_trials(found)

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        return sum(trial.suggest_float(each, 0, 1) for each in names) + instance.rng.normal()

    opr.confirm(study, objective)
    return study


def _storage(kind: str, file: Path) -> optuna.storages.BaseStorage:
    if kind == "memory":
        return optuna.storages.InMemoryStorage()
    if kind == "journal":
        return optuna.storages.JournalStorage(JournalFileBackend(str(file)))
    return optuna.storages.RDBStorage(f"sqlite:///{file}")


def _seconds(use: Callable[[], object]) -> float:
    begun = time.perf_counter()
    use()
    return time.perf_counter() - begun
