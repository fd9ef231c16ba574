"""NumPy: hand-written batched products, in blocks of networks that fit a cache, one Python thread a CPU."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import Array, Case, dataset
from benchmarks.peers import Trainer, Variants, Way, blocks
from benchmarks.peers.batched import step_first, step_one

Any64 = NDArray[np.floating]


def relu(a: Any64) -> Any64:
    """Return the positive part."""
    return np.maximum(a, 0)


class Blocks:
    """Trains blocks of `size` networks, each for all its steps, on `threads` Python threads."""

    chunk = 1

    def __init__(self, case: Case, dtype: str, threads: int, size: int) -> None:
        inputs, labels = dataset(case)
        self.dtype, self.size = np.dtype(dtype), blocks(case.networks, size)
        self.inputs, self.labels = inputs.astype(dtype), labels.astype(dtype)
        self.pull = (case.rate * labels / case.samples).astype(dtype)
        self.pool = ThreadPoolExecutor(threads)
        self.parts: list[list[Any64]] = []

    def reset(self, weights: list[Array]) -> None:
        """Cut the networks into blocks."""
        count = len(weights[0]) // self.size
        cut = [np.split(w.astype(self.dtype), count) for w in weights]
        self.parts = [[np.ascontiguousarray(w) for w in part] for part in zip(*cut, strict=True)]

    def train(self, part: list[Any64], steps: int) -> list[Any64]:
        """Return one block after `steps` steps."""
        for _ in range(steps):
            part = step_first(part, self.inputs, self.pull, self.labels, np.exp, relu)
        return part

    def advance(self, steps: int) -> None:
        """Train every block."""
        self.parts = list(self.pool.map(partial(self.train, steps=steps), self.parts))

    def weights(self) -> list[Array]:
        """Join the blocks."""
        return [np.concatenate(w).astype(np.float64) for w in zip(*self.parts, strict=True)]


class Single(Blocks):
    """Trains one network as plain matrices."""

    def train(self, part: list[Any64], steps: int) -> list[Any64]:
        """Return the network after `steps` steps."""
        weights = [w[0] for w in part]
        for _ in range(steps):
            weights = step_one(weights, self.inputs, self.pull, self.labels, np.exp, relu)
        return [w[None] for w in weights]


def variants(case: Case, dtype: str, threads: int) -> Variants:
    """Ways NumPy can run the case: block sizes from a first-level cache's worth to everything."""

    def make(size: int) -> Trainer:
        return Blocks(case, dtype, threads, size)

    if case.networks == 1:
        return {"matrices": Way(lambda: Single(case, dtype, 1, 1))}
    sizes = sorted({blocks(case.networks, size) for size in (16, 64, 256, 1024, case.networks // threads)})
    return {f"batched, block {size}": Way(partial(make, size)) for size in sizes}
