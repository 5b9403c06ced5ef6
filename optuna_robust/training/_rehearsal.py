"""A few steps of two instances, together or captured and alone, before those that count.

Networks are made anew for each, by the user's function and in the order of a real training: what
they share by accident, keep from call to call or draw at random shows as a difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import copy
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
from textwrap import shorten
from typing import Any

import torch
from torch import nn
from torch import optim
from torch import Tensor

from optuna_robust._instances.evaluation import global_seed
from optuna_robust._instances.instance import Instance
from optuna_robust.training._attributes import difference
from optuna_robust.training._captured import Captured
from optuna_robust.training._captured import CapturedNetwork
from optuna_robust.training._fit import batches
from optuna_robust.training._fit import samples
from optuna_robust.training._generators import generator_states
from optuna_robust.training._kept import changed
from optuna_robust.training._kept import kept_by
from optuna_robust.training._networks import Networks
from optuna_robust.training._networks import SingleNetwork
from optuna_robust.training._networks import StackedNetworks
from optuna_robust.training._options import Columns
from optuna_robust.training._options import copied
from optuna_robust.training._options import Loss
from optuna_robust.training._options import ModelFactory
from optuna_robust.training._options import Parts
from optuna_robust.training._options import TrainingOptions
from optuna_robust.training._support import new_network


# Plain descent makes of two gradients that are alike two networks that are alike, which adaptive
# steps do not where a gradient is zero but for rounding.
_PLAIN_DESCENT = partial(optim.SGD, lr=1e-3)
# Differences in float64, relative to the largest number of a tensor and to that of all.
_OF_A_TENSOR, _OF_ALL = 1e-8, 1e-11
# Differences of what is predicted after the user's steps, and in another type than float64: so
# many times the square root of the precision, relative to the largest prediction.
_COARSE = 30.0
_MOST_LETTERS = 200


class _ApartError(Exception):
    """Instances are not trained together; the message says why."""


@dataclass(frozen=True)
class _Script:
    """What is rehearsed.

    Attributes:
        batches: Of each step, with the axis of instances first.
        inputs: Of the predictions.
        options: How a step is taken.
        dtype: Of the networks.
        device: Where.
    """

    batches: tuple[Columns, ...]
    inputs: Columns
    options: TrainingOptions
    dtype: torch.dtype | None
    device: torch.device

    def in_float64(self) -> _Script:
        """Return the same in float64."""
        # Apple's GPUs have no float64.
        device = torch.device("cpu") if self.device.type == "mps" else self.device
        return replace(
            self,
            batches=tuple(_float64(batch, device) for batch in self.batches),
            inputs=_float64(self.inputs, device),
            options=replace(self.options, loss=_loss_in_float64(self.options.loss, device)),
            dtype=torch.float64,
            device=device,
        )

    def of_last_steps(self, n: int) -> _Script:
        """Return the same with fewer steps."""
        return replace(self, batches=self.batches[-n:])

    def of_one(self, row: int) -> list[Columns]:
        """Return the batches of one instance, with an axis of instances."""
        return [tuple(column[row : row + 1] for column in batch) for batch in self.batches]

    def by_plain_descent(self) -> _Script:
        """Return the same without the user's optimizer and schedule."""
        return replace(
            self, options=replace(self.options, optimizer=_PLAIN_DESCENT, scheduler=None)
        )


@dataclass(frozen=True)
class _Course:
    """What came of it: gradients of each step, the state in the end, and predictions.

    All with the axis of instances first; a parameter that the loss does not reach has no gradient.
    """

    gradients: list[dict[str, Tensor | None]]
    state: dict[str, Tensor]
    predictions: Tensor


