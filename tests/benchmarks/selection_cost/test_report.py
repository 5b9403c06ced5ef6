import math

import numpy as np
import plotly.graph_objects as go
import pytest
from scipy import stats

from benchmarks.selection_cost import report
from benchmarks.selection_cost import statistics
from benchmarks.selection_cost.figure import get_figure
from benchmarks.selection_cost.figure import get_panels
from benchmarks.selection_cost.runner import ArmReplays
from benchmarks.selection_cost.runner import Case


ABOUT = {
    "command": "python -m benchmarks selection-cost",
    "date": "2026-01-01",
    "versions": {"numpy": "2"},
    "seconds": 1.0,
    "left_out": ["the arm of x, which is not installed"],
}


def an_arm(name, kind, trainings, regret):
    regret = np.asarray(regret, dtype=float)
    return ArmReplays(name, kind, np.full(len(regret), float(trainings)), regret, None, None)


def a_case(*arms, problem="table"):
    return Case(problem, "about", "mean", 64, 20, 0.1, len(arms[0].regret), arms)


def test_interval_of_the_quantile_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    true = stats.expon.ppf(0.95)
    found = [statistics.quantile(rng.exponential(size=200)) for _ in range(500)]
    covered = np.mean([each.low <= true <= each.high for each in found])
    assert 0.93 < covered < 0.99


def test_few_replays_do_not_bound_the_quantile():
    assert statistics.quantile(np.arange(20.0)).high == math.inf


def test_summaries_count_and_sort():
    case = a_case(
        an_arm("dear", "halving", 9, [0, 0, 0, 0]), an_arm("cheap", "race", 2, [0, 0.05, 0.1, 5])
    )
    cheap, dear = statistics.summaries(case)
    assert (cheap.name, cheap.at_best.value, cheap.within.value) == ("cheap", 0.25, 0.75)
    assert cheap.regret.value == pytest.approx(5.15 / 4)
    assert (dear.at_best.value, dear.regret.value) == (1.0, 0.0)
    assert cheap.error_rate is None
    assert [each.name for each in statistics.front([cheap, dear])] == ["cheap", "dear"]
    assert [each.name for each in statistics.front([dear, cheap])] == ["dear"]


@pytest.mark.parametrize(
    ("trainings", "regret", "verdict"),
    [
        (4, [0, 0, 0.1, 0], "lower"),
        (4, [1, 1.1, 0.9, 1], "not significantly higher"),
        (4, [3, 3.1, 3.3, 3.2], "significantly higher"),
        (6, [0, 0, 0, 0], "none is as cheap"),
    ],
)
def test_verdict_on_a_setting_of_algorithm_1(trainings, regret, verdict):
    case = a_case(
        an_arm("halving k=3", "halving", 5, [1, 1.2, 0.9, 0.9]),
        an_arm("race alpha=0.1", "race", trainings, regret),
    )
    (found,) = statistics.versus_halving(case)
    assert found.verdict == verdict
    assert found.difference.value == pytest.approx(np.mean(regret) - 1.0)


def test_the_best_of_the_cheap_settings_stands_beside_algorithm_1():
    case = a_case(
        an_arm("halving k=3", "halving", 5, [1, 1, 1]),
        an_arm("race alpha=0.3", "race", 3, [2, 2, 1]),
        an_arm("race alpha=0.1", "race", 5, [0, 1, 1]),
        an_arm("race alpha=0.01", "race", 7, [0, 0, 0]),
    )
    (found,) = statistics.versus_halving(case)
    assert found.race == "race alpha=0.1"


def test_report_answers_for_each_k():
    case = a_case(
        an_arm("halving k=3", "halving", 5, [1, 1, 1]),
        an_arm("halving k=1", "halving", 2, [2, 2, 2]),
        an_arm("race alpha=0.3", "race", 4, [0, 0, 1]),
    )
    text = report.as_markdown([case], ABOUT)
    assert "1 of 2" in text
    assert "halving k=1: none is as cheap" in text
    assert "Left out: the arm of x, which is not installed." in text
    assert "zero\nregret by construction" in text
    rows = [line for line in text.split("## table, mean")[1].splitlines() if "=" in line]
    assert [row.split("|")[1].strip() for row in rows] == [
        "halving k=1",
        "race alpha=0.3",
        "halving k=3",
    ]


def test_report_without_a_race_says_so():
    case = a_case(an_arm("halving k=3", "halving", 5, [1, 1]))
    assert "has no race" in report.as_markdown([case], ABOUT)


def test_screen_shows_only_the_front_of_many_cases():
    arms = (
        an_arm("good", "race", 2, [0, 0]),
        an_arm("bad", "halving", 5, [1, 1]),
    )
    cases = [a_case(*arms, problem=f"table {number}") for number in range(4)]
    assert "| bad" in report.for_screen(cases[:1])
    assert "| bad" not in report.for_screen(cases).split("For each k")[0]


def test_figure_has_one_panel_seen_at_a_time():
    case = a_case(
        an_arm("halving k=3", "halving", 5, [1, 2]), an_arm("race alpha=0.3", "race", 4, [0, 1])
    )
    figure = get_figure(get_panels([case, case]))
    assert isinstance(figure, go.Figure)
    assert [trace.visible for trace in figure.data] == [True, True, False, False]
    assert [len(menu.buttons) for menu in figure.layout.updatemenus] == [2]
    halving = figure.data[0]
    assert (halving.name, list(halving.x), list(halving.y)) == ("halving", [5.0], [1.5])
    assert figure.layout.xaxis.type == "log"
