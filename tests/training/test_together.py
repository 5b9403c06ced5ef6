"""Networks are trained together only if each becomes what it would become alone."""

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
from tests.training.networks import assert_alike
from tests.training.networks import batch_normalised
from tests.training.networks import dropped_out
from tests.training.networks import Features
from tests.training.networks import images
from tests.training.networks import INSTANCES
from tests.training.networks import OPTIMIZERS
from tests.training.networks import SIZES
from tests.training.networks import trained


# Said of layers that PyTorch runs one by one inside.
pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")


class Rows(nn.Module):
    """Two layers of the cells of an image; the second, in a branch beside it, begins at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(36, 4), nn.Linear(4, 36), nn.Linear(36, 1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def branch(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(torch.relu(self.first(x)))
        return out

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        out: Tensor = self.last(x + self.branch(x))
        return out


def with_attribute(
    value: Callable[[], Any], use: Callable[[Any, Tensor], Tensor]
) -> Callable[[], nn.Module]:
    """Return what makes networks with an attribute of any type, made in the constructor."""

    class Holding(Rows):
        def __init__(self) -> None:
            super().__init__()
            self.held = value()

        def branch(self, x: Tensor) -> Tensor:
            return super().branch(use(self.held, x))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(use(self.held, x.flatten(1)))

    return Holding


def with_branch(draw: Callable[[bool], bool]) -> Callable[[], nn.Module]:
    """Return what makes networks that leave out their branch now and then."""

    class Leaving(Rows):
        def branch(self, x: Tensor) -> Tensor:
            return super().branch(x) if draw(self.training) else 0 * super().branch(x)

    return Leaving


def by_value(scale: Any, x: Tensor) -> Tensor:
    return x * scale


def by_index(columns: Any, x: Tensor) -> Tensor:
    return x[:, columns]


def scaling_by(scale: float) -> Callable[[Tensor], Tensor]:
    return lambda x: scale * x


def hooked(make: Callable[[nn.Module], Any]) -> Callable[[], nn.Module]:
    """Return what makes networks with a forward hook of the last layer."""

    def network() -> nn.Module:
        module = Rows()
        module.last.register_forward_hook(make(module))
        return module

    return network


def scaling_hook(scale: float) -> Any:
    return lambda layer, inputs, output: scale * output


class Averaging(nn.Module):
    """Keeps a running mean in a buffer that it replaces."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(36, 1)
        self.register_buffer("mean", torch.zeros(36))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(dim=0)
        out: Tensor = self.linear(x - self.mean)
        return out


class Subspace(nn.Module):
    """Looks at columns that are in a buffer, which no state_dict has."""

    columns: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(9, 1)
        self.register_buffer("columns", torch.randperm(36)[:9], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x.flatten(1).index_select(1, self.columns))
        return out


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.layers = kind(6, 3, batch_first=True, **options)
        self.linear = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(self.layers(x[:, 0])[0][:, -1])
        return out


