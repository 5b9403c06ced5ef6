from dataclasses import replace
import json

import numpy as np
import optuna
import pytest


pytest.importorskip("torch")
pytest.importorskip("sklearn")

from benchmarks.__main__ import main
from benchmarks.nas_vs_robust import archive
from benchmarks.nas_vs_robust import command
from benchmarks.nas_vs_robust import report
from benchmarks.nas_vs_robust import statistics
from benchmarks.nas_vs_robust.arms import fresh_instances
from benchmarks.nas_vs_robust.arms import Outcome
from benchmarks.nas_vs_robust.arms import Plan
from benchmarks.nas_vs_robust.arms import run_arm
from optuna_robust import Instance


PLAN = Plan(trainings=12, n_instances=4, confirmations=8)
TINY = ["nas-vs-robust", "--seeds", "1", "--trainings", "12", "--n-instances", "4"]
TINY += ["--confirmations", "8", "--jobs", "1"]


class Noise:
    """A task without training: the loss is the parameter and the instance's noise."""

    def __init__(self):
        self.instances = []

    def loss(self, trial, instance, *, part):
        self.instances.append((part, instance))
        shift = 10.0 if part == "test" else 0.0
        return trial.suggest_float("x", 0, 1) + shift + instance.rng.normal()


def run_noise(arm, task, *, seed=0):
    storage = optuna.storages.InMemoryStorage()
    outcome = run_arm(
        arm, task, PLAN, seed=seed, study_name="a", storage=storage, on_training=lambda: None
    )
    return outcome, storage


