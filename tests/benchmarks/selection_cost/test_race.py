from dataclasses import replace
import json
import os
from pathlib import Path
import warnings

import numpy as np
import pytest

from benchmarks.selection_cost.arms import KINDS
from benchmarks.selection_cost.arms import rule_arms
from benchmarks.selection_cost.arms import Terms
from benchmarks.selection_cost.peers import peer_arms
from benchmarks.selection_cost.race import run_race
from benchmarks.tables import read_table
from optuna_robust import robust_select
from optuna_robust.criteria import get_criterion
from optuna_robust.elimination import Decision
from optuna_robust.elimination import get_rule


FOLDER = os.environ.get("OPTUNA_ROBUST_REFERENCE_DATA", "")


def a_table(seed=0, n_models=9, n_instances=8):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_models, 1)) + 0.5 * rng.normal(size=(n_models, n_instances))


def terms(criterion="mean", n_models=9, n_instances=8):
    return Terms(get_criterion(criterion), n_models, n_instances, 0.1, has_ties=False)


class Scripted:
    """A rule that decides as it is told."""

    def __init__(self, *decisions):
        self.decisions = list(decisions)
        self.seen = []

    def eliminate(self, losses, alive):
        self.seen.append((losses.copy(), tuple(alive)))
        return self.decisions.pop(0)


def a_decision(kept, incumbent=0, next_models=None):
    scores = np.array([3.0, 2.0, 1.0])
    return Decision(tuple(kept), {}, incumbent, scores, np.full(3, np.nan), next_models)


@pytest.mark.parametrize("criterion", ["mean", "q3+iqr"])
@pytest.mark.parametrize("name", ["halving", "sequential-halving", "welch", "directed-paired-t"])
@pytest.mark.parametrize("seed", range(4))
def test_driver_selects_as_robust_select_does(name, criterion, seed):
    losses = a_table(seed)
    options = {"criterion": criterion, "n_warmup_instances": 2}
    if not name.endswith("halving"):
        options["alpha"] = 0.2
    outcome = run_race(get_rule(name, **options), losses)
    result = robust_select(
        lambda trial, instance: float(
            losses[trial.suggest_categorical("model", list(range(9))), instance.number]
        ),
        {"model": range(9)},
        rule=name,
        n_instances=8,
        **options,
    )
    assert outcome.winner == result.best_index
    assert outcome.survivors == result.survivors
    assert outcome.n_trainings == result.n_trainings


def test_driver_trains_only_the_models_that_a_decision_names():
    losses = a_table(n_models=3, n_instances=4)
    rule = Scripted(
        a_decision((0, 1, 2), next_models=(1,)),
        a_decision((0, 1, 2), next_models=(0, 1)),
        a_decision((0, 2), incumbent=2, next_models=()),
    )
    outcome = run_race(rule, losses)
    assert (outcome.winner, outcome.survivors, outcome.n_trainings) == (2, (0, 2), 6)
    last, alive = rule.seen[-1]
    assert alive == (0, 1, 2)
    assert last.shape == (3, 3)
    assert np.isnan(last).tolist() == [
        [False, False, True],
        [False, False, False],
        [False, True, True],
    ]


def test_driver_ends_when_no_model_to_train_has_instances_left():
    rule = Scripted(
        a_decision((0, 1, 2), next_models=(1,)), a_decision((0, 1, 2), next_models=(1,))
    )
    outcome = run_race(rule, a_table(n_models=3, n_instances=2))
    assert outcome.n_trainings == 4


def test_best_kept_model_wins_where_the_incumbent_is_gone():
    rule = Scripted(a_decision((0, 1), incumbent=2, next_models=()))
    assert run_race(rule, a_table(n_models=3)).winner == 1


@pytest.mark.parametrize("criterion", ["mean", "q3+iqr", "std", "max"])
def test_arms_have_different_names_known_kinds_and_valid_outcomes(criterion):
    given = terms(criterion)
    arms = [*rule_arms(given), *peer_arms(given)]
    assert len({arm.name for arm in arms}) == len(arms)
    assert {arm.kind for arm in arms} <= set(KINDS)
    for arm in arms:
        outcome = arm.select(a_table(), np.random.default_rng(0))
        assert outcome.winner in outcome.survivors
        assert 9 <= outcome.n_trainings <= 72


def test_arms_fit_the_criterion_and_the_instances():
    names = {arm.name for arm in rule_arms(terms("std", n_instances=4))}
    assert {"exhaustive n=2", "exhaustive n=3", "halving k=3"} <= names
    assert not names & {"exhaustive n=1", "exhaustive n=5", "halving k=4"}
    spread = {arm.name.split()[0] for arm in rule_arms(terms("std"))}
    level = {arm.name.split()[0] for arm in rule_arms(terms("mean"))}
    assert {"bartlett", "levene", "fligner", "directed-pitman-morgan"} <= spread - level
    assert {"welch", "ks", "mannwhitneyu", "directed-paired-t"} <= level - spread


def test_making_arms_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rule_arms(terms())


def test_exhaustive_arm_takes_the_best_of_its_instances():
    losses = a_table()
    arm = next(arm for arm in rule_arms(terms()) if arm.name == "exhaustive n=3")
    outcome = arm.select(losses, np.random.default_rng(0))
    assert outcome.winner == losses[:, :3].mean(axis=1).argmin()
    assert outcome.n_trainings == 27


def test_rank_tests_on_tied_losses_get_fewer_replays():
    slow = {arm.name for arm in rule_arms(replace(terms(), has_ties=True)) if arm.is_slow}
    assert slow == {"wilcoxon 0.05 from 5"}
    assert not any(arm.is_slow for arm in rule_arms(terms()))


def test_pruners_find_a_model_that_is_far_better():
    losses = a_table(n_models=12)
    losses[7] -= 20.0
    for arm in peer_arms(terms(n_models=12)):
        outcome = arm.select(losses, np.random.default_rng(1))
        assert outcome.winner == 7
        assert outcome.n_trainings < losses.size
        assert arm.is_slow


def test_pruners_of_studies_are_left_out_for_many_models():
    assert peer_arms(terms(n_models=1001)) == []


@pytest.mark.skipif(not FOLDER, reason="OPTUNA_ROBUST_REFERENCE_DATA is not set")
@pytest.mark.parametrize("number", [0, 1, 20, 23])
@pytest.mark.filterwarnings("ignore:.*cannot reject at alpha:UserWarning")
def test_driver_reproduces_reference_cases(number):
    reference = json.loads(Path(FOLDER, "cct64_reference_steps.json").read_text(encoding="utf-8"))
    case = reference["cases"][number]
    table = read_table(
        Path(FOLDER, "cct64_cifar10.csv"), where={"train_size": str(case["train_size"])}
    )
    warmup = case["k"] if case["test"] is None else case["start_step"] - 1
    rule = get_rule(
        case["test"] or "halving",
        criterion=case["criterion"],
        n_warmup_instances=warmup,
        **({} if case["test"] is None else {"alpha": case["alpha"]}),
    )
    outcome = run_race(rule, table.losses[:, reference["instance_order"]])
    assert outcome.n_trainings == case["n_trainings"]
    assert list(outcome.survivors) == case["steps"][-1]["kept"]
