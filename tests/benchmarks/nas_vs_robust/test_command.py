"""The command, with processes, on a task that trains nothing."""

from contextlib import closing
import json
import os
from pathlib import Path
import re
import signal
import sqlite3
import subprocess
import sys
import time

import h5py
import numpy as np
import optuna
import pytest

from benchmarks.__main__ import main
from benchmarks.nas_vs_robust import measure
from benchmarks.nas_vs_robust.plan import ARMS
from benchmarks.nas_vs_robust.plan import numbers_of
from benchmarks.nas_vs_robust.plan import PRESETS
from benchmarks.tasks import TASKS
from tests.benchmarks.nas_vs_robust import noise


TINY = ["nas-vs-robust", "--task", "noise", "--seeds", "2", "--trainings", "12"]
TINY += ["--n-instances", "4", "--confirmations", "8", "--jobs", "2"]


@pytest.fixture(autouse=True)
def noise_task(monkeypatch):
    monkeypatch.setitem(TASKS, "noise", noise.card())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "noise", noise.card())
        assert main([*TINY, "--out", str(out)]) == 0
    return out


@pytest.fixture
def no_training(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("something was trained")

    monkeypatch.setattr(measure, "run_pieces", fail)


def results(folder):
    return json.loads((folder / "nas-vs-robust.json").read_text())


def test_json_has_the_promised_keys(folder):
    found = results(folder)
    assert {"task", "about", "loss", "command", "date", "machine", "settings", "versions"} <= (
        found.keys()
    )
    assert [(arm["name"], arm["seed"]) for arm in found["arms"]] == [
        *(("nas", seed) for seed in range(2)),
        *(("robust", seed) for seed in range(2)),
    ]
    for arm in found["arms"]:
        assert {"n_trainings", "seconds", "search_value", "optimism"} <= arm.keys()
        assert {"median", "iqr", "q3+iqr", "worst", "n", "failures"} <= arm["confirmed"].keys()
        assert arm["confirmed"]["n"] == 8
        assert "worst" not in arm["confirmed"]["intervals"]
        assert {size: len(losses) for size, losses in arm["fresh_losses"].items()} == {
            "4": 8,
            "16": 8,
        }
    assert [row["name"] for row in found["rows"]] == ["good", "bad"]
    (paired,) = found["paired"]["arms"]
    assert (found["paired"]["reference"], paired["arm"], paired["n_seeds"]) == ("nas", "robust", 2)
    assert "Wilcoxon" in found["paired"]["test"]


def test_budgets_are_equal_up_to_one_trial(folder):
    trained = {arm["name"]: arm["n_trainings"] for arm in results(folder)["arms"]}
    assert trained["nas"] == 12
    assert 12 <= trained["robust"] < 12 + 4


def test_studies_and_instances_are_in_one_file(folder):
    storage = f"sqlite:///{folder / 'nas-vs-robust.db'}"
    assert set(optuna.get_all_study_names(storage)) == {
        *(f"{arm}, seed {seed}, 12 trainings" for arm in ("nas", "robust") for seed in range(2)),
        "fixed row, good",
        "fixed row, bad",
    }
    nas, robust = (
        optuna.load_study(study_name=name, storage=storage)
        for name in ("nas, seed 0, 12 trainings", "robust, seed 0, 12 trainings")
    )
    assert len(nas.trials) == 12
    assert robust.best_trial.user_attrs["robust:n_instances"] == 4


def test_hdf5_has_all_losses(folder):
    arms = results(folder)["arms"]
    with h5py.File(folder / "nas-vs-robust.h5") as file:
        assert json.loads(file.attrs["about"])["task"] == "noise"
        for arm in arms:
            group = file[f"arms/{arm['name']}/12/{arm['seed']}"]
            assert group["search_losses"][:].tolist() == arm["search_losses"]
            assert group["fresh_losses/16"][:].tolist() == arm["fresh_losses"]["16"]
            assert json.loads(group.attrs["params"]) == arm["params"]
        # The good row is 5 better than the bad one.
        difference = file["rows/bad/fresh_losses/16"][:] - file["rows/good/fresh_losses/16"][:]
        assert difference == pytest.approx(np.full(8, 5.0))


def test_the_page_needs_no_network_and_has_the_tables(folder):
    page = (folder / "nas-vs-robust.html").read_text()
    assert "Arms at 12 trainings" in page
    assert page.index("At 12 trainings, no difference") < page.index("Plotly.newPlot")
    assert page.index("Plotly.newPlot") < page.index("<table>")
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", page)
    assert "<table>" in page
    assert page.count("Plotly.newPlot") >= 3


def test_markdown_is_what_was_printed(folder, no_training, capsys):
    main([*TINY, "--out", str(folder)])
    assert (folder / "nas-vs-robust.md").read_text() in capsys.readouterr().out


def test_the_same_command_trains_nothing_again(folder, no_training):
    before = results(folder)
    assert main([*TINY, "--out", str(folder)]) == 0
    assert results(folder) == before


def test_other_settings_in_the_same_folder_are_refused(folder, no_training, capsys):
    with pytest.raises(SystemExit):
        main([*TINY, "--n-instances", "5", "--out", str(folder)])
    assert "n_instances 4 (now 5)" in capsys.readouterr().err


def test_all_arms_at_once(tmp_path):
    options = ["--trainings", "44", "--seeds", "1", "--arms", *reversed(ARMS)]
    options += ["--confirmations", "20"]
    assert main([*TINY, *options, "--out", str(tmp_path)]) == 0
    assert [arm["name"] for arm in results(tmp_path)["arms"]] == list(ARMS)
    assert [arm["arm"] for arm in results(tmp_path)["paired"]["arms"]] == list(ARMS[1:])
    assert "Winners by sample size" in (tmp_path / "nas-vs-robust.md").read_text()


def test_arms_without_the_reference_are_not_compared(tmp_path):
    assert main([*TINY, "--arms", "robust", "--seeds", "1", "--out", str(tmp_path)]) == 0
    assert results(tmp_path)["paired"]["arms"] == []


def test_several_budgets_have_their_verdicts_and_files(tmp_path):
    budgets = [option for option in TINY if option not in {"--trainings", "12"}]
    assert main([*budgets, "--budgets", "30", "12", "--out", str(tmp_path)]) == 0
    found = results(tmp_path)
    assert found["budgets"] == [12, 30]
    assert [(arm["name"], arm["budget"], arm["seed"]) for arm in found["arms"]] == [
        (arm, budget, seed)
        for budget in (12, 30)
        for arm in ("nas", "robust")
        for seed in range(2)
    ]
    assert [each["trainings"] for each in found["paired"]["arms"]] == [12, 30]
    assert found["verdict"][0].startswith("At 30 trainings")
    assert found["verdict"][1].startswith("At 12 trainings")
    assert found["equal_seconds"]["arms"] == []
    with h5py.File(tmp_path / "nas-vs-robust.h5") as file:
        assert set(file["arms/robust"]) == {"12", "30"}
    # Nothing is trained twice: what a smaller budget has trained is there.
    storage = f"sqlite:///{tmp_path / 'nas-vs-robust.db'}"
    studies = [
        optuna.load_study(study_name=f"nas, seed 0, {budget} trainings", storage=storage)
        for budget in (12, 30)
    ]
    shorter, longer = ([trial.params for trial in study.trials] for study in studies)
    assert longer[:12] == shorter


def test_another_budget_is_added_to_the_same_folder(tmp_path):
    options = [*TINY, "--arms", "nas", "--seeds", "1", "--out", str(tmp_path)]
    assert main(options) == 0
    assert main([*options, "--trainings", "20"]) == 0
    assert [arm["budget"] for arm in results(tmp_path)["arms"]] == [20]


def test_interrupting_leaves_what_is_finished(tmp_path, monkeypatch, capsys):
    whole = measure.run_pieces

    def interrupted(*args, **kwargs):
        yield next(iter(whole(*args, **kwargs)))
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "run_pieces", interrupted)
    assert main([*TINY, "--out", str(tmp_path)]) == 130
    assert "same command goes on" in capsys.readouterr().out
    assert not (tmp_path / "nas-vs-robust.json").exists()
    monkeypatch.setattr(measure, "run_pieces", whole)
    assert main([*TINY, "--out", str(tmp_path)]) == 0
    assert "1 of 6 searches and rows are there" in capsys.readouterr().out


