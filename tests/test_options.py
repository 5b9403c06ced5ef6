"""Options without effect, and two values for one thing, are errors before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pytest

import optuna_robust as opr
from optuna_robust.elimination import Decision
from optuna_robust.elimination import get_rule
from optuna_robust.elimination import Halving
from optuna_robust.elimination import IncumbentTest
from optuna_robust.elimination import RaceRule
from optuna_robust.elimination import RULES
from optuna_robust.elimination import SequentialHalving


MODELS = [{"x": value} for value in (0.1, 0.2, 0.5, 0.9)]


def never(trial: optuna.Trial, instance: opr.Instance) -> float:
    raise AssertionError("An instance was trained.")


def noisy(trial: optuna.Trial, instance: opr.Instance) -> float:
    return trial.suggest_float("x", 0, 1) + 0.1 * float(instance.rng.normal())


# Which rules take an option.
HALVINGS = ("halving", "sequential-halving")
TESTS = tuple(rule for rule in RULES if rule not in (*HALVINGS, "race"))
TAKEN: dict[str, tuple[Any, tuple[str, ...]]] = {
    "alpha": (0.1, ("race", *TESTS)),
    "tolerance": (0.0, ("race",)),
    "informed": (False, ("race",)),
    "reduction_factor": (2.0, HALVINGS),
    "n_warmup_instances": (12, (*HALVINGS, *TESTS)),
}


@pytest.mark.parametrize("option", TAKEN)
def test_an_option_that_a_rule_does_not_take_is_an_error(option: str) -> None:
    """Even where it has the value that it would have by default."""
    value, taken_by = TAKEN[option]
    for rule in set(RULES) - set(taken_by):
        with pytest.raises(ValueError, match=f"{option} has no effect with rule='{rule}'; leave"):
            opr.robust_select(never, MODELS, rule=rule, **{option: value})
        if option != "informed":
            with pytest.raises(ValueError, match=f"{option} has no effect with rule='{rule}'"):
                get_rule(rule, **{option: value})


@pytest.mark.parametrize("option", TAKEN)
def test_an_option_that_a_rule_takes_is_none(option: str) -> None:
    value, taken_by = TAKEN[option]
    for rule in {*taken_by} & {"race", "halving", "sequential-halving", "welch", "directed-welch"}:
        result = opr.robust_select(
            noisy, MODELS, rule=rule, criterion="mean", n_instances=13, **{option: value}
        )
        assert result.rule == rule


# --- rule objects --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "options", "message"),
    [
        (Halving(criterion="max"), {"criterion": "q3+iqr"}, "criterion='max', but the selection"),
        (SequentialHalving(), {"criterion": "mean"}, r"'q3\+iqr', but the selection criterion='m"),
        (IncumbentTest(n_warmup_instances=5), {"criterion": np.median}, "criterion='median'"),
        (RaceRule(criterion="std"), {"criterion": "iqr"}, "two values for one thing"),
        (Halving(n_select=2), {"n_select": 1}, "n_select=2, but the selection n_select=1"),
        (Halving(), {"reduction_factor": 3.0}, "has reduction_factor=2.0, but"),
        (Halving(), {"n_warmup_instances": 2}, "has n_warmup_instances=4, but"),
        (RaceRule(), {"alpha": 0.1}, "has alpha=0.05, but the selection alpha=0.1"),
        (RaceRule(n_instances=9), {"n_instances": 8}, "has n_instances=9, but"),
        (RaceRule(), {"reshuffle": True}, "has common_instances=True, but"),
        (Halving(), {"alpha": 0.1}, r"alpha has no effect with rule=Halving\(.*; leave out alpha"),
        (
            RaceRule(),
            {"n_warmup_instances": 0},
            "n_warmup_instances has no effect with",
        ),
        (IncumbentTest(n_warmup_instances=5), {"tolerance": 0.1}, "tolerance has no effect with"),
    ],
)
def test_two_values_for_one_thing_are_an_error(
    rule: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        opr.robust_select(never, MODELS, rule=rule, **options)


def test_what_a_rule_has_goes_for_the_selection() -> None:
    rule = Halving(criterion="max", n_select=2, n_warmup_instances=1)
    result = opr.robust_select(noisy, MODELS, rule=rule)
    assert result.criterion == "max"
    assert len(result.survivors) == 2
    race = RaceRule(criterion="mean", n_instances=7)
    result = opr.robust_select(noisy, MODELS, rule=race)
    assert (result.criterion, result.settings["n_instances"]) == ("mean", 7)


def test_the_same_value_twice_is_one() -> None:
    rule = Halving(criterion="max", n_warmup_instances=1, reduction_factor=3.0)
    result = opr.robust_select(
        noisy, MODELS, rule=rule, criterion="max", n_warmup_instances=1, reduction_factor=3.0
    )
    assert result.criterion == "max"


class FirstStays:
    """A rule that is not this package's, and takes no options."""

    name = "first-stays"

    def eliminates_at(self, n_instances: int) -> bool:
        return True

    def eliminate(self, losses: npt.ArrayLike, alive: Iterable[int] | None = None) -> Decision:
        scores = np.asarray(losses)[:, 0]
        return Decision((0,), {}, 0, scores, np.full(len(scores), np.nan))


