"""Captured steps are those that networks take by themselves, or are not captured."""

from __future__ import annotations

from collections.abc import Callable
import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch import Tensor
from torch.nn import functional

from optuna_robust.training import _train
from optuna_robust.training import TrainingResult
from tests.training.networks import assert_alike
from tests.training.networks import images
from tests.training.networks import INSTANCES
from tests.training.networks import OPTIMIZERS
from tests.training.networks import trained
from tests.training.test_alone import ALONE
from tests.training.test_together import TOGETHER


def convolving(**options: Any) -> Callable[[], nn.Module]:
    """Return what makes networks of a convolution between two others."""
    channels = options.pop("channels", 4)

    def made() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, channels, 1),
            nn.Conv2d(channels, 4, **{"kernel_size": 3, **options}),
            nn.Tanh(),
            nn.AdaptiveMaxPool2d(2),
            nn.Conv2d(4, 1, 2, bias=False),
            nn.Flatten(),
        )

    return made


CONVOLUTIONS: dict[str, Callable[[], nn.Module]] = {
    "stride": convolving(stride=(2, 1), channels=9),
    "padding and dilation": convolving(padding=(2, 1), dilation=(2, 1)),
    "oblong": convolving(kernel_size=(1, 3), padding="same", channels=9),
    "groups": convolving(groups=2),
    "large": lambda: nn.Sequential(nn.Upsample(scale_factor=8), convolving(channels=9)()),
}


@pytest.fixture(autouse=True)
def _short_trainings(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Let trainings of a few steps, too, take captured ones."""
    monkeypatch.setattr(_train, "_FEWEST_STEPS", 1)
    caplog.set_level(logging.INFO, logger=_train.__name__)


def both(**options: Any) -> tuple[TrainingResult, TrainingResult]:
    """Return instances that were trained with captured steps, if possible, and without."""
    options = {"method": "loop", "n_epochs": 2, "instances": INSTANCES[:2], **options}
    return trained(**options), trained(**options, capture=False)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_are_the_same_as_matrices(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    captured, alone = both(model_factory=CONVOLUTIONS[name])
    assert "not captured" not in caplog.text
    assert_alike(captured, alone)


@pytest.mark.parametrize("name", ["NAdam", "RMSprop", "SGD"])
def test_optimizers_take_the_same_steps_with_all_parameters_as_one(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    captured, alone = both(optimizer=OPTIMIZERS[name], n_epochs=4)
    assert "not captured" not in caplog.text
    assert_alike(captured, alone)


def test_groups_of_parameters_stay_apart(caplog: pytest.LogCaptureFixture) -> None:
    def decaying(parameters: list[Tensor]) -> Any:
        weights = [each for each in parameters if each.ndim > 1]
        biases = [each for each in parameters if each.ndim == 1]
        return torch.optim.AdamW(
            [{"params": weights, "weight_decay": 0.5}, {"params": biases}], lr=0.01
        )

    assert_alike(*both(optimizer=decaying))
    assert "not captured" not in caplog.text


@pytest.mark.parametrize("name", ["layer norm", "in place"])
def test_layers_are_captured(name: str, caplog: pytest.LogCaptureFixture) -> None:
    captured, alone = both(model_factory=TOGETHER[name])
    assert "not captured" not in caplog.text
    assert_alike(captured, alone)


@pytest.mark.parametrize("name", ["list", "dropout", "counter", "by the data", "tied"])
def test_what_would_be_others_is_not_captured(name: str, caplog: pytest.LogCaptureFixture) -> None:
    not_captured, alone = both(model_factory=ALONE[name][0])
    assert "steps are not captured, since" in caplog.text
    np.testing.assert_array_equal(not_captured.losses, alone.losses)


@pytest.mark.parametrize("name", ["running mean", "constant hook"])
def test_what_can_be_together_is_not_always_captured(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    not_captured, alone = both(model_factory=TOGETHER[name])
    assert "steps are not captured, since" in caplog.text
    np.testing.assert_array_equal(not_captured.losses, alone.losses)


def test_processes_are_sent_captured_steps(caplog: pytest.LogCaptureFixture) -> None:
    captured, alone = both(method="processes", n_jobs=2, model_factory=TOGETHER["batch norm"])
    assert "not captured" not in caplog.text
    assert_alike(captured, alone)


def test_instances_are_the_same_however_many_are_trained() -> None:
    several = trained("loop", data=images(80), n_epochs=2)
    last = trained("loop", data=images(80), n_epochs=2, instances=INSTANCES[2:])
    np.testing.assert_array_equal(several.losses[2:], last.losses)


def test_losses_with_tensors_of_their_own_are_not_captured(
    caplog: pytest.LogCaptureFixture,
) -> None:
    weight = images(1)[1].abs()
    captured, alone = both(loss=lambda out, y: functional.mse_loss(out * weight, y))
    assert "steps are not captured, since" in caplog.text
    np.testing.assert_array_equal(captured.losses, alone.losses)
