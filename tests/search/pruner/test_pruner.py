from __future__ import annotations

from collections.abc import Sequence
import itertools
import math
import pickle
import threading
from typing import Any
import warnings

import numpy as np
import optuna
from optuna.trial import create_trial
from optuna.trial import TrialState
import pytest
from scipy import stats

from optuna_robust import Instance
from optuna_robust import MultiInstanceObjective
from optuna_robust import RobustnessPruner
from optuna_robust.comparison import TESTS


def add(
    study: optuna.Study,
    losses: Sequence[float],
    state: TrialState = TrialState.COMPLETE,
    *,
    recorded: bool = False,
    value: float = 0.0,
) -> None:
    study.add_trial(
        create_trial(
            state=state,
            value=value if state == TrialState.COMPLETE else None,
            intermediate_values=dict(enumerate(losses)),
            user_attrs={"robust:losses": list(losses)} if recorded else {},
        )
    )


def stops_at(
    study: optuna.Study, losses: Sequence[float], *, recorded: bool = False
) -> list[bool]:
    """What should_prune says after each instance of a new trial."""
    trial = study.ask()
    said = []
    for step, loss in enumerate(losses):
        trial.report(loss, step)
        if recorded:
            trial.set_user_attr("robust:losses", list(losses[: step + 1]))
        said.append(trial.should_prune())
    return said


def study_with(
    others: Sequence[Sequence[float]], direction: str = "minimize", **pruner: Any
) -> optuna.Study:
    pruner = {"criterion": "mean", "n_warmup_instances": 0, **pruner}
    if pruner.get("rule", "halving") is not None:
        pruner.setdefault("n_startup_trials", 1)
    study = optuna.create_study(direction=direction, pruner=RobustnessPruner(**pruner))
    for losses in others:
        add(study, losses)
    return study


# Means over the first 1, 2, 3, 4 instances: 1 each; 2 each; 3 each; 4 each.
FOUR = [[1.0] * 4, [2.0] * 4, [3.0] * 4, [4.0] * 4]


# --- halving -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        # Of five trials ceil(5 / 2) = 3 go on: better than the third of the others, 3.
        ([2.9, 2.9, 2.9, 2.9], [False, False, False, False]),
        ([3.1, 2.7, 2.9, 2.9], [True, False, False, False]),
        ([2.9, 3.2, 2.9, 2.9], [False, True, False, False]),
        # Three instances are no rung.
        ([2.9, 2.9, 9.9, 2.9], [False, False, False, True]),
        # A tie with the third counts half: two and a half are ahead.
        ([3.0, 2.9, 2.9, 2.9], [False, False, False, False]),
    ],
)
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_halving_decides_at_rungs(
    losses: list[float], expected: list[bool], direction: str
) -> None:
    sign = 1 if direction == "minimize" else -1
    study = study_with([[sign * loss for loss in row] for row in FOUR], direction)
    assert stops_at(study, [sign * loss for loss in losses]) == expected


def test_halving_rungs_start_after_the_warmup_and_grow() -> None:
    study = study_with([[1.0] * 20, [1.1] * 20], n_warmup_instances=2)
    said = stops_at(study, [5.0] * 20)
    assert [n for n, stop in enumerate(said, start=1) if stop] == [3, 6, 12]


def test_reduction_factor_keeps_one_of_so_many() -> None:
    # Of five trials ceil(5 / 4) = 2 go on.
    study = study_with(FOUR, reduction_factor=4)
    assert stops_at(study, [1.9]) == [False]
    assert stops_at(study, [2.1]) == [True]


def test_halving_compares_on_the_same_number_of_instances() -> None:
    # Over all its four instances the other trial is far worse than over its first.
    study = study_with([[1.0, 9.0, 9.0, 9.0]])
    assert stops_at(study, [2.0, 2.0]) == [True, False]


