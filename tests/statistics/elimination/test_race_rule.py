"""The race: whom it trains, whom it drops and why, and how often the best is lost."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
import numpy as np
import pytest
from scipy import stats

from optuna_robust.criteria import get_criterion
from optuna_robust.elimination import get_rule
from optuna_robust.elimination import RaceRule
from optuna_robust.elimination import UnlikelyBest
from tests.statistics.comparison.variances import true_variances


pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

examples = settings(derandomize=True, deadline=None, max_examples=12)
seeds = st.integers(0, 2**32)


def race_rule(**options):
    return RaceRule(**{"criterion": "mean", "n_instances": 10, **options})


def simulated(rng, n_models, n_instances, *, level_std=1.0, prior_df=math.inf):
    std = np.sqrt(true_variances(rng, n_models, prior_df))[:, None]
    levels = level_std * rng.normal(size=(n_models, 1))
    effects = rng.normal(size=n_instances)
    return levels + effects + std * rng.normal(size=(n_models, n_instances))


def waves(rule, losses):
    """Race on a table: what was known, and what the rule decided of it, wave by wave."""
    trained = np.zeros(len(losses), dtype=np.intp)
    alive = due = tuple(range(len(losses)))
    while due:
        trained[list(due)] += 1
        known = np.where(np.arange(losses.shape[1]) < trained[:, None], losses, np.nan)
        known = known[:, : trained.max()]
        decision = rule.eliminate(known, alive)
        yield known, alive, decision
        alive = decision.kept
        due = decision.next_models


def last_wave(rule, losses):
    *_, last = waves(rule, losses)
    return last


def n_trained(known):
    return np.count_nonzero(~np.isnan(known), axis=1)


def start(seed=0, n_models=40, n_second=12, **options):
    """Some models with a second loss: good ones, and others."""
    losses = simulated(np.random.default_rng(seed), n_models, 2, **options)
    ranked = np.argsort(losses[:, 0])
    first = np.union1d(ranked[: n_second // 2], ranked[:: 2 * n_models // n_second])
    losses[np.setdiff1d(np.arange(n_models), first), 1] = np.nan
    return losses


@pytest.mark.parametrize("n_models", [10, 100, 900])
def test_a_pilot_of_second_instances_comes_first(n_models):
    losses = np.random.default_rng(0).permutation(n_models).astype(np.float64)[:, None]
    decision = race_rule().eliminate(losses)
    assert decision.kept == tuple(range(n_models))
    assert decision.removed == {}
    assert decision.incumbent == np.argmin(losses)
    ranks = np.sort(losses[list(decision.next_models), 0])
    # Leaders, and others from all over the field, but few.
    np.testing.assert_array_equal(ranks[:3], [0, 1, 2])
    others = ranks[ranks > n_models / 10]
    assert np.diff(np.concatenate([[0], others, [n_models]])).max() < n_models / 2
    assert ranks.max() > 0.7 * n_models
    assert 6 <= len(ranks) <= max(9, n_models / 4)
    assert list(decision.next_models) == sorted(set(decision.next_models))


@pytest.mark.parametrize("n_models", [1, 2, 3, 6])
def test_a_few_models_are_all_in_the_pilot(n_models):
    decision = race_rule().eliminate(np.arange(n_models)[:, None])
    assert decision.next_models == tuple(range(n_models))


def test_nothing_is_removed_before_the_noise_is_known():
    losses = np.array([[0.0], [1e9], [np.inf], [5.0], [1.0]])
    for matrix in (losses, np.hstack([losses, np.full((5, 1), np.nan)])):
        decision = race_rule().eliminate(matrix)
        assert decision.kept == tuple(range(5))
        assert np.isnan(decision.probabilities).all()
        assert decision.next_models


def test_next_models_are_the_likeliest_rivals():
    losses = start()
    decision = race_rule().eliminate(losses)
    assert set(decision.next_models) <= set(decision.kept)
    assert decision.incumbent in decision.kept
    assert 0 < len(decision.next_models) < len(losses)
    chances = decision.probabilities
    rivals = np.setdiff1d(decision.next_models, [decision.incumbent])
    assert chances[rivals].min() >= np.median(chances[list(decision.kept)])
    assert chances[list(decision.kept)].min() >= chances[sorted(decision.removed)].max() - 1e-9
    assert chances.sum() == pytest.approx(1.0, abs=0.02)
    assert decision.incumbent == np.argmax(chances)


def test_a_better_model_is_never_dropped_before_a_worse_one():
    """As many instances each, and all equally noisy: the order is that of the means."""
    rng = np.random.default_rng(1)
    noise = np.resize([1.0, -1.0], 30)[:, None] * np.array([1.0, -1.0, 1.0, -1.0])
    losses = rng.normal(0.0, 3.0, size=(30, 1)) + noise
    decision = race_rule(common_instances=False).eliminate(losses)
    assert decision.removed
    means = losses.mean(axis=1)
    assert means[list(decision.kept)].max() < means[sorted(decision.removed)].min()
    assert decision.incumbent == means.argmin()


@pytest.mark.parametrize("criterion", ["mean", "q3+iqr", "max", "mean+std"])
def test_a_more_stable_model_is_not_dropped_for_being_different(criterion):
    """A two-sided test of spreads tells it apart."""
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(8, 6)) - 1e-3
    noise = (noise - noise.mean(axis=1, keepdims=True)) / noise.std(axis=1, keepdims=True)
    noise[3] /= 50.0
    decision = race_rule(criterion=criterion, common_instances=False).eliminate(noise)
    assert 3 in decision.kept


def test_removal_says_why():
    decision = race_rule(n_instances=20, alpha=0.2).eliminate(start(level_std=5.0))
    assert decision.removed
    for model, removal in decision.removed.items():
        assert isinstance(removal, UnlikelyBest)
        assert removal.incumbent == decision.incumbent
        assert removal.p_value is None
        assert removal.score == decision.scores[model]
        assert removal.probability == decision.probabilities[model] <= 0.2
        assert str(removal) == f"race: the best with probability {removal.probability:.2g}"


@pytest.mark.parametrize(
    ("tolerance", "said"),
    [
        (0.0, "race: the best with probability 0.012"),
        (0.25, "race: within 0.25 of the best with probability 0.012"),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_removal_in_words(tolerance, said, sign):
    removal = UnlikelyBest("race", 3.0, math.nan, None, 7, 0.0123, tolerance)
    assert str(removal) == removal.describe(sign) == said


def test_a_tolerance_drops_more_and_ends_earlier():
    losses = simulated(np.random.default_rng(3), 60, 10)
    cost = [
        n_trained(last_wave(race_rule(alpha=0.1, tolerance=tolerance), losses)[0]).sum()
        for tolerance in (0.0, 0.3, 1.0, 100.0)
    ]
    assert cost == sorted(cost, reverse=True)
    assert cost[-1] < cost[0]
    known, _, decision = last_wave(race_rule(tolerance=100.0), losses)
    assert n_trained(known).max() == 2  # with the pilot everybody is near enough
    assert len(decision.kept) == 1


@given(seed=seeds, n_select=st.integers(1, 4), criterion=st.sampled_from(["mean", "q3+iqr"]))
@examples
def test_a_race_from_start_to_end(seed, n_select, criterion):
    rng = np.random.default_rng(seed)
    losses = simulated(rng, 25, 6, prior_df=4.0)
    losses[rng.random(losses.shape) < 0.03] = np.inf
    rule = race_rule(criterion=criterion, n_instances=6, n_select=n_select, alpha=0.2)
    for known, alive, decision in waves(rule, losses):
        assert set(decision.next_models) <= set(decision.kept) <= set(alive)
        assert sorted([*decision.kept, *decision.removed]) == sorted(alive)
        assert len(decision.kept) >= n_select
        assert decision.incumbent in decision.kept
        assert (n_trained(known)[list(decision.next_models)] < 6).all()
        assert np.isnan(decision.scores[np.setdiff1d(np.arange(25), alive)]).all()
    assert decision.next_models == ()
    complete = n_trained(known)[list(decision.kept)] == 6
    assert len(decision.kept) == n_select or complete.all()


def test_the_race_is_over_when_the_best_is_known():
    losses = simulated(np.random.default_rng(4), 50, 10, level_std=0.1)
    losses[17] -= 50.0
    known, _, decision = last_wave(race_rule(), losses)
    assert (decision.kept, decision.next_models, decision.incumbent) == ((17,), (), 17)
    assert len(decision.removed) == 49
    assert n_trained(known).sum() < 100


@pytest.mark.parametrize("n_select", [1, 2, 5])
def test_when_it_is_over_n_select_are_kept(n_select):
    losses = simulated(np.random.default_rng(5), 30, 10)
    losses[:5] -= 100.0
    _, _, decision = last_wave(race_rule(n_select=n_select, alpha=0.2), losses)
    assert decision.next_models == ()
    assert len(decision.kept) == n_select
    assert set(decision.kept) <= set(range(5))


@pytest.mark.parametrize("n_select", [3, 4, 10])
def test_no_more_models_than_are_selected(n_select):
    """There is nothing to drop; they are trained to the end."""
    losses = simulated(np.random.default_rng(6), 3, 5)
    rule = race_rule(n_select=n_select, n_instances=5)
    known, _, decision = last_wave(rule, losses)
    assert (decision.kept, decision.removed) == ((0, 1, 2), {})
    np.testing.assert_array_equal(n_trained(known), 5)


def test_all_instances_trained_end_the_race():
    losses = simulated(np.random.default_rng(7), 12, 4)
    decision = race_rule(n_instances=4).eliminate(losses)
    best = int(np.argmin(losses.mean(axis=1)))
    assert (decision.kept, decision.next_models) == ((best,), ())
    np.testing.assert_allclose(decision.scores, losses.mean(axis=1))
    two = race_rule(n_instances=4, n_select=2).eliminate(losses)
    assert set(two.kept) == set(np.argsort(losses.mean(axis=1))[:2].tolist())


def test_instances_beyond_the_last_are_not_looked_at():
    losses = simulated(np.random.default_rng(8), 12, 6)
    rule = race_rule(n_instances=4)
    found, expected = rule.eliminate(losses), rule.eliminate(losses[:, :4])
    assert (found.kept, found.next_models) == (expected.kept, expected.next_models)


def test_dropped_models_stay_dropped_and_count():
    """The more was risked before, the less is left to risk."""
    losses = start(9, n_models=60)
    rule = race_rule(alpha=0.2)
    everybody = rule.eliminate(losses)
    assert everybody.removed
    again = rule.eliminate(losses, everybody.kept)
    assert (again.kept, again.removed) == (everybody.kept, {})
    assert again.next_models == everybody.next_models
    np.testing.assert_allclose(again.probabilities, everybody.probabilities)
    assert np.isnan(again.scores[sorted(everybody.removed)]).all()
    # Had the likeliest model been dropped, nothing more could be risked on the way.
    without = [model for model in range(60) if model != everybody.incumbent]
    reckless = rule.eliminate(losses, without)
    assert reckless.kept == tuple(without)
    assert everybody.incumbent not in reckless.next_models
    assert set(reckless.next_models) <= set(without)


def test_infinite_losses_are_worst():
    losses = start(10)
    rule = race_rule(alpha=0.2)
    clean = rule.eliminate(losses)
    losses[clean.incumbent, 1] = np.inf
    decision = rule.eliminate(losses)
    assert clean.incumbent in decision.removed
    assert decision.removed[clean.incumbent].probability == 0.0
    assert decision.removed[clean.incumbent].score == np.inf
    assert np.isfinite(decision.scores[decision.incumbent])


def test_a_quantile_forgives_an_infinite_loss():
    losses = simulated(np.random.default_rng(11), 20, 3)
    losses[4] -= 20.0
    losses[4, 1] = np.inf
    for criterion, kept in (("q3+iqr", True), ("mean", False)):
        decision = race_rule(criterion=criterion, n_instances=20).eliminate(losses)
        assert (4 in decision.kept) is kept


@pytest.mark.parametrize("failing", [math.inf, 1e30])
def test_models_that_have_all_diverged_are_raced_to_the_end(failing):
    known, _, decision = last_wave(race_rule(n_instances=3), np.full((8, 3), failing))
    assert decision.next_models == ()
    assert 0 in decision.kept
    assert decision.incumbent == 0
    assert n_trained(known).max() <= 3


def test_one_model_that_trains_among_diverged_ones():
    losses = np.full((12, 5), np.inf)
    losses[7] = np.random.default_rng(12).normal(size=5)
    _, _, decision = last_wave(race_rule(n_instances=5), losses)
    assert decision.incumbent == 7
    assert decision.kept == (7,)


@pytest.mark.parametrize("wild", [1e3, 1e6])
def test_a_wild_loss_decides_on_its_model_only(wild):
    """Nearly all others go on, or not, as if that model had diverged at once."""
    losses = start(13, n_models=60, n_second=24, level_std=3.0)
    rule = race_rule(alpha=0.1)
    model = int(np.nonzero(~np.isnan(losses[:, 1]))[0][-1])
    losses[model, 1] = np.inf
    expected = rule.eliminate(losses)
    losses[model, 1] = wild
    decision = rule.eliminate(losses)
    assert decision.incumbent == expected.incumbent
    assert len(decision.kept) <= len(expected.kept) + 5


def test_a_single_second_loss_does_not_tell_the_noise_of_common_instances():
    """All of its difference may be the instance's effect, or noise: nobody knows."""
    losses = np.full((10, 2), np.nan)
    losses[:, 0] = np.arange(10.0) / 10.0
    losses[4, 1] = 3.0
    decision = race_rule(n_instances=20).eliminate(losses)
    assert decision.next_models
    assert len(decision.kept) > 1


