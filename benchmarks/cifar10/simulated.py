"""Simulated images in CIFAR-10's format: ten shapes, of random colours, places and sizes.

They stand in for CIFAR-10 where that is not at hand: a network can learn them, but they say
nothing of photographs.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.cifar10.binary import FILES
from benchmarks.cifar10.binary import N_CLASSES
from benchmarks.cifar10.binary import RECORD
from benchmarks.cifar10.binary import SIDE
from benchmarks.cifar10.binary import SIMULATED


# Of the images that benchmarks make for themselves.
_SEED = 0
_NOISE = 20.0
_COLOUR_SPREAD = 25.0
# Of the shapes, as red, green and blue.
_COLOURS = np.array(
    [
        (220, 40, 40),
        (40, 200, 40),
        (50, 60, 220),
        (220, 210, 40),
        (40, 200, 210),
        (200, 50, 200),
        (240, 240, 240),
        (15, 15, 15),
        (230, 130, 30),
        (120, 90, 60),
    ]
)
_ABOUT = "Simulated images of ten shapes in the format of CIFAR-10; these are not CIFAR-10."


def simulated_images(folder: Path, n_images: int) -> Path:
    """Return a folder of simulated images, made once.

    Args:
        folder:
            It is created in this one, and named after the number of images.
        n_images:
            Of each file, a multiple of ten.
    """
    path = folder / f"simulated-cifar10-{n_images}"
    if not (path / SIMULATED).exists():
        write_simulated(path, n_images, seed=_SEED)
    return path


def write_simulated(folder: Path, n_images: int, *, seed: int) -> None:
    """Write the six files of CIFAR-10 with simulated images.

    Args:
        folder:
            It is created if it does not exist.
        n_images:
            Of each file; the classes are equally frequent.
        seed:
            The same seed gives the same files.

    Raises:
        ValueError: If the number is not a multiple of ten.
    """
    if n_images < N_CLASSES or n_images % N_CLASSES:
        raise ValueError(
            f"n_images must be a positive multiple of {N_CLASSES}, but was {n_images}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for name in FILES:
        records = np.empty(n_images, RECORD)
        records["label"] = rng.permutation(np.arange(n_images) % N_CLASSES)
        records["pixels"] = [_image(label, rng) for label in records["label"]]
        records.tofile(folder / name)
    about = {"about": _ABOUT, "images_per_file": n_images, "seed": seed}
    # Written last: without it, the folder is not complete.
    (folder / SIMULATED).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _image(label: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return an image of a class, shape ``(3, 32, 32)``."""
    centre, size = rng.uniform(0.4, 0.6, 2) * SIDE, rng.uniform(0.35, 0.5) * SIDE
    grid = np.arange(SIDE) + 0.5
    v, u = np.meshgrid((grid - centre[0]) / size, (grid - centre[1]) / size, indexing="ij")
    background = rng.uniform(0, 255, 3)
    colour = _COLOURS[label] + rng.normal(0, _COLOUR_SPREAD, 3)
    inside = shapes(u, v)[label]
    pixels = np.where(inside, colour[:, None, None], background[:, None, None])
    pixels = pixels + rng.normal(0, _NOISE, pixels.shape)
    return pixels.clip(0, 255).astype(np.uint8)


def shapes(
    u: npt.NDArray[np.float64], v: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.bool_], ...]:
    """Return which points lie inside each class's shape, which is its own mirror image.

    Args:
        u:
            To the right of the centre, in units of the size.
        v:
            Below it.
    """
    radius, box = np.hypot(u, v), np.maximum(np.abs(u), np.abs(v))
    arm, diagonal = np.minimum(np.abs(u), np.abs(v)), np.abs(np.abs(u) - np.abs(v))
    return (
        radius < 1,  # disc
        (radius < 1) & (radius > 0.6),  # ring
        (box < 0.9) & (box > 0.55),  # frame
        (box < 1) & (arm < 0.25),  # plus
        (box < 0.9) & (diagonal < 0.3),  # cross
        (box < 0.9) & (np.floor(3 * np.abs(v)) % 2 == 0),  # lying bars
        (box < 0.9) & (np.floor(3 * np.abs(u)) % 2 == 0),  # standing bars
        (v < 0.8) & (v > 2 * np.abs(u) - 0.9),  # triangle
        (v > -0.8) & (v < 0.9 - 2 * np.abs(u)),  # triangle upside down
        (box < 0.9) & ((np.floor(2.5 * np.abs(u)) + np.floor(2.5 * np.abs(v))) % 2 == 0),  # chess
    )
