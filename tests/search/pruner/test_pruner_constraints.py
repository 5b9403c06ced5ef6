"""Feasible trials go before infeasible ones, whatever the pruner's rule."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import math
from typing import Any

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import optuna
from optuna.samplers import RandomSampler
from optuna.trial import create_trial
from optuna.trial import TrialState
import pytest

from optuna_robust import Instance
from optuna_robust import MultiInstanceObjective
from optuna_robust import RobustnessPruner
from optuna_robust import RobustnessSampler
from optuna_robust._search.pruner import PRUNER_RULES


needs_set_constraint = pytest.mark.skipif(
    not hasattr(optuna.Trial, "set_constraint"), reason="needs Optuna 5"
)
RULES = ("halving", "race", "directed-welch", "directed-wilcoxon", "directed-pitman-morgan")
N_INSTANCES = 6
ignores_floors = pytest.mark.filterwarnings("ignore:directed-.* cannot reject:UserWarning")


def pruner(rule: str, **options: Any) -> RobustnessPruner:
    options = {"n_startup_trials": 1, "criterion": "mean", **options}
    if rule == "race":
        options["n_instances"] = N_INSTANCES
    return RobustnessPruner(rule=rule, **options)


def add(
    study: optuna.Study,
    losses: Sequence[float],
    constraints: dict[str, Any] | None = None,
    *,
    x: float = 0.5,
) -> None:
    """Add a finished trial with these losses; with less than all it was pruned."""
    complete = len(losses) == N_INSTANCES
    study.add_trial(
        create_trial(
            state=TrialState.COMPLETE if complete else TrialState.PRUNED,
            value=float(np.mean(losses)) if complete else None,
            intermediate_values=dict(enumerate(losses)),
            params={"x": x},
            distributions={"x": optuna.distributions.FloatDistribution(0, 1)},
            system_attrs=constraints or {},
        )
    )


def decisions(
    study: optuna.Study, losses: Sequence[float], constraint: float | None = None
) -> list[bool]:
    """Return what should_prune says after each instance of a new trial."""
    trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    if constraint is not None:
        trial.set_constraint("memory", constraint)
    said = []
    for step, loss in enumerate(losses):
        trial.report(loss, step)
        said.append(trial.should_prune())
    return said


def infeasible(violation: float) -> dict[str, Any]:
    return {"constraints:memory": violation} if NEW else {"constraints": [violation]}


NEW = hasattr(optuna.Trial, "set_constraint")


def search(objective: Callable[..., float], sampler: Any, rule: str) -> optuna.Study:
    study = optuna.create_study(sampler=sampler, pruner=pruner(rule))
    for x in [*np.linspace(0.0, 0.3, 10), *np.linspace(0.55, 0.95, 15)]:
        study.enqueue_trial({"x": float(x)})
    study.optimize(MultiInstanceObjective(objective, N_INSTANCES), n_trials=25)
    return study


@needs_set_constraint
@ignores_floors
@pytest.mark.parametrize("rule", RULES)
def test_good_but_infeasible_trials_do_not_prune_feasible_ones(rule: str) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", 0.5 - x)
        return 3 * x + 0.1 * instance.rng.normal()

    study = search(objective, RandomSampler(seed=0), rule)
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert any(trial.params["x"] > 0.5 for trial in complete)
    assert study.best_params["x"] == 0.55


@pytest.mark.filterwarnings("ignore:`?constraints_func", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@ignores_floors
@pytest.mark.parametrize("rule", RULES)
def test_constraints_that_a_sampler_computes_count(rule: str) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_user_attr("memory", 0.5 - x)
        return 3 * x + 0.1 * instance.rng.normal()

    sampler = optuna.samplers.TPESampler(
        seed=0, constraints_func=lambda trial: (trial.user_attrs["memory"],)
    )
    study = search(objective, sampler, rule)
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert any(trial.params["x"] == 0.55 for trial in complete)


@pytest.mark.filterwarnings("ignore:`?constraints_func", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_sampler_computes_constraints_of_the_worst_instance() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        if instance.number < 3:  # the others set none
            trial.set_user_attr("memory", 1.0 if x < 0.5 and instance.number == 1 else -1.0)
        return x + instance.number

    def constraints_func(trial: optuna.trial.FrozenTrial) -> tuple[float]:
        return (trial.user_attrs["memory"],)

    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=0, constraints_func=constraints_func),
        pruner=pruner("halving"),
    )
    for x in (0.9, 0.8, 0.1):
        study.enqueue_trial({"x": x})
    study.optimize(MultiInstanceObjective(objective, N_INSTANCES), n_trials=3)
    assert study.best_params == {"x": 0.8}
    last = study.trials[-1]
    assert last.state == TrialState.PRUNED
    assert len(last.user_attrs["robust:losses"]) == 2
    assert list(last.system_attrs["constraints"]) == [1.0]


@pytest.mark.filterwarnings("ignore:`?constraints_func", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("ignore:Fixed parameter x with value 1.2 is out of range")
def test_constraints_are_computed_of_an_enqueued_value_out_of_range() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        return trial.suggest_float("x", 0, 1) + float(instance.rng.normal())

    sampler = optuna.samplers.TPESampler(
        seed=0, constraints_func=lambda trial: (trial.params["x"] - 1.0,)
    )
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({"x": 1.2})
    study.optimize(MultiInstanceObjective(objective, 2), n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2
    assert study.trials[0].user_attrs["robust:violation"] == pytest.approx(0.2)


@pytest.mark.filterwarnings("ignore:`?constraints_func", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("robust", [False, True])
def test_constraints_are_those_of_the_sampler_within_another(robust: bool) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        return trial.suggest_float("x", 0, 1) + float(instance.rng.normal())

    within = optuna.samplers.TPESampler(
        seed=0, constraints_func=lambda trial: (trial.params["x"],)
    )
    sampler: Any = optuna.samplers.PartialFixedSampler({"x": 0.25}, within)
    study = optuna.create_study(sampler=RobustnessSampler(sampler) if robust else sampler)
    study.optimize(MultiInstanceObjective(objective, 2), n_trials=1)
    assert study.trials[0].user_attrs["robust:violation"] == 0.25


@pytest.mark.filterwarnings("ignore:`?constraints_func", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_constraints_that_cannot_be_computed_of_an_instance_warn() -> None:
    sampler = optuna.samplers.TPESampler(
        seed=0, constraints_func=lambda trial: (trial.intermediate_values[1] - 9.0,)
    )
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({"x": 0.5})
    wrapped = MultiInstanceObjective(lambda trial: trial.suggest_float("x", 0, 1), 2)
    with pytest.warns(UserWarning, match="constraints_func of the study's sampler raised"):
        study.optimize(wrapped, n_trials=1)
    assert study.best_params == {"x": 0.5}


@needs_set_constraint
@ignores_floors
@pytest.mark.parametrize("rule", RULES)
def test_an_infeasible_trial_is_behind_a_feasible_one(rule: str) -> None:
    study = optuna.create_study(pruner=pruner(rule))
    add(study, [9.0, 9.5, 9.2, 9.1, 9.3, 9.0])
    assert any(decisions(study, [0.0, 0.1, 0.2, 0.1, 0.0, 0.1][:5], constraint=0.1))
    assert not any(decisions(study, [0.0, 0.1, 0.2, 0.1, 0.0], constraint=0.0))


@needs_set_constraint
@ignores_floors
@pytest.mark.parametrize("rule", RULES)
def test_infeasible_trials_are_ranked_by_their_total_violation(rule: str) -> None:
    study = optuna.create_study(pruner=pruner(rule))
    add(study, [9.0, 9.5, 9.2, 9.1, 9.3, 9.0], {"constraints": [0.25, -9.0, 0.25]})
    good, bad = [0.0, 0.1, 0.2, 0.1, 0.0], [19.0, 19.5, 19.1, 19.2, 19.9]
    assert any(decisions(study, good, constraint=0.6))
    assert not any(decisions(study, bad, constraint=0.4))


@needs_set_constraint
@pytest.mark.parametrize("rule", ["halving", "race", "directed-welch"])
def test_equally_infeasible_trials_are_ranked_by_their_losses(rule: str) -> None:
    study = optuna.create_study(pruner=pruner(rule))
    rng = np.random.default_rng(0)
    for level in (1.0, 1.1, 1.2, 1.3):
        add(study, (level + 0.05 * rng.normal(size=N_INSTANCES)).tolist(), infeasible(1.0))
    assert any(decisions(study, [9.0, 9.1, 9.2, 9.1, 9.0], constraint=1.0))
    assert not any(decisions(study, [0.5, 0.6, 0.55, 0.5, 0.6], constraint=1.0))


@needs_set_constraint
def test_a_trial_that_becomes_infeasible_is_stopped_by_the_next_look() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", 1.0 if trial.number == 2 and instance.number else -1.0)
        return x + instance.number

    study = optuna.create_study(sampler=RandomSampler(seed=0), pruner=pruner("halving"))
    for x in (0.8, 0.9, 0.1):
        study.enqueue_trial({"x": x})
    study.optimize(MultiInstanceObjective(objective, N_INSTANCES), n_trials=3)
    last = study.trials[-1]
    assert last.state == TrialState.PRUNED
    assert len(last.user_attrs["robust:losses"]) == 2
    assert last.constraints == {"memory": 1.0}


@needs_set_constraint
def test_in_a_study_of_several_objectives_too() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", 0.5 - x)
        return x + 0.01 * instance.rng.normal()

    study = optuna.create_study(
        directions=["minimize", "minimize"],
        sampler=RandomSampler(seed=0),
        pruner=RobustnessPruner(n_startup_trials=1),
    )
    for x in (0.1, 0.2, 0.3, 0.9, 0.8, 0.25):
        study.enqueue_trial({"x": x})
    wrapped = MultiInstanceObjective(objective, N_INSTANCES, returns=("median", "iqr"))
    study.optimize(wrapped, n_trials=6)
    states = [trial.state == TrialState.COMPLETE for trial in study.trials]
    assert states[3:5] == [True, True]
    assert not states[5]  # behind three of the five before it


# --- properties ----------------------------------------------------------------------------------

level = st.floats(-3, 3).map(lambda value: round(value, 2))
finished = st.lists(st.tuples(level, st.integers(1, N_INSTANCES)), min_size=2, max_size=9)
bad = st.lists(
    st.tuples(level, st.integers(1, N_INSTANCES), st.floats(0.01, 9), st.integers(0, 9)),
    max_size=6,
)


def losses_of(level: float, n: int, seed: int) -> list[float]:
    rng = np.random.default_rng([seed, int(100 * level + 5000)])
    effects = np.random.default_rng(7).normal(size=N_INSTANCES)
    return (level + effects + 0.3 * rng.normal(size=N_INSTANCES)).tolist()[:n]


@ignores_floors
@pytest.mark.parametrize("rule", RULES)
def test_infeasible_trials_never_change_what_becomes_of_feasible_ones(rule: str) -> None:
    assert set(RULES) < set(PRUNER_RULES)

    @given(finished, bad, level)
    @settings(max_examples=10, deadline=None)
    def check(
        good: list[tuple[float, int]], bad: list[tuple[float, int, float, int]], own: float
    ) -> None:
        said = []
        for infeasible_ones in ([], bad):
            study = optuna.create_study(sampler=RandomSampler(seed=1), pruner=pruner(rule))
            for position, (value, n) in enumerate([*good, (0.0, N_INSTANCES)]):
                for number, (loss, n_bad, violation, place) in enumerate(infeasible_ones):
                    if place == position:
                        add(study, losses_of(loss - 4.0, n_bad, number), infeasible(violation))
                add(study, losses_of(value, n, position), x=value / 6.0 + 0.5)
            said.append(decisions(study, losses_of(own, N_INSTANCES - 1, 99)))
        assert said[0] == said[1]

    check()


@needs_set_constraint
@ignores_floors
@pytest.mark.parametrize("rule", ["race", "directed-welch"])
def test_more_violation_never_makes_a_trial_last_longer(rule: str) -> None:
    @given(finished, bad, level, st.lists(st.floats(0, 9), min_size=2, max_size=2))
    @settings(max_examples=10, deadline=None)
    def check(
        good: list[tuple[float, int]],
        bad: list[tuple[float, int, float, int]],
        own: float,
        constraints: list[float],
    ) -> None:
        lasted = []
        for constraint in sorted(constraints):
            study = optuna.create_study(sampler=RandomSampler(seed=1), pruner=pruner(rule))
            for position, (value, n) in enumerate(good):
                add(study, losses_of(value, n, position))
            for position, (value, n, violation, _) in enumerate(bad):
                add(study, losses_of(value, n, position), infeasible(violation))
            said = decisions(study, losses_of(own, N_INSTANCES - 1, 99), constraint)
            lasted.append(said.index(True) if True in said else math.inf)
        if constraints[0] != constraints[1] and min(constraints) > 0.0:
            assert lasted[1] <= lasted[0]

    check()
