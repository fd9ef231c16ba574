"""Smooth flows y' = f(y) of a few numbers over any length of time, to about 1e-13, stiff or not.

| symbol | meaning | name | shape |
|---|---|---|---|
| y(t) | state | ``state`` | (states,) |
| f | velocity, at many states | ``velocity`` | (points, states) |
| J | its Jacobian | - | (points, states, states) |
| - | the size of its rounding errors | ``noise`` | (points, states) |
| t_0 | origin: a panel is a stretch of ln(t + t_0) | ``origin`` | scalar |
| kappa | its length there | ``kappa`` | scalar |
| c_i | nodes on (0, 1], the right Radau points | ``NODES`` | (stages,) |
| A_ij | int_0^c_i of the j-th Lagrange polynomial | ``WEIGHTS`` | (stages, stages) |

Each panel is one step of the Radau IIA collocation method in ln(t + t_0): a polynomial of degree ``STAGES`` whose
slope equals that of the flow at the nodes, found by Newton's method. Its Legendre coefficients show whether it resolves
the solution, and give the state anywhere in the panel. The method damps stiff components, so that a panel may be as
long as the solution is smooth. In this variable panels of a logarithmic tail are long.

Source: theory book, chapter 6 ("How it is solved").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

Array = NDArray[np.float64]
Velocity = Callable[[Array], tuple[Array, Array, Array]]

STAGES = 16
RESOLVED = 2e-14
"""Largest last coefficients of a resolved panel, relative to the size of the state."""
FURTHEST = 5.0
"""How far a straight line may extend as the first guess of a panel."""
WIDEST = 8.0
"""Longest panel in ln(t + t_0); in longer ones Newton's method seldom converges."""
LONGEST = 1e300
"""No panel ends after this."""


def _nodes() -> Array:
    coefficients = np.zeros(STAGES + 1)
    coefficients[-2:] = -1.0, 1.0
    roots = legendre.legroots(coefficients)
    slope = legendre.legder(coefficients)
    roots = roots - legendre.legval(roots, coefficients) / legendre.legval(roots, slope)
    roots[-1] = 1.0
    return np.asarray(0.5 * (roots + 1.0), dtype=np.float64)


def _weights(nodes: Array) -> Array:
    x = 2.0 * nodes - 1.0
    values = legendre.legvander(x, STAGES)
    order = np.arange(1, STAGES)
    integrals = np.empty((STAGES, STAGES))
    integrals[:, 0] = nodes
    integrals[:, 1:] = (values[:, 2:] - values[:, :-2]) / (2.0 * (2.0 * order + 1.0))
    return np.asarray(np.linalg.solve(values[:, :STAGES].T, integrals.T).T, dtype=np.float64)


NODES = _nodes()
WEIGHTS = _weights(NODES)
_TO_COEFFICIENTS = np.linalg.inv(legendre.legvander(2.0 * np.concatenate([[0.0], NODES]) - 1.0, STAGES))


@dataclass(frozen=True)
class Panel:
    """One stretch of the solution.

    Attributes
    ----------
    left, length
        The stretch is [left, left + length].
    origin
        t_0.
    coefficients
        (STAGES + 1, states) float64, the Legendre series of the state.

    Notes
    -----
    Source: theory book, chapter 6.
    """

    left: float
    length: float
    origin: float
    coefficients: Array

    def at(self, elapsed: Array) -> Array:
        """Return the states (points, states) float64 at times (points,) counted from the left end."""
        base = self.left + self.origin
        place = np.log1p(elapsed / base) / np.log1p(self.length / base)
        return np.asarray(legendre.legval(2.0 * place - 1.0, self.coefficients).T, dtype=np.float64)


