"""The generator, its loss, and how its images are judged."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from benchmarks.zdc.judge import distance_of_images
from benchmarks.zdc.network import Generator
from benchmarks.zdc.showers import at_energy
from benchmarks.zdc.showers import population
from benchmarks.zdc.showers import THRESHOLD
from benchmarks.zdc.training import losses
from benchmarks.zdc.training import Model
from benchmarks.zdc.training import train
from optuna_robust import Instance


@pytest.mark.parametrize("extended", [False, True])
def test_one_number_becomes_twenty_by_twenty_cells(extended: bool) -> None:
    network = Generator(4, extended=extended)
    logits, shares = network(torch.tensor([[20.0], [50.0], [80.0]]))
    assert logits.shape == shares.shape == (3, 20, 20)
    images = network.images(torch.tensor([[50.0]]))
    assert images.shape == (1, 20, 20) and (images >= 0).all()


def test_the_parameters_of_the_default_network() -> None:
    h = 8
    linear = (4 * h + 4 * h) + (4 * h * 9 * h + 9 * h)
    transposed = h * h * 9 + h
    small = h * 4 * h * 9 + 2 * 4 * h  # a convolution, and two numbers a channel to normalise
    large = h * 4 * h * 25 + 2 * 4 * h
    last = (h * h * 25 + 2 * h) + (h * 2 * 25 + 2)
    found = sum(each.numel() for each in Generator(h, extended=False).parameters())
    assert found == linear + transposed + small + large + last


def test_the_parts_of_the_loss() -> None:
    target = torch.tensor([[[0.0, 0.5]]])
    mask, value = losses(torch.tensor([[[0.0, 2.0]]]), torch.tensor([[[9.0, 0.2]]]), target)
    assert mask.item() == pytest.approx((math.log(2) + math.log1p(math.exp(-2))) / 2)
    assert value.item() == pytest.approx(0.3**2)


def test_images_of_the_same_distribution_are_at_no_distance_and_empty_ones_at_one() -> None:
    images = at_energy(50.0, 40, 1)
    assert distance_of_images(images, images) == 0
    assert distance_of_images(np.zeros_like(images), images) == pytest.approx(1)
    assert distance_of_images(2 * images, images) == pytest.approx(0.5)


def test_showers_are_those_of_a_seed_and_deposits_are_above_the_threshold() -> None:
    showers = population(60, 5)
    hit = showers.deposits[showers.deposits > 0]
    assert hit.min() >= THRESHOLD
    total = showers.deposits.sum(axis=(1, 2)) / showers.energy
    assert 0.8 < np.median(total) < 1
    assert not np.array_equal(showers.deposits, population(60, 6).deposits)


def test_an_instance_trains_the_same_network_again() -> None:
    model = Model("extended 2", 2, 200.0, 1e-2, batch_size=10, n_epochs=1)
    first, again = (train(model, population(60, 5), Instance(3)).state_dict() for _ in range(2))
    other = train(model, population(60, 5), Instance(4)).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
