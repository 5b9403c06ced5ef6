"""What a confirmation takes from a search: which models, in which order, and the settings."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import functools
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState
import pytest

from optuna_robust import confirm
from optuna_robust import ConfirmationResult
from optuna_robust import Instance
from optuna_robust import MultiInstanceObjective
from optuna_robust import robust_select
from optuna_robust import RobustnessPruner
from optuna_robust import SelectionResult
from tests.objectives import noisy
from tests.objectives import study_of
from tests.objectives import unchanged


pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

# Cheap: three instances, no intervals.
cheap = functools.partial(confirm, n_instances=3, criterion="mean")
needs_constraints = pytest.mark.skipif(
    not hasattr(optuna.Trial, "set_constraint"), reason="needs Optuna 5"
)


def ordinary_study(values: Mapping[float, float], **kwargs: Any) -> optuna.Study:
    """A study that was run without this package: a trial of each x, and its value."""
    study = study_of(**kwargs)
    for x in values:
        study.enqueue_trial({"x": x})
    study.optimize(lambda trial: values[trial.suggest_float("x", 0, 1)], n_trials=len(values))
    return study


def models_of(result: ConfirmationResult) -> list[float]:
    return [model.params["x"] for model in result.models]


def of_instance(trial: optuna.Trial, instance: Instance) -> float:
    return trial.suggest_float("x", -1, 1) + 0.1 * float(instance.rng.normal())


# --- studies that were run without this package --------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "best"), [("minimize", [0.3, 0.1, 0.2]), ("maximize", [0.4, 0.2, 0.1])]
)
def test_the_best_models_of_an_ordinary_study(direction: str, best: list[float]) -> None:
    study = ordinary_study({0.1: 2.0, 0.2: 3.0, 0.3: 1.0, 0.4: 4.0}, direction=direction)
    result = cheap(study, of_instance)
    assert result.direction == direction
    assert models_of(result) == best
    by_number = {trial.number: trial for trial in study.trials}
    for model in result.models:
        assert model.params == by_number[model.index].params
        assert model.search_value == by_number[model.index].value
        assert (model.statistic, model.n_compared) == ("mean", 1)


@pytest.mark.parametrize("objective", [noisy, unchanged])
def test_objective_with_and_without_the_instance(objective: Callable[..., float]) -> None:
    study = study_of()
    takes_instance = objective is noisy
    study.optimize(
        (lambda trial: noisy(trial, Instance(trial.number))) if takes_instance else unchanged,
        n_trials=4,
    )
    result = cheap(study, objective, n_models=4)
    assert len(np.unique(result.losses)) == 12
    assert models_of(result) == [
        trial.params["x"] for trial in sorted(study.trials, key=lambda trial: trial.value)
    ]
    assert result.to_dict()["losses"] == cheap(study, objective, n_models=4).losses.tolist()


def test_without_a_criterion_models_are_compared_by_the_default() -> None:
    assert confirm(ordinary_study({0.1: 1.0}), of_instance, n_instances=2).criterion == "q3+iqr"


def test_pruned_failed_and_infinitely_bad_trials() -> None:
    study = study_of()

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        if x < 0.25:
            trial.report(-9.0, step=0)
            raise optuna.TrialPruned
        if x < 0.5:
            raise RuntimeError
        return float("inf") if x < 0.75 else x

    for x in (0.8, 0.1, 0.4, 0.6, 0.9):
        study.enqueue_trial({"x": x})
    study.optimize(objective, n_trials=5, catch=RuntimeError)
    states = [trial.state for trial in study.trials]
    assert states[1:3] == [TrialState.PRUNED, TrialState.FAIL]
    assert models_of(cheap(study, of_instance, n_models=5)) == [0.8, 0.9, 0.6]


@needs_constraints
def test_infeasible_trials_are_left_out() -> None:
    study = study_of()

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", 0.5 - x)
        return x

    for x in (0.2, 0.7, 0.9):
        study.enqueue_trial({"x": x})
    study.optimize(objective, n_trials=3)
    assert models_of(cheap(study, of_instance)) == [0.7, 0.9]


def test_a_model_that_was_tried_twice_counts_once_with_its_best_trial() -> None:
    study = study_of()
    values = iter([0.9, 0.5, 0.1, 0.7])
    for x in (0.25, 0.5, 0.25, 0.75):
        study.enqueue_trial({"x": x})

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        return next(values)

    study.optimize(objective, n_trials=4)
    assert models_of(cheap(study, of_instance, n_models=1)) == [0.25]
    result = cheap(study, of_instance, n_models=4)
    assert models_of(result) == [0.25, 0.5, 0.75]
    assert [model.index for model in result.models] == [2, 1, 3]
    assert [model.search_value for model in result.models] == [0.1, 0.5, 0.7]


def test_of_fewer_models_than_asked_for_all() -> None:
    study = ordinary_study({0.1: 2.0, 0.2: 3.0})
    assert models_of(cheap(study, of_instance, n_models=1)) == [0.1]
    assert models_of(cheap(study, of_instance, n_models=7)) == [0.1, 0.2]


def test_what_becomes_of_the_result_does_not_change_the_search() -> None:
    study = ordinary_study({0.1: 2.0})
    selection = robust_select(of_instance, [{"x": 0.1}], n_instances=5)
    for search in (study, selection):
        result = cheap(search, of_instance)
        result.best_params["x"] = 0.9
        result.best_params["n_epochs"] = 100
        assert search.best_params == {"x": 0.1}
        assert models_of(cheap(search, of_instance)) == [0.1]


# --- robust studies ------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_robust_study(direction: str) -> None:
    study = study_of(pruner=RobustnessPruner(criterion="q3"), direction=direction)
    study.optimize(MultiInstanceObjective(noisy, 6), n_trials=12)
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert 3 < len(complete) < 12
    best_first = sorted(complete, key=lambda trial: trial.value, reverse=direction == "maximize")
    result = confirm(study, noisy, n_models=12, n_instances=4)
    assert [model.index for model in result.models] == [trial.number for trial in best_first]
    assert [model.search_value for model in result.models] == [t.value for t in best_first]
    assert result.criterion == "q3"
    assert {(model.statistic, model.n_compared) for model in result.models} == {("q3", 4)}


def test_ordinary_trials_of_a_robust_study_are_compared_by_the_mean() -> None:
    study = ordinary_study({0.1: 0.0})
    with pytest.warns(UserWarning, match="1 complete trials of another objective"):
        study.optimize(MultiInstanceObjective(noisy, 4, criterion="q3"), n_trials=1)
    result = confirm(study, noisy, n_instances=5)
    assert [(m.statistic, m.n_compared) for m in result.models] == [("mean", 1), ("q3", 4)]


@needs_constraints
def test_infeasible_models_of_a_robust_study_are_left_out() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        # One instance in three does not fit into memory: the model does not.
        trial.set_constraint("memory", 1.0 if x < 0.5 and instance.number == 1 else -1.0)
        return x + instance.number

    study = study_of()
    for x in (0.2, 0.7):
        study.enqueue_trial({"x": x})
    study.optimize(MultiInstanceObjective(objective, 3), n_trials=2)
    assert models_of(cheap(study, of_instance)) == [0.7]


# --- selections ----------------------------------------------------------------------------------

# Halving removes 0.3 and 0.4 after the fifth instance, 0.2 after the sixth, which is bad for all
# that get there: then those that were removed before have the better values.
LOSSES = {
    0.4: [4.0, 4.1, 4.2, 4.3, 4.4],
    0.1: [1.0, 1.1, 1.2, 1.3, 1.4, 90.0],
    0.3: [3.0, 3.1, 3.2, 3.3, 3.4],
    0.2: [2.0, 2.1, 2.2, 2.3, 2.4, 91.0],
}


def from_losses(trial: optuna.Trial, instance: Instance) -> float:
    x = trial.suggest_categorical("x", list(LOSSES))
    loss = LOSSES[x][instance.number] if instance.phase == "search" else x
    sign = -1 if trial.study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    return sign * (loss + 0.01 * float(instance.rng.normal()))


def selected(**kwargs: Any) -> SelectionResult:
    models = [{"x": x} for x in LOSSES]
    options = {"rule": "halving", "criterion": "mean", "n_instances": 6, **kwargs}
    return robust_select(from_losses, models, **options)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_of_a_selection_those_come_first_that_got_furthest(direction: str) -> None:
    selection = selected(direction=direction)
    assert selection.survivors == (1,)
    result = confirm(selection, from_losses, n_models=4, n_instances=3)
    assert result.direction == direction
    assert result.criterion == "mean"
    assert models_of(result) == [0.1, 0.2, 0.3, 0.4]
    assert [model.index for model in result.models] == [1, 3, 2, 0]
    assert [m.search_value for m in result.models] == selection.values[[1, 3, 2, 0]].tolist()
    # Removed models have fewer instances to compare.
    result = confirm(selection, from_losses, n_models=4, n_instances=8)
    assert [model.n_compared for model in result.models] == [6, 6, 5, 5]
    for model in result.models:  # fresh losses are x
        mean = np.mean(LOSSES[model.params["x"]])
        assert model.optimism == pytest.approx(model.params["x"] - mean, abs=0.05)


def test_a_selection_that_was_saved_is_the_same(tmp_path: Path) -> None:
    selection = selected(seed=3, vary=("order",))
    selection.save(tmp_path / "selection.h5")
    loaded = SelectionResult.load(tmp_path / "selection.h5")
    there, again = (cheap(each, from_losses) for each in (selection, loaded))
    assert {**there.to_dict(), "seconds": 0.0} == {**again.to_dict(), "seconds": 0.0}


def test_a_study_that_a_selection_filled_holds_the_survivors() -> None:
    study = study_of()
    selection = selected(study=study, n_select=2, seed=4)
    from_study = confirm(study, from_losses, n_instances=3)
    assert models_of(from_study) == [0.1, 0.2]
    from_selection = confirm(selection, from_losses, n_models=2, n_instances=3)
    assert from_study.losses.tolist() == from_selection.losses.tolist()
    assert [m.optimism for m in from_study.models] == [m.optimism for m in from_selection.models]


def test_numpy_hyperparameters_of_a_selection_are_plain_in_the_result(tmp_path: Path) -> None:
    models = [{"width": np.int64(width), "deep": np.bool_(True)} for width in (3, 4)]

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        trial.suggest_categorical("deep", [False, True])
        return trial.suggest_int("width", 1, 9) + float(instance.rng.normal())

    result = cheap(robust_select(objective, models, n_instances=5), objective)
    assert {type(value) for value in result.best_params.values()} == {int, bool}
    result.save(tmp_path / "result.h5")
    assert ConfirmationResult.load(tmp_path / "result.h5").best_params == result.best_params


# --- settings ------------------------------------------------------------------------------------


def test_settings_of_a_study_are_taken() -> None:
    study = study_of()
    settings: dict[str, Any] = {"seed": 5, "vary": ("init", "order"), "on_failure": "drop"}
    study.optimize(MultiInstanceObjective(noisy, 3, criterion="median", **settings), n_trials=2)
    check_settings(study)


def test_settings_of_a_selection_are_taken() -> None:
    settings: dict[str, Any] = {"seed": 5, "vary": ("init", "order"), "on_failure": "drop"}
    grid = {"x": [0.25, 0.75]}
    check_settings(robust_select(noisy, grid, criterion="median", n_instances=3, **settings))


def check_settings(search: optuna.Study | SelectionResult) -> None:
    """Seed 5, init and order vary, failures are dropped, the criterion is the median."""
    seen: list[Instance] = []

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        seen.append(instance)
        trial.suggest_float("x", -1, 1)
        return float("nan") if len(seen) == 2 else float(len(seen))

    result = confirm(search, objective, n_instances=3)
    assert {instance.study_seed for instance in seen} == {5}
    assert {instance.vary for instance in seen} == {("init", "order")}
    assert result.criterion == "median"
    assert result.losses.tolist()[1] == pytest.approx([np.nan, 4.0, 6.0], nan_ok=True)
    # What is given comes before what is kept.
    seen.clear()
    result = confirm(
        search,
        objective,
        n_instances=3,
        seed=6,
        vary=("order",),
        on_failure="worst",
        criterion="mean",
    )
    assert {(instance.study_seed, instance.vary) for instance in seen} == {(6, ("order",))}
    assert result.criterion == "mean"
    assert result.losses.tolist()[1] == [np.inf, 4.0, 6.0]


def test_an_ordinary_study_has_seed_0_and_varies_all() -> None:
    seen: list[Instance] = []

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        seen.append(instance)
        return of_instance(trial, instance)

    cheap(ordinary_study({0.1: 2.0}), objective)
    assert {(each.study_seed, each.vary) for each in seen} == {(0, ("init", "order", "sample"))}


def half_range(losses: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(np.ptp(losses)) / 2.0


def test_a_criterion_of_the_users_own_must_be_given_again() -> None:
    study = study_of()
    study.optimize(MultiInstanceObjective(noisy, 3, criterion=half_range), n_trials=2)
    selection = robust_select(noisy, {"x": [0.1, 0.2]}, n_instances=3, criterion=half_range)
    for search in (study, selection):
        with pytest.raises(ValueError, match="criterion of its own, 'half_range'"):
            confirm(search, noisy)
        result = confirm(search, noisy, criterion=half_range, n_instances=4)
        assert result.criterion == "half_range"
        for model, losses in zip(result.models, result.losses, strict=True):
            assert model.value == pytest.approx(np.ptp(losses) / 2.0)


def test_a_model_may_have_been_suggested_from_something_else() -> None:
    """As of a study that was made up of trials, or whose search space has changed since."""
    choices = {"x": optuna.distributions.CategoricalDistribution([0.25])}
    study = study_of()
    study.add_trial(
        optuna.trial.create_trial(params={"x": 0.25}, distributions=choices, value=0.0)
    )
    assert confirm(study, noisy, n_instances=3).models[0].params == {"x": 0.25}


# --- what cannot be confirmed --------------------------------------------------------------------


def test_a_study_without_complete_trials_is_an_error() -> None:
    study = study_of()
    with pytest.raises(ValueError, match=r"has no complete \(and feasible\) trials"):
        confirm(study, noisy)

    def pruned(trial: optuna.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        raise optuna.TrialPruned

    study.optimize(pruned, n_trials=2)
    with pytest.raises(ValueError, match=r"has no complete \(and feasible\) trials"):
        confirm(study, noisy)


def test_a_study_with_several_objectives_is_an_error() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"], study_name="both")
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 1.0), n_trials=2)
    with pytest.raises(ValueError, match=r"'both' has 2 objectives.*robust_select"):
        confirm(study, noisy)


@pytest.mark.parametrize("source", [None, "study", [{"x": 0.5}], {"x": [0.5]}, noisy])
def test_anything_else_than_a_study_or_a_selection_is_an_error(source: Any) -> None:
    with pytest.raises(TypeError, match=f"a study or the result.*{type(source).__name__}"):
        confirm(source, noisy)
