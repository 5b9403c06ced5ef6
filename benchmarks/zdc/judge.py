"""How far generated images are from simulated ones, whatever the weights of the training loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import wasserstein_distance
import torch

from benchmarks.zdc.network import Generator
from benchmarks.zdc.showers import at_energy
from benchmarks.zdc.showers import Images


# GeV, within the beam's energies.
ENERGIES = (20.0, 40.0, 60.0, 80.0)


def distance(network: Generator, *, n_events: int, seed: int) -> float:
    """Return how far a generator's images are from simulated ones, at fixed energies.

    The mean over the ``ENERGIES`` of two Wasserstein distances, of deposits in cells that are hit
    and of the number of such cells, each in units of its simulated mean. 0: the same
    distributions; 1: as far off as if nothing were hit.

    Args:
        network:
            The generator.
        n_events:
            Simulated events at each energy.
        seed:
            Of these.
    """
    images = network.images(torch.tensor(ENERGIES)[:, None]).numpy()
    return float(
        np.mean(
            [
                distance_of_images(image[None], at_energy(energy, n_events, seed))
                for image, energy in zip(images, ENERGIES, strict=True)
            ]
        )
    )


def distance_of_images(generated: Images, simulated: Images) -> float:
    """Return the distance of two sets of images of one energy, shape ``(n, side, side)``."""
    return 0.5 * (
        _relative(_deposits(generated), _deposits(simulated))
        + _relative(_hits(generated), _hits(simulated))
    )


def _deposits(images: Images) -> npt.NDArray[np.float64]:
    found = images[images > 0].astype(np.float64)
    return found if len(found) else np.zeros(1)


def _hits(images: Images) -> npt.NDArray[np.float64]:
    hits: npt.NDArray[np.float64] = (images > 0).sum(axis=(1, 2), dtype=np.float64)
    return hits


def _relative(generated: npt.NDArray[np.float64], simulated: npt.NDArray[np.float64]) -> float:
    return float(wasserstein_distance(generated, simulated) / np.mean(simulated))