def test_ties_keep_the_lower_index():
    losses = np.tile(np.random.default_rng(14).normal(size=4), (6, 1))
    decision = race_rule(n_instances=4).eliminate(losses)
    assert (decision.kept, decision.incumbent, decision.next_models) == ((0,), 0, ())


def test_losses_of_a_coarse_grid():
    """Accuracies of few test rows: many are equal."""
    losses = np.round(simulated(np.random.default_rng(15), 60, 6), 0)
    decision = last_wave(race_rule(n_instances=6, alpha=0.2), losses)[2]
    assert decision.next_models == ()
    assert 1 <= len(decision.kept) <= 60


@pytest.mark.parametrize("n_models", [1, 4])
def test_one_instance_is_one_wave(n_models):
    losses = np.arange(n_models, dtype=np.float64)[::-1, None]
    decision = race_rule(n_instances=1).eliminate(losses)
    assert decision.next_models == ()
    assert decision.incumbent == n_models - 1
    assert decision.incumbent in decision.kept


def test_callers_turn_losses_round_to_maximise():
    accuracies = -start(16)
    decision = race_rule().eliminate(-accuracies)
    assert accuracies[decision.incumbent, 0] > np.median(accuracies[:, 0])


@given(seed=seeds, data=st.data())
@examples
def test_permuting_models_permutes_the_decision(seed, data):
    losses = start(seed, n_models=20)
    order = np.array(data.draw(st.permutations(range(20))))
    before, after = (race_rule(alpha=0.2).eliminate(x) for x in (losses, losses[order]))
    assert {int(order[i]) for i in after.kept} == set(before.kept)
    assert {int(order[i]) for i in after.next_models} == set(before.next_models)
    assert order[after.incumbent] == before.incumbent
    np.testing.assert_allclose(after.probabilities, before.probabilities[order], atol=1e-4)


