"""Which objectives are the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from functools import wraps
import json
from pathlib import Path
import subprocess
import sys
from typing import Any

import numpy as np
import optuna
import pytest

import optuna_robust as opr
from optuna_robust import Instance
from optuna_robust.objective_identity import objective_identity


def defined(source: str, name: str = "objective") -> Any:
    """Return what a module of this source defines."""
    module: dict[str, Any] = {"__name__": "train"}
    exec(source, module)
    return module[name]


PLAIN = """
def objective(trial):
    '''An objective.'''
    x = trial.suggest_float("x", 0, 1)
    return x**2 if x in {"a", "b", 1} else 2.5
"""
WITH_HELPER = """
def train(x):
    return [each * x for each in range(3)]

class Net:
    def forward(self, x):
        return x + 1

def objective(trial):
    return train(Net().forward(trial.suggest_float("x", 0, 1)))
"""


@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        (PLAIN, "x**2", "x**3"),
        (PLAIN, "2.5", "2.6"),
        (PLAIN, '"x", 0, 1', '"x", 0, 2'),
        (PLAIN, "suggest_float", "suggest_int"),
        (PLAIN, '"b", 1', '"c", 1'),
        (WITH_HELPER, "range(3)", "range(4)"),
        (WITH_HELPER, "x + 1", "x + 2"),
    ],
)
def test_other_code_is_another_objective(source: str, old: str, new: str) -> None:
    assert source != source.replace(old, new)
    one, other = map(objective_identity, (defined(source), defined(source.replace(old, new))))
    assert one.name == other.name
    assert not one.is_of(other.to_dict())


@pytest.mark.parametrize(
    ("old", "new"),
    [("'''An objective.'''", "'''Another text.'''"), ("    x =", "    # a comment\n    x =")],
)
def test_texts_and_comments_do_not_count(old: str, new: str) -> None:
    other = objective_identity(defined(PLAIN.replace(old, new)))
    assert objective_identity(defined(PLAIN)).is_of(other.to_dict())


def of_power(power: float) -> Callable[[Any], float]:
    def objective(trial: Any) -> float:
        return float(trial.suggest_float("x", 0, 1)) ** power

    return objective


def with_argument(trial: Any, power: float = 2) -> float:
    return float(trial.suggest_float("x", 0, 1)) ** power


class OfPower:
    def __init__(self, power: float) -> None:
        self.power = power
        self.n_calls = 0

    def __call__(self, trial: Any) -> float:
        self.n_calls += 1
        return float(trial.suggest_float("x", 0, 1)) ** self.power

    def train(self, trial: Any) -> float:
        return self(trial)


class Counting:
    """Counts in an inherited method, and by ``setattr``."""

    def __init__(self, power: float) -> None:
        self.power, self.n_calls, self.best = power, 0, 1.0

    def __call__(self, trial: Any) -> float:
        self.n_calls += 1
        return self.train(trial)

    def train(self, trial: Any) -> float:
        raise NotImplementedError


class InheritsCounting(Counting):
    def train(self, trial: Any) -> float:
        loss = float(trial.suggest_float("x", 0, 1)) ** self.power
        setattr(self, "best", min(loss, self.best))  # noqa: B010
        return loss


class SetsAny(InheritsCounting):
    def train(self, trial: Any) -> float:
        for name in ("n_calls", "best"):
            setattr(self, name, 0.0)
        return 0.0


class AnswersToAnyName:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __call__(self, trial: Any, instance: Instance) -> float:
        return float(trial.suggest_float("x", 0, 1)) + float(instance.rng.normal())


class Member:
    @property
    def __func__(self) -> Any:
        raise RuntimeError

    def __call__(self) -> float:
        return 0.0


class HasMember:
    member = Member()

    def __call__(self, trial: Any, instance: Instance) -> float:
        return float(trial.suggest_float("x", 0, 1)) + float(instance.rng.normal())


class BreaksTheLook(dict[str, int]):
    def __call__(self, trial: Any, instance: Instance) -> float:
        return float(trial.suggest_float("x", 0, 1)) + float(instance.rng.normal())

    def items(self) -> Any:
        raise RuntimeError


@pytest.mark.parametrize("kind", [AnswersToAnyName, HasMember, BreaksTheLook])
def test_objects_that_raise_when_they_are_looked_into_are_trained(kind: type) -> None:
    objective = kind()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(opr.MultiInstanceObjective(objective, 3), n_trials=2)
    assert opr.confirm(study, objective, n_models=1, n_instances=4).n_trainings == 4
    assert opr.confirm(study, kind(), n_models=1, n_instances=4).n_trainings == 0
    selected = opr.robust_select(
        objective, {"x": [0.1, 0.5]}, n_instances=3, store=opr.InstanceStore()
    )
    assert selected.n_trainings > 0


@pytest.mark.parametrize("kind", [InheritsCounting, SetsAny])
def test_what_inherited_methods_and_setattr_change_does_not_count(
    kind: type[Counting],
) -> None:
    counts = kind(2)
    before = objective_identity(counts)
    counts.n_calls, counts.best = 3, 0.5
    assert objective_identity(counts).is_of(before.to_dict())
    other = objective_identity(kind(3))
    assert other.is_of(before.to_dict()) == (kind is SetsAny)


def decorated(function: Callable[[Any], float]) -> Callable[[Any], float]:
    @wraps(function)
    def wrapper(trial: Any) -> float:
        return function(trial)

    return wrapper


@pytest.mark.parametrize(
    "make",
    [
        of_power,
        OfPower,
        lambda power: OfPower(power).train,
        lambda power: partial(with_argument, power=power),
        lambda power: decorated(of_power(power)),
        lambda power: lambda trial: of_power(power)(trial) + 1,
        lambda power: partial(lambda function, trial: function(trial), of_power(power)),
    ],
)
def test_other_arguments_make_another_objective(make: Callable[[float], Any]) -> None:
    two, again, three = (objective_identity(make(power)) for power in (2, 2, 3))
    assert two.is_of(again.to_dict())
    assert not two.is_of(three.to_dict())


def test_what_a_call_changes_does_not_count() -> None:
    n_calls, seen = 0, []

    def counting(x: float) -> float:
        nonlocal n_calls
        n_calls += 1
        seen.append(x)
        return x

    counts = OfPower(2)
    before = [objective_identity(each) for each in (counting, counts)]
    counting(1.0)
    counts.n_calls += 1
    assert before == [objective_identity(each) for each in (counting, counts)]


def test_it_is_the_same_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(PLAIN)
    code = (
        "import json, train; from optuna_robust.objective_identity import objective_identity; "
        "print(json.dumps(objective_identity(train.objective).to_dict()))"
    )
    path = [str(tmp_path), *sys.path]
    script = f"import sys; sys.path[:] = {path!r}; {code}"
    for _ in range(2):  # strings have other hashes in each
        out = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
        assert objective_identity(defined(PLAIN)).is_of(json.loads(out.stdout))


def test_between_versions_of_python_the_name_tells() -> None:
    kept = {**objective_identity(of_power(2)).to_dict(), "python": "3.99"}
    assert objective_identity(of_power(3)).is_of(kept)
    assert not objective_identity(with_argument).is_of(kept)


class Config:
    __slots__ = ("shift",)

    def __init__(self, shift: float) -> None:
        self.shift = shift


class OnData:
    def __init__(self, data: Any) -> None:
        self.data = data
        self.cache: dict[float, float] = {}

    def __call__(self, trial: Any) -> float:
        x = float(trial.suggest_float("x", 0, 1))
        self.cache[x] = x + len(self.data)
        return self.cache[x]


def with_data(trial: Any, data: Any) -> float:
    return float(trial.suggest_float("x", 0, 1)) + len(data)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: np.arange(5) + n,
        lambda n: np.arange(12).reshape(3, 4) if n else np.arange(12).reshape(4, 3),
        lambda n: np.array(["a", n], dtype=object),
        lambda n: [1, [2, n]],
        lambda n: {"shift": {"by": n}},
        lambda n: (1, {2, n + 3}),
        Config,
        lambda n: {"config": Config(n)},
        range,
        lambda n: Path(f"data{n}"),
    ],
)
def test_other_data_make_another_objective(make: Callable[[int], Any]) -> None:
    for wrap in (lambda data: partial(with_data, data=data), OnData):
        one, again, other = (objective_identity(wrap(make(n))) for n in (0, 0, 1))
        assert one.is_of(again.to_dict())
        assert not one.is_of(other.to_dict())


def test_other_tensors_and_frames_make_another_objective() -> None:
    torch, pandas = pytest.importorskip("torch"), pytest.importorskip("pandas")
    for make in (
        lambda n: torch.full((2, 2), float(n), dtype=torch.bfloat16, requires_grad=True),
        lambda n: pandas.DataFrame({"a": [1, n], "b": ["x", "y"]}),
        lambda n: pandas.Series(["x", str(n)]),
    ):
        one, again, other = (
            objective_identity(partial(with_data, data=make(n))) for n in (0, 0, 1)
        )
        assert one.is_of(again.to_dict())
        assert not one.is_of(other.to_dict())


def test_data_that_hold_themselves_are_told_apart() -> None:
    def cyclic(n: int) -> list[Any]:
        data: list[Any] = [n]
        data.append(data)
        return data

    one, again, other = (objective_identity(partial(with_data, data=cyclic(n))) for n in (0, 0, 1))
    assert one.is_of(again.to_dict())
    assert not one.is_of(other.to_dict())
