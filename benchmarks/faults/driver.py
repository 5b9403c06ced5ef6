"""The process that is disturbed: a selection with two workers, or a robust search.

``python -m benchmarks.faults.driver RUN`` with a :class:`Run` as JSON; it writes what was decided.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from dataclasses import dataclass
import json
import math
from pathlib import Path
import signal
import sys
import threading
import time
from typing import Any
import warnings

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.faults.objective import INSTANCE_TIMEOUT
from benchmarks.faults.objective import N_INSTANCES
from benchmarks.faults.objective import N_MODELS
from benchmarks.faults.objective import Objective
import optuna_robust as opr


_BUDGET = 40  # trainings of a search
_DAY = 86_400.0


@dataclass(frozen=True)
class Run:
    """What a driver does.

    Args:
        kind:
            ``"selection"`` or ``"search"``.
        store:
            URL of the instances.
        study:
            URL of the study of a search.
        log:
            Of the objective.
        decision:
            File of what was decided.
        misdeed:
            Of the objective.
        after:
            How many instances begin before it.
        clock_jumps:
            Seconds after which this process's clock jumps by a day; None: never.
    """

    kind: str
    store: str
    study: str
    log: str
    decision: str
    misdeed: str | None = None
    after: int = 0
    clock_jumps: float | None = None

    @property
    def objective(self) -> Objective:
        """What is trained."""
        return Objective(self.log, self.misdeed, self.after)

    def as_json(self) -> str:
        """Return it as the driver reads it."""
        return json.dumps(asdict(self))


def select(
    objective: Objective, store: opr.InstanceStore | None, *, n_jobs: int, timeout: float | None
) -> dict[str, Any]:
    """Return what a selection decides."""
    result = opr.robust_select(
        objective,
        [{"model": model} for model in range(N_MODELS)],
        direction="minimize",
        rule="halving",
        n_warmup_instances=1,
        n_instances=N_INSTANCES,
        n_jobs=n_jobs,
        store=store,
        instance_timeout=timeout,
        max_failures=1.0,
        seed=0,
    )
    losses = [
        [None if math.isnan(loss) else loss for loss in row] for row in result.losses.tolist()
    ]
    return {"best": result.best_params, "losses": losses}


def search(run: Run, store: opr.InstanceStore, *, timeout: float | None) -> dict[str, Any]:
    """Return what a robust search recommends."""
    study = optuna.create_study(
        storage=_storage(run.study),
        study_name="faults",
        load_if_exists=True,
        sampler=opr.RobustnessSampler(seed=0),
    )
    wrapped = opr.MultiInstanceObjective(
        run.objective,
        N_INSTANCES,
        store=store,
        seed=0,
        instance_timeout=timeout,
        max_failures=1.0,
    )
    study.optimize(wrapped, callbacks=[opr.MaxInstancesCallback(_BUDGET)])
    best = study.best_trial
    return {"best": best.params, "n_instances": best.user_attrs["robust:n_instances"]}


def _storage(place: str) -> str | JournalStorage:
    """Return a database's URL as it is, and the storage of a journal file's path."""
    return place if "://" in place else JournalStorage(JournalFileBackend(place))


def main() -> None:
    """Do what the command line says, and write what was decided."""
    run = Run(**json.loads(sys.argv[1]))
    warnings.simplefilter("ignore")
    # Whoever is started in the background ignores it, and so do its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if run.clock_jumps is not None:
        threading.Timer(run.clock_jumps, _jump).start()
    timeout = INSTANCE_TIMEOUT if run.misdeed == "hangs" else None
    with closing(opr.InstanceStore(run.store, "faults")) as store:
        if run.kind == "selection":
            decided = select(run.objective, store, n_jobs=2, timeout=timeout)
        else:
            decided = search(run, store, timeout=timeout)
    Path(run.decision).write_text(json.dumps(decided))


def _jump() -> None:
    """Set this process's clock a day ahead."""
    real = time.time
    time.time = lambda: real() + _DAY


if __name__ == "__main__":
    main()