def test_instances_of_other_settings_are_refused_before_any_search_is_finished(
    tmp_path, monkeypatch, capsys
):
    def interrupted(bench, pieces, *, n_jobs):
        with bench.store(seed=0, sample_size=16):
            raise KeyboardInterrupt
        yield

    monkeypatch.setattr(measure, "run_pieces", interrupted)
    assert main([*TINY, "--out", str(tmp_path)]) == 130
    options = ["--arms", "nas", "--sample-sizes", "4", "16"]
    with pytest.raises(SystemExit):
        main([*TINY, "--preset", "standard", *options, "--out", str(tmp_path)])
    assert "holds instances of other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--n-instances", "2"], "must be at least 3"),
        (["--trainings", "many"], "must be an integer"),
        (["--trainings", "5"], "--trainings must be at least --n-instances"),
        (["--confirmations", "9"], "--confirmations must be at least 10 for the arm robust"),
        (
            ["--arms", "robust-select", "--confirmations", "19"],
            "--confirmations must be at least 20 for the arm robust-select",
        ),
        (["--task", "noise", "--schedule", "cosine"], "--schedule goes with energy and position"),
        (["--events", "some.h5", "--dataset", "A"], "--dataset is what is simulated"),
        (["--arms", "nas-retrained", "--trainings", "39"], "at least 40 for the arm nas-retrai"),
        (["--trainings", "40", "--budgets", "50"], "--budgets is in place of --trainings"),
        (["--budgets", "100", "9"], "--budgets must be at least --n-instances (10), but was 9"),
        (["--arms", "luck"], "invalid choice"),
        (["--jobs", "0"], "must be at least 1"),
        (["--task", "letters"], "invalid choice"),
        (["--task", "noise", "--events", "some.h5"], "--events goes with energy and position"),
        (["--task", "energy", "--events", "missing.h5"], "missing.h5"),
        (["--out", __file__], "cannot be written"),
    ],
)
def test_bad_input_is_refused_before_training(
    arguments, complaint, no_training, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["nas-vs-robust", *arguments])
    assert complaint in capsys.readouterr().err


