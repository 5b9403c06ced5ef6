"""Values that results show: the choices of the objective, whatever a database makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

import optuna_robust as opr
from optuna_robust import Instance


pytestmark = pytest.mark.filterwarnings("ignore:Choices for a cat")

LAYERS = [(8,), (16, (4, 4)), None]
LISTS = [[8], [16, 16]]


def with_tuples(trial: optuna.Trial, instance: Instance) -> float:
    layers = trial.suggest_categorical("layers", LAYERS)
    rate = trial.suggest_float("rate", 0.0, 4.0)
    return LAYERS.index(layers) + rate + 0.1 * float(instance.rng.normal())


def with_lists(trial: optuna.Trial, instance: Instance) -> float:
    layers = trial.suggest_categorical("layers", LISTS)
    return LISTS.index(layers) + 0.1 * float(instance.rng.normal())


@pytest.fixture(params=[None, "sqlite"])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> optuna.Study:
    storage = request.param and f"sqlite:///{tmp_path / 'study.db'}"
    return optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))


def searched(study: optuna.Study, objective: Any, models: list[dict[str, Any]]) -> optuna.Study:
    for params in models:
        study.enqueue_trial(params)
    study.optimize(opr.MultiInstanceObjective(objective, 2), n_trials=len(models))
    return study


@pytest.mark.parametrize("store", [None, "robust.db"])
def test_results_show_the_choices_of_the_objective(
    study: optuna.Study, store: str | None, tmp_path: Path
) -> None:
    models = [{"layers": layers, "rate": 0} for layers in LAYERS]
    searched(study, with_tuples, models)
    for n_trainings in (6, 0):  # what is known is shown as what is trained
        kept = store and opr.InstanceStore(f"sqlite:///{tmp_path / store}")
        result = opr.confirm(study, with_tuples, n_instances=2, store=kept)
        assert result.n_trainings == n_trainings
        assert [model.params["layers"] for model in result.models] == LAYERS
        assert result.best_params == {"layers": (8,), "rate": 0.0}
        assert type(result.best_params["rate"]) is float
        selected = opr.robust_select(with_tuples, study, n_instances=2, store=kept)
        assert [model["layers"] for model in selected.models] == LAYERS
        confirmed = opr.confirm(selected, with_tuples, n_instances=2)
        assert confirmed.best_params["layers"] == (8,)


def test_lists_stay_lists(study: optuna.Study) -> None:
    searched(study, with_lists, [{"layers": layers} for layers in LISTS])
    for _ in range(2):
        result = opr.confirm(study, with_lists, n_instances=2)
        assert [model.params["layers"] for model in result.models] == LISTS


def test_values_that_a_distribution_gives_alike_are_one_model(study: optuna.Study) -> None:
    for rate in (1, 1.0):
        study.enqueue_trial({"rate": rate})
    study.optimize(lambda trial: trial.suggest_float("rate", 0.0, 4.0), n_trials=2)

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        return trial.suggest_float("rate", 0.0, 4.0) + float(instance.rng.normal())

    result = opr.confirm(study, objective, n_instances=3)
    assert len(result.models) == 1
    assert type(result.best_params["rate"]) is float
