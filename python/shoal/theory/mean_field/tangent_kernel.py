"""The tangent kernel of a mean-field network, and the distance of its nodes from their initialisation.

| symbol | meaning | name | shape |
|---|---|---|---|
| gamma | angle by which every node has turned | ``gamma`` | scalar, or any |
| d | inputs | ``inputs`` | scalar |
| x | points at which the kernel is taken | ``points`` | (points, inputs) |
| K(x, x') | kernel | ``mean_field_kernel`` | (points, points) |
| - | distance from the initialisation over the size of the initialisation | ``mean_field_movement`` | as ``gamma`` |

The nodes are those of `MeanFieldHinge`, which move on a_i = a_i0 cosh gamma + w_i0 sinh gamma and
w_i = w_i0 cosh gamma + a_i0 sinh gamma (w_i along the teacher) from a_i0, w_i0 ~ N(0, 1). So a_i and w_i stay jointly
normal, of variance cosh 2 gamma each and covariance sinh 2 gamma.

Source: theory book, chapter 7; arXiv:2006.11209.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.theory.domains import between, count, lengths

__all__ = ["mean_field_kernel", "mean_field_movement"]

Array = NDArray[np.float64]

FURTHEST = 100.0
"""Largest angle at which e^(2 gamma) and its square do not overflow."""


def mean_field_movement(gamma: ArrayLike, inputs: int) -> Array:
    """Return |theta(t) - theta(0)| / |theta(0)| of an infinitely wide network, 2 sqrt(cosh g (cosh g - 1) / (d + 1)).

    A node moves by E (a - a_0)^2 = (cosh g - 1)^2 + sinh^2 g = 2 cosh g (cosh g - 1), and as much along the teacher;
    its initialisation has d + 1 weights of variance 1. Small angles: sqrt(2/(d + 1)) g. Large ones: e^g / sqrt(d + 1).

    Parameters
    ----------
    gamma
        Any shape, float64, not negative, finite.
    inputs
        d, at least 1.

    Returns
    -------
    ndarray of float64, shape of ``gamma``

    Raises
    ------
    TypeError
        ``inputs`` is not an integer.
    ValueError
        An angle is negative or not finite, or there are no inputs.

    Notes
    -----
    Source: formula (7.30) of the theory book.

    Examples
    --------
    >>> mean_field_movement([0.1, 1.0, 2.0], inputs=10).round(4)
    array([0.0428, 0.552 , 1.9439])
    """
    angle = between("gamma", gamma, 0.0, FURTHEST)
    wide = count("inputs", inputs)
    # cosh g - 1 = 2 sinh^2(g/2), which does not cancel at small angles.
    return np.asarray(2 * np.sqrt(2 * np.cosh(angle) / (wide + 1)) * np.sinh(angle / 2))


def mean_field_kernel(points: ArrayLike, gamma: float) -> Array:
    """Return the tangent kernel of an infinitely wide network between given points.

    K(x, x') = E[relu(u) relu(u')] + E[a^2 theta(u) theta(u')] x.x'/d,  u = w.x / sqrt(d),

    the mean over nodes of the products of df/da and df/dw, over alpha^2/M. With the variances s^2, s'^2 of u and u',
    their correlation r, and A = cov(a, u)/s, A' likewise, both means are elementary:

        E[relu relu'] = s s' (sqrt(1 - r^2) + r (pi - arccos r)) / (2 pi),
        E[a^2 theta theta'] = cosh(2 g) (pi - arccos r)/(2 pi) + (2 A A' - r (A^2 + A'^2)) / (2 pi sqrt(1 - r^2)).

    Parameters
    ----------
    points : array_like of float, shape (points, inputs)
        Finite; the teacher is the first axis.
    gamma
        Not negative, finite; 0 gives the kernel of the initialisation.

    Returns
    -------
    ndarray of float64, shape (points, points)

    Raises
    ------
    TypeError
        An argument is not a number.
    ValueError
        Points of another shape or not finite, one of them 0, or an angle that is negative or not finite.

    Notes
    -----
    Source: formulas (7.28) and (7.29) of the theory book.

    Examples
    --------
    >>> mean_field_kernel([[1.0, 1.0], [1.0, -1.0]], gamma=0.0).round(6)
    array([[1.      , 0.159155],
           [0.159155, 1.      ]])
    """
    x = checks.real_array("points", points, dimensions=2, shape="(points, inputs)")
    lengths("points", x)
    angle = float(between("gamma", checks.real("gamma", gamma), 0.0, FURTHEST))
    grown, mixed = math.cosh(2 * angle), math.sinh(2 * angle)
    along, products = x[:, 0], x @ x.T
    shared = (products + (grown - 1) * np.multiply.outer(along, along)) / x.shape[1]
    size = np.sqrt(np.diagonal(shared))
    correlation = np.clip(shared / np.multiply.outer(size, size), -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    sine = np.sqrt((1 - correlation) * (1 + correlation))
    turned = math.pi - np.arccos(correlation)
    values = np.multiply.outer(size, size) * (sine + correlation * turned)
    pull = mixed * along / math.sqrt(x.shape[1]) / size
    excess = 2 * np.multiply.outer(pull, pull) - correlation * np.add.outer(pull**2, pull**2)
    gates = grown * turned + np.divide(excess, sine, out=np.zeros_like(sine), where=sine > 0)
    return np.asarray((values + gates * products / x.shape[1]) / (2 * math.pi))
