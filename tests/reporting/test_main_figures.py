from __future__ import annotations

import optuna
import pytest

from benchmarks.publishing import filled_study
from optuna_robust import InstanceStore
from optuna_robust._reporting.main_figures import dashboard_figures
from optuna_robust._reporting.main_figures import report_figures
from optuna_robust._reporting.summary import study_report
from tests.searches import robust_study


DASHBOARD = ["instance-losses", "level-spread", "selection-path", "trainings"]
CURVES = ["learning-curves", "rank-correlation", "top-overlap"]
REPORT = [*DASHBOARD, "criteria", "instance-effect", *CURVES]


def names(study: optuna.Study, store: InstanceStore | None = None) -> tuple[list[str], list[str]]:
    """Names of the dashboard's and of the report's figures."""
    found = study_report(study, n_trials=5)
    figures = dashboard_figures(study, found), report_figures(study, found, store)
    for each in [*figures[0], *figures[1]]:
        assert each.figure.layout.title.text.startswith(f"<b>{each.title}")
        assert all(hint.endswith(".") and "  " not in hint for hint in each.hints)
    dashboard, report = ([each.name.removeprefix("robust-") for each in some] for some in figures)
    return dashboard, report


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_every_figure_that_there_are_data_for_is_shown(direction: str) -> None:
    study = robust_study(direction=direction, confirmed=False)
    assert names(study) == (DASHBOARD, REPORT)


def test_a_confirmation_adds_a_figure_and_a_store_has_the_curves() -> None:
    store = InstanceStore()
    study = robust_study(store=store)
    dashboard, report = names(study, store)
    assert dashboard == [*DASHBOARD, "optimism"]
    assert sorted(report) == sorted([*REPORT, "optimism"])


def test_an_ordinary_study_has_none() -> None:
    study = optuna.create_study()
    assert names(study) == ([], [])
    study.add_trial(optuna.trial.create_trial(value=1.0, intermediate_values={0: 2.0}))
    assert names(study) == ([], [])


def test_without_a_finished_trial_there_is_nothing_to_show() -> None:
    study = optuna.create_study()
    attrs = {"robust:losses": [1.0]}
    study.add_trial(
        optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs=attrs)
    )
    assert names(study) == ([], [])


@pytest.mark.parametrize("n_params", [3, 40])
def test_figures_of_the_dashboard_are_small(n_params: int) -> None:
    name = "a hyperparameter with a <long> name "
    study = filled_study(optuna.storages.InMemoryStorage(), 300, n_params, name=name)
    figures = dashboard_figures(study, study_report(study, n_trials=5))
    assert [each.name.removeprefix("robust-") for each in figures] == [*DASHBOARD, "optimism"]
    assert max(len(each.figure.to_json()) for each in figures) <= 60_000
