"""A shower's energy in the cells of a matrix: the profile, integrated over squares.

The radial profile 2 r R² / (r² + R²)² is a mixture of two-dimensional Gaussians: Student's t
distribution with two degrees of freedom. Its variances V have the distribution function
exp(-R² / 2V). A Gaussian's integral over a square is a product of error functions, so a shower is
a sum of products of a row and a column, and a Gaussian spread of the scintillation light between
cells adds to the variances, exactly.
"""

from __future__ import annotations

import numpy as np
from scipy.special import erf

from benchmarks.calorimeter.shower import Floats
from benchmarks.calorimeter.shower import Radial


# Variances of the Gaussians, cm²: bins in which the mixture is summed up. The first reaches down
# to 0, far below a cell, and the last up to infinity, where nearly all falls beside the matrix.
# So many bins give the share of any square within 0.003, for radii from 0.1 to 10 cm (tested).
_EDGES = np.concatenate([[0.0], np.geomspace(0.01, 1000.0, 15), [np.inf]])
VARIANCES = np.concatenate([[0.006], np.sqrt(_EDGES[1:-2] * _EDGES[2:-1]), [2000.0]])


def weights_of_variances(profile: Radial, moliere_radius: float) -> Floats:
    """Return how much of a profile has each of the ``VARIANCES``, on a new last axis."""
    return profile.core_share[..., None] * _weights(profile.core * moliere_radius) + (
        1.0 - profile.core_share[..., None]
    ) * _weights(profile.tail * moliere_radius)


def _weights(radius: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.diff(np.exp(-0.5 * radius[..., None] ** 2 / _EDGES), axis=-1)


def shares_of_cells(
    weights: Floats, variances: Floats, x: Floats, y: Floats, *, cell_size: float, n_side: int
) -> Floats:
    """Return the share of each cell, of shape (n, n_side, n_side), rows along y.

    Args:
        weights:
            Of the Gaussians, shape (n, k).
        variances:
            Of the Gaussians, cm², shape (k,).
        x:
            Centres of the Gaussians from the centre of the matrix, cm, shape (n, k) or (n, 1).
        y:
            The same for y.
        cell_size:
            Side of a cell, cm.
        n_side:
            Cells along a side.
    """
    edges = (np.arange(n_side + 1) - n_side / 2.0) * cell_size
    scale = np.sqrt(0.5 / variances)[:, None]
    columns = np.diff(erf((edges - x[..., None]) * scale), axis=-1)
    rows = np.diff(erf((edges - y[..., None]) * scale), axis=-1)
    rows *= 0.25 * weights[..., None]
    shares: Floats = np.matmul(rows.swapaxes(-1, -2), columns)
    return shares
