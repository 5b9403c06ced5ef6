"""Hostile arguments for every public function: a right result, or an error that says why not.

An error is clear if this package raised it itself (or Optuna, what is Optuna's), as one of the
kinds that callers expect. Each function is called with arguments that are right but for one or
two, which are replaced by values of every kind.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import inspect
import itertools
import linecache
import math
from pathlib import Path
import random
import signal
import traceback
from types import FrameType
from typing import Any
import warnings

import numpy as np
import optuna
from tqdm import tqdm

from benchmarks.text_tables import markdown_table
import optuna_robust as opr
from optuna_robust import comparison
from optuna_robust import criteria
from optuna_robust import elimination
from optuna_robust import report


EXPECTED = (
    ValueError,
    TypeError,
    RuntimeError,
    OSError,
    optuna.exceptions.OptunaError,
)
# No call takes so long, seconds.
_PATIENCE = 60
_OURS = Path(opr.__file__).parent
HOSTILE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    2,
    -1,
    10**30,
    0.0,
    -0.5,
    0.5,
    1.0,
    2.5,
    1e308,
    math.nan,
    math.inf,
    -math.inf,
    1j,
    "",
    "x",
    "median",
    "<script>alert(1)</script>",
    "=1+1",
    "a\0b",
    "\ud800",
    b"x",
    (),
    [],
    {},
    set(),
    ["median"],
    [None],
    [[]],
    [math.nan],
    [1, 2],
    {"x": []},
    {"x": [1, None, "a"]},
    {1: [2]},
    [{}],
    [{"x": object()}],
    [{"x": 0.5}, {"x": 0.5}],
    np.float64(0.5),
    np.int64(3),
    np.zeros(0),
    np.zeros((2, 0)),
    np.zeros((0, 3)),
    np.full((3, 4), np.nan),
    np.array([["a"]]),
    np.array([object()]),
    np.arange(24.0).reshape(2, 3, 4),
    object(),
    int,
    len,
    lambda: None,
    lambda *_: math.nan,
    lambda *_: "x",
    Path("nowhere"),
    iter([1]),
)
# What callables raise is their own.
_CALLED = {"objective", "criterion", "seed_function", "callbacks", "returns", "level", "spread"}


@dataclass(frozen=True)
class Target:
    """A public function, and arguments that are right.

    Attributes:
        name: Its name.
        function: Calls it.
        arguments: Return arguments; new ones, since a call may change them.
        names: All its parameters.
    """

    name: str
    function: Callable[..., object]
    arguments: Callable[[], dict[str, Any]]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Unclear:
    """An error that does not say what is wrong.

    Attributes:
        target: Name of the function.
        given: The arguments that were replaced.
        error: Type and text.
        place: Where it was raised.
    """

    target: str
    given: dict[str, Any]
    error: str
    place: str


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command to those of ``python -m benchmarks``."""
    parser = subparsers.add_parser(
        "fuzz", help="hostile arguments for every public function", description=__doc__
    )
    parser.add_argument("--calls", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--only", metavar="NAME", help="functions whose name contains this")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, command: str) -> int:
    """Call, and say which errors were unclear."""
    counts, unclear = fuzz(args.calls, args.seed, args.only or "")
    rows = [
        [name, *(f"{counts[name, kind]}" for kind in ("result", "clear", "unclear"))]
        for name in sorted({name for name, _ in counts})
    ]
    print(f"{command}\n")
    print(markdown_table(["function", "results", "clear errors", "unclear errors"], rows))
    kinds: dict[tuple[str, str, str], Unclear] = {}
    for each in unclear:
        kinds.setdefault((each.target, each.place, each.error.split(":")[0]), each)
    for each in kinds.values():
        print(f"\n{each.target}({each.given})\n  {each.error[:200]}\n  at {each.place}")
    print(f"\n{sum(counts.values())} calls, {len(unclear)} unclear errors of {len(kinds)} kinds.")
    return int(bool(unclear))


def fuzz(
    n_calls: int, seed: int, only: str = ""
) -> tuple[Counter[tuple[str, str]], list[Unclear]]:
    """Call public functions; return what came of it, and what was unclear."""
    rng = random.Random(seed)
    counts: Counter[tuple[str, str]] = Counter()
    unclear = []
    with _quiet():
        chosen = [target for target in targets() if only in target.name]
        for target, given in tqdm(
            itertools.islice(_calls(chosen, rng), n_calls), total=n_calls, disable=None
        ):
            found = call(target, given)
            if isinstance(found, Unclear):
                unclear.append(found)
            counts[target.name, "unclear" if isinstance(found, Unclear) else found] += 1
    return counts, unclear


def _calls(chosen: list[Target], rng: random.Random) -> Iterator[tuple[Target, dict[str, Any]]]:
    """Yield every argument with every value, in random order; then two at a time without end."""
    single = [
        (target, {name: value})
        for target in chosen
        for name in target.names
        for value in HOSTILE
        if not _is_left_out(name, value)
    ]
    rng.shuffle(single)
    yield from single
    while True:
        target = rng.choice(chosen)
        names = rng.sample(target.names, min(2, len(target.names)))
        given = {name: rng.choice(HOSTILE) for name in names}
        if not any(_is_left_out(name, value) for name, value in given.items()):
            yield target, given


def _is_left_out(name: str, value: object) -> bool:
    """Return True if a value is right, and dear, or if its errors are its own."""
    if name == "n_jobs":
        return isinstance(value, (int, np.integer)) and value not in {0, 1}
    return name in _CALLED and callable(value)


def call(target: Target, given: dict[str, Any]) -> str | Unclear:
    """Call a function with some arguments replaced; return what came of it."""
    try:
        with _time_limit():
            target.function(**{**target.arguments(), **given})
    except Exception as error:
        return "clear" if _is_clear(error) else _unclear(target, given, error)
    return "result"


def _is_clear(error: Exception) -> bool:
    if not isinstance(error, EXPECTED) or isinstance(error, (RecursionError, TimeoutError)):
        return False
    frames = list(traceback.walk_tb(error.__traceback__))
    last = Path(frames[-1][0].f_code.co_filename)
    if isinstance(error, optuna.exceptions.OptunaError):
        return True
    line = linecache.getline(str(last), frames[-1][1])
    return last.is_relative_to(_OURS) and line.strip().startswith("raise ")


def _unclear(target: Target, given: dict[str, Any], error: Exception) -> Unclear:
    frame, line = list(traceback.walk_tb(error.__traceback__))[-1]
    place = f"{Path(frame.f_code.co_filename).name}:{line}"
    ours = [
        f"{Path(each.f_code.co_filename).relative_to(_OURS)}:{at}"
        for each, at in traceback.walk_tb(error.__traceback__)
        if Path(each.f_code.co_filename).is_relative_to(_OURS)
    ]
    return Unclear(
        target.name,
        {name: _shown(value) for name, value in given.items()},
        f"{type(error).__name__}: {error}",
        f"{ours[-1] if ours else '-'} ({place})",
    )


def _shown(value: object) -> str:
    return repr(value)[:60]


@contextmanager
def _time_limit() -> Iterator[None]:
    def interrupt(_: int, __: FrameType | None) -> None:
        raise TimeoutError("it took too long")

    earlier = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(_PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)


@contextmanager
def _quiet() -> Iterator[None]:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            optuna.logging.set_verbosity(verbosity)


def targets() -> list[Target]:
    """Return the public functions, each with arguments that are right."""
    study, selected = _finished_study(), _selection()
    confirmed = opr.confirm(study, _objective, n_models=2, n_instances=4)
    losses = np.random.default_rng(0).normal(size=(6, 8))
    curves = np.random.default_rng(0).normal(size=(4, 3, 5))
    models = [{"x": 0.1}, {"x": 0.5}, {"x": 0.9}]
    found = [
        _target(opr.robust_select, objective=_objective, models=models, n_instances=4),
        _target(opr.confirm, study_or_result=study, objective=_objective, n_instances=3),
        _target(opr.recommend, study=_robust_study()),
        _target(opr.expected_trainings, n_models=10, n_warmup_instances=2, n_instances=8),
        _target(opr.InstanceStore),
        _target(opr.Instance, number=0),
        Target(
            "MultiInstanceObjective",
            _optimize_wrapped,
            lambda: {"objective": _objective, "n_instances": 3},
            _parameters(opr.MultiInstanceObjective),
        ),
        Target("RobustnessPruner", _optimize_pruned, dict, _parameters(opr.RobustnessPruner)),
        Target("RobustnessSampler", _optimize_by_turns, dict, _parameters(opr.RobustnessSampler)),
        Target(
            "MaxInstancesCallback",
            _optimize_to_a_budget,
            lambda: {"n_instances": 6},
            _parameters(opr.MaxInstancesCallback),
        ),
        _target(criteria.get_criterion, criterion="q3+iqr"),
        _target(comparison.bootstrap_interval, losses=losses[0], criterion="q3+iqr"),
        _target(
            comparison.compare_with_reference,
            losses=losses,
            reference=losses[0],
            test="levene",
            alternative="greater",
        ),
        _target(elimination.get_rule, name="halving"),
        _target(report.html_report, study=study),
        _target(opr.dashboard.publish, study=study),
    ]
    plots: dict[str, Any] = {
        "plot_optimism": confirmed,
        "plot_rank_correlation": curves,
        "plot_top_overlap": curves,
        "plot_learning_curves": curves,
        "plot_selection_path": selected,
        "plot_trainings": selected,
    }
    for name in opr.visualization.__all__:
        function = getattr(opr.visualization, name)
        if name == "plot_sample_size":
            sizes = {"Model 1": {100: [1.0, 2.0], 200: [0.5, 0.6]}}
            found.append(_target(function, losses=sizes))
        elif callable(function):
            found.append(_target(function, source=plots.get(name, study)))
    return [target for target in found if target.names]


def _target(function: Callable[..., object], **arguments: Any) -> Target:
    return Target(function.__name__, function, lambda: dict(arguments), _parameters(function))


def _parameters(function: Callable[..., object]) -> tuple[str, ...]:
    kinds = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    parameters = inspect.signature(function).parameters.values()
    return tuple(each.name for each in parameters if each.kind in kinds)


def _objective(trial: optuna.Trial, instance: opr.Instance) -> float:
    x = trial.suggest_float("x", 0.0, 1.0)
    trial.report(x, 0)
    return x + 0.1 * float(instance.rng.normal())


def _finished_study() -> optuna.Study:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(opr.MultiInstanceObjective(_objective, 3), n_trials=4)
    return study


def _robust_study() -> optuna.Study:
    study = optuna.create_study(sampler=opr.RobustnessSampler(seed=0))
    study.optimize(opr.MultiInstanceObjective(_objective, 3), n_trials=8)
    return study


def _selection() -> opr.SelectionResult:
    return opr.robust_select(_objective, [{"x": 0.1}, {"x": 0.9}], n_instances=4)


def _optimize_wrapped(**arguments: Any) -> None:
    optuna.create_study().optimize(opr.MultiInstanceObjective(**arguments), n_trials=2)


def _optimize_pruned(**arguments: Any) -> None:
    study = optuna.create_study(pruner=opr.RobustnessPruner(**arguments))
    study.optimize(opr.MultiInstanceObjective(_objective, 6), n_trials=4)


def _optimize_by_turns(**arguments: Any) -> None:
    study = optuna.create_study(sampler=opr.RobustnessSampler(**arguments))
    study.optimize(opr.MultiInstanceObjective(_objective, 3), n_trials=6)


def _optimize_to_a_budget(**arguments: Any) -> None:
    callback = opr.MaxInstancesCallback(**arguments)
    study = optuna.create_study()
    study.optimize(opr.MultiInstanceObjective(_objective, 3), n_trials=3, callbacks=[callback])
