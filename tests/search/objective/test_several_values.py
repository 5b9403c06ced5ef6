"""Objectives that return several values, such as accuracy and latency."""

from __future__ import annotations

import functools
import math
from pathlib import Path
import random
from typing import Any

import numpy as np
import optuna
from optuna.samplers import NSGAIISampler
from optuna.trial import TrialState
import pytest

import optuna_robust as opr
from optuna_robust import Instance
from optuna_robust import MultiInstanceObjective
from optuna_robust.report import html_report


def accuracy_and_latency(trial: optuna.Trial, instance: Instance) -> tuple[float, float]:
    x = trial.suggest_float("x", 0, 1)
    accuracy = 1 - (x - 0.7) ** 2 + 0.02 * float(instance.rng.normal())
    return accuracy, 5 * x + 0.1 * float(instance.rng.normal())


def study_of(*directions: str, **options: Any) -> optuna.Study:
    options.setdefault("sampler", optuna.samplers.RandomSampler(seed=0))
    return optuna.create_study(directions=directions or ("maximize", "minimize"), **options)


def both(trial: optuna.trial.FrozenTrial) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    attrs = trial.user_attrs
    others = [each["robust:values"][0] for each in attrs["robust:instance_attrs"].values()]
    return np.array(attrs["robust:losses"]), np.array(others)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_each_value_is_judged_by_its_criterion(n_jobs: int) -> None:
    study = study_of()
    robust = MultiInstanceObjective(
        accuracy_and_latency, 6, criterion=("q3+iqr", "std"), n_jobs=n_jobs
    )
    study.optimize(robust, n_trials=3)
    for trial in study.trials:
        accuracy, latency = both(trial)
        low, high = np.quantile(accuracy, [0.25, 0.75])
        assert trial.values == pytest.approx([low - (high - low), latency.std(ddof=1)])
        assert trial.user_attrs["robust:n_instances"] == 6


def test_a_callable_is_a_criterion_too_and_an_unchanged_objective() -> None:
    def objective(trial: optuna.Trial) -> list[float]:
        return [trial.suggest_float("x", 0, 1) + float(np.random.normal()), 3.0]

    study = study_of("minimize", "minimize")
    study.optimize(MultiInstanceObjective(objective, 3, criterion=["max", np.min]), n_trials=2)
    for trial in study.trials:
        assert trial.values == [max(trial.user_attrs["robust:losses"]), 3.0]


