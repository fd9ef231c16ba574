"""The jobs that are timed: one two-layer ReLU network, hinge loss, full-batch steps.

Either a step on which every sample pulls, or a whole descent, on which fewer and fewer do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.cases import Array


@dataclass(frozen=True)
class WideCase:
    """Sizes of the network d-M-1 and of its data set, and where its weights start.

    Parameters
    ----------
    inputs, nodes, samples : int
        Sizes.
    spread : tuple of float
        Standard deviation of each layer's weights at initialisation.
    rates : tuple of float
        Of each layer.
    steps : int, optional
        Of a whole descent. None: as many steps as one likes, from an initialisation so small that no margin comes near
        1.
    """

    inputs: int = 100
    nodes: int = 400
    samples: int = 100_000
    spread: tuple[float, float] = (0.02, 0.02)
    rates: tuple[float, float] = (1e-3, 1e-3)
    steps: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no contender could run; take what JSON has made of the pairs."""
        if min(self.inputs, self.nodes, self.samples) < 1:
            raise ValueError(f"a case needs positive sizes, got {self}")
        for name in ("spread", "rates"):
            first, second = getattr(self, name)
            object.__setattr__(self, name, (float(first), float(second)))

    @classmethod
    def descent(cls, samples: int, steps: int, inputs: int = 100, nodes: int = 400) -> WideCase:
        """Return a descent like that of the figure: mean-field scaling and beta* = 1000, as weights of scale 1."""
        spread, rates = (inputs**-0.5, 1 / nodes), (1000 / inputs, 1000 / nodes**2)
        return cls(inputs, nodes, samples, spread, rates, steps)

    @property
    def flops(self) -> float:
        """Operations of one step: 2 n d M forward, as many for the gradient; the head's are not counted."""
        return 4.0 * self.samples * self.inputs * self.nodes


CASES = {
    "figure": WideCase(),
    "smoke": WideCase(20, 50, 2000),
    "descent": WideCase.descent(20_000, 500),
    "descent, full": WideCase.descent(100_000, 2000),
    "descent, smoke": WideCase.descent(2000, 40, 20, 50),
}
"""Figure 1 of arXiv:2006.11209 at its full size, as a step and as a whole; smaller ones, some of which take no time."""


def dataset(case: WideCase) -> tuple[Array, Array]:
    """Return inputs (samples, inputs) and labels (samples,) -1.0 or 1.0, float64: separable by the first axis."""
    inputs = np.random.default_rng(2006).standard_normal((case.samples, case.inputs))
    return inputs, np.where(inputs[:, 0] > 0, 1.0, -1.0)


def initial_weights(case: WideCase) -> tuple[Array, Array]:
    """Return the initialisation, (nodes, inputs) and (1, nodes) float64."""
    draw = np.random.default_rng(11209)
    shapes = (case.nodes, case.inputs), (1, case.nodes)
    first, second = (spread * draw.standard_normal(shape) for spread, shape in zip(case.spread, shapes, strict=True))
    return first, second


def right_answer(case: WideCase, steps: int) -> tuple[Array, Array]:
    """Return the weights after so many steps, by NumPy in blocks; but for a descent all margins must stay below 1."""
    inputs, labels = dataset(case)
    w, a = initial_weights(case)
    for _ in range(steps):
        slope_w, slope_a = np.zeros_like(w), np.zeros_like(a)
        for block in np.array_split(np.arange(case.samples), 1 + case.samples // 5000):
            before = inputs[block] @ w.T
            hidden = np.maximum(before, 0.0)
            short = labels[block] * (hidden @ a[0]) < 1
            if case.steps is None and not short.all():
                raise RuntimeError("the case is meant to keep every sample active")
            pull = np.where(short, -labels[block] / case.samples, 0.0)
            slope_a[0] += pull @ hidden
            slope_w += ((before > 0) * np.outer(pull, a[0])).T @ inputs[block]
        w, a = w - case.rates[0] * slope_w, a - case.rates[1] * slope_a
    return w, a


def smaller(case: WideCase) -> WideCase:
    """Return the case on which answers are checked: all of the network, fewer samples."""
    return replace(case, samples=min(case.samples, 5001))
