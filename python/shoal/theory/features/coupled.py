"""Coupled features between two events, and the events: the solver behind ``Features``.

| symbol | meaning | name | shape |
|---|---|---|---|
| u_k | strength of feature k, its part of a margin | ``strength`` | (points, features) |
| y_k | ln(u_k/u_k0) at depth 2 and more, u_k - u_k0 at depth 1 | ``state`` | (points, features) |
| [k in T] | which type carries which feature | ``members`` | (types, features) |
| p_T | frequency of a type | ``frequencies`` | (types,) |
| m_T | margin of a type, the sum of its u_k | ``margin`` | (points, types) |
| G_k | drive, the sum of p_T (r(m_T) - zeta m_T) over the types that carry k | ``drive`` | (points, features) |
| R_k | N rho_k^(2/N) | ``rates`` | (features,) |
| gamma | 1 - 2/N | ``gamma`` | scalar |
| lambda | weight decay | ``decay`` | scalar |
| zeta | spectral decoupling | ``decoupling`` | scalar |

An event is a type that reaches the threshold h, from either side. Between two events of a hinge G is constant and u has
a closed form; other losses are smooth there and are integrated by :mod:`shoal.theory.features.collocation`.

Source: theory book, chapter 6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from shoal.theory.features.collocation import RESOLVED, Panel, panels
from shoal.theory.residual import Residual

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

EPSILON = float(np.finfo(np.float64).eps)
ROUNDING = 4.0 * EPSILON
VANISHED = 1e-290
"""A strength that weight decay has brought below this counts as 0."""


class Stretch(Protocol):
    """The state from one event or panel to the next."""

    @property
    def left(self) -> float:
        """The time at which it begins."""

    @property
    def length(self) -> float:
        """Its duration; may be infinite."""

    def at(self, elapsed: Array) -> Array:
        """Return the states (points, features) at times (points,) counted from its beginning."""


@dataclass(frozen=True)
class Steady:
    """A stretch on which the drive is constant. Source: formula (6.5) of the theory book."""

    left: float
    length: float
    first: Array
    pushes: Array
    gamma: float

    def at(self, elapsed: Array) -> Array:
        """Return y_0 + q t, at depth above 2 y_0 - ln(1 - gamma q t)/gamma; q = ``pushes`` is the velocity at y_0."""
        moved = elapsed[:, None] * self.pushes
        if self.gamma > 0:
            moved = -np.log1p(-np.minimum(self.gamma * moved, 1.0 - 1e-16)) / self.gamma
        return np.asarray(self.first + moved, dtype=np.float64)


@dataclass(frozen=True)
class Cut:
    """The part of a panel before an event. Source: theory book, chapter 6."""

    panel: Panel
    length: float

    @property
    def left(self) -> float:
        """When it begins."""
        return self.panel.left

    def at(self, elapsed: Array) -> Array:
        """Return the states of the panel."""
        return self.panel.at(elapsed)


@dataclass(frozen=True)
class System:
    """The coupled flow in the symbols above.

    Source: formulas (6.2), (6.4) and (6.14) of the theory book.
    """

    norms: Array
    members: Array
    frequencies: Array
    starts: Array
    residual: Residual
    depth: int
    decay: float = 0.0
    decoupling: float = 0.0
    shared: bool = False

    @property
    def additive(self) -> bool:
        """Whether the state is u - u_0, and not ln(u/u_0)."""
        return self.shared or self.depth == 1

    @property
    def gamma(self) -> float:
        """1 - 2/N, not used at depth 1."""
        return 1.0 - 2.0 / self.depth

    @property
    def rates(self) -> Array:
        """N rho_k^(2/N)."""
        return np.asarray(self.depth * self.norms ** (2.0 / self.depth), dtype=np.float64)

    def strengths(self, state: Array) -> Array:
        """Return u (points, features)."""
        if self.additive:
            return self.starts + state
        with np.errstate(over="ignore"):
            return np.asarray(self.starts * np.exp(state), dtype=np.float64)

    def drive(self, margin: Array, live: Flags) -> Array:
        """Return G (points, features) at margins (points, types), counting the types that are ``live`` (types,)."""
        force = self._force(margin, live) - self.decoupling * margin
        return np.asarray((self.frequencies * force) @ self.members, dtype=np.float64)

    def velocity(self, state: Array, live: Flags) -> tuple[Array, Array]:
        """Return y' (points, features) and its Jacobian (points, features, features)."""
        u = self.strengths(state)
        margin = u @ self.members.T
        drive = self.drive(margin, live)
        slope = self.frequencies * (self._slope(margin, live) - self.decoupling)
        bend = np.einsum("tk,it,tj->ikj", self.members, slope, self.members)
        diagonal = np.arange(u.shape[1])
        if self.shared:
            return self._shared_velocity(u, drive, bend)
        if self.depth == 1:
            jacobian = self.rates[:, None] * bend
            jacobian[:, diagonal, diagonal] -= self.decay
            return self.rates * drive - self.decay * u, jacobian
        pace = self.rates * u**self.gamma
        jacobian = bend * u[:, None, :]
        jacobian[:, diagonal, diagonal] += self.gamma * drive
        return pace * drive - self.depth * self.decay, pace[:, :, None] * jacobian

    def noise(self, state: Array, live: Flags) -> Array:
        """Return the size (points, features) of the rounding errors of y', that of the terms of its differences."""
        u = self.strengths(state)
        margin = u @ self.members.T
        # The change of u by a rounding of the state, in units of epsilon.
        moved = np.abs(self.starts) + np.abs(state) if self.additive else u * (1.0 + np.abs(state))
        size = moved @ self.members.T
        force = np.abs(self._force(margin, live))
        error = force + (np.abs(self._slope(margin, live)) + self.decoupling) * size
        drive = (self.frequencies * error) @ self.members
        if not self.shared:
            pull = moved if self.depth == 1 else 1.0
            pace = self.rates if self.depth == 1 else self.rates * u**self.gamma
            return EPSILON * (pace * drive + self.depth * self.decay * pull)
        length = np.linalg.norm(u / self.norms, axis=1, keepdims=True)
        total = self.depth * length ** (1.0 + self.gamma) * (self.norms * drive).sum(axis=1, keepdims=True)
        return np.asarray(EPSILON * (self.norms * total + self.depth * self.decay * moved), dtype=np.float64)

    def _shared_velocity(self, u: Array, drive: Array, bend: Array) -> tuple[Array, Array]:
        """Return u' and its Jacobian where all neurons share one direction v, u_k = rho_k v_k.

        v' = |v|^(2-2/N) [g + (N-1) n (n.g)] - N lambda v with n = v/|v| and g_k = rho_k G_k.
        """
        v, g = u / self.norms, self.norms * drive
        size = np.maximum(np.linalg.norm(v, axis=1), VANISHED)
        n = v / size[:, None]
        along = np.einsum("ik,ik->i", n, g)
        forces = g + (self.depth - 1.0) * along[:, None] * n
        pace = size ** (1.0 + self.gamma)
        dg = self.norms[:, None] * bend * self.norms
        across = np.eye(len(self.norms)) - n[:, :, None] * n[:, None, :]
        turn = (along / size)[:, None, None] * across
        turn += n[:, :, None] * ((g - along[:, None] * n) / size[:, None] + np.einsum("ik,ikj->ij", n, dg))[:, None, :]
        jacobian = pace[:, None, None] * (dg + (self.depth - 1.0) * turn)
        jacobian += ((1.0 + self.gamma) * pace / size)[:, None, None] * forces[:, :, None] * n[:, None, :]
        jacobian = self.norms[:, None] * jacobian / self.norms
        jacobian -= self.depth * self.decay * np.eye(len(self.norms))
        return self.norms * pace[:, None] * forces - self.depth * self.decay * u, jacobian

    def change(self, u: Array) -> Array:
        """Return u' (points, features) at strengths u (points, features)."""
        margin = u @ self.members.T
        force = self.residual(margin) - self.decoupling * margin
        drive = (self.frequencies * force) @ self.members
        if not self.shared:
            grown = u ** (1.0 + self.gamma) if self.depth > 1 else np.ones_like(u)
            return np.asarray(self.rates * grown * drive - self.depth * self.decay * u, dtype=np.float64)
        return self._shared_velocity(u, drive, np.zeros((*u.shape, u.shape[1])))[0]

    def stretches(self) -> Iterator[Stretch]:
        """Yield the solution from time 0 on, stretch by stretch; the last one may be infinite."""
        closed = self.residual.family == "step" and not self.shared
        return self._steady() if closed else self._smooth()

    def _force(self, margin: Array, live: Flags) -> Array:
        """Return r(m), in the form that continues smoothly across a threshold."""
        if self.residual.family == "linear":
            return np.where(live, self.residual.target - margin, 0.0)
        if self.residual.family == "step":
            return np.broadcast_to(np.where(live, 1.0, 0.0), margin.shape)
        return self.residual(margin)

    def _slope(self, margin: Array, live: Flags) -> Array:
        """Return r'(m)."""
        if self.residual.family == "linear":
            return np.broadcast_to(np.where(live, -1.0, 0.0), margin.shape)
        return residual_slope(self.residual, margin)

    def _steady(self) -> Iterator[Stretch]:
        target = self.residual.target
        time, state = 0.0, np.zeros(len(self.norms))
        live = self.starts @ self.members.T < target
        while True:
            u = self.strengths(state)
            drive = self.drive(u @ self.members.T, live)
            pushes = self.rates * drive * (u**self.gamma if self.depth > 1 else 1.0)
            stretch = Steady(time, math.inf, state, pushes, max(self.gamma, 0.0))
            ends = {int(kind): self._arrival(stretch, u, int(kind)) for kind in np.flatnonzero(live)}
            length = min(ends.values(), default=math.inf)
            yield Steady(time, length, state, pushes, stretch.gamma)
            if length == math.inf:
                return
            time, state = time + length, stretch.at(np.array([length]))[0]
            reached = np.array([kind for kind, end in ends.items() if end <= length * (1.0 + ROUNDING)])
            live[reached] = False

    def _arrival(self, stretch: Steady, u: Array, kind: int) -> float:
        """Return the time until a live type reaches the threshold; infinite if nothing pushes it."""
        carried = (self.members[kind] > 0) & (stretch.pushes > 0)
        if not carried.any():
            return math.inf
        target = self.residual.target
        rest = target - float(u @ self.members[kind])

        def gap(elapsed: float) -> float:
            return float(self.strengths(stretch.at(np.array([elapsed])))[0] @ self.members[kind]) - target

        # An upper bound: the time one feature alone would need. With the others, which do not fall, it takes less.
        if self.depth == 1:
            return float(rest / stretch.pushes[carried].sum())
        climb = np.log1p(rest / u[carried])
        if self.gamma > 0:
            climb = -np.expm1(-self.gamma * climb) / self.gamma
        alone = climb / stretch.pushes[carried]
        latest = float(alone.min())
        if carried.sum() == 1 or gap(latest) <= 0.0:
            return latest
        return float(brentq(gap, 0.0, latest, xtol=1e-300, rtol=ROUNDING, maxiter=500))

    def _smooth(self) -> Iterator[Stretch]:
        time, state = 0.0, np.zeros(len(self.norms))
        scale = np.abs(self.starts) if self.additive else np.ones_like(state)
        live = self._live(self.starts @ self.members.T)
        origin = 0.0
        while True:
            speed, jacobian = self.velocity(state[None], live)
            fastest = float(np.abs(speed).max() + np.abs(jacobian).max())
            length = 1.0 / fastest if fastest > 0 else 1.0
            origin = origin or length

            def flow(y: Array, live: Flags = live) -> tuple[Array, Array, Array]:
                return *self.velocity(y, live), self.noise(y, live)

            for panel in panels(flow, state, scale, time, length, origin):
                event = self._event(panel, live)
                if event is None:
                    yield panel
                    last = panel.at(np.array([panel.length]))
                    if self._rests(last, live):
                        end = panel.left + panel.length
                        yield Steady(end, math.inf, last[0], np.zeros(len(self.norms)), 0.0)
                        return
                    continue
                elapsed, kind = event
                yield Cut(panel, elapsed)
                time, state = panel.left + elapsed, panel.at(np.array([elapsed]))[0]
                live = live.copy()
                live[kind] = ~live[kind]
                break

    def _rests(self, state: Array, live: Flags) -> bool:
        """Return whether every feature is at rest to rounding, or at 0."""
        speed, jacobian = self.velocity(state, live)
        # The state is known only to the accuracy of a panel.
        known = RESOLVED * np.maximum(np.abs(self.starts) if self.additive else 1.0, np.abs(state))
        slack = 4.0 * self.noise(state, live) + np.einsum("ikj,ij->ik", np.abs(jacobian), known)
        still = np.abs(speed) <= slack
        return bool((still | ((not self.additive) & (self.strengths(state) < VANISHED))).all())

    @property
    def _has_threshold(self) -> bool:
        return math.isfinite(self.residual.target) and not self.residual.both_sides

    def _live(self, margin: Array) -> Flags:
        if self._has_threshold:
            return margin < self.residual.target
        return np.ones(margin.shape, dtype=np.bool_)

    def _event(self, panel: Panel, live: Flags) -> tuple[float, int] | None:
        """Return when a type first crosses the threshold within a panel, and which type."""
        if not self._has_threshold:
            return None
        target, side = self.residual.target, np.where(live, 1.0, -1.0)
        grid = np.linspace(0.0, panel.length, 65)
        beyond = side * (self.strengths(panel.at(grid)) @ self.members.T - target)
        # A margin at rest on the threshold fluctuates by rounding errors, which are no crossings.
        crossed = beyond > 8.0 * ROUNDING * target
        if not crossed.any():
            return None
        found: list[tuple[float, int]] = []
        for kind in np.flatnonzero(crossed.any(axis=0)):

            def gap(elapsed: float, kind: int = int(kind)) -> float:
                u = self.strengths(panel.at(np.array([elapsed])))[0]
                return float(side[kind] * (u @ self.members[kind] - target))

            after = int(np.argmax(crossed[:, kind]))
            before = np.flatnonzero(beyond[:after, kind] <= 0.0)
            left = float(grid[before[-1]]) if len(before) else 0.0
            right = float(grid[after])
            when = float(brentq(gap, left, right, xtol=1e-300, rtol=ROUNDING, maxiter=500)) if gap(left) < 0.0 else left
            found.append((when, int(kind)))
        return min(found)


def residual_slope(residual: Residual, margin: Array) -> Array:
    """Return r'(m), of the shape of ``margin``; 0 for a hinge and beyond the threshold of a squared hinge."""
    if residual.family == "step":
        return np.zeros(margin.shape)
    if residual.family == "linear":
        return np.where((margin < residual.target) | residual.both_sides, -1.0, 0.0)
    force = residual(margin)
    # 1 - r of cross-entropy, computed as the residual of -m, which keeps its digits.
    return -force * residual(-margin) if residual.offset else -force
