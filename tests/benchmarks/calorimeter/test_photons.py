"""Spectra and angles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest
from scipy.stats import lognorm

from benchmarks.calorimeter.photons import FallingSpectrum
from benchmarks.calorimeter.photons import FlatSpectrum
from benchmarks.calorimeter.photons import TransverseMomentum
from benchmarks.calorimeter.setting import DATASETS


def drawn(name: str, n: int = 100_000) -> np.ndarray:
    return DATASETS[name].spectrum.draw(np.random.default_rng(0), n)


def test_energies_of_a_are_flat() -> None:
    assert kstest(drawn("A"), "uniform", args=(1.0, 99.0)).pvalue > 0.01


def test_energies_of_b_fall_from_a_peak_near_10_to_100() -> None:
    energies = drawn("B")
    counts, edges = np.histogram(energies, bins=np.arange(0.0, 101.0, 4.0))
    assert 8.0 <= edges[counts.argmax()] + 2.0 <= 12.0
    assert (np.diff(counts[counts.argmax() :]) < 0).mean() > 0.9
    assert energies.min() >= 1.0
    assert 90.0 < energies.max() <= 100.0
    assert 0.0005 < np.mean(energies > 80.0) < 0.02


def test_the_falling_spectrum_is_a_truncated_log_normal() -> None:
    spectrum = FallingSpectrum(peak=10.0, width=0.7, low=1.0, high=100.0)
    whole = lognorm(0.7, scale=10.0 * np.exp(0.7**2))
    low, high = whole.cdf([1.0, 100.0])

    def distribution(energy: np.ndarray) -> np.ndarray:
        return (whole.cdf(energy) - low) / (high - low)

    energies = spectrum.draw(np.random.default_rng(1), 50_000)
    assert kstest(energies, distribution).pvalue > 0.01


@pytest.mark.parametrize("energies", [(0.5, 10.0), (10.0, 5.0), (float("nan"), 10.0)])
def test_energies_out_of_range_are_refused(energies: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="1 <= low <= high"):
        FlatSpectrum(*energies)


def test_angles_of_b_peak_at_0_with_tails_to_a_third() -> None:
    momentum = DATASETS["B"].angles
    assert momentum is not None
    theta_x, theta_y = momentum.draw(np.random.default_rng(0), drawn("B", 200_000))
    for theta in (theta_x, theta_y):
        counts, edges = np.histogram(theta, bins=np.linspace(-0.3, 0.3, 61))
        assert abs(edges[counts.argmax()] + 0.005) <= 0.011
        assert theta.mean() == pytest.approx(0.0, abs=0.0005)
        assert 0.28 < np.abs(theta).max() <= 0.3
    assert np.corrcoef(theta_x, theta_y)[0, 1] == pytest.approx(0.0, abs=0.02)


def test_angles_are_transverse_momentum_over_energy() -> None:
    momentum = TransverseMomentum(scale=1.0, power=8.0, largest_angle=1e9)
    rng = np.random.default_rng(0)
    low = np.hypot(*momentum.draw(rng, np.full(50_000, 5.0))) * 5.0
    high = np.hypot(*momentum.draw(rng, np.full(50_000, 50.0))) * 50.0
    # The mean of p_T (1 + p_T)^-8 is 2 / (8 - 3).
    assert low.mean() == pytest.approx(0.4, rel=0.03)
    assert high.mean() == pytest.approx(0.4, rel=0.03)
