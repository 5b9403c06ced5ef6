"""The command line, in this process and as users run it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
import json
from pathlib import Path
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from typing import Any

from click.testing import CliRunner
from click.testing import Result
import numpy as np
import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial
from optuna.trial import TrialState
import pytest
import sqlalchemy as sa

import optuna_robust as opr
from optuna_robust.cli import main
from optuna_robust.comparison import detectable_effect
from optuna_robust.criteria import CRITERIA
from optuna_robust.elimination import RULES


# Every training leaves a line in trained.txt; the module prints, as users' modules do.
TRAIN = """
import os
import time

import optuna

print("module imported")
assert os.path.exists("train.py"), "not in the current directory"


def _note(instance):
    with open("trained.txt", "a") as file:
        file.write(f"{instance.phase} {instance.number}\\n")


def objective(trial, instance):
    x = trial.suggest_float("x", -1, 1)
    _note(instance)
    print("objective called")
    return (x - 0.5) ** 2 + (0.1 + abs(x)) * float(instance.rng.normal())


def negative(trial, instance):
    return -objective(trial, instance)


def hangs(trial, instance):
    loss = objective(trial, instance)
    if os.path.exists("hang") and instance.number % 1_000_000 == int(open("hang").read()):
        open("hanging", "w").close()
        time.sleep(600)
    return loss


def ordinary(trial):
    return trial.suggest_float("x", -1, 1) ** 2


def fails(trial, instance):
    trial.suggest_float("x", -1, 1)
    raise KeyError("what the user's code raised")


def fails_later(trial, instance):
    if instance.number % 1_000_000 == 3:
        raise KeyError("what the user's code raised")
    return objective(trial, instance)


def returns_text(trial):
    return "no number"


def quits(trial):
    raise SystemExit(0)


def prunes(trial):
    raise optuna.TrialPruned("too bad")


def asks_for_more(trial):
    return trial.suggest_float("x", -1, 1) + trial.suggest_float("y", -1, 1)


class Trainer:
    def objective(self, trial, instance):
        return objective(trial, instance)


