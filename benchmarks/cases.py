"""The jobs that are timed: many ReLU networks, one output, no bias, mean cross-entropy, full-batch descent.

All contenders get the same data set (shared by all networks), the same initial weights and the same rate.
FLOPs are counted by one rule, whatever work a kernel saves: ``2 n sum(in*out)`` for the forward pass, the
same for the weight gradients, and the same for the input gradients except into the first layer.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One shape of job: its name, network and data set.

    Parameters
    ----------
    name : str
        What ``--cases`` calls it.
    inputs, samples, networks : int
        Input dimension d, samples n of the shared data set, networks trained.
    hidden : tuple of int
        Width of each hidden layer, at least one.
    rate : float
        Step of the descent, in units of time.
    """

    name: str
    inputs: int
    hidden: tuple[int, ...]
    samples: int
    networks: int
    rate: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what no contender could run."""
        if not self.hidden or min((self.inputs, self.samples, self.networks, *self.hidden)) < 1:
            raise ValueError(f"a case needs positive sizes and a hidden layer, got {self}")
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of each layer, inputs first, the one output last."""
        return (self.inputs, *self.hidden, 1)

    @property
    def flops(self) -> int:
        """Floating-point operations of one step of all networks."""
        products = [a * b for a, b in zip(self.widths[:-1], self.widths[1:], strict=True)]
        return self.networks * 2 * self.samples * (2 * sum(products) + sum(products[1:]))

    @property
    def shape(self) -> str:
        """The case in the notation of the tables."""
        hidden = f"[{self.hidden[0]}]"
        if len(self.hidden) > 1:
            same = len(set(self.hidden)) == 1
            hidden = f"[{self.hidden[0]}]*{len(self.hidden)}" if same else str(list(self.hidden))
        return f"{self.inputs}, {hidden}, {self.samples}, {self.networks}"


CASES = {
    case.name: case
    for case in (
        Case("paper", inputs=10, hidden=(20,), samples=50, networks=1024),
        Case("tiny", inputs=2, hidden=(4,), samples=8, networks=16384),
        Case("deep", inputs=16, hidden=(16, 16, 16, 16), samples=64, networks=512),
        Case("wide", inputs=10, hidden=(64,), samples=100, networks=512),
    )
}
"""The cases of the suite, by name."""

SINGLE = {
    case.name: case
    for case in (
        Case("one-tiny", inputs=2, hidden=(4,), samples=8, networks=1),
        Case("one-small", inputs=24, hidden=(24,), samples=100, networks=1),
        Case("one-deep", inputs=4, hidden=(32, 16), samples=200, networks=1),
    )
}
"""One network alone, of the sizes that SimpleChains was made for: it fills one lane, or its samples the lanes."""

ALL = CASES | SINGLE


def dataset(case: Case) -> tuple[Array, NDArray[np.int64]]:
    """Return inputs (n, d) float64 and labels (n,) int64 in {-1, +1}: normal inputs, split by a random plane."""
    draw = np.random.default_rng(1809)
    inputs = draw.standard_normal((case.samples, case.inputs))
    labels = np.where(inputs @ draw.standard_normal(case.inputs) > 0, 1, -1).astype(np.int64)
    # Rounded to float32, so that both precisions train on the same data set.
    return inputs.astype(np.float32).astype(np.float64), labels


def initial_weights(case: Case) -> list[Array]:
    """Return the initial weights: (networks, out, in) float64 a layer, N(0, 2 / in) in float32 values."""
    draw = np.random.default_rng(6848)
    pairs = zip(case.widths[:-1], case.widths[1:], strict=True)
    drawn = [draw.standard_normal((case.networks, b, a)) * np.sqrt(2.0 / a) for a, b in pairs]
    return [w.astype(np.float32).astype(np.float64) for w in drawn]


def check_weights(case: Case) -> list[Array]:
    """Return the weights of the answer check, half of `initial_weights`: so rounding bounds stay sharp."""
    return [0.5 * w for w in initial_weights(case)]


def training(case: Case, steps: int, record: dict[str, Any], *, bias: bool = False) -> dict[str, Any]:
    """Return the arguments of ``shoal.train`` for a case; `record` are those of ``shoal.Record``."""
    import shoal  # which the processes of peers do not load

    inputs, labels = dataset(case)
    return {
        "network": shoal.Network(case.widths, bias=bias),
        "task": shoal.Task(inputs, labels),
        "init": shoal.Gaussian(gain=np.sqrt(2.0)),
        "method": shoal.GradientDescent(case.rate, steps),
        "record": shoal.Record(**record),
        "networks": case.networks,
    }
