"""A module that runs a search when it is imported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import sys

from click.testing import CliRunner
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
import pytest

from optuna_robust.cli import main


OBJECTIVE = """
import optuna
import optuna_robust as opr


def objective(trial, instance):
    with open("trained.txt", "a") as file:
        file.write("trained")
    return trial.suggest_float("x", -1, 1) ** 2 + 0.1 * instance.rng.normal()


STORAGE = optuna.storages.JournalStorage(
    optuna.storages.journal.JournalFileBackend("study.log")
)
"""


MODELS = ["--models", "models.json", "--direction", "minimize"]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[optuna.Study]:
    """A study of two trials, in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    storage = JournalStorage(JournalFileBackend("study.log"))
    study = optuna.create_study(storage=storage, study_name="energy")
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=2)
    yield study
    sys.modules.pop("search", None)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (
            "optuna.load_study(storage=STORAGE, study_name='energy').optimize("
            "opr.MultiInstanceObjective(objective), n_trials=3)",
            "search.py, line 16, calls study.optimize",
        ),
        (
            "optuna.create_study(storage=STORAGE, study_name='other').optimize(objective)",
            "study.optimize",
        ),
        ("trial = optuna.load_study(storage=STORAGE, study_name='energy').ask()", "study.ask"),
        (
            "optuna.load_study(storage=STORAGE, study_name='energy').enqueue_trial({'x': 0.5})",
            "study.enqueue_trial",
        ),
        ("opr.robust_select(objective, {'x': [0.1, 0.2]})", "robust_select"),
        (
            "opr.confirm(optuna.load_study(storage=STORAGE, study_name='energy'), objective)",
            "confirm",
        ),
        ("optuna.delete_study(storage=STORAGE, study_name='energy')", "optuna.delete_study"),
        (
            "optuna.create_study(storage=STORAGE, study_name='energy')",
            "creates a study that exists already",
        ),
        (
            "try:\n"
            "    optuna.load_study(storage=STORAGE, study_name='energy').optimize(objective)\n"
            "except Exception:\n"
            "    pass",
            "study.optimize",
        ),
    ],
)
@pytest.mark.parametrize("command", ["confirm", "select"])
def test_a_search_without_a_main_guard_is_not_run(
    study: optuna.Study, command: str, search: str, message: str
) -> None:
    Path("search.py").write_text(f"{OBJECTIVE}\n{search}\n")
    Path("models.json").write_text('{"x": [0.1, 0.2, 0.3]}')
    options = {"confirm": ["energy"], "select": ["choice", *MODELS]}[command]
    args = [command, "study.log", options[0], "search:objective", *options[1:]]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert 'if __name__ == "__main__":' in result.stderr
    assert len(study.get_trials()) == 2
    assert not Path("trained.txt").exists()


@pytest.mark.parametrize("n_jobs", ["1", "2"])
def test_a_search_under_a_main_guard_may_be_there(study: optuna.Study, n_jobs: str) -> None:
    search = "optuna.load_study(storage=STORAGE, study_name='energy').optimize(objective)"
    Path("search.py").write_text(f"{OBJECTIVE}\nif __name__ == '__main__':\n    {search}\n")
    args = ["confirm", "study.log", "energy", "search:objective", "--n-instances", "2"]
    result = CliRunner().invoke(main, [*args, "--n-jobs", n_jobs, "--no-progress"])
    assert result.exit_code == 0, result.output
    assert len(study.get_trials()) == 2
    # What is refused while a module is imported works again.
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1), n_trials=1)
    assert len(study.get_trials()) == 3
