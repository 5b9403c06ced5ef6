from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import shutil
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.trial import create_trial
from optuna.trial import TrialState
import pytest

from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import MultiInstanceObjective
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._search.objective._dead_trials import continue_dead_trials
from optuna_robust._search.objective._dead_trials import first_number
from tests.objectives import study_of
from tests.training_log import run_script


# A worker that claims to continue a trial of the study "claimed", and ends.
DEAD = """
import sys
from optuna_robust import InstanceStore
store = InstanceStore(sys.argv[1])
assert store.claim_trial("claimed", 0)
print(store.worker())
store.close()
"""
DISTRIBUTIONS = {"x": FloatDistribution(-1, 1), "n": IntDistribution(0, 9)}
PARAMS: dict[str, Any] = {"x": 0.25, "n": 3}


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store, and the id of a worker of it that died."""
    path = tmp_path_factory.mktemp("dead") / "store.db"
    return path, run_script(DEAD, f"sqlite:///{path}").strip()


@pytest.fixture
def store(dead: tuple[Path, str], tmp_path: Path) -> InstanceStore:
    shutil.copy(dead[0], tmp_path / "store.db")
    return InstanceStore(f"sqlite:///{tmp_path / 'store.db'}")


@pytest.fixture
def worker(dead: tuple[Path, str]) -> str:
    return dead[1]


def objective(trial: optuna.Trial, instance: Instance) -> float:
    x = trial.suggest_float("x", -1, 1)
    return trial.suggest_int("n", 0, 9) + x + float(instance.rng.normal())


def left_running(
    study: optuna.Study, worker: str | None, params: dict[str, Any] | None = None, **kwargs: Any
) -> None:
    """Add a trial that a worker was running."""
    params = PARAMS if params is None else params
    attrs = {} if worker is None else {"robust:worker": worker}
    study.add_trial(
        create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions={name: DISTRIBUTIONS[name] for name in params},
            user_attrs={**attrs, "mine": "kept", "robust:losses": [0.5]},
            **kwargs,
        )
    )


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.trials]


def counting(trained: list[tuple[float, int]]) -> Callable[..., float]:
    """Return the objective, which tells what is trained."""

    def counted(trial: optuna.Trial, instance: Instance) -> float:
        loss = objective(trial, instance)
        trained.append((trial.params["x"], instance.number))
        return loss

    return counted


def begin(study: optuna.Study, store: InstanceStore) -> optuna.Trial:
    """Begin a trial as MultiInstanceObjective does."""
    trial = study.ask()
    trial.set_user_attr("robust:worker", store.worker())
    continue_dead_trials(trial, store)
    return trial


def test_a_trial_takes_what_a_dead_worker_left(store: InstanceStore, worker: str) -> None:
    study = study_of()
    system_attrs = {"completed_rung_0": 0.5, "grid_id": 4}
    left_running(study, worker, system_attrs=system_attrs, intermediate_values={0: 0.5})
    trial = begin(study, store)
    assert states(study) == ["FAIL", "RUNNING"]
    found = study.trials[1]
    assert trial.params == found.params == PARAMS
    assert trial.distributions == found.distributions == DISTRIBUTIONS
    attrs = {"mine": "kept", "robust:continues": 0, "robust:worker": store.worker()}
    assert trial.user_attrs == found.user_attrs == attrs
    assert found.system_attrs == system_attrs
    # Losses are taken from the store and reported again.
    assert found.intermediate_values == {}
    # The next trial has nothing to do with it.
    assert begin(study, store).params == {}
    assert states(study) == ["FAIL", "RUNNING", "RUNNING"]


def test_each_trial_takes_one(store: InstanceStore, worker: str) -> None:
    study = study_of()
    for number in range(3):
        left_running(study, worker, {"n": number})
    assert [begin(study, store).params for _ in range(4)] == [{"n": 0}, {"n": 1}, {"n": 2}, {}]
    assert states(study) == [*["FAIL"] * 3, *["RUNNING"] * 4]


def test_a_trial_with_a_model_of_its_own_leaves_them_to_others(
    store: InstanceStore, worker: str
) -> None:
    study = study_of()
    left_running(study, worker)
    left_running(study, worker, {})
    study.enqueue_trial({"x": 0.5, "n": 1})
    study.optimize(MultiInstanceObjective(objective, 2, store=store), n_trials=1)
    assert study.trials[2].params == {"x": 0.5, "n": 1}
    assert states(study) == ["RUNNING", "FAIL", "COMPLETE"]  # nothing was left by the second
    study.optimize(MultiInstanceObjective(objective, 2, store=store), n_trials=1)
    assert study.trials[3].params == PARAMS
    assert states(study) == ["FAIL", "FAIL", "COMPLETE", "COMPLETE"]


def test_it_goes_on_from_the_store(store: InstanceStore, worker: str) -> None:
    study = study_of()
    left_running(study, worker)
    for number in range(2):
        job = Job(PARAMS, Instance(number))
        store.claim([job])
        store.record(job, Outcome(100.0 + number))
    trained: list[tuple[float, int]] = []
    study.optimize(MultiInstanceObjective(counting(trained), 4, store=store), n_trials=2)
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[1].params == PARAMS
    assert study.trials[1].user_attrs["robust:continues"] == 0
    assert study.trials[1].user_attrs["robust:losses"] == [
        100.0,
        101.0,
        *(3.25 + float(Instance(number).rng.normal()) for number in (2, 3)),
    ]
    assert [number for x, number in trained if x == PARAMS["x"]] == [2, 3]
    assert [number for x, number in trained if x != PARAMS["x"]] == [0, 1, 2, 3]


@pytest.mark.parametrize("whose", ["own", "living", "unknown", "nobody's"])
def test_other_trials_are_left_alone(whose: str, store: InstanceStore) -> None:
    living = InstanceStore(store.url)
    worker = {
        "own": store.worker(),
        "living": living.worker(),
        "unknown": "0" * 32,
        "nobody's": None,
    }[whose]
    study = study_of()
    left_running(study, worker)
    study.optimize(MultiInstanceObjective(objective, 2, store=store), n_trials=1)
    assert states(study) == ["RUNNING", "COMPLETE"]
    living.close()


def test_only_running_trials_are_continued(store: InstanceStore, worker: str) -> None:
    study = study_of()
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.WAITING):
        value = 0.0 if state == TrialState.COMPLETE else None
        study.add_trial(
            create_trial(
                state=state,
                value=value,
                params=PARAMS,
                distributions=DISTRIBUTIONS,
                user_attrs={"robust:worker": worker, "robust:losses": [0.0]},
            )
        )
    study.optimize(MultiInstanceObjective(objective, 2, store=store), n_trials=2)
    assert states(study) == ["COMPLETE", "PRUNED", "FAIL", "COMPLETE", "COMPLETE"]
    assert not any("robust:continues" in trial.user_attrs for trial in study.trials)


def test_a_trial_that_had_suggested_nothing_has_nothing_to_continue(
    store: InstanceStore, worker: str
) -> None:
    study = study_of()
    left_running(study, worker, {})
    assert begin(study, store).params == {}
    assert states(study) == ["FAIL", "RUNNING"]
    assert "robust:continues" not in study.trials[1].user_attrs


def test_a_trial_that_had_suggested_in_part_suggests_the_rest(
    store: InstanceStore, worker: str
) -> None:
    study = study_of()
    left_running(study, worker, {"x": 0.25})
    study.optimize(MultiInstanceObjective(objective, 2, store=store), n_trials=1)
    assert states(study) == ["FAIL", "COMPLETE"]
    assert study.trials[1].params["x"] == 0.25
    assert set(study.trials[1].params) == {"x", "n"}


@pytest.mark.parametrize("suggested", [{}, {"x": 0.25}])
def test_an_enqueued_trial_is_enqueued_again(
    suggested: dict[str, Any], store: InstanceStore, worker: str
) -> None:
    study = study_of()
    left_running(study, worker, suggested, system_attrs={"fixed_params": PARAMS})
    study.optimize(MultiInstanceObjective(objective, 2, store=store), n_trials=1)
    assert study.trials[1].params == PARAMS


def test_a_point_of_a_grid_is_not_lost(store: InstanceStore, worker: str) -> None:
    grid: dict[str, list[Any]] = {"x": [-0.5, 0.0, 0.5], "n": [1, 2]}

    def make_study() -> optuna.Study:
        return optuna.create_study(
            storage=storage,
            study_name="grid",
            load_if_exists=True,
            sampler=optuna.samplers.GridSampler(grid, seed=0),
        )

    storage = optuna.storages.InMemoryStorage()
    study = make_study()
    study.ask().set_user_attr("robust:worker", worker)  # killed before it suggests anything
    trial = study.ask()  # killed after it has
    objective(trial, Instance(0))
    trial.set_user_attr("robust:worker", worker)
    make_study().optimize(MultiInstanceObjective(objective, 2, store=store), n_trials=20)
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    points = {tuple(trial.params.values()) for trial in complete}
    assert points == {(x, n) for x in grid["x"] for n in grid["n"]}
    assert len(complete) == 6


def test_a_trial_is_continued_once_whoever_looks(store: InstanceStore, worker: str) -> None:
    study = study_of()
    left_running(study, worker)
    other = InstanceStore(store.url)
    # Both have seen the trial RUNNING.
    assert other.claim_trial(study.study_name, 0)
    assert begin(study, store).params == {}
    assert states(study) == ["RUNNING", "RUNNING"]
    other.close()


def test_who_was_to_continue_it_may_have_died_before(store: InstanceStore, worker: str) -> None:
    study = optuna.create_study(study_name="claimed")
    left_running(study, worker)
    assert begin(study, store).params == PARAMS
    assert states(study) == ["FAIL", "RUNNING"]


@pytest.mark.parametrize("inherited", [{}, {"x": 0.25}, PARAMS])
def test_who_was_to_continue_it_may_have_died_while_it_did(
    inherited: dict[str, Any], store: InstanceStore, worker: str
) -> None:
    """Before it had taken everything, and could say that the first one failed."""
    study = optuna.create_study(study_name="claimed")
    left_running(study, worker, system_attrs={"grid_id": 3})
    attrs = {"robust:worker": worker, "robust:continues": 0}
    study.add_trial(
        create_trial(
            state=TrialState.RUNNING,
            params=inherited,
            distributions={name: DISTRIBUTIONS[name] for name in inherited},
            user_attrs=attrs,
            system_attrs={"grid_id": 5},
        )
    )
    trial = begin(study, store)
    assert states(study) == ["FAIL", "FAIL", "RUNNING"]
    assert trial.params == PARAMS
    assert trial.user_attrs["robust:continues"] == 1
    assert trial.user_attrs["mine"] == "kept"
    assert study.trials[2].system_attrs == {"grid_id": 3}
    assert begin(study, store).params == {}


def test_chains(store: InstanceStore, worker: str) -> None:
    study = study_of()
    left_running(study, worker)
    for _ in range(3):
        trial = begin(study, store)
        assert first_number(trial) == 0
        assert trial.params == PARAMS
        trial.set_user_attr("robust:worker", worker)
    study.optimize(MultiInstanceObjective(objective, 2, store=store), n_trials=2)
    assert states(study) == [*["FAIL"] * 4, "COMPLETE", "COMPLETE"]
    before = [trial.user_attrs.get("robust:continues") for trial in study.trials]
    assert before == [None, 0, 1, 2, 3, None]
    assert study.trials[4].params == PARAMS


def test_instances_of_its_own_stay_its_own(store: InstanceStore, worker: str) -> None:
    study = study_of()
    left_running(study, worker)
    first = Job(PARAMS, Instance(0, model=0))
    store.claim([first])
    store.record(first, Outcome(100.0))
    robust = MultiInstanceObjective(objective, 2, reshuffle=True, store=store)
    study.optimize(robust, n_trials=2)
    assert study.trials[1].user_attrs["robust:losses"] == [
        100.0,
        3.25 + float(Instance(1, model=0).rng.normal()),
    ]
    own = study.trials[2]
    assert own.user_attrs["robust:losses"] == [
        own.params["n"] + own.params["x"] + float(Instance(number, model=2).rng.normal())
        for number in range(2)
    ]


def test_a_study_that_does_not_fit_is_left_as_it_is(store: InstanceStore, worker: str) -> None:
    study = study_of()
    study.optimize(MultiInstanceObjective(objective, 2, seed=1), n_trials=1)
    left_running(study, worker)
    with pytest.raises(ValueError, match="seed"):
        study.optimize(MultiInstanceObjective(objective, 2, seed=2, store=store), n_trials=1)
    assert states(study) == ["COMPLETE", "RUNNING", "FAIL"]


def test_a_trial_says_first_whose_it_is(store: InstanceStore) -> None:
    seen: list[str] = []

    def spy(trial: optuna.Trial, instance: Instance) -> float:
        seen.append(study.trials[trial.number].user_attrs["robust:worker"])
        return objective(trial, instance)

    study = study_of()
    study.optimize(MultiInstanceObjective(spy, 2, store=store), n_trials=1)
    assert set(seen) == {store.worker()}


def test_a_trial_that_ctrl_c_ended_is_continued() -> None:
    trained: list[tuple[float, int]] = []
    stops = [True]

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", -1, 1)
        if instance.number == 3 and stops:
            stops.clear()
            raise KeyboardInterrupt
        trained.append((x, instance.number))
        return x + float(instance.rng.normal())

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    wrapped = MultiInstanceObjective(objective, 5, store=InstanceStore())
    with pytest.raises(KeyboardInterrupt):
        study.optimize(wrapped, n_trials=2)
    study.optimize(wrapped, n_trials=2)

    first, second, third = study.trials
    assert [trial.state for trial in study.trials] == [
        TrialState.FAIL,
        TrialState.COMPLETE,
        TrialState.COMPLETE,
    ]
    assert second.params == first.params != third.params
    assert second.user_attrs["robust:continues"] == 0
    assert second.user_attrs["robust:n_reused"] == 3
    assert len(trained) == len(set(trained)) == 10


@pytest.mark.skipif(not hasattr(optuna.Trial, "set_constraint"), reason="needs Optuna 5")
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_trial_that_ctrl_c_ended_gets_constraints_of_all_its_instances() -> None:
    stops = [True]

    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", -1, 1)
        trial.set_constraint("memory", -1.0 if instance.number < 2 else 1.0)
        if instance.number == 2 and stops:
            stops.clear()
            raise KeyboardInterrupt
        return x + float(instance.rng.normal())

    study = study_of()
    wrapped = MultiInstanceObjective(objective, 4, store=InstanceStore())
    with pytest.raises(KeyboardInterrupt):
        study.optimize(wrapped, n_trials=1)
    study.optimize(wrapped, n_trials=1)

    assert states(study) == ["FAIL", "COMPLETE"]
    assert study.trials[1].user_attrs["robust:n_reused"] == 2
    assert study.trials[1].constraints == {"memory": 1.0}
