"""HDF5 files of this package: written whole or not at all, and checked when they are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
import uuid

from optuna_robust._base.output_files import check_writable


FORMAT_VERSION = 1


@contextmanager
def writing_hdf5(path: str | Path, kind: str) -> Iterator[Any]:
    """Open a file to be written, which takes its place when it is complete.

    Args:
        path:
            Where it shall be; a file that is there is replaced.
        kind:
            Kept in the file, to recognise it by.

    Raises:
        ImportError: If h5py is not installed.
        OSError: If the file cannot be written.
    """
    h5py = _h5py()
    target = Path(path)
    check_writable(target)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with h5py.File(temporary, "w") as file:
            file.attrs["format"] = kind
            file.attrs["format_version"] = FORMAT_VERSION
            yield file
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def open_hdf5(path: str | Path, kind: str) -> Iterator[Any]:
    """Open a file that :func:`writing_hdf5` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If h5py is not installed.
        ValueError: If it is no HDF5 file, of another kind or of a version that is not known, or
            lacks something.
    """
    h5py = _h5py()
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{str(path)!r} is not an HDF5 file: {error}.") from error
    with file:
        if file.attrs.get("format") != kind:
            raise ValueError(f"{str(path)!r} does not hold a {kind}.")
        version = file.attrs.get("format_version")
        if version != FORMAT_VERSION:
            raise ValueError(
                f"{str(path)!r} has format version {version}, but this version of optuna_robust "
                f"knows {FORMAT_VERSION}."
            )
        try:
            yield file
        except KeyError as error:
            raise ValueError(f"{str(path)!r} is damaged: {error}.") from error


def _h5py() -> Any:
    try:
        import h5py  # noqa: PLC0415
    except ImportError as error:
        raise ImportError('HDF5 files need h5py: pip install "optuna-robust[hdf5]".') from error
    return h5py