def panels(
    velocity: Velocity, state: Array, scale: Array, time: float, length: float, origin: float
) -> Iterator[Panel]:
    """Yield panels of the solution from ``state`` at ``time`` on, one after the other, without end.

    Parameters
    ----------
    velocity
        From states (points, states) to f (points, states), its Jacobian (points, states, states) and the size of the
        rounding errors of f (points, states), float64. Where f is a difference of large terms, the flow is resolved as
        far as these allow.
    state
        (states,) float64.
    scale
        (states,) float64, not negative: errors are relative to this, or to the largest size so far if that is larger.
    time
        The time of ``state``.
    length
        The length of the first attempt.
    origin
        t_0, positive: a time at most of the order of that of the first change of the state.

    Raises
    ------
    RuntimeError
        No panel longer than a rounding of the time resolves the solution.

    Notes
    -----
    Cost: a panel takes about five solves of (STAGES x states) linear equations.
    Source: theory book, chapter 6.
    """
    scale = np.maximum(np.maximum(scale, np.abs(state)), 1e-300)
    base = time + origin
    kappa = float(np.log1p(length / base))
    while True:
        pace = base * kappa * np.exp(kappa * NODES)
        found = _collocate(velocity, state, scale, pace)
        wide = np.inf
        if found is not None:
            nodes, allowed = found
            coefficients = _TO_COEFFICIENTS @ np.concatenate([state[None], nodes])
            wide, middle = (float((np.abs(coefficients[k - 1 : k + 1]) / allowed).max()) for k in (STAGES, STAGES // 2))
        if found is None or wide > 1.0:
            kappa *= 0.25 if found is None else max(0.2, 0.9 * wide ** (-1.0 / STAGES))
            if time + base * kappa == time or kappa < 1e-300:
                raise RuntimeError(f"the flow changes within a rounding of the time {time} and cannot be resolved")
            continue
        length = base * float(np.expm1(kappa))
        yield Panel(time, length, origin, coefficients)
        time, state, scale = time + length, nodes[-1], np.maximum(scale, np.abs(nodes).max(axis=0))
        base = time + origin
        # Extrapolated from the middle coefficients, because rounding errors may hide the last ones.
        expected = max(min(wide, RESOLVED * middle**2), 1e-25)
        kappa *= min(8.0, 0.9 * expected ** (-1.0 / STAGES))
        kappa = min(kappa, WIDEST, float(np.log(LONGEST / base)))


def _signs(stages: int, states: int) -> Array:
    """Return signs without a pattern, identical in every call."""
    order = np.arange(stages * states, dtype=np.float64).reshape(stages, states)
    return np.where(np.sin(1.0 + order**2) < 0.0, -1.0, 1.0)


def _collocate(velocity: Velocity, state: Array, scale: Array, pace: Array) -> tuple[Array, Array] | None:
    """Return the states (STAGES, states) at the nodes of one panel, or None if Newton's method does not converge.

    ``pace`` (STAGES,) is dt/dc at the nodes. The second array (states,) is the error that is allowed.
    """
    stages, states = len(NODES), len(state)
    first = float(pace[0]) * velocity(state[None])[0]
    nodes = state + np.clip(NODES[:, None] * first, -FURTHEST, FURTHEST)
    scaled = WEIGHTS * pace
    before = np.inf
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(14):
            slope, jacobian, noise = velocity(nodes)
            residual = nodes - state - scaled @ slope
            system = -np.einsum("ij,jkl->ikjl", scaled, jacobian).reshape(stages * states, stages * states)
            system[np.diag_indices_from(system)] += 1.0
            if not (np.isfinite(system).all() and np.isfinite(residual).all()):
                return None
            # How rounding errors of f, with random signs, move the nodes: little if the flow is stiff, much if not.
            sides = np.stack([residual.ravel(), (scaled @ (noise * _signs(stages, states))).ravel()], axis=1)
            try:
                change, drift = np.linalg.solve(system, sides).T.reshape(2, stages, states)
            except np.linalg.LinAlgError:
                return None
            nodes = nodes - change
            size = np.maximum(scale, np.abs(nodes).max(axis=0))
            allowed = RESOLVED * size + 4.0 * np.abs(drift).max(axis=0)
            moved = float((np.abs(change).max(axis=0) / allowed).max())
            # Below this, further steps only change the rounding errors.
            if moved < 0.2 or (moved < 50.0 and moved >= 0.1 * before):
                return nodes, allowed
            before = moved
    return None
