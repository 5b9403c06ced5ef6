"""Networks that are trained together become what they would become alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
from tests.training.kinds import hooked
from tests.training.kinds import Recurrent
from tests.training.kinds import Rows
from tests.training.kinds import scaling_by
from tests.training.kinds import scaling_hook
from tests.training.kinds import sequential
from tests.training.kinds import with_attribute
from tests.training.networks import assert_alike
from tests.training.networks import batch_normalised
from tests.training.networks import images
from tests.training.networks import INSTANCES
from tests.training.networks import OPTIMIZERS
from tests.training.networks import SIZES
from tests.training.networks import trained


# Said of layers that PyTorch runs one by one inside.
pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")


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


def listed() -> nn.Module:
    module = Rows()
    module.listed = [module.first, module.second]  # type: ignore[assignment]
    return module


def sequential_in_place() -> nn.Module:
    return nn.Sequential(nn.ELU(inplace=True), nn.Flatten(), nn.Linear(36, 1))


class Clamped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(36, 1)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.linear.weight.clamp_(-0.15, 0.15)
        out: Tensor = self.linear(x.flatten(1))
        return out


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
    "in place": sequential_in_place,
    "clamped weights": Clamped,
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


def test_a_rehearsal_takes_no_more_steps_than_a_schedule_has() -> None:
    one_cycle = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.05, total_steps=1)
    options: dict[str, Any] = {**SIZES, "n_epochs": 1, "batch_size": 45}
    options.update(scheduler=one_cycle, scheduler_interval="step")
    assert_alike(
        trained("vmap", OPTIMIZERS["SGD"], **options),
        trained("loop", OPTIMIZERS["SGD"], **options),
    )