def test_halving_sees_the_spread() -> None:
    others = [[1.0, 1.1, 0.9, 1.0]] * 3
    study = study_with(others, criterion="q3+iqr", n_warmup_instances=2)
    assert stops_at(study, [1.0, 1.05, 0.95]) == [False] * 3
    assert stops_at(study, [0.0, 1.0, 2.0]) == [False, False, True]


def test_one_instance_is_ranked_by_its_loss_where_spread_is_undefined() -> None:
    others = [[1.0, 1.1], [2.0, 2.1], [3.0, 3.1]]
    study = study_with(others, criterion="q3+iqr")
    assert stops_at(study, [1.5]) == [False]
    assert stops_at(study, [2.5]) == [True]
    # A pure spread says nothing yet.
    assert stops_at(study_with(others, criterion="std"), [2.5]) == [False]


def test_ties_at_the_best_do_not_shut_out_later_trials() -> None:
    study = study_with([[1.0, 1.0]] * 20)
    assert stops_at(study, [1.0, 1.0]) == [False, False]
    assert stops_at(study, [1.1]) == [True]


def test_halving_ranks_among_recent_trials() -> None:
    bad, good = [[9.0]] * 20, [[1.0]] * 8
    assert stops_at(study_with(bad + good), [2.0]) == [True]
    assert stops_at(study_with(bad + good, n_recent_trials=None), [2.0]) == [False]
    assert stops_at(study_with(good + bad, n_recent_trials=20), [2.0]) == [False]


def test_first_trials_are_never_pruned() -> None:
    study = study_with(FOUR[:2], n_startup_trials=3)
    assert stops_at(study, [9.0] * 4) == [False] * 4
    add(study, [1.0] * 4)
    assert stops_at(study, [9.0] * 4)[0]


def test_a_trial_alone_is_never_pruned() -> None:
    assert stops_at(study_with([], n_startup_trials=0), [9.0] * 4) == [False] * 4


def test_pruned_trials_compete_and_others_do_not() -> None:
    study = study_with([[1.0, 1.0]])
    for state in (TrialState.FAIL, TrialState.RUNNING):
        add(study, [0.5, 0.5], state)
    add(study, [], TrialState.WAITING)
    waiting = study.ask()  # takes the waiting trial
    assert waiting.number == 3
    # One competitor: the better of two goes on.
    assert stops_at(study, [0.9]) == [False]
    for _ in range(2):
        add(study, [0.5], TrialState.PRUNED)
    # Three competitors, two of them better: two of four go on.
    assert stops_at(study, [0.9]) == [True]
    assert stops_at(study, [0.9, 0.9])[1] is False  # the pruned ones never got here


def test_trials_that_finish_later_are_seen() -> None:
    study = study_with([[1.0] * 4])
    running = study.ask()
    running.report(0.1, 0)
    assert stops_at(study, [0.5]) == [False]
    study.tell(running, 0.1)
    add(study, [0.2])
    assert stops_at(study, [0.5]) == [True]


def test_instances_can_be_any_steps() -> None:
    study = study_with([], n_warmup_instances=1)
    for loss in (1.0, 2.0):
        study.add_trial(
            create_trial(value=0.0, intermediate_values={7: loss, 10**6: loss, 3: loss})
        )
    trial = study.ask()
    trial.report(9.0, 10**6)
    assert not trial.should_prune()
    trial.report(9.0, 3)
    assert trial.should_prune()
    other = study.ask()
    other.report(9.0, 4)
    other.report(9.0, 5)
    assert not other.should_prune()  # no other trial has these instances


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_failed_instances_are_the_worst(value: float, direction: str) -> None:
    study = study_with([[1.0], [1.0], [1.0]], direction)
    assert stops_at(study, [value]) == [True]
    study = study_with([[value], [value], [value]], direction)
    assert stops_at(study, [1.0]) == [False]


def test_trials_with_other_numbers_of_instances_are_left_out() -> None:
    study = study_with([[1.0] * 4, [1.0], [1.0]])
    # With two instances there is one competitor, with one there are three.
    assert stops_at(study, [0.5, 2.0]) == [False, True]
    assert stops_at(study, [2.0, -0.1]) == [True, False]


