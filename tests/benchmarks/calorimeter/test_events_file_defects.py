"""The loader names each defect of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.calorimeter.events import UNITS


pytest.importorskip("h5py")

import h5py

from benchmarks.calorimeter.events_file import EventsFile


def replace_dataset(file: Any, name: str, data: Any, units: str | None = None) -> None:
    del file[name]
    file.create_dataset(name, data=data).attrs["units"] = UNITS[name] if units is None else units


def spoil(file: Any, name: str, row: int, value: float) -> None:
    values = file[name][:]
    values[row] = value
    file[name][:] = values


DEFECTS = {
    "no format": (lambda f: f.attrs.pop("format"), "does not hold a calorimeter events"),
    "other format": (
        lambda f: f.attrs.update(format="something"),
        "does not hold a calorimeter events",
    ),
    "newer version": (lambda f: f.attrs.update(format_version=2), "has format version 2"),
    "missing dataset": (lambda f: f.pop("theta_x"), "the dataset 'theta_x' is missing"),
    "group": (
        lambda f: (f.pop("y"), f.create_group("y")),
        "the dataset 'y' is missing",
    ),
    "shape of cells": (
        lambda f: replace_dataset(f, "cells", np.zeros((9, 13, 15), "f4")),
        r"'cells' must have the shape \(n, 15, 15\), but has \(9, 13, 15\)",
    ),
    "shape of column": (
        lambda f: replace_dataset(f, "x", np.zeros((9, 1), "f4")),
        r"'x' must have the shape \(n,\), but has \(9, 1\)",
    ),
    "scalar": (
        lambda f: replace_dataset(f, "x", np.float32(1.0)),
        r"'x' must have the shape \(n,\), but has \(\)",
    ),
    "length": (
        lambda f: replace_dataset(f, "y", np.zeros(8, "f4")),
        "differ in length: .*'y': 8",
    ),
    "double precision": (
        lambda f: replace_dataset(f, "energy", np.ones(9, "f8")),
        "'energy' must be float32, but is float64",
    ),
    "integers": (
        lambda f: replace_dataset(f, "cells", np.ones((9, 15, 15), "i4")),
        "'cells' must be float32, but is int32",
    ),
    "no units": (
        lambda f: f["x"].attrs.pop("units"),
        "'x' must have 'units' 'cm', but has None",
    ),
    "other units": (
        lambda f: f["energy"].attrs.update(units="MeV"),
        "'energy' must have 'units' 'GeV', but has 'MeV'",
    ),
    "no cell size": (lambda f: f.attrs.pop("cell_size"), "'cell_size' must be a positive number"),
    "cell size 0": (
        lambda f: f.attrs.update(cell_size=0.0),
        "'cell_size' must be a positive number of cm, but is 0.0",
    ),
    "cell size as text": (lambda f: f.attrs.update(cell_size="2 cm"), "but is '2 cm'"),
    "position": (
        lambda f: f.attrs.update(position="back"),
        r"'position' must be one of \('face', 'centre'\), but is 'back'",
    ),
    "position as number": (lambda f: f.attrs.update(position=8), "'position' must be one of .*8"),
    "seed": (lambda f: f.attrs.update(seed="zero"), "'seed' must be an integer, but is 'zero'"),
    "constants": (lambda f: f.attrs.update(constants="{"), "'constants' must be JSON"),
    "nan": (
        lambda f: spoil(f, "cells", 4, np.nan),
        "'cells' must be finite, but is not in 1 rows, the first of them 4",
    ),
    "infinity": (lambda f: spoil(f, "theta_y", 2, np.inf), "'theta_y' must be finite.* 2"),
    "energy 0": (
        lambda f: spoil(f, "energy", 8, 0.0),
        "'energy' must be finite and positive, but is not in 1 rows, the first of them 8",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_is_named(own: Path, defect: str) -> None:
    harm, message = DEFECTS[defect]
    with h5py.File(own, "r+") as file:
        harm(file)
    with pytest.raises(ValueError, match=message) as caught:
        EventsFile(own)
    assert str(own) in str(caught.value)


def test_all_defects_are_named_at_once(own: Path) -> None:
    with h5py.File(own, "r+") as file:
        file.pop("theta_x")
        file["energy"].attrs["units"] = "MeV"
    with pytest.raises(ValueError, match="theta_x") as caught:
        EventsFile(own)
    assert "MeV" in str(caught.value)


def test_a_file_without_events_is_refused(own: Path) -> None:
    with h5py.File(own, "r+") as file:
        for name in UNITS:
            shape = (0, 15, 15) if name == "cells" else (0,)
            replace_dataset(file, name, np.zeros(shape, "f4"))
    with pytest.raises(ValueError, match="there are no events"):
        EventsFile(own)


def test_values_need_not_be_checked(own: Path) -> None:
    with h5py.File(own, "r+") as file:
        spoil(file, "x", 0, np.nan)
    assert len(EventsFile(own, check_values=False)) == 9


def test_what_is_no_hdf5_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(ValueError, match="is not an HDF5 file"):
        EventsFile(tmp_path / "text.h5")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        EventsFile(tmp_path / "missing.h5")
