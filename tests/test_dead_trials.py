from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import shutil
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from optuna.trial import create_trial
from optuna.trial import FrozenTrial
from optuna.trial import TrialState
import pytest

from optuna_robust import Instance
from optuna_robust import InstanceStore
from optuna_robust import MultiInstanceObjective
from optuna_robust.dead_trials import continue_dead_trials
from optuna_robust.dead_trials import first_number
from optuna_robust.evaluation import Job
from optuna_robust.evaluation import Outcome
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


def test_a_dead_workers_trial_is_queued_with_what_it_had(
    store: InstanceStore, worker: str
) -> None:
    study = study_of()
    system_attrs = {"completed_rung_0": 0.5, "grid_id": 4}
    left_running(study, worker, system_attrs=system_attrs, intermediate_values={0: 0.5})
    continue_dead_trials(study, store)
    assert states(study) == ["FAIL", "WAITING"]
    queued = study.trials[1]
    assert (queued.params, queued.distributions) == (PARAMS, DISTRIBUTIONS)
    # Losses are taken from the store, so that they are not repeated here.
    assert queued.user_attrs == {"mine": "kept", "robust:continues": 0}
    assert queued.system_attrs == system_attrs
    assert queued.intermediate_values == {}
    continue_dead_trials(study, store)
    assert states(study) == ["FAIL", "WAITING"]


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
    assert study.trials[2].params == PARAMS
    assert study.trials[2].user_attrs["robust:continues"] == 0
    assert study.trials[2].user_attrs["robust:losses"] == [
        100.0,
        101.0,
        *(3.25 + float(Instance(number).rng.normal()) for number in (2, 3)),
    ]
    # Trial 1 had been asked for when the dead one was found.
    assert [number for x, number in trained if x != PARAMS["x"]] == [0, 1, 2, 3]
    assert [number for x, number in trained if x == PARAMS["x"]] == [2, 3]


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
                user_attrs={"robust:worker": worker},
            )
        )
    continue_dead_trials(study, store)
    assert states(study) == ["COMPLETE", "PRUNED", "FAIL", "WAITING"]


def test_a_trial_that_had_suggested_nothing_has_nothing_to_continue(
    store: InstanceStore, worker: str
) -> None:
    study = study_of()
    left_running(study, worker, {})
    continue_dead_trials(study, store)
    assert states(study) == ["FAIL"]


def test_a_trial_that_had_suggested_in_part_suggests_the_rest(
    store: InstanceStore, worker: str
) -> None:
    study = study_of()
    left_running(study, worker, {"x": 0.25})
    study.optimize(MultiInstanceObjective(objective, 2, store=store), n_trials=2)
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[2].params["x"] == 0.25
    assert set(study.trials[2].params) == {"x", "n"}


@pytest.mark.parametrize("suggested", [{}, {"x": 0.25}])
def test_an_enqueued_trial_is_enqueued_again(
    suggested: dict[str, Any], store: InstanceStore, worker: str
) -> None:
    study = study_of()
    left_running(study, worker, suggested, system_attrs={"fixed_params": PARAMS})
    study.optimize(MultiInstanceObjective(objective, 2, store=store), n_trials=2)
    assert study.trials[2].params == PARAMS


def test_a_point_of_a_grid_is_not_lost(store: InstanceStore, worker: str) -> None:
    grid = {"x": [-0.5, 0.0, 0.5], "n": [1, 2]}

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
    for _ in range(2):  # GridSampler stops a study whose points have all been begun
        make_study().optimize(MultiInstanceObjective(objective, 2, store=store), n_trials=10)
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    points = {tuple(trial.params.values()) for trial in complete}
    assert points == {(x, n) for x in grid["x"] for n in grid["n"]}


def test_a_trial_is_continued_once_whoever_looks(store: InstanceStore, worker: str) -> None:
    study = study_of()
    left_running(study, worker)
    other = InstanceStore(store.url)
    # Both have seen the trial RUNNING.
    assert other.claim_trial(study.study_name, 0)
    continue_dead_trials(study, store)
    assert states(study) == ["RUNNING"]
    other.close()


@pytest.mark.parametrize("queued", [False, True])
def test_who_was_to_continue_it_may_have_died_as_well(
    queued: bool, store: InstanceStore, worker: str
) -> None:
    study = optuna.create_study(study_name="claimed")
    left_running(study, worker)
    if queued:  # it died before it could say that the first one failed
        study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=PARAMS,
                distributions=DISTRIBUTIONS,
                user_attrs={"robust:continues": 0},
            )
        )
    continue_dead_trials(study, store)
    assert states(study) == ["FAIL", "WAITING"]


def test_chains(store: InstanceStore, worker: str) -> None:
    study = study_of()
    left_running(study, worker)
    for _ in range(3):
        continue_dead_trials(study, store)
        trial = study.ask()
        assert first_number(trial) == 0
        assert trial.params == PARAMS
        trial.set_user_attr("robust:worker", worker)
    study.optimize(MultiInstanceObjective(objective, 2, store=store), n_trials=2)
    assert states(study) == [*["FAIL"] * 4, "COMPLETE", "COMPLETE"]
    continued: list[FrozenTrial] = [study.trials[number] for number in (1, 2, 3, 5)]
    assert [trial.user_attrs["robust:continues"] for trial in continued] == [0, 1, 2, 3]
    assert study.trials[5].params == PARAMS


def test_instances_of_its_own_stay_its_own(store: InstanceStore, worker: str) -> None:
    study = study_of()
    left_running(study, worker)
    first = Job(PARAMS, Instance(0, model=0))
    store.claim([first])
    store.record(first, Outcome(100.0))
    robust = MultiInstanceObjective(objective, 2, reshuffle=True, store=store)
    study.optimize(robust, n_trials=2)
    assert study.trials[2].user_attrs["robust:losses"] == [
        100.0,
        3.25 + float(Instance(1, model=0).rng.normal()),
    ]
    assert study.trials[1].user_attrs["robust:losses"] == [
        study.trials[1].params["n"]
        + study.trials[1].params["x"]
        + float(Instance(number, model=1).rng.normal())
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
