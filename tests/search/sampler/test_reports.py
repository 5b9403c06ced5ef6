"""Reports, figures and the dashboard show each model of a robust search once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from click.testing import CliRunner
import optuna
from optuna.trial import TrialState
import pytest

import optuna_robust as opr
from optuna_robust._instances.trials import comparable_trials
from optuna_robust._instances.trials import complete_trials
from optuna_robust._reporting.summary import study_report
from optuna_robust.cli import main
from tests.search.sampler.searches import Log
from tests.search.sampler.searches import mixed
from tests.search.sampler.searches import noisy
from tests.search.sampler.searches import sampler_of
from tests.search.sampler.searches import search


# The log that an objective holds is part of it.
pytestmark = pytest.mark.filterwarnings("ignore:The search instances of experiment")


def choices(trial: optuna.Trial, instance: opr.Instance) -> float:
    n = trial.suggest_int("n", 0, 3)
    if n == 3 and instance.number == 1:
        raise FloatingPointError("diverged")
    return n + 0.3 * float(instance.rng.normal())


def interrupted_search(**kwargs: Any) -> tuple[optuna.Study, Log]:
    """A search with complete models that are suggested again, failures, and an interruption."""
    stops = [7, 20]

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        loss = choices(trial, instance)
        if stops and len(log) == stops[0]:
            del stops[0]
            raise KeyboardInterrupt
        return loss

    log: Log = []
    study = optuna.create_study(study_name="small", sampler=sampler_of(n_startup_models=2))
    for _ in range(3):
        try:
            search(objective, study=study, log=log, budget=None, n_trials=100, **kwargs)
        except KeyboardInterrupt:
            continue
    assert len(log) == 20
    assert sum(trial.state == TrialState.FAIL for trial in study.trials) >= 1
    return study, log


def test_each_model_is_compared_once() -> None:
    study, _ = interrupted_search()
    assert sum(trial.state == TrialState.COMPLETE for trial in study.trials) > 4
    found = comparable_trials(study)
    assert sorted(trial.params["n"] for trial in found) == [0, 1, 2, 3]
    assert [len(trial.user_attrs["robust:losses"]) for trial in found] == [5] * 4
    assert [trial.params["n"] for trial in complete_trials(study)] == [0, 1, 2, 3]
    assert complete_trials(study)[0].number == study.best_trial.number
    assert opr.recommend(study).number == study.best_trial.number


@pytest.mark.parametrize("with_store", [False, True])
def test_the_report_counts_trainings_once(with_store: bool) -> None:
    store = opr.InstanceStore() if with_store else None
    study, log = interrupted_search(store=store)
    report = study_report(study, n_trials=10)
    assert report.n_trainings == len(log) == 20
    assert report.n_reused == 0
    assert report.n_failures == 1
    assert report.n_spared == 0
    assert report.n_best == 4
    assert [trial.params["n"] for trial in report.best] == [0, 1, 2, 3]
    by_model: dict[int, list[float]] = {}
    for trial in study.trials:
        seconds = trial.user_attrs.get("robust:seconds", [])
        if len(seconds) > len(by_model.get(trial.params["n"], [])):
            by_model[trial.params["n"]] = seconds
    assert report.seconds == pytest.approx(sum(map(sum, by_model.values())))


def test_what_a_store_gave_is_reused() -> None:
    store = opr.InstanceStore()
    interrupted_search(store=store)
    study = optuna.create_study(sampler=sampler_of(n_startup_models=2))
    study, log = search(choices, study=study, budget=None, n_trials=100, store=store)
    report = study_report(study, n_trials=10)
    assert log == []
    assert (report.n_trainings, report.n_reused) == (0, 20)


def test_reused_instances_count_once_for_a_budget() -> None:
    store = opr.InstanceStore()
    for _ in range(2):
        study = optuna.create_study(sampler=sampler_of())
        wrapped = opr.MultiInstanceObjective(noisy, 5, store=store)
        study.optimize(wrapped, callbacks=[opr.MaxInstancesCallback(25, count_reused=True)])
        assert len(study.trials) == 25
        assert len(study.best_trial.user_attrs["robust:losses"]) == 5


def test_an_interruption_does_not_count_twice() -> None:
    """What an interrupted trial took over is its model's."""
    log: Log = []

    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        loss = noisy(trial, instance)
        if instance.number == 2 and "stopped" not in seen:
            seen.append("stopped")
            raise KeyboardInterrupt
        return loss

    seen: list[str] = []
    study = optuna.create_study(sampler=sampler_of(repeat_share=0.8))
    wrapped = opr.MultiInstanceObjective(objective, 5)
    callback = opr.MaxInstancesCallback(25, count_reused=True)
    with pytest.raises(KeyboardInterrupt):
        study.optimize(wrapped, callbacks=[callback])
    study.optimize(wrapped, callbacks=[callback])
    assert len(study.trials) == 26
    assert log == []
    assert study_report(study, n_trials=3).n_trainings == 25


def test_the_command_line_reports_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study, _ = interrupted_search()
    optuna.copy_study(from_study_name="small", from_storage=study._storage, to_storage=url)
    done = CliRunner().invoke(main, ["report", url, "small"])
    assert done.exit_code == 0, done.output
    assert "Trainings: 20," in done.output
    page = tmp_path / "page.html"
    done = CliRunner().invoke(main, ["report", url, "small", "--html", str(page)])
    assert done.exit_code == 0, done.output
    assert page.exists()
    assert f"{study.best_trial.number}" in page.read_text()


# Those that are of one study, and need nothing else.
FIGURES = [
    name
    for name in opr.visualization.__all__
    if name
    not in {
        "plot_learning_curves",
        "plot_rank_correlation",
        "plot_sample_size",
        "plot_top_overlap",
    }
]


@pytest.fixture(scope="module")
def searched() -> optuna.Study:
    study = optuna.create_study(sampler=opr.RobustnessSampler(seed=0))
    study, _ = search(mixed, study=study, budget=40)
    opr.confirm(study, mixed, n_models=2, n_instances=6)
    return study


@pytest.mark.parametrize("name", FIGURES)
def test_figures(name: str, searched: optuna.Study) -> None:
    figure = getattr(opr.visualization, name)(searched)
    assert figure.data


def test_a_figure_shows_a_model_once() -> None:
    study, _ = interrupted_search()
    figure = opr.visualization.plot_instance_losses(study)
    numbers = {trial.number for trial in comparable_trials(study)}
    others = {trial.number for trial in study.trials} - numbers
    text = figure.to_json()
    assert all(f"trial {number}<" not in text and f'"{number}"' not in text for number in others)


def test_confirmation_takes_different_models() -> None:
    study, _ = interrupted_search()
    result = opr.confirm(study, choices, n_models=3, n_instances=6)
    assert sorted(model.params["n"] for model in result.models) == [0, 1, 2]


def test_notes_of_the_dashboard() -> None:
    pytest.importorskip("optuna_dashboard")
    study, _ = interrupted_search()
    opr.dashboard.publish(study)
    kept = study._storage.get_study_system_attrs(study._study_id)
    ids = {int(key.split(":")[1]) for key in kept if "note_str" in key and key.count(":") == 3}
    models = [trial.params["n"] for trial in study.trials if trial._trial_id in ids]
    assert sorted(models) == sorted(set(models))
    assert 0 in models