@given(seed=seeds, scale=st.floats(1e-3, 1e3), shift=st.floats(-100.0, 100.0))
@examples
def test_shift_and_scale_change_no_probability(seed, scale, shift):
    losses = start(seed, n_models=20)
    before = race_rule(tolerance=0.1).eliminate(losses)
    after = race_rule(tolerance=0.1 * scale).eliminate(scale * (losses + shift))
    np.testing.assert_allclose(after.probabilities, before.probabilities, atol=2e-3)
    assert after.incumbent == before.incumbent


@given(
    losses=hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 7), st.integers(1, 5)),
        elements=st.sampled_from([np.nan, np.inf, 0.0, 0.1, 0.2, 0.9, 5.0]),
    ),
    criterion=st.sampled_from(["mean", "median", "std", "q3+iqr", "max"]),
    n_select=st.integers(1, 3),
    common_instances=st.booleans(),
    data=st.data(),
)
@settings(examples, max_examples=80)
def test_decision_is_whole_whatever_the_losses(
    losses, criterion, n_select, common_instances, data
):
    alive = data.draw(st.sets(st.integers(0, len(losses) - 1), min_size=1))
    rule = race_rule(
        criterion=criterion,
        n_instances=5,
        n_select=n_select,
        alpha=0.5,
        common_instances=common_instances,
    )
    decision = rule.eliminate(losses, alive)
    assert decision.incumbent in decision.kept
    assert sorted([*decision.kept, *decision.removed]) == sorted(alive)
    assert len(decision.kept) >= min(n_select, len(alive))
    assert set(decision.next_models) <= set(decision.kept)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_instances": 0}, ValueError, "n_instances must be at least 1"),
        ({"n_instances": 2.5}, TypeError, "n_instances must be an int"),
        ({"n_instances": 1, "criterion": "std"}, ValueError, "n_instances=1 is too few"),
        ({"n_select": 0}, ValueError, "n_select must be at least 1"),
        ({"alpha": 0.0}, ValueError, r"alpha must lie in \(0, 1\)"),
        ({"alpha": 1.0}, ValueError, r"alpha must lie in \(0, 1\)"),
        ({"alpha": "5 %"}, TypeError, "alpha must be a number"),
        ({"tolerance": -0.1}, ValueError, "tolerance must lie in"),
        ({"tolerance": math.nan}, ValueError, "tolerance must lie in"),
        ({"criterion": "average"}, ValueError, "criterion='average' is unknown"),
        ({"criterion": None}, TypeError, "criterion must be a name or a callable"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        race_rule(**options)


def test_get_rule_passes_everything_on():
    options = {
        "criterion": "max",
        "n_instances": 7,
        "n_select": 2,
        "alpha": 0.3,
        "tolerance": 0.5,
        "common_instances": False,
    }
    assert get_rule("race", **options) == RaceRule(**options)


@pytest.mark.parametrize("losses", [[1.0, 2.0], np.empty((0, 3)), np.empty((3, 0)), 1.0])
def test_bad_losses(losses):
    with pytest.raises(ValueError, match=r"losses must have the shape \(n_models, n_instances\)"):
        race_rule().eliminate(losses)


@pytest.mark.parametrize("alive", [[], [40], [-1, 0]])
def test_bad_alive(alive):
    with pytest.raises(ValueError, match="alive must"):
        race_rule().eliminate(start(), alive)


def lost_best(n_races, *, seed, n_models, n_instances, alpha, prior_df, level_std):
    """In how many races of new sets of models the best was dropped, and trainings a model."""
    rule = race_rule(n_instances=n_instances, alpha=alpha)
    n_lost, cost = 0, 0
    for number in range(n_races):
        rng = np.random.default_rng([seed, number])
        losses = simulated(rng, n_models, n_instances, prior_df=prior_df, level_std=level_std)
        known, _, decision = last_wave(rule, losses)
        best = int(np.argmin(get_criterion("mean")(losses)))
        n_lost += best not in decision.kept
        cost += int(n_trained(known).sum())
    return n_lost, cost / n_races / n_models


def wilson_upper(n_lost, n_races):
    interval = stats.binomtest(n_lost, n_races).proportion_ci(0.95, method="wilson")
    return float(interval.high)


@pytest.mark.parametrize("prior_df", [math.inf, 4.0])
def test_the_best_is_seldom_lost_in_small_races(prior_df):
    n_lost, cost = lost_best(
        40, seed=0, n_models=30, n_instances=8, alpha=0.1, prior_df=prior_df, level_std=2.0
    )
    # With an error rate of 0.1, more than 10 of 40 have a probability of 0.2 %.
    assert n_lost <= 10
    assert cost < 4.0


@pytest.mark.slow
@pytest.mark.parametrize("prior_df", [math.inf, 4.0])
def test_error_rate_is_at_most_about_alpha(prior_df):
    """Unequal variances are scaled inverse chi-squared with few degrees of freedom."""
    n_races, alpha = 300, 0.1
    n_lost, cost = lost_best(
        n_races,
        seed=1,
        n_models=100,
        n_instances=20,
        alpha=alpha,
        prior_df=prior_df,
        level_std=3.0,
    )
    assert wilson_upper(n_lost, n_races) <= 1.5 * alpha, f"{n_lost} of {n_races} lost"
    assert cost < 3.0


def test_who_is_left_is_ranked_among_those_that_are_left() -> None:
    # Model 0 was dropped, and turned out to be by far the best: nobody else has a chance.
    losses = np.full((6, 5), np.nan)
    losses[0] = [0.0, 0.02, 0.01, 0.0, 0.01]
    losses[1, 0] = 4.0
    losses[2] = [1.0, 1.02, 0.99, 1.01, 1.0]
    losses[3:, :2] = [[5.0, 5.01], [6.0, 6.02], [7.0, 6.99]]
    decision = RaceRule(criterion="mean", n_instances=10).eliminate(losses, [1, 2, 3, 4, 5])
    assert decision.incumbent == 2
    assert 2 in decision.kept


def test_models_that_are_the_same_share_a_race() -> None:
    rng = np.random.default_rng(0)
    rule = RaceRule(n_instances=20)
    losses = np.tile(rng.normal(size=4), (4, 1))
    for n_models in (2, 4):
        decision = rule.eliminate(losses[:n_models])
        assert decision.kept == (0,)
        assert decision.next_models == ()
        assert decision.probabilities is not None
        assert decision.probabilities.tolist() == [decision.probabilities[0]] * n_models
        for model, removal in decision.removed.items():
            assert str(removal) == (
                "race: no difference from model 0 can be shown, the losses of 4 instances are the "
                "same"
            ), model


def test_copies_wait_until_the_others_are_decided_on() -> None:
    rng = np.random.default_rng(1)
    losses = rng.normal(size=(6, 5))
    losses[4] = losses[1]
    alone = RaceRule(n_instances=20).eliminate(np.delete(losses, 4, axis=0))
    decision = RaceRule(n_instances=20).eliminate(losses)
    back = [0, 1, 2, 3, 5]
    assert decision.kept == tuple(sorted([4, *(back[model] for model in alone.kept)]))
    assert set(decision.removed) == {back[model] for model in alone.removed}
    assert decision.next_models == tuple(back[model] for model in alone.next_models or ())
    assert decision.incumbent == back[alone.incumbent]
    assert decision.scores[4] == decision.scores[1]


def test_a_copy_gets_the_instances_of_its_original_before_it_is_dropped() -> None:
    losses = np.tile(np.random.default_rng(0).normal(size=8), (2, 1))
    losses[1, 6:] = np.nan
    rule = RaceRule(n_instances=20)
    decision = rule.eliminate(losses)
    assert (decision.kept, decision.next_models) == ((0, 1), (1,))
    losses[1, 6:] = losses[0, 6:]
    assert rule.eliminate(losses).kept == (0,)
    losses[1, 6:] += 9.0  # what happens seldom tells them apart
    assert not any(
        "no difference" in str(each) for each in rule.eliminate(losses).removed.values()
    )


def test_as_many_copies_stay_as_are_selected() -> None:
    losses = np.tile(np.random.default_rng(0).normal(size=8), (5, 1))
    decision = RaceRule(n_instances=20, n_select=2).eliminate(losses)
    assert decision.kept == (0, 1)
    assert decision.next_models == ()


def test_losses_that_are_equal_by_chance_make_no_copies() -> None:
    rounded = np.array([[0.1, 0.2, 0.1, 0.1]] * 2 + [[0.1, 0.2, 0.2, 0.1], [0.1, 0.1, 0.1, 0.2]])
    constant = np.full((3, 8), 0.5)
    few = np.tile(np.random.default_rng(0).normal(size=2), (4, 1))
    differ = np.tile(np.random.default_rng(0).normal(size=8), (4, 1))
    differ[:, -1] = range(4)
    own = np.tile(np.random.default_rng(0).normal(size=8), (4, 1))
    for losses, common in (
        (rounded, True),
        (constant, True),
        (few, True),
        (differ, True),
        (own, False),
    ):
        decision = RaceRule(n_instances=20, common_instances=common).eliminate(losses)
        assert not any("no difference" in str(each) for each in decision.removed.values())
