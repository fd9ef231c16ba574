"""A population at given times: its nodes, its output, and the inputs that it has learnt.

| symbol | meaning | name | shape |
|---|---|---|---|
| a, w_par, w_perp | nodes | same | (nodes, times) |
| k | slope of the odd part of the output, f = k x_par + e | ``slope`` | (times,) |
| f | output | ``output`` | (times, *points) |
| P(y f < h) | unsatisfied fraction | ``unsatisfied`` | (times,) |
| E max(h - y f, 0) | loss | ``loss`` | (times,) |
| P(y f < 0) | generalisation error | ``error`` | (times,) |

Source: theory book, chapter 8.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc

from shoal.base import checks
from shoal.theory.domains import finite
from shoal.theory.population.moments import PopulationMoments

Array = NDArray[np.float64]

TIE = 1e-13
"""Outputs below this fraction of the sum of the nodes' magnitudes count as 0: the rounding of a sum that cancels."""
HALVINGS = 50


@dataclass(frozen=True, eq=False)
class PopulationFlow:
    """Where the nodes of a :class:`MeanFieldPopulation` are at given times, and what the network does there.

    Averages are over all inputs, not over a sample of them: loss and error are those of training and of new inputs
    alike.

    Attributes
    ----------
    times
        (times,) float64, in the units of 1/beta.
    a, w_par, w_perp
        (nodes, times) float64: output weights, weights along the teacher, lengths of the weights across it.

    Notes
    -----
    Source: formulas (8.2) and (8.7) of the theory book.
    """

    times: Array
    a: Array
    w_par: Array
    w_perp: Array
    _moments: PopulationMoments = field(repr=False)

    @cached_property
    def slope(self) -> Array:
        """k, (times,) float64: f(x) - f(-x) = 2 k x_par. Source: formula (8.2) of the theory book."""
        return np.array([self._moments.odd(nodes) for nodes in self._states])

    @cached_property
    def unsatisfied(self) -> Array:
        """P(y f < h), (times,) float64: the fraction of the inputs that the hinge still sees.

        Source: formula (8.7) of the theory book.
        """
        weights = 0.5 * self._moments.grid.weights
        return np.array([np.sum(self._moments.unsatisfied(g) @ weights) for g in self._sides])

    @cached_property
    def loss(self) -> Array:
        """E max(h - y f, 0), (times,) float64. Source: formula (8.7) of the theory book."""
        moments, weights = self._moments, 0.5 * self._moments.grid.weights
        left = [moments.threshold * moments.unsatisfied(g) - g * moments.unsatisfied_norm(g) for g in self._sides]
        return np.array([np.sum(both @ weights) for both in left])

    @cached_property
    def error(self) -> Array:
        """P(y f < 0), (times,) float64; where f is 0 by symmetry, as a whole network may be at time 0, half counts."""
        return np.array([self._error(number) for number in range(len(self.times))])

    def output(self, x_par: ArrayLike, x_perp: ArrayLike) -> Array:
        """Return the output f of the network at inputs, (times, *points) float64.

        Parameters
        ----------
        x_par
            Any shape, float64: component along the teacher.
        x_perp
            Float64, broadcast with ``x_par``: length of the rest of the input, not negative. Typical lengths of x are
            about sqrt(d), as x ~ N(0, I_d).

        Raises
        ------
        ValueError
            An ``x_perp`` is negative, or an argument is not finite.

        Notes
        -----
        Source: formula (8.2) of the theory book.
        """
        par, perp = finite("x_par", x_par), finite("x_perp", x_perp)
        try:
            par, perp = np.broadcast_arrays(par, perp)
        except ValueError as error:
            raise ValueError(
                f"x_perp must have a shape that x_par goes with, {par.shape}, got shape {perp.shape}"
            ) from error
        if (perp < 0).any():
            raise ValueError(f"x_perp must not be negative, got {perp[perp < 0].flat[0]}")
        flat, length = par.ravel(), perp.ravel()
        rows = [self._moments.odd(s) * flat + self._moments.even(s, flat, length) for s in self._states]
        return np.asarray(rows, dtype=np.float64).reshape(len(self.times), *par.shape)

    @cached_property
    def _states(self) -> Array:
        """Return the nodes time by time, (times, 3, nodes)."""
        return np.moveaxis(np.stack([self.a, self.w_par, self.w_perp]), -1, 0)

    @cached_property
    def _sides(self) -> list[Array]:
        return [self._moments.sides(nodes) for nodes in self._states]

    def _error(self, number: int) -> float:
        nodes, g, phi = self._states[number], self._sides[number], self._moments.grid.phi
        size = np.sum(self._moments.fractions * np.abs(nodes[0]) * np.hypot(nodes[1], nodes[2]))
        if np.abs(g).max() <= TIE * self._moments.scale * size:
            return 0.5
        total = 0.0
        for side, values in zip((1.0, -1.0), g, strict=True):
            change = np.flatnonzero((values[:-1] < 0) != (values[1:] < 0))
            edges = self._shares_above(self._roots(nodes, side, phi[change], phi[change + 1], values[change] < 0))
            bounds = np.concatenate([[0.0], edges, [1.0]])
            wrong = np.concatenate([values[change] < 0, [values[-1] < 0]])
            total += 0.5 * float(np.sum(np.diff(bounds)[wrong]))
        return total

    def _roots(self, nodes: Array, side: float, low: Array, high: Array, below: NDArray[np.bool_]) -> Array:
        """Return the angles where y f changes sign; ``below``: whether it is negative at ``low``."""
        for _ in range(HALVINGS if low.size else 0):
            middle = 0.5 * (low + high)
            cos = np.cos(middle)
            value = self._moments.odd(nodes) * cos + side * self._moments.even(nodes, cos, np.sin(middle))
            same = (value < 0) == below
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        return 0.5 * (low + high)

    def _shares_above(self, phi: Array) -> Array:
        """Return the fraction of the inputs whose folded angle is below phi."""
        return np.asarray(betainc(0.5 * (self._moments.inputs - 1), 0.5, np.sin(phi) ** 2), dtype=np.float64)


def increasing_times(times: ArrayLike) -> Array:
    """Return times (times,) float64, not negative and increasing.

    Raises
    ------
    ValueError
        They are not.
    """
    given = checks.real_array("times", times, dimensions=1, shape="(times,)")
    if given[0] < 0:
        raise ValueError(f"times must not be negative, got {given[0]}")
    if (np.diff(given) <= 0).any():
        at = int(np.argmax(np.diff(given) <= 0))
        raise ValueError(f"times must increase, got {given[at + 1]} after {given[at]}")
    return given