def sequential(*layers: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Return what makes networks of some layers in the middle, with eight units."""
    return lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(36, 8), *(make() for make in layers), nn.Tanh(), nn.Linear(8, 1)
    )


def listed() -> nn.Module:
    module = Rows()
    module.listed = [module.first, module.second]  # type: ignore[assignment]
    return module


TOGETHER: dict[str, Callable[[], nn.Module]] = {
    "batch norm": batch_normalised,
    "batch norm without statistics": sequential(
        lambda: nn.BatchNorm1d(8, track_running_stats=False)
    ),
    "group norm": sequential(lambda: nn.GroupNorm(2, 8)),
    "layer norm": sequential(lambda: nn.LayerNorm(8)),
    "instance norm": lambda: nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.InstanceNorm2d(2, affine=True, track_running_stats=True),
        nn.Flatten(),
        nn.Linear(32, 1),
    ),
    "running mean": Averaging,
    "buffer that is not persistent": Subspace,
    "lstm": partial(Recurrent, nn.LSTM),
    "gru": partial(Recurrent, nn.GRU),
    "dropout of nothing": sequential(lambda: nn.Dropout(0.0)),
    "weight norm": sequential(lambda: parametrizations.weight_norm(nn.Linear(8, 8))),
    "orthogonal": sequential(lambda: parametrizations.orthogonal(nn.Linear(8, 8))),
    "constants": with_attribute(lambda: [1, 0.5, "x", None, np.array([2.0])], lambda _, x: x),
    "constant function": with_attribute(lambda: scaling_by(0.5), lambda f, x: f(x)),
    "constant hook": hooked(lambda module: scaling_hook(0.5)),
    "list of registered layers": listed,
}


@pytest.mark.parametrize("name", TOGETHER)
def test_networks_are_the_same_together_as_alone(name: str) -> None:
    options: dict[str, Any] = {"model_factory": TOGETHER[name], "n_epochs": 3}
    together, alone = trained("vmap", **options), trained("loop", **options)
    assert together.method == "vmap" and together.reason_alone is None
    assert_alike(together, alone)
    assert len(set(together.losses)) == len(INSTANCES)
    again = together.evaluate(images(30), functional.mse_loss)
    np.testing.assert_allclose(again, together.losses, rtol=1e-6)


def test_instances_that_end_keep_their_buffers_in_order() -> None:
    options: dict[str, Any] = {
        "model_factory": batch_normalised,
        "patience": 1,
        "n_epochs": 10,
        "optimizer": partial(torch.optim.AdamW, lr=0.2),
        "instances": [Instance(number) for number in range(5)],
    }
    together = trained("vmap", **options)
    assert_alike(together, trained("loop", **options))
    assert len(set(together.n_epochs.tolist())) > 1


def test_other_types_are_tried_too() -> None:
    options: dict[str, Any] = {"data": images(80, torch.float32), "n_epochs": 2}
    options["validation"] = images(30, torch.float32)
    for factory in (batch_normalised, partial(Recurrent, nn.LSTM)):
        together, alone = (
            trained(method, OPTIMIZERS["SGD"], model_factory=factory, **options)
            for method in ("vmap", "loop")
        )
        np.testing.assert_allclose(together.losses, alone.losses, rtol=1e-3)


def test_all_parts_of_the_validation_data_have_several_rows() -> None:
    # 4097 rows are more than go into one call; one row has no variance to normalise by.
    factory = sequential(lambda: nn.BatchNorm1d(8, track_running_stats=False))
    options: dict[str, Any] = {"model_factory": factory, "n_epochs": 1}
    options["validation"] = images(4097)
    together = trained("vmap", **options)
    assert_alike(together, trained("loop", **options))
    again = together.evaluate(images(4097), functional.mse_loss)
    np.testing.assert_allclose(again, together.losses, rtol=1e-6)


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


class DroppingOut(Rows):
    def branch(self, x: Tensor) -> Tensor:
        hidden = functional.dropout(torch.relu(self.first(x)), 0.5, self.training)
        out: Tensor = self.second(hidden)
        return out


DIFFERS = "attribute 'held' differs between instances"
CHANGES = "attribute 'held' changes when it is made again, or trained"
NOT_STACKED = "attribute 'held' is or holds a tensor that is neither parameter nor buffer"
LAYERS = "holds a layer with parameters or buffers that are not stacked"
DRAWS = "it draws random numbers"


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
        CHANGES,
    ),
    "numpy generator": (
        with_attribute(lambda: np.random.default_rng(0), lambda own, x: x * own.random()),
        CHANGES,
    ),
    "python generator": (
        with_attribute(lambda: random.Random(0), lambda own, x: x * own.random()),
        CHANGES,
    ),
    "counter": (Counting, "attribute 'calls' changes when it is made again, or trained"),
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


def test_a_class_that_the_factory_defines_is_the_same_class() -> None:
    def local(scale: float) -> nn.Module:
        class Local(Rows):
            def forward(self, x: Tensor) -> Tensor:
                return super().forward(x) * scale

        return Local()

    same, other = (lambda: local(0.5)), (lambda: local(random.random()))
    assert_alike(trained("vmap", model_factory=same), trained("loop", model_factory=same))
    with pytest.raises(ValueError, match="same architecture: the class of the network"):
        trained("vmap", model_factory=other)


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


def test_a_rehearsal_takes_no_more_steps_than_a_schedule_has() -> None:
    one_cycle = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.05, total_steps=1)
    options: dict[str, Any] = {**SIZES, "n_epochs": 1, "batch_size": 45}
    options.update(scheduler=one_cycle, scheduler_interval="step")
    assert_alike(
        trained("vmap", OPTIMIZERS["SGD"], **options),
        trained("loop", OPTIMIZERS["SGD"], **options),
    )
