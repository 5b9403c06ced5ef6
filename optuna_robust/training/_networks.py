"""Networks under training, of one instance or of several at once, and one way to deal with both.

A tensor of several instances has their axis first. With one instance, the network is trained as
everybody does it; of several, the parameters are stacked, and PyTorch's ``torch.func`` runs all
with one call. An optimizer that treats every number on its own then does for each instance what it
would do for that alone.
"""

from __future__ import annotations

from collections.abc import Sequence
import copy
from typing import Any
from typing import Protocol

import torch
from torch import nn
from torch import Tensor
from torch.func import functional_call
from torch.func import grad
from torch.func import vmap
from torch.optim.lr_scheduler import ReduceLROnPlateau

from optuna_robust.training._options import Columns
from optuna_robust.training._options import copied
from optuna_robust.training._options import TrainingOptions
from optuna_robust.training._support import new_optimizer


_Named = dict[str, Tensor]


class Networks(Protocol):
    """Networks under training."""

    def step(self, batch: Columns) -> None:
        """Take one optimizer step on a batch of each instance, of shape (n, batch, …)."""

    def end_epoch(self, metrics: Tensor | None) -> None:
        """Move schedules on that go by epochs; metrics have the shape (n,), if there are some."""

    def predict(self, inputs: Columns) -> Tensor:
        """Return predictions of all instances for the same rows, of shape (n, rows, …)."""

    def gradients(self) -> dict[str, Tensor | None]:
        """Return the gradients of the last step, with the axis of instances first."""

    def state(self) -> dict[str, Tensor]:
        """Return copies of parameters and buffers, with the axis of instances first."""

    def keep(self, rows: Tensor) -> None:
        """Go on with these instances only; of one instance, with it or with none."""


class SingleNetwork:
    """One network, trained by itself.

    Args:
        module:
            The network, on its device.
        options:
            How it is trained.
    """

    def __init__(self, module: nn.Module, options: TrainingOptions) -> None:
        self._module = module
        self._loss = options.loss
        self._optimizer = new_optimizer(module, options.optimizer)
        self._schedule = Schedule(self._optimizer, options)

    def step(self, batch: Columns) -> None:
        """Take one optimizer step."""
        self._compute_gradients(tuple(column[0] for column in batch))
        self._optimizer.step()
        self._schedule.end_step()

    def _compute_gradients(self, batch: Columns) -> None:
        self._module.train()
        self._optimizer.zero_grad()
        self._loss(self._module(*batch[:-1]), batch[-1]).backward()

    def end_epoch(self, metrics: Tensor | None) -> None:
        """Move the schedule on."""
        self._schedule.end_epoch(None if metrics is None else float(metrics[0]))

    @torch.no_grad()
    def predict(self, inputs: Columns) -> Tensor:
        """Return predictions, of shape (1, rows, …)."""
        self._module.eval()
        predictions: Tensor = self._module(*inputs)
        return predictions[None]

    def gradients(self) -> dict[str, Tensor | None]:
        """Return copies of the last step's gradients."""
        return {
            name: None if each.grad is None else each.grad.clone()[None]
            for name, each in self._module.named_parameters()
        }

    def state(self) -> dict[str, Tensor]:
        """Return copies of parameters and buffers."""
        return {
            name: value.detach().clone()[None] for name, value in self._module.state_dict().items()
        }

    def keep(self, rows: Tensor) -> None:
        """There is nothing to leave out."""


