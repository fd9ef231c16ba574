"""One stretch of a mode between two deaths, under each family of losses, for many modes at once.

| symbol | meaning | name | shape |
|---|---|---|---|
| u | 2 tau, twice the residual clock | ``u`` | (curves,) |
| theta | 2 p rho t | ``theta`` | (curves,) |
| ln alpha, ln beta | of the margin alpha e^u - beta e^-u of the live neurons | ``grow``, ``decay`` | (curves,) |
| h | margin at which the residual vanishes | ``target`` | (curves,) |

Source: theory book, chapters 1 and 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shoal.theory import panels
from shoal.theory.clock import linear_theta, linear_u
from shoal.theory.quadrature import hyperbolic_step, pace_of
from shoal.theory.residual import Residual

Array = NDArray[np.float64]
Index = NDArray[np.int64]

BEYOND = 690.0
"""Margin at which the time of the exponential family nears the largest double; the mode counts as at rest there."""


@dataclass(frozen=True)
class State:
    """The state of modes: the two parts of the margin, the clock, and the target. All (curves,)."""

    grow: Array
    decay: Array
    u: Array
    target: Array

    def margin(self, u: Array, rows: Index | slice = slice(None)) -> Array:
        """Return alpha e^u - beta e^-u at clocks (rows, ...)."""
        grow, decay = self.grow[rows], self.decay[rows]
        tail = (...,) + (None,) * (u.ndim - grow.ndim)
        return np.asarray(np.exp(grow[tail] + u) - np.exp(decay[tail] - u), dtype=np.float64)


class Stretch(Protocol):
    """A stretch of every mode's clock, from its present value to ``right``, of duration ``theta``."""

    @property
    def right(self) -> Array:
        """Clock u at the end of the stretch; infinite if the mode needs no further stretch."""

    @property
    def theta(self) -> Array:
        """2 p rho times the duration of the stretch."""

    def u_at(self, rows: Index, theta: Array) -> Array:
        """Return the clock u of modes ``rows`` after ``theta``, within the stretch."""


@dataclass(frozen=True)
class _Quadrature:
    """The exponential family: one panel."""

    left: Array
    right: Array
    theta: Array
    series: Array
    ends: tuple[Array, Array]

    def u_at(self, rows: Index, theta: Array) -> Array:
        half = 0.5 * (self.right - self.left)[rows]
        xi = panels.invert(self.series, self.ends, rows, theta / half)
        # Panels this long have a constant pace; xi could not resolve them.
        flat = self.left[rows] + theta / self.ends[0][rows]
        return np.where(half > 50.0, flat, self.left[rows] + half * (xi + 1.0))


@dataclass(frozen=True)
class _Step:
    """The hinge: theta is u itself."""

    left: Array
    right: Array
    theta: Array

    def u_at(self, rows: Index, theta: Array) -> Array:
        return self.left[rows] + theta


@dataclass(frozen=True)
class _Linear:
    """Squared losses: a logistic."""

    state: State
    right: Array
    theta: Array

    def u_at(self, rows: Index, theta: Array) -> Array:
        alpha, beta = _parts(self.state, rows)
        target = self.state.target[rows]
        return self.state.u[rows] + linear_u(alpha, beta, target, target - (alpha - beta), theta)


def stretch(state: State, residual: Residual, death: Array) -> Stretch:
    """Return the longest stretch of each mode that ends by its next ``death`` (curves,), a clock u.

    Modes have at least one live neuron, and are short of their target.
    """
    if residual.family == "step":
        slope = np.hypot(state.target, 2.0 * np.exp(0.5 * (state.grow + state.decay)))
        reach = np.log(0.5 * (state.target + slope)) - state.grow
        right = np.minimum(death, np.maximum(reach, state.u))
        return _Step(state.u, right, right - state.u)
    if residual.family == "linear":
        return _linear_stretch(state, death)
    return _panel(state, residual, death)


def _panel(state: State, residual: Residual, death: Array) -> Stretch:
    up, down = _parts(state)
    right = np.minimum(state.u + hyperbolic_step(up - down, up, down, residual), death)
    pace = pace_of(residual, state.margin(panels.nodes(state.u, right)))
    ends = pace_of(residual, state.margin(state.u)), pace_of(residual, state.margin(right))
    return _Quadrature(state.u, right, panels.integral(pace, state.u, right), panels.series(pace), ends)


def _linear_stretch(state: State, death: Array) -> Stretch:
    alpha, beta = _parts(state)
    dies = np.isfinite(death)
    ahead = np.where(dies, death, state.u) - state.u
    reached = dies & (state.margin(state.u + ahead) < state.target)
    theta = np.full(death.shape, np.inf)
    theta[reached] = linear_theta(alpha[reached], beta[reached], state.target[reached], ahead[reached])
    return _Linear(state, np.where(reached, death, np.inf), theta)


def _parts(state: State, rows: Index | slice = slice(None)) -> tuple[Array, Array]:
    u = state.u[rows]
    return np.exp(state.grow[rows] + u), np.exp(state.decay[rows] - u)
