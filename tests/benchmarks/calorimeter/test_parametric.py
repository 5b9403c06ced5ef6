"""The calibrated sum and the corrected barycentre, on clusters made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.calorimeter.parametric import barycentre
from benchmarks.calorimeter.parametric import CalibratedSum
from benchmarks.calorimeter.parametric import SCurve
from benchmarks.calorimeter.parametric import total_energy


def test_barycentre_of_two_cells() -> None:
    cells = np.zeros((1, 15, 15), np.float32)
    cells[0, 7, 7], cells[0, 5, 8] = 3.0, 1.0
    x, y = barycentre(cells, 2.0)
    assert (x[0], y[0]) == pytest.approx((0.5, -1.0))
    assert total_energy(cells)[0] == 4.0


def test_barycentre_of_the_central_cells() -> None:
    cells = np.zeros((1, 15, 15), np.float32)
    cells[0, 7, 7], cells[0, 7, 8], cells[0, 0, 14] = 3.0, 1.0, 100.0
    x, y = barycentre(cells, 2.0, n_side=3)
    assert (x[0], y[0]) == pytest.approx((0.5, 0.0))


def test_the_sum_is_calibrated() -> None:
    energy = np.array([1.0, 10.0, 100.0])
    fitted = CalibratedSum.fit((energy + 0.5) / 1.1, energy)
    assert (fitted.offset, fitted.scale) == pytest.approx((-0.5, 1.1))
    assert fitted((energy + 0.5) / 1.1) == pytest.approx(energy)


def test_the_s_is_taken_out() -> None:
    position = np.linspace(-1.0, 1.0, 101)
    pulled = position - 0.1 * np.sin(np.pi * position)
    fitted = SCurve.fit(pulled, position, 2.0)
    assert np.abs(fitted(pulled) - position).max() < 0.01
