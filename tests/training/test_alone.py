"""Networks that would become others together are trained alone, and the reason is said."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from functools import partial
from itertools import chain
from itertools import repeat
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import parametrizations

from optuna_robust import Instance
from tests.training.kinds import by_index
from tests.training.kinds import by_value
from tests.training.kinds import hooked
from tests.training.kinds import Recurrent
from tests.training.kinds import Rows
from tests.training.kinds import scaling_by
from tests.training.kinds import scaling_hook
from tests.training.kinds import sequential
from tests.training.kinds import with_attribute
from tests.training.kinds import with_branch
from tests.training.networks import dropped_out
from tests.training.networks import Features
from tests.training.networks import INSTANCES
from tests.training.networks import trained


def half_frozen() -> nn.Module:
    module = Rows()
    module.first.requires_grad_(False)
    return module


def tied() -> nn.Module:
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 36), nn.Linear(36, 36), nn.Linear(36, 1))
    module[2].weight = module[1].weight
    return module


def overlapping() -> nn.Module:
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 36), nn.Linear(36, 36), nn.Linear(36, 1))
    module.double()
    module[2].bias = nn.Parameter(module[1].weight.data[0])
    return module


def with_gradient_hook() -> nn.Module:
    module = Rows()
    module.last.weight.register_hook(lambda gradient: gradient.clamp(-0.01, 0.01))
    return module


def with_spare_layer() -> nn.Module:
    module = Rows()
    module.spare = nn.Linear(3, 3)
    return module


class ByData(Rows):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > 0 else -x)


class ByOwnWeights(Rows):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * float(self.last.bias.detach()))


class Counting(Rows):
    """Doubles what it puts out from the tenth batch on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        return super().forward(x) * (1 + (self.calls >= 10))


class Shared(Rows):
    """Has the scale of whatever network was made last."""

    scale = 1.0

    def __init__(self) -> None:
        super().__init__()
        Shared.scale = random.random()

    def forward(self, x: Tensor) -> Tensor:
        return Shared.scale * super().forward(x)


class Calling(Rows):
    """Calls its last layer by a function that holds the network."""

    def __init__(self) -> None:
        super().__init__()
        self.call = lambda x: 1.0 * self.last(x)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.call(x.flatten(1))
        return out + 0 * self.branch(x.flatten(1)).sum()


OWN = np.random.default_rng(0)


class OfTheClass(Rows):
    own = random.Random(0)

    def branch(self, x: Tensor) -> Tensor:
        return super().branch(x) * (self.own.random() < 2)


def holding(own: torch.Generator) -> Callable[[bool], bool]:
    return lambda training: not training or float(torch.rand((), generator=own)) < 2


def calling_a_listed_layer() -> nn.Module:
    module = Rows()
    last = module.last
    module.a_list = [last]  # type: ignore[assignment]
    module.call = lambda x: 1.0 * last(x)  # type: ignore[assignment]
    return module


class DroppingOut(Rows):
    def branch(self, x: Tensor) -> Tensor:
        hidden = functional.dropout(torch.relu(self.first(x)), 0.5, self.training)
        out: Tensor = self.second(hidden)
        return out


DIFFERS = "attribute 'held' differs between instances"
NOT_STACKED = "attribute 'held' is or holds a tensor that is neither parameter nor buffer"
LAYERS = "holds a layer with parameters or buffers that are not stacked"
DRAWS = "it draws random numbers"


def nested() -> list[Any]:
    value: list[Any] = []
    for _ in range(20_000):
        value = [value]
    return value


def double() -> Tensor:
    return torch.rand(36, dtype=torch.float64)


