"""Simulated images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cifar10.binary import FILES
from benchmarks.cifar10.binary import read
from benchmarks.cifar10.binary import SIMULATED
from benchmarks.cifar10.simulated import shapes
from benchmarks.cifar10.simulated import simulated_images
from benchmarks.cifar10.simulated import write_simulated


def test_the_folder_says_that_it_is_simulated(images: Path) -> None:
    assert "not CIFAR-10" in json.loads((images / SIMULATED).read_text())["about"]
    assert read(images).simulated


def test_a_seed_gives_the_same_files(images: Path, tmp_path: Path) -> None:
    write_simulated(tmp_path / "same", 20, seed=0)
    write_simulated(tmp_path / "other", 20, seed=1)
    for name in FILES:
        content = (images / name).read_bytes()
        assert (tmp_path / "same" / name).read_bytes() == content
        assert (tmp_path / "other" / name).read_bytes() != content


def test_files_differ(images: Path) -> None:
    assert len({(images / name).read_bytes() for name in FILES}) == len(FILES)


def test_classes_can_be_learned(tmp_path: Path) -> None:
    """The mean image of a class is nearest for far more than a tenth of new images."""
    write_simulated(tmp_path, 200, seed=0)
    data = read(tmp_path)
    pixels, labels = data.training.all()
    means = np.stack([pixels[labels == label].mean(axis=0) for label in range(10)])
    pixels, labels = data.test.all()
    distances = ((pixels[:, None] - means) ** 2).sum(axis=(2, 3, 4))
    assert 0.2 < np.mean(distances.argmin(axis=1) == labels) < 0.9


def test_shapes_are_their_own_mirror_images_and_all_different() -> None:
    """Else mirror images, which augment the data, would be of another class."""
    u, v = np.meshgrid(*2 * [0.05 * np.arange(-30, 31)])
    drawn = shapes(u, v)
    for shape in drawn:
        np.testing.assert_array_equal(shape, shape[:, ::-1])
    assert len({shape.tobytes() for shape in drawn}) == 10


def test_images_are_made_once(tmp_path: Path) -> None:
    folder = simulated_images(tmp_path, 10)
    times = [(folder / name).stat().st_mtime_ns for name in FILES]
    assert simulated_images(tmp_path, 10) == folder
    assert [(folder / name).stat().st_mtime_ns for name in FILES] == times
    # Interrupted: what is not complete is made again.
    (folder / SIMULATED).unlink()
    (folder / FILES[0]).unlink()
    simulated_images(tmp_path, 10)
    assert len(read(folder).training) == 50


@pytest.mark.parametrize("n_images", [0, -10, 15])
def test_classes_must_be_equally_frequent(tmp_path: Path, n_images: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of 10, but was {n_images}"):
        write_simulated(tmp_path, n_images, seed=0)
