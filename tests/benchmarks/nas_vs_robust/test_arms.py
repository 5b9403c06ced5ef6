"""Every arm's search and confirmation, without processes."""

from dataclasses import replace

import numpy as np
import optuna
from optuna.trial import TrialState
import pytest

from benchmarks.nas_vs_robust.arms import describe
from benchmarks.nas_vs_robust.arms import SEARCHES
from benchmarks.nas_vs_robust.plan import ARMS
from benchmarks.nas_vs_robust.plan import Search
from benchmarks.nas_vs_robust.work import run_row
from benchmarks.nas_vs_robust.work import run_search
from optuna_robust import Instance
from optuna_robust.criteria import get_criterion
from tests.benchmarks.nas_vs_robust import noise
from tests.benchmarks.nas_vs_robust.noise import PLAN
from tests.benchmarks.nas_vs_robust.noise import TRAININGS


@pytest.fixture
def task():
    noise.LOADED.asked.clear()
    return noise.LOADED


@pytest.fixture
def run(task, tmp_path):
    def search(arm, seed=0, trainings=TRAININGS):
        storage = optuna.storages.InMemoryStorage()
        trained = []
        outcome = run_search(
            Search(arm, seed, trainings),
            noise.bench(tmp_path),
            PLAN,
            storage,
            on_training=lambda: trained.append(1),
        )
        return outcome, storage, len(trained)

    return search


def searched(task):
    return [(model, instance) for model, instance, part, _ in task.asked if part == "validation"]


def anew(instance):
    """Return the instance with generators that were not drawn from."""
    return replace(instance)


def test_every_arm_is_there():
    assert tuple(SEARCHES) == ARMS
    assert len({describe(arm) for arm in ARMS}) == len(ARMS)


@pytest.mark.parametrize("arm", ARMS)
def test_searches_train_what_they_are_given(arm, task, run):
    outcome, storage, n_trained = run(arm)
    n = len(searched(task))
    assert n == outcome.n_trainings
    # A race may be decided before.
    assert TRAININGS - 20 * (arm == "robust-select") <= n < TRAININGS + PLAN.n_instances
    assert n_trained == n + PLAN.confirmations * len(PLAN.sample_sizes)
    study = optuna.load_study(study_name=f"{arm}, seed 0, 50 trainings", storage=storage)
    models = {trial.params["x"] for trial in study.trials}
    assert len(models) == outcome.n_models
    complete = {trial.params["x"] for trial in study.get_trials(states=[TrialState.COMPLETE])}
    assert len(models - complete) == outcome.n_pruned
    assert outcome.seconds > 0.0


@pytest.mark.parametrize("arm", ARMS)
def test_winners_are_judged_on_fresh_instances_and_the_test_part(arm, task, run):
    outcome, _, _ = run(arm, seed=3)
    fresh = [each for each in task.asked if each[2] == "test"]
    n = PLAN.confirmations
    assert [(size, instance) for _, instance, _, size in fresh] == [
        (size, Instance(1_000_000 + number, study_seed=3, phase="confirmation"))
        for size in PLAN.sample_sizes
        for number in range(n)
    ]
    assert {model for model, *_ in fresh} == {outcome.params["x"]}
    assert {size: len(losses) for size, losses in outcome.fresh_losses.items()} == {4: n, 16: n}
    assert min(outcome.fresh()) > noise.TEST_SHIFT - 3.0
    assert max(outcome.search_losses) < noise.TEST_SHIFT


@pytest.mark.parametrize("arm", ARMS)
def test_searches_use_the_largest_sample(arm, task, run):
    run(arm)
    assert {size for *_, part, size in task.asked if part == "validation"} == {16}


def test_nas_trains_every_model_once_and_believes_the_best_number(task, run):
    outcome, _, _ = run("nas")
    assert len({model for model, _ in searched(task)}) == TRAININGS
    assert len({instance.seed for _, instance in searched(task)}) == TRAININGS
    losses = [model + anew(instance).rng.normal() / 4.0 for model, instance in searched(task)]
    assert outcome.search_losses == pytest.approx((min(losses),))


