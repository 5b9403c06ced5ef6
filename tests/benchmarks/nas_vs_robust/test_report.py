from dataclasses import replace
import math

import numpy as np
import plotly.io
import pytest

from benchmarks.nas_vs_robust import figures
from benchmarks.nas_vs_robust import files
from benchmarks.nas_vs_robust import report
from benchmarks.nas_vs_robust import statistics
from benchmarks.nas_vs_robust.plan import Plan
from benchmarks.nas_vs_robust.plan import Row
from benchmarks.nas_vs_robust.plan import Search
from benchmarks.text_tables import markdown_table
from tests.benchmarks.nas_vs_robust.noise import an_outcome


BASE = np.array([3.0, 4.0, 5.0])


def findings(shifts=(-1.0, -1.1, -0.9), **fields):
    outcomes = []
    for seed, shift in enumerate(shifts):
        nas = an_outcome("nas", seed, fresh=tuple(BASE))
        robust = an_outcome("robust", seed, fresh=tuple(BASE + shift))
        outcomes += [nas, robust]
    about = {
        "task": "noise",
        "about": "made up",
        "loss": "made-up loss",
        "command": "python -m benchmarks nas-vs-robust",
        "date": "2026-11-28",
        "machine": "Linux",
        "settings": {},
        "versions": {"optuna": "5.0.0"},
    }
    whole = report.Findings(Plan(4, 3, (16,)), tuple(outcomes), (), 3, (), about)
    return replace(whole, **fields)


