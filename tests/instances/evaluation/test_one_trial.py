"""The trial that an objective gets is the same everywhere, or says what it cannot do."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import Executor
from functools import partial
import json
import multiprocessing
from pathlib import Path
import pickle
from typing import Any
from typing import NamedTuple

import loky
import numpy as np
import optuna
from optuna.artifacts import FileSystemArtifactStore
from optuna.artifacts import get_all_artifact_meta
from optuna.artifacts import upload_artifact
import pytest
import torch
from torch.utils.data import DataLoader
from torch.utils.data import TensorDataset

import optuna_robust as opr
from optuna_robust._instances.evaluation import AmbiguousChoicesError
from optuna_robust._instances.evaluation import AttributeValueError
from optuna_robust._instances.evaluation import NotAvailableError
from optuna_robust._instances.evaluation import StudyView
from tests.places import losses_in
from tests.places import N_INSTANCES
from tests.places import PLACES
from tests.places import WORKERS


pytestmark = pytest.mark.filterwarnings("ignore:All . instances", "ignore:Choices for a cat")


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    executor = loky.ProcessPoolExecutor(max_workers=2)
    yield executor
    executor.shutdown(kill_workers=True)


# --- the study -----------------------------------------------------------------------------------


def sees_study(trial: optuna.Trial, instance: opr.Instance) -> float:
    study = trial.study
    assert isinstance(study, optuna.Study)
    named = study.study_name == "energy" and study.direction.name == "MAXIMIZE"
    x = trial.suggest_float("x", 0, 1)
    return x + (study.user_attrs.get("offset", 0.0) if named else 100.0)


@pytest.mark.parametrize("place", PLACES)
def test_study_attributes_are_the_same_everywhere(place: str, executor: Executor) -> None:
    study = optuna.create_study(study_name="energy", direction="maximize")
    study.set_user_attr("offset", 5.0)
    losses = losses_in(place, sees_study, study, executor, {"x": 0.5})
    assert losses == [5.5] * N_INSTANCES


def test_workers_see_the_attributes_of_when_an_instance_begins(executor: Executor) -> None:
    study = optuna.create_study(study_name="energy", direction="maximize")
    objective = opr.MultiInstanceObjective(sees_study, 2, executor=executor, n_jobs=2)
    for offset in (1.0, 2.0):
        study.set_user_attr("offset", offset)
        study.enqueue_trial({"x": 0.5})
        study.optimize(objective, n_trials=1)
    assert [trial.user_attrs["robust:losses"] for trial in study.trials] == [[1.5] * 2, [2.5] * 2]


def test_a_confirmation_of_a_selection_sees_what_the_selection_saw(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    study = optuna.create_study(study_name="energy", direction="maximize")
    study.set_user_attr("offset", 5.0)
    study.set_user_attr("no JSON", {1, 2})
    result = opr.robust_select(sees_study, {"x": [0.25, 0.5]}, n_instances=3, study=study)
    result.save(tmp_path / "result.h5")
    for each in (result, opr.SelectionResult.load(tmp_path / "result.h5")):
        losses = opr.confirm(each, sees_study, n_models=1, n_instances=3).losses
        assert losses.tolist() == [[5.5] * 3]


def test_a_selection_of_a_studys_models_sees_that_study() -> None:
    study = optuna.create_study(study_name="energy", direction="maximize")
    study.set_user_attr("offset", 5.0)
    losses_in("confirm", sees_study, study, None, {"x": 0.5})  # type: ignore[arg-type]
    result = opr.robust_select(
        sees_study, study, n_instances=2, rule="halving", criterion="mean", train_survivors=True
    )
    assert result.losses.tolist() == [[5.5] * 2]


def reads_trials(trial: optuna.Trial, instance: opr.Instance) -> float:
    return trial.suggest_float("x", 0, 1) + len(trial.study.trials)


def writes_to_the_study(trial: optuna.Trial, instance: opr.Instance) -> float:
    trial.study.set_user_attr("seen", trial.number)
    return trial.suggest_float("x", 0, 1)


def reads_the_storage(trial: optuna.Trial, instance: opr.Instance) -> float:
    return trial.suggest_float("x", 0, 1) + len(trial.storage.get_all_studies())


@pytest.mark.parametrize("objective", [reads_trials, writes_to_the_study, reads_the_storage])
@pytest.mark.parametrize("place", WORKERS)
def test_what_a_worker_cannot_do_ends_the_study(
    place: str, objective: Callable[..., float], executor: Executor
) -> None:
    with pytest.raises(NotAvailableError, match=r"trial\.(study|storage)\.\w+ is not available"):
        losses_in(place, objective, optuna.create_study(), executor, {"x": 0.5})


def test_it_is_no_failed_model_although_the_first_instance_succeeds(executor: Executor) -> None:
    study = optuna.create_study()
    objective = opr.MultiInstanceObjective(reads_trials, 3, executor=executor, n_jobs=2)
    with pytest.raises(NotAvailableError):
        study.optimize(objective, n_trials=2)
    assert [trial.state.name for trial in study.trials] == ["FAIL"]


@pytest.mark.parametrize("place", ["study", "confirm", "select"])
def test_trials_can_be_read_where_the_study_is(place: str, executor: Executor) -> None:
    study = optuna.create_study()
    losses = losses_in(place, reads_trials, study, executor, {"x": 0.5})
    assert losses == [(0.5 if place == "select" else 1.5)] * N_INSTANCES


def test_a_view_has_what_a_study_has_or_says_that_it_has_not() -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    study.set_user_attr("offset", 1)
    for view in (StudyView.of(study), pickle.loads(pickle.dumps(StudyView.of(study)))):
        assert view.study_name == study.study_name
        assert view.directions == study.directions
        assert view.user_attrs == {"offset": 1}
        with pytest.raises(RuntimeError, match="directions"):
            view.direction  # noqa: B018
        with pytest.raises(NotAvailableError, match="stop"):
            view.stop()
        with pytest.raises(AttributeError):
            view.no_such_thing  # noqa: B018


# --- artifacts -----------------------------------------------------------------------------------


class Uploads:
    """Uploads a file of each instance."""

    def __init__(self, folder: Path, *, to_study: bool = False) -> None:
        self.folder = folder
        self.to_study = to_study

    def __call__(self, trial: optuna.Trial, instance: opr.Instance) -> float:
        path = self.folder / f"{instance.number}.txt"
        path.write_text(str(instance.number))
        upload_artifact(
            study_or_trial=trial.study if self.to_study else trial,
            file_path=str(path),
            artifact_store=FileSystemArtifactStore(str(self.folder)),
        )
        return trial.suggest_float("x", 0, 1) + float(instance.rng.normal())


@pytest.mark.parametrize("storage", [None, "sqlite"])
@pytest.mark.parametrize("place", PLACES)
def test_artifacts_are_linked_everywhere(
    place: str, storage: str | None, tmp_path: Path, executor: Executor
) -> None:
    study = optuna.create_study(storage=storage and f"sqlite:///{tmp_path / 'study.db'}")
    losses_in(place, Uploads(tmp_path), study, executor, {"x": 0.5})
    # Trials are finished when they are confirmed.
    linked_to = study if place.startswith("confirm") else study.trials[-1]
    found = get_all_artifact_meta(linked_to, storage=study._storage)
    first = 1_000_000 if place.startswith("confirm") else 0
    assert {each.filename for each in found} == {
        f"{first + number}.txt" for number in range(N_INSTANCES)
    }
    assert all((tmp_path / each.artifact_id).exists() for each in found)


def test_artifacts_of_a_killed_selection_are_in_the_store(tmp_path: Path) -> None:
    store = opr.InstanceStore(f"sqlite:///{tmp_path / 'store.db'}")
    options: dict[str, Any] = {"n_instances": 2, "store": store, "criterion": "mean"}
    opr.robust_select(Uploads(tmp_path), {"x": [0.1]}, study=optuna.create_study(), **options)
    study = optuna.create_study()
    result = opr.robust_select(Uploads(tmp_path), {"x": [0.1]}, study=study, **options)
    assert result.n_trainings == 0
    n_linked = len(get_all_artifact_meta(study.trials[0], storage=study._storage))
    assert n_linked == len(study.trials[0].user_attrs["robust:losses"])


def test_an_artifact_that_nothing_can_be_linked_to_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAvailableError, match=r"give robust_select a study \(study=\)"):
        opr.robust_select(Uploads(tmp_path), {"x": [0.1, 0.2]}, n_instances=2)


@pytest.mark.parametrize("place", WORKERS)
def test_an_artifact_of_the_study_is_refused_in_workers(
    place: str, tmp_path: Path, executor: Executor
) -> None:
    with pytest.raises(NotAvailableError, match="set_study_system_attr"):
        losses_in(
            place, Uploads(tmp_path, to_study=True), optuna.create_study(), executor, {"x": 0.5}
        )


# --- processes of the objective's own ------------------------------------------------------------


def loads_data(trial: optuna.Trial, instance: opr.Instance) -> float:
    data = TensorDataset(torch.arange(8.0))
    loader = DataLoader(data, batch_size=4, num_workers=2)
    return trial.suggest_float("x", 0, 1) + float(sum(batch.sum() for (batch,) in loader))


def has_a_pool(trial: optuna.Trial, instance: opr.Instance) -> float:
    with multiprocessing.Pool(2) as pool:
        return trial.suggest_float("x", 0, 1) + sum(pool.map(abs, [-10, 18]))


@pytest.mark.parametrize("objective", [loads_data, has_a_pool])
@pytest.mark.parametrize("place", PLACES)
def test_an_objective_may_start_processes(
    place: str, objective: Callable[..., float], executor: Executor
) -> None:
    losses = losses_in(place, objective, optuna.create_study(), executor, {"x": 0.5})
    assert losses == [28.5] * N_INSTANCES


def test_a_data_loader_works_in_the_workers_of_a_study() -> None:
    study = optuna.create_study()
    study.optimize(opr.MultiInstanceObjective(loads_data, 3, n_jobs=2), n_trials=1)
    x = study.trials[0].params["x"]
    assert study.trials[0].user_attrs["robust:losses"] == [x + 28] * 3


# --- values --------------------------------------------------------------------------------------


def says_types(trial: optuna.Trial, instance: opr.Instance) -> float:
    x, n = trial.suggest_float("x", 0, 1), trial.suggest_int("n", 1, 8)
    params = trial.params
    assert [type(each) for each in (x, n, params["x"], params["n"])] == [float, int] * 2
    return x + n


def test_enqueued_values_have_the_type_that_is_asked_for_everywhere(executor: Executor) -> None:
    for options in ({}, {"executor": executor, "n_jobs": 2}):
        study = optuna.create_study()
        study.enqueue_trial({"x": 1, "n": 4.0})
        study.optimize(
            opr.MultiInstanceObjective(says_types, 3, on_failure="raise", **options), n_trials=1
        )
        assert study.trials[0].user_attrs["robust:losses"] == [5.0] * 3


@pytest.mark.filterwarnings("ignore:Fixed parameter")
@pytest.mark.parametrize("given", [{"x": 1, "n": 4.0}, {"x": True, "n": 4}, {"x": 1.0, "n": 4.5}])
def test_a_models_key_is_that_of_its_canonical_values(given: dict[str, Any]) -> None:
    store = opr.InstanceStore("sqlite://")
    objective = opr.MultiInstanceObjective(says_types, 3, store=store, on_failure="raise")
    study = optuna.create_study()
    study.enqueue_trial({"x": 1.0, "n": 4})
    study.optimize(objective, n_trials=1)
    study.enqueue_trial(given)
    study.optimize(objective, n_trials=1)
    assert study.trials[1].user_attrs["robust:n_reused"] == 3


def of_x(trial: optuna.Trial, instance: opr.Instance) -> float:
    return trial.suggest_float("x", 0.0, 1.0)


def of_a_narrowing_x(trial: optuna.Trial, instance: opr.Instance) -> float:
    return trial.suggest_float("x", 0.0, 0.9 - 0.1 * (instance.number % 10))


def of_steps(trial: optuna.Trial, instance: opr.Instance) -> float:
    return trial.suggest_float("x", 0.0, 1.0, step=0.25)


@pytest.mark.filterwarnings("ignore:Fixed parameter", "ignore:Inconsistent")
@pytest.mark.parametrize(
    ("objective", "x"), [(of_x, 1.2), (of_steps, 0.3), (of_a_narrowing_x, 0.85)]
)
@pytest.mark.parametrize("in_workers", [False, True])
def test_all_instances_get_what_the_first_was_given(
    objective: Callable[..., float], x: float, in_workers: bool, executor: Executor
) -> None:
    options: dict[str, Any] = {"executor": executor, "n_jobs": 2} if in_workers else {}
    study = optuna.create_study()
    study.enqueue_trial({"x": x})
    study.optimize(opr.MultiInstanceObjective(objective, 3, **options), n_trials=1)
    assert study.trials[0].state.name == "COMPLETE"
    assert study.trials[0].user_attrs["robust:losses"] == [x] * 3
    if objective is not of_a_narrowing_x:  # asks for another range than in the search
        assert opr.confirm(study, objective, n_instances=3, **options).losses.tolist() == [[x] * 3]


# --- choices -------------------------------------------------------------------------------------


def of_layers(trial: optuna.Trial, instance: opr.Instance) -> float:
    layers = trial.suggest_categorical("layers", [(8,), (16, 16), None])  # type: ignore[list-item]
    assert layers is None or isinstance(layers, tuple)
    return len(layers or ()) + 0.1 * float(instance.rng.normal())


def of_nested(trial: optuna.Trial, instance: opr.Instance) -> float:
    blocks = trial.suggest_categorical("layers", [((8, 1), (4, 2)), ((16, 1),)])  # type: ignore[list-item]
    assert isinstance(blocks[0], tuple)  # type: ignore[index]
    return len(blocks) + 0.1 * float(instance.rng.normal())  # type: ignore[arg-type]


@pytest.mark.parametrize("objective", [of_layers, of_nested])
@pytest.mark.parametrize("in_workers", [False, True])
def test_tuples_are_choices_in_a_database(
    objective: Callable[..., float], in_workers: bool, tmp_path: Path, executor: Executor
) -> None:
    options: dict[str, Any] = {"executor": executor, "n_jobs": 2} if in_workers else {}
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
    wrapped = opr.MultiInstanceObjective(objective, 3, on_failure="raise", **options)
    study.optimize(wrapped, n_trials=4)
    options.update(n_instances=3, on_failure="raise")
    confirmed = opr.confirm(study, objective, n_models=2, **options)
    assert np.isfinite(confirmed.losses).all()
    opr.robust_select(objective, study, study=study, **options)
    other = optuna.create_study(storage=storage)
    result = opr.robust_select(objective, study, study=other, **options)
    assert len(other.trials) == len(result.models) >= 2


def test_an_enqueued_tuple_is_a_choice_in_a_database(tmp_path: Path) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}")
    study.enqueue_trial({"layers": (16, 16)})
    study.optimize(opr.MultiInstanceObjective(of_layers, 2, on_failure="raise"), n_trials=1)
    assert study.trials[0].params == {"layers": [16, 16]}


def test_a_robust_search_goes_on_with_models_that_have_tuples(tmp_path: Path) -> None:
    study = optuna.create_study(
        storage=f"sqlite:///{tmp_path / 'study.db'}",
        sampler=opr.RobustnessSampler(optuna.samplers.RandomSampler(seed=0), seed=0),
    )
    study.optimize(opr.MultiInstanceObjective(of_layers, 3, on_failure="raise"), n_trials=9)
    models = {str(trial.params) for trial in study.trials}
    assert len(models) <= 3
    assert max(len(trial.user_attrs["robust:losses"]) for trial in study.trials) == 3


@pytest.mark.parametrize(
    "choices",
    [
        [1, 1.0, "sqrt"],
        [True, "a", 1],
        [(1,), (1.0,)],
        [[8], (8,)],
        [0, None, False],
    ],
)
@pytest.mark.parametrize("place", ["study", "select"])
def test_choices_that_optuna_confuses_are_refused(
    place: str, choices: list[Any], executor: Executor
) -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        trial.suggest_categorical("x", choices)
        pytest.fail("trained")

    with pytest.raises(AmbiguousChoicesError, match="are different, but Optuna takes one for the"):
        losses_in(place, objective, optuna.create_study(), executor, {"x": choices[0]})


@pytest.mark.parametrize("choices", [[1, 1.5, "1", None], ["a", "a"], [(1, 2), (1,)]])
def test_other_choices_are_not(choices: list[Any], executor: Executor) -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        assert trial.suggest_categorical("x", choices) is choices[0]
        return 0.5

    losses_in("study", objective, optuna.create_study(), executor, {"x": choices[0]})


# --- attributes ----------------------------------------------------------------------------------


class Scores(NamedTuple):
    f1: Any
    curve: Any


def sets_numbers(trial: optuna.Trial, instance: opr.Instance) -> float:
    trial.set_user_attr("f1", np.float32(0.5))
    trial.set_user_attr("best", np.arange(3).argmax())
    trial.set_user_attr("ok", np.bool_(True))
    trial.set_user_attr("0-d", np.array(2))
    trial.set_user_attr("nested", {"a": [np.float64(1.5), (np.int8(1), "b")]})
    trial.set_user_attr("curve", np.array([0.5, 0.25]))
    trial.set_user_attr("tensor", torch.tensor(0.5))
    trial.set_user_attr("scores", Scores(np.float32(0.5), (np.arange(2), torch.arange(2))))
    trial.set_user_attr("objects", np.array([np.float32(0.5), None, (1, np.int8(2))], object))
    trial.set_user_attr("keys", OrderedDict({np.str_("a"): np.bool_(True), np.int64(3): [0]}))
    trial.set_user_attr("long", np.arange(2, dtype=np.longdouble))
    if hasattr(trial, "set_constraint"):
        trial.set_constraint("memory", np.float32(-1))
    assert type(trial.user_attrs["f1"]) is float
    return trial.suggest_float("x", 0, 1) + float(instance.rng.normal())


@pytest.mark.parametrize("storage", [None, "sqlite"])
@pytest.mark.parametrize("place", PLACES)
def test_numpys_numbers_are_attributes(
    place: str, storage: str | None, tmp_path: Path, executor: Executor
) -> None:
    study = optuna.create_study(storage=storage and f"sqlite:///{tmp_path / 'study.db'}")
    losses_in(place, sets_numbers, study, executor, {"x": 0.5})
    if place.startswith("confirm"):
        return
    for attrs in study.trials[0].user_attrs["robust:instance_attrs"].values():
        assert attrs["f1"] == 0.5
        assert (attrs["best"], attrs["ok"], attrs["0-d"]) == (2, True, 2)
        assert list(attrs["nested"]["a"][1]) == [1, "b"]
        assert (attrs["curve"], attrs["tensor"]) == ([0.5, 0.25], 0.5)
        written = json.loads(json.dumps({name: attrs[name] for name in attrs}))
        assert written["scores"] == [0.5, [[0, 1], [0, 1]]]
        assert written["objects"] == [0.5, None, [1, 2]]
        assert written["keys"] == {"a": True, "3": [0]}
        assert written["long"] == [0.0, 1.0]


def holds_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


NO_JSON: tuple[Callable[[], Any], ...] = (
    lambda: {1, 2},
    lambda: b"x",
    object,
    lambda: Scores(1, {2}),
    lambda: {(1, 2): 3},
    lambda: np.array(["2020-01-01"], dtype="datetime64[D]"),
    lambda: np.complex64(1j),
    holds_itself,
)


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_json_ends_the_study_at_any_instance(place: str, executor: Executor) -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance, make: Callable[[], Any]) -> float:
        if instance.number % 1_000_000 == 1:
            trial.set_user_attr("seen", make())
        return trial.suggest_float("x", 0, 1)

    for make in NO_JSON:
        training = partial(objective, make=make)
        with pytest.raises(AttributeValueError, match="attribute 'seen' must be") as caught:
            losses_in(place, training, optuna.create_study(), executor, {"x": 0.5})
        assert isinstance(caught.value, TypeError)
