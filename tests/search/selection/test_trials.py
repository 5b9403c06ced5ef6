"""Models of a selection as trials of a study."""

from __future__ import annotations

from collections.abc import Callable
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.trial import TrialState
import pytest

from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import MultiInstanceObjective
from optuna_robust import robust_select
from optuna_robust import SelectionResult
from optuna_robust._instances.trials import worst_loss
from tests.objectives import noisy


# Interrupted objectives are the same ones, wrapped.
pytestmark = pytest.mark.filterwarnings("ignore:The search instances of experiment")


COMPLETE, PRUNED = TrialState.COMPLETE, TrialState.PRUNED

# The second model is the best; the third one fails once, the fourth one is pruned from inside.
TABLE: list[list[Any]] = [
    [4.0, 1.0, 2.0, 3.0, 2.0],
    [0.5, 0.1, 0.2, 0.3, 0.2],
    [9.0, 8.0, math.nan, 8.0, 7.0],
    [5.0, optuna.TrialPruned("too deep")],
    [3.5, 3.0, 3.2, 3.1, 3.3],
]
OPTIONS: dict[str, Any] = {
    "rule": "halving",
    "n_instances": 5,
    "n_warmup_instances": 2,
    "n_select": 2,
}


def lookup(trial: optuna.Trial, instance: Instance) -> float:
    outcome = TABLE[trial.suggest_int("model", 0, 9)][instance.number]
    if isinstance(outcome, Exception):
        raise outcome
    return float(outcome)


def select(study: optuna.Study, **options: Any) -> SelectionResult:
    options = {**OPTIONS, **options}
    return robust_select(lookup, {"model": range(len(TABLE))}, study=study, **options)


@pytest.fixture(params=["memory", "sqlite"])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> optuna.Study:
    url = f"sqlite:///{tmp_path / 'study.db'}" if request.param == "sqlite" else None
    return optuna.create_study(storage=url, study_name="selection")


def models_in(study: optuna.Study) -> dict[int, optuna.trial.FrozenTrial]:
    return {trial.params["model"]: trial for trial in study.trials}


# --- what a trial holds --------------------------------------------------------------------------


def test_every_model_becomes_a_trial(study: optuna.Study) -> None:
    result = select(study)
    assert len(study.trials) == len(TABLE)
    trials = models_in(study)
    assert result.survivors == (1, 4)
    for model, trial in trials.items():
        survives = model in result.survivors
        assert trial.state == (COMPLETE if survives else PRUNED)
        assert trial.distributions == {"model": IntDistribution(0, 9)}
        if not math.isnan(result.values[model]):
            assert trial.value == pytest.approx(result.values[model])
    assert study.best_trial.params == result.best_params == {"model": 1}
    assert study.best_value == result.best_value


def test_intermediate_values_are_the_running_criterion(study: optuna.Study) -> None:
    select(study)
    trials = models_in(study)
    # q3 + iqr: of (4, 1) 3.25 + 1.5, of (4, 1, 2) 3 + 1.5.
    assert trials[0].intermediate_values == pytest.approx({1: 4.75, 2: 4.5})
    assert trials[0].value == pytest.approx(4.5)
    assert trials[2].intermediate_values == {1: 8.75 + 0.5, 2: math.inf}
    assert trials[2].value == math.inf
    assert (trials[3].intermediate_values, trials[3].value) == ({}, None)


def test_attributes_hold_what_was_seen(study: optuna.Study) -> None:
    result = select(study)
    trials = models_in(study)
    losses = {model: trial.user_attrs["robust:losses"] for model, trial in trials.items()}
    assert losses == {
        0: [4.0, 1.0, 2.0],
        1: [0.5, 0.1, 0.2],
        2: [9.0, 8.0, worst_loss(1)],
        3: [5.0, None],
        4: [3.5, 3.0, 3.2],
    }
    for model, trial in trials.items():
        attrs = trial.user_attrs
        assert len(attrs["robust:seconds"]) == attrs["robust:n_instances"] == len(losses[model])
        reasons = [step.removed[model] for step in result.steps if model in step.removed]
        assert [attrs[key] for key in ("robust:stopped",) if key in attrs] == reasons
    assert trials[2].user_attrs["robust:failures"] == {"2": "the objective returned nan"}
    assert trials[3].user_attrs["robust:stopped"] == "the objective raised TrialPruned: too deep"
    assert "robust:failures" not in trials[0].user_attrs
    assert trials[1].user_attrs["robust:median"] == pytest.approx(0.2)
    assert trials[1].user_attrs["robust:criterion"] == pytest.approx(trials[1].value)
    assert [trials[model].user_attrs["robust:n_failures"] for model in (0, 2)] == [0, 1]


