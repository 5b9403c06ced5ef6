"""Ways to train instances of the calorimeter problem: the plain loop, and the package's."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
import math
from typing import Any

import loky
import torch
from torch import Tensor

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


MODELS = ("Model 1", "Model 2", "Model 3", "Model 4")
_OF_ENERGY = ("Model 1", "Model 2")
_N_VALIDATION = 256


@dataclass(frozen=True)
class Case:
    """What is trained, and where.

    Attributes:
        name: Of a published model.
        device: ``"cpu"`` or ``"cuda"``.
        n_events: Of a training sample.
        n_epochs: Of a training, with a constant learning rate.
        batch_size: Events of a step.
        dtype: Of data and networks.
    """

    name: str
    device: str
    n_events: int = 1000
    n_epochs: int = 50
    batch_size: int = 32
    dtype: torch.dtype = torch.float32

    @property
    def model(self) -> Model:
        """The model, with this case's size of a batch."""
        model = PUBLISHED[self.name]
        return replace(model, training=replace(model.training, batch_size=self.batch_size))

    @property
    def problem(self) -> Problem:
        """What the model was published for."""
        return "energy" if self.name in _OF_ENERGY else "position"

    @property
    def n_steps(self) -> int:
        """Optimizer steps of an instance."""
        return self.n_epochs * math.ceil(self.n_events / self.batch_size)

    def data(self) -> Prepared:
        """Return simulated events, on the CPU."""
        n_events = max(2 * self.n_events, _N_VALIDATION)
        events = simulate(DATASETS["B"], n_events, seed=0)
        return Prepared(*(column.to(self.dtype) for column in prepare(events, self.problem)))


@dataclass(frozen=True)
class Way:
    """A way to train instances.

    Attributes:
        name: What it is called.
        n_instances: How many are trained in a measurement.
        n_steps: Optimizer steps of each.
        train: Trains these, and returns their losses.
    """

    name: str
    n_instances: int
    n_steps: int
    train: Callable[[Sequence[Instance]], Sequence[float]]


def ways(case: Case, together: Sequence[int]) -> list[Way]:
    """Return ways to train, the plain loop first.

    Args:
        case:
            What is trained.
        together:
            Numbers of instances that are trained together.
    """
    data = case.data()
    # It does the same again and again.
    brief = replace(case, n_epochs=min(case.n_epochs, 2))
    placed = Prepared(*(column.to(case.device) for column in data))
    alone = partial(one_by_one, brief, placed)
    found = [Way("plain loop", 1, brief.n_steps, alone)]
    if case.device == "cpu":
        n_cores = loky.cpu_count()
        found += [
            Way("plain loop, 1 thread", 1, brief.n_steps, partial(with_one_thread, alone)),
            _way(f"{n_cores} processes", 2 * n_cores, case, data, method="processes"),
        ]
    return found + [_way(f"{n} together", n, case, data, method="vmap") for n in together]


def _way(name: str, n_instances: int, case: Case, data: Prepared, **options: Any) -> Way:
    return Way(name, n_instances, case.n_steps, partial(train, case, data, **options))


def train(
    case: Case, data: Prepared, instances: Sequence[Instance], **options: Any
) -> Sequence[float]:
    """Train instances by the package, and return their losses on the first events.

    Args:
        case:
            What is trained.
        data:
            Events, on the CPU.
        instances:
            Which instances.
        **options:
            Of :func:`~optuna_robust.training.train_instances`.
    """
    found = train_instances(
        case.model.network.build,
        data,
        instances,
        validation=Prepared(*(column[:_N_VALIDATION] for column in data)),
        loss=partial(training_loss, problem=case.problem),
        metric=partial(validation_loss, problem=case.problem),
        optimizer=case.model.training.make_optimizer,
        batch_size=case.batch_size,
        sample_size=case.n_events,
        n_epochs=case.n_epochs,
        evaluate_every=case.n_epochs,
        device=case.device,
        **options,
    )
    losses: list[float] = found.losses.tolist()
    return losses


def plain_loop(case: Case, data: Prepared, instance: Instance) -> float:
    """Train an instance as everybody does, and return its loss on the first events.

    Data are on the device, so that no time goes into copying them.
    """
    target = data.target
    sample = torch.from_numpy(instance.sample(len(target), case.n_events))
    torch.manual_seed(instance.seed)
    network = case.model.network.build().to(target.device, case.dtype)
    optimizer = case.model.training.make_optimizer(network.parameters())
    generator = instance.torch_generator()
    for _ in range(case.n_epochs):
        order = sample[torch.randperm(case.n_events, generator=generator)]
        for rows in order.split(case.batch_size):
            optimizer.zero_grad()
            batch = (column[rows.to(target.device)] for column in data)
            _loss(training_loss, network, Prepared(*batch), case).backward()
            optimizer.step()
    with torch.no_grad():
        checked = Prepared(*(column[:_N_VALIDATION] for column in data))
        return float(_loss(validation_loss, network, checked, case))


def _loss(
    function: Callable[..., Tensor], network: torch.nn.Module, batch: Prepared, case: Case
) -> Tensor:
    prediction = network(batch.cells, batch.extra)
    return function(prediction, batch.target, problem=case.problem)


def one_by_one(case: Case, data: Prepared, instances: Sequence[Instance]) -> list[float]:
    """Train instances by the plain loop, and return their losses."""
    return [plain_loop(case, data, instance) for instance in instances]


def with_one_thread(
    train: Callable[[Sequence[Instance]], Sequence[float]], instances: Sequence[Instance]
) -> Sequence[float]:
    """Train instances in some way, with one thread."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return train(instances)
    finally:
        torch.set_num_threads(n_threads)
