"""Many initial value problems at once by SciPy's eighth-order Runge-Kutta pair, with adaptive steps per problem.

| symbol | meaning | name | shape |
|---|---|---|---|
| y | state, one row per problem | ``state`` | (problems, carriers, components) |
| h | step | ``step`` | (problems,) |

``scipy.integrate.DOP853`` itself would advance all problems with one common step. Its tableau is used here with a step
and an error per problem, so that no problem waits for its neighbours.

Source: theory book, chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import DOP853

Array = NDArray[np.float64]

_A, _B, _E3, _E5 = DOP853.A, DOP853.B, DOP853.E3, DOP853.E5
_STAGES = DOP853.n_stages
EXPONENT = -1.0 / 8.0


def attempt(
    slope: Callable[[Array], Array], state: Array, first: Array, step: Array, allowed: Array
) -> tuple[Array, Array, Array]:
    """Return the state after one step, the slope there, and the error over the allowed error, (problems,).

    Parameters
    ----------
    slope
        dy/dt of a state (problems, carriers, components).
    state, first
        The state and the slope at it.
    step
        (problems,).
    allowed
        (problems, carriers) allowed error of a component, in addition to that by its own size; see :func:`tolerance`.
    """
    # A step that is far too long may overflow; its error is then infinite, and it is repeated.
    with np.errstate(over="ignore", invalid="ignore"):
        return _attempt(slope, state, first, step, allowed)


def _attempt(
    slope: Callable[[Array], Array], state: Array, first: Array, step: Array, allowed: Array
) -> tuple[Array, Array, Array]:
    stages = np.empty((_STAGES + 1, *state.shape))
    stages[0] = first
    h = step[:, None, None]
    for stage in range(1, _STAGES):
        stages[stage] = slope(state + h * np.tensordot(_A[stage, :stage], stages[:stage], axes=1))
    after = state + h * np.tensordot(_B, stages[:_STAGES], axes=1)
    stages[_STAGES] = slope(after)
    scale = tolerance(np.maximum(np.abs(state), np.abs(after)), allowed)
    # The largest component, not the mean: a mean would depend on how many empty carriers pad a problem.
    high = np.max(np.abs(np.tensordot(_E5, stages, axes=1)) / scale, axis=(1, 2), initial=0.0)
    low = np.max(np.abs(np.tensordot(_E3, stages, axes=1)) / scale, axis=(1, 2), initial=0.0)
    mixed = np.hypot(high, 0.1 * low)
    error = np.where(mixed > 0, step * high * (high / np.where(mixed > 0, mixed, 1.0)), 0.0)
    return after, stages[_STAGES], np.where(np.isfinite(error), error, np.inf)


def tolerance(size: Array, allowed: Array) -> Array:
    """Return the error allowed of each component: RTOL of its own size or of its carrier's."""
    return np.asarray(RTOL * np.maximum(size, allowed[..., None]), dtype=np.float64)


def resize(step: Array, error: Array) -> Array:
    """Return the next step (problems,) after a step of this error."""
    with np.errstate(divide="ignore"):
        return np.asarray(step * np.clip(0.9 * error**EXPONENT, 0.2, 8.0), dtype=np.float64)


RTOL = 1e-12
"""Error of one step relative to a component's size; about the least that eighth order reaches in doubles."""
CROSSING = 1e-13
"""Accuracy of a crossing, relative to the step that contains it."""


def first_crossing(switches: Callable[[Array], Array], step: Array) -> Array:
    """Return the end (problems,) of the shortest step after which one of a problem's switches is positive.

    Parameters
    ----------
    switches
        Smooth functions (problems, switches) of steps (problems,), none positive at 0 and one at ``step``.
    step
        (problems,).

    Notes
    -----
    The chord of each switch predicts where it crosses; the next try is slightly beyond the earliest. An end that stays
    twice loses half its weight (Illinois), and every fifth try halves the bracket. The result is on the positive side,
    within ``CROSSING`` of the crossing by the chord, relative to the step.
    """
    low, high = np.zeros_like(step), step.copy()
    below, above = np.minimum(switches(low), 0.0), switches(high)
    weight_low, weight_high = np.ones_like(step), np.ones_like(step)
    before = np.zeros(step.shape, dtype=np.int64)
    for turn in range(90):
        last = _earliest(low, high, below, above)
        if np.all(high - last <= CROSSING * step):
            break
        middle = _earliest(low, high, weight_low[:, None] * below, weight_high[:, None] * above)
        middle = middle + 0.3 * CROSSING * step
        outside = ~((middle > low) & (middle < high)) | (turn % 5 == 4)
        middle = np.where(outside, 0.5 * (low + high), middle)
        tried = switches(middle)
        beyond: NDArray[np.bool_] = np.any(tried > 0, axis=1)
        weight_low = np.where(beyond, np.where(before > 0, 0.5 * weight_low, weight_low), 1.0)
        weight_high = np.where(beyond, 1.0, np.where(before < 0, 0.5 * weight_high, weight_high))
        before = np.where(beyond, 1, -1)
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
        below, above = np.where(beyond[:, None], below, tried), np.where(beyond[:, None], tried, above)
    return high


def _earliest(low: Array, high: Array, below: Array, above: Array) -> Array:
    """Return where (problems,) the first of the switches that are positive at ``high`` crosses, by its chord."""
    part = np.where(above > 0, above / np.where(above > below, above - below, 1.0), 0.0)
    return np.asarray(high - (high - low) * np.max(part, axis=1, initial=0.0), dtype=np.float64)