def rehearse(
    model_factory: ModelFactory,
    parts: Parts,
    pair: tuple[Instance, Instance],
    options: TrainingOptions,
) -> str | None:
    """Return why two instances are not the same together as alone; None if they are.

    Args:
        model_factory:
            The user's.
        parts:
            The data, on the device of the training.
        pair:
            The instances.
        options:
            How they are trained.
    """
    script = _script(parts, pair, options)
    try:
        exact = script.in_float64()
        _check_exactly(*_both(model_factory, pair, exact.by_plain_descent()))
        _check_coarsely(*_both(model_factory, pair, exact.of_last_steps(2)))
        if script.dtype != exact.dtype:
            # Other types can run other code.
            brief = script.of_last_steps(1).by_plain_descent()
            _check_coarsely(*_both(model_factory, pair, brief))
    except _ApartError as apart:
        return str(apart)
    except Exception as error:
        return f"it cannot be compared: {_in_words(error)}"
    return None


def rehearse_captured(
    model_factory: ModelFactory,
    parts: Parts,
    pair: tuple[Instance, Instance],
    options: TrainingOptions,
) -> Captured | str:
    """Return captured steps, or why those of two instances are not the same as they take alone.

    Arguments are those of :func:`rehearse`, with data on the CPU.
    """
    script = _script(parts, pair, options)
    try:
        exact = script.in_float64().by_plain_descent()
        _check_exactly(*_alone_and_captured(model_factory, pair, exact)[:2])
        alone, again, captured = _alone_and_captured(model_factory, pair, script)
        _check_coarsely(alone, again)
    except _ApartError as apart:
        return str(apart)
    except Exception as error:
        return f"it cannot be captured: {_in_words(error)}"
    return captured


def _script(parts: Parts, pair: Sequence[Instance], options: TrainingOptions) -> _Script:
    """Return the first two batches of an epoch and the last one, which may be smaller.

    There are not more than the training has, for which a schedule may be made.
    """
    population = parts.population
    sample = samples(pair, len(population[-1]), options.sample_size)
    epoch = list(batches([instance.torch_generator() for instance in pair], options))
    steps = [*epoch[:2], epoch[-1]][: len(epoch) * options.n_epochs]
    rows = [sample.gather(1, batch).to(parts.device) for batch in steps]
    return _Script(
        batches=tuple(tuple(column[each] for column in population) for each in rows),
        inputs=tuple(column[: options.batch_size] for column in parts.validation[:-1]),
        options=options,
        dtype=parts.dtype,
        device=parts.device,
    )


def _float64(columns: Columns, device: torch.device) -> Columns:
    return tuple(
        column.to(device, torch.float64 if column.is_floating_point() else column.dtype)
        for column in columns
    )


def _loss_in_float64(loss: Loss, device: torch.device) -> Loss:
    """Return a loss whose weights, if it is a module that has some, are in float64."""
    if not isinstance(loss, nn.Module):
        return loss
    tensors = (*loss.parameters(), *loss.buffers())
    if not any(each.is_floating_point() for each in tensors):
        return loss
    return copy.deepcopy(loss).to(device, torch.float64)


def _both(
    model_factory: ModelFactory, pair: Sequence[Instance], script: _Script
) -> tuple[list[_Course], _Course]:
    try:
        alone = [_alone(model_factory, each, row, script) for row, each in enumerate(pair)]
    except _ApartError:
        raise
    except Exception as error:
        raise _ApartError(f"it cannot be tried in {script.dtype}: {_in_words(error)}") from error
    try:
        modules = [
            new_network(model_factory, each, script.dtype).to(script.device) for each in pair
        ]
        with global_seed(0):
            together = _course(StackedNetworks(modules, script.options), script.batches, script)
    except Exception as error:
        raise _ApartError(f"torch.func.vmap cannot run it: {_in_words(error)}") from error
    return alone, together


