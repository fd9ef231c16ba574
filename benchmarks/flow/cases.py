"""The flows that are timed: many two-layer networks, one output, no bias, mean cross-entropy, float64.

Every contender gets the same samples, the same initial weights and the same record times, and returns the margins
y f(x) at those times. Two cases are smooth (tanh). In the third, ReLU neurons on separated modes switch off one after
another: its gradient jumps, and its exact solution is known (theory book, chapter 2).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import Array


@dataclass(frozen=True)
class FlowCase:
    """One shape of job.

    Parameters
    ----------
    name : str
        What ``--cases`` calls it.
    inputs, hidden, samples, networks : int
        Input dimension, hidden units, samples of the shared data set, networks trained.
    activation : str
        ``tanh``, or ``relu`` for separated modes: orthogonal samples, as many as inputs.
    until : float
        Time at which training ends.
    records : int
        Times at which margins are recorded, evenly spread, the last at `until`.
    """

    name: str
    inputs: int
    hidden: int
    samples: int
    networks: int
    activation: str
    until: float
    records: int = 16

    def __post_init__(self) -> None:
        """Refuse what no contender could run."""
        if min(self.inputs, self.hidden, self.samples, self.networks, self.records) < 1 or not self.until > 0:
            raise ValueError(f"a case needs positive sizes and a positive time, got {self}")
        if self.activation not in ("tanh", "relu"):
            raise ValueError(f"activation must be 'tanh' or 'relu', got {self.activation!r}")
        if self.activation == "relu" and self.samples != self.inputs:
            raise ValueError(f"separated modes need as many samples as inputs, got {self}")

    @property
    def times(self) -> Array:
        """Times of the records, (records,) float64."""
        return np.linspace(0.0, self.until, self.records + 1)[1:]

    @property
    def shape(self) -> str:
        """The case in the notation of the tables."""
        return f"{self.inputs}-{self.hidden}-1 {self.activation}, {self.samples}, {self.networks}, {self.until:g}"


CASES = {
    case.name: case
    for case in (
        FlowCase("smooth", inputs=10, hidden=20, samples=50, networks=256, activation="tanh", until=10.0),
        FlowCase("modes", inputs=8, hidden=24, samples=8, networks=512, activation="relu", until=40.0),
        FlowCase("tiny", inputs=2, hidden=4, samples=8, networks=1024, activation="tanh", until=20.0),
    )
}
"""The cases, by name."""


def dataset(case: FlowCase) -> tuple[Array, NDArray[np.int64]]:
    """Return inputs (samples, inputs) float64 and labels (samples,) int64 in {-1, +1}."""
    draw = np.random.default_rng(1809)
    if case.activation == "relu":
        return np.diag(np.linspace(0.8, 1.6, case.inputs)), np.where(np.arange(case.samples) % 2, -1, 1)
    inputs = draw.standard_normal((case.samples, case.inputs))
    return inputs, np.where(inputs @ draw.standard_normal(case.inputs) > 0, 1, -1).astype(np.int64)


def initial_weights(case: FlowCase) -> list[Array]:
    """Return the initialisation of every network, (networks, hidden, inputs) and (networks, 1, hidden) float64.

    Normal of variance 1 / fan-in. With separated modes each neuron is active on the one mode whose turn it is.
    """
    draw = np.random.default_rng(6848)
    first = draw.standard_normal((case.networks, case.hidden, case.inputs)) / np.sqrt(case.inputs)
    last = draw.standard_normal((case.networks, 1, case.hidden)) / np.sqrt(case.hidden)
    if case.activation == "relu":
        home = np.arange(case.hidden)[:, None] % case.inputs == np.arange(case.inputs)
        first = np.where(home, np.abs(first), -np.abs(first))
    return [first, last]
