"""``python -m benchmarks calorimeter``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.calorimeter import command
from benchmarks.calorimeter import facts
from benchmarks.calorimeter import validation_page
from benchmarks.calorimeter.events import Events
from benchmarks.calorimeter.setting import DATASETS
from benchmarks.calorimeter.simulation import simulate
from benchmarks.pages import write_page


pytest.importorskip("h5py")

from benchmarks.calorimeter.events_file import EventsFile


SIMULATE = ["calorimeter", "simulate", "--dataset", "B", "--jobs", "1"]


def test_simulate_writes_the_events_of_the_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "events.h5"
    assert main([*SIMULATE, "--events", "600", "--seed", "4", "--out", str(path)]) == 0
    assert f"600 events of data set B, seed 4: {path}" in capsys.readouterr().out
    found = EventsFile(path)
    assert found.about["dataset"] == "B"
    assert found.about["seed"] == 4
    expected = simulate(DATASETS["B"], 600, seed=4)
    assert np.array_equal(found.take(range(600)).cells, expected.cells)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--events", "0"], "--events: must be at least 1, but was 0"),
        (["--events", "many"], "--events: must be an integer, but was 'many'"),
        (["--seed", "-1"], "--seed: must be at least 0, but was -1"),
        (["--position", "back"], "--position: invalid choice: 'back'"),
        (["--dataset", "A", "--position", "centre"], "position='centre' has no effect on data"),
        (["--dataset", "C"], "--dataset: invalid choice: 'C'"),
        (["--out", "missing/events.h5"], "--out missing/events.h5 cannot be written"),
        (["--out", "."], "--out must be a file, but . is a folder"),
    ],
)
def test_bad_arguments_are_named(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main([*SIMULATE, "--events", "10", "--out", "events.h5", *arguments])
    assert caught.value.code == 2
    # A path is written as the system writes it.
    assert message in capsys.readouterr().err.replace("\\", "/")
    assert not list(tmp_path.iterdir())


def test_stopping_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "simulate_to_file", stop)
    assert main([*SIMULATE, "--out", str(tmp_path / "events.h5")]) == 130
    assert "was not written" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def events() -> dict[str, Events]:
    return {name: simulate(setting, 1500, seed=0) for name, setting in DATASETS.items()}


def test_the_table_has_what_is_published(events: dict[str, Events]) -> None:
    table = validation_page.facts_table(events)
    assert "| A | position rmse | 0.142 |" in table
    assert "| B | energy rmse | 0.0239 |" in table
    for known in facts.PUBLISHED.values():
        assert set(known) <= set(facts.Facts.__dataclass_fields__)


def test_the_page_has_all_figures(events: dict[str, Events], tmp_path: Path) -> None:
    figures = validation_page.figures(events, n=100, seed=0)
    titles = " ".join(figure.layout.title.text for figure in figures)
    for word in ("no pile-up", "Containment", "S-curve", "Photons", "Data set A", "Data set B"):
        assert word in titles
    page = tmp_path / "page.html"
    write_page(page, figures, "a table", "Clusters")
    text = page.read_text(encoding="utf-8")
    assert "a table" in text
    assert text.count('class="plotly-graph-div"') == len(figures)


@pytest.mark.slow
def test_validate_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new"
    assert main(["calorimeter", "validate", "--events", "1000", "--out", str(out)]) == 0
    assert (out / "calorimeter-validation.html").stat().st_size > 10_000
    assert "| B | position rmse | 0.46 |" in capsys.readouterr().out
