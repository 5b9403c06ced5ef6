"""Instances that are pruned by their epochs, in real studies."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import accumulate
from pathlib import Path
import pickle
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.pruners import HyperbandPruner
from optuna.pruners import MedianPruner
from optuna.pruners import NopPruner
from optuna.pruners import PatientPruner
from optuna.pruners import PercentilePruner
from optuna.pruners import SuccessiveHalvingPruner
from optuna.pruners import ThresholdPruner
import pytest

import optuna_robust as opr
from optuna_robust import Instance
from optuna_robust import MultiInstanceObjective
from optuna_robust._instances.trials import n_trainings
from optuna_robust._instances.trials import oriented_losses


N_EPOCHS = 16
PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "median": lambda: MedianPruner(n_startup_trials=2),
    "percentile": lambda: PercentilePruner(40.0, n_startup_trials=2, interval_steps=2),
    "halving": lambda: SuccessiveHalvingPruner(reduction_factor=2),
    "hyperband": lambda: HyperbandPruner(1, N_EPOCHS, reduction_factor=2),
    "threshold": lambda: ThresholdPruner(upper=1.6),
}


def epochs(trial: optuna.Trial, instance: Instance) -> float:
    """A training that gets better from epoch to epoch, and reports each."""
    x = trial.suggest_float("x", 0, 1)
    noise = 0.02 * float(instance.rng.normal())
    value = np.inf
    for epoch in range(1, N_EPOCHS + 1):
        value = x + noise + 1 / epoch
        trial.report(value, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return value


def accuracy(trial: optuna.Trial, instance: Instance) -> float:
    x = trial.suggest_float("x", 0, 1)
    for epoch in range(N_EPOCHS):
        trial.report(x - 1 / (epoch + 1), epoch)
        if trial.should_prune():
            raise optuna.TrialPruned(f"epoch {epoch}")
    return x + 0.01 * float(instance.rng.normal())


def stops_itself(trial: optuna.Trial, instance: Instance) -> float:
    if trial.suggest_float("x", 0, 1) > 0.5:
        raise optuna.TrialPruned("too large")
    return epochs(trial, instance)


def search(
    objective: Callable[..., Any] = epochs,
    *,
    n_trials: int = 8,
    study: optuna.Study | None = None,
    **options: Any,
) -> optuna.Study:
    study = study or new_study()
    options.setdefault("n_instances", 4)
    study.optimize(MultiInstanceObjective(objective, **options), n_trials=n_trials)
    return study


def new_study(**options: Any) -> optuna.Study:
    sampler = optuna.samplers.RandomSampler(seed=0)
    return optuna.create_study(sampler=sampler, **{"pruner": NopPruner(), **options})


def pruned(study: optuna.Study) -> list[list[str]]:
    return [list(trial.user_attrs.get("robust:pruned_instances", {})) for trial in study.trials]


def n_epochs(study: optuna.Study) -> int:
    return sum(
        sum(value is not None for value in values)
        for trial in study.trials
        for values in trial.user_attrs["robust:learning_curves"]["values"].values()
    )


def seen(study: optuna.Study) -> list[Any]:
    names = ("robust:losses", "robust:pruned_instances", "robust:learning_curves")
    return [[trial.user_attrs.get(name) for name in names] for trial in study.trials]


@pytest.mark.parametrize("name", PRUNERS)
def test_pruners_stop_instances_by_their_epochs(name: str) -> None:
    study = search(instance_pruner=PRUNERS[name]())
    assert any(pruned(study))
    assert n_epochs(study) < n_epochs(search())
    assert not any(trial.user_attrs["robust:n_failures"] for trial in study.trials)
    best = min(trial.params["x"] for trial in study.trials)
    assert study.best_params["x"] == best
    assert study.best_trial.user_attrs["robust:losses"] == [
        pytest.approx(best + 1 / N_EPOCHS, abs=0.1)
    ] * len(study.best_trial.user_attrs["robust:losses"])


@pytest.mark.parametrize("name", ["median", "hyperband"])
def test_what_is_pruned_does_not_depend_on_n_jobs(name: str) -> None:
    one, two = (search(instance_pruner=PRUNERS[name](), n_jobs=n_jobs) for n_jobs in (1, 2))
    assert any(pruned(one))
    assert seen(one) == seen(two)


@pytest.mark.parametrize("name", ["median", "halving", "hyperband"])
def test_a_study_that_is_gone_on_with_ends_as_one_that_was_not_interrupted(
    name: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    whole = search(instance_pruner=PRUNERS[name]())
    begun = new_study(storage=url, study_name="a")
    search(instance_pruner=PRUNERS[name](), study=begun, n_trials=4)
    again = optuna.load_study(study_name="a", storage=url, pruner=NopPruner())
    for trial in whole.trials[4:]:
        again.enqueue_trial(trial.params)
    search(instance_pruner=PRUNERS[name](), study=again, n_trials=4)
    assert seen(again) == seen(whole)


def test_a_pruned_copy_of_the_objective_goes_on() -> None:
    objective = MultiInstanceObjective(epochs, 4, instance_pruner=PRUNERS["median"]())
    study = new_study()
    study.optimize(objective, n_trials=4)
    study.optimize(pickle.loads(pickle.dumps(objective)), n_trials=4)
    assert seen(study) == seen(search(instance_pruner=PRUNERS["median"]()))


def test_the_first_trial_is_compared_with_nothing() -> None:
    study = search(instance_pruner=MedianPruner(n_startup_trials=1))
    assert pruned(study)[0] == []
    assert any(pruned(study)[1:])


def test_a_pruned_instance_is_the_worst() -> None:
    study = search(instance_pruner=PRUNERS["median"](), max_failures=1.0)
    for trial in study.trials:
        stopped = trial.user_attrs.get("robust:pruned_instances", {})
        assert all("MedianPruner stopped it at step" in why for why in stopped.values())
        losses = oriented_losses(trial, sign=1)
        assert [np.isinf(losses[i]) for i in range(4)] == [str(i) in stopped for i in range(4)]
        assert trial.user_attrs.get("robust:n_pruned", 0) == len(stopped)


def test_a_trial_is_stopped_when_too_many_instances_are_pruned() -> None:
    study = search(instance_pruner=PRUNERS["median"](), max_failures=0.25)
    reasons = [trial.user_attrs.get("robust:stopped") for trial in study.trials]
    told = "0 of 4 instances failed and 2 were pruned, more than max_failures=0.25 allows"
    assert any(reason is not None and reason.startswith(told) for reason in reasons)


def test_a_pruned_instance_counts_as_the_last_value_that_it_reported() -> None:
    study = search(instance_pruner=PRUNERS["median"](), on_instance_pruned="last")
    assert any(pruned(study))
    for trial in study.trials:
        assert trial.state == optuna.trial.TrialState.COMPLETE
        kept = trial.user_attrs["robust:learning_curves"]["values"]
        losses = trial.user_attrs["robust:losses"]
        assert losses == pytest.approx([kept[str(i)][-1] for i in range(4)], abs=1e-6)


def test_a_last_value_that_is_not_finite_counts_as_the_worst() -> None:
    def diverging(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.report(float("nan") if trial.number else x, 0)
        if trial.should_prune():
            raise optuna.TrialPruned
        return x + float(instance.rng.normal())

    study = search(
        diverging, n_trials=2, instance_pruner=ThresholdPruner(upper=2), on_instance_pruned="last"
    )
    assert np.isinf(list(oriented_losses(study.trials[1], sign=1).values())).all()
    assert study.trials[1].user_attrs["robust:learning_curves"]["values"]["0"] == ["nan"]


def test_larger_values_are_better_where_a_study_maximises() -> None:
    study = search(
        accuracy, study=new_study(direction="maximize"), instance_pruner=PRUNERS["median"]()
    )
    largest = sorted(study.trials, key=lambda trial: trial.params["x"])[-1]
    assert pruned(study)[largest.number] == []
    assert any(pruned(study))


def test_criteria_of_several_objectives() -> None:
    study = search(
        accuracy,
        study=new_study(directions=["maximize", "minimize"]),
        instance_pruner=PRUNERS["median"](),
        returns=("median", "iqr"),
    )
    largest = max(study.trials, key=lambda trial: trial.params["x"])
    assert pruned(study)[largest.number] == []
    assert any(pruned(study))


def test_an_objective_that_prunes_itself_ends_its_trial() -> None:
    study = search(stops_itself, instance_pruner=PRUNERS["median"]())
    for trial in study.trials:
        if trial.params["x"] > 0.5:
            assert trial.state == optuna.trial.TrialState.PRUNED
            assert len(trial.user_attrs["robust:losses"]) == 1
            assert "robust:pruned_instances" not in trial.user_attrs


def test_without_an_instance_pruner_no_instance_is_pruned() -> None:
    study = search()
    assert not any(pruned(study))
    assert n_epochs(study) == 8 * 4 * N_EPOCHS


def test_an_objective_that_returns_what_it_has_when_it_shall_stop() -> None:
    def lenient(trial: optuna.Trial, instance: Instance) -> float:
        try:
            return epochs(trial, instance)
        except optuna.TrialPruned:
            return 9.0 + float(instance.rng.random())

    study = search(lenient, instance_pruner=PRUNERS["median"]())
    assert not any(pruned(study))
    assert any(max(trial.user_attrs["robust:losses"]) > 9 for trial in study.trials)


def test_beside_a_robustness_pruner() -> None:
    study = search(
        study=new_study(pruner=opr.RobustnessPruner()), instance_pruner=PRUNERS["median"]()
    )
    assert any(pruned(study))
    assert len(study.best_trial.user_attrs["robust:losses"]) == 4


def test_in_a_robust_search() -> None:
    def robust(pruner: BasePruner | None) -> optuna.Study:
        base = optuna.samplers.RandomSampler(seed=0)
        study = optuna.create_study(sampler=opr.RobustnessSampler(base, seed=0))
        return search(study=study, n_trials=30, instance_pruner=pruner)

    study, unpruned = robust(PRUNERS["median"]()), robust(None)
    assert any(pruned(study))
    assert not any(pruned(unpruned))
    for trial in study.trials:
        losses = trial.user_attrs["robust:losses"]
        kept = trial.user_attrs["robust:learning_curves"]["values"]
        assert len(kept) == len(losses)
    whole = study.best_trial.user_attrs["robust:learning_curves"]["values"]
    assert list(map(len, whole.values())) == [N_EPOCHS] * 4


def test_in_threads() -> None:
    study = new_study()
    objective = MultiInstanceObjective(epochs, 4, instance_pruner=PRUNERS["median"]())
    study.optimize(objective, n_trials=12, n_jobs=3)
    assert {trial.state.name for trial in study.trials} <= {"COMPLETE", "PRUNED"}
    assert any(pruned(study))


def test_a_store_keeps_pruned_instances(tmp_path: Path) -> None:
    with closing(opr.InstanceStore(f"sqlite:///{tmp_path}/store.db")) as store:
        first = search(instance_pruner=PRUNERS["halving"](), store=store)
        again = search(instance_pruner=PRUNERS["halving"](), store=store)
        assert sum(map(n_trainings, again.trials)) == 0
        assert seen(again) == seen(first)
        states = [each.state for each in store.instances()]
        assert states.count("stopped") == sum(map(len, pruned(first)))


def test_pruned_instances_are_trained_to_the_end_where_none_are_pruned(tmp_path: Path) -> None:
    with closing(opr.InstanceStore(f"sqlite:///{tmp_path}/store.db")) as store:
        first = search(instance_pruner=PRUNERS["median"](), store=store)
        models = [trial.params for trial in first.trials]
        result = opr.robust_select(
            epochs, models, n_instances=4, rule="halving", store=store, n_select=8
        )
        assert np.isfinite(result.losses).all()
        assert not [each for each in store.instances() if each.state == "stopped"]
        assert search(store=store).best_params == first.best_params


def test_confirmations_prune_no_epochs() -> None:
    study = search(instance_pruner=PRUNERS["median"]())
    asked = []

    def told(trial: optuna.Trial, instance: Instance) -> float:
        trial.report(9.0, 0)
        asked.append(trial.should_prune())
        return trial.suggest_float("x", 0, 1) + float(instance.rng.normal())

    opr.confirm(study, told, n_models=2, n_instances=3)
    opr.robust_select(told, [{"x": 0.1}, {"x": 0.9}], n_instances=3)
    assert asked
    assert not any(asked)


def test_studies_of_instances_are_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    optuna.logging.enable_propagation()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        search(instance_pruner=PRUNERS["median"]())
    finally:
        optuna.logging.disable_propagation()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert "robust:instances" not in caplog.text
    assert "A new study created" in caplog.text


def test_another_way_of_counting_is_refused_in_a_study() -> None:
    study = search(instance_pruner=PRUNERS["median"](), n_trials=1)
    for options in ({}, {"instance_pruner": MedianPruner(), "on_instance_pruned": "last"}):
        with pytest.raises(ValueError, match="on_instance_pruned='worst'"):
            search(study=study, **options)
    unpruned = search(n_trials=1)
    with pytest.raises(ValueError, match="on_instance_pruned=None"):
        search(study=unpruned, instance_pruner=MedianPruner())


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"instance_pruner": "median"}, TypeError, "instance_pruner must be an Optuna pruner"),
        ({"instance_pruner": MedianPruner}, TypeError, "instance_pruner must be an Optuna pruner"),
        ({"instance_pruner": opr.RobustnessPruner()}, ValueError, "must judge epochs"),
        (
            {"instance_pruner": PatientPruner(opr.RobustnessPruner(), 1)},
            ValueError,
            "must judge epochs",
        ),
        (
            {"instance_pruner": MedianPruner(), "on_instance_pruned": "best"},
            ValueError,
            "on_instance_pruned='best' is unknown",
        ),
        (
            {"instance_pruner": MedianPruner(), "criterion": ("median", "max")},
            ValueError,
            "instance_pruner judges one value of an instance",
        ),
        ({"on_instance_pruned": "last"}, ValueError, "has no effect without an instance_pruner"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        MultiInstanceObjective(epochs, **options)


def test_instances_that_run_together_cannot_be_pruned() -> None:
    def together(trial: optuna.Trial, instances: tuple[Instance, ...]) -> list[float]:
        return [trial.suggest_float("x", 0, 1)] * len(instances)

    with pytest.raises(ValueError, match="instance_pruner prunes one instance at a time"):
        MultiInstanceObjective(together, instance_pruner=MedianPruner())


def test_what_is_compared_is_bounded() -> None:
    """Of many instances with long curves, the newest are enough."""

    def long(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        for step, value in enumerate(accumulate([x] * 5000)):
            trial.report(value, step)
        return x + float(instance.rng.normal())

    study = search(long, n_instances=3, n_trials=2, instance_pruner=MedianPruner())
    kept = study.trials[0].user_attrs["robust:learning_curves"]
    assert kept["steps"][0] == 0
    assert kept["steps"][-1] == 4999
    assert max(map(len, kept["values"].values())) <= 200


@pytest.mark.skipif(not hasattr(optuna.Trial, "set_constraint"), reason="needs Optuna 5")
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", ["median", "percentile", "halving"])
def test_infeasible_models_do_not_stop_feasible_ones(name: str) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.set_constraint("memory", 0.5 - x if instance.number else -1.0)
        return epochs(trial, instance)

    study = new_study()
    for x in (0.0, 0.1, 0.2, 0.3, 0.7, 0.65, 0.6, 0.8):
        study.enqueue_trial({"x": x})
    search(objective, study=study, instance_pruner=PRUNERS[name]())
    found = pruned(study)
    assert found[:5] == [[]] * 5  # there was no feasible one yet
    assert found[5:7] == [[], []]
    assert found[7]