def test_tables_are_aligned():
    lines = markdown_table(["a", "long head"], [["value", "1"], ["v", "22"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| ----- | --------- |"


def test_equal_seconds_have_a_table_of_their_own():
    plain = findings()
    timed = tuple(
        replace(each, search=Search(each.search.arm, each.search.seed, 7, True), n_trainings=7)
        for each in plain.outcomes
    )
    assert "## At equal seconds" not in report.as_markdown(plain)
    text = report.as_markdown(replace(plain, timed=timed))
    assert "## At equal seconds" in text
    assert "| nas    | 10.0    | 7.0 " in text


def test_sizes_and_fixed_rows_have_tables():
    found = findings(rows=(Row("parametric", {16: (1.0, 1.5, 2.0)}),))
    text = report.as_markdown(found)
    assert "| parametric | 16     | 1.5 " in text
    assert "Winners by sample size" not in text
    outcomes = tuple(
        replace(each, fresh_losses={4: (9.0, 9.0, 9.0), **each.fresh_losses})
        for each in found.outcomes
    )
    text = report.as_markdown(replace(found, outcomes=outcomes, plan=Plan(4, 3, (4, 16))))
    assert "| nas    | 4      | 9 [9, 9]" in text


def test_what_is_not_finite_is_null_in_json():
    failing = an_outcome("nas", 0, fresh=(1.0, math.inf, math.inf))
    plain = files.as_json(findings(outcomes=(failing, an_outcome("robust", 0))))
    assert plain["arms"][0]["fresh_losses"]["16"] == [1.0, None, None]
    assert plain["arms"][0]["confirmed"]["q3+iqr"] is None
    assert plain["arms"][0]["confirmed"]["failures"] == 2


def test_figures_show_every_arm_and_row():
    found = findings(rows=(Row("parametric", {16: (1.0, math.inf, 2.0)}),))
    boxes, pairs, promises = figures.figures(found)
    assert [box.name for box in boxes.data] == ["nas", "robust", "parametric"]
    assert [len(box.y) for box in boxes.data] == [9, 9, 2]
    assert [list(line.x) for line in pairs.data] == [["nas", "robust"]] * 3
    nas = statistics.confirmed(tuple(BASE), "q3+iqr").value
    assert [line.y[0] for line in pairs.data] == pytest.approx([nas] * 3)
    assert [points.name for points in promises.data] == ["nas", "robust", "honest"]
    assert promises.data[0].y[0] - promises.data[0].x[0] == pytest.approx(
        statistics.optimism(found.outcomes[0])
    )
    for figure in (boxes, pairs, promises):
        plotly.io.from_json(figure.to_json())


def test_at_equal_seconds_json_compares_equal_numbers_of_instances():
    losses = tuple(np.arange(8.0))
    timed = (an_outcome("nas", fresh=losses), an_outcome("robust", fresh=losses[:4]))
    plain = files.as_json(findings(timed=timed, n_timed=4))
    assert [each["confirmed"]["n"] for each in plain["equal_seconds"]["arms"]] == [4, 4]


def test_figures_say_how_many_failed():
    failing = findings(outcomes=(an_outcome("nas", fresh=(1.0, math.inf, 2.0)),))
    boxes, *_ = figures.figures(failing)
    assert "1 failed" in boxes.layout.title.text
    boxes, *_ = figures.figures(findings())
    assert "failed" not in boxes.layout.title.text


def test_searches_are_named_by_arm_seed_and_budget():
    assert Search("robust", 3, 57).name == "robust, seed 3, 57 trainings"
    assert Search("robust", 3, 57, timed=True).name.endswith("57 trainings, at equal seconds")


def at_budgets(*shifts_of_budgets):
    """Return findings at 12, 24, … trainings, in which robust changes by so much."""
    outcomes = tuple(
        replace(each, search=replace(each.search, trainings=12 * (i + 1)))
        for i, shifts in enumerate(shifts_of_budgets)
        for each in findings(shifts).outcomes
    )
    return findings(outcomes=outcomes)


def test_the_report_begins_with_the_verdict_of_every_budget():
    found = at_budgets((0.5, -0.5, 0.1, -0.2, 0.3, -0.3), (-1.0, -1.1, -0.9, -0.8, -0.7, -1.2))
    lines = report.as_markdown(found).splitlines()
    assert lines[0] == "# nas-vs-robust: noise"
    assert lines[2].startswith("**At 24 trainings, the models that robust returned are 17 % [14,")
    assert lines[4].startswith("- At 12 trainings, no difference between robust and nas")
    assert lines[5].startswith("- What the searches said of their winners")


def test_several_budgets_have_a_table_and_a_curve():
    found = at_budgets((-1.0, -1.1, -0.9), (-1.5, -1.6, -1.4))
    text = report.as_markdown(found)
    assert "## By budget: means over 3 search seeds" in text
    assert "| 12     | robust | 3 [" in text
    assert "## Arms at 24 trainings" in text
    assert "## By budget" not in report.as_markdown(findings())
    curve, *rest = figures.figures(found)
    assert len(rest) == 3
    assert [list(line.x) for line in curve.data] == [[12, 24]] * 2
    assert curve.data[1].y[1] == pytest.approx(5.5 - 1.5)


def test_the_first_figure_shows_every_seed_and_the_mean():
    figure = figures.lead_figure(findings())
    seeds, means = figure.data
    assert list(seeds.y) == ["robust"] * 3
    expected = [(5.5 + shift) / 5.5 for shift in (-1.0, -1.1, -0.9)]
    assert list(seeds.x) == pytest.approx(expected)
    assert means.x[0] == pytest.approx(np.exp(np.mean(np.log(expected))))
    assert "arm / nas" in figure.layout.xaxis.title.text
    both = figures.lead_figure(at_budgets((-1.0,), (-2.0,)))
    assert list(both.data[1].y) == ["robust, 12", "robust, 24"]


def test_where_losses_are_negative_the_first_figure_shows_differences():
    outcomes = tuple(
        replace(each, fresh_losses={16: tuple(loss - 100.0 for loss in each.fresh())})
        for each in findings().outcomes
    )
    figure = figures.lead_figure(findings(outcomes=outcomes))
    assert list(figure.data[0].x) == pytest.approx([-1.0, -1.1, -0.9])
    assert "arm − nas" in figure.layout.xaxis.title.text


def test_a_winner_that_failed_is_left_out_of_the_first_figure_by_name():
    failing = an_outcome("robust", 0, fresh=(1.0, math.inf, math.inf))
    figure = figures.lead_figure(findings(outcomes=(an_outcome("nas", 0), failing)))
    assert "1 failed" in figure.layout.title.text
    assert (len(figure.data[0].x), len(figure.data[1].x)) == (0, 0)


def test_without_anything_to_compare_the_first_figure_shows_losses():
    alone = findings(outcomes=(an_outcome("robust"),))
    assert [box.name for box in figures.lead_figure(alone).data] == ["robust"]
    assert report.lead(alone) == "# nas-vs-robust: noise\n"
