"""The pruner's race: trials that are unlikely to be as good as the best one are stopped."""

from __future__ import annotations

from collections.abc import Sequence
import math
from pathlib import Path
import pickle
from typing import Any

import numpy as np
import optuna
from optuna.trial import create_trial
from optuna.trial import TrialState
import pytest
from scipy import stats

from optuna_robust import Instance
from optuna_robust import MultiInstanceObjective
from optuna_robust import RobustnessPruner
from optuna_robust.comparison import criterion_posterior
from optuna_robust.criteria import get_criterion
from tests.objectives import from_table
from tests.objectives import noisy
from tests.objectives import study_of


N_INSTANCES = 8


def add(
    study: optuna.Study,
    losses: Sequence[float | str | None],
    state: TrialState = TrialState.COMPLETE,
    *,
    recorded: bool = False,
) -> None:
    study.add_trial(
        create_trial(
            state=state,
            value=0.0 if state == TrialState.COMPLETE else None,
            intermediate_values={} if recorded else dict(enumerate(losses)),  # type: ignore[arg-type]
            user_attrs={"robust:losses": list(losses)} if recorded else {},
        )
    )


def says(
    study: optuna.Study,
    losses: Sequence[float | str | None],
    *,
    recorded: bool = False,
    first_step: int = 0,
) -> list[bool]:
    """What should_prune says after each instance of a new trial."""
    trial = study.ask()
    said = []
    for step, loss in enumerate(losses):
        if recorded:
            trial.set_user_attr("robust:losses", list(losses[: step + 1]))
        else:
            trial.report(float(loss), step + first_step)  # type: ignore[arg-type]
        said.append(trial.should_prune())
    return said


def racing(
    others: Sequence[Sequence[float | None]],
    direction: str = "minimize",
    *,
    recorded: bool = False,
    **pruner: Any,
) -> optuna.Study:
    pruner = {"criterion": "mean", "rule": "race", **pruner}
    study = optuna.create_study(
        direction=direction,
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=RobustnessPruner(**pruner),
    )
    for losses in others:
        add(study, losses, recorded=recorded)
    return study


def trials_around(*levels: float, noise: float = 0.1, seed: int = 0) -> list[list[float]]:
    rng = np.random.default_rng(seed)
    rows: list[list[float]] = rng.normal(
        np.array(levels)[:, None], noise, (len(levels), N_INSTANCES)
    ).tolist()
    return rows


# --- what is stopped -----------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_hopeless_trial_is_stopped_at_its_first_instance_and_a_good_one_never(
    direction: str,
) -> None:
    sign = 1 if direction == "minimize" else -1
    others = trials_around(0.0, 1.0, 2.0, 3.0)
    study = racing([[sign * loss for loss in row] for row in others], direction)
    bad, good = trials_around(2.0, -0.2, seed=1)
    assert all(says(study, [sign * loss for loss in bad[:-1]]))
    assert not any(says(study, [sign * loss for loss in good]))


@pytest.mark.parametrize("criterion", ["mean", "q3+iqr", "max", "std"])
@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_a_trial_is_stopped_when_its_chance_is_small(criterion: str, alpha: float) -> None:
    # More trials than the 256 that tell the noise, and the best one is older.
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, 1)) + rng.normal(size=(300, 6)) + rng.normal(size=6)
    table[3] = table[3] * 0.1 - 3.0
    n_run = np.where(np.arange(300) % 7 == 3, 6, rng.integers(1, 4, size=300))
    table[np.arange(6) >= n_run[:, None]] = np.nan
    study = racing([], criterion=criterion, alpha=alpha)
    for row, n in zip(table, n_run, strict=True):
        add(study, row[:n].tolist(), TrialState.COMPLETE if n == 6 else TrialState.PRUNED)
    own = (rng.normal(size=6) - 2.0).tolist()
    window = np.concatenate([table[[3]], table[-256:], np.full((2, 6), np.nan)])
    best = float(get_criterion(criterion).score(table[n_run == 6]).min())
    expected = []
    for n in range(1, 6):
        window[-2, :n] = own[:n]
        found = criterion_posterior(window, get_criterion(criterion), 6)
        chance, of_untried = found.probability_below(best)[-2:]
        expected.append(bool(chance < alpha * of_untried))
    assert says(study, own[:5]) == expected


def test_a_trial_with_all_its_instances_is_kept() -> None:
    study = racing(trials_around(0.0, 1.0))
    assert says(study, [5.0] * N_INSTANCES) == [True] * (N_INSTANCES - 1) + [False]


