"""The path of a margin in phase space, which is the same for every loss.

| symbol | meaning | name | shape |
|---|---|---|---|
| m | margin | ``margin`` | any |
| m_0 | margin at initialisation | ``start`` | scalar |
| u | path length, dm/du = V(m), u = 0 at initialisation | ``u`` | any |
| V(m) | speed: sqrt(m^2 + s^2) at depth 2, m^(2 - 2/N) at depth N | ``speed`` | any |
| s | rho c / 2, half the imbalance times the norm | ``spread`` | scalar |
| gamma | 1 - 2/N | ``gamma`` | scalar |

A loss sets only how fast u runs: du = rate r(m) dt (theory book, chapter 1), u = N tau with tau the residual clock.

Source: theory book, chapters 1 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Path(Protocol):
    """A margin as a function of the path length u, and its inverse."""

    @property
    def start(self) -> float:
        """Margin at u = 0."""

    def margin(self, u: Array) -> Array:
        """Return the margin at path length ``u``; ``u`` may be infinite."""

    def position(self, margin: Array) -> Array:
        """Return the path length at which the path has this margin, accurate relative to u itself."""

    def speed(self, margin: Array) -> Array:
        """Return V(m) = dm/du."""


@dataclass(frozen=True)
class Line:
    """Depth 1: m = m_0 + u (linear models such as logistic regression). Source: formula (4.2) of the theory book."""

    start: float

    def margin(self, u: Array) -> Array:
        """Return m_0 + u."""
        return np.asarray(self.start + u, dtype=np.float64)

    def position(self, margin: Array) -> Array:
        """Return m - m_0."""
        return margin - self.start

    def speed(self, margin: Array) -> Array:
        """Return 1."""
        return np.ones_like(margin)


@dataclass(frozen=True)
class Hyperbola:
    """Depth 2: m = m_0 cosh u + V_0 sinh u, V = sqrt(m^2 + s^2).

    Source: formulas (1.4), (1.6) and (1.8) of the theory book.
    """

    start: float
    spread: float

    def margin(self, u: Array) -> Array:
        """Return m_0 cosh u + V_0 sinh u; for m_0 < -s as alpha e^u - beta e^-u, in which alpha keeps its digits."""
        fastest = np.hypot(self.start, self.spread)
        with np.errstate(over="ignore"):
            if self.start >= -self.spread:
                return np.asarray(self.start * np.cosh(u) + fastest * np.sinh(u), dtype=np.float64)
            up, down = split(np.asarray(self.start), self.spread)
            return np.asarray(up * np.exp(u) - down * np.exp(-u), dtype=np.float64)

    def position(self, margin: Array) -> Array:
        """Return asinh(m/s) - asinh(m_0/s), in a form in which neither close margins nor s = 0 cost digits."""
        sign = np.where((margin < 0) | ((self.start < 0) & (margin == 0)), -1.0, 1.0)
        near, far = np.minimum(abs(self.start), np.abs(margin)), np.maximum(abs(self.start), np.abs(margin))
        near_speed, far_speed = np.hypot(near, self.spread), np.hypot(far, self.spread)
        same_side = np.sign(margin) * np.sign(self.start) >= 0  # the product itself may underflow to 0
        gap = np.where(same_side, far - near, 0.0)
        mean = np.divide(far + near, far_speed + near_speed)
        with np.errstate(over="ignore"):
            u = np.log1p(gap * (1.0 + mean) / (near + near_speed))
        u = np.where(np.abs(margin) >= abs(self.start), sign * u, -sign * u)
        if self.spread == 0:
            return np.asarray(u, dtype=np.float64)
        across = np.sign(margin) * (_asinh_ratio(near, self.spread) + _asinh_ratio(far, self.spread))
        return np.asarray(np.where(same_side, u, across), dtype=np.float64)

    def speed(self, margin: Array) -> Array:
        """Return sqrt(m^2 + s^2)."""
        return np.hypot(margin, self.spread)


@dataclass(frozen=True)
class Power:
    """Depth N > 2, balanced: m^-gamma = m_0^-gamma - gamma u, V = m^(1 + gamma).

    Source: formulas (4.2) and (4.4) of the theory book.
    """

    start: float
    gamma: float

    def margin(self, u: Array) -> Array:
        """Return the margin; infinite from u = m_0^-gamma / gamma on, where the path diverges."""
        left = np.maximum(1.0 - self.gamma * u * self.start**self.gamma, 0.0)
        with np.errstate(divide="ignore"):
            return np.asarray(self.start * left ** (-1.0 / self.gamma), dtype=np.float64)

    def position(self, margin: Array) -> Array:
        """Return (m_0^-gamma - m^-gamma) / gamma."""
        logarithm = log_ratio(margin, self.start)
        return np.asarray(-np.expm1(-self.gamma * logarithm) / (self.gamma * self.start**self.gamma), dtype=np.float64)

    def speed(self, margin: Array) -> Array:
        """Return m^(2 - 2/N)."""
        return np.asarray(margin ** (1.0 + self.gamma), dtype=np.float64)


def split(margin: Array, spread: float) -> tuple[Array, Array]:
    """Return the growing and the decaying part (m + V)/2 and (V - m)/2 of a margin, each without cancellation.

    They are alpha e^u and beta e^-u of formula (1.4) of the theory book; their product is s^2 / 4.
    """
    larger = 0.5 * (np.abs(margin) + np.hypot(margin, spread))
    ratio = np.divide(0.5 * spread, larger, out=np.zeros_like(larger), where=larger > 0)
    smaller = 0.5 * spread * ratio
    return np.where(margin >= 0, larger, smaller), np.where(margin >= 0, smaller, larger)


def log_ratio(margin: Array, start: float) -> Array:
    """Return ln(m / m_0) for positive margins, with a small relative error even if both are close."""
    with np.errstate(over="ignore"):
        change = (margin - start) / start
        return np.where(np.abs(change) < 1.0, np.log1p(np.maximum(change, -0.999)), np.log(margin) - np.log(start))


def _asinh_ratio(size: Array, spread: float) -> Array:
    """Return asinh(size / spread) for size >= 0, even if the ratio overflows."""
    with np.errstate(over="ignore", divide="ignore"):
        ratio = size / spread
        return np.where(ratio > 1e150, np.log(2.0) + np.log(size) - np.log(spread), np.arcsinh(ratio))