def test_a_rule_of_the_users_own() -> None:
    result = opr.robust_select(noisy, MODELS, rule=FirstStays(), criterion="mean", n_instances=3)
    assert (result.rule, result.criterion) == ("first-stays", "mean")
    with pytest.raises(ValueError, match="alpha has no effect with rule=<"):
        opr.robust_select(never, MODELS, rule=FirstStays(), alpha=0.1)


def test_what_a_rule_of_the_users_own_leaves_open_is_the_selections() -> None:
    rule = FirstStays()
    rule.criterion = None  # type: ignore[attr-defined]
    result = opr.robust_select(noisy, MODELS, rule=rule, criterion="mean", n_instances=3)
    assert result.criterion == "mean"


# --- the pruner, confirm -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("halving", {"alpha": 0.05}),
        ("halving", {"tolerance": 0.0}),
        ("halving", {"informed": False}),
        ("halving", {"n_instances": 8}),
        ("race", {"reduction_factor": 2.0}),
        ("race", {"n_recent_trials": 8}),
        ("race", {"n_recent_trials": None}),
        ("directed-welch", {"n_recent_trials": None}),
        ("directed-ks", {"reduction_factor": 3.0}),
        ("directed-levene", {"tolerance": 0.1}),
        (None, {"n_startup_trials": 2, "max_spread": 1.0}),
        (None, {"reduction_factor": 2.0, "max_relative_spread": 1.0}),
    ],
)
def test_an_option_that_the_pruners_rule_does_not_take(
    rule: str | None, options: dict[str, Any]
) -> None:
    option = next(iter(options))
    with pytest.raises(ValueError, match=f"{option} has no effect with rule={rule!r}; leave out"):
        opr.RobustnessPruner(rule=rule, **options)


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("halving", {"reduction_factor": 3.0, "n_recent_trials": None, "n_startup_trials": 1}),
        ("halving", {"alpha": 0.1, "max_spread": 1.0}),
        ("race", {"alpha": 0.1, "tolerance": 0.1, "informed": True, "n_instances": 5}),
        ("directed-welch", {"alpha": 0.1, "n_startup_trials": 0}),
        (None, {"alpha": 0.1, "max_relative_spread": 1.0, "n_warmup_instances": 3}),
    ],
)
def test_an_option_that_the_pruners_rule_takes(rule: str | None, options: dict[str, Any]) -> None:
    study = optuna.create_study(pruner=opr.RobustnessPruner("mean", rule, **options))
    study.optimize(opr.MultiInstanceObjective(noisy, 5), n_trials=3)
    assert study.best_trial.user_attrs["robust:n_instances"] == 5


def test_alpha_of_confirm_is_for_stopping_early() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(opr.MultiInstanceObjective(noisy, 3), n_trials=2)
    with pytest.raises(ValueError, match="alpha has no effect with stop_early=False; leave out"):
        opr.confirm(study, never, alpha=0.05)
    with pytest.raises(ValueError, match=r"alpha must lie in \(0, 1\)"):
        opr.confirm(study, never, alpha=0.0, stop_early=True)
    assert opr.confirm(study, noisy, n_instances=12, alpha=0.2, stop_early=True).models
