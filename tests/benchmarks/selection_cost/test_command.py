import json

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.selection_cost.problems import FamilyProblem
from benchmarks.selection_cost.runner import Plan
from benchmarks.selection_cost.runner import run_cases


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("table") / "measured.csv"
    names = ",".join(f"accuracy_{number}" for number in range(6))
    rows = [
        ",".join(["10" if model < 8 else "20", *map(str, 0.1 * model + 0.1 * rng.normal(size=6))])
        for model in range(10)
    ]
    path.write_text("\n".join([f"size,{names}", *rows]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    options = ["--where", "size=10", "--criterion", "mean", "std", "--replays", "3"]
    options += ["--optuna-replays", "2", "--jobs", "1", "--out", str(out)]
    assert main(["selection-cost", "--table", str(table), *options]) == 0
    return out


def test_json_holds_every_case_arm_and_replay(folder):
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["command"].startswith("python -m benchmarks selection-cost --table")
    assert {"date", "versions", "seconds", "seed", "left_out"} <= results.keys()
    assert [case["criterion"] for case in results["cases"]] == ["mean", "std"]
    for case in results["cases"]:
        assert (case["n_models"], case["n_instances"], case["n_replays"]) == (8, 6, 3)
        arms = {arm["name"]: arm for arm in case["arms"]}
        assert arms["halving k=2"]["n_replays"] == 3
        assert arms["MedianPruner"]["n_replays"] == 2
        assert len(arms["halving k=2"]["replays"]["regret"]) == 3
        assert arms["halving k=2"]["trainings"]["value"] == (8 * 3 + 4 + 2) / 8
        assert arms["halving k=2"]["error_rate"] is None


def test_report_and_figure_are_written(folder):
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "## measured, size=10, mean, 3 replays" in text
    assert "| halving k=2 " in text
    assert "plotly" in (folder / "cost_regret.html").read_text(encoding="utf-8").lower()


def test_screen_shows_the_table(table, tmp_path, capsys):
    options = ["--criterion", "mean", "--replays", "2", "--optuna-replays", "1", "--jobs", "1"]
    main(["selection-cost", "--table", str(table), *options, "--out", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "| halving k=4 " in shown
    assert f"Written to {tmp_path}" in shown


def test_result_does_not_depend_on_the_number_of_processes():
    plan = Plan(n_replays=2, n_slow_replays=1, tolerance=0.001, seed=3)
    one, two = (
        run_cases([FamilyProblem("independent-50")], ["q3+iqr"], plan, n_jobs=n) for n in (1, 2)
    )
    assert [arm.name for arm in one[0].arms] == [arm.name for arm in two[0].arms]
    for a, b in zip(one[0].arms, two[0].arms, strict=True):
        assert a.regret.tolist() == b.regret.tolist()
        assert a.trainings.tolist() == b.trainings.tolist()
        assert a.lost is not None
        assert b.lost is not None
        assert a.lost.tolist() == b.lost.tolist()


def test_full_training_has_no_regret_by_construction_but_may_err_in_the_population():
    plan = Plan(n_replays=2, n_slow_replays=1, tolerance=0.0, seed=1)
    (case,) = run_cases([FamilyProblem("unequal-64")], ["q3+iqr"], plan, n_jobs=1)
    full = next(arm for arm in case.arms if arm.name == "exhaustive n=20")
    assert not full.regret.any()
    assert full.population_regret is not None
    assert full.population_regret.max() > 0.0


def test_large_families_get_fewer_replays():
    plan = Plan(n_replays=200, n_slow_replays=20, tolerance=None, seed=0)
    assert plan.replays(FamilyProblem("measured-64")) == 200
    assert plan.replays(FamilyProblem("large-7000")) == 10
    assert plan.slow_replays(FamilyProblem("measured-600")) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--table", "none.csv"], "none.csv cannot be read"),
        (["--where", "a=1"], "are about a --table"),
        (["--table", "TABLE", "--where", "a"], "must be COLUMN=VALUE"),
        (["--table", "TABLE", "--where", "a=1"], "no column 'a'"),
        (["--table", "TABLE", "--columns", "b"], "no numbered columns b_"),
        (["--synthetic", "nothing"], "invalid choice: 'nothing'"),
        (["--criterion", "best"], "invalid choice: 'best'"),
        (["--replays", "1"], "must be at least 2"),
        (["--tolerance", "-1"], "must be at least 0"),
        (["--tolerance", "x"], "must be a number"),
    ],
)
def test_bad_options_are_refused_before_anything_runs(table, capsys, options, message):
    given = [str(table) if option == "TABLE" else option for option in options]
    with pytest.raises(SystemExit):
        main(["selection-cost", *given])
    assert message in capsys.readouterr().err


def test_help_tells_the_format_of_tables(capsys):
    with pytest.raises(SystemExit):
        main(["selection-cost", "--help"])
    shown = capsys.readouterr().out
    assert "ValAccuracy_1" in shown
    assert "identical-512" in shown
