from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.calorimeter.events import COLUMNS
from benchmarks.calorimeter.events import UNITS
from benchmarks.calorimeter.simulated_file import simulate_to_file


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A file as a user writes it, without this package."""
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "geant4.h5"
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=9) for name in COLUMNS}
    columns["energy"] = rng.uniform(1.0, 50.0, 9)
    columns["cells"] = rng.exponential(size=(9, 15, 15))
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": "calorimeter events", "format_version": 1, "cell_size": 2.0})
        for name, column in columns.items():
            dataset = file.create_dataset(name, data=column.astype("float32"))
            dataset.attrs["units"] = UNITS[name]
    return path


@pytest.fixture(scope="session")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 1000 simulated events."""
    path = tmp_path_factory.mktemp("events") / "events.h5"
    simulate_to_file(path, "B", 1000, seed=0, n_jobs=1)
    return path
