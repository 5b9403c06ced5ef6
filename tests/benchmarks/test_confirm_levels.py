from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.__main__ import main
from benchmarks.confirm_factors import allowed_factors
from benchmarks.confirm_factors import fitted_factors
from benchmarks.confirm_factors import statistics
from benchmarks.confirm_levels import CRITERIA
from benchmarks.confirm_levels import p_values
from benchmarks.confirm_pairs import draw
from optuna_robust._statistics.comparison._error_scale import KNOTS
from optuna_robust._statistics.comparison._error_scale import SCALES
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


def test_factors_are_those_that_are_fitted() -> None:
    """Of 800 pairs a cell, which tell a factor within about 0.05; a mean needs none."""
    rng = np.random.default_rng(1)
    names = ["mean", "median", "q3+iqr", "cvar"]
    cells = [statistics(rng, 800, 12, names, ratio=ratio, spreads=1.0) for ratio in (0.01, 1.0)]
    fitted = fitted_factors(cells)
    in_use = [1.0, *(SCALES[name][0][list(KNOTS).index(12.0)] for name in names[1:])]
    np.testing.assert_allclose(fitted, in_use, atol=0.15)
    least, most = allowed_factors(cells)
    assert ((least < fitted) & (fitted < most)).all()


def test_a_factor_is_in_the_middle_of_what_cells_allow() -> None:
    even = np.linspace(0.0, 1.0, 101)
    np.testing.assert_allclose(allowed_factors([even[None], 2.0 * even[None]]), [[1.88], [0.97]])
    np.testing.assert_allclose(fitted_factors([even[None], 2.0 * even[None]]), [1.425])
