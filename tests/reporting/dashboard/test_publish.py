from __future__ import annotations

import json
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import optuna
from optuna.trial import create_trial
from optuna.trial import Trial
from optuna_dashboard import get_note
from optuna_dashboard import save_note
from optuna_dashboard import wsgi
import pytest

from benchmarks.publishing import attributes
from benchmarks.publishing import filled_study
import optuna_robust as opr
from optuna_robust.dashboard import publish
from tests.searches import HOSTILE
from tests.searches import robust_study


FIGURES = ["instance-losses", "level-spread", "selection-path", "trainings"]


def asked(storage: optuna.storages.BaseStorage, path: str) -> Any:
    """What the dashboard's server answers, as JSON."""
    status: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": sys.stdin.buffer,
        "wsgi.errors": sys.stderr,
    }
    body = wsgi(storage)(environ, lambda told, *_: status.append(told))
    assert status == ["200 OK"]
    return json.loads(b"".join(body))


def first_cells(note: str) -> list[str]:
    """What the rows of all tables in a note begin with."""
    rows = [line for line in note.splitlines() if line.startswith("|")]
    return [row.split("|")[1].strip() for row in rows]


def trial_note(study: optuna.Study, number: int) -> str:
    note: str = get_note(Trial(study, study.trials[number]._trial_id))
    return note


def test_the_dashboard_shows_what_was_published(storage: optuna.storages.BaseStorage) -> None:
    in_memory = robust_study(hostile=HOSTILE)
    optuna.copy_study(
        from_study_name="energy",
        from_storage=in_memory._storage,
        to_storage=storage,
        to_study_name="published",
    )
    study = optuna.load_study(study_name="published", storage=storage)
    assert list(publish(study)) == [f"robust-{name}" for name in [*FIGURES, "optimism"]]

    shown = asked(storage, f"/api/studies/{study._study_id}")
    figures = {
        each["id"]: json.loads(each["graph_object"]) for each in shown["plotly_graph_objects"]
    }
    assert sorted(figures) == sorted(f"robust-{name}" for name in [*FIGURES, "optimism"])
    assert all(figure["data"] for figure in figures.values())
    note = shown["note"]["body"]
    best = study.best_trial
    assert first_cells(note)[:3] == ["trial", "---:", str(best.number)]
    assert f"{best.value:.5g}" in note
    assert "### Confirmation" in note
    assert "<" not in note.replace("\\<", "")
    sortable = {each["key"] for each in shown["union_user_attrs"] if each["sortable"]}
    names = ("criterion", "spread", "median", "n_instances", "n_failures")
    assert {f"robust:{name}" for name in names} <= sortable
    finalists = [model["index"] for model in study.user_attrs["robust:confirmation"]["models"]]
    notes = {each["number"]: each["note"]["body"] for each in shown["trials"]}
    assert sorted(number for number, body in notes.items() if body) == sorted(finalists)
    assert sum("The best of 2 confirmed models" in body for body in notes.values()) == 1


def test_publishing_again_replaces_what_was_published() -> None:
    study = robust_study(n_trials=8, confirmed=False)
    assert len(publish(study)) == len(FIGURES)
    before = attributes(study)
    note = get_note(study)
    publish(study)
    assert attributes(study) == before
    robust = study.trials[0]
    study.add_trial(robust)
    publish(study)
    assert get_note(study) != note
    assert get_note(study).count("## Robust search") == 1


def test_only_finalists_have_notes_and_users_keep_theirs() -> None:
    study = robust_study(n_trials=8, confirmed=False)
    ranked = sorted(
        (trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE),
        key=lambda trial: trial.values[0],
    )
    first, second, third = (trial.number for trial in ranked[:3])
    save_note(Trial(study, study.trials[second]._trial_id), "I like it.")
    save_note(study, "My study.")
    publish(study, n_finalists=2)
    assert "Place 1 of" in trial_note(study, first)
    assert trial_note(study, second).startswith("I like it.")
    assert "Place 2 of" in trial_note(study, second)
    assert not trial_note(study, third)
    assert get_note(study).startswith("My study.")

    publish(study, n_finalists=1)
    assert trial_note(study, second) == "I like it."
    publish(study, n_finalists=0)
    assert not trial_note(study, first)
    assert get_note(study).startswith("My study.")


