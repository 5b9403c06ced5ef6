"""What is said of infeasible models: in texts, pages, notes, tables and figures."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
import optuna
import pytest

import optuna_robust as opr
from optuna_robust._reporting.dashboard._notes import finalist_notes
from optuna_robust._reporting.dashboard._notes import study_note
from optuna_robust._reporting.summary import study_report
from optuna_robust.cli import main
from optuna_robust.cli._results import selection_text
from optuna_robust.report import html_report


pytestmark = pytest.mark.skipif(
    not hasattr(optuna.Trial, "set_constraint"), reason="needs Optuna 5"
)
XS = (0.1, 0.3, 0.6, 0.7)
NONE = "No complete trial is feasible: the best of them, trial 3, violates its constraints by 0.8."


class Objective:
    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, trial: optuna.Trial, instance: opr.Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", self.limit - x)
        return x + 0.01 * float(instance.rng.normal())


def study_of(limit: float, storage: str | None = None) -> optuna.Study:
    study = optuna.create_study(
        storage=storage, study_name="limited", sampler=optuna.samplers.RandomSampler(seed=0)
    )
    for x in XS:
        study.enqueue_trial({"x": x})
    study.optimize(opr.MultiInstanceObjective(Objective(limit), 3), n_trials=len(XS))
    return study


def test_a_report_counts_infeasible_trials_and_ranks_feasible_ones() -> None:
    study = study_of(0.5)
    found = study_report(study, n_trials=9)
    assert [trial.params["x"] for trial in found.best] == [0.6, 0.7]
    assert found.to_dict()["n_infeasible"] == 2
    for text in (html_report(study), study_note(found, [])):
        assert "4 complete (2 infeasible)" in text.replace("\\", "")
        assert "The best 2 of 2 complete trials" in text


def test_a_report_says_that_no_trial_is_feasible(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = study_of(1.5, url)
    told = CliRunner().invoke(main, ["report", url, "limited"])
    assert told.exit_code == 0, told.output
    assert NONE in told.output
    assert NONE.rstrip(".") in html_report(study)
    note = study_note(study_report(study, n_trials=9), [])
    assert NONE.rstrip(".") in note.replace("\\", "")


def test_a_confirmation_says_who_is_infeasible() -> None:
    study = study_of(0.5)
    result = opr.confirm(study, Objective(0.65), n_models=2, n_instances=10)
    assert result.best_params == {"x": 0.7}
    found = study_report(study, n_trials=9)
    page = html_report(study)
    assert "<th>violation</th>" in page
    assert "Take trial 3" in page
    first, second = (note.text for note in finalist_notes(found, 3))
    assert "infeasible: it violates its constraints by 0.05" in first.replace("\\", "")
    assert "infeasible" not in second
    figure = opr.visualization.plot_optimism(study)
    names = [trace.name for trace in figure.data]
    assert "fresh instances, infeasible" in names
    assert "fresh instances, the best" in names


def test_a_confirmation_says_that_no_model_is_feasible() -> None:
    study = study_of(0.5)
    with pytest.warns(UserWarning, match="No confirmed model is feasible"):
        opr.confirm(study, Objective(1.5), n_models=2, n_instances=10)
    said = "No confirmed model is feasible: even the best violates its constraints by 0.8."
    assert html_report(study).count(said) == 2
    assert said in study_note(study_report(study, n_trials=9), []).replace("\\", "")
    figure = opr.visualization.plot_optimism(study)
    assert "fresh instances, the best; none is feasible" in [trace.name for trace in figure.data]


def test_a_selection_says_who_is_infeasible() -> None:
    models = {"x": list(XS)}
    study = optuna.create_study()
    result = opr.robust_select(Objective(0.5), models, n_instances=4, study=study)
    text = selection_text(result, study)
    assert "4 models (counted from 0), 2 of them infeasible" in text
    assert "Best: model 2" in text
    with pytest.warns(UserWarning, match="No model is feasible"):
        study = optuna.create_study()
        result = opr.robust_select(Objective(1.5), models, n_instances=4, study=study)
    said = "No model is feasible: even the best violates its constraints by 0.8."
    assert said in selection_text(result, study)


def test_a_column_of_the_dashboard_tells_violations() -> None:
    violations = [trial.user_attrs["robust:violation"] for trial in study_of(0.5).trials]
    assert violations == pytest.approx([0.4, 0.2, 0.0, 0.0])


def test_figures_of_a_study_show_infeasible_models_last() -> None:
    study = study_of(0.5)
    figure = opr.visualization.plot_instance_losses(study)
    assert list(figure.layout.xaxis.ticktext) == ["2", "3", "1", "0"]
    names = [trace.name for trace in figure.data]
    assert names[:2] == ["complete", "pruned or infeasible"]
    for plot in (opr.visualization.plot_level_spread, opr.visualization.plot_selection_path):
        assert "pruned or infeasible" in [trace.name for trace in plot(study).data]
        assert "but infeasible by 0.4" in str(plot(study).data)


def test_figures_of_a_selection_show_infeasible_models_last() -> None:
    models = {"x": list(XS)}
    result = opr.robust_select(Objective(0.5), models, n_instances=4, rule="halving")
    figure = opr.visualization.plot_instance_losses(result)
    assert list(figure.layout.xaxis.ticktext) == ["2", "3", "1", "0"]
    assert "removed or infeasible" in [trace.name for trace in figure.data]


def test_figures_of_a_selection_without_feasible_models_have_no_best() -> None:
    with pytest.warns(UserWarning, match="No model is feasible"):
        result = opr.robust_select(
            Objective(1.5), {"x": list(XS)}, n_instances=4, train_survivors=True
        )
    figure = opr.visualization.plot_level_spread(result)
    assert [trace.name for trace in figure.data] == ["removed or infeasible"]
    assert "kept, but infeasible by 0.8" in str(figure.data)
