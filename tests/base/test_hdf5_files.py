"""HDF5 files: written whole or not at all, and checked when they are read."""

from __future__ import annotations

import os
from pathlib import Path
import stat
import sys

import h5py
import pytest

from optuna_robust._base.hdf5_files import open_hdf5
from optuna_robust._base.hdf5_files import writing_hdf5


KIND = "optuna_robust.Test"


def write(path: str | Path, value: float = 1.0, kind: str = KIND) -> None:
    with writing_hdf5(path, kind) as file:
        file["value"] = value


def read(path: str | Path) -> float:
    with open_hdf5(path, KIND) as file:
        return float(file["value"][()])


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "a.h5", str(tmp_path / "b.h5")):
        write(path, 2.5)
        assert read(path) == 2.5


def test_a_relative_path_is_taken_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write("a.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
    assert read("a.h5") == 1.0


def test_a_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_text("text")
    write(path, 1.0)
    write(path, 2.0)
    assert read(path) == 2.0
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="Windows does not replace a file that is open")
def test_who_reads_the_old_file_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, 1.0)
    before = path.read_bytes()
    with path.open("rb") as reader:
        write(path, 2.0)
        assert reader.read() == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_that_is_not_completed_leaves_the_old_one(
    error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "a.h5"
    write(path, 1.0)
    with pytest.raises(error), writing_hdf5(path, KIND) as file:
        file["value"] = 2.0
        raise error
    assert read(path) == 1.0
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_left_of_a_first_file_that_is_not_completed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), writing_hdf5(tmp_path / "a.h5", KIND):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write(tmp_path / "nowhere" / "a.h5")


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_others_may_read_the_file_as_the_umask_says(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write(tmp_path / "a.h5")
        assert stat.S_IMODE((tmp_path / "a.h5").stat().st_mode) == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(old)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "a.h5", tmp_path):
        with pytest.raises(FileNotFoundError, match="There is no file"):
            read(path)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n"])
def test_a_file_that_is_no_hdf5_is_an_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.h5' is not an HDF5 file"):
        read(path)


def test_a_file_of_another_kind_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "other.h5", kind="optuna_robust.Other")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["value"] = 1.0
    for name in ("other.h5", "foreign.h5"):
        with pytest.raises(ValueError, match=rf"{name}' does not hold a {KIND}"):
            read(tmp_path / name)


@pytest.mark.parametrize("version", [2, None])
def test_a_version_that_is_not_known_is_an_error(version: int | None, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path)
    with h5py.File(path, "a") as file:
        if version is None:
            del file.attrs["format_version"]
        else:
            file.attrs["format_version"] = version
    with pytest.raises(ValueError, match=f"has format version {version}, but .* knows 1"):
        read(path)


def test_a_file_that_lacks_something_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with writing_hdf5(path, KIND):
        pass
    with pytest.raises(ValueError, match=r"a\.h5' is damaged: .*value"):
        read(path)


def test_the_file_is_closed_when_reading_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path)
    with pytest.raises(RuntimeError), open_hdf5(path, KIND):
        raise RuntimeError
    with h5py.File(path, "a") as file:  # an open file could not be opened to be written
        file["more"] = 1.0


def test_without_h5py_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r'pip install "optuna-robust\[hdf5\]"'):
        write(tmp_path / "b.h5")
    with pytest.raises(ImportError, match=r"optuna-robust\[hdf5\]"):
        read(tmp_path / "a.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
