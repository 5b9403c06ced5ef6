"""Instances trained together, in processes or one by one are what they would be alone."""

from __future__ import annotations

import copy
from functools import partial
import logging
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch import Tensor

from optuna_robust import Instance
from tests.training.networks import assert_alike
from tests.training.networks import batch_normalised
from tests.training.networks import convolutional
from tests.training.networks import DATA
from tests.training.networks import dropped_out
from tests.training.networks import Features
from tests.training.networks import images
from tests.training.networks import INSTANCES
from tests.training.networks import Optimizer
from tests.training.networks import OPTIMIZERS
from tests.training.networks import plain_loop
from tests.training.networks import SIZES
from tests.training.networks import trained


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("method", ["vmap", "loop"])
def test_twenty_steps_are_those_of_a_plain_loop(name: str, method: str) -> None:
    result = trained(method, OPTIMIZERS[name])
    for index, instance in enumerate(INSTANCES):
        module = plain_loop(instance, DATA, OPTIMIZERS[name], **SIZES)
        for key, value in module.state_dict().items():
            torch.testing.assert_close(result.states[index][key], value, rtol=1e-6, atol=1e-12)
    assert not np.allclose(result.losses[0], result.losses[1:])


def test_processes_give_the_same() -> None:
    for factory in (convolutional, dropped_out):
        assert_alike(
            trained("processes", n_jobs=2, model_factory=factory),
            trained("loop", model_factory=factory),
        )


@pytest.mark.parametrize("method", ["vmap", "loop"])
def test_a_schedule_moves_on_by_epochs_or_steps(method: str) -> None:
    decay = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)
    by_epoch = trained(method, scheduler=decay)
    module = plain_loop(INSTANCES[1], DATA, OPTIMIZERS["AdamW"], scheduler=decay, **SIZES)
    torch.testing.assert_close(by_epoch.states[1], dict(module.state_dict()))

    one_cycle = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.05, total_steps=20)
    by_step = trained(method, scheduler=one_cycle, scheduler_interval="step")
    assert not np.allclose(by_step.losses, by_epoch.losses)
    assert_alike(by_step, trained("vmap", scheduler=one_cycle, scheduler_interval="step"))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_schedule_that_looks_at_the_metric_is_each_instances_own(name: str) -> None:
    # Improvements of less than 3 % do not count, and come at different epochs.
    plateau = partial(
        torch.optim.lr_scheduler.ReduceLROnPlateau, patience=0, factor=0.3, threshold=0.03
    )
    options: dict[str, Any] = {"scheduler": plateau, "n_epochs": 8}
    together = trained("vmap", OPTIMIZERS[name], **options)
    assert_alike(together, trained("loop", OPTIMIZERS[name], **options))
    assert not np.allclose(together.losses, trained("vmap", OPTIMIZERS[name], n_epochs=8).losses)


def test_instances_end_by_themselves_and_keep_their_best_epoch() -> None:
    fast: Optimizer = partial(torch.optim.AdamW, lr=0.2)
    options: dict[str, Any] = {
        "patience": 2,
        "n_epochs": 15,
        "instances": [Instance(number) for number in range(6)],
    }
    together, alone = trained("vmap", fast, **options), trained("loop", fast, **options)
    assert_alike(together, alone)
    assert len(set(together.n_epochs.tolist())) > 1, "they should end at different epochs"
    assert np.array_equal(together.losses, np.nanmin(together.learning_curves, axis=1))
    for curve, n_epochs in zip(together.learning_curves, together.n_epochs, strict=True):
        assert np.isfinite(curve[:n_epochs]).all() and np.isnan(curve[n_epochs:]).all()
        ended_early = n_epochs < 15
        assert not ended_early or n_epochs - 1 - int(np.nanargmin(curve)) == 2
    again = together.evaluate(images(30), nn.functional.mse_loss)
    np.testing.assert_allclose(again, together.losses)


@pytest.mark.parametrize("method", ["vmap", "loop", "processes"])
@pytest.mark.parametrize("patience", [None, 2])
def test_a_diverged_instance_does_not_disturb_the_others(
    method: str, patience: int | None
) -> None:
    poisoned = (DATA[0].clone(), DATA[1].clone())
    row = int(np.setdiff1d(Instance(1).sample(80, 45), Instance(0).sample(80, 45))[0])
    poisoned[1][row] = math.inf
    spared = [number for number in range(8) if row not in Instance(number).sample(80, 45)]
    numbers = [1, *spared]
    result = trained(
        method,
        data=poisoned,
        instances=[Instance(number) for number in numbers],
        patience=patience,
    )
    assert math.isnan(result.losses[0])
    assert result.n_epochs.tolist()[0] == 1
    clean = trained("loop", instances=[Instance(number) for number in spared], patience=patience)
    np.testing.assert_allclose(result.losses[1:], clean.losses, rtol=1e-6)


