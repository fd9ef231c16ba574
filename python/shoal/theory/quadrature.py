"""Clocks without a closed form: theta(m) by quadrature along the path, m(theta) by its inverse.

| symbol | meaning | name | shape |
|---|---|---|---|
| theta | clock, rate x time | ``theta`` | any |
| x | coordinate along the path, 0 at initialisation | ``x`` | any |
| dtheta/dx | pace | ``pace`` | as ``x`` |
| sigma | clocks are stored times e^-sigma, so that e^m does not overflow | ``shift`` | scalar |

Source: theory book, chapters 1, 4 and 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shoal.theory import panels
from shoal.theory.path import Hyperbola, log_ratio, split
from shoal.theory.residual import Residual

Array = NDArray[np.float64]

ENDLESS = 1e300
"""Length of a panel that covers the whole rest of the path, along which the margin is constant to rounding."""


class Coordinate(Protocol):
    """A coordinate x along a path, in which the pace of the clock is smooth."""

    def margin(self, x: Array) -> Array:
        """Return the margin at ``x``."""

    def position(self, margin: Array) -> Array:
        """Return the ``x`` of a margin, accurate relative to x itself."""

    def pace(self, x: Array, shift: float) -> Array:
        """Return e^-shift dtheta/dx, positive."""

    def step(self, x: float) -> float:
        """Return the longest panel from ``x`` on; ``ENDLESS`` if the margin stays constant from there."""


def pace_of(residual: Residual, margin: Array, shift: float = 0.0) -> Array:
    """Return e^-shift / r(m) of the exponential family, at margins below 700 + ``shift``."""
    growing = np.exp(margin + (residual.log_kappa - shift))
    return residual.offset * np.exp(-shift) + growing if residual.offset else growing


def hyperbolic_step(margin: Array, up: Array, down: Array, residual: Residual) -> Array:
    """Return the longest panel in u that begins at m = ``up`` - ``down``, with up ~ e^u and down ~ e^-u (any shape).

    ``margin`` is m itself, whose digits the difference of two large parts may have lost.

    The margin may change by about ``panels.GROWTH``, and u by ``panels.LENGTH``. Panels are longer where the pace is
    constant to rounding: at very negative margins, where e^m is far below 1, or where the margin itself is.
    """
    with np.errstate(divide="ignore", over="ignore"):
        rise = np.log1p(panels.GROWTH / up)
        fall = np.where(down > panels.GROWTH, -np.log1p(-panels.GROWTH / np.maximum(down, 2.0)), np.inf)
        fall = np.where((down > panels.GROWTH) & (down < 2.0), np.log(2.0), fall)
        flat = np.where(down < 1e-17, np.log(1e-17 / up), 0.0)
        length = np.minimum(np.minimum(rise, fall), np.maximum(panels.LENGTH, flat))
        floor = 40.0 if residual.offset else 740.0
        # To m = -floor: asinh(-m/s) - asinh(floor/s) with s^2 = 4 up down, without a difference of large logarithms.
        beyond = np.maximum(-margin - floor, 0.0)
        slope = np.hypot(floor, 2.0 * np.sqrt(up) * np.sqrt(down))
        reach = np.log1p(beyond * (1.0 + (floor - margin) / (up + down + slope)) / (floor + slope))
    return np.minimum(np.where(margin < -floor, np.maximum(reach, length), length), ENDLESS)


@dataclass(frozen=True)
class Hyperbolic:
    """x = u on the hyperbola of depth 2, for the exponential family.

    Source: formulas (1.9) and (5.4) of the theory book.
    """

    path: Hyperbola
    residual: Residual

    def margin(self, x: Array) -> Array:
        """Return the margin at ``x``."""
        return self.path.margin(x)

    def position(self, margin: Array) -> Array:
        """Return the ``x`` of a margin."""
        return self.path.position(margin)

    def pace(self, x: Array, shift: float) -> Array:
        """Return e^-shift / r."""
        return pace_of(self.residual, self.path.margin(x), shift)

    def step(self, x: float) -> float:
        """Return the longest panel from ``x`` on."""
        margin = self.path.margin(np.asarray(x))
        return float(hyperbolic_step(margin, *split(margin, self.path.spread), self.residual))


@dataclass(frozen=True)
class Logarithmic:
    """x = ln(m/m_0) at depth N > 2, for the exponential family. Source: formula (4.5) of the theory book."""

    start: float
    gamma: float
    residual: Residual

    def margin(self, x: Array) -> Array:
        """Return m_0 e^x."""
        return self.start * np.exp(x)

    def position(self, margin: Array) -> Array:
        """Return ln(m/m_0)."""
        return log_ratio(margin, self.start)

    def pace(self, x: Array, shift: float) -> Array:
        """Return e^-shift m^-gamma / r."""
        margin = self.margin(x)
        return margin**-self.gamma * pace_of(self.residual, margin, shift)

    def step(self, x: float) -> float:
        """Return the longest panel from ``x`` on."""
        return min(panels.LENGTH, float(np.log1p(panels.GROWTH / self.margin(np.asarray(x)))))


@dataclass(frozen=True)
class Logit:
    """x = ln(m/|h-m|) minus its initial value at depth N > 2, for r = h - m, on either side of h.

    Source: formula (4.6) of the theory book.
    """

    start: float
    gamma: float
    target: float

    def margin(self, x: Array) -> Array:
        """Return the margin, h in the limit of large ``x``."""
        gap = self.target - self.start
        if gap > 0:
            return self.target / (gap / self.start * np.exp(-x) + 1.0)
        return self.start / (gap / self.target * np.expm1(-x) + 1.0)

    def position(self, margin: Array) -> Array:
        """Return ln(m/m_0) - ln((h-m)/(h-m_0)), as one logarithm: far above h the two would cancel."""
        with np.errstate(divide="ignore"):
            ahead = (margin - self.start) / (self.target - margin)
        return np.asarray(np.log1p(self.target / self.start * ahead), dtype=np.float64)

    def pace(self, x: Array, shift: float) -> Array:
        """Return m^-gamma / h; ``shift`` is 0 here."""
        return self.margin(x) ** -self.gamma / self.target

    def step(self, x: float) -> float:
        """Return the longest panel from ``x`` on; endless if the margin is h to rounding."""
        if self.start < self.target:
            origin = math.log(self.start / (self.target - self.start))
        else:  # not the logarithm of a ratio of close numbers, which is 0 far above the target
            origin = math.log1p(self.target / (self.start - self.target))
        if x + origin > 40.0:
            return ENDLESS
        return panels.LENGTH if self.start < self.target else min(panels.LENGTH, 0.5 * (x + origin))


@dataclass(frozen=True)
class QuadratureClock:
    """The clock theta(m) of a coordinate and its inverse, each vectorised and exact to about 1e-12."""

    coordinate: Coordinate
    shift: float = 0.0

    def theta(self, margin: Array) -> Array:
        """Return e^-shift theta at margins (points,), all reached at finite theta."""
        x = self.coordinate.position(margin)
        edges, clocks = self._table(furthest=float(np.max(x, initial=0.0)))
        panel = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
        left = edges[panel]
        pace = self.coordinate.pace(panels.nodes(left, x), self.shift)
        return clocks[panel] + panels.integral(pace, left, x)

    def margin(self, theta: Array, furthest: float = np.inf) -> Array:
        """Return the margins (points,) at finite e^-shift theta (points,), at most that of x = ``furthest``.

        If the clock stays finite as x -> infinity, larger theta are never reached, and ``furthest`` has to be given.
        """
        edges, clocks = self._table(furthest, float(np.max(theta, initial=0.0)))
        panel = np.clip(np.searchsorted(clocks, theta, side="right") - 1, 0, len(edges) - 2)
        left, right = edges[:-1], edges[1:]
        half = 0.5 * (right - left)
        series = panels.series(self.coordinate.pace(panels.nodes(left, right), self.shift))
        ends = self.coordinate.pace(left, self.shift), self.coordinate.pace(right, self.shift)
        theta = np.minimum(theta, clocks[-1])  # beyond it is `furthest`, where the quotient below might overflow
        area = (theta - clocks[panel]) / half[panel]
        xi = panels.invert(series, ends, panel, area)
        x = left[panel] + half[panel] * (xi + 1.0)
        return self.coordinate.margin(np.minimum(self._polish(x, theta, panel == 0, edges[1]), furthest))

    def _polish(self, x: Array, theta: Array, first: NDArray[np.bool_], length: float) -> Array:
        """Return ``x`` with the digits that 1 + xi lost near the start recovered, by Newton on the integral itself."""
        with np.errstate(over="ignore", divide="ignore"):  # at points of other panels, which are discarded
            straight = theta / self.coordinate.pace(np.zeros(1), self.shift)[0]
            near = np.where(first, np.where(straight < 1e-8 * length, straight, x), 0.0)
            for _ in range(2):
                pace = self.coordinate.pace(panels.nodes(np.zeros_like(near), near), self.shift)
                area = panels.integral(pace, np.zeros_like(near), near)
                near = near - np.where(first, (area - theta) / self.coordinate.pace(near, self.shift), 0.0)
        return np.where(first, np.maximum(near, 0.0), x)

    def _table(self, furthest: float = np.inf, latest: float = np.inf) -> tuple[Array, Array]:
        """Return panel edges and the clock there, as far as ``furthest`` in x or ``latest`` in theta."""
        edges, clocks = [0.0], [0.0]
        step = 0.0
        while len(edges) == 1 or (step < ENDLESS and edges[-1] <= furthest and clocks[-1] <= latest):
            left = np.asarray(edges[-1])
            step = self.coordinate.step(edges[-1])
            right = left + step
            with np.errstate(over="ignore"):  # the clock of a last panel may be infinite
                pace = self.coordinate.pace(panels.nodes(left, right), self.shift)
                clocks.append(clocks[-1] + float(panels.integral(pace, left, right)))
            edges.append(float(right))
        return np.asarray(edges), np.asarray(clocks)