def test_tolerance_keeps_what_is_good_enough() -> None:
    others = trials_around(0.0, 1.0, 2.0)
    own = trials_around(0.8, seed=1)[0]
    assert says(racing(others), own)[1]
    assert not any(says(racing(others, tolerance=1.5), own))


def test_warmup_puts_the_race_off() -> None:
    study = racing(trials_around(0.0, 1.0), n_warmup_instances=2)
    assert says(study, [5.0] * 4) == [False, False, True, True]
    assert RobustnessPruner(rule="race").n_warmup_instances == 0


def test_a_wide_trial_is_stopped_for_its_spread_and_a_narrow_one_is_not() -> None:
    rng = np.random.default_rng(0)
    others = (rng.normal(size=(8, N_INSTANCES)) * np.geomspace(0.1, 3.0, 8)[:, None]).tolist()
    study = racing(others, criterion="std", alpha=0.01)
    assert says(study, [0.0, 5.0, -4.0])[2]
    assert not any(says(study, (0.05 * rng.normal(size=N_INSTANCES)).tolist()))


def test_equal_trials_of_an_objective_without_noise_are_kept() -> None:
    study = racing([[0.5] * N_INSTANCES, [0.7] * N_INSTANCES, [0.9] * N_INSTANCES])
    assert not any(says(study, [0.5] * N_INSTANCES))
    assert says(study, [0.8] * 2) == [True, True]


# --- what it is judged in ------------------------------------------------------------------------


def test_nothing_is_stopped_before_startup_trials_are_complete() -> None:
    study = racing(trials_around(0.0, 0.1), n_startup_trials=3)
    add(study, [0.0, 0.1, 0.2], TrialState.PRUNED)
    assert not any(says(study, [9.0] * 4))
    add(study, trials_around(0.2)[0])
    assert says(study, [9.0])[0]
    assert not any(says(racing([], n_startup_trials=0), [9.0] * 4))


def test_nothing_is_stopped_before_two_losses_tell_the_noise() -> None:
    failed = [1.0, *[math.nan] * 5]
    study = racing([failed] * 3, criterion="median")
    assert not any(says(study, [9.0]))


def test_failed_running_and_waiting_trials_do_not_count() -> None:
    study = racing(trials_around(0.0, 0.1, 0.2))
    for state in (TrialState.FAIL, TrialState.RUNNING):
        add(study, [-9.0] * N_INSTANCES, state)
    assert not any(says(study, [0.0] * 4))


def test_a_lucky_trial_that_was_stopped_is_not_the_best() -> None:
    study = racing(trials_around(0.0, 0.1, 0.2))
    add(study, [-9.0], TrialState.PRUNED)
    assert not any(says(study, [0.0] * 4))


def test_learning_curves_of_other_objectives_are_left_out() -> None:
    study = racing([[-9.0] * N_INSTANCES] * 3)
    for losses in trials_around(0.0, 0.1, 0.2):
        add(study, losses, recorded=True)
    assert not any(says(study, [0.0] * 4, recorded=True))
    assert says(study, [5.0], recorded=True)[0]


def test_alone_the_longest_complete_trial_tells_how_many_instances_there_are() -> None:
    # The short trial is better on its instances, and no trial with all of them.
    study = racing([*trials_around(0.0, 1.0, 2.0), [-9.0, -9.0]])
    assert not any(says(study, [0.0] * 4))
    study = racing(trials_around(0.0, 1.0, 2.0), n_instances=3)
    assert says(study, [5.0] * 4) == [True, True, False, False]


def test_alone_steps_may_begin_at_one() -> None:
    study = racing([])
    for losses in trials_around(0.0, 1.0, 2.0):
        study.add_trial(create_trial(value=0.0, intermediate_values=dict(enumerate(losses, 1))))
    assert says(study, [5.0] * N_INSTANCES, first_step=1) == [True] * 7 + [False]
    assert not any(says(study, [-0.1] * N_INSTANCES, first_step=1))
    assert not any(says(study, [5.0] * 2, first_step=50))  # nobody has these


