"""Energies and positions as tasks of ``python -m benchmarks nas-vs-robust``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import optuna
import pytest

from benchmarks.__main__ import main
from benchmarks.calorimeter.models import PUBLISHED
from benchmarks.calorimeter.simulated_file import simulate_to_file
from benchmarks.calorimeter.space import parameters
from benchmarks.tasks import Setting
from benchmarks.tasks import TASKS
from optuna_robust import Instance


pytest.importorskip("h5py")
pytest.importorskip("xgboost")

from benchmarks.tasks.calorimeter import Calorimeter
from benchmarks.tasks.calorimeter import N_EPOCHS


def load(name: str, events: Path, **setting: str) -> Calorimeter:
    task = TASKS[name].load(seed=0, setting=Setting(events=events, **setting))  # type: ignore[arg-type]
    assert isinstance(task, Calorimeter)
    return task


@pytest.mark.parametrize(("name", "problem"), [("energy", "energy"), ("position", "position")])
def test_every_row_can_be_trained_and_is_as_published(
    name: str, problem: str, events: Path
) -> None:
    task = load(name, events)
    for row in TASKS[name].rows["paper"]:
        model = task.fixed(row)
        losses = task.losses(model, [Instance(0), Instance(1)], part="test", sample_size=64)
        assert np.isfinite(losses).all()
        if row in PUBLISHED:
            assert not isinstance(model, str)
            assert model.network == PUBLISHED[row].network
            assert model.training.n_epochs == N_EPOCHS["quick"]


def test_the_search_space_has_the_published_models(events: Path) -> None:
    task = load("energy", events, preset="paper")
    trial = optuna.trial.FixedTrial(parameters(PUBLISHED["NAS 1"], "energy"))
    model = task.suggest(trial)
    assert model == task.fixed("NAS 1")
    assert (model.training.n_epochs, model.training.schedule) == (50, "constant")
    annealed = load("energy", events, preset="paper", schedule="cosine").fixed("NAS 1")
    assert annealed == PUBLISHED["NAS 1"]


def test_losses_depend_on_instance_part_and_sample_size_alone(events: Path) -> None:
    task = load("energy", events)
    model = task.fixed("NAS 1")

    def losses(part: str, size: int, *numbers: int) -> list[float]:
        instances = [Instance(number) for number in numbers]
        return task.losses(model, instances, part=part, sample_size=size)  # type: ignore[arg-type]

    assert losses("validation", 64, 0, 1) == [
        *losses("validation", 64, 0),
        *losses("validation", 64, 1),
    ]
    found = [losses("validation", 64, 0), losses("test", 64, 0), losses("validation", 32, 0)]
    assert len({loss for (loss,) in found}) == 3


def test_the_population_is_what_samples_are_drawn_from(events: Path) -> None:
    assert load("energy", events).n_population == 700


def test_a_task_of_positions_is_searched_and_confirmed(events: Path, tmp_path: Path) -> None:
    options = ["--events", str(events), "--sample-sizes", "32", "--seeds", "1", "--jobs", "1"]
    options += ["--trainings", "4", "--n-instances", "3", "--confirmations", "4"]
    command = ["nas-vs-robust", "--task", "position", *options, "--out", str(tmp_path)]
    assert main(command) == 0
    found = json.loads((tmp_path / "nas-vs-robust.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in found["rows"]] == ["Model 4", "parametric"]
    assert [arm["name"] for arm in found["arms"]] == ["nas", "robust"]
    assert all(0.0 < arm["confirmed"]["median"] < 100.0 for arm in found["arms"])
    assert not list(tmp_path.glob("events*"))


def test_another_file_of_events_is_another_setting(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.h5"
    simulate_to_file(other, "B", 1000, seed=1, n_jobs=1)
    options = ["--sample-sizes", "8", "--seeds", "1", "--jobs", "1", "--arms", "nas"]
    options += ["--trainings", "3", "--n-instances", "3", "--confirmations", "3"]
    command = ["nas-vs-robust", *options, "--out", str(tmp_path), "--events"]
    assert main([*command, str(events)]) == 0
    with pytest.raises(SystemExit):
        main([*command, str(other)])
    assert "holds searches with other settings: data" in capsys.readouterr().err
