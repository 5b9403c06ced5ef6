"""A robust search of several processes that are killed at random: is it as it was after an hour?

Workers share one study and one store on SQLite, and every few seconds one of them is killed and
another one is started. What they train takes next to no time, so that the study grows quickly. The
objective writes down what it begins and ends; from that is counted what was lost or trained twice.
Latency is what passes in a worker between two instances: the decision, and what is written.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
import json
import multiprocessing
from multiprocessing.process import BaseProcess
import os
from pathlib import Path
import random
import statistics
import tempfile
import time
from typing import NamedTuple

import optuna
import psutil
from tqdm import tqdm

from benchmarks.text_tables import markdown_table
import optuna_robust as opr
from optuna_robust._instances.model_key import model_key


N_INSTANCES = 10
# Seconds for which an instance sleeps.
_TRAINING = 0.02
# What ends so shortly before a kill may not have reached the database, seconds.
_MARGIN = 1.0
_N_PERIODS = 10


class Event(NamedTuple):
    """An instance began, or came to its end."""

    kind: str
    instance: tuple[str, int]
    at: float
    pid: int
    memory: int


@dataclass(frozen=True)
class Objective:
    """An objective that writes down what it trains.

    Attributes:
        path: Where to.
    """

    path: str

    def __call__(self, trial: optuna.Trial, instance: opr.Instance) -> float:
        """Train an instance."""
        x = [trial.suggest_float(name, 0, 1) for name in ("x", "y", "z")]
        key = model_key(trial.params)
        self._write("begin", key, instance.number)
        time.sleep(_TRAINING)
        noise = (0.05 + 0.2 * x[0]) * float(instance.rng.normal())
        self._write("end", key, instance.number)
        return sum((each - 0.3) ** 2 for each in x) + noise

    def _write(self, kind: str, key: str, number: int) -> None:
        """Add a line, by one system call: the process may be killed at any moment."""
        memory = psutil.Process().memory_info().rss
        line = json.dumps([kind, key, number, time.time(), os.getpid(), memory]) + "\n"
        log = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(log, line.encode())
        finally:
            os.close(log)

    def events(self) -> list[Event]:
        """Return what was written."""
        lines = [json.loads(line) for line in Path(self.path).read_text().splitlines()]
        return [Event(kind, (key, number), *rest) for kind, key, number, *rest in lines]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        "soak", help="a long search whose workers are killed", description=__doc__
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="default: 10")
    parser.add_argument("--workers", type=int, default=4, help="default: 4")
    parser.add_argument(
        "--kill-every",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="mean time between kills; default: 10",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the kills; default: 0")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, command: str) -> int:
    """Run the search, and say what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        objective, url = Objective(f"{folder}/log"), f"sqlite:///{folder}/soak.db"
        begun = time.time()
        kills = search(
            url,
            objective,
            seconds=60 * args.minutes,
            n_workers=args.workers,
            kill_every=args.kill_every,
            random=random.Random(args.seed),
        )
        events = objective.events()
        with closing(opr.InstanceStore(url, "soak")) as store:
            kept = {
                (each.model_key, each.number)
                for each in store.instances()
                if each.outcome is not None
            }
        study = optuna.load_study(study_name="soak", storage=url)
        n_trials = len(study.get_trials(deepcopy=False))
    lost = [each.instance for each in lost_instances(events, kept, kills)]
    twice = trained_twice(events, kills)
    print(f"{command}\n\n{periods_table(events, begun)}\n")
    print(
        f"{len(kept)} instances in {n_trials} trials, {len(kills)} kills: {len(lost)} finished "
        f"instances lost, {len(twice)} trained twice."
    )
    return int(bool(lost or twice))


def search(
    url: str,
    objective: Objective,
    *,
    seconds: float,
    n_workers: int,
    kill_every: float,
    random: random.Random,
) -> dict[int, float]:
    """Search, and kill workers; return when each process was killed, by its id."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study(study_name="soak", storage=url)
    workers = [_begin_worker(url, objective) for _ in range(n_workers)]
    kills: dict[int, float] = {}
    end = time.monotonic() + seconds
    with tqdm(total=round(seconds), unit="s", disable=None) as bar:
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, random.expovariate(1 / kill_every)))
            bar.update(max(0, round(seconds - (end - time.monotonic())) - bar.n))
            number = random.randrange(n_workers)
            _kill(workers[number], kills)
            workers[number] = _begin_worker(url, objective)
    for worker in workers:
        _kill(worker, kills)
    return kills


def lost_instances(
    events: Sequence[Event], kept: set[tuple[str, int]], kills: dict[int, float]
) -> list[Event]:
    """Return the ends of instances that are not kept, though their process lived on."""
    return [
        event
        for event in events
        if event.kind == "end"
        and event.instance not in kept
        and event.at < kills.get(event.pid, float("inf")) - _MARGIN
    ]


def trained_twice(events: Sequence[Event], kills: dict[int, float]) -> list[tuple[str, int]]:
    """Return the instances that were begun again, though the kill of a process was no reason."""
    ends = {(event.instance, event.pid): event.at for event in events if event.kind == "end"}
    begun: dict[tuple[str, int], Event] = {}
    found = []
    for event in events:
        if event.kind != "begin":
            continue
        first = begun.get(event.instance)
        if first is not None:
            until = ends.get((first.instance, first.pid), event.at) + _MARGIN
            if not first.at <= kills.get(first.pid, float("inf")) <= until:
                found.append(event.instance)
        begun[event.instance] = event
    return found


def periods_table(events: Sequence[Event], begun: float) -> str:
    """Return latency and memory of the workers as the study grows."""
    length = (events[-1].at - begun) / _N_PERIODS
    latencies: dict[int, list[float]] = defaultdict(list)
    memory: dict[int, list[int]] = defaultdict(list)
    last: dict[int, float] = {}
    n_ended: dict[int, int] = defaultdict(int)
    for event in events:
        period = min(int((event.at - begun) / length), _N_PERIODS - 1)
        if event.kind == "begin" and event.pid in last:
            latencies[period].append(event.at - last[event.pid])
        if event.kind == "end":
            last[event.pid] = event.at
            n_ended[period] += 1
            memory[period].append(event.memory)
    rows = []
    for period in sorted(latencies):
        ordered = sorted(latencies[period])
        rows.append(
            [
                f"{(period + 1) * length / 60:.1f}",
                f"{sum(n_ended[each] for each in range(period + 1))}",
                f"{1e3 * statistics.median(ordered):.0f}",
                f"{1e3 * ordered[int(0.95 * len(ordered))]:.0f}",
                f"{statistics.median(memory[period]) / 1e6:.0f}",
                f"{max(memory[period]) / 1e6:.0f}",
            ]
        )
    head = ["minutes", "instances", "latency, ms", "of 95 %", "memory, MB", "at most"]
    return markdown_table(head, rows)


def _begin_worker(url: str, objective: Objective) -> BaseProcess:
    worker = multiprocessing.get_context("spawn").Process(
        target=_work, args=(url, objective), daemon=True
    )
    worker.start()
    return worker


def _work(url: str, objective: Objective) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name="soak", storage=url, sampler=opr.RobustnessSampler())
    with closing(opr.InstanceStore(url, "soak")) as store:
        study.optimize(opr.MultiInstanceObjective(objective, N_INSTANCES, store=store))


def _kill(worker: BaseProcess, kills: dict[int, float]) -> None:
    assert worker.pid is not None
    if not worker.is_alive():
        raise RuntimeError(f"A worker ended by itself, with exit code {worker.exitcode}.")
    kills[worker.pid] = time.time()
    worker.kill()
    worker.join()