def _alone(model_factory: ModelFactory, instance: Instance, row: int, script: _Script) -> _Course:
    before = new_network(model_factory, instance, script.dtype)
    module = new_network(model_factory, instance, script.dtype).to(script.device)
    with global_seed(instance.order_seed % 2**31):
        options = script.options
        users = module, options.loss, options.optimizer, options.scheduler
        generators, kept = generator_states(*users), kept_by(*users)
        course = _course(SingleNetwork(module, options), script.of_one(row), script)
        if generator_states(*users) != generators:
            raise _ApartError("it draws random numbers")
    other = difference(before, module, "changes when it is made again, or trained")
    if other is not None:
        raise _ApartError(other)
    place = changed(kept, kept_by(*users))
    if place is not None:
        raise _ApartError(f"{place} changes in training")
    for gradients in course.gradients:
        for name, gradient in gradients.items():
            if gradient is None:
                raise _ApartError(f"the loss does not reach its parameter {name!r}")
    return course


def _alone_and_captured(
    model_factory: ModelFactory, pair: Sequence[Instance], script: _Script
) -> tuple[list[_Course], _Course, Captured]:
    rows = range(len(pair))
    alone = [_alone(model_factory, pair[row], row, script) for row in rows]
    first = new_network(model_factory, pair[0], script.dtype)
    batches = [tuple(column[0] for column in batch) for batch in script.batches]
    captured = Captured(first, script.options.loss, batches)
    again = []
    for row in rows:
        module = new_network(model_factory, pair[row], script.dtype)
        network = CapturedNetwork(module, script.options, captured)
        again.append(_course(network, script.of_one(row), script))
    return alone, _joined(again), captured


def _joined(courses: Sequence[_Course]) -> _Course:
    """Return courses of one instance each as one of several."""
    steps = zip(*(each.gradients for each in courses), strict=True)
    return _Course(
        [_cat(step) for step in steps],
        _cat([each.state for each in courses]),
        torch.cat([each.predictions for each in courses]),
    )


def _cat(named: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: torch.cat([each[name] for each in named]) for name in named[0]}


def _course(networks: Networks, steps: Sequence[Columns], script: _Script) -> _Course:
    """Take steps, of which the last one is in another epoch."""
    gradients = []
    for step, batch in enumerate(steps):
        if step and step + 1 == len(steps):
            networks.end_epoch(torch.ones(len(batch[-1])))
        networks.step(copied(batch))
        gradients.append(networks.gradients())
    predictions = networks.predict(copied(script.inputs))
    return _Course(gradients, networks.state(), predictions)


def _check_exactly(alone: Sequence[_Course], together: _Course) -> None:
    for row, own in enumerate(alone):
        for ours, theirs in zip(own.gradients, together.gradients, strict=True):
            _check("the gradient of its parameter", ours, theirs, row)
        _check("its parameter or buffer", own.state, together.state, row)
        _check("what it", {"predicts": own.predictions}, {"predicts": together.predictions}, row)


def _check(what: str, alone: Mapping[str, Any], together: Mapping[str, Any], row: int) -> None:
    largest = max(_largest(each) for each in alone.values())
    for name, own in alone.items():
        allowed = _OF_A_TENSOR * _largest(own) + _OF_ALL * largest
        if name not in together or not _close(own[0], together[name][row], allowed):
            raise _ApartError(f"{what} {name!r} is other together than alone")


def _check_coarsely(alone: Sequence[_Course], together: _Course) -> None:
    for row, own in enumerate(alone):
        predictions = own.predictions
        precision = torch.finfo(predictions.dtype).eps if predictions.is_floating_point() else 0.0
        allowed = _COARSE * precision**0.5 * _largest(predictions)
        if not _close(predictions[0], together.predictions[row], allowed):
            raise _ApartError(
                f"what it predicts after {len(own.gradients)} steps is other together than alone"
            )


def _largest(values: Tensor) -> float:
    size = values.detach().abs().double()
    return float(size[size.isfinite()].max()) if size.isfinite().any() else 0.0


def _close(one: Tensor, other: Tensor, allowed: float) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.allclose(one, other, rtol=0.0, atol=allowed, equal_nan=True)


def _in_words(error: Exception) -> str:
    return shorten(f"{type(error).__name__}: {error}", _MOST_LETTERS, placeholder=" …").rstrip(".")
