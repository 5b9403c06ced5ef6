"""The command, with processes; killed and started again."""

from contextlib import closing
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import psutil
import pytest

from benchmarks.__main__ import main
from benchmarks.search_cost import runner


TINY = ["search-cost", "--families", "nothing", "trap", "--arms", "nas", "mean-of-5"]
TINY += ["--budgets", "10", "5", "--seeds", "3", "--jobs", "1"]
KILLED = ["search-cost", "--families", "flat", "--arms", "nas", "mean-of-5"]
KILLED += ["--budgets", "20", "50", "--seeds", "15"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    assert main([*TINY, "--out", str(out)]) == 0
    return out


@pytest.fixture
def searched(monkeypatch):
    """Return the list of the searches that are run."""
    found = []
    search = runner._search

    def recorded(piece):
        found.extend(piece.searches)
        return search(piece)

    monkeypatch.setattr(runner, "_search", recorded)
    return found


def rows(folder):
    with closing(sqlite3.connect(folder / "search-cost.db", timeout=60)) as connection:
        try:
            return dict(connection.execute("SELECT key, record FROM finished"))
        except sqlite3.OperationalError:  # not yet created
            return {}


def results(folder):
    return json.loads((folder / "search-cost.json").read_text(encoding="utf-8"))


def test_json_holds_every_search(folder):
    found = results(folder)
    assert found["command"].startswith("python -m benchmarks search-cost --families nothing trap")
    assert len(found["searches"]) == 2 * 2 * 2 * 3
    for each in found["searches"]:
        assert each["n_trainings"] == each["search"]["budget"]
        assert each["truth"] >= each["best"]
    assert {each["arm"] for each in found["versus"]} == {"mean-of-5"}


def test_page_and_report_are_written(folder):
    assert "## At 10 trainings" in (folder / "search-cost.md").read_text(encoding="utf-8")
    page = (folder / "search-cost.html").read_text(encoding="utf-8")
    assert "<table>" in page
    assert page.count("Plotly.newPlot") >= 2


def test_the_same_command_searches_nothing_again(folder, searched, capsys):
    before = results(folder)
    assert main([*TINY, "--out", str(folder)]) == 0
    assert not searched
    assert results(folder) == before
    assert "| trap " in capsys.readouterr().out


def test_more_seeds_and_budgets_search_only_what_is_new(folder, searched, tmp_path):
    out = tmp_path / "copy"
    out.mkdir()
    (out / "search-cost.db").write_bytes((folder / "search-cost.db").read_bytes())
    assert main([*TINY, "--budgets", "5", "15", "--seeds", "4", "--out", str(out)]) == 0
    assert {(each.seed, each.budget) for each in searched} == {
        *((seed, 15) for seed in range(3)),
        (3, 5),
        (3, 15),
    }


def test_searches_of_other_code_are_not_taken(folder, searched, tmp_path, monkeypatch):
    out = tmp_path / "copy"
    out.mkdir()
    (out / "search-cost.db").write_bytes((folder / "search-cost.db").read_bytes())
    monkeypatch.setattr(runner.fingerprints, "of_code", lambda *modules: "other")
    assert main([*TINY, "--out", str(out)]) == 0
    assert len(searched) == 24


def test_result_does_not_depend_on_the_number_of_processes(folder, tmp_path):
    assert main([*TINY, "--jobs", "2", "--out", str(tmp_path)]) == 0
    assert [(each["search"], each["truth"]) for each in results(tmp_path)["searches"]] == [
        (each["search"], each["truth"]) for each in results(folder)["searches"]
    ]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_command_goes_on(tmp_path, searched):
    out = ["--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *KILLED, "--jobs", "2", *out],
        stderr=subprocess.DEVNULL,
    )
    children = []
    try:
        while len(rows(tmp_path)) < 6 and process.poll() is None:
            time.sleep(0.02)
        children = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = rows(tmp_path)
    n_searches = 2 * 2 * 15
    assert 6 <= len(kept) < n_searches
    assert main([*KILLED, "--jobs", "1", *out]) == 0
    now = rows(tmp_path)
    assert len(now) == n_searches
    assert len(searched) == n_searches - len(kept)
    assert kept.items() <= now.items()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def test_a_table_is_searched(tmp_path):
    lines = ["width,loss_0,loss_1,loss_2,loss_3"]
    lines += [f"{width},{width / 10},{width / 9},{width / 8},{width / 11}" for width in range(9)]
    path = tmp_path / "widths.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    options = ["--arms", "nas", "halving", "--budgets", "8", "--seeds", "2", "--jobs", "1"]
    main(["search-cost", "--table", str(path), *options, "--out", str(tmp_path / "out")])
    found = results(tmp_path / "out")
    assert {each["search"]["problem"] for each in found["searches"]} == {"widths"}
    assert {each["best"] for each in found["searches"]} == {0.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--families", "unknown"], "invalid choice: 'unknown'"),
        (["--arms", "magic"], "invalid choice: 'magic'"),
        (["--arms", "halving"], "--reference nas is not among the --arms halving"),
        (["--budgets", "1"], "must be at least 2"),
        (["--budgets", "x"], "must be an integer"),
        (["--seeds", "0"], "must be at least 1"),
        (["--table", "none.csv"], "none.csv cannot be read"),
        (["--where", "a=1"], "are about a --table"),
        (["--table", "SAME"], "rows with the same hyperparameters"),
    ],
)
def test_bad_options_are_refused_before_anything_runs(
    tmp_path, searched, capsys, options, message
):
    same = tmp_path / "same.csv"
    rows = ["1,0,0,0,0", "1,1,1,1,1", "2,1,1,1,1"]
    same.write_text("\n".join(["x,loss_0,loss_1,loss_2,loss_3", *rows]), encoding="utf-8")
    given = [str(same) if option == "SAME" else option for option in options]
    with pytest.raises(SystemExit):
        main(["search-cost", *given, "--out", str(tmp_path)])
    assert message in capsys.readouterr().err
    assert not searched


def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.search_cost.arms.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        main(["search-cost", "--arms", "nas", "smac", "--out", str(tmp_path)])
    assert "--arms smac: smac is not installed" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit):
        main(["search-cost", "--out", str(tmp_path / "file")])
    assert "cannot be written" in capsys.readouterr().err
