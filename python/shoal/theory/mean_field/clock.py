"""The clock of mean-field hinge classification: gamma as a function of time, and back, by quadrature.

| symbol | meaning | name | shape |
|---|---|---|---|
| theta | clock: time x the speed of gamma at initialisation | ``theta`` | (points,) |
| gamma | the angle by which all nodes have turned | ``gamma`` | (points,) |
| A | boundary x_c = A / sinh 2 gamma (lazy: A / 2 gamma) | ``level`` | scalar |
| S | fraction of the mean projection that is unsatisfied | - | - |
| eta | coordinate of the distribution of inputs | ``eta`` | any |

dtheta = dgamma / S(x_c). S = 1 up to gamma_0, at which x_c falls to the reach R of the inputs, so theta = gamma. Then
theta(eta) is integrated on panels of equal length in eta, in which 1/S is analytic for abs(Im eta) < pi/4.

Source: theory book, chapter 7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from shoal.theory import panels
from shoal.theory.mean_field.distributions import ROUNDING, InputDistribution

Array = NDArray[np.float64]

LENGTH = 0.75
"""Panel in eta; its 16 Gauss nodes have an error of (2.1 + sqrt(1 + 2.1^2))^-32, far below rounding."""
BATCH = 64
"""Panels computed together."""
NEWTON = 60
"""Most Newton steps; from the right of the root of a convex function they cannot overshoot, and some six suffice."""


@dataclass(frozen=True)
class HingeClock:
    """The clock theta(gamma) and its inverse, each vectorised and exact to about 1e-13 relative.

    ``lazy`` replaces sinh 2 gamma by 2 gamma: the linearised network. Source: formulas (7.8), (7.9) and (7.14) of the
    theory book.
    """

    distribution: InputDistribution
    level: float
    lazy: bool = False

    @property
    def start(self) -> float:
        """gamma_0, until which theta = gamma: the boundary lies beyond all inputs."""
        return float(self._gamma(np.zeros(())))

    @property
    def stops(self) -> bool:
        """Whether gamma stays at gamma_0: no input has a small projection (one dimension on the sphere)."""
        return self.distribution.bend == 0.0

    def theta(self, gamma: Array) -> Array:
        """Return theta at gamma >= 0 (points,); infinite if it overflows, or if gamma stops before."""
        late = gamma > self.start * (1.0 + ROUNDING * self.stops)
        theta = np.where(late, np.inf, gamma)
        if self.stops or not late.any():
            return theta
        eta = self._eta(gamma[late])
        edges, clocks = self._table
        panel = np.clip(np.searchsorted(edges, eta, side="right") - 1, 0, len(edges) - 1)
        inside = panel < len(edges) - 1
        found = np.full(eta.shape, np.inf)
        found[inside] = clocks[panel[inside]] + self._piece(edges[panel[inside]], eta[inside])
        theta[late] = found
        return theta

    def gamma(self, theta: Array) -> Array:
        """Return gamma at theta >= 0 (points,), infinity included."""
        if self.stops:
            return np.minimum(theta, self.start)
        gamma = theta.copy()
        clocks = self._table[1]
        late = (theta > clocks[0]) & (theta < clocks[-1])
        if late.any():
            gamma[late] = self._solve(theta[late])
        beyond = theta >= clocks[-1]
        gamma[beyond] = self.tail(theta[beyond])
        return gamma

    def tail(self, theta: Array) -> Array:
        """Return the late formula ln(16 kappa A^2 theta)/4, at least 0; lazy (3 kappa A^2 theta/4)^(1/3)."""
        if self.stops:
            return np.full(theta.shape, self.start)
        with np.errstate(divide="ignore"):
            scale = math.log(self.distribution.bend) + 2.0 * math.log(self.level) + np.log(theta)
        if self.lazy:
            return np.asarray(np.exp((scale + math.log(0.75)) / 3.0), dtype=np.float64)
        return np.asarray(np.maximum(0.25 * (scale + math.log(16.0)), 0.0), dtype=np.float64)

    def _solve(self, theta: Array) -> Array:
        """Return gamma at theta between the first and the last value of the table."""
        edges, clocks = self._table
        panel = np.clip(np.searchsorted(clocks, theta, side="right") - 1, 0, len(edges) - 2)
        left, eta = edges[panel], edges[panel + 1]
        low, gamma, area = self._gamma(left), self._gamma(eta), theta - clocks[panel]
        # theta is convex in gamma: from the right end Newton's iterates fall towards the root.
        for _ in range(NEWTON):
            step = (self._piece(left, eta) - area) * self.distribution.mean_fraction_at(eta)
            gamma = np.maximum(gamma - step, low)
            eta = np.clip(self._eta(gamma), left, edges[panel + 1])
            if np.all(np.abs(step) <= 1e-9 * gamma):
                break
        return gamma

    @cached_property
    def _origin(self) -> float:
        """Logarithm of sinh 2 gamma_0."""
        return math.log(self.level) - math.log(self.distribution.reach)

    @cached_property
    def _table(self) -> tuple[Array, Array]:
        """Panel edges in eta and the clock there, up to the largest double."""
        edges, clocks = [np.zeros(1)], [np.asarray([self.start])]
        while True:
            grid = edges[-1][-1] + LENGTH * np.arange(BATCH + 1)
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                clock = clocks[-1][-1] + np.cumsum(self._piece(grid[:-1], grid[1:]))
            finite = int(np.isfinite(clock).cumprod().sum())
            edges.append(grid[1 : finite + 1])
            clocks.append(clock[:finite])
            if finite < BATCH:
                return np.concatenate(edges), np.concatenate(clocks)

    def _piece(self, left: Array, right: Array) -> Array:
        """Return the integral of dgamma/S from ``left`` to ``right`` in eta, not more than one panel apart."""
        eta = panels.nodes(left, right)
        log_path = self._origin + self.distribution.log_rise(eta)
        slope = self._angle(log_path) if self.lazy else 0.5 * np.tanh(2.0 * self._angle(log_path))
        length = slope * self.distribution.rise_rate(eta)
        return panels.integral(length / self.distribution.mean_fraction_at(eta), left, right)

    def _eta(self, gamma: Array) -> Array:
        return self.distribution.eta(np.maximum(self._log_path(gamma) - self._origin, 0.0))

    def _gamma(self, eta: Array) -> Array:
        return self._angle(self._origin + self.distribution.log_rise(eta))

    def _angle(self, log_path: Array) -> Array:
        """Return gamma from ln sinh 2 gamma (lazy: ln 2 gamma)."""
        if self.lazy:
            return np.asarray(0.5 * np.exp(log_path), dtype=np.float64)
        grown = np.arcsinh(np.exp(np.minimum(log_path, 20.0)))
        return np.asarray(0.5 * np.where(log_path > 20.0, log_path + math.log(2.0), grown), dtype=np.float64)

    def _log_path(self, gamma: Array) -> Array:
        """Return ln sinh 2 gamma (lazy: ln 2 gamma)."""
        if self.lazy:
            return np.asarray(np.log(2.0 * gamma), dtype=np.float64)
        return np.asarray(2.0 * gamma + np.log(-0.5 * np.expm1(-4.0 * gamma)), dtype=np.float64)
