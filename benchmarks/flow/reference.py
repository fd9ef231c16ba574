"""What the margins must be, and how far a contender's are from them.

Separated ReLU networks have an exact solution. Smooth networks are integrated by neither contender but by SciPy's
DOP853, of order 8, at nearly the tightest tolerance it takes; what it leaves open, its doubt, is its distance from the
same integration at ten times that tolerance.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from benchmarks.cases import Array
from benchmarks.flow.cases import FlowCase, dataset, initial_weights
from shoal.theory import separated_margins

TIGHTEST = 3e-14
"""Relative tolerance of the reference; SciPy takes no less than a hundred roundoffs."""

EXACT = 1e-11
"""What `separated_margins` promises of the size of a margin's terms."""


@dataclass(frozen=True)
class Reference:
    """The right margins of some networks.

    Parameters
    ----------
    chosen : (chosen,) int64
        Which networks, spread over all.
    margins : (chosen, times, samples) float64
        Their margins.
    doubt : float
        How far, at most, they may be off, relative as in `errors`.
    """

    chosen: NDArray[np.int64]
    margins: Array
    doubt: float


def errors(margins: Array, right: Array) -> Array:
    """Return each network's largest gap over time and samples, over its largest right margin: (networks,)."""
    gap = np.max(np.abs(margins - right), axis=(1, 2))
    return np.where(np.isfinite(gap), gap / np.max(np.abs(right), axis=(1, 2)), np.inf)


def reference(case: FlowCase, most: int = 64) -> Reference:
    """Return the right margins of at most `most` networks."""
    chosen = np.unique(np.linspace(0, case.networks - 1, min(most, case.networks)).round().astype(np.int64))
    weights = [layer[chosen] for layer in initial_weights(case)]
    inputs, labels = dataset(case)
    if case.activation == "relu":
        shares = np.full(case.samples, 1.0 / case.samples)
        task = SimpleNamespace(inputs=inputs, labels=labels, sample_weight=shares)
        return Reference(chosen, separated_margins(weights, task, "cross_entropy", case.times), EXACT)
    loose, tight = (integrate(case, weights, tolerance) for tolerance in (10 * TIGHTEST, TIGHTEST))
    return Reference(chosen, tight, float(np.max(errors(loose, tight))))


def integrate(case: FlowCase, weights: list[Array], tolerance: float) -> Array:
    """Return the margins (networks, times, samples) of tanh networks, integrated as one system by SciPy."""
    inputs, labels = dataset(case)
    shapes = [layer.shape for layer in weights]
    cut = weights[0].size

    def parts(state: Array) -> tuple[Array, Array, Array, Array]:
        first, last = state[:cut].reshape(shapes[0]), state[cut:].reshape(shapes[1])
        hidden = np.tanh(first @ inputs.T)
        return last, hidden, labels * (last @ hidden)[:, 0], 1.0 - hidden**2

    def slope(_: float, state: Array) -> Array:
        last, hidden, margin, steep = parts(state)
        pull = (labels / (case.samples * (1.0 + np.exp(margin))))[:, None]
        return np.concatenate([((steep * last.mT * pull) @ inputs).ravel(), (pull @ hidden.mT).ravel()])

    begun = np.concatenate([layer.ravel() for layer in weights])
    solved: Any = solve_ivp(
        slope, (0.0, case.until), begun, method="DOP853", t_eval=case.times, rtol=tolerance, atol=0.01 * tolerance
    )
    if not solved.success:
        raise RuntimeError(f"the reference of {case.name} failed: {solved.message}")
    return np.stack([parts(state)[2] for state in solved.y.T], axis=1)