def test_nas_retrained_begins_like_nas_and_trains_the_best_again(task, run):
    run("nas")
    nas = searched(task)[:20]
    task.asked.clear()
    outcome, _, _ = run("nas-retrained")
    # Those of nas are in the database.
    again = searched(task)
    assert len(again) == 30
    assert len({model for model, _ in again}) == 10
    assert {model for model, _ in again} <= {model for model, _ in nas}
    assert outcome.n_trainings == 50
    assert len(outcome.search_losses) == 3
    assert outcome.criterion == "mean"
    means = {}
    for model, instance in again:
        means.setdefault(model, []).append(model + anew(instance).rng.normal() / 4.0)
    assert np.mean(outcome.search_losses) == pytest.approx(min(map(np.mean, means.values())))


@pytest.mark.parametrize(
    ("arm", "n", "criterion"),
    [("mean-of-5", 5, "mean"), ("wilcoxon", 4, "mean"), ("robust-pruned", 4, "q3+iqr")],
)
def test_arms_of_several_instances_choose_by_all_of_them(arm, n, criterion, task, run):
    outcome, storage, _ = run(arm)
    study = optuna.load_study(study_name=f"{arm}, seed 0, 50 trainings", storage=storage)
    assert len(outcome.search_losses) == n
    assert outcome.criterion == criterion
    value = get_criterion(criterion)(outcome.search_losses)
    assert study.best_value == pytest.approx(value)
    assert [instance.number for _, instance in searched(task)][:n] == list(range(n))


def test_robust_select_races_random_models(task, run):
    outcome, _, _ = run("robust-select")
    models = [model for model, instance in searched(task) if instance.number == 0]
    assert len(models) == len(set(models)) == TRAININGS // 2
    sampled = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    assert sorted(models) == sorted(sampled.ask().suggest_float("x", 0, 10) for _ in models)
    assert outcome.params["x"] in models


def test_a_small_space_has_fewer_models_to_race(task, run, monkeypatch):
    monkeypatch.setattr(task, "n_choices", 6)
    outcome, _, _ = run("robust-select")
    assert outcome.n_models == 6
    assert outcome.params == {"x": 1}


@pytest.mark.parametrize("arm", ARMS)
def test_a_search_goes_on_from_the_database(arm, task, run):
    first, *_ = run(arm)
    task.asked.clear()
    again, storage, n_trained = run(arm)
    assert (task.asked, n_trained) == ([], 0)
    assert again == first
    assert len(storage.get_all_studies()) == 1


@pytest.mark.parametrize("arm", ["nas", "nas-retrained", "robust"])
def test_a_larger_budget_trains_only_what_a_smaller_one_has_not(arm, task, run):
    run(arm, trainings=45)
    n_before = len(searched(task))
    outcome, *_ = run(arm)
    n_new = len(searched(task)) - n_before
    # What is taken from the database counts as trained.
    assert outcome.n_trainings >= TRAININGS
    assert n_new < 25
    assert (n_new == 5) or arm != "nas"


def test_a_robust_search_is_made_of_turns_and_ends_with_a_whole_model(task, run):
    outcome, storage, _ = run("robust")
    study = optuna.load_study(study_name="robust, seed 0, 50 trainings", storage=storage)
    assert len(outcome.search_losses) == PLAN.n_instances
    assert outcome.criterion == "q3+iqr"
    assert study.best_value == pytest.approx(get_criterion("q3+iqr")(outcome.search_losses))
    trained = [(model, instance.number) for model, instance in searched(task)]
    assert len(set(trained)) == len(trained) == outcome.n_trainings
    assert outcome.n_models < len(study.trials)
    assert len(trained) == pytest.approx(len(study.trials), abs=PLAN.n_instances)


def test_of_several_instances_at_once_the_same_comes_out(task, run, tmp_path, monkeypatch):
    one_by_one, *_ = run("robust-pruned")
    (tmp_path / "some.db").unlink()
    monkeypatch.setattr(task, "trains_together", True)
    together, *_ = run("robust-pruned")
    assert together.params == one_by_one.params
    assert together.search_losses == one_by_one.search_losses
    assert together.fresh_losses == one_by_one.fresh_losses


def test_a_fixed_row_is_trained_on_the_same_instances_as_the_first_winner(task, run, tmp_path):
    run("nas")
    winners = {(instance, size) for _, instance, part, size in task.asked if part == "test"}
    task.asked.clear()
    row = run_row("bad", noise.bench(tmp_path), PLAN, on_training=lambda: None)
    assert {(instance, size) for _, instance, _, size in task.asked} == winners
    assert {(model, part) for model, _, part, _ in task.asked} == {(5.0, "test")}
    assert row.name == "bad"
    assert [len(losses) for losses in row.fresh_losses.values()] == [8, 8]
