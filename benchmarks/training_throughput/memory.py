"""Memory that instances take: of all processes together, and beside that of one instance.

What processes share counts once (proportional set size, PSS), and is only known on Linux.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace
import multiprocessing
import time

import psutil

from benchmarks.training_throughput.ways import Case
from benchmarks.training_throughput.ways import train
from optuna_robust import Instance


N_INSTANCES = 16
_MOST_EPOCHS = 8  # memory does not grow with epochs; captured steps need 1000 steps or more
_ENOUGH_FOR_CAPTURE = 1500  # steps
_SECONDS_BETWEEN_LOOKS = 0.02
_MIB = 2**20


@dataclass(frozen=True)
class Memory:
    """Peaks of a way of training, MiB.

    Attributes:
        model: What was trained.
        way: How.
        of_one: Of one instance.
        of_many: Of ``N_INSTANCES``.
        of_parameters: Of the parameters of as many networks.
    """

    model: str
    way: str
    of_one: float
    of_many: float
    of_parameters: float

    @property
    def ratio(self) -> float:
        """Peak of many beside that of one and the parameters of all."""
        return self.of_many / (self.of_one + self.of_parameters)

    def row(self) -> list[str]:
        """Return the cells of a table."""
        return [
            self.model,
            self.way,
            f"{self.of_one:.0f}",
            f"{self.of_many:.0f}",
            f"{self.of_parameters:.1f}",
            f"{self.ratio:.2f}",
        ]


def measure_memory(case: Case) -> list[Memory]:
    """Return the peaks of one and of many instances: in processes, and trained together."""
    brief = replace(case, n_epochs=min(case.n_epochs, _MOST_EPOCHS))
    steps_an_epoch = case.n_steps // case.n_epochs
    captured = replace(case, n_epochs=max(_ENOUGH_FOR_CAPTURE // steps_an_epoch, 1))
    n_parameters = sum(each.numel() for each in case.model.network.build().parameters())
    of_parameters = N_INSTANCES * n_parameters * case.dtype.itemsize / _MIB
    found = []
    for way, of_way in (("processes", captured), ("vmap", brief)):
        of_one, of_many = (peak(of_way, way, n) for n in (1, N_INSTANCES))
        found.append(Memory(case.name, way, of_one, of_many, of_parameters))
    return found


def peak(case: Case, way: str, n_instances: int) -> float:
    """Return the largest PSS of a process that trains instances and of its children, MiB.

    Args:
        case:
            What is trained.
        way:
            A method of :func:`~optuna_robust.training.train_instances`.
        n_instances:
            How many.

    Raises:
        RuntimeError: If they are not trained to their end.
    """
    trains = multiprocessing.get_context("spawn").Process(
        target=_train, args=(case, way, n_instances)
    )
    trains.start()
    largest = 0
    while trains.is_alive():
        largest = max(largest, _pss_of_all(trains.pid))
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    if trains.exitcode:
        raise RuntimeError(f"Training {n_instances} instances ended with {trains.exitcode}.")
    return largest / _MIB


def _train(case: Case, way: str, n_instances: int) -> None:
    instances = [Instance(number) for number in range(n_instances)]
    train(case, case.data(), instances, method=way)


def _pss_of_all(pid: int | None) -> int:
    total = 0
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        for process in (first, *first.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += process.memory_full_info().pss
    return total
