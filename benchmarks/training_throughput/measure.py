"""How many instances are trained in a second, and whether they are the same ones.

All ways are measured in turn; ratios are to the plain loop of the same round on the same device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
import platform
import statistics
import time

import psutil
import torch
from tqdm import tqdm

from benchmarks.training_throughput.ways import Case
from benchmarks.training_throughput.ways import one_by_one
from benchmarks.training_throughput.ways import train
from benchmarks.training_throughput.ways import Way
from benchmarks.training_throughput.ways import ways
from benchmarks.training_throughput.ways import with_one_thread
from optuna_robust import Instance


# Relative differences of losses in float64, above which instances are not the same ones.
SAME = 1e-6
_N_COMPARED, _MOST_EPOCHS_COMPARED = 2, 32


@dataclass(frozen=True)
class Throughput:
    """Instance-steps of a way, one figure a round.

    Attributes:
        model: What was trained.
        device: Where.
        way: How.
        rates: In a second.
        ratios: Of these to those of the plain loop.
        cpu: Seconds of all processes for one step. Unlike rates, they hardly depend on what else
            the machine does.
    """

    model: str
    device: str
    way: str
    rates: tuple[float, ...]
    ratios: tuple[float, ...]
    cpu: tuple[float, ...]

    def row(self) -> list[str]:
        """Return the cells of a table."""
        median, least, most = (f(self.ratios) for f in (statistics.median, min, max))
        return [
            self.model,
            self.device,
            self.way,
            f"{statistics.median(self.rates):.0f}",
            f"{median:.2f} ({least:.2f} to {most:.2f})",
            f"{1e3 * statistics.median(self.cpu):.2f}",
        ]


@dataclass(frozen=True)
class Difference:
    """The largest relative difference of losses to those of the plain loop on the CPU.

    Attributes:
        model: What was trained.
        device: Where.
        method: How.
        of_losses: In float64.
    """

    model: str
    device: str
    method: str
    of_losses: float

    @property
    def is_small(self) -> bool:
        """Whether the instances are the same ones."""
        return self.of_losses <= SAME

    def row(self) -> list[str]:
        """Return the cells of a table."""
        verdict = "same" if self.is_small else "DIFFERENT"
        return [self.model, self.device, self.method, f"{self.of_losses:.1e}", verdict]


def machine(device: str) -> str:
    """Say what this was measured on."""
    names = [f"{torch.get_num_threads()} threads ({platform.machine()})"]
    if device == "cuda":
        names.append(torch.cuda.get_device_name())
    return f"PyTorch {torch.__version__}, Python {platform.python_version()}, {', '.join(names)}"


def compare(case: Case, methods: Sequence[str]) -> list[Difference]:
    """Train instances in float64 by the plain loop on the CPU, and by other methods.

    Args:
        case:
            What is trained, and where the methods train it.
        methods:
            Of :func:`~optuna_robust.training.train_instances`.
    """
    n_epochs = min(case.n_epochs, _MOST_EPOCHS_COMPARED)
    exact = replace(case, dtype=torch.float64, n_epochs=n_epochs)
    data, instances = exact.data(), _instances(_N_COMPARED)
    alone = with_one_thread(partial(one_by_one, exact, data), instances)
    found = []
    for method in methods:
        losses = train(exact, data, instances, method=method)
        pairs = zip(losses, alone, strict=True)
        largest = max(abs(ours - theirs) / theirs for ours, theirs in pairs)
        found.append(Difference(case.name, case.device, method, largest))
    return found


def measure(
    case: Case, *, together: Sequence[int], n_rounds: int, deadline: float = float("inf")
) -> list[Throughput]:
    """Measure every way of training, in turn; the plain loop comes first.

    Args:
        case:
            What is trained.
        together:
            Numbers of instances that are trained together, in ascending order.
        n_rounds:
            How often each is measured.
        deadline:
            On the clock ``time.monotonic``. What would not end by then is left out: first rounds,
            the first one excepted, then numbers of instances.
    """
    chosen: list[Way] = []
    seconds: list[float] = []
    for way in ways(case, together):
        if chosen:
            # Twice as many may take twice as long, and each is trained at least twice.
            growth = way.n_instances / chosen[-1].n_instances
            if time.monotonic() + sum(seconds) + 2 * growth * seconds[-1] > deadline:
                break
        chosen.append(way)
        # Libraries are loaded, processes started, kernels chosen.
        seconds.append(_seconds(way)[0])
    times: dict[str, list[tuple[float, float]]] = {way.name: [] for way in chosen}
    for number in tqdm(range(n_rounds), desc=f"{case.name}, {case.device}", unit=" rounds"):
        if number and time.monotonic() + sum(seconds) > deadline:
            break
        for way in chosen:
            times[way.name].append(_seconds(way))
    rates = {
        way.name: tuple(way.n_instances * way.n_steps / wall for wall, _ in times[way.name])
        for way in chosen
    }
    plain = rates[chosen[0].name]
    return [
        Throughput(
            case.name,
            case.device,
            way.name,
            rates[way.name],
            tuple(ours / loop for ours, loop in zip(rates[way.name], plain, strict=True)),
            tuple(cpu / way.n_instances / way.n_steps for _, cpu in times[way.name]),
        )
        for way in chosen
    ]


def _seconds(way: Way) -> tuple[float, float]:
    """Return the time that passes while a way trains, and that of all processors."""
    began, used = time.perf_counter(), _cpu_seconds()
    way.train(_instances(way.n_instances))
    return time.perf_counter() - began, _cpu_seconds() - used


def _cpu_seconds() -> float:
    own = psutil.Process()
    processes = [own, *own.children(recursive=True)]
    times = [each.cpu_times() for each in processes]
    return float(sum(each.user + each.system for each in times))


def _instances(n: int) -> list[Instance]:
    return [Instance(number) for number in range(n)]
