"""Numba: prange over networks (or packs of them), explicit loops, each network in a cache for all its steps."""

from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.cases import Array, Case, dataset
from benchmarks.peers import Trainer, Variants, Way, blocks
from benchmarks.peers.numba_kernels import Kernel, across_lanes, across_samples

# Numba is typed in part, or not installed where types are checked: it counts as untyped.
numba: Any = import_module("numba")


class Looped:
    """Trains with one compiled function call for all networks and steps; `lanes` networks stand side by side."""

    chunk = 1

    def __init__(self, case: Case, dtype: str, kernel: Kernel, lanes: int) -> None:
        inputs, labels = dataset(case)
        self.dtype, self.kernel, self.lanes = dtype, kernel, lanes
        self.inputs = np.ascontiguousarray((inputs if lanes else inputs.T).astype(dtype))
        self.labels = labels.astype(dtype)
        self.pull = (case.rate * labels / case.samples).astype(dtype)
        self.state: tuple[Any, ...] = ()

    def reset(self, weights: list[Array]) -> None:
        """Lay the networks out."""
        if self.lanes:
            packs = [w.reshape(-1, self.lanes, *w.shape[1:]) for w in weights]
            weights = [np.moveaxis(w, 1, -1) for w in packs]
        self.state = tuple(np.array(w, dtype=self.dtype, order="C") for w in weights)

    def advance(self, steps: int) -> None:
        """Train all networks."""
        self.kernel(self.state, self.inputs, self.labels, self.pull, steps)

    def weights(self) -> list[Array]:
        """Lay the networks back."""
        if not self.lanes:
            return [w.astype(np.float64) for w in self.state]
        turned = [np.moveaxis(w, -1, 1).astype(np.float64) for w in self.state]
        return [w.reshape(-1, *w.shape[2:]) for w in turned]


def variants(case: Case, dtype: str, threads: int) -> Variants:
    """Ways Numba can run the case: vectors along the samples of a network, or along networks side by side."""
    numba.set_num_threads(threads)

    def make(lanes: int) -> Trainer:
        kernel = across_lanes(case, lanes) if lanes else across_samples(case)
        return Looped(case, dtype, kernel, lanes)

    found: Variants = {"prange, samples in vectors": Way(partial(make, 0))}
    # Measured: lanes only pay where a network has too few samples to fill vectors, which is a two-layer case.
    for lanes in sorted({blocks(case.networks, most) for most in (8, 16)}) if len(case.hidden) == 1 else ():
        found[f"prange, {lanes} networks in vectors"] = Way(partial(make, lanes))
    return found