def test_samples_larger_than_the_population_are_refused(no_training, capsys, tmp_path):
    with pytest.raises(SystemExit):
        main([*TINY, "--sample-sizes", "10", "101", "--out", str(tmp_path)])
    assert "must be at most 100, the training population of noise" in capsys.readouterr().err


def test_a_file_that_is_no_database_is_refused(tmp_path, capsys, no_training):
    (tmp_path / "nas-vs-robust.db").write_text("text")
    with pytest.raises(SystemExit):
        main([*TINY, "--out", str(tmp_path)])
    assert "not a database" in capsys.readouterr().err


def test_presets_are_what_was_promised():
    assert set(PRESETS) == {"quick", "standard", "paper"}
    assert [preset.confirmations for preset in PRESETS.values()] == [15, 50, 100]
    assert [preset.seeds for preset in PRESETS.values()] == [8, 10, 20]
    assert numbers_of("energy", "quick") == PRESETS["quick"]
    assert numbers_of("digits", "quick").seeds == 10
    assert numbers_of("cartpole", "standard").seeds == 20
    assert set(PRESETS["standard"].arms) >= {"nas", "nas-retrained", "robust", "robust-select"}
    assert PRESETS["paper"].arms == ARMS
    for card in TASKS.values():
        if "events" in card.options:
            assert set(card.sample_sizes) == set(card.rows) == set(PRESETS)
            assert len(card.rows["quick"]) == 2


@pytest.mark.slow
def test_a_killed_benchmark_goes_on_and_finds_the_same(tmp_path):
    options = ["--task", "edge", "--seeds", "1", "--trainings", "60", "--n-instances", "4"]
    options += ["--confirmations", "20", "--jobs", "2"]
    command = [sys.executable, "-m", "benchmarks", "nas-vs-robust", *options, "--out"]
    root = Path(__file__).parents[3]
    subprocess.run([*command, tmp_path / "undisturbed"], cwd=root, check=True)

    database = tmp_path / "killed" / "nas-vs-robust.db"
    killed_at = []
    for least in (5, 50, 90):
        process = subprocess.Popen([*command, database.parent], cwd=root, start_new_session=True)
        while process.poll() is None and (n := _n_stored(database)) < least:
            time.sleep(0.05)
        killed_at.append(n)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*command, database.parent], cwd=root, check=True)

    undisturbed, killed = results(tmp_path / "undisturbed"), results(database.parent)
    for arm in undisturbed["arms"] + killed["arms"]:
        del arm["seconds"]
    assert killed["arms"] == undisturbed["arms"]
    assert killed_at[0] < killed_at[-1]
    assert _n_stored(database) == _n_stored(tmp_path / "undisturbed" / "nas-vs-robust.db")


def _n_stored(database):
    if not database.exists():
        return 0
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        there = "SELECT count(*) FROM sqlite_master WHERE name = 'optuna_robust_instances'"
        if not connection.execute(there).fetchone()[0]:
            return 0
        done = "SELECT count(*) FROM optuna_robust_instances WHERE state = 'done'"
        return connection.execute(done).fetchone()[0]
