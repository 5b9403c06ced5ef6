"""Elimination rules: decisions by hand, reasons, and what must not change them."""

from __future__ import annotations

import math
import warnings

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
import numpy as np
import pytest
from scipy import stats

from optuna_robust._statistics.elimination import is_rung
from optuna_robust._statistics.elimination import n_kept
from optuna_robust._statistics.elimination import rule_options
from optuna_robust.comparison import TESTS
from optuna_robust.elimination import get_rule
from optuna_robust.elimination import Halving
from optuna_robust.elimination import IncumbentTest
from optuna_robust.elimination import RULES
from optuna_robust.elimination import SequentialHalving


pytestmark = pytest.mark.filterwarnings("error")

examples = settings(derandomize=True, deadline=None, max_examples=10)
# The race, which has no warm-up and looks at models that are out, has tests of its own.
every_rule = pytest.mark.parametrize("name", [name for name in RULES if name != "race"])
seeds = st.integers(0, 10**6)
N_WARMUP = 7


def model_losses(seed, n_models=9, n_instances=N_WARMUP + 1):
    """Models of several levels and spreads; no two losses are the same."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=(n_models, 1))
    spread = rng.uniform(0.1, 2.0, size=(n_models, 1))
    return level + spread * rng.normal(size=(n_models, n_instances))


def halving(**options):
    return Halving(**{"criterion": "mean", "n_warmup_instances": 1, **options})


def incumbent_test(**options):
    return IncumbentTest(**{"criterion": "mean", "n_warmup_instances": 2, **options})


def rule_named(name, **options):
    """Return a rule; options that it does not take are left out."""
    options = {"criterion": "mean", "n_warmup_instances": N_WARMUP, **options}
    return get_rule(name, **{key: options[key] for key in rule_options(name) & options.keys()})


LEVELS = np.array([5.0, 1.0, 4.0, 2.0, 7.0, 3.0, 6.0])
TABLE = LEVELS[:, None] + np.array([-0.5, 0.5])


@pytest.mark.parametrize(
    ("reduction_factor", "kept"),
    [
        (2, (1, 2, 3, 5)),
        (3, (1, 3, 5)),
        (4, (1, 3)),
        (100, (1,)),
        (1.5, (0, 1, 2, 3, 5)),
        (1.01, (0, 1, 2, 3, 5, 6)),
    ],
)
def test_halving_keeps_the_better_part_rounded_up(reduction_factor, kept):
    decision = halving(reduction_factor=reduction_factor).eliminate(TABLE)
    assert decision.kept == kept
    assert decision.incumbent == 1
    assert set(decision.removed) == set(range(7)) - set(kept)


@pytest.mark.parametrize(
    ("n_select", "kept"), [(1, (1, 2, 3, 5)), (4, (1, 2, 3, 5)), (5, (0, 1, 2, 3, 5))]
)
def test_halving_keeps_at_least_n_select(n_select, kept):
    assert halving(n_select=n_select).eliminate(TABLE).kept == kept


@pytest.mark.parametrize("n_select", [7, 8])
def test_halving_of_no_more_than_n_select_models_removes_none(n_select):
    assert halving(n_select=n_select).eliminate(TABLE).kept == tuple(range(7))


@pytest.mark.parametrize("n_warmup_instances", [0, 1, 2, 3])
def test_halving_starts_after_the_warm_up(n_warmup_instances):
    losses = np.array([[1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0]])
    rule = halving(n_warmup_instances=n_warmup_instances)
    for n in range(1, 5):
        kept = rule.eliminate(losses[:, :n]).kept
        assert kept == ((0,) if n > n_warmup_instances else (0, 1))
        assert rule.eliminates_at(n) == (n > n_warmup_instances)


def test_halving_wave_by_wave():
    losses = np.array(
        [
            [1.0, 9.0, 9.0, 9.0],
            [2.0, 2.0, 9.0, 9.0],
            [3.0, 3.0, 3.0, 3.0],
            [4.0, 4.0, 4.0, 1.0],
        ]
    )
    alive = range(4)
    history = []
    for n in range(1, 5):
        alive = halving(n_warmup_instances=1).eliminate(losses[:, :n], alive).kept
        history.append(alive)
    assert history == [(0, 1, 2, 3), (1, 2), (2,), (2,)]


def test_halving_ties_keep_the_lower_index():
    assert halving().eliminate(np.ones((5, 2))).kept == (0, 1, 2)
    losses = np.array([[2.0], [1.0 + 2e-13], [3.0], [1.0], [1.0 + 1e-13]]) * np.ones(2)
    decision = halving(reduction_factor=4).eliminate(losses)
    assert decision.kept == (1, 3)
    assert decision.incumbent == 1


def test_halving_ranks_by_the_criterion():
    losses = [[0.0, 10.0], [6.0, 6.5], [7.0, 7.0]]
    kept = {
        criterion: halving(criterion=criterion, reduction_factor=3).eliminate(losses).kept
        for criterion in ("min", "max", "mean", "iqr", lambda row: -row[0])
    }
    assert list(kept.values()) == [(0,), (1,), (0,), (1,), (2,)]


def test_halving_never_crowns_identical_losses_for_their_spread():
    losses = [[0.5, 0.5, 0.5], [0.1, 0.2, 0.3], [0.1, 0.5, 0.9]]
    decision = halving(criterion="std", reduction_factor=3).eliminate(losses)
    assert decision.kept == (1,)
    assert decision.scores[0] == np.inf


def test_halving_ranks_models_without_a_score_last():
    nan = np.nan
    losses = [[nan, nan, nan], [9.0, 9.5, 9.0], [1.0, nan, nan], [2.0, 2.5, nan]]
    decision = halving(criterion="std").eliminate(losses)
    assert decision.kept == (1, 3)
    assert np.isnan(decision.scores).tolist() == [True, False, True, False]


@every_rule
def test_all_models_stay_while_none_has_a_score(name):
    rule = get_rule(name, criterion="std", n_warmup_instances=N_WARMUP)
    losses = np.full((3, N_WARMUP + 1), np.nan)
    losses[:, 0] = [1.0, 2.0, 3.0]
    decision = rule.eliminate(losses)
    assert decision.kept == (0, 1, 2)
    assert not decision.removed


def test_halving_removal_says_why():
    removal = halving().eliminate(TABLE).removed[4]
    assert (removal.rule, removal.score, removal.threshold) == ("halving", 7.0, 4.0)
    assert (removal.p_value, removal.incumbent) == (None, 1)
    assert str(removal) == "halving: 7 is worse than 4"


def test_alive_restricts_the_decision():
    decision = halving().eliminate(TABLE, alive=[6, 0, 4])
    assert decision.kept == (0, 6)
    assert decision.incumbent == 0
    assert list(decision.removed) == [4]
    assert np.isnan(decision.scores).tolist() == [i not in (0, 4, 6) for i in range(7)]


@pytest.mark.parametrize(
    ("n_warmup_instances", "reduction_factor", "looks"),
    [
        (0, 2, [1, 2, 4, 8, 16]),
        (1, 2, [2, 4, 8, 16]),
        (4, 2, [5, 10, 20]),
        (1, 3, [2, 6, 18]),
        (1, 1.5, [2, 3, 5, 7, 11, 16]),
        (19, 2, [20]),
        (20, 2, []),
    ],
)
def test_sequential_halving_looks_at_growing_numbers(n_warmup_instances, reduction_factor, looks):
    rule = SequentialHalving(
        n_warmup_instances=n_warmup_instances, reduction_factor=reduction_factor
    )
    assert [n for n in range(1, 21) if rule.eliminates_at(n)] == looks
    assert [n for n in range(1, 21) if is_rung(n, n_warmup_instances, reduction_factor)] == looks


def test_sequential_halving_removes_at_its_looks_only():
    losses = np.arange(8.0)[:, None] + np.zeros(9)
    rule = SequentialHalving(criterion="mean", n_warmup_instances=1)
    alive = range(8)
    sizes = []
    for n in range(1, 10):
        alive = rule.eliminate(losses[:, :n], alive).kept
        sizes.append(len(alive))
    assert sizes == [8, 4, 4, 2, 2, 2, 2, 1, 1]


def test_sequential_halving_removal_is_named_after_it():
    rule = SequentialHalving(criterion="mean", n_warmup_instances=1)
    assert str(rule.eliminate(TABLE).removed[0]) == "sequential-halving: 5 is worse than 4"


@given(st.integers(1, 700), st.floats(1.0, 20.0, exclude_min=True), st.integers(1, 9))
@examples
def test_n_kept_is_the_formula_of_the_design(n, reduction_factor, n_select):
    expected = n
    if n > n_select:
        expected = min(n - 1, max(n_select, math.ceil(n / reduction_factor)))
    assert n_kept(n, reduction_factor, n_select) == expected


def test_incumbent_test_drops_who_is_told_apart():
    losses = np.array([[12.0, 11.0, 13.0], [1.1, 2.1, 3.1], [1.0, 2.0, 3.0]])
    decision = incumbent_test(test="welch").eliminate(losses)
    assert decision.kept == (1, 2)
    assert decision.incumbent == 2
    expected = [stats.ttest_ind(row, losses[2], equal_var=False).pvalue for row in losses[:2]]
    np.testing.assert_allclose(decision.p_values[:2], expected)
    assert np.isnan(decision.p_values[2])


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("directed", [False, True])
def test_incumbent_test_drops_below_alpha(alpha, directed):
    losses = model_losses(1, n_models=30)
    rule = incumbent_test(test="paired-t", alpha=alpha, directed=directed)
    decision = rule.eliminate(losses)
    best = losses[np.argmin(losses.mean(axis=1))]
    p_values = stats.ttest_rel(
        losses, best, axis=1, alternative="greater" if directed else "two-sided"
    ).pvalue
    assert set(decision.removed) == set(np.flatnonzero(p_values < alpha))
    assert 0 < len(decision.removed) < 29


def test_incumbent_test_keeps_its_incumbent_though_others_beat_it_in_level():
    # The criterion prefers a stable model; the test compares means.
    losses = np.array([[5.0, 5.1, 4.9, 5.0], [0.0, 0.1, 0.0, 3.0], [9.0, 9.1, 9.0, 8.9]])
    options = {"criterion": "std", "test": "welch", "n_warmup_instances": 3}
    two_sided = IncumbentTest(**options).eliminate(losses)
    directed = IncumbentTest(**options, directed=True).eliminate(losses)
    assert two_sided.incumbent == directed.incumbent == 0
    assert two_sided.kept == (0,)
    assert directed.kept == (0, 1)


def test_more_stable_model_is_dropped_by_the_two_sided_test_only():
    base = np.array([-1.0, 1.0, -2.0, 2.0, -0.5, 0.5, -1.5, 1.5])
    losses = np.array([5.0 + base, 5.2 + 0.01 * base, 6.0 + 20.0 * base, 5.5 + 1.1 * base])
    options = {"test": "bartlett", "n_warmup_instances": 7, "criterion": "mean"}
    two_sided = IncumbentTest(**options).eliminate(losses)
    directed = IncumbentTest(**options, directed=True).eliminate(losses)
    assert two_sided.kept == (0, 3)
    assert directed.kept == (0, 1, 3)
    assert directed.p_values[1] > 0.99


def test_nan_p_value_keeps_the_model():
    nan = np.nan
    losses = np.array(
        [
            [1.0, 1.1, 0.9, 1.0],
            [9.0, 9.1, np.inf, 9.0],
            [9.0, nan, nan, nan],
            [nan, nan, nan, nan],
            [9.0, 9.1, 9.2, 9.0],
        ]
    )
    decision = incumbent_test(test="welch", criterion="median").eliminate(losses)
    assert decision.kept == (0, 1, 2, 3)
    assert np.isnan(decision.p_values).tolist() == [True, True, True, True, False]


def test_incumbent_test_keeps_the_best_n_select():
    losses = np.array([8.0, 0.0, 4.0, 2.0, 6.0])[:, None] + np.array([0.0, 0.1, 0.2])
    kept = {
        n: incumbent_test(test="student", n_select=n).eliminate(losses).kept for n in range(1, 7)
    }
    assert kept == {
        1: (1,),
        2: (1, 3),
        3: (1, 2, 3),
        4: (1, 2, 3, 4),
        5: (0, 1, 2, 3, 4),
        6: (0, 1, 2, 3, 4),
    }


def test_incumbent_test_needs_to_spare_nobody_if_enough_stay():
    losses = np.array([0.0, 0.01, 4.0, 2.0])[:, None] + np.array([0.0, 0.1, 0.2])
    assert incumbent_test(test="student", n_select=2).eliminate(losses).kept == (0, 1)


def test_incumbent_test_removal_says_why():
    losses = [[9.0, 9.1, 9.2], [1.0, 1.1, 1.2]]
    decision = incumbent_test(test="student", alpha=0.01, directed=True).eliminate(losses)
    removal = decision.removed[0]
    assert removal.p_value == decision.p_values[0] < 0.01
    assert (removal.rule, removal.threshold, removal.incumbent) == ("directed-student", 0.01, 1)
    assert removal.score == decision.scores[0] == pytest.approx(9.1)
    assert str(removal) == f"directed-student: p = {removal.p_value:.3g} < 0.01 against model 1"


@pytest.mark.parametrize(
    ("test", "directed", "needed"),
    [
        ("wilcoxon", False, 6),
        ("wilcoxon", True, 5),
        ("mannwhitneyu", False, 4),
        ("ks", False, 4),
        ("levene", False, 4),
        ("fligner", False, 4),
        ("pitman-morgan", False, 3),
        ("welch", False, 2),
    ],
)
def test_incumbent_test_warns_of_a_warm_up_below_what_can_reject(test, directed, needed):
    options = {"test": test, "directed": directed}
    with pytest.warns(UserWarning, match=rf"cannot reject at alpha=0\.05.* {needed} instances"):
        IncumbentTest(**options, n_warmup_instances=needed - 2)
    IncumbentTest(**options, n_warmup_instances=needed - 1)


@pytest.mark.parametrize(
    ("test", "alpha", "needed"), [("levene", 0.001, 6), ("fligner", 0.01, 6), ("levene", 1e-5, 8)]
)
def test_incumbent_test_warns_where_it_cannot_reject_with_odd_numbers(test, alpha, needed):
    limit = (
        rf"{test} cannot reject at alpha={alpha:g} with {needed - 1} instances \(with {needed} "
    )
    with pytest.warns(UserWarning, match=limit):
        IncumbentTest(test=test, alpha=alpha, n_warmup_instances=needed - 2)
    IncumbentTest(test=test, alpha=alpha, n_warmup_instances=needed - 3)
    IncumbentTest(test=test, alpha=alpha, n_warmup_instances=needed - 1)


def test_a_test_warns_once_that_it_will_never_eliminate():
    never = "wilcoxon cannot.* fewer than 6 instances.*with n_instances=5 it never eliminates"
    with pytest.warns(UserWarning, match=never) as caught:
        get_rule("wilcoxon", n_instances=5)
    assert len(caught) == 1
    with pytest.warns(UserWarning, match="nothing is eliminated before.*allows it from 5 on"):
        rule = get_rule("wilcoxon", n_instances=6)
    rule.warn_if_out_of_reach(6)
    with pytest.warns(UserWarning, match=never):
        rule.warn_if_out_of_reach(5)


@pytest.mark.parametrize("name", TESTS)
def test_what_a_test_that_warns_says_is_true(name):
    rng = np.random.default_rng(0)
    for k in range(1, 5):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rule = get_rule(f"directed-{name}", criterion="max", n_warmup_instances=k)
        # As different as models can be, but for identical losses, which are no sign of stability.
        quiet, sides = 1e-9 * rng.normal(size=k + 1), np.sign(np.arange(k + 1) - k / 2.0)
        far = 1.0 + (sides if TESTS[name].kind == "spread" else quiet)
        can = any(1 in rule.eliminate([near, far]).removed for near in (quiet, 1e-9 * sides))
        assert can == (not caught)


def test_incumbent_test_warns_of_a_level_out_of_reach():
    with pytest.warns(UserWarning, match="fewer than a hundred instances"):
        IncumbentTest(test="wilcoxon", alpha=1e-40, n_warmup_instances=50)


def test_rule_names_are_the_race_the_tests_and_halvings():
    directed = [f"directed-{name}" for name in TESTS]
    assert sorted(RULES) == sorted([*TESTS, *directed, "race", "halving", "sequential-halving"])


@every_rule
def test_get_rule_returns_the_rule_of_that_name(name):
    rule = rule_named(name, n_select=3, alpha=0.2, reduction_factor=3.0)
    assert rule.name == name
    assert (rule.criterion, rule.n_warmup_instances, rule.n_select) == ("mean", N_WARMUP, 3)
    if name in ("halving", "sequential-halving"):
        assert type(rule) is (Halving if name == "halving" else SequentialHalving)
        assert rule.reduction_factor == 3.0
    else:
        assert (rule.alpha, rule.directed) == (0.2, name.startswith("directed-"))


@every_rule
@given(
    losses=hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 7), st.just(N_WARMUP + 1)),
        elements=st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 0.1, 0.2, 0.9, 5.0]),
    ),
    criterion=st.sampled_from(["mean", "median", "std", "q3+iqr", "max"]),
    n_select=st.integers(1, 3),
    data=st.data(),
)
@examples
def test_decision_is_whole_whatever_the_losses(name, losses, criterion, n_select, data):
    alive = data.draw(st.sets(st.integers(0, len(losses) - 1), min_size=1))
    rule = rule_named(name, criterion=criterion, n_select=n_select, alpha=0.5)
    decision = rule.eliminate(losses, alive)
    assert decision.incumbent in decision.kept
    assert sorted([*decision.kept, *decision.removed]) == sorted(alive)
    assert decision.kept == tuple(sorted(decision.kept))
    assert len(decision.kept) >= min(n_select, len(alive))
    for model, removal in decision.removed.items():
        assert removal.incumbent == decision.incumbent != model
        assert removal.p_value is None or removal.p_value < 0.5


@every_rule
@given(seed=seeds, data=st.data())
@examples
def test_permuting_models_permutes_the_decision(name, seed, data):
    losses = model_losses(seed)
    order = np.array(data.draw(st.permutations(range(len(losses)))))
    rule = rule_named(name)
    before, after = rule.eliminate(losses), rule.eliminate(losses[order])
    assert {int(order[i]) for i in after.kept} == set(before.kept)
    assert order[after.incumbent] == before.incumbent
    np.testing.assert_allclose(after.p_values, before.p_values[order], rtol=1e-9)


@pytest.mark.parametrize(
    "name", ["halving", "welch", "directed-bartlett", "ks", "directed-levene"]
)
@pytest.mark.parametrize("criterion", ["mean", "median", "q3+iqr", "std", "mad", "cvar"])
@given(seed=seeds, scale=st.floats(1e-3, 1e3), shift=st.floats(-100.0, 100.0))
@examples
def test_shift_and_scale_change_no_decision(name, criterion, seed, scale, shift):
    losses = model_losses(seed)
    rule = rule_named(name, criterion=criterion)
    before, after = rule.eliminate(losses), rule.eliminate(shift + scale * losses)
    assert (after.kept, after.incumbent) == (before.kept, before.incumbent)


@every_rule
@given(seed=seeds, power=st.integers(-20, 20))
@examples
def test_scale_by_a_power_of_two_changes_no_p_value(name, seed, power):
    losses = model_losses(seed)
    before, after = (rule_named(name).eliminate(x) for x in (losses, 2.0**power * losses))
    assert after.kept == before.kept
    # Statistics of logarithms round differently.
    np.testing.assert_allclose(after.p_values, before.p_values, rtol=1e-9)


@given(seed=seeds)
@examples
def test_halving_negated_accuracies_keeps_the_highest(seed):
    accuracies = model_losses(seed)
    q1, q3 = np.quantile(accuracies, [0.25, 0.75], axis=1)
    best_first = np.argsort(-(q1 - (q3 - q1)))
    decision = rule_named("halving", criterion="q3+iqr").eliminate(-accuracies)
    assert decision.kept == tuple(sorted(best_first[:5].tolist()))
    assert decision.incumbent == best_first[0]


@given(seed=seeds)
@examples
def test_directed_test_of_negated_accuracies_drops_the_lower(seed):
    accuracies = model_losses(seed)
    best = int(np.argmax(accuracies.mean(axis=1)))
    decision = rule_named("directed-welch").eliminate(-accuracies)
    for model in set(range(9)) - {best}:
        p = stats.ttest_ind(
            accuracies[model], accuracies[best], equal_var=False, alternative="less"
        ).pvalue
        assert (model in decision.removed) == (p < 0.05)


@every_rule
def test_decision_before_the_end_of_the_warm_up_ranks_but_removes_none(name):
    losses = model_losses(0)[:, :N_WARMUP]
    decision = rule_named(name).eliminate(losses)
    assert decision.kept == tuple(range(9))
    assert decision.incumbent == np.argmin(losses.mean(axis=1))
    np.testing.assert_allclose(decision.scores, losses.mean(axis=1))


@every_rule
def test_a_single_model_stays(name):
    assert rule_named(name).eliminate(model_losses(0)[:1]).kept == (0,)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("walch", {}, ValueError, "rule='walch' is unknown; choose one of race, halving, seq"),
        (None, {}, ValueError, "rule=None is unknown"),
        ("welch", {"alpha": 0.0}, ValueError, r"alpha must lie in \(0, 1\), but was 0.0"),
        ("welch", {"alpha": 1}, ValueError, r"alpha must lie in \(0, 1\), but was 1"),
        ("welch", {"alpha": "5 %"}, TypeError, "alpha must be a number"),
        ("halving", {"reduction_factor": 1}, ValueError, r"reduction_factor .* \(1, inf\)"),
        ("halving", {"n_warmup_instances": -1}, ValueError, "n_warmup_instances must be at lea"),
        ("halving", {"n_warmup_instances": 1.5}, TypeError, "n_warmup_instances must be an int"),
        ("halving", {"n_select": 0}, ValueError, "n_select must be at least 1, but was 0"),
        ("welch", {"criterion": "average"}, ValueError, "criterion='average' is unknown"),
        ("halving", {"criterion": None}, TypeError, "criterion must be a name or a callable"),
    ],
)
def test_get_rule_bad_input(name, options, error, message):
    with pytest.raises(error, match=message):
        get_rule(name, **options)


def test_rule_classes_check_their_own_options():
    with pytest.raises(ValueError, match="test='t-test' is unknown"):
        IncumbentTest(test="t-test")
    with pytest.raises(ValueError, match=r"alpha must lie in \(0, 1\)"):
        IncumbentTest(alpha=2.0)
    with pytest.raises(ValueError, match="reduction_factor must lie in"):
        SequentialHalving(reduction_factor=0.5)
    with pytest.raises(TypeError, match="positional"):
        Halving("mean")


@pytest.mark.parametrize("losses", [[1.0, 2.0], np.empty((0, 3)), np.empty((3, 0)), 1.0])
def test_eliminate_bad_losses(losses):
    with pytest.raises(ValueError, match=r"losses must have the shape \(n_models, n_instances\)"):
        halving().eliminate(losses)


@pytest.mark.parametrize("alive", [[], [7], [-1, 0], [0, 100]])
def test_eliminate_bad_alive(alive):
    with pytest.raises(ValueError, match="alive must"):
        halving().eliminate(TABLE, alive)


@pytest.mark.parametrize("alive", [[False, True], [0.5, 1.5]])
def test_eliminate_takes_indices_and_no_mask(alive):
    with pytest.raises(TypeError, match="alive must be an integer"):
        halving().eliminate(TABLE, alive)
