"""The speed along a path: the clock theta = rate x time of every loss, as a function of the margin, and its inverse.

| symbol | meaning | name | shape |
|---|---|---|---|
| theta | clock, rate x time | ``theta`` | any |
| u | path length | ``u`` | any |
| r | residual; dtheta = du / r | ``residual`` | - |
| h | target of the residual | ``target`` | scalar |
| D | sqrt(h^2 + s^2), the slope of the logistic | ``slope`` | scalar |

Closed forms if they exist, else quadrature (:mod:`shoal.theory.quadrature`).

Source: theory book, chapters 1, 4 and 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import wrightomega

from shoal.theory.path import Hyperbola, Line, Path, Power, split
from shoal.theory.quadrature import Hyperbolic, Logarithmic, Logit, QuadratureClock
from shoal.theory.residual import Residual

Array = NDArray[np.float64]


class Clock(Protocol):
    """A clock theta as a function of the margin, and its inverse."""

    def theta(self, margin: Array) -> Array:
        """Return theta at margins (points,) strictly between the initial one and the target."""

    def margin(self, theta: Array) -> Array:
        """Return the margins (points,) at finite theta >= 0."""


@dataclass(frozen=True)
class StepClock:
    """Hinge: r = 1 up to the target, so that theta is the path length.

    Source: formulas (1.10), (4.3) and (4.4) of the theory book.
    """

    path: Path
    target: float

    def theta(self, margin: Array) -> Array:
        """Return the path length."""
        return self.path.position(margin)

    def margin(self, theta: Array) -> Array:
        """Return the margin, which does not pass the target."""
        end = self.path.position(np.asarray(self.target))
        reached = self.path.margin(np.minimum(theta, end))
        return np.where(theta >= end, self.target, reached)


@dataclass(frozen=True)
class LinearLine:
    """Depth 1, r = h - m: m = h - (h - m_0) e^-theta, from either side. Source: formula (4.3) of the theory book."""

    start: float
    target: float

    def theta(self, margin: Array) -> Array:
        """Return ln((h - m_0) / (h - m))."""
        return np.log1p((margin - self.start) / (self.target - margin))

    def margin(self, theta: Array) -> Array:
        """Return the margin, from the start if theta < ln 2, else from the target, so that no digits cancel."""
        gap = self.target - self.start
        early = self.start - gap * np.expm1(-theta)
        return np.where(theta < math.log(2.0), early, self.target - gap * np.exp(-theta))


def linear_theta(alpha: Array, beta: Array, target: Array, u: Array) -> Array:
    """Return theta at path length ``u`` where m = alpha e^u - beta e^-u is driven by r = h - m > 0.

    theta = ln(1 + 2T/(1-T)) / D with T = tanh(D theta/2), in terms that are all positive. Source: formula (1.12) of the
    theory book.
    """
    grown = alpha * np.exp(u)
    return _linear_theta(alpha, beta, target, u, grown, target - (grown - beta * np.exp(-u)))


def _linear_theta(alpha: Array, beta: Array, target: Array, u: Array, grown: Array, gap: Array) -> Array:
    slope, minus = _linear_slope(alpha, beta, target)
    with np.errstate(over="ignore", divide="ignore"):
        odds = -2.0 * slope * np.expm1(-u) * (grown + 0.5 * minus) / (gap * (minus + 2.0 * alpha))
    return np.asarray(np.log1p(odds) / slope, dtype=np.float64)


def linear_u(alpha: Array, beta: Array, target: Array, gap: Array, theta: Array) -> Array:
    """Return the path length after ``theta``, the inverse of :func:`linear_theta`; ``gap`` is h - m_0 > 0.

    w = e^u solves w' = beta + h w - alpha w^2: w - 1 = 2 (h - m_0) T / (D - h T + 2 alpha T). Source: formula (1.12) of
    the theory book.
    """
    slope, minus = _linear_slope(alpha, beta, target)
    with np.errstate(over="ignore"):
        grown = slope * theta
    tanh = np.tanh(0.5 * grown)
    # 1 - tanh, without a difference, which would cancel near 1.
    rest = 2.0 / (np.exp(np.minimum(grown, 700.0)) + 1.0)
    below = np.where(target > 0, minus + target * rest + 2.0 * alpha * tanh, slope + (2.0 * alpha - target) * tanh)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log1p(2.0 * gap * tanh / below), dtype=np.float64)


def _linear_slope(alpha: Array, beta: Array, target: Array) -> tuple[Array, Array]:
    """Return D = sqrt(h^2 + 4 alpha beta) and D - h."""
    spread = 2.0 * np.sqrt(alpha) * np.sqrt(beta)
    slope = np.hypot(target, spread)
    return slope, np.where(target > 0, spread * (spread / (slope + np.abs(target))), slope - target)


@dataclass(frozen=True)
class LinearHyperbola:
    """Depth 2, r = h - m > 0, a logistic in e^u. Source: formulas (1.12) and (1.13) of the theory book.

    ``path.start`` < ``target``; a margin that falls to its target is the mirror image of one that rises.
    """

    path: Hyperbola
    target: float

    def theta(self, margin: Array) -> Array:
        """Return theta; h - m is computed from the margins, so that its digits are kept."""
        alpha, beta = split(np.asarray(self.path.start), self.path.spread)
        grown, _ = split(margin, self.path.spread)
        target = np.asarray(self.target)
        return _linear_theta(alpha, beta, target, self.path.position(margin), grown, self.target - margin)

    def margin(self, theta: Array) -> Array:
        """Return the margin, at most the target."""
        alpha, beta = split(np.asarray(self.path.start), self.path.spread)
        u = linear_u(alpha, beta, np.asarray(self.target), np.asarray(self.target - self.path.start), theta)
        return np.clip(self.path.margin(u), self.path.start, self.target)


@dataclass(frozen=True)
class Mirror:
    """The clock of a falling margin: that of -m, which rises. Source: formula (1.12) of the theory book."""

    image: Clock

    def theta(self, margin: Array) -> Array:
        """Return theta."""
        return self.image.theta(-margin)

    def margin(self, theta: Array) -> Array:
        """Return the margin."""
        return -self.image.margin(theta)


@dataclass(frozen=True)
class ExponentialLine:
    """Depth 1, exponential family: offset d + (e^d - 1) e^m_0 = theta with d = m - m_0.

    Source: formula (4.3) of the theory book.
    """

    start: float
    offset: float
    shift: float = 0.0

    def theta(self, margin: Array) -> Array:
        """Return e^-shift theta; infinite beyond the largest double."""
        gap = margin - self.start
        with np.errstate(over="ignore"):
            # Two forms: e^m - e^m_0 loses the digits of a small gap, and e^m_0 may underflow although e^m does not.
            # The factor e^m_0 is split in two, because it may overflow although its product with a small gap does not.
            half = np.exp(0.5 * (self.start - self.shift))
            near = half * np.expm1(np.minimum(gap, 1.0)) * half
            grown = np.where(gap > 1.0, -np.exp(margin - self.shift) * np.expm1(-gap), near)
        return np.asarray(self.offset * gap * math.exp(-self.shift) + grown, dtype=np.float64)

    def margin(self, theta: Array) -> Array:
        """Return the margin: a logarithm, or Wright's omega; near the start m_0 + d, because d keeps its digits."""
        with np.errstate(divide="ignore", over="ignore"):
            logarithm = np.log(theta) + self.shift
            gap = np.log1p(np.exp(logarithm - self.start))
        free = np.logaddexp(logarithm, self.start)  # an upper bound: without the offset, which slows the margin
        if not self.offset or self.shift:
            return np.where(gap < 1.0, self.start + gap, free)
        # m + e^m = level.
        level = theta + self.start + np.exp(self.start)
        omega = np.real(wrightomega(level))
        far = np.where(level > 0, np.log(np.where(omega > 0, omega, 1.0)), level - omega)
        # Newton for d + e^m_0 (e^d - 1) = theta, which is convex in d; both bounds are to the right of the root.
        gap = np.minimum(np.clip(far - self.start, 0.0, np.minimum(theta, 2.0)), gap)
        scale = np.exp(self.start)
        for _ in range(3):
            excess = gap + scale * np.expm1(gap) - theta
            gap = np.clip(gap - excess / (1.0 + scale * np.exp(gap)), 0.0, 2.0)
        return np.where(far - self.start < 1.0, self.start + gap, np.minimum(far, free))


def clock_of(path: Path, residual: Residual, shift: float = 0.0) -> Clock:
    """Return the clock of a path under a residual that is not zero at initialisation.

    With ``shift`` sigma the clock is e^-sigma theta instead of theta, for margins whose e^m overflows; it has an effect
    in the exponential family only.
    """
    if residual.family == "step":
        return StepClock(path, residual.target)
    if isinstance(path, Line):
        if residual.family == "linear":
            return LinearLine(path.start, residual.target)
        return ExponentialLine(path.start, residual.offset, shift)
    if isinstance(path, Hyperbola):
        if residual.family == "exponential":
            return QuadratureClock(Hyperbolic(path, residual), shift)
        if path.start > residual.target:
            return Mirror(LinearHyperbola(Hyperbola(-path.start, path.spread), -residual.target))
        return LinearHyperbola(path, residual.target)
    if isinstance(path, Power):
        if residual.family == "linear":
            return QuadratureClock(Logit(path.start, path.gamma, residual.target))
        return QuadratureClock(Logarithmic(path.start, path.gamma, residual), shift)
    raise TypeError(f"path must be a Line, a Hyperbola or a Power, got {path!r}")