def test_learning_curves_of_other_pruners_are_no_instances_for_the_wrapper() -> None:
    study = study_with([[0.1] * 10] * 3, n_startup_trials=1)  # epochs, say
    assert stops_at(study, [1.0], recorded=True) == [False]
    add(study, [0.5], recorded=True)
    add(study, [0.6], recorded=True)
    assert stops_at(study, [1.0], recorded=True) == [True]


def test_trials_without_anything_reported_are_left_out() -> None:
    study = study_with([[], [], [1.0]])
    assert stops_at(study, [2.0]) == [True]
    assert stops_at(study, []) == []


# --- tests against the incumbent -----------------------------------------------------------------


def test_directed_test_agrees_with_scipy_at_every_instance() -> None:
    rng = np.random.default_rng(1)
    incumbent, challenger = rng.normal(size=12), rng.normal(size=12) + 1.0
    study = study_with(
        [incumbent.tolist()], rule="directed-welch", n_warmup_instances=2, alpha=0.05
    )
    expected = [
        n > 2
        and bool(
            stats.ttest_ind(
                challenger[:n], incumbent[:n], equal_var=False, alternative="greater"
            ).pvalue
            < 0.05
        )
        for n in range(1, 13)
    ]
    assert stops_at(study, challenger.tolist()) == expected
    assert any(expected)
    assert not all(expected[2:])


@pytest.mark.parametrize("rule", ["directed-welch", "directed-wilcoxon", "directed-paired-t"])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_directed_test_never_prunes_a_better_trial(rule: str, direction: str) -> None:
    sign = 1 if direction == "minimize" else -1
    good = [sign * loss for loss in (1.0, 1.1, 0.9, 1.2, 1.05, 0.95, 1.15)]
    bad = [loss + sign * 5 for loss in good]
    study = study_with([good], direction, rule=rule, n_warmup_instances=4)
    assert any(stops_at(study, bad))
    study = study_with([bad], direction, rule=rule, n_warmup_instances=4)
    assert not any(stops_at(study, good))


def test_directed_test_of_spread_keeps_a_more_stable_trial() -> None:
    wide, narrow = [0.0, 9.0, 1.0, 8.0, 2.0, 7.0], [4.0, 4.1, 4.2, 4.0, 4.3, 4.1]
    pruner = {"criterion": "std", "rule": "directed-bartlett", "n_warmup_instances": 4}
    assert stops_at(study_with([narrow], **pruner), wide)[-1]
    assert not any(stops_at(study_with([wide], **pruner), narrow))


def test_incumbent_is_the_best_fully_evaluated_trial() -> None:
    # The second trial is best on its first three instances, the third was pruned.
    best = [1.0, 1.1, 0.9, 1.0, 1.1]
    lucky = [0.1, 0.2, 0.1, 9.0, 9.0]
    study = study_with(
        [best, lucky], rule="directed-student", n_warmup_instances=2, n_startup_trials=2
    )
    add(study, [0.0, 0.1, 0.0], TrialState.PRUNED)
    assert not any(stops_at(study, [1.1, 1.0, 1.0]))
    assert stops_at(study, [3.0, 3.1, 2.9])[-1]


def test_directed_test_waits_for_startup_trials_and_recorded_losses() -> None:
    good, bad = [1.0, 1.1, 0.9, 1.0], [5.0, 5.1, 4.9, 5.0]
    rule: dict[str, Any] = {"rule": "directed-student", "n_warmup_instances": 2}
    study = study_with([good], n_startup_trials=2, **rule)
    assert not any(stops_at(study, bad))
    add(study, good)
    assert stops_at(study, bad)[-1]
    # Learning curves of other objectives are no incumbents for the wrapper.
    assert not any(stops_at(study, bad, recorded=True))
    for _ in range(2):
        add(study, [5.1, 5.2, 5.0, 5.1], recorded=True)
    assert not any(stops_at(study, bad, recorded=True))


