"""Reading CIFAR-10's binary version, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
import hashlib
import json
from pathlib import Path
import shutil

import numpy as np
import pytest

from benchmarks.cifar10.binary import FILES
from benchmarks.cifar10.binary import read
from benchmarks.cifar10.binary import SIMULATED
from benchmarks.cifar10.binary import TEST_FILE
from benchmarks.cifar10.simulated import write_simulated


IMAGE_BYTES = 3073


@pytest.fixture
def folder(images: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(images, tmp_path / "images"))


def change(path: Path, edit: Callable[[bytearray], object]) -> None:
    content = bytearray(path.read_bytes())
    edit(content)
    path.write_bytes(content)


def set_label(path: Path, image: int, label: int) -> None:
    change(path, lambda content: content.__setitem__(image * IMAGE_BYTES, label))


def write_checksums(folder: Path, name: str, algorithm: str) -> None:
    lines = [
        f"{hashlib.new(algorithm, (folder / each).read_bytes()).hexdigest()}  {each}"
        for each in FILES
    ]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_images_are_those_of_the_bytes(tmp_path: Path) -> None:
    """A byte with the label; then 1024 of red, of green and of blue, row by row."""
    write_simulated(tmp_path, 10, seed=0)
    data = read(tmp_path)
    assert (len(data.training), len(data.test), data.simulated) == (50, 10, True)
    pixels, labels = data.training.take(np.array([0, 49, 12, 0]))
    for row, (file, image) in enumerate([(1, 0), (5, 9), (2, 2), (1, 0)]):
        content = (tmp_path / f"data_batch_{file}.bin").read_bytes()
        record = content[image * IMAGE_BYTES : (image + 1) * IMAGE_BYTES]
        assert labels[row] == record[0]
        assert pixels[row, 1, 3, 7] == record[1 + 1024 + 3 * 32 + 7]
        assert pixels[row].tobytes() == record[1:]


def test_files_of_the_real_size_are_read(tmp_path: Path) -> None:
    """10 000 images a file, without a word of simulated ones."""
    records = np.zeros((10_000, IMAGE_BYTES), np.uint8)
    records[:, 0] = np.arange(10_000) % 10
    for name in FILES:
        records.tofile(tmp_path / name)
    data = read(tmp_path)
    assert (len(data.training), len(data.test), data.simulated) == (50_000, 10_000, False)
    assert data.training.take(np.array([49_999]))[1].tolist() == [9]


def test_a_short_file_is_not_taken_for_cifar10(folder: Path) -> None:
    """Few images are allowed only where the folder says that they are simulated."""
    (folder / SIMULATED).unlink()
    with pytest.raises(ValueError, match=r"data_batch_1\.bin must have 30730000 bytes, 10000 im"):
        read(folder)


@pytest.mark.parametrize(
    "edit", [lambda content: content.pop(), lambda content: content.append(0)]
)
def test_files_of_another_size_are_refused(
    folder: Path, edit: Callable[[bytearray], object]
) -> None:
    change(folder / "data_batch_3.bin", edit)
    with pytest.raises(ValueError, match=r"data_batch_3\.bin must have 61460 bytes"):
        read(folder)


def test_labels_beyond_the_classes_are_refused(folder: Path) -> None:
    set_label(folder / "data_batch_2.bin", 7, 10)
    with pytest.raises(ValueError, match=r"data_batch_2\.bin .* that of image 7 is 10"):
        read(folder)


def test_unequal_classes_are_refused(folder: Path) -> None:
    """As where a file is there twice, or bytes are shifted."""
    label = read(folder).test.take(np.array([0]))[1][0]
    read.cache_clear()
    set_label(folder / TEST_FILE, 0, (label + 1) % 10)
    with pytest.raises(ValueError, match=rf"{TEST_FILE} has 1 images of class {label} and 3"):
        read(folder)
    set_label(folder / TEST_FILE, 0, label)
    set_label(folder / "data_batch_4.bin", 5, 0)
    set_label(folder / "data_batch_4.bin", 6, 0)
    with pytest.raises(ValueError, match=r"training files of .* equally frequent"):
        read(folder)


def test_what_is_missing_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no folder"):
        read(tmp_path / "nowhere")
    (folder / "data_batch_4.bin").unlink()
    with pytest.raises(ValueError, match=r"data_batch_4\.bin is missing"):
        read(folder)


@pytest.mark.parametrize(
    ("other", "hint"),
    [
        ("cifar-10-batches-bin/", r"Give .*cifar-10-batches-bin"),
        ("data_batch_1", "Python version"),
        ("train.bin", "CIFAR-100"),
    ],
)
def test_what_was_likely_meant_is_said(tmp_path: Path, other: str, hint: str) -> None:
    if other.endswith("/"):
        (tmp_path / other).mkdir()
    else:
        (tmp_path / other).write_bytes(b"never unpickled")
    with pytest.raises(ValueError, match=hint):
        read(tmp_path)


@pytest.mark.parametrize(("name", "algorithm"), [("SHA256SUMS", "sha256"), ("MD5SUMS", "md5")])
def test_checksums_are_compared_where_there_are_some(
    folder: Path, name: str, algorithm: str
) -> None:
    write_checksums(folder, name, algorithm)
    assert len(read(folder).training) == 100
    read.cache_clear()
    change(folder / TEST_FILE, lambda content: content.__setitem__(1, content[1] ^ 1))
    with pytest.raises(ValueError, match=rf"{TEST_FILE} has the {algorithm} checksum"):
        read(folder)
    (folder / name).write_text("00  data_batch_1.bin\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"{name} has no checksum of data_batch_2\.bin"):
        read(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"images_per_file": "20"})])
def test_a_spoilt_note_on_simulated_images_is_refused(folder: Path, content: str) -> None:
    (folder / SIMULATED).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"simulated\.json does not say"):
        read(folder)
