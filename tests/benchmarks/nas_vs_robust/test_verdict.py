import math

import numpy as np
import pytest

from benchmarks.nas_vs_robust import statistics
from benchmarks.nas_vs_robust.verdict import sentence
from benchmarks.nas_vs_robust.verdict import verdict
from tests.benchmarks.nas_vs_robust.noise import an_outcome


BASE = np.array([3.0, 4.0, 5.0])  # Q3+IQR: 5.5
CLEAR = (-1.0, -1.1, -0.9, -0.8, -0.7, -0.6, -1.2)


def outcomes(shifts, *, base=BASE, arms=("nas", "robust"), trainings=12):
    nas, *others = arms
    return [
        an_outcome(arm, seed, trainings=trainings, fresh=tuple(base + change))
        for seed, shift in enumerate(shifts)
        for arm, change in ((nas, 0.0), *((other, shift) for other in others))
    ]


@pytest.mark.parametrize(
    ("shifts", "base", "expected"),
    [
        (
            CLEAR,
            BASE,
            "At 12 trainings, the models that robust returned are 16 % [13, 20] better than those "
            "of nas by Q3+IQR on fresh instances, better at 7 of 7 seeds (p = 0.016).",
        ),
        (
            tuple(-shift for shift in CLEAR),
            BASE,
            "the models that robust returned are 16 % [13, 20] worse than those of nas by Q3+IQR "
            "on fresh instances, better at 0 of 7 seeds",
        ),
        # Of negative losses there are no ratios.
        (
            CLEAR,
            BASE - 100.0,
            "At 12 trainings, the models that robust returned are 0.9 [0.7, 1.1]",
        ),
        (
            (1.0, -1.1, 0.2, -0.4),
            BASE,
            "no difference between robust and nas can be shown: the models that robust returned "
            "are 2.4 % [-27, 25] better than those of nas",
        ),
        # However clear three seeds look, the test cannot tell.
        ((-1.0, -1.1, -0.9), BASE, "no difference between robust and nas can be shown"),
        # The test would, but the interval of the mean change does not.
        ((-0.1,) * 9 + (3.0,), BASE, "no difference between robust and nas can be shown"),
        (
            (1.0,),
            BASE,
            "are 18 % worse than those of nas by Q3+IQR on fresh instances, better at 0",
        ),
        ((0.0,) * 7, BASE, "are 0 % [0, 0] better than those of nas by Q3+IQR"),
    ],
)
def test_the_sentence_says_what_is_shown(shifts, base, expected):
    (comparison,) = statistics.compare(outcomes(shifts, base=base))
    text = sentence(comparison, 12)
    assert expected in text
    assert ("can be shown" in text) == (comparison.shows == "nothing")
    assert verdict(outcomes(shifts, base=base))[0] == text


def test_a_search_whose_winners_fail_is_worse_without_a_number():
    found = outcomes(CLEAR)
    for i, outcome in enumerate(found):
        if outcome.search.arm == "robust":
            found[i] = an_outcome("robust", outcome.search.seed, fresh=(1.0, math.inf, math.inf))
    text, *_ = verdict(found)
    assert "the models that robust returned are worse (some failed when they were" in text
    assert "no difference" not in text


def test_the_robust_search_is_the_verdict_beside_both_that_people_use():
    arms = ("nas", "nas-retrained", "robust", "robust-select")
    found = verdict(outcomes(CLEAR, arms=arms))
    assert len(found) == 3
    assert "no difference" not in found[0]
    assert "no difference between robust and nas-retrained can be shown" in found[1]
    assert "nas 1 (4)" in found[2]


def test_without_the_robust_search_all_arms_are_beside_the_reference():
    found = verdict(outcomes(CLEAR, arms=("nas", "mean-of-5", "wilcoxon")))
    assert len(found) == 3
    assert "that mean-of-5 returned" in found[0]
    assert "that wilcoxon returned" in found[1]


def test_every_budget_has_its_sentence_the_largest_first():
    found = verdict(outcomes(CLEAR) + outcomes((1.0, -1.0) * 4, trainings=100))
    assert found[0].startswith("At 100 trainings, no difference")
    assert found[1].startswith("At 12 trainings, the models")


def test_without_the_reference_there_is_no_verdict():
    assert verdict([an_outcome("robust")]) == []