trainer = Trainer()
no_function = 3
"""


def noisy(trial: optuna.Trial, instance: opr.Instance) -> float:
    x = trial.suggest_float("x", -1, 1)
    return (x - 0.5) ** 2 + (0.1 + abs(x)) * float(instance.rng.normal())


@pytest.fixture(scope="module", autouse=True)
def quick_disk() -> Iterator[None]:
    """Do not wait for the disk: here no machine loses its power."""

    def prepare(connection: Any, _: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    sa.event.listen(sa.Engine, "connect", prepare)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("os.fsync", lambda file: None)
        yield
    sa.event.remove(sa.Engine, "connect", prepare)


@pytest.fixture(scope="module")
def made(quick_disk: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the studies "robust" and "ordinary" in SQLite and in a journal file."""
    path = tmp_path_factory.mktemp("made")
    robust = optuna.create_study(
        study_name="robust",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=opr.RobustnessPruner(n_startup_trials=4),
    )
    robust.optimize(opr.MultiInstanceObjective(noisy, n_instances=4), n_trials=10)
    ordinary = optuna.create_study(study_name="ordinary")
    ordinary.add_trials(map(_finished, (0.9, 0.1, -0.2, 0.5)))
    storages: list[optuna.storages.BaseStorage] = [
        optuna.storages.RDBStorage(f"sqlite:///{path / 'study.db'}"),
        optuna.storages.JournalStorage(JournalFileBackend(str(path / "study.log"))),
    ]
    for storage in storages:
        for study in (robust, ordinary):
            optuna.copy_study(
                from_study_name=study.study_name,
                from_storage=study._storage,
                to_storage=storage,
            )
    return path


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory: a copy of the studies, and the module train."""
    for name in ("study.db", "study.log"):
        shutil.copy(made / name, tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "models.json").write_text('[{"x": 0.0}, {"x": 0.5}, {"x": -0.5}]')
    (tmp_path / "grid.json").write_text('{"x": [-1, -0.5, 0, 0.5, 1]}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield tmp_path
    sys.modules.pop("train", None)


SQLITE, JOURNAL = "sqlite:///study.db", "study.log"


def _finished(x: float) -> optuna.trial.FrozenTrial:
    return create_trial(
        value=x**2,
        params={"x": x},
        distributions={"x": optuna.distributions.FloatDistribution(-1, 1)},
    )


def _run(*args: str) -> Result:
    return CliRunner().invoke(main, list(args))


def _succeeds(*args: str) -> str:
    result = _run(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def _refused(*args: str) -> str:
    """The one line that a command with wrong arguments writes."""
    result = _run(*args)
    assert result.exit_code == 2, result.output
    assert not result.stdout
    (line,) = [
        line for line in result.stderr.splitlines() if not line.startswith(("module", "3 models"))
    ]
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


def _confirm(storage: str = SQLITE, study: str = "robust", *options: str) -> list[str]:
    return ["confirm", storage, study, "train:objective", "--no-progress", *options]


def _select(study: str = "choice", *options: str, storage: str = JOURNAL) -> list[str]:
    args = ["select", storage, study, "train:objective", "--no-progress"]
    return [*args, "--direction", "minimize", *options]


def _trained(here: Path) -> list[str]:
    log = here / "trained.txt"
    return log.read_text().splitlines() if log.exists() else []


def _load(study: str, storage: str = SQLITE) -> optuna.Study:
    return optuna.load_study(
        study_name=study, storage=_journal() if storage == JOURNAL else storage
    )


def _journal(path: str = JOURNAL) -> optuna.storages.JournalStorage:
    return optuna.storages.JournalStorage(JournalFileBackend(path))


def _studies() -> list[str]:
    return optuna.get_all_study_names(_journal())


def _rows(output: str, first: str) -> list[list[str]]:
    """Rows of the table whose header begins with a word."""
    lines = output.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.split()[:1] == [first])
    end = next(i for i in range(begin, len(lines) + 1) if i == len(lines) or not lines[i])
    return [line.split() for line in lines[begin + 2 : end]]


# The commands as such


@pytest.mark.parametrize("command", [[], ["confirm"], ["select"], ["report"], ["publish"]])
def test_help_shows_an_example(command: list[str]) -> None:
    text = _succeeds(*command, "--help")
    assert "Example" in text
    assert " ".join(["optuna-robust", *command]) in text
    assert max(map(len, text.splitlines())) <= 99


@pytest.mark.parametrize("command", ["confirm", "select"])
def test_help_names_every_criterion(command: str) -> None:
    text = " ".join(_succeeds(command, "--help").split())
    (named,) = re.findall(r"by: (.*?)\.", text)
    assert set(re.split(", | or ", named)) == set(CRITERIA)


def test_help_names_only_rules_that_exist() -> None:
    text = _succeeds("select", "--help")
    named = {"halving", "sequential-halving", "directed-welch", "directed-wilcoxon", "welch"}
    assert all(name in text for name in named)
    assert named <= set(RULES)


def test_version() -> None:
    assert _succeeds("--version") == f"optuna-robust, version {opr.__version__}\n"


@pytest.mark.parametrize(
    "args", [["nothing"], ["confirm"], ["report", "--n-trials", "x", "a", "b"]]
)
def test_wrong_usage_is_exit_code_2(args: list[str]) -> None:
    result = _run(*args)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    code = "import sys, optuna_robust.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"optuna", "numpy", "scipy", "sqlalchemy", "tqdm", "loky", "torch", "h5py"}
    assert not heavy & set(done.stdout.split())


# confirm


def test_confirm_prints_what_confirm_returns(here: Path) -> None:
    output = _succeeds(*_confirm(SQLITE, "robust", "--n-models", "2", "--n-instances", "12"))
    found = opr.ConfirmationResult.from_dict(_load("robust").user_attrs["robust:confirmation"])
    expected = opr.confirm(_load("robust"), noisy, n_models=2, n_instances=12)
    assert found.losses.tolist() == expected.losses.tolist()

    models = _rows(output, "model")
    assert [row[1] for row in models] == [str(model.index) for model in expected.models]
    for row, model in zip(models, expected.models, strict=True):
        assert row[2:4] == [f"{model.search_value:.5g}", f"{model.value:.5g}"]
        assert row[4:6] == [f"[{model.interval.low:.5g},", f"{model.interval.high:.5g}]"]
        assert row[6:8] == [f"{model.optimism:.3g}", f"{model.probability_best:.2f}"]
        assert row[8] == f"x={model.params['x']:.6g}"
    (pair,) = _rows(output, "models")
    assert pair[:4] == ["1", "-", "2", f"{expected.pairs[0].difference:.3g}"]
    assert "Q3 + IQR of 12 fresh instances (smaller is better), intervals of 95 %" in output
    assert "24 instances trained, 0 taken from the store" in output
    last = output.splitlines()[-1]
    assert last.startswith(
        f"Best: trial {expected.models[expected.best_index].index} with Q3 + IQR"
    )
    assert json.dumps(expected.best_params) in last
    assert "optimistic" in last


def test_confirm_of_an_ordinary_study_with_every_option(here: Path) -> None:
    output = _succeeds(
        *_confirm(SQLITE, "ordinary", "--n-models", "1", "--n-instances", "15", "--seed", "3"),
        *("--criterion", "max", "--confidence", "0.9", "--stop-early", "--on-failure", "drop"),
        *("--store", "sqlite:///other.db", "--experiment", "mine", "--version", "v1"),
    )
    assert "worst of 15 fresh instances" in output
    assert "intervals of 90 %" in output
    assert "the mean with the search's one training" in output
    assert "Differences" not in output  # of one model
    (model,) = _rows(output, "model")
    assert model[4] == "-"  # there is no valid interval of a maximum
    store = opr.InstanceStore("sqlite:///other.db", "mine", version="v1")
    assert len(store.instances()) == 15
    store.close()
    expected = opr.confirm(
        _load("ordinary"), noisy, n_models=1, n_instances=15, criterion="max", seed=3
    )
    assert model[3] == f"{expected.models[0].value:.5g}"


def test_confirm_shows_failures(here: Path) -> None:
    args = ["confirm", JOURNAL, "robust", "train:fails_later", "--no-progress"]
    output = _succeeds(*args, "--n-instances", "10", "--criterion", "median")
    assert [row[-2] for row in _rows(output, "model")] == ["1", "1", "1"]


def test_confirm_tells_that_it_stopped_early(here: Path) -> None:
    study = optuna.create_study(storage=_journal(), study_name="clear")
    for x in (0.4, -1.0):
        study.add_trial(_finished(x))
    output = _succeeds(*_confirm(JOURNAL, "clear", "--n-instances", "99", "--stop-early"))
    (n,) = re.findall(r"Stopped early: (\d+) instances made the order clear", output)
    assert len(_trained(here)) == 2 * int(n) < 198


@pytest.mark.parametrize(
    ("storage", "store"), [(SQLITE, "study.db"), ("study.log", "study.log.instances.db")]
)
def test_the_default_store_knows_what_was_trained(here: Path, storage: str, store: str) -> None:
    first = _run(*_confirm(storage, "ordinary", "--n-instances", "10"))
    assert first.exit_code == 0
    assert len(_trained(here)) == 30
    opened = opr.InstanceStore(f"sqlite:///{store}", "ordinary")
    assert len(opened.instances()) == 30
    opened.close()

    again = _run(*_confirm(storage, "ordinary", "--n-instances", "12"))
    assert len(_trained(here)) == 36
    assert "6 instances trained, 30 taken from the store" in again.stdout
    assert "Nothing was trained" not in again.stderr

    last = _run(*_confirm(storage, "ordinary", "--n-instances", "12"))
    assert len(_trained(here)) == 36
    assert "Nothing was trained" in last.stderr


def test_another_version_is_refused(here: Path) -> None:
    _succeeds(*_confirm(JOURNAL, "ordinary", "--n-instances", "8", "--version", "1"))
    refused = _refused(*_confirm(JOURNAL, "ordinary", "--n-instances", "8", "--version", "2"))
    assert "version='2' differs from version='1'" in refused


def test_an_attribute_of_an_attribute_may_be_the_objective(here: Path) -> None:
    args = ["confirm", JOURNAL, "robust", "train:trainer.objective", "--no-progress"]
    _succeeds(*args, "--n-models", "1", "--n-instances", "8")
    assert len(_trained(here)) == 8


@pytest.mark.filterwarnings("always")
def test_warnings_are_one_line_each(here: Path) -> None:
    result = _run("confirm", JOURNAL, "ordinary", "train:ordinary", "--no-progress")
    assert result.exit_code == 0
    assert result.stderr.count("Warning: All 30 instances of") == 3
    assert ".py" not in result.stderr


def test_out_keeps_the_result(here: Path) -> None:
    pytest.importorskip("h5py")
    result = _run(*_confirm(JOURNAL, "ordinary", "--n-instances", "8", "--out", "result.h5"))
    assert "Written to result.h5." in result.stderr
    assert opr.ConfirmationResult.load("result.h5").losses.shape == (3, 8)
    _succeeds(*_select("choice", "--models", "models.json", "--out", "selection.h5"))
    assert len(opr.SelectionResult.load("selection.h5").models) == 3


# select


@pytest.mark.parametrize("rule", ["race", "halving"])
def test_select_prints_what_robust_select_returns(here: Path, rule: str) -> None:
    how = [] if rule == "race" else ["--rule", rule]
    result = _run(*_select("choice", "--models", "grid.json", *how))
    expected = opr.robust_select(noisy, {"x": [-1, -0.5, 0, 0.5, 1]}, rule=rule)
    assert result.exit_code == 0
    assert [
        [int(row[0]), int(row[1]), int(row[2]), row[3], int(row[4])]
        for row in _rows(result.stdout, "step")
    ] == [
        [
            step.step,
            len(step.kept),
            step.incumbent,
            "-" if step.step == 1 else f"{step.incumbent_value:.5g}",
            step.n_trained,
        ]
        for step in expected.steps
    ]
    (number,) = [
        trial.number
        for trial in _load("choice", JOURNAL).trials
        if trial.params == expected.best_params
    ]
    best = f"Best: model {expected.best_index} (trial {number} of choice) with Q3 + IQR"
    assert f"{best} {expected.best_value:.5g}" in result.stdout
    assert json.dumps(expected.best_params) in result.stdout
    assert f"{expected.n_trainings} instances trained" in result.stdout
    assert "optuna-robust confirm study.log choice train:objective" in result.stdout
    assert "5 models, at most 100 trainings (up to 20 of each)" in result.stderr
    told = f"of them all with probability {expected.probability:.3g}."
    assert (told in result.stdout) == (rule == "race")
    if rule == "halving":
        assert f"halving is expected to take {expected.n_trainings}." in result.stderr

    trials = _load("choice", JOURNAL).trials
    assert sorted(trial.params["x"] for trial in trials) == [-1, -0.5, 0, 0.5, 1]
    assert [trial.params for trial in trials if trial.state == TrialState.COMPLETE] == [
        expected.best_params
    ]


@pytest.mark.parametrize(
    "options",
    [
        ["--n-instances", "6"],
        ["--n-instances", "6", "--train-survivors"],
        ["--n-warmup-instances", "0"],
        ["--n-warmup-instances", "0", "--criterion", "mean"],
        ["--n-warmup-instances", "2", "--n-select", "3", "--train-survivors"],
        ["--n-instances", "3"],
        ["--n-instances", "2", "--n-select", "5"],
    ],
)
def test_halving_costs_what_was_expected(here: Path, options: list[str]) -> None:
    Path("many.json").write_text(json.dumps({"x": [i / 20 for i in range(20)]}))
    args = _select("choice", "--models", "many.json", "--rule", "halving", *options)
    result = _run(*args)
    assert result.exit_code == 0
    (expected,) = re.findall(r"is expected to take (\d+)\.", result.stderr)
    assert len(_trained(here)) == int(expected)


def test_a_race_with_a_tolerance_says_what_is_how_likely(here: Path) -> None:
    output = _succeeds(*_select("choice", "--models", "grid.json", "--tolerance", "0.5"))
    expected = opr.robust_select(noisy, {"x": [-1, -0.5, 0, 0.5, 1]}, tolerance=0.5)
    told = f"within 0.5 of the best of them all with probability {expected.probability:.3g}."
    assert told in output
    assert f"{expected.n_trainings} instances trained" in output


def test_a_race_keeps_to_its_trainings(here: Path) -> None:
    options = ["--models", "grid.json", "--max-trainings", "8"]
    result = _run(*_select("choice", *options))
    assert result.exit_code == 0
    assert "5 models, at most 8 trainings (up to 20 of each)" in result.stderr
    assert len(_trained(here)) == 8
    expected = opr.robust_select(noisy, {"x": [-1, -0.5, 0, 0.5, 1]}, max_trainings=8)
    assert f"Best: model {expected.best_index} (trial" in result.stdout


def test_select_from_a_study_with_a_test(here: Path) -> None:
    result = _run(
        *_select("choice", "--from-study", "ordinary", "--n-models", "3"),
        *("--rule", "directed-welch", "--n-instances", "6", "--n-select", "2", "--alpha", "0.01"),
        *("--n-warmup-instances", "2", "--criterion", "mean", "--train-survivors", "--seed", "5"),
    )
    assert result.exit_code == 0
    expected = opr.robust_select(
        noisy,
        [{"x": 0.1}, {"x": -0.2}, {"x": 0.5}],
        rule="directed-welch",
        n_instances=6,
        n_select=2,
        alpha=0.01,
        n_warmup_instances=2,
        criterion="mean",
        train_survivors=True,
        seed=5,
    )
    assert "at most 18 trainings (up to 6 of each).\n" in result.stderr
    survivors = _rows(result.stdout, "model")
    assert sorted(int(row[0]) for row in survivors) == list(expected.survivors)
    assert int(survivors[0][0]) == expected.best_index
    assert len(_load("choice", JOURNAL).trials) == 3


@pytest.mark.parametrize("how", ["--direction", "--from-study"])
def test_select_maximises(here: Path, how: str) -> None:
    source = optuna.create_study(storage=_journal(), study_name="source", direction="maximize")
    for x in (0.0, 1.0):
        source.add_trial(_finished(x))
    options = {
        "--direction": ["--direction", "maximize", "--models", "grid.json"],
        "--from-study": ["--from-study", "source"],
    }[how]
    args = ["select", JOURNAL, "choice", "train:negative", "--no-progress"]
    output = _succeeds(*args, *options)
    assert "by Q1 − IQR (larger is better)" in output
    assert _load("choice", JOURNAL).direction == optuna.study.StudyDirection.MAXIMIZE


def test_select_shows_spreads_positive(here: Path) -> None:
    """The same losses, turned round: the same table."""
    options = ["--no-progress", "--models", "grid.json", "--criterion", "std", "--n-select", "3"]
    options += ["--rule", "halving", "--n-instances", "6", "--train-survivors"]
    args = ["select", "a.log", "least", "train:objective", "--direction", "minimize"]
    least = _succeeds(*args, *options)
    options += ["--direction", "maximize"]
    most = _succeeds("select", "b.log", "most", "train:negative", *options)
    for first in ("step", "model"):
        assert _rows(most, first) == _rows(least, first)
    assert re.search(r"Best: model 2 \(trial \d of most\) with std 0\.", most)
    assert "halving by std (smaller is better):" in most


def test_select_needs_a_direction_where_nothing_tells_it(here: Path) -> None:
    args = ["select", JOURNAL, "choice", "train:negative", "--models", "models.json"]
    assert "--direction must be given" in _refused(*args)
    assert not _trained(here)
    assert "choice" not in _studies()
    optuna.create_study(storage=_journal(), study_name="choice", direction="maximize")
    assert "by Q1 − IQR (larger is better)" in _succeeds(
        *args, "--n-instances", "5", "--no-progress"
    )


def test_one_model_is_trained_to_the_end(here: Path) -> None:
    Path("models.json").write_text('[{"x": 0.5}]')
    options = ["--models", "models.json", "--rule", "halving", "--n-instances", "6"]
    result = _run(*_select("choice", *options))
    assert result.exit_code == 0
    assert "1 model, at most 6 trainings" in result.stderr
    assert "halving is expected to take 6." in result.stderr
    assert "of 6 instances" in result.stdout
    assert len(_trained(here)) == 6


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no folder that nobody can write to")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["confirm", JOURNAL, "robust", "train:objective", "--out", "/proc/a.h5"], "--out /proc"),
        (
            ["confirm", JOURNAL, "robust", "train:objective", "--store", "sqlite:////proc/a.db"],
            "cannot be opened as a store",
        ),
        (["report", JOURNAL, "robust", "--html", "/proc/a.html"], "--html /proc/a.html"),
    ],
)
def test_folders_that_cannot_be_written_are_refused_first(
    here: Path, args: list[str], message: str
) -> None:
    refused = _refused(*args)
    assert message in refused
    assert "nothing can be written to the directory '/proc'" in refused
    assert not _trained(here)


@pytest.mark.parametrize("storage", ["sqlite:///new.db", "new.log"])
def test_select_begins_a_storage(here: Path, storage: str) -> None:
    _succeeds(*_select("choice", "--models", "models.json", storage=storage))
    assert "3 complete" in _succeeds("report", storage, "choice") or "1 complete" in _succeeds(
        "report", storage, "choice"
    )


def test_models_may_come_from_standard_input(here: Path) -> None:
    args = _select("choice", "--models", "-", "--n-instances", "5")
    result = CliRunner().invoke(main, args, input='\ufeff[{"x": 0.25}, {"x": 0.75}]')
    assert result.exit_code == 0
    assert "2 models, at most 10 trainings" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "either --models FILE.json or --from-study NAME"),
        (
            ["--models", "models.json", "--from-study", "ordinary"],
            "either --models FILE.json or --from-study NAME",
        ),
        (["--from-study", "choice"], "--from-study must differ from STUDY"),
        (["--models", "nothing.json"], "No such file"),
        (["--models", "models.json", "--n-instances", "many"], "'many' is not a valid integer"),
        (["--models", "models.json", "--on-failure", "ignore"], "'ignore' is not one of"),
    ],
)
def test_select_tells_how_it_is_used(here: Path, options: list[str], message: str) -> None:
    result = _run(*_select("choice", *options))
    assert result.exit_code == 2
    assert "Usage: " in result.stderr
    assert message in result.stderr
    assert "choice" not in _studies()


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("[{", "models.json is not a JSON file"),
        ("\xff", "models.json is not a JSON file"),
        ("3", "models must be a list of hyperparameters"),
        ("[]", "must hold at least one model"),
        ("[3]", "models[0] must be a model's hyperparameters"),
        ('[{"x": 1}, {"x": 1}]', "models[1] is the same model as models[0]"),
        ('{"x": 1}', "The grid's 'x' must be a list of values"),
        ('{"x": []}', "The grid's 'x' has no values"),
    ],
)
def test_models_that_are_none_are_refused(here: Path, models: str, message: str) -> None:
    Path("models.json").write_bytes(models.encode("latin-1"))
    assert message in _refused(*_select("choice", "--models", "models.json"))
    assert "choice" not in _studies()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rule", "best"], "rule='best' is unknown"),
        (["--criterion", "best"], "criterion='best' is unknown"),
        (["--n-instances", "0"], "n_instances must be at least 1"),
        (["--n-instances", "1"], "q3+iqr"),
        (["--n-warmup-instances", "4"], "n_warmup_instances has no effect with rule='race'"),
        (["--tolerance", "0.1", "--rule", "halving"], "tolerance has no effect with rule='hal"),
        (["--tolerance", "-0.1"], "tolerance must lie in"),
        (
            ["--n-instances", "4", "--n-warmup-instances", "4", "--rule", "halving"],
            "leaves nothing to eliminate",
        ),
        (["--n-select", "4"], "n_select=4 is more than the 3 models"),
        (["--n-models", "2"], "n_models=2 is for a search space or a study"),
        (["--alpha", "2", "--rule", "welch"], "alpha must lie in (0, 1)"),
        (["--seed", "-1"], "seed must be at least 0"),
        (["--n-jobs", "0"], "n_jobs must be at least 1"),
    ],
)
def test_select_refuses_values_and_leaves_no_study(
    here: Path, options: list[str], message: str
) -> None:
    refused = _refused(*_select("choice", "--models", "models.json", *options))
    assert message in refused
    assert not _trained(here)
    assert "choice" not in _studies()


def test_select_refuses_another_direction_and_leaves_the_study(here: Path) -> None:
    optuna.create_study(storage=_journal(), study_name="choice", direction="maximize")
    args = _select("choice", "--models", "models.json", "--direction", "minimize")
    assert "Directions differ" in _refused(*args)
    assert "choice" in _studies()


def test_a_selection_that_failed_can_be_begun_with_other_settings(here: Path) -> None:
    args = ["--no-progress", "--models", "models.json", "--direction", "minimize"]
    failed = _run("select", JOURNAL, "choice", "train:fails", *args)
    assert failed.exit_code == 1
    assert "choice" not in _studies()
    _succeeds(*_select("choice", "--models", "models.json", "--n-instances", "5"))


# report


def test_report_of_a_robust_study(here: Path) -> None:
    output = _succeeds("report", SQLITE, "robust", "--n-trials", "3")
    study = _load("robust")
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    complete.sort(key=lambda trial: trial.values[0])
    n_trainings = sum(len(trial.user_attrs["robust:losses"]) for trial in study.trials)
    assert n_trainings < 40
    assert f"{len(complete)} complete, {10 - len(complete)} pruned, 0 failed, 0 running." in output
    told = re.findall(r"Trainings: (\d+), .* s\. (\d+) instances of stopped trials were", output)
    assert told == [(str(n_trainings), str(40 - n_trainings))]
    assert "n_instances 4" in output
    rows = _rows(output, "trial")
    assert [row[0] for row in rows] == [str(trial.number) for trial in complete[:3]]
    assert rows[0][1:] == [
        f"{complete[0].value:.5g}",
        f"{complete[0].user_attrs['robust:median']:.5g}",
        f"{complete[0].user_attrs['robust:spread']:.5g}",
        "4",
        "0",
        f"x={complete[0].params['x']:.6g}",
    ]
    assert "optuna-robust confirm sqlite:///study.db robust MODULE:OBJECTIVE" in output


def test_report_tells_what_differences_can_be_told(here: Path) -> None:
    complete = _load("robust").get_trials(states=(TrialState.COMPLETE,))
    losses = np.array([trial.user_attrs["robust:losses"] for trial in complete])
    smallest = detectable_effect(losses, 4, criterion="q3+iqr")
    found = json.loads(_succeeds("report", SQLITE, "robust", "--json"))
    assert found["detectable_difference"] == pytest.approx(smallest)
    output = _succeeds("report", SQLITE, "robust")
    assert (
        "With 4 instances you can tell models apart whose Q3 + IQR differs by "
        f"{smallest:.3g} or more (in 4 of 5 cases" in output
    )


def test_report_shows_the_confirmation(here: Path) -> None:
    confirmed = _succeeds(*_confirm(JOURNAL, "robust", "--n-instances", "9"))
    reported = _succeeds("report", JOURNAL, "robust")
    assert reported.endswith(f"Confirmation, {confirmed}")
    _load("robust", JOURNAL).add_trial(create_trial(value=-99.0))
    reported = _succeeds("report", JOURNAL, "robust", "--n-trials", "0")
    assert "The best trial of the search is now 10, with Q3 + IQR -99: it was not" in reported


def test_report_goes_on_without_a_confirmation_that_it_cannot_read(here: Path) -> None:
    _load("robust", JOURNAL).set_user_attr("robust:confirmation", {"format": "of the future"})
    result = _run("report", JOURNAL, "robust")
    assert result.exit_code == 0
    assert "Warning: the study's confirmation cannot be read" in result.stderr
    assert json.loads(_succeeds("report", JOURNAL, "robust", "--json"))["confirmation"] is None


def test_report_of_an_ordinary_study(here: Path) -> None:
    output = _succeeds("report", "study.log", "ordinary")
    assert "4 complete, 0 pruned, 0 failed, 0 running." in output
    assert "Trainings: 4, 0.0 s.\n" in output
    assert [row[0] for row in _rows(output, "trial")] == ["1", "2", "3", "0"]
    assert "Each trial is one training" in output
    assert "optuna-robust confirm study.log ordinary MODULE:OBJECTIVE" in output


def test_report_of_an_empty_study(here: Path) -> None:
    optuna.create_study(storage=_journal(), study_name="empty")
    output = _succeeds("report", JOURNAL, "empty")
    assert "0 complete, 0 pruned, 0 failed, 0 running." in output
    assert "No trial is complete yet." in output
    found = json.loads(_succeeds("report", JOURNAL, "empty", "--json"))
    assert found["best_trials"] == []
    assert found["n_trainings"] == 0


def test_report_of_several_objectives_is_their_pareto_front(here: Path) -> None:
    study = optuna.create_study(
        storage=_journal(),
        study_name="two",
        directions=["minimize", "minimize"],
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    objective = opr.MultiInstanceObjective(noisy, n_instances=3, returns=("median", "iqr"))
    study.optimize(objective, n_trials=6)
    output = _succeeds("report", JOURNAL, "two")
    front = [trial.number for trial in study.best_trials]
    assert f"Pareto front, {len(front)} of {len(front)} trials:" in output
    assert "trial  median, smaller is better  IQR, smaller is better  instances" in output
    assert [int(row[0]) for row in _rows(output, "trial")] == front
    assert "confirm" not in output  # which takes studies of one objective
    found = json.loads(_succeeds("report", JOURNAL, "two", "--json", "--n-trials", "1"))
    assert found["value_names"] == ["median", "iqr"]
    assert [len(trial["values"]) for trial in found["best_trials"]] == [2]


def test_report_of_trials_in_every_state(here: Path) -> None:
    study = optuna.create_study(storage=_journal(), study_name="states")
    study.set_user_attr("robust:settings", {"n_instances": 5, "criterion": ["mean"]})
    recorded: dict[str, Any] = {"robust:losses": [1.0, 2.0], "robust:seconds": [0.5, 0.25]}
    failures = {"robust:failures": {"1": "ValueError: no"}}
    for state, attrs in (
        (TrialState.COMPLETE, recorded | failures | {"robust:losses": [1.0, "worst", 1, 2, 3]}),
        (TrialState.PRUNED, recorded),
        (TrialState.FAIL, recorded),  # of a dead worker: the last one went on with it
        (TrialState.RUNNING, {"robust:losses": [1.0]}),
        (TrialState.WAITING, {}),
        (TrialState.PRUNED, recorded | {"robust:continues": 2}),
    ):
        value = 2.5 if state == TrialState.COMPLETE else None
        study.add_trial(create_trial(state=state, value=value, user_attrs=attrs))
    output = _succeeds("report", JOURNAL, "states")
    assert "1 complete, 2 pruned, 1 failed, 1 running, 1 waiting." in output
    # 5 of the complete one, 2 of each pruned one and of the dead one, 1 of the one that runs.
    assert "Trainings: 12, 2.2 s. 6 instances of stopped trials were not trained." in output
    assert _rows(output, "trial") == [["0", "2.5", "-", "-", "5", "1"]]


def test_report_as_json_is_strict(here: Path) -> None:
    _succeeds(*_confirm(JOURNAL, "robust", "--n-instances", "9", "--criterion", "max"))
    study = _load("robust", JOURNAL)
    best = study.best_trial.user_attrs["robust:losses"]

    def fail(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    printed = _succeeds("report", JOURNAL, "robust", "--json", "--n-trials", "1")
    found = json.loads(printed, parse_constant=fail)
    assert found["study"] == "robust"
    assert found["n_trials"]["complete"] + found["n_trials"]["pruned"] == 10
    assert found["n_trainings_without_pruning"] == 40
    assert found["settings"]["n_instances"] == 4
    assert found["best_trials"][0]["losses"] == best
    assert found["best_trials"][0]["values"] == [study.best_value]
    assert found["confirmation"]["criterion"] == "max"
    assert found["confirmation"]["models"][0]["interval"] == [None, None]


def test_report_of_infinite_values(here: Path) -> None:
    study = optuna.create_study(storage=_journal(), study_name="infinite")
    study.add_trial(create_trial(value=float("inf")))
    assert _rows(_succeeds("report", JOURNAL, "infinite"), "trial") == [["0", "inf"]]
    found = json.loads(_succeeds("report", JOURNAL, "infinite", "--json"))
    assert found["best_trials"][0]["values"] == ["Infinity"]


@pytest.mark.parametrize("storage", [SQLITE, JOURNAL])
def test_report_as_html(here: Path, storage: str) -> None:
    result = _run("report", storage, "robust", "--html", "robust.html", "--n-trials", "2")
    assert result.exit_code == 0, result.output
    assert not result.stdout
    assert "Written to robust.html." in result.stderr
    page = (here / "robust.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "<h2>The best 2 of" in page
    assert 'id="robust-instance-losses"' in page


def test_report_as_html_with_the_curves_of_a_store(here: Path) -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        for epoch in range(3):
            trial.report(noisy(trial, instance) + 1 / (epoch + 1), epoch)
        return noisy(trial, instance)

    store = opr.InstanceStore("sqlite:///instances.db", "mine", version="v1")
    study = optuna.create_study(storage=_journal(), study_name="curves")
    study.optimize(opr.MultiInstanceObjective(objective, 3, store=store), n_trials=4)
    store.close()
    told = ("--store", "sqlite:///instances.db", "--experiment", "mine", "--version")
    _succeeds("report", JOURNAL, "curves", "--html", "curves.html", *told, "v1")
    page = (here / "curves.html").read_text(encoding="utf-8")
    assert 'id="robust-learning-curves"' in page
    refused = _refused("report", JOURNAL, "curves", "--html", "curves.html", *told, "v2")
    assert "version='v2' differs from version='v1'" in refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--html", "none/a.html"], "there is no directory 'none'"),
        (["--html", "a.html", "--json"], "--html and --json exclude each other"),
        (["--store", "sqlite:///a.db"], "which only --html shows"),
        (["--html", "a.html", "--store", "sqlite:///a.db"], "There is no file 'a.db'."),
        (["--html", "a.html", "--experiment", "mine"], "--experiment mine says what of a store"),
        (["--html", "a.html", "--version", "v1"], "--version v1 says what of a store"),
        (["--version", "v1"], "--version v1 says what of a store"),
    ],
)
def test_report_as_html_refuses_what_cannot_be(
    here: Path, options: list[str], message: str
) -> None:
    assert message in _refused("report", SQLITE, "robust", *options)
    assert not list(here.glob("a.*"))


def test_report_as_html_tells_why_it_cannot_be_written(here: Path) -> None:
    (here / "taken.html").mkdir()
    assert _run("report", SQLITE, "robust", "--html", "taken.html").exit_code == 2


def test_report_changes_nothing(here: Path) -> None:
    names = ("study.db", "study.log")
    before = [(here / name).read_bytes() for name in names]
    files = sorted(path.name for path in here.iterdir())
    _succeeds("report", SQLITE, "robust")
    _succeeds("report", "study.log", "robust")
    _succeeds("report", "study.log", "robust", "--html", "page.html")
    (here / "page.html").unlink()
    _run("report", "study.log", "nothing")
    assert [(here / name).read_bytes() for name in names] == before
    assert sorted(path.name for path in here.iterdir()) == files


# publish


@pytest.mark.parametrize("storage", [SQLITE, JOURNAL])
def test_publish_puts_figures_and_notes_into_the_study(here: Path, storage: str) -> None:
    optuna_dashboard = pytest.importorskip("optuna_dashboard")
    result = _run("publish", storage, "robust", "--n-trials", "2")
    assert result.exit_code == 0, result.output
    assert not result.stdout
    assert "Published 4 figures and the notes of 'robust'." in result.stderr
    assert f"optuna-dashboard {storage}" in result.stderr
    assert "The best 2 of" in optuna_dashboard.get_note(_load("robust", storage))


def test_publish_of_an_ordinary_study(here: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    assert "Published 0 figures" in _run("publish", JOURNAL, "ordinary").stderr


# Arguments that are wrong


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("sqlite:///nothing.db", "There is no file 'nothing.db'"),
        ("nothing.log", "There is no file 'nothing.log'"),
        ("study.db", "write sqlite:///study.db"),
        ("train.py", "'train.py' is no journal file of Optuna's"),
        ("sqlite:///train.py", "file is not a database"),
        ("sqlite:///foreign.db", "is no storage of Optuna's"),
        ("sqlite://", "lives in memory"),
        ("sqlite:///:memory:", "lives in memory"),
        ("nosuch://user:secret@host/db", "Can't load plugin"),
        ("://", "cannot be opened"),
        (".", "cannot be opened"),
    ],
)
@pytest.mark.parametrize("command", ["report", "confirm"])
def test_a_storage_that_cannot_be_opened(
    here: Path, command: str, storage: str, message: str
) -> None:
    with sqlite3.connect("foreign.db") as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    objective = ["train:objective"] if command == "confirm" else []
    refused = _refused(command, storage, "robust", *objective)
    assert message in refused
    assert "secret" not in refused
    assert not Path("nothing.db").exists()
    assert not Path("nothing.log").exists()
    tables = sqlite3.connect("foreign.db").execute("SELECT name FROM sqlite_master").fetchall()
    assert tables == [("mine",)]


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("new.db", "write sqlite:///new.db"),
        ("no/such/new.log", "There is no directory"),
        ("sqlite:///no/such/new.db", "There is no directory"),
    ],
)
def test_a_storage_that_cannot_be_begun(here: Path, storage: str, message: str) -> None:
    args = _select("choice", "--models", "models.json", storage=storage)
    assert message in _refused(*args)


@pytest.mark.parametrize("storage", [SQLITE, "study.log"])
def test_a_study_that_is_not_there(here: Path, storage: str) -> None:
    refused = _refused("report", storage, "robsut")
    assert refused == f"{storage} has no study 'robsut'. Its studies are 'ordinary', 'robust'."
    assert "has no study" in _refused("confirm", storage, "robsut", "train:objective")
    assert "has no study" in _refused(*_select("choice", "--from-study", "robsut"))


def test_of_many_studies_some_are_listed(here: Path) -> None:
    Path("none.log").touch()
    assert "It has no studies at all." in _refused("report", "none.log", "robust")
    for i in range(25):
        optuna.create_study(storage=_journal("none.log"), study_name=f"study {i:02}")
    assert _refused("report", "none.log", "robust").endswith("'study 19' and 5 more.")


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("train", "write MODULE:OBJECTIVE"),
        ("train:", "write MODULE:OBJECTIVE"),
        (":objective", "write MODULE:OBJECTIVE"),
        ("train:objective()", "write MODULE:OBJECTIVE"),
        ("./train:objective", "write MODULE:OBJECTIVE"),
        ("train.py:objective", "Write train:objective"),
        ("trian:objective", "There is no module 'trian'"),
        ("train.inner:objective", "There is no module 'train.inner'"),
        ("train:objectiv", "has no 'objectiv'"),
        ("train:trainer.train", "has no 'trainer.train'"),
        ("train:no_function", "is no function, but int: 3"),
        ("train:Trainer", "is a class"),
        ("train:_note", "objective must be callable as objective(trial)"),
    ],
)
@pytest.mark.parametrize("command", ["confirm", "select"])
def test_an_objective_that_is_not_there(
    here: Path, command: str, objective: str, message: str
) -> None:
    options = ["--models", "models.json", "--direction", "minimize"]
    options = options if command == "select" else []
    refused = _refused(command, JOURNAL, "robust", objective, *options)
    assert message in refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--criterion", "best"], "criterion='best' is unknown"),
        (["--n-models", "0"], "n_models must be at least 1"),
        (["--n-instances", "0"], "n_instances must be at least 1"),
        (["--confidence", "95"], "confidence must lie in (0, 1), but was 95"),
        (["--seed", "-1"], "seed must be at least 0"),
        (["--n-jobs", "-2"], "n_jobs must be at least 1"),
        (["--store", "nonsense"], "'nonsense' is no database URL"),
        (["--store", "sqlite://"], "lives in memory and would be gone"),
        (["--store", "sqlite:///no/such/store.db"], "there is no directory 'no/such'"),
        (["--experiment", "x" * 256], "experiment must be a text of at most 255"),
        (["--out", "no/such/result.h5"], "there is no directory 'no/such'"),
    ],
)
def test_confirm_refuses_before_anything_is_trained(
    here: Path, options: list[str], message: str
) -> None:
    assert message in _refused(*_confirm(JOURNAL, "robust", *options))
    assert not _trained(here)


def test_confirm_refuses_studies_without_best_trials(here: Path) -> None:
    optuna.create_study(storage=_journal(), study_name="empty")
    assert "has no complete" in _refused(*_confirm(JOURNAL, "empty"))
    optuna.create_study(storage=_journal(), study_name="two", directions=["minimize", "maximize"])
    assert "objectives" in _refused(*_confirm(JOURNAL, "two"))


def test_an_objective_of_another_model_is_a_wrong_argument(here: Path) -> None:
    refused = _refused("confirm", JOURNAL, "robust", "train:asks_for_more", "--no-progress")
    assert "asks for the hyperparameter 'y'" in refused


def test_out_without_h5py(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optuna_robust.cli._saving.find_spec", lambda name: None)
    assert "optuna-robust[hdf5]" in _refused(*_confirm(JOURNAL, "robust", "--out", "result.h5"))
    assert not _trained(here)


# Work that fails


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("fails", 'KeyError: "what the user\'s code raised"'),
        ("quits", "SystemExit: 0"),
        ("returns_text", "The objective must return one loss"),
    ],
)
def test_an_objective_that_raises(here: Path, objective: str, message: str) -> None:
    result = _run("confirm", JOURNAL, "robust", f"train:{objective}", "--no-progress")
    assert result.exit_code == 1
    assert not result.stdout
    assert message in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: the objective failed.")
    frames = re.findall(r'File "(.*?)", line', result.stderr)
    assert frames == ([] if objective == "returns_text" else [str(here / "train.py")])


@pytest.mark.filterwarnings("always")
def test_a_failure_that_shall_raise_is_told_and_can_be_fixed(here: Path) -> None:
    args = ["confirm", JOURNAL, "robust", "train:fails_later", "--no-progress"]
    args += ["--n-models", "1", "--n-instances", "6", "--on-failure", "raise"]
    result = _run(*args)
    assert result.exit_code == 1
    assert "KeyError" in result.stderr
    assert len(_trained(here)) == 3
    again = _run("confirm", JOURNAL, "robust", "train:objective", *args[4:])
    assert again.exit_code == 0
    assert "trained by the objective 'fails_later', not by 'objective'" in again.stderr
    assert "3 instances trained, 3 taken from the store" in again.stdout


def test_a_selection_without_survivors(here: Path) -> None:
    args = ["select", JOURNAL, "choice", "train:prunes", "--no-progress"]
    result = _run(*args, "--models", "models.json", "--direction", "minimize")
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: No model is left: the objective raised TrialPruned")
    assert "Traceback" not in result.stderr


def test_a_result_that_cannot_be_written_is_shown_nevertheless(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("h5py")

    def full(self: object, path: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(opr.ConfirmationResult, "save", full)
    result = _run(*_confirm(JOURNAL, "robust", "--n-instances", "8", "--out", "result.h5"))
    assert result.exit_code == 1
    assert "Best: trial" in result.stdout
    assert result.stderr.splitlines()[-1] == "Error: result.h5 cannot be written: no space left."


def test_a_defect_of_the_package_is_not_hidden(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("optuna_robust.confirm", broken)
    result = _run(*_confirm(JOURNAL, "robust"))
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit('usage: broken.py FILE')", "SystemExit: usage: broken.py FILE"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_imported(here: Path, module: str, message: str) -> None:
    (here / "broken.py").write_text(module)
    result = _run("confirm", JOURNAL, "robust", "broken:objective")
    assert result.exit_code == 1
    assert message in result.stderr
    frames = re.findall(r'File "(.*?)", line', result.stderr)
    assert frames == [str(here / "broken.py")]


def test_ctrl_c_while_the_module_is_imported(here: Path) -> None:
    (here / "slow.py").write_text("raise KeyboardInterrupt")
    result = _run("confirm", JOURNAL, "robust", "slow:objective")
    sys.modules.pop("slow", None)
    assert result.exit_code == 130
    assert "Interrupted." in result.stderr


# Text that is odd


def test_odd_text_is_shown_safely(here: Path) -> None:
    name = "red \x1b[31m\nnew line 中 \u202e"
    study = optuna.create_study(storage=_journal(), study_name=name)
    choices = ("\x1b[2J", "a\nb", "学習", "\u202eabc")
    for choice in choices:
        study.add_trial(
            create_trial(
                value=1.0,
                params={"odd \x07": choice},
                distributions={"odd \x07": optuna.distributions.CategoricalDistribution(choices)},
            )
        )
    for args in (["report", JOURNAL, name], _confirm(JOURNAL, name)):
        result = _run(*args)
        assert all(line.isprintable() for line in result.output.split("\n"))
    output = _succeeds("report", JOURNAL, name)
    assert len(_rows(output, "trial")) == 4
    assert "学習" in output
    found = json.loads(_succeeds("report", JOURNAL, name, "--json"))
    assert found["study"] == name
    assert [trial["params"]["odd \x07"] for trial in found["best_trials"]] == list(choices)


def test_text_that_the_terminal_cannot_show(here: Path) -> None:
    optuna.create_study(storage=_journal(), study_name="学習")
    result = CliRunner(charset="cp1252").invoke(main, ["report", JOURNAL, "学習"])
    assert result.exit_code == 0
    assert "\\u5b66\\u7fd2" in result.stdout


# Processes, as users start them


# The command, that hears Ctrl-C even where this process does not: in the background of a shell.
LISTENING = """
import signal
from optuna_robust.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def _until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def _hanging(here: Path, number: int, args: list[str]) -> subprocess.Popen[str]:
    """A command that has come to an instance in which it hangs."""
    (here / "hang").write_text(str(number))
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENING, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _until((here / "hanging").exists, process)
    (here / "hang").unlink()
    return process


