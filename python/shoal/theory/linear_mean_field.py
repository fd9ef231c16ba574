"""Linear two-layer networks in the mean-field parametrisation: order parameters that close at any width.

| symbol | meaning | name | shape |
|---|---|---|---|
| f(x) | (alpha/M) sum_i a_i w_i.x / sqrt(d) | ``outputs`` | (networks, times, points) |
| G | (1/M) sum_i w_i w_i^T | ``weight_moments`` | (networks, times, d, d) |
| v | (1/M) sum_i a_i w_i | ``products`` | (networks, times, d) |
| q | (1/M) sum_i a_i^2 | ``output_moment`` | (networks, times) |
| b | sum_s p_s (y_s - f(x_s)) x_s / sqrt(d) | - | (networks, d) |
| K | tangent kernel | ``kernel`` | (networks, times, points, points) |

Source: theory book, chapter 9 ("Feature learning at finite width").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from shoal.base import checks
from shoal.theory.domains import MOST, between, size, times_until
from shoal.theory.geometry import check_weights

Array = NDArray[np.float64]

RTOL = 1e-12
STEP = 1e-30
"""Of derivatives by a complex step: its square is far below rounding."""
SHIFT = 1e-3
"""Of second derivatives by differences: they are off by about its square, and by `RTOL` over its square."""
LATEST = 1e6
MOST_STEPS = 1e4
"""Time over the shortest time constant: an explicit integrator takes about as many steps."""


class SupportsRegression(Protocol):
    """What is needed of a task: anything with these three arrays."""

    @property
    def inputs(self) -> Array:
        """(samples, inputs)."""

    @property
    def targets(self) -> Array:
        """(samples,)."""

    @property
    def sample_weight(self) -> Array:
        """(samples,), not negative, with a sum of 1."""


@dataclass(frozen=True, eq=False)
class LinearMeanField:
    """Order parameters over time.

    Attributes
    ----------
    weight_moments, products, output_moment
        G (networks, times, d, d), v (networks, times, d) and q (networks, times), float64.
    alpha
        Scale of the output.

    Notes
    -----
    Source: theory book, chapter 9.
    """

    weight_moments: Array
    products: Array
    output_moment: Array
    alpha: float

    def outputs(self, points: ArrayLike) -> Array:
        """Return f at points (points, d), (networks, times, points): formula (9.35) of the theory book."""
        x = self._points(points)
        return np.asarray(self.alpha * self.products @ x.T / np.sqrt(x.shape[1]))

    def kernel(self, points: ArrayLike) -> Array:
        """Return the tangent kernel, (networks, times, points, points): formula (9.35) of the theory book."""
        x = self._points(points)
        both = x @ self.weight_moments @ x.T + self.output_moment[..., None, None] * (x @ x.T)
        return np.asarray(self.alpha * both / x.shape[1])

    def _points(self, points: ArrayLike) -> Array:
        x = checks.real_array("points", points, dimensions=2, shape="(points, inputs)")
        between("points", x, -MOST, MOST)
        if x.shape[1] != self.products.shape[-1]:
            raise ValueError(f"points must have {self.products.shape[-1]} inputs, got shape {x.shape}")
        return x


@dataclass(frozen=True, eq=False)
class FiniteWidth:
    """How random networks of M nodes differ from infinitely wide ones, as M grows.

    Attributes
    ----------
    output_scatter, kernel_scatter
        sqrt(M) times the standard deviation over networks, (times, points) and (times, points, points), float64.
    output_bias, kernel_bias
        M times the mean over networks less the limit, of the same shapes.

    Notes
    -----
    Source: theory book, chapter 9.
    """

    output_scatter: Array
    kernel_scatter: Array
    output_bias: Array
    kernel_bias: Array


def linear_mean_field(
    task: SupportsRegression, times: ArrayLike, alpha: float = 1.0, weights: Sequence[ArrayLike] | None = None
) -> LinearMeanField:
    """Return how linear two-layer networks of ``Network.mean_field`` learn by gradient flow on the squared loss.

    G' = b v^T + v b^T, v' = q b + G b and q' = 2 v.b close, at any width. Infinitely many nodes, a_i and w_i from
    N(0, 1), start at G = 1, v = 0, q = 1; M nodes from their own moments, and by nothing else differ from the limit.

    Parameters
    ----------
    task
        Anything with ``inputs`` (samples, d), ``targets`` (samples,) and ``sample_weight`` (samples,).
    times
        (times,) float64 in any order, from 0 to 1e6, and to about 1e4 of the network's shortest time constants.
    alpha
        Scale of the output, from 1e-100 to 1e100. The network is not centred.
    weights
        Initial weights (networks, M, d) and (networks, 1, M) of networks; left out, infinite width, with one network.

    Returns
    -------
    LinearMeanField

    Raises
    ------
    TypeError
        An argument is not of real numbers, or ``task`` lacks an array.
    ValueError
        Shapes do not fit, a number is out of range, or a time is so late that the integration would take minutes.
    RuntimeError
        The integrator gave up.

    Notes
    -----
    One integration by SciPy's DOP853 of all networks, relative tolerance 1e-12.

    Source: formulas (9.34), (9.35) and (9.36) of the theory book; arXiv:2205.09653.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> task = SimpleNamespace(inputs=np.eye(1), targets=np.array([1.0]), sample_weight=np.array([1.0]))
    >>> linear_mean_field(task, [0.0, 1.0, 8.0]).outputs([[1.0]])[0, :, 0].round(6)
    array([0.      , 0.906588, 1.      ])
    """
    inputs, pulls, drive = _gradient(task)
    asked, scale, d = times_until(times, LATEST), size("alpha", alpha), inputs.shape[1]
    if weights is None:
        first = np.eye(d + 1)[None]
    else:
        incoming, outgoing = check_weights(weights, d)
        first = _packed(np.concatenate([incoming, outgoing[..., None]], axis=2))
    return _of_moments(_integrate(first, asked, scale * pulls, drive), scale)


def linear_finite_width(
    task: SupportsRegression, times: ArrayLike, points: ArrayLike, alpha: float = 1.0
) -> FiniteWidth:
    """Return by how much linear networks of M random nodes differ from :func:`linear_mean_field`, as M grows.

    The moments of M nodes at initialisation are means of independent terms, off by order 1/sqrt(M). That carries over
    to outputs and kernels: their standard deviation by the first derivative of the limit by its initial state, the bias
    of their mean by the second.

    Parameters
    ----------
    task, times, alpha
        As in :func:`linear_mean_field`.
    points
        (points, d) float64, where outputs and kernels are taken.

    Returns
    -------
    FiniteWidth

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As in :func:`linear_mean_field`.

    Notes
    -----
    Second derivatives are central differences, to about 1e-6 of the largest.

    Source: formulas (9.37) and (9.38) of the theory book; arXiv:2205.09653.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> task = SimpleNamespace(inputs=np.eye(1), targets=np.array([1.0]), sample_weight=np.array([1.0]))
    >>> found = linear_finite_width(task, [0.0, 8.0], [[1.0]])
    >>> found.output_scatter[0], found.kernel_scatter[0]
    (array([1.]), array([[2.]]))
    """
    inputs, pulls, drive = _gradient(task)
    asked, scale, d = times_until(times, LATEST), size("alpha", alpha), inputs.shape[1]
    rows, columns = np.triu_indices(d + 1)
    directions = np.zeros((len(rows), d + 1, d + 1))
    # A mean over nodes of u_i u_j, u = (w, a), has a variance of 1/M, on the diagonal of 2/M; none goes with another.
    spread = np.where(rows == columns, np.sqrt(2.0), 1.0)
    directions[np.arange(len(rows)), rows, columns] = directions[np.arange(len(rows)), columns, rows] = spread
    middle = np.broadcast_to(np.eye(d + 1), directions.shape)

    def moved(first: NDArray[Any]) -> NDArray[Any]:
        return _integrate(first, asked, scale * pulls, drive)

    slopes = moved(middle + 1j * STEP * directions).imag / STEP
    bends = (moved(middle + SHIFT * directions) + moved(middle - SHIFT * directions) - 2 * moved(middle)) / SHIFT**2
    first, second = _of_moments(slopes, scale), _of_moments(bends, scale)
    return FiniteWidth(
        np.sqrt((first.outputs(points) ** 2).sum(axis=0)),
        np.sqrt((first.kernel(points) ** 2).sum(axis=0)),
        second.outputs(points).sum(axis=0) / 2,
        second.kernel(points).sum(axis=0) / 2,
    )


def _gradient(task: SupportsRegression) -> tuple[Array, Array, Array]:
    """Return inputs, and A and c of b = c - alpha A v."""
    try:
        given = task.inputs, task.targets, task.sample_weight
    except AttributeError as error:
        raise TypeError(
            "task must have inputs, targets and sample_weight, as a shoal.Task.regression has, "
            f"got {task!r:.200} of type {type(task).__name__}"
        ) from error
    inputs = checks.real_array("task.inputs", given[0], dimensions=2, shape="(samples, inputs)")
    targets = checks.vector("task.targets", given[1], "sample", len(inputs))
    weights = checks.vector("task.sample_weight", given[2], "sample", len(inputs))
    if (weights < 0).any():
        raise ValueError(f"task.sample_weight must not be negative, got {weights.min()}")
    weighted = weights[:, None] * inputs
    return inputs, inputs.T @ weighted / inputs.shape[1], targets @ weighted / np.sqrt(inputs.shape[1])


def _of_moments(states: Array, alpha: float) -> LinearMeanField:
    """Return the order parameters in second moments (.., d + 1, d + 1) of (w, a)."""
    return LinearMeanField(states[..., :-1, :-1], states[..., :-1, -1], states[..., -1, -1], alpha)


def _packed(nodes: Array) -> Array:
    """Return the second moments (networks, d + 1, d + 1) of nodes (networks, M, d + 1)."""
    return np.asarray(nodes.swapaxes(1, 2) @ nodes / nodes.shape[1])


def _integrate(first: NDArray[Any], times: Array, curvature: Array, drive: Array) -> NDArray[Any]:
    """Return second moments (networks, times, d + 1, d + 1) under u' = (a b, w.b), which is B u with B symmetric."""
    shape = first.shape

    def slope(_: float, flat: NDArray[Any]) -> NDArray[Any]:
        moments = flat.reshape(shape)
        field = np.zeros_like(moments)
        field[:, :-1, -1] = field[:, -1, :-1] = drive - moments[:, :-1, -1] @ curvature
        turned = field @ moments
        return np.asarray((turned + turned.swapaxes(1, 2)).ravel())

    # v comes to no more than the targets over alpha, which the drive bounds.
    with np.errstate(over="ignore"):
        moments = float(np.abs(first).max()) * len(curvature)
        fastest = 2 * (float(np.trace(curvature)) * moments + float(np.abs(drive).sum()))
    if not fastest * float(times.max(initial=0.0)) <= MOST_STEPS:
        raise ValueError(
            f"times must be at most {MOST_STEPS / fastest:.3g} with this task, alpha and weights, got {times.max():g}:"
            f" {MOST_STEPS:g} of the shortest time constants"
        )
    distinct, places = np.unique(times, return_inverse=True)
    states = np.empty((len(distinct), first.size), first.dtype)
    if len(distinct):
        last = max(float(distinct[-1]), np.finfo(float).tiny)
        run = solve_ivp(slope, (0.0, last), first.ravel(), "DOP853", t_eval=distinct, rtol=RTOL, atol=RTOL)
        if not run.success:
            raise RuntimeError(f"the order parameters cannot be followed to time {last:g}: {run.message}")
        states = run.y.T
    states = states[places]
    return np.asarray(np.moveaxis(states.reshape(len(times), *shape), 0, 1))