ALONE: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "number": (with_attribute(random.random, by_value), DIFFERS),
    "numpy number": (with_attribute(np.random.rand, by_value), DIFFERS),
    "list": (with_attribute(lambda: torch.randperm(36).tolist(), by_index), DIFFERS),
    "array": (with_attribute(lambda: np.random.permutation(36), by_index), DIFFERS),
    "dict": (
        with_attribute(lambda: {"a": (random.random(),)}, lambda d, x: x * d["a"][0]),
        DIFFERS,
    ),
    "function": (with_attribute(lambda: scaling_by(random.random()), lambda f, x: f(x)), DIFFERS),
    "partial": (
        with_attribute(lambda: partial(by_value, random.random()), lambda f, x: f(x)),
        DIFFERS,
    ),
    "layer's number": (
        sequential(lambda: nn.LeakyReLU(random.random())),
        "attribute 'negative_slope' of its layer '2' differs between instances",
    ),
    "hook": (
        hooked(lambda module: scaling_hook(random.random())),
        "attribute '_forward_hooks' of its layer 'last' differs between instances",
    ),
    "hook that holds the network": (
        hooked(lambda module: lambda layer, inputs, out: out + module.second.bias.sum()),
        LAYERS,
    ),
    "function that holds the network": (Calling, LAYERS),
    "function that holds a listed layer": (calling_a_listed_layer, LAYERS),
    "tensor": (with_attribute(double, by_value), NOT_STACKED),
    "list of tensors": (with_attribute(lambda: [double()], lambda t, x: x * t[0]), NOT_STACKED),
    "features": (Features, "a tensor that is neither parameter nor buffer"),
    "old spectral norm": (
        sequential(lambda: nn.utils.spectral_norm(nn.Linear(8, 8))),
        "neither parameter nor buffer",
    ),
    "spectral norm": (
        sequential(lambda: parametrizations.spectral_norm(nn.Linear(8, 8))),
        "torch.func.vmap cannot run it",
    ),
    "layers in a list": (
        with_attribute(lambda: [nn.Linear(36, 36).double()], lambda held, x: held[0](x)),
        LAYERS,
    ),
    "torch generator": (
        with_attribute(
            lambda: torch.Generator().manual_seed(0),
            lambda own, x: x + torch.rand(x.shape, generator=own, dtype=x.dtype),
        ),
        DRAWS,
    ),
    "numpy generator": (
        with_attribute(lambda: np.random.default_rng(0), lambda own, x: x * own.random()),
        DRAWS,
    ),
    "python generator": (
        with_attribute(lambda: random.Random(0), lambda own, x: x * own.random()),
        DRAWS,
    ),
    "counter": (Counting, "attribute 'calls' changes when it is made again, or trained"),
    "nested too deep": (with_attribute(nested, lambda _, x: x), "cannot be compared: Recursion"),
    "class attribute": (Shared, "is other together than alone"),
    "dropout": (dropped_out, DRAWS),
    "dropout before zeros": (DroppingOut, DRAWS),
    "dropout between lstms": (partial(Recurrent, nn.LSTM, num_layers=2, dropout=0.5), DRAWS),
    "dropout when it predicts": (
        with_branch(lambda training: training or bool(torch.rand(()) < 0.5)),
        DRAWS,
    ),
    "depth by torch": (
        with_branch(lambda training: not training or bool(torch.rand(()) < 0.5)),
        DRAWS,
    ),
    "depth by python": (
        with_branch(lambda training: not training or random.random() < 0.5),
        DRAWS,
    ),
    "depth by numpy": (
        with_branch(lambda training: not training or np.random.rand() < 0.5),
        DRAWS,
    ),
    "depth by a variable": (with_branch(lambda training: OWN.random() < 2), DRAWS),
    "depth by the class": (OfTheClass, DRAWS),
    "depth by a closure": (with_branch(holding(torch.Generator())), DRAWS),
    "cumulative batch norm": (
        sequential(lambda: nn.BatchNorm1d(8, momentum=None)),
        "torch.func.vmap cannot run it",
    ),
    "by the data": (ByData, "torch.func.vmap cannot run it.*data-dependent"),
    "by its weights": (ByOwnWeights, "torch.func.vmap cannot run it"),
    "frozen": (half_frozen, "frozen"),
    "tied": (tied, "share parameters"),
    "overlapping": (overlapping, "share parameters"),
    "gradient hook": (with_gradient_hook, "its parameter 'last.weight' has hooks"),
    "spare layer": (with_spare_layer, "the loss does not reach its parameter 'spare.weight'"),
}


