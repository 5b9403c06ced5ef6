import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.nas_vs_robust import statistics
from tests.benchmarks.nas_vs_robust.noise import an_outcome


def test_optimism_is_positive_when_the_search_promised_too_much():
    assert statistics.optimism(an_outcome(search=(0.5,))) == pytest.approx(1.5)
    assert statistics.optimism(an_outcome(search=(3.0,))) == pytest.approx(-1.0)
    promised = (0.0, 0.1, 0.2)
    assert statistics.optimism(an_outcome("robust", search=promised, fresh=(5.0, 6.0, 7.0))) > 0


def test_optimism_has_no_bias_from_unequal_numbers_of_instances():
    rng = np.random.default_rng(0)
    found = [
        statistics.optimism(
            an_outcome(
                "robust", search=tuple(rng.normal(size=5)), fresh=tuple(rng.normal(size=30))
            )
        )
        for _ in range(60)
    ]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))


def test_optimism_of_means_is_a_difference_of_means():
    outcome = an_outcome("mean-of-5", search=(1.0, 3.0), fresh=(5.0, 6.0, 7.0), criterion="mean")
    assert statistics.optimism(outcome) == pytest.approx(4.0)


def test_the_largest_sample_decides():
    outcome = an_outcome(fresh_losses={100: (9.0, 9.0), 1000: (1.0, 2.0), 10: (5.0, 5.0)})
    assert outcome.fresh() == (1.0, 2.0)
    assert outcome.fresh(1) == (1.0,)


def test_ties_count_half():
    outcomes = [
        an_outcome("nas", 0, fresh=(2.0, 3.0, 4.0)),
        an_outcome("robust", 0),
        an_outcome("robust", 1),
        an_outcome("nas", 1),
    ]
    (comparison,) = statistics.compare(outcomes)
    assert (comparison.arm, comparison.wins, comparison.n_seeds) == ("robust", 1.5, 2)
    assert comparison.differences["median"].value == pytest.approx(-0.5)
    assert comparison.differences["iqr"].value == pytest.approx(0.0)
    assert comparison.iqr_ratio.value == pytest.approx(1.0)


@pytest.fixture
def several_arms():
    rng = np.random.default_rng(0)
    return [
        an_outcome(arm, seed, search=(0.0,), fresh=tuple(scale * rng.normal(1.0, 0.2, size=20)))
        for seed in range(9)
        for arm, scale in (("nas", 1.0), ("mean-of-5", 0.9), ("robust", 0.7))
    ]


def test_differences_have_scipys_test_corrected_for_the_number_of_arms(several_arms):
    def decisive(arm):
        found = statistics.of_arm(several_arms, arm)
        return np.array([statistics.confirmed(each.fresh(), "q3+iqr").value for each in found])

    plain = [
        stats.wilcoxon(decisive(arm) - decisive("nas")).pvalue for arm in ("mean-of-5", "robust")
    ]
    corrected = [each.p_value for each in statistics.compare(several_arms)]
    assert corrected == pytest.approx(stats_holm(plain))


def stats_holm(values):
    low, high = sorted(values)
    by_value = {low: min(1.0, 2 * low), high: max(high, min(1.0, 2 * low))}
    return [by_value[value] for value in values]


def test_ratios_are_those_of_spreads_and_of_optimism(several_arms):
    found = {each.arm: each for each in statistics.compare(several_arms)}

    def iqrs(arm):
        return np.array(
            [
                stats.iqr(each.fresh(), interpolation="linear")
                for each in statistics.of_arm(several_arms, arm)
            ]
        )

    assert found["robust"].iqr_ratio.value == pytest.approx(
        stats.gmean(iqrs("robust") / iqrs("nas"))
    )
    assert found["robust"].optimism_ratio == pytest.approx(0.7, abs=0.05)


def test_only_so_many_fresh_instances_are_compared_as_asked():
    outcomes = [
        an_outcome("nas", fresh=(1.0, 2.0, 3.0, 100.0)),
        an_outcome("robust", fresh=(0.0, 1.0, 2.0, 900.0)),
    ]
    (comparison,) = statistics.compare(outcomes, 3)
    assert comparison.wins == 1
    assert comparison.differences["worst"].value == pytest.approx(-1.0)


def test_a_winner_that_fails_loses():
    outcomes = [
        an_outcome("nas", 0, fresh=(1.0, math.inf, math.inf)),
        an_outcome("robust", 0),
        an_outcome("nas", 1, fresh=(1.0, math.inf, math.inf)),
        an_outcome("robust", 1, fresh=(2.0, math.inf, math.inf)),
    ]
    (comparison,) = statistics.compare(outcomes)
    assert comparison.wins == 1.5
    assert comparison.differences["q3+iqr"].value == -math.inf
    assert not comparison.differences["q3+iqr"].has_interval
    assert statistics.n_failures(outcomes[0].fresh()) == 2
    assert math.isnan(comparison.iqr_ratio.value)
    assert math.isnan(comparison.optimism_ratio)


def test_without_the_reference_nothing_is_compared():
    assert statistics.compare([an_outcome("robust")]) == []


def test_the_worst_of_all_has_no_interval():
    losses = tuple(np.random.default_rng(0).normal(size=12))
    assert not statistics.confirmed(losses, "worst").has_interval
    assert statistics.confirmed(losses, "median").has_interval