def test_the_installed_command_runs() -> None:
    command = Path(sys.executable).with_name("optuna-robust")
    if not command.exists():
        pytest.skip("the package is not installed with its command")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert opr.__version__ in done.stdout


@pytest.mark.parametrize("n_jobs", ["1", "2"])
def test_only_results_are_written_to_standard_output(here: Path, n_jobs: str) -> None:
    args = [*_confirm(SQLITE, "robust"), "--n-models", "2", "--n-instances", "8"]
    args.remove("--no-progress")
    done = subprocess.run(
        [sys.executable, "-m", "optuna_robust.cli", *args, "--n-jobs", n_jobs],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Q3 + IQR of 8 fresh instances")
    assert "objective called" not in done.stdout
    assert "module imported" not in done.stdout
    assert done.stderr.count("objective called") == 16
    assert "16/16" in done.stderr  # the progress bar
    assert len(_trained(here)) == 16


def test_an_objective_that_raises_in_another_process(here: Path) -> None:
    args = ["confirm", JOURNAL, "robust", "train:fails", "--n-jobs", "2", "--no-progress"]
    result = _run(*args)
    assert result.exit_code == 1
    assert "what the user's code raised" in result.stderr
    assert str(here / "train.py") in result.stderr
    assert "confirmation.py" not in result.stderr


@pytest.mark.parametrize("storage", [SQLITE, "study.log"])
def test_a_killed_confirmation_goes_on(here: Path, storage: str) -> None:
    args = ["confirm", storage, "robust", "train:hangs", "--n-models", "2", "--n-instances", "10"]
    process = _hanging(here, 6, args)
    process.kill()
    process.communicate()
    assert len(_trained(here)) == 13  # the 13th was lost

    done = _run(*args, "--no-progress")
    assert done.exit_code == 0
    assert len(_trained(here)) == 13 + 8
    assert "8 instances trained, 12 taken from the store" in done.stdout
    expected = opr.confirm(_load("robust", SQLITE), noisy, n_models=2, n_instances=10)
    assert f"with Q3 + IQR {expected.models[expected.best_index].value:.5g}" in done.stdout


def test_an_interrupted_selection_goes_on(here: Path) -> None:
    args = ["select", SQLITE, "choice", "train:hangs", "--models", "models.json"]
    args += ["--direction", "minimize"]
    process = _hanging(here, 2, args)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not out
    assert err.splitlines()[-1] == (
        "Interrupted. Everything that finished is kept in sqlite:///study.db: start the same "
        "command again, and it goes on."
    )
    assert "Traceback" not in err
    assert len(_trained(here)) == 7

    done = _run(*args, "--no-progress")
    assert done.exit_code == 0
    expected = opr.robust_select(noisy, [{"x": 0.0}, {"x": 0.5}, {"x": -0.5}])
    assert f"{expected.n_trainings - 6} instances trained, 6 taken from the store" in done.stdout
    assert len(_trained(here)) == expected.n_trainings + 1
    assert len(_load("choice").trials) == 3
