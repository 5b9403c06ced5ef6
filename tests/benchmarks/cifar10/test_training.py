"""The network, the training of an instance, and its sources of variation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.cifar10.binary import read
from benchmarks.cifar10.network import build_resnet18
from benchmarks.cifar10.training import augmented
from benchmarks.cifar10.training import Judge
from benchmarks.cifar10.training import train
from benchmarks.cifar10.variants import Recipe
from benchmarks.cifar10.variants import RECIPES
from benchmarks.cifar10.variants import Variant
from optuna_robust import Instance


SMALL = Recipe(width=1, n_epochs=2, batch_sizes=(8,))
VARIANT = Variant(batch_size=8, peak_rate=0.05, l2=1e-3)


def weights(images: Path, instance: Instance, recipe: Recipe = SMALL) -> bytes:
    population = read(images).training
    sample = population.take(instance.sample(len(population), 20))
    network = train(VARIANT, recipe, *sample, instance)
    return b"".join(each.numpy().tobytes() for each in network.state_dict().values())


def test_the_network_has_the_published_size() -> None:
    network = build_resnet18()
    assert sum(each.numel() for each in network.parameters()) == 11_173_962
    convolutions = [each for each in network.modules() if isinstance(each, nn.Conv2d)]
    assert len(convolutions) == 20 and convolutions[0].kernel_size == (3, 3)


def test_the_stem_keeps_the_size() -> None:
    network = build_resnet18(1).eval()
    assert network[:3](torch.zeros(2, 3, 32, 32)).shape == (2, 1, 32, 32)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_a_training_repeats_with_its_instance(images: Path) -> None:
    assert weights(images, Instance(3)) == weights(images, Instance(3))


@pytest.mark.parametrize("source", ["init", "order", "sample"])
def test_every_source_of_variation_makes_a_difference(images: Path, source: str) -> None:
    first, second = (weights(images, Instance(number, vary=(source,))) for number in range(2))
    assert first != second


def test_nothing_varies_when_all_is_frozen(images: Path) -> None:
    assert weights(images, Instance(0, vary=())) == weights(images, Instance(1, vary=()))


def test_a_training_leaves_the_global_generator_alone(images: Path) -> None:
    before = torch.get_rng_state()
    weights(images, Instance(0))
    assert torch.equal(before, torch.get_rng_state())


def test_every_epoch_is_told_and_judging_changes_nothing(images: Path) -> None:
    """Batch normalisation must not see the images that networks are judged by."""
    data, judge, accuracies = read(images), Judge(read(images).test), {}
    sample = data.training.take(np.arange(20))

    def on_epoch(epoch: int, network: nn.Module) -> None:
        accuracies[epoch] = judge.accuracy_percent(network)

    judged = train(VARIANT, SMALL, *sample, Instance(0), on_epoch=on_epoch)
    alone = train(VARIANT, SMALL, *sample, Instance(0))
    assert list(accuracies) == [1, 2]
    assert accuracies[2] == judge.accuracy_percent(judged)
    for name, value in alone.state_dict().items():
        assert torch.equal(value, judged.state_dict()[name])


def test_learning_rates_go_up_and_down_once(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []
    step = torch.optim.SGD.step

    def noted(self: torch.optim.SGD, closure: None = None) -> None:
        rates.append(self.param_groups[0]["lr"])
        step(self, closure)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    weights(images, Instance(0), Recipe(width=1, n_epochs=4, batch_sizes=(8,)))
    peak = int(np.argmax(rates))
    assert len(rates) == 12 and max(rates) == pytest.approx(VARIANT.peak_rate, rel=0.1)
    assert (np.diff(rates[: peak + 1]) > 0).all() and (np.diff(rates[peak:]) < 0).all()
    assert rates[-1] < 1e-4 * VARIANT.peak_rate


def test_crops_and_mirror_images_are_those_of_the_images() -> None:
    padded = torch.arange(2 * 3 * 40 * 40).reshape(2, 3, 40, 40)
    rows = torch.tensor([1, 0] * 50)
    crops = augmented(padded, rows, torch.Generator().manual_seed(0))
    n_mirrored, offsets = 0, set()
    for crop, row in zip(crops, rows, strict=True):
        mirrored = bool(crop[0, 0, 0] > crop[0, 0, 1])
        upright = crop.flip(-1) if mirrored else crop
        top, left = divmod(int(upright[0, 0, 0]) - int(row) * 3 * 40 * 40, 40)
        assert torch.equal(upright, padded[row, :, top : top + 32, left : left + 32])
        n_mirrored += mirrored
        offsets |= {top, left}
    assert 30 < n_mirrored < 70 and offsets == set(range(9))


def test_a_diverged_network_counts_as_a_guess(images: Path) -> None:
    network = build_resnet18(1)
    with torch.no_grad():
        for each in network.parameters():
            each.fill_(float("nan"))
    assert Judge(read(images).test).accuracy_percent(network) == pytest.approx(10.0)


@pytest.mark.parametrize("recipe", RECIPES.values())
def test_grids_have_72_variants(recipe: Recipe) -> None:
    assert np.prod([len(values) for values in recipe.grid().values()]) == 72
