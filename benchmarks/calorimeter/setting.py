"""The two data sets: which photons, and which cells, noise and pile-up they meet.

What is known of the published data is in "An Approach to Finding a Robust Deep Learning Model"
(doi:10.1109/ACCESS.2025.3578926): spectra, angles, largest deposits, and how well the calibrated
sum and the barycentre do. Geometry and pile-up were not published; constants marked "chosen" are
set so that these figures come out, see ``facts.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

from benchmarks.calorimeter.events import Position
from benchmarks.calorimeter.events import POSITIONS
from benchmarks.calorimeter.photons import FallingSpectrum
from benchmarks.calorimeter.photons import FlatSpectrum
from benchmarks.calorimeter.photons import Spectrum
from benchmarks.calorimeter.photons import TransverseMomentum
from benchmarks.calorimeter.stack import SHASHLIK
from benchmarks.calorimeter.stack import Stack
from optuna_robust._base.arguments import check_choice


N_SIDE = 15


@dataclass(frozen=True)
class PileUp:
    """Soft photons of other collisions, uniform over the cells.

    Args:
        density:
            Mean number per cm².
        energy:
            Mean energy, GeV; energies are exponential.
    """

    density: float
    energy: float


@dataclass(frozen=True)
class Setting:
    """Everything that the events of a data set depend on, beside the seed.

    The resolution is a / sqrt(E) ⊕ b ⊕ c / E, E in GeV, with a the sampling term, b the constant
    term, and c the noise of the matrix: N_SIDE times a cell's.

    Args:
        spectrum:
            Energies of the photons.
        angles:
            Angles of the photons; None: all come in normally.
        stack:
            The calorimeter's material.
        cell_size:
            Side of a square cell, cm.
        light_spread:
            Standard deviation, along x and y, of where a cell's light comes from, cm.
        sampling_term:
            a, in sqrt(GeV).
        constant_term:
            b.
        cell_noise:
            Standard deviation of a cell's noise, GeV.
        pile_up:
            Photons beside the one that is measured; None: none.
        position:
            Where x and y are: ``"face"`` or ``"centre"``, see
            :class:`~benchmarks.calorimeter.events.Events`.

    Raises:
        ValueError: If there is no such position.
    """

    spectrum: Spectrum
    angles: TransverseMomentum | None
    stack: Stack
    cell_size: float
    light_spread: float
    sampling_term: float
    constant_term: float
    cell_noise: float
    pile_up: PileUp | None
    position: Position = "face"

    def __post_init__(self) -> None:
        check_choice("position", self.position, POSITIONS)


# LHCb's modules are squares of 12.12 cm, read out by fibres at a pitch of 1.01 cm (JINST 3 (2008)
# S08005, section 6.2).
_MODULE = 12.12
# Chosen: about as far as the fibres are apart, so that the hottest cell of data set A holds an
# eighth of the energy, and a seventh where that is most.
_LIGHT_SPREAD = 0.85
# LHCb: 9 % / sqrt(E) and 0.8 % (JINST 3 (2008) S08005, section 6.2). Plates half as thick sample
# twice as often, which makes the first smaller by the root of two.
_SAMPLING_TERM = 0.065
_CONSTANT_TERM = 0.008
# Chosen, of the order of a count of the ADC: LHCb's is 2.5 MeV of *transverse* energy, so that in
# energy the noise grows towards the beam. It must stay so small that no cluster's sum comes near
# zero, where barycentres are lost.
_NOISE_NEAR_BEAM, _NOISE_FAR = 0.01, 0.004

DATASETS: dict[str, Setting] = {
    # Cells as fine as the fibres, as one would have them near the beam, where pile-up is dense:
    # over LHCb's calorimeter, hit densities differ by two orders of magnitude (JINST 3 (2008)
    # S08005, section 6.2). Pile-up is chosen for the barycentre's RMSE; it is soft, as what is
    # left when harder photons have been found as clusters of their own.
    "A": Setting(
        spectrum=FlatSpectrum(1.0, 100.0),
        angles=None,
        stack=SHASHLIK,
        cell_size=_MODULE / 12,
        light_spread=_LIGHT_SPREAD,
        sampling_term=_SAMPLING_TERM,
        constant_term=_CONSTANT_TERM,
        cell_noise=_NOISE_NEAR_BEAM,
        pile_up=PileUp(density=0.02, energy=0.22),
    ),
    # Larger cells, far from the beam: a photon in the middle of one leaves half of its energy
    # there, which is where deposits of up to 50 GeV come from. Pile-up is chosen for the RMSE of
    # the calibrated sum, the scale of angles for that of the barycentre.
    "B": Setting(
        spectrum=FallingSpectrum(peak=10.0, width=0.7, low=1.0, high=100.0),
        angles=TransverseMomentum(scale=0.9, power=8.0, largest_angle=0.3),
        stack=SHASHLIK,
        cell_size=_MODULE / 5,
        light_spread=_LIGHT_SPREAD,
        sampling_term=_SAMPLING_TERM,
        constant_term=_CONSTANT_TERM,
        cell_noise=_NOISE_FAR,
        pile_up=PileUp(density=0.0003, energy=0.1),
    ),
}


def setting_of(dataset: str, position: Position = "face") -> Setting:
    """Return the setting of a data set, with positions where they are wanted.

    Args:
        dataset:
            ``"A"`` or ``"B"``.
        position:
            ``"face"`` or ``"centre"``.

    Raises:
        ValueError: If there is no such data set or position, or if both positions are the same.

    Example:
        >>> from benchmarks.calorimeter.setting import setting_of
        >>> setting_of("B", "centre").position
        'centre'
    """
    check_choice("dataset", dataset, DATASETS)
    setting = replace(DATASETS[dataset], position=position)
    if position != "face" and setting.angles is None:
        raise ValueError(
            f"position={position!r} has no effect on data set {dataset}, whose photons come in "
            "normally: x and y are the same at all depths."
        )
    return setting