def test_values_are_oriented_when_maximising() -> None:
    study = optuna.create_study(direction="maximize")
    result = select(study)
    trials = models_in(study)
    for model in result.survivors:
        assert trials[model].value == pytest.approx(result.values[model])
    assert study.best_trial.params == result.best_params
    best = TABLE[result.best_index][: len(result.steps)]
    q1, q3 = np.quantile(best, [0.25, 0.75])
    assert study.best_value == pytest.approx(q1 - (q3 - q1))
    assert study.best_trial.user_attrs["robust:spread"] == pytest.approx(q3 - q1)


def test_trials_are_added_when_their_fate_is_decided() -> None:
    study = optuna.create_study()
    states = []
    select(study, callbacks=[lambda step: states.append([t.state for t in study.trials])])
    assert states == [[], [PRUNED], [PRUNED] * 3]
    assert [trial.state for trial in study.trials] == [PRUNED] * 3 + [COMPLETE] * 2


def test_a_survivor_without_a_value_is_no_best_trial() -> None:
    study = optuna.create_study()
    select(study, n_select=5, max_trainings=5)
    assert [trial.state for trial in study.trials] == [PRUNED] * 5
    assert [trial.value for trial in study.trials] == [None] * 5


def test_the_study_is_what_a_pruner_and_a_search_can_go_on_with(study: optuna.Study) -> None:
    select(study)
    robust = MultiInstanceObjective(
        lambda trial, instance: trial.suggest_int("model", 0, 9) + float(instance.rng.normal()), 5
    )
    study.optimize(robust, n_trials=2)
    assert [trial.user_attrs["robust:n_instances"] for trial in study.trials[-2:]] == [5, 5]


# --- distributions -------------------------------------------------------------------------------


def test_distributions_are_what_the_objective_suggests_from(study: optuna.Study) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        width = trial.suggest_int("width", 8, 64, step=8)
        trial.suggest_categorical("kind", ["a", None])
        return lr * width + float(instance.rng.normal())

    grid = {"lr": [1e-3, 1e-2], "width": [8, 64], "kind": ["a"]}
    robust_select(objective, grid, n_instances=6, study=study)
    assert [trial.distributions for trial in study.trials] == [
        {
            "lr": FloatDistribution(1e-4, 1e-1, log=True),
            "width": IntDistribution(8, 64, step=8),
            "kind": CategoricalDistribution(["a", None]),
        }
    ] * 4


def from_params(trial: optuna.Trial, instance: Instance) -> float:
    return trial.params["n"] + float(instance.rng.normal())


def test_values_that_the_objective_does_not_suggest_become_a_choice(study: optuna.Study) -> None:
    robust_select(from_params, {"n": [1, 4, 2], "kind": ["a", None]}, n_instances=6, study=study)
    assert [trial.distributions for trial in study.trials] == [
        {"n": CategoricalDistribution([1, 4, 2]), "kind": CategoricalDistribution(["a", None])}
    ] * 6


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
def test_lists_become_a_choice(study: optuna.Study) -> None:
    models = [{"n": 1, "layers": [8, 8]}, {"n": 2, "layers": [16]}, {"n": 3, "layers": [8, 8]}]
    robust_select(from_params, models, n_instances=6, study=study)
    assert {tuple(trial.params["layers"]) for trial in study.trials} == {(8, 8), (16,)}


def test_a_search_space_gives_the_distributions(study: optuna.Study) -> None:
    space = {"n": IntDistribution(1, 9), "unused": FloatDistribution(0, 1)}
    robust_select(from_params, space, n_models=4, n_instances=6, study=study)
    assert [trial.distributions for trial in study.trials] == [space] * 4


def test_the_study_of_the_models_gives_the_distributions(study: optuna.Study) -> None:
    searched = optuna.create_study()
    searched.optimize(lambda trial: trial.suggest_int("n", 1, 9), n_trials=6)
    robust_select(from_params, searched, n_instances=6, study=study)
    assert {str(trial.distributions) for trial in study.trials} == {
        str({"n": IntDistribution(1, 9)})
    }


@pytest.mark.filterwarnings("ignore:Fixed parameter .* is out of range")
@pytest.mark.parametrize("in_database", [False, True])
def test_enqueued_values_out_of_range_widen_the_distributions(
    in_database: bool, tmp_path: Path
) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1, step=0.5)
        n = trial.suggest_int("n", 1, 8, log=True)
        return x + n + float(instance.rng.normal())

    source = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    source.enqueue_trial({"x": 1.2, "n": 2})
    source.enqueue_trial({"x": 0.5, "n": 9})
    source.optimize(MultiInstanceObjective(objective, 2), n_trials=3)
    url = f"sqlite:///{tmp_path / 'study.db'}" if in_database else None
    study = optuna.create_study(storage=url)
    robust_select(objective, source, n_instances=3, study=study)
    added = {tuple(trial.params.items()): trial.distributions for trial in study.trials}
    x, n = FloatDistribution(0, 1, step=0.5), IntDistribution(1, 8, log=True)
    assert len(added) == 3
    assert added[("x", 1.2), ("n", 2)] == {"x": FloatDistribution(0, 1.2), "n": n}
    assert added[("x", 0.5), ("n", 9)] == {"x": x, "n": IntDistribution(1, 9, log=True)}


