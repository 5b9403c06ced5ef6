"""Infeasible models leave first, and change nothing for the others."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import optuna
from optuna.distributions import FloatDistribution
import pytest

from optuna_robust import Instance
from optuna_robust import robust_select
from optuna_robust import SelectionResult


needs_set_constraint = pytest.mark.skipif(
    not hasattr(optuna.Trial, "set_constraint"), reason="needs Optuna 5"
)
pytestmark = [
    needs_set_constraint,
    pytest.mark.filterwarnings("ignore:.* cannot reject:UserWarning"),
    pytest.mark.filterwarnings("ignore:`?constraints_func", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]
RULES = (
    "race",
    "halving",
    "sequential-halving",
    "welch",
    "directed-welch",
    "directed-wilcoxon",
    "directed-pitman-morgan",
)
XS = {"x": [0.1, 0.2, 0.6, 0.7]}


def issue(trial: optuna.Trial, instance: Instance) -> float:
    x = trial.suggest_float("x", 0, 1)
    trial.set_constraint("memory", 0.5 - x)
    return 3 * x + 0.1 * instance.rng.normal()


@pytest.mark.parametrize("rule", RULES)
def test_the_best_feasible_model_wins(rule: str) -> None:
    study = optuna.create_study()
    result = robust_select(issue, XS, n_instances=6, rule=rule, study=study)
    assert result.best_params == {"x": 0.6}
    assert result.is_feasible
    assert result.violations == pytest.approx((0.4, 0.3, 0.0, 0.0))
    if rule != "welch":
        assert study.best_params == {"x": 0.6}
    first = result.steps[0]
    assert sorted(first.removed)[:2] == [0, 1]
    assert first.removed[0] == "infeasible: it violates its constraints by 0.4"


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("train_survivors", [False, True])
def test_if_none_is_feasible_the_least_violation_wins(rule: str, train_survivors: bool) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", x)
        trial.set_constraint("time", 1.0 - 2 * x if x < 0.5 else -1.0)
        return 3 * x + 0.1 * instance.rng.normal()

    with pytest.warns(UserWarning, match=r"No model is feasible: .*model 2 with \{'x': 0.6\}"):
        result = robust_select(
            objective, XS, n_instances=6, rule=rule, train_survivors=train_survivors
        )
    assert result.best_index == 2
    assert not result.is_feasible
    assert "none is feasible" in repr(result)
    assert result.violations == pytest.approx((0.9, 0.8, 0.6, 0.7))


@pytest.mark.parametrize("rule", ["race", "halving", "directed-welch"])
def test_equally_infeasible_models_are_ranked_by_their_losses(rule: str) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", 1.0 if x < 0.9 else 2.0)
        return -3 * x + 0.1 * instance.rng.normal()

    with pytest.warns(UserWarning, match="No model is feasible"):
        result = robust_select(objective, {"x": [0.1, 0.2, 0.8, 0.95]}, rule=rule, n_instances=6)
    assert result.best_params == {"x": 0.8}


@pytest.mark.parametrize("rule", RULES)
def test_several_are_selected_feasible_ones_first(rule: str) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", 0.65 - x)
        return 3 * x + 0.1 * instance.rng.normal()

    result = robust_select(objective, XS, n_instances=6, rule=rule, n_select=2)
    assert result.survivors == (2, 3)
    assert result.best_index == 3


def late(violations: Mapping[float, int]) -> Callable[..., float]:
    """Return an objective with models that prove infeasible at an instance."""

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        first = violations.get(x)
        is_bad = first is not None and instance.number >= first
        trial.set_constraint("memory", 1.0 if is_bad else -1.0)
        return 3 * x + 0.1 * instance.rng.normal()

    return objective


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_model_is_as_feasible_as_its_worst_instance(rule: str, number: int) -> None:
    """Feasible models that were dropped come back if the winner proves infeasible."""
    result = robust_select(late({0.1: number}), XS, n_instances=6, rule=rule, train_survivors=True)
    assert result.best_params == {"x": 0.2}
    assert result.is_feasible
    assert 0 not in result.survivors
    assert set(result.removals) == {0, 1, 2, 3} - set(result.survivors)
    assert result.removals[0][1].startswith("infeasible")


@pytest.mark.parametrize("rule", ["race", "halving"])
def test_models_that_come_back_are_complete_trials(rule: str) -> None:
    study = optuna.create_study()
    robust_select(late({0.1: 5}), XS, n_instances=6, rule=rule, train_survivors=True, study=study)
    assert study.best_params == {"x": 0.2}


@pytest.mark.parametrize("as_models", [False, True])
@pytest.mark.parametrize("rule", ["race", "halving", "directed-welch"])
def test_constraints_that_a_studys_sampler_computes_count(rule: str, as_models: bool) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_user_attr("memory", 0.5 - x if instance.number == 1 else -1.0)
        return 3 * x + 0.1 * instance.rng.normal()

    sampler = optuna.samplers.TPESampler(
        constraints_func=lambda trial: (trial.user_attrs.get("memory", -1.0), -1.0)
    )
    study = optuna.create_study(sampler=sampler)
    models: Any = XS
    if as_models:
        for x in XS["x"]:
            study.add_trial(
                optuna.create_trial(
                    value=x, params={"x": x}, distributions={"x": FloatDistribution(0, 1)}
                )
            )
        models = study
    result = robust_select(
        objective,
        models,
        n_instances=6,
        rule=rule,
        study=None if as_models else study,
        train_survivors=True,
    )
    assert result.best_params == {"x": 0.6}
    if not as_models:
        assert study.best_params == {"x": 0.6}
        of_model = {trial.params["x"]: trial for trial in study.trials}
        assert list(of_model[0.1].system_attrs["constraints"]) == pytest.approx([0.4, -1.0])


def test_a_constraint_that_is_computed_as_nan_is_an_error() -> None:
    sampler = optuna.samplers.TPESampler(constraints_func=lambda _: (float("nan"),))
    with pytest.raises(ValueError, match=r"constraints_func .* must not be NaN"):
        robust_select(issue, XS, study=optuna.create_study(sampler=sampler))


def test_a_file_keeps_violations(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    result = robust_select(issue, XS, n_instances=4)
    result.save(tmp_path / "result.h5")
    assert SelectionResult.load(tmp_path / "result.h5").violations == result.violations
    assert result.to_frame()["violation"].tolist() == list(result.violations)


# --- properties ----------------------------------------------------------------------------------

model = st.tuples(st.integers(0, 400), st.sampled_from([0.05, 0.3, 1.0]))


@pytest.mark.parametrize("rule", RULES)
def test_infeasible_models_never_change_who_of_the_feasible_ones_wins(rule: str) -> None:
    @given(
        st.lists(model, min_size=2, max_size=14, unique=True),
        st.lists(st.tuples(st.integers(0, 13), st.floats(0.01, 9)), min_size=1, max_size=5),
        st.sampled_from(["q3+iqr", "mean"]),
    )
    @settings(max_examples=8, deadline=None)
    def check(good: list[tuple[int, float]], bad: list[tuple[int, float]], criterion: str) -> None:
        def objective(trial: optuna.Trial, instance: Instance) -> float:
            level = trial.suggest_float("level", -9, 9)
            spread = trial.suggest_float("spread", 0, 9)
            violation = trial.suggest_float("violation", -1, 9)
            trial.set_constraint("memory", violation)
            own = np.random.default_rng([instance.number, int(100 * level + 1000)])
            return level + instance.rng.normal() + spread * own.normal()

        feasible = [
            {"level": level / 100, "spread": spread, "violation": -1.0} for level, spread in good
        ]
        everything = list(feasible)
        for number, (place, violation) in enumerate(bad):
            everything.insert(
                place, {"level": -1.0 - number, "spread": 0.01, "violation": violation}
            )
        alone, among = (
            robust_select(objective, models, n_instances=6, rule=rule, criterion=criterion)
            for models in (feasible, everything)
        )
        assert alone.best_params == among.best_params
        assert [alone.models[i] for i in alone.survivors] == [
            among.models[i] for i in among.survivors
        ]
        assert among.n_trainings == alone.n_trainings + len(bad)

    check()


@pytest.mark.parametrize("rule", ["race", "halving", "directed-welch"])
def test_without_feasible_models_the_least_total_violation_wins(rule: str) -> None:
    violations = st.tuples(st.integers(-5, 40), st.integers(1, 40))

    @given(st.lists(violations, min_size=2, max_size=6, unique_by=lambda v: max(v[0], 0) + v[1]))
    @settings(max_examples=8, deadline=None)
    def check(constraints: list[tuple[int, int]]) -> None:
        def objective(trial: optuna.Trial, instance: Instance) -> float:
            for name in ("a", "b"):
                trial.set_constraint(name, float(trial.suggest_int(name, -5, 40)))
            return float(instance.rng.normal())

        models = [{"a": a, "b": b} for a, b in constraints]
        with pytest.warns(UserWarning, match="No model is feasible"):
            result = robust_select(objective, models, n_instances=6, rule=rule)
        assert result.best_index == int(np.argmin([max(a, 0) + b for a, b in constraints]))

    check()


def test_a_copy_names_its_original_among_all_models() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        kind = trial.suggest_categorical("kind", ["infeasible", "original", "copy"])
        trial.set_constraint("memory", 1.0 if kind == "infeasible" else -1.0)
        shift = 5.0 if kind == "infeasible" else 0.0
        return shift + float(np.random.default_rng(instance.number).normal())

    models = {"kind": ["infeasible", "original", "copy"]}
    result = robust_select(objective, models, n_instances=8)
    assert result.best_index == 1
    assert "no difference from model 1 can be shown" in str(result.removals[2])