@pytest.mark.parametrize("method", ["vmap", "loop"])
def test_looks_at_the_metric_can_be_rare(method: str) -> None:
    decay = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)
    every = trained(method, scheduler=decay, n_epochs=5)
    rarely = trained(method, scheduler=decay, n_epochs=5, evaluate_every=2)
    np.testing.assert_allclose(rarely.losses, every.losses)
    looked_at = [1, 3, 4]
    np.testing.assert_allclose(
        rarely.learning_curves[:, looked_at], every.learning_curves[:, looked_at]
    )
    assert np.isnan(rarely.learning_curves[:, [0, 2]]).all()
    assert rarely.n_epochs.tolist() == [5, 5, 5]


def test_chunks_change_nothing() -> None:
    instances = [Instance(number) for number in range(5)]
    assert_alike(
        trained("vmap", instances=instances, max_together=2),
        trained("vmap", instances=instances),
    )


def test_the_whole_population_is_the_sample_without_a_size() -> None:
    whole = trained("vmap", sample_size=None)
    assert_alike(whole, trained("loop", sample_size=80, instances=INSTANCES))


def test_frozen_sources_do_not_vary() -> None:
    only_order = [Instance(number, vary=("order",)) for number in range(2)]
    result = trained("vmap", instances=only_order, n_epochs=1, batch_size=45)
    # One full batch: the order does not matter.
    np.testing.assert_allclose(result.losses[0], result.losses[1])
    assert result.losses[0] != trained("vmap", n_epochs=1, batch_size=45).losses[0]


def test_global_generators_are_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    trained("loop")
    trained("vmap")
    assert torch.rand(1) == expected


def test_several_inputs_and_classes() -> None:
    class TwoInputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 3)

        def forward(self, x: Tensor, extra: Tensor) -> Tensor:
            out: Tensor = self.second(torch.relu(self.first(x)) + extra)
            return out

    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(1))
    data = (x, x[:, :1], (x[:, 0] > 0).long() + (x[:, 1] > 0).long())
    options: dict[str, Any] = {
        "data": data,
        "validation": data,
        "loss": nn.functional.cross_entropy,
        "metric": lambda logits, labels: (logits.argmax(dim=1) != labels).float().mean(),
        "model_factory": TwoInputs,
        "n_epochs": 40,
    }
    together = trained("vmap", **options)
    np.testing.assert_allclose(together.losses, trained("loop", **options).losses)
    assert together.losses.max() < 0.25
    assert set(together.states[0]["first.weight"].shape) == {2, 3}


def test_an_optimizer_that_looks_at_several_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="Adafactor"):
        trained("vmap", torch.optim.Adafactor)
    assert np.isfinite(trained("loop", torch.optim.Adafactor).losses).all()

    def clipping(parameters: list[Tensor]) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(parameters, lr=0.01)
        optimizer.register_step_pre_hook(
            lambda *_: nn.utils.clip_grad_norm_(parameters, 0.1) and None
        )
        return optimizer

    with pytest.raises(ValueError, match="hooks"):
        trained("vmap", clipping)


def test_an_optimizer_may_go_by_the_shapes_of_parameters() -> None:
    def spares_biases(parameters: list[Tensor]) -> torch.optim.Optimizer:
        groups = [
            {"params": [each for each in parameters if each.ndim > 1], "weight_decay": 0.5},
            {"params": [each for each in parameters if each.ndim <= 1], "lr": 0.05},
        ]
        return torch.optim.AdamW(groups, lr=0.01, weight_decay=0.0)

    def without_last_bias(parameters: list[Tensor]) -> torch.optim.Optimizer:
        first, *others = parameters[:-1]
        return torch.optim.SGD([{"params": [first], "lr": 0.0}, {"params": others}], lr=0.01)

    plateau = partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=0, threshold=0.5)
    bounded = partial(plateau, min_lr=[1e-3, 2e-2])  # the second group reaches its bound first
    for schedule in (None, plateau, bounded):
        for optimizer in (spares_biases, without_last_bias):
            options: dict[str, Any] = {"optimizer": optimizer, "scheduler": schedule}
            assert_alike(trained("vmap", **options), trained("loop", **options))


def test_validation_data_do_not_get_into_the_network() -> None:
    far_off = (images(30)[0] + 1e6, images(30)[1])
    near, far = (
        trained("loop", model_factory=batch_normalised, validation=data)
        for data in (images(30), far_off)
    )
    for one, other in zip(near.states, far.states, strict=True):
        for name in one:
            assert torch.equal(one[name], other[name])
    # A batch of one row has no variance to normalise by.
    one_dimensional = nn.Sequential(nn.Flatten(), nn.Linear(36, 1), nn.BatchNorm1d(1))
    normalised = trained("loop", model_factory=lambda: copy.deepcopy(one_dimensional))
    assert np.isfinite(normalised.losses).all()


