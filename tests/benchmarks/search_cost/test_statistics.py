"""Comparisons, against closed forms."""

import math
import re

import numpy as np
import pytest
from scipy import stats

from benchmarks.search_cost import report
from benchmarks.search_cost import statistics
from benchmarks.search_cost.figure import get_curves
from benchmarks.search_cost.figure import get_curves_figure
from benchmarks.search_cost.figure import get_shares
from benchmarks.search_cost.figure import get_shares_figure
from benchmarks.search_cost.report import Findings
from benchmarks.search_cost.runner import Outcome
from benchmarks.search_cost.runner import Search


def outcomes(problem, arm, truths, *, budget=100, best=1.0):
    return [
        Outcome(Search(problem, arm, seed, budget), truth, best, {}, budget, 0.5)
        for seed, truth in enumerate(truths)
    ]


NAS = [2.0, 2.5, 1.5, 3.0]
ROBUST = [1.5, 2.25, 1.5, 2.0]


def test_differences_are_paired_with_a_t_interval():
    (found,) = statistics.versus(
        [*outcomes("a", "nas", NAS), *reversed(outcomes("a", "robust", ROBUST))], "nas"
    )
    differences = np.subtract(ROBUST, NAS)
    mean = -(0.5 + 0.25 + 0.0 + 1.0) / 4
    half = differences.std(ddof=1) / 2 * stats.t.ppf(0.975, 3)
    assert found.difference.value == pytest.approx(mean)
    assert (found.difference.low, found.difference.high) == pytest.approx(
        (mean - half, mean + half)
    )
    assert (found.wins, found.n_seeds) == (3.5, 4)
    assert found.share.value == pytest.approx(mean / 1.25)  # nas's mean excess: 2.25 - 1
    assert found.share.low <= found.share.value <= found.share.high
    assert found.p_value == pytest.approx(stats.ttest_rel(ROBUST, NAS).pvalue)


def test_seeds_that_only_one_arm_has_do_not_count():
    found = statistics.versus(
        [*outcomes("a", "nas", NAS), *outcomes("a", "robust", ROBUST[:3])], "nas"
    )
    assert [each.n_seeds for each in found] == [3]
    assert not statistics.versus(outcomes("a", "robust", ROBUST), "nas")


def test_verdicts_are_corrected_over_problems():
    rng = np.random.default_rng(0)
    given = []
    for number in range(10):
        nas = 2 + rng.random(20)
        given += outcomes(f"p{number}", "nas", nas)
        shift = {0: -0.5, 1: 0.5}.get(number, 0.0)
        given += outcomes(f"p{number}", "robust", nas + shift + 0.1 * rng.normal(size=20))
    found = {each.problem: each for each in statistics.versus(given, "nas")}
    assert (found["p0"].verdict, found["p1"].verdict) == ("lower", "higher")
    assert [found[f"p{i}"].verdict for i in range(2, 10)] == ["not told apart"] * 8
    raw = stats.ttest_1samp(
        [
            a.truth - b.truth
            for a, b in zip(given[20:40], given[:20], strict=True)
        ],
        0.0,
    ).pvalue  # fmt: skip
    assert found["p0"].p_value > raw


def test_the_interval_of_a_share_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        excess = rng.gamma(4.0, size=30)
        found = statistics.share_of_excess(-0.3 * excess + rng.normal(size=30), excess, 1.0)
        covered += found.low <= -0.3 <= found.high
    assert 0.88 < covered / 200 < 0.99


def test_nothing_to_gain_has_no_share():
    given = [*outcomes("a", "nas", [1.0] * 3), *outcomes("a", "robust", [1.0, 1.0, 1.5])]
    (found,) = statistics.versus(given, "nas")
    assert math.isnan(found.share.value)
    assert found.difference.value == pytest.approx(0.5 / 3)
    (same,) = statistics.versus([*outcomes("a", "nas", NAS), *outcomes("a", "robust", NAS)], "nas")
    assert (same.p_value, same.wins, same.share.value) == (1.0, 2.0, 0.0)


def test_when_an_arm_reaches_the_reference():
    given = [
        *outcomes("a", "nas", [3.0, 3.0], budget=50),
        *outcomes("a", "nas", [2.0, 2.0], budget=200),
        *outcomes("a", "robust", [2.5, 1.5], budget=50),
        *outcomes("a", "robust", [1.5, 1.5], budget=200),
        *outcomes("a", "halving", [2.5, 2.5], budget=200),
    ]
    found = {each.arm: each.budget for each in statistics.reached(given, "nas")}
    assert found == {"nas": 200, "robust": 50, "halving": None}


@pytest.fixture
def findings():
    given = []
    for problem in ("a", "b", "c"):
        for budget in (50, 100):
            given += outcomes(problem, "nas", NAS, budget=budget)
            given += outcomes(problem, "robust", ROBUST, budget=budget)
    about = {
        "command": "python -m benchmarks search-cost",
        "date": "2026-01-01",
        "versions": {"numpy": "2"},
        "left_out": ["the arm smac, since smac is not installed"],
        "problems": {"a": "first", "b": "second", "c": "third"},
    }
    return Findings(tuple(given), "nas", about)


def test_report_has_shares_and_curves(findings):
    text = report.as_markdown(findings)
    assert "## At 100 trainings" in text
    assert "Left out: the arm smac" in text
    assert re.search(r"\| a +\| 1\.25 ± 1 +\| -35 % \[", text)
    assert "## b\n\n| arm, true Q3 + IQR at | 50 " in text
    plain = report.as_json(findings)
    assert len(plain["searches"]) == 48
    assert plain["versus"][0]["difference"]["value"] == pytest.approx(-0.4375)


def test_figures_show_the_numbers(findings):
    curves = get_curves(findings)
    assert [(each.problem, each.arm) for each in curves][:2] == [("a", "nas"), ("a", "robust")]
    figure = get_curves_figure(curves)
    assert len(figure.data) == 6
    assert list(figure.data[0].y) == [1.25, 1.25]
    assert [trace.showlegend for trace in figure.data] == [True, True, *[False] * 4]
    shares = get_shares_figure(get_shares(findings))
    assert list(shares.data[0].x) == pytest.approx([-35.0] * 3)
