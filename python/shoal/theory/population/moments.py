"""The output of a population of rings, the inputs that it leaves unsatisfied, and how these move each node.

| symbol | meaning | name | shape |
|---|---|---|---|
| a, w_par, w_perp | nodes | ``nodes`` | (3, nodes) |
| q_i | fractions of the nodes, of sum 1 | ``fractions`` | (nodes,) |
| k, e | output: f = k x_par + e(phi) abs(x), phi the angle to the teacher's axis | ``odd``, ``even`` | as the inputs |
| g_+, g_- | margin over abs(x) on either side of the teacher, k cos(phi) +- e(phi) | ``sides`` | (2, points) |
| S_+, S_- | E[R; R g < h], R = abs(x) | ``unsatisfied_norm`` | (2, points) |

Source: theory book, chapter 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaln

from shoal.theory.population.latitudes import Latitudes, Place, latitudes

Array = NDArray[np.float64]

BLOCK = 65536
"""Pairs of a node and an angle that are computed at once, so that they stay in cache."""
SMALLEST = 1e-100
"""Replaces a w_perp or x_perp of 0, so that the ratio of two of them is not NaN."""


@dataclass(frozen=True, eq=False)
class PopulationMoments:
    """Averages over Gaussian inputs x ~ N(0, I_d) of a population with given fractions.

    Source: formulas (8.2), (8.3) and (8.7) of the theory book.
    """

    fractions: Array
    inputs: int
    alpha: float
    threshold: float
    refine: int

    @cached_property
    def grid(self) -> Latitudes:
        """Angles and their weights."""
        return latitudes(self.inputs, self.refine)

    @property
    def scale(self) -> float:
        """The scale alpha / (2 sqrt d) of the parts of the output."""
        return 0.5 * self.alpha / float(np.sqrt(self.inputs))

    @property
    def norm(self) -> float:
        """The mean norm E abs(x) = sqrt(2) Gamma((d+1)/2) / Gamma(d/2)."""
        return float(np.sqrt(2.0) * np.exp(gammaln(0.5 * (self.inputs + 1)) - gammaln(0.5 * self.inputs)))

    def odd(self, nodes: Array) -> float:
        """Return k: the odd part of f is k x_par, exactly."""
        a, w_par, _ = nodes
        return self.scale * float(np.sum(self.fractions * a * w_par))

    def even(self, nodes: Array, x_par: Array, x_perp: Array) -> Array:
        """Return the even part of f at inputs (points,), given by x_par and the length x_perp >= 0."""
        a, w_par, w_perp = nodes
        across = np.maximum(np.abs(w_perp), SMALLEST)
        charge, cot = self.fractions * a * across, np.abs(w_par) / across
        length = np.maximum(x_perp, SMALLEST)
        ratio = np.abs(x_par) / length
        total = np.zeros(ratio.shape)
        width = max(1, BLOCK // max(1, ratio.size))
        for first in range(0, len(a), width):
            part = slice(first, first + width)
            total += charge[part] @ self.grid.rings.reach(cot[part, None] * ratio)
        return np.asarray(self.scale * length * total, dtype=np.float64)

    def sides(self, nodes: Array) -> Array:
        """Return the margins over abs(x) at the angles of the grid, x_par > 0 and x_par < 0, (2, points)."""
        return self._sides(nodes, self._place(nodes))

    def unsatisfied_norm(self, g: Array) -> Array:
        """Return E[abs(x); abs(x) g < h] for directions with margins ``g`` over abs(x), any shape."""
        return self.norm * self._below(0.5 * (self.inputs + 1), g)

    def unsatisfied(self, g: Array) -> Array:
        """Return P(abs(x) g < h) for directions with margins ``g`` over abs(x), any shape."""
        return self._below(0.5 * self.inputs, g)

    def velocity(self, nodes: Array) -> Array:
        """Return sqrt(d)/beta times the velocity of the nodes, (3, nodes)."""
        a, w_par, w_perp = nodes
        place = self._place(nodes)
        plus, minus = self.unsatisfied_norm(self._sides(nodes, place))
        common = float(np.sum(self.grid.weights * np.cos(self.grid.phi) * (plus + minus)))
        along, across = self.grid.pulls(place, plus - minus)
        along = 0.25 * (common + np.sign(w_par) * along)
        across = 0.25 * np.sign(w_perp) * across
        return np.stack([w_par * along + w_perp * across, a * along, a * across])

    def _place(self, nodes: Array) -> Place:
        return self.grid.place(np.arctan2(np.abs(nodes[2]), np.abs(nodes[1])))

    def _sides(self, nodes: Array, place: Place) -> Array:
        a, w_par, w_perp = nodes
        charges = self.scale * self.fractions * a * np.hypot(w_par, w_perp)
        odd, even = self.odd(nodes) * np.cos(self.grid.phi), self.grid.even(place, charges)
        return np.stack([odd + even, odd - even])

    def _below(self, order: float, g: Array) -> Array:
        with np.errstate(divide="ignore", over="ignore"):
            limit = 0.5 * (self.threshold / np.maximum(g, 0.0)) ** 2
        return np.asarray(gammainc(order, limit), dtype=np.float64)
