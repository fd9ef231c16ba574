"""The contribution of a finite training set to the early error of a mean-field network.

| symbol | meaning | name | shape |
|---|---|---|---|
| gamma | angle by which every node has turned | ``gamma`` | any |
| d | inputs | ``inputs`` | scalar |
| N | training samples | ``samples`` | scalar |
| r | cosine of the angle between two inputs | - | - |
| s_N | noise of the boundary between classes, over the rms projection | ``sample_spread`` | as ``gamma`` |

Source: theory book, chapter 7; arXiv:2006.11209.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh_tridiagonal

from shoal.theory.domains import MOST, between, count

__all__ = ["sample_spread"]

Array = NDArray[np.float64]

NODES = 200
"""Nodes of the quadrature over the cosine; the integrands have square roots at the ends only."""


def sample_spread(gamma: ArrayLike, inputs: int, samples: int) -> Array:
    """Return s_N, the noise of the boundary from the draw of N training samples, while all are unsatisfied.

    As ``MeanFieldHinge.spread`` is the noise of M random nodes: the standard deviation of f at an input with x_par = 0,
    over the mean output at x_par = |x|/sqrt(d). Both are independent, so that s^2 = s_M^2 + s_N^2.

    Parameters
    ----------
    gamma
        Any shape, float64, not negative, finite: the angle reached while no sample is satisfied.
    inputs
        d, at least 2: inputs from N(0, I_d).
    samples
        N, at least 1; leading order in 1/N.

    Returns
    -------
    ndarray of float64, shape of ``gamma``

    Raises
    ------
    TypeError
        A count is not an integer.
    ValueError
        A count or an angle is out of range.

    Notes
    -----
    The mean of y theta(w.x) x over N samples is that of all samples, a common tilt <y x>/2, and a part
    <y sign(w.x) x>/2 that differs from node to node. The tilt turns every node's plane alike and keeps its part in
    the output. By the other part, output weights move by int cosh(gamma - gamma') dgamma' = sinh gamma and incoming
    ones, as a_i grows, by int cosh(gamma + gamma') dgamma' = sinh 2 gamma - sinh gamma, while the output grows by
    sinh(2 gamma)/2. Summed over nodes, with r = cos(x, x') and c = cosh gamma,

        s_N^2 = 2 pi d^2/N E[R(r)/c + G(r) (2 - 1/c)]^2 + pi (d - 1)/(2 N),
        R = (sqrt(1 - r^2) + r arcsin r)/(2 pi),   G = r arcsin r/(2 pi):

    at gamma = 0 the variance of the tangent kernel of the initialisation; the second part of the bracket to leading
    order in 1/d otherwise. Source: formulas (7.26) and (7.27) of the theory book.

    Examples
    --------
    >>> sample_spread([0.0, 1.0, 2.0], inputs=20, samples=1000).round(4)
    array([0.323 , 0.2549, 0.198 ])
    """
    angle = between("gamma", gamma, 0.0, MOST)
    wide = count("inputs", inputs, 2)
    many = count("samples", samples)
    cosine, chances = _cosines(wide)
    bent = cosine * np.arcsin(cosine)
    values = (np.sqrt((1 - cosine) * (1 + cosine)) + bent) / (2 * math.pi)
    gates = bent / (2 * math.pi)
    with np.errstate(over="ignore"):
        slow = 1 / np.cosh(angle)
    mixed = np.multiply.outer(slow, values) + np.multiply.outer(2 - slow, gates)
    even = mixed**2 @ chances
    return np.asarray(np.sqrt((2 * math.pi * wide**2 * even + math.pi * (wide - 1) / 2) / many))


def _cosines(inputs: int) -> tuple[Array, Array]:
    """Return Gauss points (NODES,) of the cosine between two directions, and their probabilities (NODES,).

    Eigenvalues of the Jacobi matrix of the Gegenbauer polynomials of order d/2 - 1, at any d.
    """
    order, k = 0.5 * inputs - 1.0, np.arange(2.0, NODES)
    beside = k / (k + order) * (k - 1.0 + 2.0 * order) / (k - 1.0 + order) / 4.0
    cosine, vectors = eigh_tridiagonal(np.zeros(NODES), np.sqrt(np.append(0.5 / (1.0 + order), beside)))
    return cosine, vectors[0] ** 2