@pytest.mark.parametrize("reshuffle", [False, True])
def test_hard_instances_are_no_fault_of_the_trial_unless_it_has_its_own(reshuffle: bool) -> None:
    rng = np.random.default_rng(0)
    effects = np.array([6.0, -2.0, -1.0, 0.0, -2.0, -1.0])
    others = rng.normal(np.arange(12)[:, None] / 3.0, 0.2, (12, 6)) + effects
    study = racing(others.tolist(), recorded=True, alpha=0.005)
    study.set_user_attr("robust:settings", {"n_instances": 6, "reshuffle": reshuffle})
    # As good as the best one on the hard instance.
    assert says(study, [others[0, 0]], recorded=True) == [False]
    # Much worse, though the instance was easy; with instances of its own nobody could tell.
    assert says(study, [3.0 + effects[0], 3.0 + effects[1]], recorded=True)[1] is not reshuffle


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_failed_instances_are_the_worst(direction: str) -> None:
    sign = 1 if direction == "minimize" else -1
    others = [[sign * loss for loss in row] for row in trials_around(0.0, 0.5, 1.0)]
    assert says(racing(others, direction), [math.nan])[0]
    # One of eight is no harm to a median.
    study = racing(others, direction, criterion="median")
    assert says(study, [-sign, math.inf, -sign]) == [False] * 3
    # Where all fail, none is worse.
    study = racing([[1.0, 1.1, *[math.nan] * 6]] * 3, direction)
    assert not any(says(study, [1.0, math.nan, 1.0]))


def test_dropped_instances_are_missing() -> None:
    rows: list[list[float | None]] = [list(row) for row in trials_around(0.0, 0.5, 1.0, 2.0)]
    rows[0][5] = rows[1][2] = rows[2][7] = None
    study = racing(rows, recorded=True)
    assert says(study, [5.0, None, 5.0], recorded=True) == [True] * 3
    assert says(study, [None, -0.2, None, -0.2], recorded=True) == [False] * 4


@pytest.mark.parametrize("on_failure", ["worst", "drop"])
def test_a_study_with_failures_is_raced(on_failure: str) -> None:
    def objective(trial: optuna.Trial, instance: Instance) -> float:
        x = trial.suggest_float("x", -1, 1)
        if instance.number and instance.rng.random() < 0.15:
            raise FloatingPointError("diverged")
        return x**2 + 0.05 * float(instance.rng.normal())

    study = study_of(pruner=RobustnessPruner("median", rule="race"))
    study.optimize(MultiInstanceObjective(objective, 6, on_failure=on_failure), n_trials=25)
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.PRUNED) > 10
    assert states.count(TrialState.COMPLETE) + states.count(TrialState.PRUNED) == 25


# --- as part of a study --------------------------------------------------------------------------


def small_noise(trial: optuna.Trial, instance: Instance) -> float:
    x = trial.suggest_float("x", -1, 1)
    return x**2 + 0.1 * float(instance.rng.normal())


@pytest.mark.parametrize("criterion", ["q3+iqr", "mean"])
def test_a_raced_study_is_short_and_ends_alike_in_a_database(
    criterion: str, tmp_path: Path
) -> None:
    def run(storage: str | None, n_trials: int) -> list[tuple[TrialState, int]]:
        study = study_of(storage=storage, pruner=RobustnessPruner(criterion, rule="race"))
        study.optimize(MultiInstanceObjective(small_noise, 8), n_trials=n_trials)
        assert study.best_trial.user_attrs["robust:n_instances"] == 8
        return [(trial.state, trial.user_attrs["robust:n_instances"]) for trial in study.trials]

    found = run(None, 30)
    assert found[:8] == run(f"sqlite:///{tmp_path / 'study.db'}", 8)
    assert sum(n for _, n in found) < 30 * 8 * 0.6
    assert all((n == 8) == (state == TrialState.COMPLETE) for state, n in found)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_alone_and_with_the_wrapper_the_same_trials_are_stopped(direction: str) -> None:
    sign = 1 if direction == "minimize" else -1

    def loss(trial: optuna.Trial, instance: Instance) -> float:
        return sign * small_noise(trial, instance)

    def alone(trial: optuna.Trial) -> float:
        losses = []
        for number in range(6):
            losses.append(loss(trial, Instance(number)))
            trial.report(losses[-1], step=number)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(losses))

    found = []
    for objective in (alone, MultiInstanceObjective(loss, 6)):
        study = study_of(direction=direction, pruner=RobustnessPruner("mean", rule="race"))
        study.optimize(objective, n_trials=25)
        found.append([(trial.state, trial.params["x"]) for trial in study.trials])
    assert found[0] == found[1]
    assert {state for state, _ in found[0]} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_reshuffled_studies_are_raced() -> None:
    study = study_of(pruner=RobustnessPruner("mean", rule="race"))
    study.optimize(MultiInstanceObjective(small_noise, 8, reshuffle=True), n_trials=25)
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.PRUNED) > 10


