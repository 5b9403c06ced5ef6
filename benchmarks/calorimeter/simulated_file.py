"""Files of simulated events."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from benchmarks.calorimeter.events_file import write_events
from benchmarks.calorimeter.setting import DATASETS
from benchmarks.calorimeter.simulation import blocks
from optuna_robust.progress import seconds_between_updates


def simulate_to_file(path: Path, dataset: str, n: int, *, seed: int, n_jobs: int) -> None:
    """Write the first events of a data set and seed, with a progress bar.

    Args:
        path:
            The file; one that is there is replaced when the new one is complete.
        dataset:
            ``"A"`` or ``"B"``.
        n:
            How many events.
        seed:
            At least 0.
        n_jobs:
            Number of processes.

    Raises:
        ImportError: If h5py is not installed.
        OSError: If the file cannot be written.
    """
    setting = DATASETS[dataset]
    with tqdm(total=n, unit=" events", mininterval=seconds_between_updates()) as bar:
        write_events(
            path,
            blocks(setting, n, seed=seed, n_jobs=n_jobs),
            n=n,
            cell_size=setting.cell_size,
            about={"dataset": dataset, "seed": seed, "constants": asdict(setting)},
            on_written=bar.update,
        )