def an_outcome(arm="nas", seed=0, *, search=(1.0,), fresh=(1.0, 2.0, 3.0)):
    return Outcome(
        arm=arm,
        seed=seed,
        n_trainings=12,
        n_trials=12,
        n_pruned=0,
        seconds=1.0,
        params={"x": 0.5},
        search_losses=search,
        fresh_losses=fresh,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    assert main([*TINY, "--out", str(out)]) == 0
    return out


@pytest.fixture
def no_training(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("something was trained")

    monkeypatch.setattr(command, "run_searches", fail)


def test_json_has_the_promised_keys(folder):
    arms = json.loads((folder / "nas-vs-robust.json").read_text())["arms"]
    assert [(arm["name"], arm["seed"]) for arm in arms] == [("nas", 0), ("robust", 0)]
    for arm in arms:
        assert {"n_trainings", "seconds", "search_value", "optimism"} <= arm.keys()
        assert {"median", "iqr", "q3+iqr", "worst", "n"} <= arm["confirmed"].keys()
        assert arm["confirmed"]["n"] == 8
        assert "worst" not in arm["confirmed"]["intervals"]


def test_budgets_are_equal_up_to_one_trial(folder):
    arms = json.loads((folder / "nas-vs-robust.json").read_text())["arms"]
    nas, robust = (arm["n_trainings"] for arm in arms)
    assert nas == 12
    assert 12 <= robust < 12 + 4


def test_studies_are_in_one_file(folder):
    storage = f"sqlite:///{folder / 'nas-vs-robust.db'}"
    assert set(optuna.get_all_study_names(storage)) == {"nas, seed 0", "robust, seed 0"}
    nas, robust = (
        optuna.load_study(study_name=name, storage=storage)
        for name in ("nas, seed 0", "robust, seed 0")
    )
    assert len(nas.trials) == 12
    assert robust.best_trial.user_attrs["robust:n_instances"] == 4


def test_markdown_is_what_was_printed(folder, no_training, capsys):
    main([*TINY, "--out", str(folder)])
    assert (folder / "nas-vs-robust.md").read_text() in capsys.readouterr().out


def test_the_same_command_trains_nothing_again(folder, no_training):
    before = json.loads((folder / "nas-vs-robust.json").read_text())["arms"]
    assert main([*TINY, "--out", str(folder)]) == 0
    assert json.loads((folder / "nas-vs-robust.json").read_text())["arms"] == before


def test_other_settings_in_the_same_folder_are_refused(folder, no_training, capsys):
    with pytest.raises(SystemExit):
        main([*TINY, "--trainings", "13", "--out", str(folder)])
    assert "trainings 12 (now 13)" in capsys.readouterr().err


def test_interrupting_leaves_what_is_finished(tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        outcome, storage = run_noise("nas", Noise())
        yield outcome, "a", storage
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_searches", interrupted)
    assert main([*TINY, "--out", str(tmp_path)]) == 130
    assert not (tmp_path / "nas-vs-robust.json").exists()
    assert optuna.get_all_study_names(f"sqlite:///{tmp_path / 'nas-vs-robust.db'}") == ["a"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--n-instances", "2"], "must be at least 3"),
        (["--trainings", "many"], "must be an integer"),
        (["--trainings", "5"], "--trainings must be at least --n-instances"),
        (["--confirmations", "5"], "--confirmations must be at least --n-instances"),
        (["--jobs", "0"], "must be at least 1"),
        (["--task", "letters"], "invalid choice"),
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
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_refused(tmp_path, capsys, no_training):
    (tmp_path / "nas-vs-robust.db").write_text("text")
    with pytest.raises(SystemExit):
        main([*TINY, "--out", str(tmp_path)])
    assert "not a database" in capsys.readouterr().err


def test_an_interrupted_copy_is_made_again(tmp_path):
    path = tmp_path / "some.db"
    url = f"sqlite:///{path}"
    optuna.create_study(study_name="a", storage=url)
    outcome, storage = run_noise("nas", Noise())

    written = archive.Archive(path, {"trainings": 12})
    assert ("nas", 0) not in written
    written.add(outcome, "a", storage)
    assert len(optuna.load_study(study_name="a", storage=url).trials) == 12
    assert archive.Archive(path, {"trainings": 12})["nas", 0] == outcome


@pytest.mark.parametrize("arm", ["nas", "robust"])
def test_winners_are_judged_on_fresh_instances_and_the_test_part(arm):
    task = Noise()
    outcome, _ = run_noise(arm, task)
    searched = {instance.number for part, instance in task.instances if part == "validation"}
    confirmed = [instance for part, instance in task.instances if part == "test"]
    assert confirmed == fresh_instances(PLAN, seed=0)
    assert min(instance.number for instance in confirmed) > max(searched)
    assert all(instance.phase == "confirmation" for instance in confirmed)
    assert min(outcome.fresh_losses) > 5.0
    assert max(outcome.search_losses) < 5.0


def test_arms_have_the_instances_of_their_practice():
    nas, robust = Noise(), Noise()
    run_noise("nas", nas, seed=7)
    outcome, _ = run_noise("robust", robust, seed=7)
    searched = [instance for part, instance in nas.instances if part == "validation"]
    assert searched == [Instance(number, study_seed=7) for number in range(12)]
    searched = [instance.number for part, instance in robust.instances if part == "validation"]
    assert searched[:8] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert len(outcome.search_losses) == 4


def test_optimism_is_positive_when_the_search_promised_too_much():
    assert statistics.optimism(an_outcome(search=(0.5,))) == pytest.approx(1.5)
    assert statistics.optimism(an_outcome(search=(3.0,))) == pytest.approx(-1.0)
    promised = (0.0, 0.1, 0.2)
    assert statistics.optimism(an_outcome("robust", search=promised, fresh=(5.0, 6.0, 7.0))) > 0


def test_optimism_has_no_bias_from_unequal_numbers_of_instances():
    rng = np.random.default_rng(0)
    found = [
        statistics.optimism(
            an_outcome(
                "robust", search=tuple(rng.normal(size=5)), fresh=tuple(rng.normal(size=30))
            )
        )
        for _ in range(60)
    ]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))


def test_paired_comparison_counts_ties_half():
    worse = (2.0, 3.0, 4.0)
    outcomes = [
        an_outcome("nas", 0, fresh=worse),
        an_outcome("robust", 0),
        an_outcome("robust", 1),
        an_outcome("nas", 1),
    ]
    comparison = statistics.compare(outcomes)
    assert comparison.wins == 1.5
    assert comparison.differences["median"].value == pytest.approx(-0.5)
    assert comparison.differences["iqr"].value == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("shifts", "verdict"),
    [
        ((-1.0, -1.1, -0.9), "The robust search is better: it lowers"),
        ((1.0, 1.1, 0.9), "The robust search is worse: it raises"),
        ((1.0, -1.1, 0.2), "No difference is shown"),
        ((1.0,), "One search seed decides nothing"),
    ],
)
def test_conclusion_says_what_the_interval_shows(shifts, verdict):
    base = np.array([3.0, 4.0, 5.0])
    outcomes = []
    for seed, shift in enumerate(shifts):
        nas = an_outcome("nas", seed, fresh=tuple(base))
        outcomes += [nas, replace(nas, arm="robust", fresh_losses=tuple(base + shift))]
    assert report.conclusion(statistics.compare(outcomes)).startswith(verdict)