def test_the_objective_tells_how_many_instances_there_are() -> None:
    pruner = RobustnessPruner("mean", rule="race", n_instances=6)
    study_of(pruner=pruner).optimize(MultiInstanceObjective(noisy, 6), n_trials=1)
    with pytest.raises(ValueError, match=r"n_instances=6 of the study's.*n_instances=4"):
        study_of(pruner=pruner).optimize(MultiInstanceObjective(noisy, 4), n_trials=1)
    # All COMPLETE trials have two instances more.
    study = racing(trials_around(0.0, 1.0), recorded=True)
    study.set_user_attr("robust:settings", {"n_instances": 6, "reshuffle": False})
    assert says(study, [5.0] * 7, recorded=True) == [True] * 5 + [False] * 2


def test_threads_share_a_racing_pruner() -> None:
    study = study_of(pruner=RobustnessPruner(rule="race"))
    study.optimize(MultiInstanceObjective(small_noise, 6), n_trials=40, n_jobs=4)
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.COMPLETE) + states.count(TrialState.PRUNED) == 40
    assert states.count(TrialState.PRUNED) > 10


def test_a_racing_pruner_pickles_with_its_arguments() -> None:
    study = racing(trials_around(0.0, 1.0, 2.0), tolerance=1.5, n_instances=5)
    own = [[0.8] * 5, [5.0] * 5]
    before = [says(study, losses) for losses in own]
    study.pruner = pickle.loads(pickle.dumps(study.pruner))
    assert [says(study, losses) for losses in own] == before
    assert any(before[1]) > any(before[0])


def test_a_callable_criterion_is_asked_once_a_finished_trial() -> None:
    asked = []

    def worst(losses: Any) -> float:
        asked.append(len(losses))
        return float(losses.max())

    study = racing(trials_around(*range(30)), criterion=worst)
    assert says(study, [90.0])[0]
    first = asked.count(N_INSTANCES)
    assert first >= 30
    assert says(study, [90.0])[0]
    # What stays is the posterior of the trial in hand.
    assert asked.count(N_INSTANCES) - first == first - 30


def test_most_bad_trials_stop_soon_and_the_best_one_rarely() -> None:
    rng = np.random.default_rng(0)
    n_repeats, n_stopped, n_bad, spent = 50, 0, 0, []
    for _ in range(n_repeats):
        levels = np.append(rng.normal(size=12), [-3.0])
        losses = rng.normal(levels[:, None], 0.5, (13, 5))
        study = racing(losses[:6].tolist())
        for row, level in zip(losses[6:], levels[6:], strict=True):
            said = says(study, row.tolist())
            if level == -3.0:
                n_stopped += any(said)
            elif level > levels[:6].min() + 0.5:
                n_bad += 1
                spent.append(said.index(True) + 1 if any(said) else 5)
    assert stats.binomtest(n_stopped, n_repeats).proportion_ci().high < 0.1
    assert n_bad > 100
    assert np.mean(np.array(spent) <= 2) > 0.75


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"tolerance": 0.1}, ValueError, "tolerance has no effect with rule='halving'"),
        (
            {"tolerance": 0.1, "rule": "directed-welch"},
            ValueError,
            "tolerance has no effect with rule='directed-welch'; leave out tolerance=0.1",
        ),
        ({"n_instances": 5}, ValueError, "n_instances has no effect with rule='halving'"),
        (
            {"n_instances": 5, "rule": None, "max_spread": 1.0},
            ValueError,
            "n_instances has no effect with rule=None",
        ),
        ({"rule": "race", "tolerance": -0.1}, ValueError, "tolerance must lie in"),
        ({"rule": "race", "tolerance": "1 %"}, TypeError, "tolerance must be a number"),
        ({"rule": "race", "n_instances": 0}, ValueError, "n_instances must be at least 1"),
        ({"rule": "race", "n_instances": 2.5}, TypeError, "n_instances must be an integer"),
        ({"rule": "race", "n_instances": 1}, ValueError, r"n_instances=1 is too few.*q3\+iqr"),
        (
            {"rule": "race", "n_instances": 4, "n_warmup_instances": 4},
            ValueError,
            "n_warmup_instances=4 leaves nothing to prune of n_instances=4",
        ),
        ({"rule": "race", "alpha": 0.0}, ValueError, r"alpha must lie in \(0, 1\)"),
    ],
)
def test_bad_argument_is_an_error(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        RobustnessPruner(**arguments)


def test_a_race_is_an_error_with_several_objectives() -> None:
    study = optuna.create_study(
        directions=["minimize", "minimize"], pruner=RobustnessPruner(rule="race")
    )
    robust = MultiInstanceObjective(from_table({0: [1.0, 2.0]}), 2, returns=("median", "iqr"))
    with pytest.raises(ValueError, match=r"one best trial.*multi-objective"):
        study.optimize(robust, n_trials=1)
