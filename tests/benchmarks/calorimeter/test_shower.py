"""The profiles, against their formulas, integrals and what is known of calorimeters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.integrate import quad
from scipy.stats import gamma

from benchmarks.calorimeter.shower import cut
from benchmarks.calorimeter.shower import draw_longitudinal
from benchmarks.calorimeter.shower import inside_square
from benchmarks.calorimeter.shower import mean_longitudinal
from benchmarks.calorimeter.shower import number_of_spots
from benchmarks.calorimeter.shower import radial
from benchmarks.calorimeter.stack import LEAD
from benchmarks.calorimeter.stack import SHASHLIK


def test_the_medium_is_about_that_of_lhcb() -> None:
    # 25 radiation lengths in 42 cm, a Molière radius of 3.5 cm: JINST 3 (2008) S08005.
    assert SHASHLIK.radiation_length == pytest.approx(42.0 / 25.0, rel=0.05)
    assert SHASHLIK.moliere_radius == pytest.approx(3.5, rel=0.07)
    # Particle Data Group: 7.43 MeV in lead.
    assert pytest.approx(7.43e-3, rel=0.02) == LEAD.critical_energy


def test_average_showers_grow_with_the_logarithm_of_energy() -> None:
    profile = mean_longitudinal(np.array([1.0, 10.0, 100.0]), SHASHLIK)
    assert np.diff(profile.maximum) == pytest.approx(np.log(10.0))
    # Particle Data Group: the maximum of a photon's shower is at ln(E / E_c) + 0.5.
    depth = profile.maximum + profile.start
    expected = np.log(np.array([1.0, 10.0, 100.0]) / SHASHLIK.critical_energy) + 0.5
    assert depth == pytest.approx(expected, abs=0.6)


def test_profiles_fluctuate_around_the_average() -> None:
    energy = np.full(40_000, 20.0)
    profile = draw_longitudinal(energy, SHASHLIK, np.random.default_rng(0))
    average = mean_longitudinal(energy[:1], SHASHLIK)
    log_y = np.log(20.0 / SHASHLIK.critical_energy)
    logarithms = np.log(profile.maximum), np.log(profile.shape)
    assert logarithms[0].mean() == pytest.approx(np.log(average.maximum[0]), abs=0.005)
    assert logarithms[1].mean() == pytest.approx(np.log(average.shape[0]), abs=0.005)
    assert logarithms[0].std() == pytest.approx(1.0 / (-2.5 + 1.25 * log_y), rel=0.02)
    assert logarithms[1].std() == pytest.approx(1.0 / (-0.82 + 0.79 * log_y), rel=0.02)
    correlation = np.corrcoef(*logarithms)[0, 1]
    assert correlation == pytest.approx(0.784 - 0.023 * log_y, abs=0.02)
    assert profile.start.mean() == pytest.approx(9.0 / 7.0, rel=0.02)


def test_slices_have_the_energy_and_the_depths_of_the_gamma_distribution() -> None:
    profile = mean_longitudinal(np.array([10.0]), SHASHLIK)
    slices = cut(profile, n_slices=6, back=np.array([1000.0]))
    assert slices.share.sum() == pytest.approx(1.0)
    centre = (slices.share * slices.depth).sum()
    assert centre == pytest.approx((profile.centre + profile.start)[0])
    shower = gamma(profile.shape[0], scale=1.0 / profile.rate[0])
    first_edge = profile.centre[0] * 2.2 / 5
    assert slices.share[0, 0] == pytest.approx(shower.cdf(first_edge))


def test_the_calorimeter_ends() -> None:
    profile = mean_longitudinal(np.array([100.0]), SHASHLIK)
    ends = [cut(profile, n_slices=8, back=np.array([back])) for back in (1.0, 10.0, 25.0)]
    shares = [slices.share.sum() for slices in ends]
    assert shares[0] == 0.0  # the photon has not converted
    behind = gamma.sf(25.0 - profile.start[0], profile.shape[0], scale=1.0 / profile.rate[0])
    assert shares[2] == pytest.approx(1.0 - behind)
    assert shares[0] < shares[1] < shares[2] < 1.0


def test_the_radial_profile_is_that_of_the_appendix() -> None:
    # Worked out by hand from A.1.3 and A.2.3, at 10 GeV and tau = 1.
    found = radial(np.array([[10.0]]), np.array([[1.0]]), SHASHLIK)
    z, inverse = SHASHLIK.z, 1.0 / SHASHLIK.sampling_frequency
    unlike = 1.0 - SHASHLIK.e_over_mip
    core = 0.032445 + (0.1162 - 0.000381 * z) - 0.0203 * unlike + 0.0397 * inverse * np.exp(-1.0)
    assert found.core[0, 0] == pytest.approx(core, rel=1e-4)
    assert 0.0 < found.core[0, 0] < 0.2 < found.tail[0, 0] < 2.0
    assert 0.5 < found.core_share[0, 0] < 1.0


def test_showers_widen_with_depth() -> None:
    found = radial(np.array([[1.0], [100.0]]), np.array([[0.5, 1.0, 2.0, 5.0]]), SHASHLIK)
    assert (np.diff(found.core, axis=1) > 0.0).all()
    assert (np.diff(found.core_share[:, :3], axis=1) < 0.0).all()
    assert (found.tail > found.core).all()
    assert ((found.core_share >= 0.0) & (found.core_share <= 1.0)).all()


@pytest.mark.parametrize(("half_width", "radius"), [(0.5, 0.4), (3.0, 0.4), (2.0, 5.0)])
def test_the_closed_form_of_a_square_is_the_integral(half_width: float, radius: float) -> None:
    def density(y: float, x: float) -> float:
        return radius**2 / np.pi / (x**2 + y**2 + radius**2) ** 2

    expected, _ = dblquad(density, -half_width, half_width, -half_width, half_width)
    assert inside_square(half_width, np.array(radius)) == pytest.approx(expected, rel=1e-6)


def test_the_radial_profile_is_normalised() -> None:
    total, _ = quad(lambda r: 2.0 * r * 0.3**2 / (r**2 + 0.3**2) ** 2, 0.0, np.inf)
    assert total == pytest.approx(1.0)
    assert inside_square(1e6, np.array(0.3)) == pytest.approx(1.0)


def test_finer_sampling_makes_more_spots() -> None:
    energy = np.array([10.0])
    assert number_of_spots(energy, 0.1) == pytest.approx(103.0 * 10.0**0.959)
    assert number_of_spots(energy, 0.05) == pytest.approx(2.0 * number_of_spots(energy, 0.1))
