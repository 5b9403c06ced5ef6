"""What the sampler relies on in Optuna's private parts, and what base samplers see."""

from __future__ import annotations

import inspect
from typing import Any

import optuna
from optuna.samplers import _base
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import Trial
from optuna.trial import TrialState
import pytest

import optuna_robust as opr
from optuna_robust._instances.trials import named_constraints
from optuna_robust._search.sampler import _view
from tests.search.sampler.searches import noisy
from tests.search.sampler.searches import sampler_of
from tests.search.sampler.searches import search


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_how_a_study_reads_its_trials() -> None:
    """ModelsStudy overrides this method: whatever samplers read goes through it."""
    asked = ["self", "deepcopy", "states", "use_cache"]
    assert parameters(Study._get_trials) == parameters(_view.ModelsStudy._get_trials) == asked
    assert "_get_trials(" in inspect.getsource(Study.get_trials), "Study.get_trials goes past it"


def test_what_a_study_holds() -> None:
    study = optuna.create_study()
    for name in ("_storage", "_study_id", "_thread_local", "_directions", "_stop_flag"):
        assert name in vars(study), f"Study has no {name} any more"
    assert study._thread_local.in_optimize_loop is False
    seen = []
    study.optimize(lambda trial: seen.append(study._thread_local.in_optimize_loop) or 0.0, 1)
    assert seen == [True], "Study._thread_local.in_optimize_loop does not say so any more"


def test_what_a_storage_does() -> None:
    for name, asked in {
        "get_all_trials": ["self", "study_id", "deepcopy", "states"],
        "set_trial_user_attr": ["self", "trial_id", "key", "value"],
        "set_trial_system_attr": ["self", "trial_id", "key", "value"],
        "get_trial_system_attrs": ["self", "trial_id"],
    }.items():
        assert parameters(getattr(BaseStorage, name)) == asked, f"BaseStorage.{name} has changed"


def test_when_a_sampler_is_asked() -> None:
    """At a trial's beginning it gets the FrozenTrial that the trial itself looks at."""
    got: list[Any] = []

    class Spy(optuna.samplers.RandomSampler):
        def before_trial(self, study: Study, trial: optuna.trial.FrozenTrial) -> None:
            _view.set_attr(study, trial, "mine", 1)
            trial.system_attrs["fixed_params"] = {"x": 0.5}
            got.append(trial)

        def after_trial(self, study: Study, trial: Any, state: TrialState, values: Any) -> None:
            got.append(trial)

    study = optuna.create_study(sampler=Spy())
    trial = study.ask()
    assert trial._cached_frozen_trial is got[0]
    assert trial.user_attrs == study.trials[0].user_attrs == {"mine": 1}
    assert trial.suggest_float("x", 0, 1) == 0.5, "fixed_params are read before before_trial"
    assert _view.as_suggested(trial).params == {"x": 0.5}
    study.tell(trial, 1.0)
    assert got[1].user_attrs == {"mine": 1}
    assert got[1]._trial_id == trial._trial_id


def test_the_names_of_system_attributes() -> None:
    study = optuna.create_study(
        sampler=optuna.samplers.GridSampler({"x": [0.5]}),
    )
    study.enqueue_trial({"x": 0.5})
    assert _view.is_enqueued(study.trials[0]), "enqueue_trial keeps parameters elsewhere"
    study.ask()
    assert not _view.is_enqueued(study.ask()._cached_frozen_trial)
    assert _view.is_to_begin(study.trials[1]), "GridSampler keeps its point elsewhere"
    trial = study.ask()
    trial.set_constraint("memory", 2.0)
    frozen = study.trials[trial.number]
    assert named_constraints(frozen) == frozen.constraints == {"memory": 2.0}


