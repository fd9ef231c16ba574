"""The job that is timed: one two-layer ReLU network, hinge loss, full-batch steps on which every sample pulls."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.cases import Array

RATE = 1e-3


@dataclass(frozen=True)
class WideCase:
    """Sizes of the network d-M-1 and of its data set.

    Parameters
    ----------
    inputs, nodes, samples : int
        Sizes.
    """

    inputs: int = 100
    nodes: int = 400
    samples: int = 100_000

    def __post_init__(self) -> None:
        """Refuse what no contender could run."""
        if min(self.inputs, self.nodes, self.samples) < 1:
            raise ValueError(f"a case needs positive sizes, got {self}")

    @property
    def flops(self) -> float:
        """Operations of one step: 2 n d M forward, as many for the gradient; the head's are not counted."""
        return 4.0 * self.samples * self.inputs * self.nodes


CASES = {"figure": WideCase(), "smoke": WideCase(20, 50, 2000)}
"""Figure 1 of arXiv:2006.11209 at its full size, and one that takes no time."""


def dataset(case: WideCase) -> tuple[Array, Array]:
    """Return inputs (samples, inputs) and labels (samples,) -1.0 or 1.0, float64: separable by the first axis."""
    inputs = np.random.default_rng(2006).standard_normal((case.samples, case.inputs))
    return inputs, np.where(inputs[:, 0] > 0, 1.0, -1.0)


def start_weights(case: WideCase) -> tuple[Array, Array]:
    """Return the start, (nodes, inputs) and (1, nodes) float64: so small that no margin comes near 1 in a few steps."""
    draw = np.random.default_rng(11209)
    return 0.02 * draw.standard_normal((case.nodes, case.inputs)), 0.02 * draw.standard_normal((1, case.nodes))


def right_answer(case: WideCase, steps: int) -> tuple[Array, Array]:
    """Return the weights after so many steps, by NumPy in blocks of samples; all margins must stay below 1."""
    inputs, labels = dataset(case)
    w, a = start_weights(case)
    for _ in range(steps):
        slope_w, slope_a = np.zeros_like(w), np.zeros_like(a)
        for block in np.array_split(np.arange(case.samples), 1 + case.samples // 5000):
            before = inputs[block] @ w.T
            hidden = np.maximum(before, 0.0)
            if not (labels[block] * (hidden @ a[0]) < 1).all():
                raise RuntimeError("the case is meant to keep every sample active")
            pull = -labels[block] / case.samples
            slope_a[0] += pull @ hidden
            slope_w += ((before > 0) * np.outer(pull, a[0])).T @ inputs[block]
        w, a = w - RATE * slope_w, a - RATE * slope_a
    return w, a


def smaller(case: WideCase) -> WideCase:
    """Return the case on which answers are checked: all of the network, fewer samples."""
    return replace(case, samples=min(case.samples, 5001))
