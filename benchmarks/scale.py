"""What a store takes as it grows: time and memory an instance, and instances a second of workers.

A selection trains models of ten instances, whose objective does next to nothing, into an empty
store; then a new process selects again, for which everything is there. Each is a process of its
own, whose memory is its own. With a server, several processes train into one store.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from contextlib import contextmanager
import multiprocessing
from pathlib import Path
import resource
import sys
import tempfile
import time

import optuna
from tqdm import tqdm

from benchmarks import servers
from benchmarks.text_tables import markdown_table
import optuna_robust as opr


N_INSTANCES = 10
STORES = ("sqlite", *servers.SERVERS)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        "scale", help="what a store takes as it grows", description=__doc__
    )
    parser.add_argument(
        "--instances",
        type=int,
        nargs="+",
        default=[1_000, 10_000, 100_000],
        metavar="N",
        help="instances of a store on SQLite, ten a model; default: 1000 10000 100000",
    )
    parser.add_argument(
        "--stores",
        nargs="+",
        choices=STORES,
        default=list(STORES),
        help="databases that several processes share; default: all that are installed",
    )
    parser.add_argument(
        "--workers", type=int, default=4, metavar="N", help="processes that share one; default: 4"
    )
    parser.add_argument(
        "--models",
        type=int,
        default=100,
        metavar="N",
        help="models that each of them trains; default: 100",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, command: str) -> int:
    """Measure, and print the tables."""
    print(f"{command}\n")
    print(_growth(args.instances) + "\n")
    print(_throughput(args.stores, args.workers, args.models))
    return 0


def _growth(sizes: list[int]) -> str:
    rows = []
    for n in tqdm(sizes, unit="store", disable=None):
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/store.db"
            trained, n_trained, _ = _in_process(select, url, n // N_INSTANCES)
            resumed, n_again, memory = _in_process(select, url, n // N_INSTANCES)
            read, n_read, _ = _in_process(read_all, url)
            assert (n_trained, n_again, n_read) == (n, 0, n)
            size = Path(folder, "store.db").stat().st_size
        rows.append(
            [
                f"{n}",
                *(f"{1e6 * each / n:.0f}" for each in (trained, resumed, read)),
                f"{resumed:.2f}",
                f"{memory:.0f}",
                f"{size / n:.0f}",
            ]
        )
    return markdown_table(
        [
            "instances",
            "trained, µs each",
            "resumed, µs each",
            "read, µs each",
            "resumed, s",
            "memory, MB",
            "bytes each",
        ],
        rows,
    )


def _throughput(kinds: list[str], n_workers: int, n_models: int) -> str:
    rows = []
    for kind in kinds:
        with _database(kind) as url:
            if url is None:
                continue
            opr.InstanceStore(url).close()
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(n_workers, context) as pool:
                list(pool.map(len, ["start"] * 4 * n_workers))
                begun = time.perf_counter()
                shares = [
                    pool.submit(select, url, n_models, worker) for worker in range(n_workers)
                ]
                n = sum(share.result()[1] for share in shares)
                seconds = time.perf_counter() - begun
            rows.append([kind, f"{n_workers}", f"{n}", f"{n / seconds:.0f}"])
    return markdown_table(["store", "processes", "instances", "instances a second"], rows)


def select(url: str, n_models: int, worker: int = 0) -> tuple[float, int, float]:
    """Select from models; return seconds, how many instances were trained, and memory in MB."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    models = [{"x": number / n_models, "worker": worker} for number in range(n_models)]
    begun = time.perf_counter()
    with closing(opr.InstanceStore(url)) as store:
        found = opr.robust_select(
            _objective,
            models,
            rule="halving",
            n_instances=N_INSTANCES,
            train_survivors=True,
            n_warmup_instances=N_INSTANCES - 1,
            store=store,
        )
    seconds = time.perf_counter() - begun
    return seconds, found.n_trainings, _peak_memory()


def read_all(url: str) -> tuple[float, int, float]:
    """Read every instance of a store."""
    begun = time.perf_counter()
    with closing(opr.InstanceStore(url)) as store:
        n = len(store.instances())
    return time.perf_counter() - begun, n, _peak_memory()


def _objective(trial: optuna.Trial, instance: opr.Instance) -> float:
    return float(trial.params["x"]) + 0.1 * float(instance.rng.normal())


def _peak_memory() -> float:
    unit = 1 if sys.platform == "darwin" else 1_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _in_process(
    function: Callable[..., tuple[float, int, float]], *args: object
) -> tuple[float, int, float]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


@contextmanager
def _database(kind: str) -> Iterator[str | None]:
    """Yield the URL of an empty database; None if its server is not installed."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/store.db"
        return
    try:
        server = servers.SERVERS[kind]()
    except servers.ServerMissingError as error:
        print(error, file=sys.stderr)
        yield None
        return
    try:
        yield server.new_database()
    finally:
        server.stop()