def test_a_store_keeps_all_values(tmp_path: Path) -> None:
    store = opr.InstanceStore(f"sqlite:///{tmp_path / 'robust.db'}")
    values = []
    for n_trained in (2 * 4, 0):
        study = study_of()
        robust = MultiInstanceObjective(
            accuracy_and_latency, 4, criterion=("mean", "max"), store=store
        )
        study.optimize(robust, n_trials=2)
        values.append([trial.values for trial in study.trials])
        n_reused = sum(trial.user_attrs.get("robust:n_reused", 0) for trial in study.trials)
        assert n_reused == 8 - n_trained
    assert values[0] == values[1]
    another = MultiInstanceObjective(
        lambda trial, instance: (0.0, trial.suggest_float("x", 0, 1)),
        4,
        criterion=("mean", "max"),
        store=store,
    )
    with pytest.warns(UserWarning, match="by the objective 'accuracy_and_latency', not by"):
        study_of().optimize(another, n_trials=1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", [0, 1])
@pytest.mark.parametrize("on_failure", ["worst", "drop"])
def test_an_instance_fails_as_a_whole(bad: float, where: int, on_failure: str) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> list[float]:
        trial.suggest_float("x", 0, 1)
        values = [float(instance.number), 10.0 + instance.number]
        if instance.number == 2:
            values[where] = bad
        return values

    study = study_of("minimize", "maximize")
    robust = MultiInstanceObjective(objective, 4, criterion=("max", "max"), on_failure=on_failure)
    study.optimize(robust, n_trials=1)
    (trial,) = study.trials
    assert trial.values == ([math.inf, -math.inf] if on_failure == "worst" else [3.0, 10.0])
    assert list(trial.user_attrs["robust:failures"]) == ["2"]


@pytest.mark.parametrize(
    ("late", "state"),
    [
        ((0.5, 5.0), TrialState.PRUNED),  # dominated
        ((0.5, 1.0), TrialState.COMPLETE),  # the fastest
        ((0.95, 5.0), TrialState.COMPLETE),  # the most accurate
        ((0.85, 2.5), TrialState.COMPLETE),  # between
    ],
)
def test_trials_are_pruned_by_domination(late: tuple[float, float], state: TrialState) -> None:
    models = [(0.9, 3.0), (0.8, 2.0), (0.9, 3.5), (0.88, 3.0), late]

    def objective(trial: optuna.Trial, instance: Instance) -> tuple[float, float]:
        accuracy, latency = models[trial.suggest_int("model", 0, 4)]
        noise = 0.001 * float(instance.rng.normal())
        return accuracy + noise, latency + noise

    study = study_of(pruner=opr.RobustnessPruner(n_startup_trials=1, n_warmup_instances=1))
    for model in range(5):
        study.enqueue_trial({"model": model})
    study.optimize(MultiInstanceObjective(objective, 6, criterion=("mean", "q3")), n_trials=5)
    assert study.trials[-1].state == state
    assert study.trials[0].state == TrialState.COMPLETE


def test_the_same_value_twice_prunes_as_one_statistic_twice() -> None:
    def twice(trial: optuna.Trial, instance: Instance) -> tuple[float, float]:
        loss = once(trial, instance)
        return loss, loss

    def once(trial: optuna.Trial, instance: Instance) -> float:
        return trial.suggest_float("x", 0, 1) + 0.3 * float(instance.rng.normal())

    studies = []
    for objective, how in ((once, "returns"), (twice, "criterion")):
        study = study_of("minimize", "minimize", pruner=opr.RobustnessPruner())
        robust = MultiInstanceObjective(objective, 8, **{how: ("median", "max")})
        study.optimize(robust, n_trials=30)
        studies.append(study)
    one, other = ([(trial.state, trial.values) for trial in study.trials] for study in studies)
    assert one == other
    assert any(state == TrialState.PRUNED for state, _ in one)


def test_a_genetic_sampler_a_report_and_figures_work() -> None:
    study = study_of(sampler=NSGAIISampler(population_size=4, seed=0))
    robust = MultiInstanceObjective(accuracy_and_latency, 3, criterion=("mean", "max"))
    study.optimize(robust, n_trials=10)
    assert "Pareto front" in html_report(study)
    assert opr.visualization.plot_level_spread(study).data


@pytest.mark.parametrize("directions", [("minimize", "maximize"), ("maximize", "minimize")])
def test_figures_show_the_first_value(directions: tuple[str, str]) -> None:
    study = study_of(*directions)
    robust = MultiInstanceObjective(accuracy_and_latency, 3, criterion=("mean", "max"))
    study.optimize(robust, n_trials=4)
    figure = opr.visualization.plot_instance_losses(study, criterion="mean")
    means = [np.mean(trial.user_attrs["robust:losses"]) for trial in study.trials]
    ranked = np.argsort(means)[:: -1 if directions[0] == "maximize" else 1]
    assert list(figure.layout.xaxis.ticktext) == list(map(str, ranked))


def test_confirmations_and_selections_say_what_they_need() -> None:
    study = study_of()
    robust = MultiInstanceObjective(accuracy_and_latency, 3, criterion=("mean", "max"))
    study.optimize(robust, n_trials=2)
    with pytest.raises(ValueError, match=r"has 2 objectives, but a confirmation .* one"):
        opr.confirm(study, accuracy_and_latency)
    models = [trial.params for trial in study.best_trials]
    with pytest.raises(ValueError, match=r"one loss.*criterion for each"):
        opr.robust_select(accuracy_and_latency, [*models, {"x": 0.5}])


def _batch(trial: optuna.Trial, instances: Any) -> list[float]:
    return [0.0 for _ in instances]


@pytest.mark.parametrize(
    ("options", "study_options", "error", "message"),
    [
        ({"criterion": ("mean",)}, {}, ValueError, "at least two"),
        ({"criterion": ()}, {}, ValueError, "at least two"),
        ({"criterion": ("mean", "best")}, {}, ValueError, "'best' is unknown"),
        ({"criterion": ("mean",) * 3}, {}, ValueError, "3 criteria, but the study has 2"),
        ({"criterion": ("std", "mean")}, {}, ValueError, "std is a spread"),
        ({"criterion": ("mean", "mean"), "returns": ("mean", "iqr")}, {}, ValueError, "not both"),
        (
            {"criterion": ("mean", "mean")},
            {"sampler": opr.RobustnessSampler()},
            ValueError,
            "use another sampler, such as NSGAIISampler",
        ),
        (
            {"criterion": ("mean", "mean")},
            {"pruner": opr.RobustnessPruner(max_spread=1.0)},
            ValueError,
            "max_spread .* limit one loss",
        ),
        (
            {"criterion": ("mean", "mean")},
            {"pruner": opr.RobustnessPruner(rule="race")},
            ValueError,
            "compares with one best trial",
        ),
        ({}, {}, ValueError, r"criterion=\('q3\+iqr', 'mean'\)"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(
    options: dict[str, Any],
    study_options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        pytest.fail("trained")

    study = study_of(**study_options)
    with pytest.raises(error, match=message):
        study.optimize(MultiInstanceObjective(objective, 3, **options), n_trials=1)


def test_a_decorator_is_asked_as_for_one_value() -> None:
    @functools.wraps(accuracy_and_latency)
    def gives_it(trial: optuna.Trial) -> Any:
        return accuracy_and_latency(trial, Instance(random.getrandbits(16)))

    @functools.wraps(accuracy_and_latency)
    def passes_it_on(trial: optuna.Trial, **options: Any) -> Any:
        return accuracy_and_latency(trial, **options)

    for criterion in ("mean", ("mean", "max")):
        with pytest.raises(TypeError, match=r"its decorator takes \(trial"):
            MultiInstanceObjective(gives_it, 3, criterion=criterion)
    del gives_it.__wrapped__  # type: ignore[attr-defined]
    values = []
    for objective in (gives_it, passes_it_on, accuracy_and_latency):
        study = study_of()
        study.optimize(MultiInstanceObjective(objective, 3, criterion=("mean", "max")), n_trials=2)
        values.append([trial.values for trial in study.trials])
    assert values[1] == values[2] != values[0]


def other_values(trial: optuna.Trial, instance: Instance) -> tuple[float, float]:
    return accuracy_and_latency(trial, instance)[::-1]


def test_a_store_knows_the_objective_itself(recwarn: pytest.WarningsRecorder) -> None:
    store = opr.InstanceStore()

    def search(objective: Any, n_values: int) -> None:
        criterion = ("mean", "max", "max")[:n_values]
        robust = MultiInstanceObjective(objective, 3, criterion=criterion, store=store)
        study = study_of(*("minimize",) * n_values)
        study.optimize(robust, n_trials=1, catch=ValueError)

    search(accuracy_and_latency, 2)
    search(accuracy_and_latency, 2)
    search(accuracy_and_latency, 3)
    assert not [each for each in recwarn if "were trained by" in str(each.message)]
    with pytest.warns(UserWarning, match="'accuracy_and_latency', not by 'other_values'"):
        search(other_values, 2)


def test_an_objective_of_several_instances_is_refused() -> None:
    with pytest.raises(TypeError, match="takes several instances"):
        MultiInstanceObjective(_batch, 3, criterion=("mean", "mean"))


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        *((0.5, TypeError), ((0.5,), ValueError), ((1, 2, 3), ValueError), ("ab", TypeError)),
        *(({0: 0.5, 1: 0.1}, TypeError), ({0.5, 0.1}, TypeError)),
    ],
)
def test_other_values_are_an_error(returned: Any, error: type[Exception]) -> None:
    robust = MultiInstanceObjective(lambda trial: returned, 3, criterion=("mean", "max"))
    with pytest.raises(error, match="must return 2 values for each instance"):
        study_of().optimize(robust, n_trials=1)
