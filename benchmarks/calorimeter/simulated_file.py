"""Files of simulated events."""

from __future__ import annotations

from dataclasses import asdict
import json
from pathlib import Path

from tqdm import tqdm

from benchmarks.calorimeter.events import Position
from benchmarks.calorimeter.events_file import EventsFile
from benchmarks.calorimeter.events_file import write_events
from benchmarks.calorimeter.setting import setting_of
from benchmarks.calorimeter.simulation import blocks
from optuna_robust._base.progress import seconds_between_updates


# Of the events that benchmarks make for themselves.
_SEED = 0


def simulate_to_file(
    path: Path, dataset: str, n: int, *, seed: int, n_jobs: int, position: Position = "face"
) -> None:
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
        position:
            Where x and y are, ``"face"`` or ``"centre"``.

    Raises:
        ImportError: If h5py is not installed.
        OSError: If the file cannot be written.
        ValueError: If both positions are the same for the data set.
    """
    setting = setting_of(dataset, position)
    with tqdm(total=n, unit=" events", mininterval=seconds_between_updates()) as bar:
        write_events(
            path,
            blocks(setting, n, seed=seed, n_jobs=n_jobs),
            n=n,
            cell_size=setting.cell_size,
            position=position,
            about={"dataset": dataset, "seed": seed, "constants": asdict(setting)},
            on_written=bar.update,
        )


def simulated_events(
    folder: Path, dataset: str, n: int, n_jobs: int, position: Position = "face"
) -> Path:
    """Return a file of simulated events, made once, and again if its constants were changed.

    Arguments are those of :func:`simulate_to_file`; the file is named after them.
    """
    where = "" if position == "face" else f"{position}-"
    path = folder / f"events-{dataset}-{where}{n}.h5"
    constants = json.loads(json.dumps(asdict(setting_of(dataset, position))))
    if not path.exists() or EventsFile(path, check_values=False).about["constants"] != constants:
        simulate_to_file(path, dataset, n, seed=_SEED, n_jobs=n_jobs, position=position)
    return path