def test_incumbent_with_identical_losses_is_no_measure_of_spread() -> None:
    study = study_with(
        [[0.5] * 6], criterion="q3+iqr", rule="directed-bartlett", n_warmup_instances=4
    )
    assert not any(stops_at(study, [0.6, 0.61, 0.6, 0.62, 0.6, 0.61]))


def test_incumbent_is_chosen_among_equal_numbers_of_instances() -> None:
    # Max over more instances is larger: the longer trial is the better one on shared instances.
    long, short = [1.0, 1.0, 1.2, 1.1, 5.0], [1.0, 2.0, 2.2]
    study = study_with(
        [short, long],
        criterion="max",
        rule="directed-student",
        n_warmup_instances=2,
        n_startup_trials=2,
    )
    assert stops_at(study, [2.0, 2.1, 2.3])[-1]


def test_warmup_default_lets_a_rank_test_reject_at_once() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert RobustnessPruner(rule="directed-wilcoxon").n_warmup_instances == 4
        assert RobustnessPruner(rule="directed-welch").n_warmup_instances == 2
        assert RobustnessPruner(rule="directed-levene").n_warmup_instances == 3
        assert RobustnessPruner(rule="directed-fligner").n_warmup_instances == 3
        for test, alpha in itertools.product(TESTS, (0.2, 0.05, 0.01, 0.001)):
            RobustnessPruner(rule=f"directed-{test}", alpha=alpha)
    with pytest.warns(UserWarning, match="fewer than 5 instances") as caught:
        RobustnessPruner(rule="directed-wilcoxon", n_warmup_instances=2)
    assert len(caught) == 1


