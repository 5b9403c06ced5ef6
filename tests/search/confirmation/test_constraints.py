"""Feasible models go before infeasible ones in a confirmation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial
import pytest

from optuna_robust import confirm
from optuna_robust import ConfirmationResult
from optuna_robust import Instance
from optuna_robust import MultiInstanceObjective
from optuna_robust import robust_select


pytestmark = [
    pytest.mark.skipif(not hasattr(optuna.Trial, "set_constraint"), reason="needs Optuna 5"),
    pytest.mark.filterwarnings("ignore:`?constraints_func", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]


def study_of(xs: list[float], **options: Any) -> optuna.Study:
    study = optuna.create_study(**options)
    for x in xs:
        study.add_trial(
            create_trial(value=x, params={"x": x}, distributions={"x": FloatDistribution(0, 1)})
        )
    return study


def with_limit(limit: float) -> Callable[..., float]:
    """Return an objective of which one fresh instance in ten shows that x is too small."""

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        shows = instance.number % 10 == 3
        trial.set_constraint("memory", limit - x if shows else -1.0)
        return 3 * x + 0.1 * instance.rng.normal()

    return objective


@pytest.mark.parametrize("stop_early", [False, True])
def test_the_best_feasible_model_is_the_best(stop_early: bool) -> None:
    study = study_of([0.1, 0.2, 0.6, 0.7])
    result = confirm(study, with_limit(0.5), n_models=4, stop_early=stop_early)
    assert result.best_params == {"x": 0.6}
    assert [model.violation for model in result.models] == pytest.approx([0.4, 0.3, 0.0, 0.0])
    chances = [model.probability_best for model in result.models]
    assert chances[:2] == [0.0, 0.0]
    assert sum(chances) == pytest.approx(1.0)
    assert [(pair.first, pair.second) for pair in result.pairs] == [(2, 3)]
    assert ConfirmationResult.from_dict(result.to_dict()).models == result.models


def test_if_none_is_feasible_the_least_violation_is_the_best() -> None:
    with pytest.warns(UserWarning, match=r"No confirmed model is feasible: .*\{'x': 0.3\}"):
        result = confirm(study_of([0.1, 0.2, 0.3]), with_limit(0.5), n_instances=10)
    assert result.best_index == 2
    assert result.models[2].probability_best == 1.0
    assert "none is feasible" in repr(result)


def test_equally_infeasible_models_are_ranked_by_their_losses() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        trial.set_constraint("memory", 1.0)
        return trial.suggest_float("x", 0, 1) + 0.01 * instance.rng.normal()

    with pytest.warns(UserWarning, match="No confirmed model is feasible"):
        result = confirm(study_of([0.3, 0.1, 0.2]), objective, n_instances=10)
    assert result.best_params == {"x": 0.1}
    assert len(result.pairs) == 3


def test_of_a_selection_feasible_models_are_confirmed() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", 0.5 - x)
        return 3 * x + 0.1 * instance.rng.normal()

    models = {"x": [0.1, 0.2, 0.6, 0.7, 0.8]}
    for rule in ("race", "halving"):
        selected = robust_select(objective, models, n_instances=6, rule=rule)
        result = confirm(selected, objective, n_models=5, n_instances=10)
        assert result.models[0].params == {"x": 0.6}
        assert sorted(model.params["x"] for model in result.models) == [0.6, 0.7, 0.8]


def test_of_a_selection_without_feasible_models_the_least_violating_come_first() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", 2.0 - x)
        return 3 * x + 0.1 * instance.rng.normal()

    with pytest.warns(UserWarning, match="feasible"):
        selected = robust_select(objective, {"x": [0.1, 0.9, 0.6]}, n_instances=6)
        result = confirm(selected, objective, n_instances=10)
    assert [model.params["x"] for model in result.models] == [0.9, 0.6, 0.1]
    assert result.best_index == 0


def test_constraints_that_the_studys_sampler_computes_count() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_user_attr("memory", 0.5 - x if instance.number % 10 == 3 else -1.0)
        return 3 * x + 0.1 * instance.rng.normal()

    sampler = optuna.samplers.TPESampler(
        constraints_func=lambda trial: (trial.user_attrs["memory"],)
    )
    result = confirm(study_of([0.1, 0.6, 0.7], sampler=sampler), objective, n_instances=10)
    assert result.best_params == {"x": 0.6}
    assert result.models[0].violation == pytest.approx(0.4)


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
def test_constraints_are_computed_of_tuples_from_a_database(tmp_path: Path) -> None:
    sizes: tuple[Any, ...] = ((8,), (16, 16), (32,))

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        layers = trial.suggest_categorical("layers", sizes)
        return sum(layers) + float(instance.rng.normal())

    def constraints_func(trial: optuna.trial.FrozenTrial) -> tuple[float]:
        return (1.5 - len(trial.params["layers"]),)

    study = optuna.create_study(
        storage=f"sqlite:///{tmp_path / 'study.db'}",
        sampler=optuna.samplers.TPESampler(constraints_func=constraints_func),
    )
    for layers in sizes:
        study.enqueue_trial({"layers": layers})
    study.optimize(MultiInstanceObjective(objective, 2), n_trials=3)
    assert confirm(study, objective, n_instances=4).best_params["layers"] == (16, 16)
    assert robust_select(objective, study, n_instances=4).best_params["layers"] == (16, 16)


@pytest.mark.parametrize("by", ["set_constraint", "constraints_func"])
def test_instances_that_the_study_keeps_keep_their_constraints(by: str) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        memory = 0.5 - x if instance.number % 10 == 3 else -1.0
        if by == "set_constraint":
            trial.set_constraint("memory", memory)
        else:
            trial.set_user_attr("memory", memory)
        return 3 * x + 0.1 * instance.rng.normal()

    sampler = None
    if by == "constraints_func":
        sampler = optuna.samplers.TPESampler(
            constraints_func=lambda trial: (trial.user_attrs["memory"],)
        )
    study = study_of([0.1, 0.6], sampler=sampler)
    confirm(study, objective, n_instances=10)
    result = confirm(study, objective, n_instances=20)
    assert result.n_reused == 20
    assert [model.violation for model in result.models] == pytest.approx([0.4, 0.0])


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True),
    st.lists(st.tuples(st.integers(0, 4), st.floats(0.01, 9)), min_size=1, max_size=3),
    st.sampled_from(["minimize", "maximize"]),
    st.sampled_from(["worst", "drop"]),
)
@settings(max_examples=10, deadline=None)
def test_infeasible_models_never_change_what_is_said_of_feasible_ones(
    good: list[int], bad: list[tuple[int, float]], direction: str, on_failure: str
) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        level = trial.suggest_float("level", -99, 99)
        violation = trial.suggest_float("violation", -1, 9)
        trial.set_constraint("memory", violation)
        if instance.number % 7 == 3 and violation > 0.0:
            raise ValueError("it does not fit")
        own = np.random.default_rng([instance.number, int(level + 100)])
        return level / 50 + instance.rng.normal() + own.normal()

    feasible = [(float(level), -1.0) for level in good]
    everything = list(feasible)
    for number, (place, violation) in enumerate(bad):
        everything.insert(place, (-50.0 - number, violation))
    results = []
    for models in (feasible, everything):
        study = optuna.create_study(direction=direction)
        for place, (level, violation) in enumerate(models):
            study.add_trial(
                create_trial(
                    value=float(place if direction == "minimize" else -place),
                    params={"level": level, "violation": violation},
                    distributions={
                        "level": FloatDistribution(-99, 99),
                        "violation": FloatDistribution(-1, 9),
                    },
                )
            )
        results.append(
            confirm(study, objective, n_models=9, n_instances=10, on_failure=on_failure)
        )
    alone, among = results
    assert alone.best_params == among.best_params
    of_feasible = [model for model in among.models if model.violation == 0.0]
    assert [(m.value, m.probability_best) for m in alone.models] == [
        (m.value, m.probability_best) for m in of_feasible
    ]
    assert [(p.difference, p.p_value) for p in alone.pairs] == [
        (p.difference, p.p_value) for p in among.pairs
    ]
