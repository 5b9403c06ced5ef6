from __future__ import annotations

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.levels_of_tests import draw
from benchmarks.levels_of_tests import Losses
from benchmarks.levels_of_tests import measure
from benchmarks.levels_of_tests import rejections
from optuna_robust.comparison import compare_with_reference
from optuna_robust.comparison import TESTS


@pytest.mark.parametrize("name", TESTS)
def test_rejections_are_those_of_each_pair(name: str) -> None:
    pairs = draw(np.random.default_rng(0), 40, 6, Losses("normal", 3.0, 0.8))
    p_values = [compare_with_reference(x[None], y, name)[0] for x, y in zip(*pairs, strict=True)]
    found = rejections(pairs, name)
    assert found is not None
    assert found.value == np.mean(np.array(p_values) < 0.05)


def test_levels_are_those_that_are_known() -> None:
    equal = measure(Losses("normal", 1.0, 0.0), (2, 5), 2000)
    paired = measure(Losses("normal", 1.0, 0.8), (2, 5), 2000)
    for rates in (equal, paired):
        for rule in ("paired-t", "directed-paired-t", "pitman-morgan"):
            for rate in rates[rule]:
                assert rate is None or abs(rate.value - 0.05) < 0.015
    assert equal["pitman-morgan"][0] is None  # undefined
    assert equal["levene"][0] is None
    assert equal["wilcoxon"][1] is None  # cannot reject yet
    assert equal["directed-wilcoxon"][1] is not None
    assert paired["welch"][1] is not None
    assert paired["welch"][1].high < 0.02  # it does not see that instances are the same


def test_levels_repeat() -> None:
    case = Losses("t3", 3.0, 0.8)
    assert measure(case, (4,), 50) == measure(case, (4,), 50)
    assert measure(case, (3, 4), 50)["welch"][1:] == measure(case, (4,), 50)["welch"]


def test_draws_have_their_spreads_and_correlation() -> None:
    for noise, spreads, correlation in (("normal", 3.0, 0.8), ("lognormal", 1.0, 0.0)):
        pairs = draw(np.random.default_rng(1), 40_000, 2, Losses(noise, spreads, correlation))
        x, y = pairs.reshape(2, -1)
        assert x.std() / y.std() == pytest.approx(spreads, rel=0.05)
        assert np.corrcoef(x, y)[0, 1] == pytest.approx(correlation, abs=0.02)
        assert abs(x.mean()) < 0.03


def test_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["test-levels", "--n-pairs", "20", "--n-instances", "2", "6"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("`python -m benchmarks test-levels --n-pairs 20 --n-instances 2 6`")
    assert printed.count("### Levels: ") == 2 + 12
    assert printed.count("### Power: ") == 6
    assert "### Levels: lognormal noise, spreads 3 : 1, correlation 0.8" in printed
    assert "| directed-pitman-morgan " in printed