def test_a_study_whose_test_can_never_reject_warns_once() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        return trial.suggest_float("x", 0.0, 1.0) + float(instance.rng.normal())

    with pytest.warns(UserWarning, match="fewer than 5 instances"):
        pruner = RobustnessPruner(rule="directed-wilcoxon", n_warmup_instances=2)
    never = "directed-wilcoxon cannot reject.*with n_instances=4 it never eliminates a model"
    study = optuna.create_study(pruner=pruner)
    with pytest.warns(UserWarning, match=never) as caught:
        study.optimize(MultiInstanceObjective(objective, 4), n_trials=4)
    assert len(caught) == 1
    for rule, n_instances in (("wilcoxon", 4), ("levene", 3), ("fligner", 2)):
        study = optuna.create_study(pruner=RobustnessPruner(rule=f"directed-{rule}"))
        with pytest.warns(UserWarning, match=f"directed-{rule} cannot reject.*it never"):
            study.optimize(MultiInstanceObjective(objective, n_instances), n_trials=2)
    study = optuna.create_study(pruner=RobustnessPruner(rule="directed-welch"))
    with pytest.raises(ValueError, match="the default n_warmup_instances=2 of"):
        study.optimize(MultiInstanceObjective(objective, 2), n_trials=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        optuna.create_study(pruner=pruner).optimize(MultiInstanceObjective(objective, 5), 1)


@pytest.mark.slow
def test_directed_test_stops_equal_trials_at_its_level() -> None:
    # One look at n = 8 for trials that are no different from the incumbent.
    rng = np.random.default_rng(0)
    n_trials, n_stopped = 2000, 0
    for _ in range(n_trials):
        study = study_with(
            [rng.normal(size=8).tolist()], rule="directed-welch", n_warmup_instances=7
        )
        n_stopped += stops_at(study, rng.normal(size=8).tolist())[-1]
    interval = stats.binomtest(n_stopped, n_trials).proportion_ci(0.999)
    assert interval.low <= 0.05 <= interval.high


# --- limits on spread ----------------------------------------------------------------------------


def test_spread_beyond_its_limit_stops_even_the_first_trial() -> None:
    study = study_with([], rule=None, max_spread=0.1, n_warmup_instances=2)
    losses = [0.0, 1.0, 0.5, 0.2]
    bounds = [
        np.std(losses[:n], ddof=1) * math.sqrt((n - 1) / stats.chi2.ppf(0.95, n - 1))
        for n in (3, 4)
    ]
    assert min(bounds) > 0.1
    assert stops_at(study, losses) == [False, False, True, True]


def test_limit_on_spread_takes_few_instances_into_account() -> None:
    losses = [0.0, 1.0, 0.5]
    std = float(np.std(losses, ddof=1))
    bound = std / math.sqrt(stats.chi2.ppf(0.95, 2) / 2)
    for limit, expected in ((std, False), (1.01 * bound, False), (0.99 * bound, True)):
        study = study_with([], rule=None, max_spread=limit, n_warmup_instances=2)
        assert stops_at(study, losses)[-1] is expected


def test_relative_limit_is_in_units_of_the_mean() -> None:
    losses = [100.0, 101.0, 99.0, 100.5]
    for scale in (1.0, -1000.0):
        scaled = [scale * loss for loss in losses]
        assert not any(stops_at(study_with([], rule=None, max_relative_spread=0.01), scaled))
        assert stops_at(study_with([], rule=None, max_relative_spread=0.001), scaled)[-1]


def test_identical_losses_do_not_pass_as_stable_nor_as_wide() -> None:
    study = study_with([], rule=None, max_spread=0.1)
    assert stops_at(study, [0.5] * 5) == [False] * 5


def test_a_failed_instance_is_infinitely_wide() -> None:
    study = study_with([], rule=None, max_relative_spread=0.1, n_warmup_instances=2)
    assert stops_at(study, [1.0, 1.1, math.nan])[-1]


@pytest.mark.slow
@pytest.mark.parametrize("n_instances", [3, 6, 12])
def test_limit_on_spread_errs_at_its_level(n_instances: int) -> None:
    # Trials whose standard deviation is exactly at the limit.
    rng = np.random.default_rng(0)
    n_trials, n_stopped = 2000, 0
    study = study_with([], rule=None, max_spread=2.0, n_warmup_instances=n_instances - 1)
    for _ in range(n_trials):
        n_stopped += stops_at(study, (2.0 * rng.normal(size=n_instances)).tolist())[-1]
    interval = stats.binomtest(n_stopped, n_trials).proportion_ci(0.999)
    assert interval.low <= 0.05 <= interval.high


# --- as part of a study --------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_alone_and_with_the_wrapper_the_same_trials_are_pruned(
    direction: str, storage: optuna.storages.BaseStorage
) -> None:
    sign = 1 if direction == "minimize" else -1

    def loss(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", -1, 1)
        return sign * (x**2 + (0.1 + abs(x)) * float(instance.rng.normal()))

    def alone(trial: optuna.Trial) -> float:
        losses = []
        for number in range(8):
            losses.append(loss(trial, Instance(number)))
            trial.report(losses[-1], step=number)
            if number < 7 and trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(losses))

    def n_instances(trial: optuna.trial.FrozenTrial) -> int:
        return len(trial.user_attrs.get("robust:losses", trial.intermediate_values))

    def run(name: str, objective: Any) -> list[tuple[TrialState, int]]:
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            direction=direction,
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=RobustnessPruner(n_startup_trials=2),
        )
        study.optimize(objective, n_trials=25)
        found = [(trial.state, n_instances(trial)) for trial in study.trials]
        optuna.delete_study(study_name=name, storage=storage)
        return found

    together = run("together", MultiInstanceObjective(loss, 8))
    assert together == run("alone", alone)
    assert {state for state, _ in together} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_one_pruner_serves_several_studies() -> None:
    pruner = RobustnessPruner("mean", n_startup_trials=1, n_warmup_instances=0)
    good, bad = (optuna.create_study(pruner=pruner) for _ in range(2))
    add(good, [0.0])
    add(bad, [9.0])
    assert stops_at(good, [1.0]) == [True]
    assert stops_at(bad, [1.0]) == [False]
    assert stops_at(good, [1.0]) == [True]