@pytest.mark.filterwarnings("ignore:`?constraints_func", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["TPESampler", "NSGAIISampler", "NSGAIIISampler", "GPSampler"])
def test_constraints_functions(name: str) -> None:
    asked = ["constraints_func", "study", "trial", "state"]
    assert parameters(_base._process_constraints_after_trial) == asked
    function = lambda trial: (trial.params["x"], -1.0)  # noqa: E731
    sampler = getattr(optuna.samplers, name)(constraints_func=function)
    assert sampler._constraints_func is function, f"{name} keeps its constraints_func elsewhere"
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: trial.suggest_float("x", 1, 2), n_trials=1)
    assert list(study.trials[0].system_attrs["constraints"]) == [study.trials[0].params["x"], -1.0]


def test_hyperband_s_parts_of_a_study() -> None:
    pruner = optuna.pruners.HyperbandPruner()
    study = optuna.create_study(pruner=pruner)
    assert _view.unfiltered(pruner._create_bracket_study(study, 0)) is study
    assert _view.unfiltered(study) is study


def test_a_trial_is_made_with_its_id() -> None:
    assert parameters(Trial.__init__) == ["self", "study", "trial_id"]


class Looking(optuna.samplers.RandomSampler):
    """Keeps what it sees of the study."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.seen: list[list[optuna.trial.FrozenTrial]] = []
        self.after: list[int] = []

    def infer_relative_search_space(self, study: Study, trial: Any) -> dict[str, Any]:
        self.seen.append(study.get_trials())
        return {}

    def after_trial(self, study: Study, trial: Any, state: TrialState, values: Any) -> None:
        assert trial.number not in [each.number for each in study.get_trials(states=())]
        self.after.append(trial.number)


def test_a_base_sampler_sees_one_complete_trial_for_each_model() -> None:
    base = Looking()
    study = optuna.create_study(sampler=sampler_of(base))
    study, log = search(study=study, budget=40)
    new = [trial for trial in study.trials if "robust:continues" not in trial.user_attrs]
    assert base.after == [trial.number for trial in new]
    for trial, seen in zip(new, base.seen, strict=True):
        *known, own = seen
        assert (own.number, own.state) == (trial.number, TrialState.RUNNING)
        assert [each.number for each in known] == [
            each.number for each in new if each.number < trial.number
        ]
        for each in known:
            assert each.state == TrialState.COMPLETE
            assert each.params == study.trials[each.number].params
            assert each._trial_id == study.trials[each.number]._trial_id
            assert each.value is not None
    # The study itself is untouched.
    assert sum(trial.state == TrialState.COMPLETE for trial in study.trials) < len(new)
    # A complete model's value is that of its trial.
    best = study.best_trial
    last = {each.params["x"]: each for each in base.seen[-1][:-1]}
    finished = [
        trial
        for trial in study.trials
        if trial.state == TrialState.COMPLETE and trial.number < base.seen[-1][-1].number
    ]
    for trial in finished:
        assert last[trial.params["x"]].value == pytest.approx(trial.value, rel=1e-6)
    assert best.value is not None
    assert len(log) == 40


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_values_have_the_study_s_direction(direction: str) -> None:
    sign = 1 if direction == "minimize" else -1
    base = Looking()
    study = optuna.create_study(direction=direction, sampler=sampler_of(base))
    search(lambda trial, instance: sign * (10 + noisy(trial, instance)), study=study, budget=30)
    assert all(sign * each.value > 0 for each in base.seen[-1][:-1])


def test_failed_models_are_seen_as_the_worst() -> None:
    def objective(trial: optuna.Trial, instance: opr.Instance) -> float:
        loss = noisy(trial, instance)
        if trial.params["x"] > 0 and len(base.seen) > 3:
            raise ValueError("diverged")
        return loss

    base = Looking()
    study = optuna.create_study(sampler=sampler_of(base))
    search(objective, study=study, budget=30)
    failed = [
        each
        for each in base.seen[-1][:-1]
        if "robust:failures" in study.trials[each.number].user_attrs
    ]
    assert failed
    assert all(each.value == float("inf") for each in failed)
