"""shoal, through its public API: explicit weights for the answer, Gaussian ones (drawn in the call) for timing."""

from typing import Any

import numpy as np

import shoal
from benchmarks.cases import Array, Case, dataset
from benchmarks.peers import Trainer, Variants, Way


def train(case: Case, dtype: str, threads: int, steps: int, init: Any, measure: tuple[str, ...]) -> Any:
    """Return the data set of one `shoal.train` call that records `measure` after the last step only."""
    inputs, labels = dataset(case)
    return shoal.train(
        shoal.Network(widths=case.widths, activation="relu"),
        shoal.Task(inputs, labels),
        init,
        loss="cross_entropy",
        method=shoal.GradientDescent(learning_rate=case.rate, steps=steps),
        record=shoal.Record(steps=[steps], measure=measure),
        networks=case.networks,
        seed=0,
        threads=threads,
        dtype=dtype,
    )


class Shoal:
    """Each `advance` is one whole call: checks, initialisation, training, the final loss and its data set."""

    chunk = 1

    def __init__(self, case: Case, dtype: str, threads: int) -> None:
        self.case, self.dtype, self.threads = case, dtype, threads
        self.begun: list[Array] = []
        self.steps = 0

    def reset(self, weights: list[Array]) -> None:
        """Remember `weights` as the initial ones."""
        self.begun, self.steps = weights, 0

    def advance(self, steps: int) -> None:
        """Train from a Gaussian initialisation."""
        self.steps += steps
        train(self.case, self.dtype, self.threads, steps, shoal.Gaussian(gain=np.sqrt(2.0)), ("loss",))

    def weights(self) -> list[Array]:
        """Train from the weights given to `reset`, as many steps as were made since."""
        init = shoal.Explicit(self.begun)
        data = train(self.case, self.dtype, self.threads, self.steps, init, ("weights",))
        return final_weights(data, len(self.case.widths) - 1)


def final_weights(data: Any, layers: int) -> list[Array]:
    """Return the recorded final weights, one (networks, out, in) float64 array a layer."""
    return [np.asarray(data[f"weights_{layer}"], dtype=np.float64) for layer in range(1, layers + 1)]


def variants(case: Case, dtype: str, threads: int) -> Variants:
    """Return the one way shoal runs a case: it chooses itself what the lanes hold."""

    def make() -> Trainer:
        return Shoal(case, dtype, threads)

    return {"shoal.train": Way(make, by_hand=False)}