@pytest.mark.parametrize("name", ALONE)
def test_networks_that_would_be_others_are_trained_alone(name: str) -> None:
    factory, why = ALONE[name]
    options: dict[str, Any] = {"model_factory": factory, "n_epochs": 1}
    with pytest.raises(ValueError, match=f"(?s)method='vmap' cannot.*{why}"):
        trained("vmap", **options)
    # Each is a function of its instance, whoever was trained before it.
    alone = trained("loop", **options)
    last = trained("loop", **{**options, "instances": INSTANCES[2:]})
    assert np.isfinite(alone.losses).all()
    np.testing.assert_array_equal(last.losses[0], alone.losses[2])


def test_the_answer_is_the_same_for_one_instance_as_for_many() -> None:
    factory = ALONE["number"][0]
    with pytest.raises(ValueError, match=DIFFERS):
        trained("vmap", model_factory=factory, instances=INSTANCES[:1])


def test_a_difference_of_the_last_instance_is_seen() -> None:
    # Of twenty, only one or two have another activation.
    def rarely_other() -> nn.Module:
        return sequential(nn.ReLU if random.random() < 0.1 else nn.ELU)()

    instances = [Instance(number) for number in range(20)]
    with pytest.raises(ValueError, match="same architecture: the class of its layer '2'"):
        trained("vmap", model_factory=rarely_other, instances=instances)


def test_networks_that_are_made_again_for_the_training_are_compared_again() -> None:
    def n_calls(slopes: Iterator[float]) -> int:
        calls = 0

        def counted() -> nn.Module:
            nonlocal calls
            calls += 1
            return sequential(lambda: nn.LeakyReLU(next(slopes)))()

        trained("vmap", model_factory=counted, n_epochs=1)
        return calls

    all_but_the_last = n_calls(repeat(0.1)) - 1
    with pytest.raises(ValueError, match=r"same network.*negative_slope"):
        n_calls(chain(repeat(0.1, all_but_the_last), repeat(0.2)))


def test_optimizers_that_are_others_together_are_refused() -> None:
    by_weights: dict[str, Any] = {
        "rate": lambda ps: torch.optim.SGD(ps, lr=1e-3 * float(ps[0].detach().norm())),
        "groups": lambda ps: torch.optim.SGD(
            [{"params": [each], "lr": 1e-3 * (1 + (each.sum() > 0).item())} for each in ps]
        ),
    }
    for optimizer in by_weights.values():
        with pytest.raises(ValueError, match="the optimizer's settings differ between instances"):
            trained("vmap", optimizer)

    def replaced(parameters: list[Tensor]) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(parameters, lr=0.01)
        step = optimizer.step

        def clipped() -> None:
            nn.utils.clip_grad_norm_(parameters, 0.1)
            step()

        optimizer.step = clipped  # type: ignore[assignment,method-assign]
        return optimizer

    def clipping(parameters: list[Tensor]) -> torch.optim.Optimizer:
        for each in parameters:
            each.register_hook(lambda gradient: gradient.clamp(-0.01, 0.01))
        return torch.optim.SGD(parameters, lr=0.01)

    for function, why in ((replaced, "step is replaced"), (clipping, "has hooks")):
        with pytest.raises(ValueError, match=why):
            trained("vmap", function)


def test_losses_and_schedules_that_draw_are_refused() -> None:
    def noisy(predictions: Tensor, targets: Tensor) -> Tensor:
        return functional.mse_loss(predictions + 0.1 * torch.randn_like(predictions), targets)

    drawn = partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=lambda epoch: random.random())
    for options in ({"loss": noisy}, {"scheduler": drawn}):
        with pytest.raises(ValueError, match=DRAWS):
            trained("vmap", **options)


def test_what_cannot_be_copied_is_trained_alone() -> None:
    factory = with_attribute(lambda: (number for number in range(3)), lambda _, x: x)
    with pytest.raises(ValueError, match=DIFFERS):
        trained("vmap", model_factory=factory)
    assert np.isfinite(trained("loop", model_factory=factory, n_epochs=1).losses).all()
