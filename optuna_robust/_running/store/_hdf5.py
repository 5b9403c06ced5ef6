"""Finished instances as an HDF5 file: an archive that other programs can read.

The root has the attributes ``format``, ``format_version``, ``optuna_robust`` (the version that
wrote it), ``experiment``, ``version`` and ``settings`` (JSON). The group ``instances`` has a
dataset for each column of the store's table, all of one length, a row an instance: numbers as
numbers, ``loss`` NaN where there is none, ``own`` -1 where instances are common; everything else
as UTF-8 strings, of which those in ``JSON`` are JSON, ``null`` where there is nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from typing import get_args

import numpy as np

from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_count
from optuna_robust._base.hdf5_files import open_hdf5
from optuna_robust._base.hdf5_files import writing_hdf5
from optuna_robust._base.version import __version__
from optuna_robust._instances.instance import check_sources
from optuna_robust._instances.instance import Phase
from optuna_robust._running.store import _rows
from optuna_robust._running.store._rows import StoredInstance


_KIND = "optuna_robust.InstanceStore"
_GROUP = "instances"

INTEGERS = ("number", "own", "seed", "order_seed")
FLOATS = ("loss", "seconds", "begun", "finished")
NAMES = ("model_key", "phase", "state")
JSON = ("params", "failure", "user_attrs", "constraints", "learning_curve", "distributions")

# Below so many rows a compressed dataset is larger than a plain one.
_COMPRESSED_FROM = 1000


def write(
    path: str | Path,
    instances: Sequence[StoredInstance],
    experiment: str,
    version: str,
    settings: dict[str, Any] | None,
) -> None:
    """Write finished instances; a file that is there is replaced when the new one is complete.

    Args:
        path:
            The file.
        instances:
            Finished instances; their ``worker`` is not kept.
        experiment:
            Name of what was trained.
        version:
            The user's tag of the objective.
        settings:
            The seed and ``vary`` that the instances were made from, if known.

    Raises:
        ImportError: If h5py is not installed.
        ValueError: If an instance is not finished.
    """
    rows = [_rows.imported_columns(each) for each in instances]
    with writing_hdf5(path, _KIND) as file:
        file.attrs["optuna_robust"] = __version__
        file.attrs["experiment"] = experiment
        file.attrs["version"] = version
        file.attrs["settings"] = json.dumps(settings)
        group = file.create_group(_GROUP)
        for names, kind in ((INTEGERS, np.int64), (FLOATS, np.float64)):
            for name in names:
                column = [math.nan if row[name] is None else row[name] for row in rows]
                _write_numbers(group, name, np.array(column, dtype=kind))
        for name in NAMES + JSON:
            _write_texts(group, name, [_text(name, row[name]) for row in rows])


def read(path: str | Path) -> tuple[list[StoredInstance], str, dict[str, Any] | None]:
    """Read what :func:`write` wrote.

    Args:
        path:
            The file.

    Returns:
        The instances, the version and the settings.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If h5py is not installed.
        ValueError: If it is another file, or damaged.
    """
    try:
        with open_hdf5(path, _KIND) as file:
            return _read(path, file)
    except (FileNotFoundError, PermissionError):
        raise
    # From HDF5, where the file's own structure is broken.
    except (KeyError, OSError, RuntimeError, TypeError) as error:
        raise ValueError(f"{str(path)!r} is damaged: {error}.") from error


def _read(path: str | Path, file: Any) -> tuple[list[StoredInstance], str, dict[str, Any] | None]:
    try:
        version, settings = _header(file.attrs)
        columns = _columns(file)
        instances = [_instance(columns, row) for row in range(len(columns["number"]))]
        if len({each.key for each in instances}) < len(instances):
            raise ValueError("it holds an instance twice")
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is damaged: {error}.") from error
    return instances, version, settings


def _write_numbers(group: Any, name: str, column: np.ndarray[Any, Any]) -> None:
    options: dict[str, Any] = {}
    if len(column) >= _COMPRESSED_FROM:
        options = {"compression": "gzip", "shuffle": True}
    group.create_dataset(name, data=column, **options)


def _write_texts(group: Any, name: str, column: list[str]) -> None:
    import h5py  # noqa: PLC0415

    # Strings of variable length lie apart from their dataset, where filters do not reach them.
    group.create_dataset(name, data=np.array(column, dtype=object), dtype=h5py.string_dtype())


def _text(name: str, value: str | None) -> str:
    if name == "failure":
        return json.dumps(value)
    return "null" if value is None else value


def _header(attrs: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None]:
    for name in ("version", "settings"):
        if not isinstance(attrs.get(name), str):
            raise ValueError(f"the attribute {name!r} is missing or no text")
    settings = json.loads(attrs["settings"])
    if settings is not None:
        if not isinstance(settings, dict) or set(settings) != {"seed", "vary"}:
            raise ValueError(f"the settings are {settings!r}")
        settings = {
            "seed": check_count("seed", settings["seed"], minimum=0),
            "vary": list(check_sources(settings["vary"])),
        }
    return attrs["version"], settings


def _columns(file: Any) -> dict[str, list[Any]]:
    group = file.get(_GROUP)
    if not hasattr(group, "keys"):
        raise ValueError(f"the group {_GROUP!r} is missing")
    columns = {}
    for names, kind in ((INTEGERS, "i"), (FLOATS, "f"), (NAMES + JSON, "O")):
        for name in names:
            columns[name] = _column(group, name, kind)
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the datasets differ in length: {lengths}")
    return columns


def _column(group: Any, name: str, kind: str) -> list[Any]:
    if name not in group:
        raise ValueError(f"the dataset {name!r} is missing")
    dataset = group[name]
    # The kind "O" of other things than strings, such as references, fails at asstr.
    if getattr(dataset, "ndim", None) != 1 or dataset.dtype.kind != kind:
        raise ValueError(f"the dataset {name!r} is not one column of the expected type")
    column: list[Any] = (dataset.asstr() if kind == "O" else dataset)[:].tolist()
    return column


def _instance(columns: Mapping[str, list[Any]], row: int) -> StoredInstance:
    values = {name: column[row] for name, column in columns.items()}
    try:
        check_choice("phase", values["phase"], get_args(Phase))
        check_choice("state", values["state"], _rows.FINISHED)
        for name in INTEGERS:
            check_count(name, values[name], minimum=-1 if name == "own" else 0)
        for name in JSON:
            _check_json(name, values)
        for name in ("loss", "finished"):
            values[name] = None if math.isnan(values[name]) else values[name]
        found = _rows.stored_instance(SimpleNamespace(**values), None)
        if _rows.imported_columns(found)["state"] != found.state:
            raise ValueError(f"it is {found.state}, with the failure {values['failure']!r}")
    except KeyError as error:
        raise ValueError(f"instance {row}: {error} is missing") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"instance {row}: {error}") from error
    return found


def _check_json(name: str, values: dict[str, Any]) -> None:
    """Check a text of JSON; what is null becomes None, and a failure is read."""
    found = json.loads(values[name])
    if found is None and name != "params":
        values[name] = None
    elif name == "failure" and isinstance(found, str):
        values[name] = found
    elif name == "failure" or not isinstance(found, dict):
        raise ValueError(f"{name} is {found!r}")
    elif name in {"constraints", "learning_curve"} and not all(
        type(value) in {int, float} for value in found.values()
    ):
        raise ValueError(f"{name} has values that are no numbers: {found!r}")
