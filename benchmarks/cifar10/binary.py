"""CIFAR-10's binary version: a folder of six files, read where needed and never unpickled.

A file is a row of images; an image is a byte with its label and 3072 bytes of pixels: red, green
and blue, each row by row (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
import hashlib
import json
from pathlib import Path
from typing import Any
from typing import TypeAlias

import numpy as np
import numpy.typing as npt


Pixels: TypeAlias = npt.NDArray[np.uint8]
Labels: TypeAlias = npt.NDArray[np.int64]

SIDE = 32
N_CLASSES = 10
RECORD = np.dtype([("label", np.uint8), ("pixels", np.uint8, (3, SIDE, SIDE))])
TRAINING_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
FILES = (*TRAINING_FILES, TEST_FILE)
# Says of a folder that its images are simulated, and how many a file has.
SIMULATED = "simulated.json"

_N_IMAGES = 10_000
_SUBFOLDER = "cifar-10-batches-bin"  # in the archive
_CHECKSUMS = {"SHA256SUMS": "sha256", "MD5SUMS": "md5"}


@dataclass(frozen=True)
class Images:
    """Images of some files, one file after the other.

    Args:
        files:
            Their records, mapped into memory: only what is taken is read, and processes share it.
    """

    files: tuple[npt.NDArray[Any], ...]

    def __len__(self) -> int:
        return sum(len(records) for records in self.files)

    def take(self, rows: npt.NDArray[np.int64]) -> tuple[Pixels, Labels]:
        """Return pixels, shape ``(n, 3, 32, 32)``, and labels of some images."""
        taken = np.empty(len(rows), RECORD)
        first = 0
        for records in self.files:
            here = (rows >= first) & (rows < first + len(records))
            taken[here] = records[rows[here] - first]
            first += len(records)
        return taken["pixels"], taken["label"].astype(np.int64)

    def all(self) -> tuple[Pixels, Labels]:
        """Return pixels and labels of all images."""
        return self.take(np.arange(len(self)))


@dataclass(frozen=True)
class Cifar10:
    """The images of a folder.

    Args:
        training:
            Of the five training files.
        test:
            Of the test file.
        simulated:
            Whether they are simulated.
    """

    training: Images
    test: Images
    simulated: bool


@lru_cache(maxsize=2)
def read(folder: Path) -> Cifar10:
    """Return the images of a folder, checked.

    A file must have 10 000 images (fewer only where simulated.json says so), labels must be those
    of ten classes, equally frequent in the test file and over the training files. Where there is
    a file SHA256SUMS or MD5SUMS, as ``sha256sum *.bin > SHA256SUMS`` writes it, checksums must be
    those.

    Raises:
        ValueError: If a file is missing or is not what it should be; the message names it.
        OSError: If a file cannot be read.
    """
    _check_files_exist(folder)
    n_images = _n_images(folder)
    for name in FILES:
        _check_size(folder / name, n_images)
    _check_checksums(folder)
    records = {name: np.memmap(folder / name, dtype=RECORD, mode="r") for name in FILES}
    counts = {name: _class_counts(folder / name, each["label"]) for name, each in records.items()}
    _check_balance(f"{folder / TEST_FILE} has", counts[TEST_FILE])
    training_counts = np.sum([counts[name] for name in TRAINING_FILES], axis=0)
    _check_balance(f"The training files of {folder} have", training_counts)
    return Cifar10(
        training=Images(tuple(records[name] for name in TRAINING_FILES)),
        test=Images((records[TEST_FILE],)),
        simulated=(folder / SIMULATED).exists(),
    )


def _check_files_exist(folder: Path) -> None:
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder} with CIFAR-10's binary version.")
    missing = [name for name in FILES if not (folder / name).is_file()]
    if not missing:
        return
    hint = ""
    if (folder / _SUBFOLDER).is_dir():
        hint = f" Give {folder / _SUBFOLDER}."
    elif (folder / "data_batch_1").exists():
        hint = " It has the Python version, which is not read since pickled files can run code."
    elif (folder / "train.bin").exists():
        hint = " It has CIFAR-100."
    raise ValueError(
        f"{folder / missing[0]} is missing; CIFAR-10's binary version has the files "
        f"{', '.join(FILES)}.{hint}"
    )


def _n_images(folder: Path) -> int:
    path = folder / SIMULATED
    if not path.exists():
        return _N_IMAGES
    try:
        n_images = json.loads(path.read_text(encoding="utf-8"))["images_per_file"]
    except (ValueError, KeyError, TypeError):
        n_images = None
    if not isinstance(n_images, int) or n_images < 1:
        raise ValueError(f"{path} does not say how many images_per_file there are.")
    return n_images


def _check_size(path: Path, n_images: int) -> None:
    size, expected = path.stat().st_size, n_images * RECORD.itemsize
    if size != expected:
        raise ValueError(
            f"{path} must have {expected} bytes, {n_images} images of {RECORD.itemsize}, "
            f"but has {size}."
        )


def _class_counts(path: Path, labels: Pixels) -> Labels:
    wrong = np.flatnonzero(labels >= N_CLASSES)
    if len(wrong):
        raise ValueError(
            f"{path} must have labels from 0 to {N_CLASSES - 1}, but that of image {wrong[0]} "
            f"is {labels[wrong[0]]}."
        )
    return np.bincount(labels, minlength=N_CLASSES)


def _check_balance(whose: str, counts: Labels) -> None:
    if counts.min() != counts.max():
        raise ValueError(
            f"{whose} {counts.min()} images of class {counts.argmin()} and {counts.max()} of "
            f"class {counts.argmax()}; all classes must be equally frequent."
        )


def _check_checksums(folder: Path) -> None:
    for list_name, algorithm in _CHECKSUMS.items():
        if (folder / list_name).is_file():
            listed = _listed(folder / list_name)
            unlisted = [name for name in FILES if name not in listed]
            if unlisted:
                raise ValueError(f"{folder / list_name} has no checksum of {unlisted[0]}.")
            for name in FILES:
                _check_checksum(folder / name, algorithm, listed[name], list_name)


def _check_checksum(path: Path, algorithm: str, expected: str, list_name: str) -> None:
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, algorithm).hexdigest()
    if actual != expected:
        raise ValueError(
            f"{path} has the {algorithm} checksum {actual}, but {list_name} says {expected}."
        )


def _listed(path: Path) -> dict[str, str]:
    """Return checksums by file name, from lines as ``sha256sum`` writes them."""
    lines: Sequence[list[str]] = [
        line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return {
        Path(parts[1].strip().removeprefix("*")).name: parts[0].lower()
        for parts in lines
        if len(parts) == 2
    }
