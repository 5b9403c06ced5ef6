"""Which objectives are the same."""

from __future__ import annotations

from argparse import Namespace
from collections import namedtuple
from collections.abc import Callable
from enum import Enum
from functools import partial
from functools import wraps
import gc
import io
import os
from pathlib import Path
import subprocess
import sys
import threading
from typing import Any
import weakref

import numpy as np
import optuna
import pytest
from sklearn.linear_model import LogisticRegression

import optuna_robust as opr
from optuna_robust import Instance
from optuna_robust._instances.objective_identity import objective_identity


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
EVERYTHING = (
    PLAIN
    + """
from argparse import Namespace
from dataclasses import dataclass
from functools import lru_cache, partial
import sys
import numpy as np
import optuna
from optuna_robust._instances.objective_identity import objective_identity

@dataclass
class Config:
    names: frozenset
    study: object

def train(trial, config, **options):
    def inner():
        return {"a", "b", objective(trial)}
    return len(inner()) + len(config.names)

class Objective(Config):
    rates: tuple = (0.1, "x")
    @property
    def shift(self):
        return self.train(2)
    @lru_cache
    def train(self, x):
        return x
    def __call__(self, trial):
        return self.shift

config = Config(frozenset({"x", "y", (1, "z")}), optuna.create_study())
options = {each: np.arange(3) for each in {"p", "q", "r"}}
for each in (
    objective,
    partial(train, config=config, **options),
    Objective({"u", "v"}, Namespace(kinds=[Config, np.float32, {"s", "t"}])),
    lambda trial: objective(trial) + len(config.names),
):
    print(objective_identity(each).code)
"""
)
WITH_HELPER = """
def train(x):
    return [each * x for each in range(3)]

class Net:
    def forward(self, x):
        return x + 1

def objective(trial):
    return train(Net().forward(trial.suggest_float("x", 0, 1)))
"""
CACHED = "import functools\n" + WITH_HELPER.replace(
    "def train", "@functools.cache\ndef train"
).replace("    def forward", "    @functools.lru_cache(3)\n    def forward")


@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        (PLAIN, "x**2", "x**3"),
        (PLAIN, "2.5", "2.6"),
        (PLAIN, '"x", 0, 1', '"x", 0, 2'),
        (PLAIN, "suggest_float", "suggest_int"),
        (PLAIN, '"b", 1', '"c", 1'),
        (PLAIN, "x**2", "x*2"),
        (PLAIN, "    return", "    print(x)\n    return"),
        (WITH_HELPER, "class Net:", "class Net:\n    depth = 2\n"),
        (WITH_HELPER, "range(3)", "range(4)"),
        (CACHED, "range(3)", "range(4)"),
        (CACHED, "x + 1", "x + 2"),
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
    [
        ("'''An objective.'''", "'''Another text.'''"),
        ("    '''An objective.'''\n", ""),
        ("    x =", "    # a comment\n    x ="),
        ('"x", 0, 1)', '\n        "x",\n        0,\n        1,\n    )'),
    ],
)
def test_docstrings_comments_and_formatting_do_not_count(old: str, new: str) -> None:
    assert old in PLAIN
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


def counting() -> tuple[Callable[[float], float], Callable[[], None]]:
    n_calls, note, seen = 0, "", [0.0]

    def objective(x: float) -> float:
        nonlocal n_calls
        n_calls += 1
        seen.append(x)
        return x + len(note)

    def sibling() -> None:
        nonlocal note
        note = "changed"
        seen.clear()

    return objective, sibling


@pytest.mark.parametrize("wrap", [lambda each: each, partial, decorated])
def test_what_is_changed_later_does_not_count(wrap: Callable[[Any], Any]) -> None:
    for make in (counting, lambda: counts_by(OfPower(2)), lambda: counts_by(InheritsCounting(2))):
        objective, change = make()
        objective = wrap(objective)
        before = objective_identity(objective)
        change()
        assert objective_identity(objective) == before
        assert objective_identity(wrap(make()[0])) == before


def counts_by(counts: OfPower | Counting) -> tuple[Any, Callable[[], None]]:
    def change() -> None:
        counts.n_calls += 1
        setattr(counts, "best", 0.5)  # noqa: B010

    return counts, change


def test_methods_of_one_object_are_apart() -> None:
    counts = OfPower(2)
    before = objective_identity(counts.train)
    counts.n_calls += 1
    assert objective_identity(counts.train) == before
    assert objective_identity(counts) != before
    assert objective_identity(counts.__call__) != before


def test_identities_do_not_keep_objectives_alive() -> None:
    for make in (lambda: counting()[0], lambda: OfPower(2), lambda: partial(OfPower(2).train)):
        objective = make()
        objective_identity(objective)
        reference = weakref.ref(objective)
        del objective
        gc.collect()
        assert reference() is None


def test_it_is_the_same_in_every_process(tmp_path: Path) -> None:
    """With other hashes of strings, elsewhere, as a script or imported, after other questions."""
    (tmp_path / "train.py").write_text(EVERYTHING)
    import_it = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import train"
    printed = [
        subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            check=True,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout
        for arguments, cwd in (
            (["train.py"], tmp_path),
            (["-c", import_it], Path.cwd()),
        )
    ]
    assert printed[0] == printed[1]
    assert len(set(printed[0].split())) == 4


def test_between_versions_of_python_the_name_tells() -> None:
    kept = {**objective_identity(of_power(2)).to_dict(), "python": "3.99"}
    assert objective_identity(of_power(3)).is_of(kept)
    assert not objective_identity(with_argument).is_of(kept)


class Kind(Enum):
    a, b = 0, 1


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
        lambda n: LogisticRegression(C=n + 1),
        lambda n: Namespace(shift=n),
        namedtuple("Shift", "by"),
        lambda n: Kind.a if n else Kind.b,
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
        lambda n: torch.full((2, 2), float(n), dtype=torch.float16),
        lambda n: pandas.DataFrame({"a": [1, n], "b": ["x", "y"]}),
        lambda n: pandas.Series(["x", str(n)]),
    ):
        one, again, other = (
            objective_identity(partial(with_data, data=make(n))) for n in (0, 0, 1)
        )
        assert one.is_of(again.to_dict())
        assert not one.is_of(other.to_dict())


def test_what_is_new_in_every_process_counts_by_its_type_if_it_shows_an_address() -> None:
    for make in (threading.Lock, np.random.default_rng, optuna.create_study, object, io.StringIO):
        one, other = (objective_identity(partial(with_data, data=make())) for _ in range(2))
        assert one == other
    one, other = (objective_identity(partial(with_data, data=kind())) for kind in (object, set))
    assert one != other


def test_data_that_hold_themselves_are_told_apart() -> None:
    def cyclic(n: int) -> list[Any]:
        data: list[Any] = [n]
        data.append(data)
        return data

    one, again, other = (objective_identity(partial(with_data, data=cyclic(n))) for n in (0, 0, 1))
    assert one.is_of(again.to_dict())
    assert not one.is_of(other.to_dict())


def test_data_that_share_their_parts_are_looked_into_once() -> None:
    def of_graph(weight: int) -> Callable[[Any], int]:
        nodes: list[dict[str, Any]] = [{"name": name, "edges": []} for name in range(40)]
        for node in nodes:
            node["edges"] += [each for each in nodes if each is not node]
        nodes[-1]["name"] = weight
        return lambda trial: len(nodes)

    assert objective_identity(of_graph(1)) == objective_identity(of_graph(1))
    assert objective_identity(of_graph(1)) != objective_identity(of_graph(2))
