"""The curve along which a chain of layers moves, and the paces at which losses drive it.

| symbol | meaning | name | shape |
|---|---|---|---|
| x | the smallest strength, with the sign of the margin | ``x`` | any |
| d_2 <= d_3 .. | a_l^2 - x^2 of the other layers, constant | ``spread`` = sqrt(d_2), ``rest`` | (N - 2,) |
| v | coordinate, dx/dv = sqrt(x^2 + d_2) | ``v`` | any |
| H(x) | prod_{k >= 3} sqrt(x^2 + d_k) | ``factor`` | as ``x`` |
| m | margin rho x sqrt(x^2 + d_2) H(x) | ``margin`` | as ``x`` |
| theta | clock p rho t; dtheta/dv = 1 / (H r(m)) | ``theta`` | any |

In v the pace is analytic within pi/2 of the real axis, so that Gauss panels are exact to rounding.

Source: theory book, chapter 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.theory import panels
from shoal.theory.path import Hyperbola
from shoal.theory.quadrature import ENDLESS, pace_of
from shoal.theory.residual import Residual

Array = NDArray[np.float64]

FLOOR = 40.0, 740.0
"""Margins below minus these have 1/r = 1 (cross-entropy) or 0 (exponential loss) to rounding."""
NOTHING = 1e-17
LEAST = 1e-300


@dataclass(frozen=True)
class Strand:
    """The strengths of a chain of at least two layers, as functions of the smallest one."""

    start: float
    spread: float
    rest: tuple[float, ...]
    norm: float

    @property
    def depth(self) -> int:
        """Number of layers."""
        return 2 + len(self.rest)

    def x(self, v: Array) -> Array:
        """Return x at coordinate v >= 0; if x = 0 at v = 0 and d_2 = 0, it stays 0."""
        if self.spread == 0:
            with np.errstate(over="ignore", under="ignore"):
                return np.asarray(self.start * np.exp(np.sign(self.start) * v), dtype=np.float64)
        return Hyperbola(self.start, self.spread).margin(v)

    def v(self, x: Array) -> Array:
        """Return the coordinate of x, with a small relative error."""
        return Hyperbola(self.start, self.spread).position(x)

    def factor(self, x: Array) -> Array:
        """Return H(x)."""
        total = np.ones_like(x)
        for gap in self.rest:
            total = total * np.hypot(x, math.sqrt(gap))  # x^2 may underflow although x does not
        return total

    def margin(self, x: Array) -> Array:
        """Return the margin at x; infinite if it exceeds the largest double."""
        with np.errstate(over="ignore"):
            return np.asarray(self.norm * x * np.hypot(x, self.spread) * self.factor(x), dtype=np.float64)

    def slope(self, x: Array) -> Array:
        """Return dm/dv = rho H (x^2 + d_2) (1 + sum_k x^2/(x^2 + d_k)), positive."""
        square = np.hypot(x, self.spread) ** 2
        terms = np.ones_like(x)
        for gap in (self.spread**2, *self.rest):
            terms = terms + (x**2 / (x**2 + gap) if gap > 0 else 1.0)
        return np.asarray(self.norm * self.factor(x) * square * terms, dtype=np.float64)

    def position(self, margin: Array) -> Array:
        """Return the x of a finite margin.

        It uses Newton's method on ln|m| as a function of ln|x|, which is convex with a slope between 1 and N: the first
        step goes beyond the root, and the others approach it from there.
        """
        size = np.abs(margin)
        gaps = np.asarray([self.spread**2, *self.rest])
        with np.errstate(divide="ignore"):
            wanted = np.log(size / self.norm)
            known = np.log(gaps)
        place = np.where(size > 0, np.where(wanted > 0, wanted, wanted / self.depth), 0.0)
        aim = np.where(size > 0, wanted, 0.0)
        for _ in range(100):
            terms = np.logaddexp(2.0 * place[..., None], known)
            excess = place + 0.5 * terms.sum(axis=-1) - aim
            steepness = 1.0 + np.exp(2.0 * place[..., None] - terms).sum(axis=-1)
            place = place - excess / steepness
            if np.max(np.abs(excess[size > 0]), initial=0.0) < 1e-13 * (1.0 + np.max(np.abs(aim), initial=0.0)):
                break
        x = np.sign(margin) * np.exp(place)
        x = np.where(size > 0, x, 0.0)
        # A last step on the margin itself recovers the digits that the exponential lost.
        square = np.hypot(x, self.spread)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = (self.margin(x) - margin) * square / self.slope(x)
        return np.where(np.isfinite(step) & (size > 0), x - step, x)

    def fades(self, x: float) -> bool:
        """Return whether x decays and is negligible in every term of H and of the margin."""
        least = min((abs(gap) ** 0.5 for gap in self.rest), default=1.0)
        small = abs(x) < NOTHING * least and abs(float(self.margin(np.asarray(x)))) < NOTHING
        return self.spread == 0 and self.start < 0 and small


@dataclass(frozen=True)
class Free:
    """Coordinate v for the exponential and the step family: dtheta/dv = 1/(H r(m)), as if a hinge were unsatisfied.

    ``margin`` of the protocol is x here: the clock maps theta to x and back.
    """

    strand: Strand
    residual: Residual

    def margin(self, x: Array) -> Array:
        """Return the strand's x at coordinate ``x`` = v."""
        return self.strand.x(x)

    def position(self, margin: Array) -> Array:
        """Return the coordinate v of the strand's x."""
        return self.strand.v(margin)

    def pace(self, x: Array, shift: float) -> Array:
        """Return e^-shift dtheta/dv; ``shift`` is 0 but for losses without end."""
        strength = self.strand.x(x)
        with np.errstate(over="ignore", divide="ignore", under="ignore"):
            slowness = 1.0 / self.strand.factor(strength)
            if self.residual.family == "step":
                return slowness
            pace = slowness * pace_of(self.residual, self.strand.margin(strength), shift)
        # Not 0, because the inverse divides by it: e^m may underflow if the exponential loss starts far below 0.
        return np.maximum(pace, LEAST)

    def step(self, x: float) -> float:
        """Return the longest panel from ``x`` on."""
        here = float(self.strand.x(np.asarray(x)))
        if self.strand.fades(here):
            return ENDLESS
        length = panels.LENGTH / self.strand.depth
        if self.residual.family == "step":
            return length
        margin = float(self.strand.margin(np.asarray(here)))
        floor = FLOOR[0] if self.residual.offset else FLOOR[1]
        furthest = -floor if margin < -floor else margin + panels.GROWTH
        if furthest < 0 or self.strand.spread > 0 or self.strand.start > 0:  # else it fades before
            ahead = float(self.strand.v(self.strand.position(np.asarray(furthest)))) - x
            length = ahead if 0.0 < ahead < length else length
        while True:  # the first try but for rounding
            beyond = float(self.strand.margin(self.strand.x(np.asarray(x + length))))
            if beyond < -floor or beyond - max(margin, -floor) <= 1.1 * panels.GROWTH:
                return length
            length *= 0.5