def test_the_note_has_so_many_trials() -> None:
    study = robust_study(n_trials=8, confirmed=False)
    publish(study, n_trials=1)
    assert first_cells(get_note(study)) == ["trial", "---:", str(study.best_trial.number)]


def test_a_study_of_one_training_a_trial_gets_its_note() -> None:
    study = optuna.create_study(study_name=HOSTILE)
    assert publish(study) == ()
    assert "No trial is complete yet" in get_note(study)
    study.add_trial(create_trial(value=0.25))
    assert publish(study) == ()
    assert first_cells(get_note(study)) == ["trial", "---:", "0"]
    assert "may have been lucky" in trial_note(study, 0)


def test_a_pareto_front_is_published() -> None:
    study = optuna.create_study(
        directions=["minimize", "minimize"], sampler=optuna.samplers.RandomSampler(seed=0)
    )

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        return trial.suggest_float("x", -1, 1) ** 2 + float(instance.rng.normal())

    returns = opr.MultiInstanceObjective(objective, n_instances=3, returns=("median", "iqr"))
    study.optimize(returns, n_trials=5)
    assert "robust-level-spread" in publish(study)
    assert "Pareto front" in get_note(study)
    assert not any(trial_note(study, number) for number in range(5))


@pytest.mark.parametrize("n_params", [6, 40])
def test_a_thousand_trials_take_less_than_300_kb_of_attributes(n_params: int) -> None:
    study = filled_study(optuna.storages.InMemoryStorage(), 1000, n_params)
    assert len(publish(study)) == len(FIGURES) + 1
    assert (
        sum(len(key) + len(json.dumps(value)) for key, value in attributes(study).items()) < 300e3
    )


def test_publishing_asks_nothing_of_the_sampler() -> None:
    """A grid gives every trial that begins a point, and refuses one that has finished."""
    study = optuna.create_study(sampler=optuna.samplers.GridSampler({"x": [0.1, 0.2]}, seed=0))

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        return trial.suggest_float("x", -1, 1) + float(instance.rng.normal())

    study.optimize(opr.MultiInstanceObjective(objective, n_instances=3), n_trials=1)
    study.add_trial(create_trial(value=-9.0))
    before = [trial.system_attrs for trial in study.trials]
    publish(study)
    assert "Place 1 of 2" in get_note(
        SimpleNamespace(storage=study._storage, study=study, _trial_id=study.trials[1]._trial_id)
    )
    assert [trial.system_attrs for trial in study.trials] == before


def test_what_was_read_last_is_written_last() -> None:
    class Slow(optuna.storages.InMemoryStorage):
        """Who reads the trials first gets them late."""

        def get_all_trials(self, *args: Any, **kwargs: Any) -> list[optuna.trial.FrozenTrial]:
            found = super().get_all_trials(*args, **kwargs)
            if threading.current_thread() is early and not has_read.is_set():
                has_read.set()
                has_published.wait(timeout=0.5)
            return found

    has_read, has_published = threading.Event(), threading.Event()
    study = optuna.create_study(storage=Slow())
    study.add_trial(create_trial(value=1.0))
    early = threading.Thread(target=publish, args=(study,))
    early.start()
    assert has_read.wait(timeout=60)
    study.add_trial(create_trial(value=2.0))
    publish(study)
    has_published.set()
    early.join()
    assert "Trials: 2 complete" in get_note(study)


@pytest.mark.parametrize("name", ["n_trials", "n_finalists"])
def test_bad_numbers_are_errors(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 0, but was -1"):
        publish(optuna.create_study(), **{name: -1})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        publish(optuna.create_study(), **{name: "all"})  # type: ignore[dict-item]


def test_without_optuna_dashboard_the_error_says_what_to_install() -> None:
    code = (
        "import sys, optuna\n"
        "sys.modules['optuna_dashboard'] = None\n"
        "import optuna_robust as opr\n"
        "for use in (lambda: opr.dashboard.publish(optuna.create_study()),\n"
        "            lambda: opr.dashboard.PublishCallback(3)):\n"
        "    try:\n"
        "        use()\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.count('pip install "optuna-robust[dashboard]"') == 2