def test_a_network_is_given_back_as_it_was_trained() -> None:
    result = trained("loop", model_factory=Features)
    before = torch.get_rng_state()
    np.testing.assert_allclose(
        result.evaluate(images(30), nn.functional.mse_loss), result.losses, rtol=1e-6
    )
    assert torch.equal(before, torch.get_rng_state())


def test_one_process_is_this_one_and_keeps_its_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        result = trained("processes", n_jobs=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert_alike(result, trained("loop"))


def test_the_method_is_chosen_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "optuna_robust"):
        several = trained("auto", n_jobs=2, device="cpu")
    assert several.method == "processes" and several.device == "cpu"
    assert "3 instances on cpu: processes" in caplog.text
    assert trained("auto", n_jobs=1, device="cpu").method == "loop"
    assert trained("auto", n_jobs=2, device="cpu", instances=INSTANCES[:1]).method == "loop"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    on_gpu = trained("auto", device="cuda")
    assert on_gpu.method == "vmap"
    assert_alike(on_gpu, trained("loop", device="cpu"))
    assert on_gpu.reason_alone is None
    dropping = trained("auto", device="cuda", model_factory=dropped_out)
    assert (dropping.method, dropping.reason_alone) == ("loop", "it draws random numbers")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"data": DATA[0]}, TypeError, "data must be a sequence of tensors"),
        ({"data": (DATA[0].numpy(), DATA[1])}, TypeError, "data must hold tensors.*ndarray"),
        ({"data": DATA[:1]}, ValueError, "data must hold inputs and a target, but had 1"),
        ({"data": (DATA[0], DATA[1][:7])}, ValueError, r"data must have the same.*\[80, 7\]"),
        ({"validation": (*DATA, DATA[1])}, ValueError, "validation must have as many"),
        ({"validation": (DATA[0][:0], DATA[1][:0])}, ValueError, "validation must have the same"),
        ({"validation": images(30, torch.float32)}, ValueError, "validation must have the types"),
        (
            {"loss": nn.MSELoss(reduction="none")},
            ValueError,
            r"loss must return the mean.*\(10, 1\)",
        ),
        ({"loss": lambda p, t: 0.5}, TypeError, "loss must return a tensor, but returned 0.5"),
        (
            {"metric": lambda p, t: (p - t).abs()},
            ValueError,
            r"metric must return one number.*\(30",
        ),
        (
            {
                "scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau,
                "scheduler_interval": "step",
            },
            ValueError,
            "scheduler_interval='step' does not go with ReduceLROnPlateau",
        ),
        (
            {"model_factory": lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(1))},
            ValueError,
            "lazy layers",
        ),
        ({"instances": []}, ValueError, "instances must hold at least one"),
        ({"instances": [0, 1]}, TypeError, "instances must be a sequence of Instance"),
        ({"sample_size": 81}, ValueError, "sample_size must be at most the population's 80"),
        ({"sample_size": 0}, ValueError, "sample_size must be at least 1"),
        ({"n_epochs": 0}, ValueError, "n_epochs must be at least 1"),
        ({"batch_size": 2.5}, TypeError, "batch_size must be an integer"),
        ({"evaluate_every": 0}, ValueError, "evaluate_every must be at least 1"),
        ({"patience": 0}, ValueError, "patience must be at least 1"),
        ({"max_together": 0}, ValueError, "max_together must be at least 1"),
        ({"loss": 3}, TypeError, "loss must be callable"),
        ({"scheduler": 3}, TypeError, "scheduler must be callable"),
        ({"scheduler_interval": "batch"}, ValueError, "scheduler_interval='batch' is unknown"),
        ({"device": "abacus"}, ValueError, "device='abacus' cannot be used"),
        ({"n_jobs": 0}, ValueError, "n_jobs"),
        ({"model_factory": lambda: 3}, TypeError, "model_factory must return a torch.nn.Module"),
        ({"model_factory": nn.ReLU}, ValueError, "without parameters"),
        ({"optimizer": lambda parameters: 3}, TypeError, "optimizer must return"),
    ],
)
def test_bad_arguments_are_named(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        trained("loop", **options)


def test_a_metric_may_be_a_plain_number() -> None:
    plain = trained(
        "vmap", metric=lambda predictions, targets: float((predictions - targets).abs().max())
    )
    assert plain.losses.shape == (3,)


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(ValueError, match="method='gpu' is unknown; choose one of auto, vmap"):
        trained("gpu")


def test_an_architecture_that_changes_is_an_error() -> None:
    widths = iter([3, 3, 4, 5])

    def changing() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(36, next(widths)), nn.AdaptiveAvgPool1d(1))

    with pytest.raises(ValueError, match="same architecture"):
        trained("vmap", model_factory=changing)
