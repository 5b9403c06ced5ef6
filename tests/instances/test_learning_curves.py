"""Learning curves as trials keep them."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import optuna
import pytest

import optuna_robust as opr
from optuna_robust import Instance
from optuna_robust._instances.learning_curves import curves_from_json
from optuna_robust._instances.learning_curves import curves_to_json
from optuna_robust._instances.learning_curves import learning_curves_of
from optuna_robust._instances.learning_curves import states_to_json
from optuna_robust.report import html_report


MYSQL = 65_535


def reports(trial: optuna.Trial, instance: Instance) -> float:
    x = trial.suggest_float("x", 0, 1)
    for epoch in range(1, 6):
        trial.report(x + instance.number / epoch, epoch)
    return x + instance.number / 5


def study_of_curves(storage: str | None = None) -> optuna.Study:
    study = optuna.create_study(
        storage=storage,
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=opr.RobustnessPruner(),
    )
    study.optimize(opr.MultiInstanceObjective(reports, n_instances=3), n_trials=4)
    return study


def test_short_curves_are_kept_as_they_are() -> None:
    curves = {0: {1: 0.5, 2: math.inf}, 3: {2: math.nan, 7: -1e-30}}
    kept = json.loads(json.dumps(curves_to_json(curves), allow_nan=False))
    again = curves_from_json(kept)
    assert again[0] == curves[0]
    assert math.isnan(again[3].pop(2))
    assert again[3] == {7: -1e-30}


def test_nothing_reported() -> None:
    assert curves_from_json(curves_to_json({})) == {}
    assert curves_from_json({}) == {}


@pytest.mark.parametrize(("n_instances", "n_steps"), [(1, 10**5), (20, 1000), (5000, 50), (30, 2)])
def test_curves_fit_into_every_database(n_instances: int, n_steps: int) -> None:
    values = -np.random.default_rng(0).random(n_steps) * 1e-7
    steps = (10**9 + 1000 * np.arange(n_steps)).tolist()
    curve = dict(zip(steps, values.tolist(), strict=True))
    kept = curves_to_json(dict.fromkeys(range(n_instances), curve))
    assert len(json.dumps(kept)) < 0.7 * MYSQL
    assert kept["steps"][0] == steps[0]
    assert kept["steps"][-1] == steps[-1]
    if n_instances * n_steps <= 2000 and n_steps <= 200:
        assert kept["steps"] == steps


def test_thinned_curves_have_steps_in_common() -> None:
    curve = {step: 1.0 for step in range(1000)}
    steps = [
        set(curves_to_json(dict.fromkeys(range(n), curve))["steps"]) for n in (1, 10, 20, 100)
    ]
    for more, fewer in itertools.pairwise(steps):
        assert fewer <= more


def test_what_pruners_note_fits_into_every_database() -> None:
    states = {i: {f"completed_rung_{k}": 1 / (i + k + 3) for k in range(12)} for i in range(1000)}
    kept = states_to_json(states)
    assert 20 < len(kept) < 1000
    assert len(json.dumps(kept)) < 0.5 * MYSQL


def test_trials_keep_curves_without_a_store(tmp_path: object) -> None:
    for study in (study_of_curves(), study_of_curves(f"sqlite:///{tmp_path}/study.db")):
        for trial in study.trials:
            n = len(trial.user_attrs["robust:losses"])
            curves = learning_curves_of(trial)
            assert list(curves) == list(range(n))
            for number, curve in curves.items():
                x = trial.params["x"]
                assert curve == pytest.approx({e: x + number / e for e in range(1, 6)}, rel=1e-6)


def test_figures_and_reports_show_curves_without_a_store() -> None:
    study = study_of_curves()
    for plot in (
        opr.visualization.plot_learning_curves,
        opr.visualization.plot_rank_correlation,
        opr.visualization.plot_top_overlap,
    ):
        assert plot(study).data
    shown = html_report(study)
    assert "robust-learning-curves" in shown
    assert "robust-rank-correlation" in shown


def test_selections_keep_curves_in_their_study() -> None:
    study = optuna.create_study()
    opr.robust_select(reports, {"x": [0.1, 0.5, 0.9]}, n_instances=3, study=study)
    assert len(opr.visualization.plot_learning_curves(study).data) > 1


def test_studies_without_curves_have_no_such_attribute() -> None:
    study = optuna.create_study(pruner=opr.RobustnessPruner())

    def silent(trial: optuna.Trial, instance: Instance) -> float:
        return trial.suggest_float("x", 0, 1) + float(instance.rng.normal())

    study.optimize(opr.MultiInstanceObjective(silent, n_instances=3), n_trials=3)
    for trial in study.trials:
        assert not [name for name in trial.user_attrs if "curves" in name or "prun" in name]
    assert "robust-learning-curves" not in html_report(study)
