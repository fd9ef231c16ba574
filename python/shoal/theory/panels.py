"""Quadrature of a clock on panels, and its inverse.

| symbol | meaning | name | shape |
|---|---|---|---|
| x | coordinate along the path, 0 at initialisation | ``x`` | any |
| theta | clock, the integral of the pace | ``theta`` | any |
| dtheta/dx | pace, positive | ``pace`` | (..., NODES) at the nodes |
| xi | place in a panel, -1 at its left end, +1 at its right | ``xi`` | (points,) |

A clock theta(x) is integrated panel by panel with Gauss-Legendre nodes. Inside a panel the pace is the Legendre
series through its nodes; the series is integrated exactly and inverted by Newton's method. Nothing is
stepped in time: panels are on the path, which is known in closed form, and their errors do not accumulate.

Source: theory book, chapter 1.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]

NODES = 16
LENGTH = 1.5
"""Longest panel in a logarithmic coordinate; with NODES nodes the pace's series is exact to 1e-12."""
GROWTH = 1.0
"""Largest change of the margin along one panel, for the same reason."""

CHUNK = 4096
"""Points inverted together, so that their series and the working arrays stay in cache."""

XI, WEIGHTS = legendre.leggauss(NODES)
_DEGREES = np.arange(NODES)
_LEGENDRE = ((2 * _DEGREES + 1) / 2)[:, None] * legendre.legvander(XI, NODES - 1).T * WEIGHTS
_POWERS = np.zeros((NODES, NODES))
for _degree in _DEGREES:
    _POWERS[: _degree + 1, _degree] = legendre.leg2poly(np.eye(NODES)[_degree])


def nodes(left: Array, right: Array) -> Array:
    """Return the quadrature nodes (..., NODES) of the panels [left, right], each (...)."""
    half = 0.5 * (right - left)
    return left[..., None] + half[..., None] * (XI + 1.0)


def integral(pace: Array, left: Array, right: Array) -> Array:
    """Return the integral (...) over each panel of a pace (..., NODES) given at its nodes."""
    return np.asarray(0.5 * (right - left) * (pace @ WEIGHTS), dtype=np.float64)


def series(pace: Array) -> Array:
    """Return the integral of a pace (panels, NODES), given at its nodes, as a power series in xi: (NODES + 1, panels).

    It goes through the Legendre series, whose terms decay so fast that the powers cost no digits.
    """
    powers = _POWERS @ (_LEGENDRE @ pace.T)
    total = np.zeros((NODES + 1, len(pace)))
    total[1:] = powers / np.arange(1, NODES + 1)[:, None]
    # The integral from -1 on.
    total[0] = total[1::2].sum(axis=0) - total[2::2].sum(axis=0)
    return total


def invert(coefficients: Array, ends: tuple[Array, Array], panel: Index, area: Array) -> Array:
    """Return the place xi (points,) in [-1, 1] up to which the pace of a panel has the integral ``area``.

    Parameters
    ----------
    coefficients
        (NODES + 1, panels) as :func:`series` returns them.
    ends
        The pace at the left and at the right end of each panel, (panels,): only the first guess uses them.
    panel
        (points,) int64, the panel of each point.
    area
        (points,) the requested integral, in units in which the panel runs from -1 to 1.
    """
    xi = np.empty(area.shape)
    for begin in range(0, len(area), CHUNK):
        part = slice(begin, begin + CHUNK)
        here = panel[part]
        xi[part] = _invert(coefficients[:, here], ends[0][here], ends[1][here], area[part])
    return xi


def _invert(coefficients: Array, first: Array, last: Array, area: Array) -> Array:
    # The first guess assumes an exponential pace between the ends. The logarithm of the pace changes by about 1 along
    # a panel, so each Newton step leaves at most about half the square of its error: no bracket is needed.
    slope = 0.5 * np.log(last / first)
    flat = np.abs(slope) < 1e-6
    bend = np.where(flat, 1.0, slope)
    curved = np.log1p(np.maximum(bend * area / first, -0.9)) / bend
    xi = np.clip(np.where(flat, area / first, curved) - 1.0, -1.0, 1.0)
    for _ in range(20):
        value = np.zeros_like(xi)
        total = coefficients[NODES].copy()
        for degree in range(NODES - 1, -1, -1):
            value *= xi
            value += total
            total *= xi
            total += coefficients[degree]
        total -= area
        total /= value
        xi = np.clip(xi - total, -1.0, 1.0)
        if np.max(np.abs(total), initial=0.0) < 1e-8:
            break
    return xi
