"""Nodes that represent a random initialisation: Gauss points of normal weights.

| symbol | meaning | name | shape |
|---|---|---|---|
| zeta | standard normal points and their probabilities | ``normal_points`` | (points,), (points,) |
| w_perp | length of d - 1 standard normal weights | ``chi_points`` | (points,), (points,) |

Source: theory book, chapter 8.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial import hermite_e
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal

Array = NDArray[np.float64]


def normal_points(points: int) -> tuple[Array, Array]:
    """Return the Gauss points (points,) of a standard normal number and their probabilities (points,)."""
    places, weights = hermite_e.hermegauss(points)
    # The rule is even, but its halves differ by rounding, which would break the symmetry of an initialisation.
    places, weights = 0.5 * (places - places[::-1]), 0.5 * (weights + weights[::-1])
    return places, weights / weights.sum()


def chi_points(points: int, freedom: int) -> tuple[Array, Array]:
    """Return the lengths (points,) of a vector of ``freedom`` standard normal numbers, and their probabilities.

    Half the square has a gamma distribution, whose Gauss points are the eigenvalues of the Jacobi matrix of the
    Laguerre polynomials of order ``freedom``/2 - 1.
    """
    order, number = 0.5 * freedom - 1.0, np.arange(points)
    along, beside = 2.0 * number + order + 1.0, np.sqrt(number[1:] * (number[1:] + order))
    halves, vectors = eigh_tridiagonal(along, beside)
    weights = vectors[0] ** 2
    return np.sqrt(2.0 * np.maximum(halves, 0.0)), weights / weights.sum()


def product(*rules: tuple[Array, Array]) -> tuple[list[Array], Array]:
    """Return the points (nodes,) of independent numbers, one array for each, and their joint probabilities (nodes,).

    Nodes whose probability underflows are left out.
    """
    grids = np.meshgrid(*(places for places, _ in rules), indexing="ij")
    weights = np.meshgrid(*(probabilities for _, probabilities in rules), indexing="ij")
    probabilities = np.prod([weight.ravel() for weight in weights], axis=0)
    return [grid.ravel()[probabilities > 0] for grid in grids], probabilities[probabilities > 0]
