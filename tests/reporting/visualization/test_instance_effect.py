from __future__ import annotations

import numpy as np
import optuna
from optuna.trial import create_trial
import pytest

from optuna_robust._reporting.visualization._instance_effect import _get_instance_effect_info
from optuna_robust._reporting.visualization._models import models_of
from optuna_robust.visualization import plot_instance_effect
from tests.reporting.visualization.sources import axis_titles
from tests.reporting.visualization.sources import drawn
from tests.reporting.visualization.sources import many
from tests.reporting.visualization.sources import selection_of
from tests.reporting.visualization.sources import study_of
from tests.reporting.visualization.sources import WORST


def test_info_holds_effects_and_differences() -> None:
    # Levels 5, 1, 3 and effects -1, 0, 1, without noise.
    study = study_of([[4.0, 5.0, 6.0], [0.0, 1.0, 2.0], [2.0, 3.0]])
    info = _get_instance_effect_info(models_of(study), n_models=2)
    assert info.instances == [0, 1, 2]
    assert info.effects == pytest.approx([-1.0, 0.0, 1.0])
    assert info.numbers == [1, 0]
    np.testing.assert_allclose(info.differences, [[-1.0, 0.0, 1.0]] * 2)
    assert info.effect_std == pytest.approx(1.0)
    assert info.noise_std == pytest.approx(0.0)
    assert (info.n_models, info.failed, info.finished) == (3, [], [True, True])
    assert (
        info.hovers[1] == "<b>trial 0</b> (complete)<br>median 5<br>n = 3 instances<br>model = 0"
    )


def test_a_failure_leaves_the_level_to_the_other_instances() -> None:
    study = study_of([[4.0, 5.0, 6.0], [0.0, WORST, 2.0]])
    info = _get_instance_effect_info(models_of(study), n_models=2)
    assert info.numbers == [1, 0]
    assert info.failed == [(1, 0)]
    np.testing.assert_allclose(info.differences, [[-1, np.nan, 1], [-1, 0, 1]], atol=1e-9)
    figure = plot_instance_effect(study)
    assert drawn(figure)[-1] == "failed"
    assert figure.data[-1].hovertext[0] == "trial 1, instance 1: failed"


@pytest.mark.parametrize(("direction", "worse"), [("minimize", 1.0), ("maximize", 0.0)])
def test_red_is_worse(direction: str, worse: float) -> None:
    figure = plot_instance_effect(
        study_of([[4.0, 5.0, 6.0], [0.0, 1.0, 2.0]], direction=direction)
    )
    bars, heat, marks = figure.data
    assert (marks.name, len(marks.hovertext)) == ("complete", 2)
    assert dict(heat.colorscale)[worse] == "#D55E00"
    assert bars.marker.color[2 if worse else 0] == "#D55E00"
    assert (heat.zmin, heat.zmax) == (-1.0, 1.0)
    assert axis_titles(figure) == ["instance number", "effect", "trial, the best on top"]


def test_a_thousand_models_are_cut_to_the_best_but_all_tell_of_effects() -> None:
    losses = many(1000, 20) + np.linspace(-1, 1, 20)
    study = study_of(losses.tolist())
    info = _get_instance_effect_info(models_of(study), n_models=20)
    np.testing.assert_allclose(info.effects, np.linspace(-1, 1, 20), atol=0.05)
    figure = plot_instance_effect(study)
    assert figure.data[1].z.shape == (20, 20)
    assert len(figure.layout.yaxis2.ticktext) <= 12
    assert len(figure.to_json()) < 15_000
    assert len(plot_instance_effect(study, n_models=1000).to_json()) < 450_000


@pytest.mark.parametrize("n_models", [2, 3, 40])
def test_noise_alone_is_no_effect(n_models: int) -> None:
    rng = np.random.default_rng(0)
    plain, squares = [], []
    for _ in range(20):
        losses = rng.normal(size=(n_models, 40))
        info = _get_instance_effect_info(models_of(study_of(losses.tolist())), n_models=2)
        plain.append(float(np.var(info.effects, ddof=1)))
        squares.append(info.effect_std**2)
    # The estimates vary by 1 / m; squares that are negative count as 0.
    assert np.mean(plain) > 0.8 / n_models
    assert np.mean(squares) < 0.25 / n_models


def test_a_known_effect_is_found_in_noise() -> None:
    rng = np.random.default_rng(1)
    effects = np.linspace(-1.0, 1.0, 40)
    found = []
    for _ in range(20):
        losses = (effects + rng.normal(size=(3, 40))).tolist()
        losses[2] = losses[2][:20]  # not every model has every instance
        study = study_of(losses)
        found.append(_get_instance_effect_info(models_of(study), n_models=2).effect_std ** 2)
    # Without noise being taken off it would be about 0.75.
    assert np.mean(found) == pytest.approx(float(np.var(effects, ddof=1)), abs=0.08)


def test_a_selection_is_drawn() -> None:
    result = selection_of(many(8, 10), criterion="median", n_warmup_instances=2)
    figure = plot_instance_effect(result)
    assert figure.layout.yaxis2.ticktext[0] == str(result.best_index)


def test_without_common_instances_the_figure_is_empty(caplog: pytest.LogCaptureFixture) -> None:
    assert not plot_instance_effect(optuna.create_study()).data
    assert not plot_instance_effect(study_of([[1.0], [2.0]])).data
    assert "Every trial has one instance" in caplog.text
    assert not plot_instance_effect(study_of([[1.0, 2.0]] * 3, reshuffle=True)).data
    assert "instances of its own" in caplog.text


def test_one_models_noise_is_no_effect(caplog: pytest.LogCaptureFixture) -> None:
    assert not plot_instance_effect(study_of([[1.0, 2.0, 3.0], [1.0, WORST, WORST], [2.0]])).data
    assert "Effects of instances need two trials with two losses each." in caplog.text
    assert not plot_instance_effect(study_of([[WORST, WORST]] * 2)).data
    assert "All instances failed." in caplog.text
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.add_trial(create_trial(values=[0.0, 1.0]))
    assert not plot_instance_effect(study).data
    assert "No trial has losses of instances." in caplog.text
