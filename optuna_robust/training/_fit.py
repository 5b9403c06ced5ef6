"""Epochs and batches: the training of some instances, alone or together."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from optuna_robust._instances.instance import Instance
from optuna_robust.training._networks import Networks
from optuna_robust.training._options import Columns
from optuna_robust.training._options import in_parts
from optuna_robust.training._options import Loss
from optuna_robust.training._options import Parts
from optuna_robust.training._options import TrainingOptions


@dataclass(frozen=True)
class Fitted:
    """Instances that were trained.

    Attributes:
        losses: The metric of the parameters that were kept, shape (n,).
        learning_curves: The metric after each epoch, NaN where there was none, (n, n_epochs).
        n_epochs: How many epochs each was trained, shape (n,).
        states: Parameters and buffers of each.
    """

    losses: Tensor
    learning_curves: Tensor
    n_epochs: Tensor
    states: list[dict[str, Tensor]]


def fit(
    networks: Networks,
    parts: Parts,
    instances: Sequence[Instance],
    options: TrainingOptions,
    *,
    rows_at_once: int,
) -> Fitted:
    """Train instances to their end.

    An instance whose metric is not finite has diverged and ends. With patience, one ends that has
    not improved for so many epochs, and its best parameters are kept.

    Args:
        networks:
            One for each instance, on the device of the data.
        parts:
            The data.
        instances:
            Whose samples and orders these are.
        options:
            How they are trained.
        rows_at_once:
            Validation rows of a call.
    """
    n, device, population = len(instances), parts.device, parts.population
    sample = samples(instances, len(population[-1]), options.sample_size).to(device)
    generators = [instance.torch_generator() for instance in instances]
    curves = torch.full((n, options.n_epochs), torch.nan, dtype=torch.float64)
    n_epochs = torch.zeros(n, dtype=torch.int64)
    best = _Best(n, keeps_best=options.patience is not None)
    going = torch.arange(n)
    for epoch in range(options.n_epochs):
        for batch in batches([generators[row] for row in going], options):
            rows = sample.gather(1, batch.to(device))
            networks.step(tuple(column[rows] for column in population))
        is_last = epoch + 1 == options.n_epochs
        if (epoch + 1) % options.evaluate_every and not is_last:
            networks.end_epoch(None)
            n_epochs[going] += 1
            continue
        metrics = _metrics(networks, parts.validation, options.metric, rows_at_once=rows_at_once)
        curves[going, epoch] = metrics
        n_epochs[going] += 1
        networks.end_epoch(metrics)
        on = torch.isfinite(metrics)
        best.see(going, metrics, networks, epoch, is_last=~on | is_last)
        if options.patience is not None:
            on &= best.waited(going, epoch) < options.patience
        if on.all():
            continue
        if not on.any():
            break
        kept = torch.nonzero(on).flatten().to(device)
        networks.keep(kept)
        sample, going = sample[kept], going[on]
    return Fitted(best.losses, curves, n_epochs, best.states)


def samples(instances: Sequence[Instance], n_population: int, size: int) -> Tensor:
    """Return rows of the population of each instance, shape (n, size), on the CPU."""
    rows = [
        torch.arange(size)
        if size == n_population
        else torch.from_numpy(instance.sample(n_population, size))
        for instance in instances
    ]
    return torch.stack(rows)


def batches(generators: list[torch.Generator], options: TrainingOptions) -> Iterator[Tensor]:
    """Yield the batches of an epoch, in the order of each instance."""
    orders = [torch.randperm(options.sample_size, generator=each) for each in generators]
    yield from torch.stack(orders).split(options.batch_size, dim=1)


def _metrics(networks: Networks, data: Columns, metric: Loss, *, rows_at_once: int) -> Tensor:
    """Return the metric of each instance over all rows, float64, on the CPU."""
    *inputs, target = data
    parts = in_parts(tuple(inputs), rows_at_once)
    predictions = torch.cat([networks.predict(part) for part in parts], dim=1)
    return torch.stack([_number(metric(each, target)) for each in predictions]).cpu()


def _number(returned: object) -> Tensor:
    value = torch.as_tensor(returned, dtype=torch.float64).detach()
    if value.numel() != 1:
        raise ValueError(
            "metric must return one number over all rows, but returned a tensor of shape "
            f"{tuple(value.shape)}."
        )
    return value.reshape(())


class _Best:
    """What is kept of each instance: the last epoch, or the best one."""

    def __init__(self, n: int, *, keeps_best: bool) -> None:
        self._keeps_best = keeps_best
        self._epochs = [-1] * n
        self.losses = torch.full((n,), torch.nan, dtype=torch.float64)
        self.states: list[dict[str, Tensor]] = [{} for _ in range(n)]

    def see(
        self, going: Tensor, metrics: Tensor, networks: Networks, epoch: int, *, is_last: Tensor
    ) -> None:
        """Look at the metrics of an epoch, which for some instances is the last one."""
        kept = is_last
        if self._keeps_best:
            # An instance that diverges at once has the loss that it has.
            first = torch.tensor([self._epochs[row] < 0 for row in going])
            kept = first | (metrics < self.losses[going])
        if not kept.any():
            return
        state = networks.state()
        for position in torch.nonzero(kept).flatten().tolist():
            row = int(going[position])
            self._epochs[row] = epoch
            self.losses[row] = metrics[position]
            self.states[row] = {name: value[position].clone() for name, value in state.items()}

    def waited(self, going: Tensor, epoch: int) -> Tensor:
        """Return for how many epochs instances have not improved."""
        return torch.tensor([epoch - self._epochs[row] for row in going])