@dataclass(frozen=True)
class Driven:
    """Coordinate w = v + ln((h - m_0)/(h - m)) for r = h - m > 0: dtheta/dw = 1/(H (h - m + dm/dv)).

    v resolves the plateau, and the logarithm the end; the pace contains no difference of close numbers.
    ``margin`` of the protocol is x here: the clock maps theta to x and back.
    """

    strand: Strand
    target: float

    def margin(self, x: Array) -> Array:
        """Return the strand's x at coordinate ``x`` = w.

        v is the root of m(v) + (h - m_0) e^(v - w) = h, which increases in v. Newton's method begins at the upper
        bound of v, with a bracket because m bends the other way where it is negative.
        """
        first = float(self.strand.margin(np.asarray(self.strand.start)))
        v = np.minimum(x, self._end)
        low, high = np.zeros_like(x), v
        for _ in range(100):
            strength = self.strand.x(v)
            rest = (self.target - first) * np.exp(v - x)
            here, part = self.strand.margin(strength), self.target - first
            # Counted from the start or from the end, whichever is near: the other form would lose the digits.
            excess = np.where(v - x > -1.0, here - first + part * np.expm1(v - x), here - self.target + rest)
            low, high = np.where(excess < 0, v, low), np.where(excess < 0, high, v)
            with np.errstate(divide="ignore", invalid="ignore"):
                ahead = v - excess / (self.strand.slope(strength) + rest)
            ahead = np.where((ahead >= low) & (ahead <= high), ahead, 0.5 * (low + high))
            settled = np.abs(ahead - v) <= 2e-15 * v
            v = ahead
            if settled.all():
                break
        return self.strand.x(v)

    @property
    def _end(self) -> float:
        """Coordinate v of the target; infinite where x fades before it."""
        if self.strand.spread == 0 and self.strand.start < 0 < self.target:
            return np.inf
        return float(self.strand.v(self.strand.position(np.asarray(self.target))))

    def _left(self, x: float) -> float:
        """Return h - m at the end of v; computed directly, rounding might keep it above this."""
        first = float(self.strand.margin(np.asarray(self.strand.start)))
        return (self.target - first) * math.exp(min(self._end - x, 0.0))

    def position(self, margin: Array) -> Array:
        """Return the coordinate w of the strand's x."""
        start = np.asarray(self.strand.start)
        here, first = self.strand.margin(margin), self.strand.margin(start)
        with np.errstate(divide="ignore"):
            return np.asarray(self.strand.v(margin) + np.log1p((here - first) / (self.target - here)), dtype=np.float64)

    def pace(self, x: Array, shift: float) -> Array:
        """Return dtheta/dw; ``shift`` is 0 here."""
        strength = self.margin(x)
        gap = np.maximum(self.target - self.strand.margin(strength), 0.0)
        with np.errstate(divide="ignore"):
            return np.asarray(
                1.0 / (self.strand.factor(strength) * (gap + self.strand.slope(strength))), dtype=np.float64
            )

    def step(self, x: float) -> float:
        """Return the longest panel from ``x`` on; endless if the margin is at its end to rounding."""
        here = np.asarray(self.margin(np.asarray(x)))
        gap, slope = self.target - float(self.strand.margin(here)), float(self.strand.slope(here))
        if self.strand.fades(float(here)) or gap < 1e-15 * slope or self._left(x) < 1e-18 * abs(self.target):
            return ENDLESS
        # dv/dw = gap/(gap + slope). The pace changes over 1/N in v, and at the end, where v is constant, over 1 in w.
        return panels.LENGTH * min(1.0, (gap + slope) / (self.strand.depth * gap))
