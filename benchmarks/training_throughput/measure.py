"""How many instances are trained in a second: the plain loop, processes, several together.

All train Model 2 of the calorimeter problem on the same simulated events, in turn; ratios are to
the plain loop of the same round on the same device.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
import math
import platform
import statistics
import time

import loky
import torch
from tqdm import tqdm

from benchmarks.calorimeter.inputs import prepare
from benchmarks.calorimeter.inputs import Prepared
from benchmarks.calorimeter.inputs import Problem
from benchmarks.calorimeter.inputs import training_loss
from benchmarks.calorimeter.inputs import validation_loss
from benchmarks.calorimeter.models import Model
from benchmarks.calorimeter.models import PUBLISHED
from benchmarks.calorimeter.setting import DATASETS
from benchmarks.calorimeter.simulation import simulate
from optuna_robust import Instance
from optuna_robust.training import train_instances


_PROBLEM: Problem = "energy"
_N_EVENTS, _N_VALIDATION = 8192, 256
# A training as published: 50 epochs of 32 000 events in batches of 32.
_STEPS_OF_A_TRAINING = 50_000
TOGETHER = {"cpu": (1, 4, 16, 64), "cuda": (1, 4, 16, 64, 256, 512)}
# Of the plain loop: it does the same again and again.
_N_ALONE = 2


@dataclass(frozen=True)
class Way:
    """A way to train instances.

    Args:
        name:
            What it is called.
        n_instances:
            How many are trained in a measurement.
        train:
            Trains these.
    """

    name: str
    n_instances: int
    train: Callable[[Sequence[Instance]], object]


@dataclass(frozen=True)
class Throughput:
    """Instance-steps a second of a way, one figure a round, on a device."""

    device: str
    way: str
    rates: tuple[float, ...]

    def row(self, plain: Throughput) -> str:
        """Return a row of a Markdown table, beside the plain loop on the same device."""
        ratios = [ours / loop for ours, loop in zip(self.rates, plain.rates, strict=True)]
        rate = statistics.median(self.rates)
        return (
            f"| {self.device} | {self.way} | {rate:.0f} | {rate / _STEPS_OF_A_TRAINING:.2g} | "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )


def machine(devices: Sequence[str]) -> str:
    """Say what this was measured on."""
    names = [f"{torch.get_num_threads()} threads ({platform.machine()})"]
    if "cuda" in devices:
        names.append(torch.cuda.get_device_name())
    return f"PyTorch {torch.__version__}, Python {platform.python_version()}, {', '.join(names)}"


def table(found: Sequence[Throughput]) -> str:
    """Return what was measured as a Markdown table; the first way of a device is the loop."""
    plain: dict[str, Throughput] = {}
    for each in found:
        plain.setdefault(each.device, each)
    return "\n".join(
        [
            "| device | way | instance-steps/s | trainings/s of 50 epochs, 32 000 events | "
            "beside the plain loop, median (range) |",
            "|---|---|---|---|---|",
            *(each.row(plain[each.device]) for each in found),
        ]
    )


def measure(
    device: str, *, together: Sequence[int], n_steps: int, n_rounds: int
) -> list[Throughput]:
    """Measure every way of training on a device, in turn; the plain loop comes first.

    Args:
        device:
            ``"cpu"`` or ``"cuda"``.
        together:
            Numbers of instances that are trained together.
        n_steps:
            Optimizer steps of each instance.
        n_rounds:
            How often each is measured.
    """
    ways = _ways(device, together, n_steps)
    rates: dict[str, list[float]] = {way.name: [] for way in ways}
    for way in ways:  # libraries are loaded, processes started, kernels chosen
        way.train(_instances(way.n_instances))
    for _ in tqdm(range(n_rounds), desc=device, unit=" rounds"):
        for way in ways:
            start = time.perf_counter()
            way.train(_instances(way.n_instances))
            seconds = time.perf_counter() - start
            rates[way.name].append(way.n_instances * n_steps / seconds)
    return [Throughput(device, name, tuple(each)) for name, each in rates.items()]


def _ways(device: str, together: Sequence[int], n_steps: int) -> list[Way]:
    model = PUBLISHED["Model 2"]
    events = simulate(DATASETS["B"], _N_EVENTS, seed=0)
    data = prepare(events, _PROBLEM)
    batch_size = model.training.batch_size
    steps_of_an_epoch = math.gcd(n_steps, _N_EVENTS // batch_size)

    on_device = Prepared(*(column.to(device) for column in data))

    def alone(instances: Sequence[Instance]) -> None:
        for instance in instances:
            plain_loop(model, on_device, instance, n_steps=n_steps)

    def trained(instances: Sequence[Instance], method: str) -> None:
        train_instances(
            model.network.build,
            data,
            instances,
            validation=Prepared(*(column[:_N_VALIDATION] for column in data)),
            loss=partial(training_loss, problem=_PROBLEM),
            metric=partial(validation_loss, problem=_PROBLEM),
            optimizer=model.training.make_optimizer,
            batch_size=batch_size,
            sample_size=steps_of_an_epoch * batch_size,
            n_epochs=n_steps // steps_of_an_epoch,
            evaluate_every=n_steps // steps_of_an_epoch,
            method=method,
            device=device,
        )

    ways = [Way("plain loop", _N_ALONE, alone)]
    if device == "cpu":
        n_cores = loky.cpu_count()
        processes = partial(trained, method="processes")
        ways.append(Way(f"{n_cores} processes", 4 * n_cores, processes))
    return ways + [Way(f"{n} together", n, partial(trained, method="vmap")) for n in together]


def _instances(n: int) -> list[Instance]:
    return [Instance(number) for number in range(n)]


def plain_loop(model: Model, data: Prepared, instance: Instance, *, n_steps: int) -> float:
    """Train one instance as everybody does, and return its loss on the first events.

    Data are on the device, so that no time goes into copying them.
    """
    cells, extra, target = data
    device = target.device
    torch.manual_seed(instance.seed)
    network = model.network.build().to(device)
    optimizer = model.training.make_optimizer(network.parameters())
    generator = instance.torch_generator()
    batch_size = model.training.batch_size
    for _ in range(n_steps):
        rows = torch.randint(len(target), (batch_size,), generator=generator).to(device)
        optimizer.zero_grad()
        prediction = network(cells[rows], extra[rows])
        training_loss(prediction, target[rows], problem=_PROBLEM).backward()
        optimizer.step()
    with torch.no_grad():
        prediction = network(cells[:_N_VALIDATION], extra[:_N_VALIDATION])
        return float(validation_loss(prediction, target[:_N_VALIDATION], problem=_PROBLEM))