def test_a_hyperparameter_that_some_models_do_not_use_has_one_distribution(
    study: optuna.Study,
) -> None:
    def conditional(trial: optuna.Trial, instance: Instance) -> float:
        depth = 0
        if trial.suggest_categorical("kind", ["svm", "forest"]) == "forest":
            depth = trial.suggest_int("depth", 1, 8)
        return depth + float(instance.rng.normal())

    grid = {"kind": ["svm", "forest"], "depth": [1, 5, 8]}
    robust_select(conditional, grid, n_instances=6, study=study)
    assert {str(trial.distributions["depth"]) for trial in study.trials} == {
        str(IntDistribution(1, 8))
    }


def test_models_from_the_store_of_a_search_have_the_others_distributions(
    study: optuna.Study,
) -> None:
    store = InstanceStore()
    searched = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    searched.optimize(MultiInstanceObjective(noisy, 6, store=store), n_trials=3)
    models = [*(trial.params for trial in searched.trials), {"x": 0.0}, {"x": 0.5}]
    result = robust_select(noisy, models, n_instances=6, store=store, study=study)
    assert result.n_reused > 0
    assert [trial.distributions for trial in study.trials] == [{"x": FloatDistribution(-1, 1)}] * 5


# --- again, and after an interruption ------------------------------------------------------------


def test_a_selection_that_is_repeated_adds_nothing(study: optuna.Study) -> None:
    select(study)
    before = study.trials
    select(study)
    assert study.trials == before


def test_a_larger_set_of_models_adds_the_new_ones(study: optuna.Study) -> None:
    robust_select(lookup, {"model": [0, 1]}, study=study, **{**OPTIONS, "n_select": 1})
    robust_select(lookup, {"model": [0, 1, 4]}, study=study, **{**OPTIONS, "n_select": 1})
    found = [(trial.params["model"], trial.state.name) for trial in study.trials]
    # The survivor got further among three than among two.
    assert sorted(found) == [(0, "PRUNED"), (1, "COMPLETE"), (1, "COMPLETE"), (4, "PRUNED")]
    first, second = (trial for trial in study.trials if trial.params["model"] == 1)
    assert len(first.intermediate_values) < len(second.intermediate_values)


def interrupted(at: int) -> Callable[..., float]:
    calls = 0

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        nonlocal calls
        if calls == at:
            raise KeyboardInterrupt
        calls += 1
        return lookup(trial, instance)

    return objective


def summary(study: optuna.Study) -> list[tuple[Any, ...]]:
    return [
        (trial.state, trial.value, trial.params, trial.intermediate_values)
        for trial in study.trials
    ]


@pytest.mark.parametrize("at", range(5 + 5 + 4))
def test_after_an_interruption_every_model_is_there_once(at: int) -> None:
    undisturbed = optuna.create_study()
    select(undisturbed)
    store = InstanceStore()
    study = optuna.create_study()
    with pytest.raises(KeyboardInterrupt):
        robust_select(
            interrupted(at), {"model": range(len(TABLE))}, study=study, store=store, **OPTIONS
        )
    select(study, store=store)
    assert summary(study) == summary(undisturbed)


def test_after_an_interruption_everything_goes_on_from_one_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'robust.db'}"
    models = {"model": range(len(TABLE))}
    study = optuna.create_study(storage=url, study_name="s")
    with pytest.raises(KeyboardInterrupt):
        robust_select(interrupted(12), models, study=study, store=InstanceStore(url), **OPTIONS)
    assert len(study.trials) == 1
    study = optuna.load_study(storage=url, study_name="s")
    result = select(study, store=InstanceStore(url))
    assert (result.n_trainings, result.n_reused) == (2, 12)
    assert len(study.trials) == len(TABLE)
    assert study.best_trial.params == result.best_params


# --- other settings ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, "seed=1 differs from seed=0"),
        ({"vary": ("init",)}, r"vary=\['init'\] differs"),
        ({"reshuffle": True}, "reshuffle=True differs"),
        ({"n_instances": 6}, "n_instances=6 differs from n_instances=5"),
        ({"on_failure": "drop"}, "on_failure='drop' differs"),
    ],
)
def test_a_study_with_other_settings_is_refused(options: dict[str, Any], message: str) -> None:
    study = optuna.create_study()
    select(study)
    before = (study.trials, study.user_attrs)
    with pytest.raises(ValueError, match=message):
        select(study, **options)
    assert (study.trials, study.user_attrs) == before


def test_a_study_with_another_criterion_warns() -> None:
    study = optuna.create_study()
    select(study)
    with pytest.warns(UserWarning, match=r"begun with criterion \['q3\+iqr'\]"):
        select(study, criterion="mean")


def test_a_study_with_ordinary_trials_warns() -> None:
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_int("model", 0, 9), n_trials=2)
    with pytest.warns(UserWarning, match="2 complete trials of another objective"):
        select(study)