def test_threads_share_a_pruner() -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", -1, 1)
        return x**2 + 0.1 * float(instance.rng.normal())

    study = optuna.create_study(
        sampler=optuna.samplers.RandomSampler(seed=0), pruner=RobustnessPruner()
    )
    study.optimize(MultiInstanceObjective(objective, 8), n_trials=60, n_jobs=4)
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.COMPLETE) + states.count(TrialState.PRUNED) == 60
    assert states.count(TrialState.PRUNED) > 5


def test_the_pruner_pickles_with_its_arguments() -> None:
    study = study_with(FOUR)
    assert stops_at(study, [3.1]) == [True]
    study.pruner = pickle.loads(pickle.dumps(study.pruner))
    assert stops_at(study, [3.1]) == [True]
    assert stops_at(study, [2.9]) == [False]


def test_the_storage_is_read_once_a_trial() -> None:
    class CountingStorage(optuna.storages.InMemoryStorage):
        n_reads = 0

        def get_all_trials(self, *args: Any, **kwargs: Any) -> Any:
            self.n_reads += 1
            return super().get_all_trials(*args, **kwargs)

    storage = CountingStorage()
    study = optuna.create_study(
        storage=storage,
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=RobustnessPruner("mean", n_startup_trials=1, n_warmup_instances=0),
    )
    for losses in FOUR:
        add(study, losses)
    trial = study.ask()
    before = storage.n_reads
    for step in range(8):
        trial.report(0.1, step)
        trial.should_prune()
    assert storage.n_reads - before == 1


def test_concurrent_studies_do_not_block_each_other() -> None:
    pruner = RobustnessPruner("mean", n_startup_trials=1, n_warmup_instances=0)
    said: list[list[bool]] = []

    def ask() -> None:
        study = optuna.create_study(pruner=pruner)
        add(study, [0.0])
        said.append(stops_at(study, [1.0]))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert said == [[True]] * 4


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"criterion": "q4"}, ValueError, "criterion='q4' is unknown"),
        ({"rule": "median"}, ValueError, "rule='median' is unknown; choose one of halving"),
        ({"rule": "welch"}, ValueError, "rule='welch' is two-sided.*directed-welch"),
        ({"rule": "sequential-halving"}, ValueError, "rule='sequential-halving' is unknown"),
        (
            {"rule": "race", "alpha": 0.0},
            ValueError,
            r"alpha must lie in \(0, 1\), but was 0.0",
        ),
        ({"rule": "directed-welch", "alpha": 1}, ValueError, "alpha must lie in"),
        ({"max_spread": 1.0, "alpha": math.nan}, ValueError, "alpha must lie in"),
        ({"reduction_factor": 1}, ValueError, "reduction_factor must lie in"),
        ({"n_warmup_instances": -1}, ValueError, "n_warmup_instances must be at least 0"),
        ({"n_warmup_instances": 1.5}, TypeError, "n_warmup_instances must be an integer"),
        ({"n_recent_trials": 0}, ValueError, "n_recent_trials must be at least 1"),
        ({"n_startup_trials": -1}, ValueError, "n_startup_trials must be at least 0"),
        ({"max_spread": 0.0}, ValueError, "max_spread must lie in"),
        ({"max_relative_spread": "10 %"}, TypeError, "max_relative_spread must be a number"),
        ({"rule": None}, ValueError, "prunes nothing"),
    ],
)
def test_bad_argument_is_an_error(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        RobustnessPruner(**arguments)


def test_a_rule_against_one_best_trial_is_an_error_with_several_objectives() -> None:
    study = optuna.create_study(
        directions=["minimize", "minimize"], pruner=RobustnessPruner(rule="directed-welch")
    )
    robust = MultiInstanceObjective(
        lambda trial, instance: instance.rng.normal(), 8, returns=("median", "iqr")
    )
    with pytest.raises(ValueError, match=r"one best trial.*multi-objective"):
        study.optimize(robust, n_trials=1)
    assert "robust:losses" not in study.trials[0].user_attrs