class StackedNetworks:
    """Several networks of the same architecture, trained together.

    Args:
        modules:
            The networks, on their device.
        options:
            How they are trained.
    """

    def __init__(self, modules: Sequence[nn.Module], options: TrainingOptions) -> None:
        self._parameters = _stacked([dict(each.named_parameters()) for each in modules])
        self._buffers = _stacked([dict(each.named_buffers()) for each in modules])
        self._skeleton = copy.deepcopy(modules[0]).to("meta")
        self._names = modules[0].state_dict().keys()
        self._loss = options.loss
        self._optimizer = _stacked_optimizer(modules[0], self._parameters, options)
        self._schedule: Schedule | _OwnSchedules = Schedule(self._optimizer, options)
        if self._schedule.looks_at_metrics:
            self._schedule = _OwnSchedules(modules[0], len(modules), options)
        self._gradients = vmap(grad(self._loss_of_one, has_aux=True))
        # With the same inputs for all instances. PyTorch has batched gradients of recurrent
        # layers, but not what it runs without gradients.
        recurrent = any(isinstance(each, nn.RNNBase) for each in modules[0].modules())
        self._predictions = (
            self._call_each if recurrent else vmap(self._call, in_dims=(0, 0, None))
        )

    def _call(self, parameters: _Named, buffers: _Named, inputs: Columns) -> Tensor:
        predictions: Tensor = functional_call(self._skeleton, (parameters, buffers), inputs)
        return predictions

    def _call_each(self, parameters: _Named, buffers: _Named, inputs: Columns) -> Tensor:
        """Do what ``vmap`` would do, for one instance after the other."""
        predictions = []
        for row in range(len(next(iter(parameters.values())))):
            own = [{name: each[row] for name, each in of.items()} for of in (parameters, buffers)]
            predictions.append(self._call(own[0], own[1], copied(inputs)))
        return torch.stack(predictions)

    def _loss_of_one(
        self, parameters: _Named, buffers: _Named, batch: Columns
    ) -> tuple[Tensor, _Named]:
        """Return the loss, and the buffers as the network leaves them."""
        state = {**parameters, **buffers}
        predictions = functional_call(self._skeleton, state, batch[:-1])
        kept = {name: state[name].detach() for name in buffers}
        return self._loss(predictions, batch[-1]), kept

    def step(self, batch: Columns) -> None:
        """Take one optimizer step of all instances."""
        self._skeleton.train()
        gradients, self._buffers = self._gradients(self._parameters, self._buffers, batch)
        for name, parameter in self._parameters.items():
            parameter.grad = gradients[name]
        factors = self._schedule.factors
        if factors is None:
            self._optimizer.step()
        else:
            self._step_by(factors.to(batch[-1].device))
        self._schedule.end_step()

    @torch.no_grad()
    def _step_by(self, factors: Tensor) -> None:
        """Take a step with a learning rate of its own for each instance.

        A step of these optimizers is proportional to the learning rate.
        """
        before = [parameter.clone() for parameter in self._parameters.values()]
        self._optimizer.step()
        own = {
            id(parameter): group_factors
            for group, group_factors in zip(self._optimizer.param_groups, factors, strict=True)
            for parameter in group["params"]
        }
        for old, new in zip(before, self._parameters.values(), strict=True):
            if id(new) in own:  # an optimizer need not have all
                shape = (-1,) + (1,) * (new.ndim - 1)
                new.copy_(torch.lerp(old, new, own[id(new)].to(new.dtype).view(shape)))

    def end_epoch(self, metrics: Tensor | None) -> None:
        """Move the schedules on."""
        self._schedule.end_epoch(metrics)

    @torch.no_grad()
    def predict(self, inputs: Columns) -> Tensor:
        """Return predictions, of shape (n, rows, …)."""
        self._skeleton.eval()
        return self._predictions(self._parameters, self._buffers, inputs)

    def gradients(self) -> dict[str, Tensor | None]:
        """Return the last step's gradients."""
        return {name: each.grad for name, each in self._parameters.items()}

    def state(self) -> dict[str, Tensor]:
        """Return copies of parameters and buffers."""
        return {
            name: value.detach().clone()
            for name, value in (*self._parameters.items(), *self._buffers.items())
            if name in self._names
        }

    @torch.no_grad()
    def keep(self, rows: Tensor) -> None:
        """Go on with these instances only: their parameters, and what the optimizer knows."""
        for parameter in self._parameters.values():
            shape = parameter.shape
            parameter.grad = None
            parameter.data = parameter.data[rows]
            state = self._optimizer.state[parameter]
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == shape:
                    state[name] = value[rows]
        self._buffers = {name: value[rows] for name, value in self._buffers.items()}
        self._schedule.keep(rows)


def _stacked(named: Sequence[_Named]) -> _Named:
    """Return tensors of several networks, with the axis of networks first."""
    return {
        name: torch.stack([each[name].detach() for each in named]).requires_grad_(
            first.requires_grad
        )
        for name, first in named[0].items()
    }


def _stacked_optimizer(
    module: nn.Module, stacked: dict[str, Tensor], options: TrainingOptions
) -> torch.optim.Optimizer:
    """Return an optimizer of stacked parameters, as the factory makes it for those of one network.

    A factory may go by the shapes of parameters, as in "no decay for biases".
    """
    optimizer = new_optimizer(module, options.optimizer)
    place = {id(each): stacked[name] for name, each in module.named_parameters()}
    for group in optimizer.param_groups:
        group["params"] = [place[id(each)] for each in group["params"]]
    return optimizer


class Schedule:
    """The learning-rate schedule of an optimizer, which is that of all its instances."""

    factors: Tensor | None = None

    def __init__(self, optimizer: Any, options: TrainingOptions) -> None:
        self._scheduler = None if options.scheduler is None else options.scheduler(optimizer)
        self._by_step = options.by_step
        self.looks_at_metrics = isinstance(self._scheduler, ReduceLROnPlateau)

    def end_step(self) -> None:
        if self._scheduler is not None and self._by_step:
            self._scheduler.step()

    def end_epoch(self, metric: float | Tensor | None) -> None:
        if self._scheduler is None or self._by_step:
            return
        if not self.looks_at_metrics:
            self._scheduler.step()
        elif metric is not None:
            self._scheduler.step(metric)

    def keep(self, rows: Tensor) -> None:
        """It is the same for all."""


class _OwnSchedules:
    """A schedule for each instance, of those that look at the metric of an epoch.

    Each drives an optimizer of its own that has nothing to do; the learning rates of its groups of
    parameters, over those that they began with, are what the steps of this instance are multiplied
    by.
    """

    looks_at_metrics = True

    def __init__(self, module: nn.Module, n: int, options: TrainingOptions) -> None:
        self._optimizers = [new_optimizer(module, options.optimizer) for _ in range(n)]
        self._schedules = [Schedule(optimizer, options) for optimizer in self._optimizers]
        self._first_rates = self._rates()
        self.factors = torch.ones_like(self._first_rates)

    def _rates(self) -> Tensor:
        """Return the learning rates, of shape (groups, n)."""
        rates = [
            [float(group["lr"]) for group in optimizer.param_groups]
            for optimizer in self._optimizers
        ]
        return torch.tensor(rates, dtype=torch.float64).T

    def end_step(self) -> None:
        """Metrics come by epochs."""

    def end_epoch(self, metrics: Tensor | None) -> None:
        if metrics is None:
            return
        for schedule, metric in zip(self._schedules, metrics.tolist(), strict=True):
            schedule.end_epoch(metric)
        # A group that never learns takes no steps to be multiplied.
        self.factors = (self._rates() / self._first_rates).nan_to_num(nan=1.0)

    def keep(self, rows: Tensor) -> None:
        kept = rows.tolist()
        self._optimizers = [self._optimizers[row] for row in kept]
        self._schedules = [self._schedules[row] for row in kept]
        self._first_rates = self._first_rates[:, kept]
        self.factors = self.factors[:, kept]
