from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.__main__ import main
from benchmarks.confirm_levels import CRITERIA
from benchmarks.confirm_levels import draw
from benchmarks.confirm_levels import p_values
from optuna_robust.comparison import paired_criterion_test
from optuna_robust.criteria import get_criterion


@pytest.mark.parametrize("name", CRITERIA)
def test_p_values_are_those_of_a_confirmation(name: str) -> None:
    rng = np.random.default_rng(0)
    losses = draw(rng, 40, 12, ratio=1.0, spreads=2.0)
    (found,) = p_values(losses, [get_criterion(name)], [0.0], rng)
    expected = [paired_criterion_test(x, y, name).p_value for x, y in losses]
    # Theirs have 2000 bootstrap samples, here are 100.
    np.testing.assert_allclose(
        stats.norm.isf(found / 2), stats.norm.isf(np.array(expected) / 2), rtol=0.4
    )


def test_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["confirm-levels", "--n-pairs", "20", "--n-sets", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("`python -m benchmarks confirm-levels --n-pairs 20 --n-sets 2`")
    assert printed.count("|---|") >= 4
    assert "confirm of 10 models on 100 instances" in printed
