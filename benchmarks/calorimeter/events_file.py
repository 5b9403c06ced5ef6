"""Events in an HDF5 file, of this simulation or of any other, such as a GEANT4 one.

The root has the datasets ``cells`` of shape (n, 15, 15), and ``energy``, ``x``, ``y``, ``theta_x``
and ``theta_y`` of shape (n,), all float32, each with the attribute ``units``; what they mean is
said at :class:`~benchmarks.calorimeter.events.Events`, and their units are its ``UNITS``.
Attributes of the root, in which texts are strings of variable length, h5py's default:

- ``format`` is "calorimeter events" and ``format_version`` is 1;
- ``cell_size`` is the side of a cell in cm;
- ``position`` says where x and y are: "face" or "centre"; without it, they are at the face;
- ``dataset``, ``seed`` and ``constants`` (JSON) say where the events come from. A file of another
  origin need not have them.

Writing such a file takes a few lines::

    with h5py.File("events.h5", "w") as file:
        file.attrs.update({"format": "calorimeter events", "format_version": 1, "cell_size": 2.0})
        for name, column in columns.items():
            dataset = file.create_dataset(name, data=column.astype("float32"), chunks=True)
            dataset.attrs["units"] = UNITS[name]
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
import json
import math
from numbers import Integral
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.calorimeter.events import check_rows
from benchmarks.calorimeter.events import Events
from benchmarks.calorimeter.events import Position
from benchmarks.calorimeter.events import POSITIONS
from benchmarks.calorimeter.events import UNITS
from benchmarks.calorimeter.setting import N_SIDE
from optuna_robust._base.hdf5_files import open_hdf5
from optuna_robust._base.hdf5_files import writing_hdf5


FORMAT = "calorimeter events"
# Rows of a chunk: a row drawn at random costs reading a chunk. Cells are large, columns are not.
_CHUNK_OF_CELLS, _CHUNK_OF_COLUMN = 64, 16_384
# Rows that are read at once at most.
_MOST_ROWS = 8192


def write_events(
    path: str | Path,
    parts: Iterator[Events],
    *,
    n: int,
    cell_size: float,
    about: dict[str, Any],
    position: Position = "face",
    on_written: Callable[[int], object] = lambda n_rows: None,
) -> None:
    """Write events; a file that is there is replaced when the new one is complete.

    Args:
        path:
            The file.
        parts:
            Events, of which only one part is in memory at a time.
        n:
            Number of all events.
        cell_size:
            Side of a cell, cm.
        about:
            ``dataset``, ``seed`` and ``constants`` (plain JSON).
        position:
            Where x and y of all parts are.
        on_written:
            Called with the number of rows of each part that was written.

    Raises:
        ImportError: If h5py is not installed.
        ValueError: If the parts do not hold n events, or have positions elsewhere.
    """
    with writing_hdf5(path, FORMAT) as file:
        file.attrs["cell_size"] = cell_size
        file.attrs["position"] = position
        file.attrs["dataset"] = about["dataset"]
        file.attrs["seed"] = about["seed"]
        file.attrs["constants"] = json.dumps(about["constants"])
        for name, units in UNITS.items():
            shape, rows = _shape(name, n), _CHUNK_OF_CELLS if name == "cells" else _CHUNK_OF_COLUMN
            file.create_dataset(
                name,
                shape,
                np.float32,
                chunks=(min(rows, n), *shape[1:]),
                compression="gzip",
                compression_opts=1,  # noise does not get smaller with more effort
                shuffle=True,
                fletcher32=True,
            ).attrs["units"] = units
        written = 0
        for events in parts:
            if events.position != position:
                raise ValueError(
                    f"Positions of all parts must be at the {position}, but those of one are at "
                    f"the {events.position}."
                )
            end = written + len(events)
            if end > n:
                raise ValueError(f"There should be {n} events, but the parts hold more.")
            for name in UNITS:
                file[name][written:end] = getattr(events, name)
            written = end
            on_written(len(events))
        if written < n:
            raise ValueError(f"There should be {n} events, but the parts hold {written}.")


def _shape(name: str, n: int) -> tuple[int, ...]:
    return (n, N_SIDE, N_SIDE) if name == "cells" else (n,)


class EventsFile:
    """Events of a file, of which samples are read.

    It can be pickled: it opens the file each time.

    Args:
        path:
            The file.
        check_values:
            Whether to read all values once, to see that they are finite and energies positive. The
            schema is always checked.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If h5py is not installed.
        ValueError: If it is no such file, or has defects, of which each is named.
    """

    def __init__(self, path: str | Path, *, check_values: bool = True) -> None:
        self._path = Path(path)
        with open_hdf5(path, FORMAT) as file:
            defects = list(_defects_of_schema(file))
            if not defects and check_values:
                defects = list(_defects_of_values(file))
            if defects:
                every = "\n".join(f"- {defect}" for defect in defects)
                raise ValueError(f"{str(path)!r} cannot be used:\n{every}")
            self._n = len(file["energy"])
            self._cell_size = float(file.attrs["cell_size"])
            self._position: Position = file.attrs.get("position", "face")
            self._attributes = {
                name: file.attrs.get(name) for name in ("dataset", "seed", "constants")
            }

    def __len__(self) -> int:
        return self._n

    @property
    def cell_size(self) -> float:
        """Side of a cell, cm."""
        return self._cell_size

    @property
    def position(self) -> Position:
        """Where x and y are."""
        return self._position

    @property
    def about(self) -> dict[str, Any]:
        """The attributes ``dataset``, ``seed`` and ``constants``; None where there is none."""
        constants = self._attributes["constants"]
        return {
            **self._attributes,
            "constants": None if constants is None else json.loads(constants),
        }

    def take(self, rows: npt.ArrayLike) -> Events:
        """Return the events of these row numbers, in this order.

        Each chunk of the file that has one of them is read once, and in the order of the file.

        Args:
            rows:
                Numbers in [0, n); a number may come more than once.

        Raises:
            IndexError: If a row is outside.
            TypeError: If rows are not integers.
        """
        chosen = check_rows(rows, self._n)
        ordered, places = np.unique(chosen, return_inverse=True)
        with open_hdf5(self._path, FORMAT) as file:
            found = {name: _read_sorted(file[name], ordered)[places] for name in UNITS}
        return Events(**found, cell_size=self._cell_size, position=self._position)


def _read_sorted(dataset: Any, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Read rows that are sorted, each once."""
    found = np.empty((len(rows), *dataset.shape[1:]), np.float32)
    chunk = min(dataset.chunks[0] if dataset.chunks else _CHUNK_OF_CELLS, _MOST_ROWS)
    done = 0
    while done < len(rows):
        first = rows[done] // chunk * chunk
        # On with the next chunk while that has a row too: few long reads are faster.
        within = rows[done:] < first + _MOST_ROWS // chunk * chunk
        near = rows[done : done + int(within.sum())]
        gaps = np.flatnonzero(np.diff(near // chunk) > 1)
        near = near[: gaps[0] + 1] if len(gaps) else near
        found[done : done + len(near)] = dataset[first : near[-1] + 1][near - first]
        done += len(near)
    return found


def _defects_of_schema(file: Any) -> Iterator[str]:
    cell_size = file.attrs.get("cell_size")
    if isinstance(cell_size, Real):
        cell_size = float(cell_size)
    if not isinstance(cell_size, float) or not 0.0 < cell_size < math.inf:
        yield f"the attribute 'cell_size' must be a positive number of cm, but is {cell_size!r}"
    position = file.attrs.get("position", "face")
    if not isinstance(position, str) or position not in POSITIONS:
        yield f"the attribute 'position' must be one of {POSITIONS}, but is {position!r}"
    if not isinstance(file.attrs.get("seed", 0), Integral):
        yield f"the attribute 'seed' must be an integer, but is {file.attrs['seed']!r}"
    yield from _defects_of_constants(file.attrs.get("constants", "{}"))
    lengths = {}
    for name, units in UNITS.items():
        dataset = file.get(name)
        if dataset is None or not hasattr(dataset, "dtype"):
            yield f"the dataset {name!r} is missing"
            continue
        length = dataset.shape[0] if dataset.shape else 0
        lengths[name] = length
        if dataset.shape != _shape(name, length):
            wanted = "(n, 15, 15)" if name == "cells" else "(n,)"
            yield f"the dataset {name!r} must have the shape {wanted}, but has {dataset.shape}"
        if dataset.dtype != np.float32:
            yield f"the dataset {name!r} must be float32, but is {dataset.dtype}"
        found = dataset.attrs.get("units")
        if found != units:
            yield f"the dataset {name!r} must have 'units' {units!r}, but has {found!r}"
    if len(set(lengths.values())) > 1:
        yield f"the datasets differ in length: {lengths}"
    elif 0 in lengths.values():
        yield "there are no events"


def _defects_of_constants(constants: object) -> Iterator[str]:
    try:
        json.loads(constants)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        yield "the attribute 'constants' must be JSON"


def _defects_of_values(file: Any) -> Iterator[str]:
    for name in UNITS:
        dataset = file[name]
        bad: list[int] = []
        for start in range(0, len(dataset), _MOST_ROWS):
            values = dataset[start : start + _MOST_ROWS]
            good = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
            if name == "energy":
                good &= values > 0.0
            bad.extend((start + np.flatnonzero(~good)).tolist())
        if bad:
            kind = "finite and positive" if name == "energy" else "finite"
            yield (
                f"the dataset {name!r} must be {kind}, but is not in {len(bad)} rows, "
                f"the first of them {bad[0]}"
            )
