"""Kunin, Raventos et al. 2024, arXiv:2406.06158, figure 1: scale and balance of two layers, 4,624 networks.

The authors train one network at a time in NumPy, by hand, a process per CPU. A teacher of three ReLUs and the data are
drawn per seed; every seed is trained at every scale tau and balance delta of a grid.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import shoal
from benchmarks.others.figure import Array, Curves, Figure, nudged

BASE_RATE = 5e-3
FIRST_SEED = 100
TEACHER = 3
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")

DIFFERS = """**rich** is figure 1 of Kunin, Raventos et al. 2024, arXiv:2406.06158, after `run_grid.py` of
allanraventos/getrichquick. 17 scales, 17 balances of the two layers and 16 seeds are 4,624 networks. They learn a
teacher of three ReLUs by full-batch descent, with the mean squared error and the learning rate 0.005/scale^2. The
authors train in NumPy, in float64, with gradients by hand; each CPU runs one process of one thread, and each process
trains one network at a time. Settings that are not theirs, with theirs in brackets: networks 10-20-1 (100-50-1); 100
samples (1,000) and 1,000 test samples (10,000); fewer steps (100,000 in the figure, 1,000,000 in the script); loss,
test loss and kernel distance at steps 0, 10, 100, ... (also other distances, and the loss every 100 steps); the
kernel in float64 (float32); other random draws. **rich, full size** has the widths and the samples of the authors. It
trains fewer networks for few steps, without test samples and kernel."""


@dataclass(frozen=True)
class Data:
    """What one seed draws: training and test samples, and the unit weights of the students."""

    inputs: Array
    targets: Array
    test_inputs: Array
    test_targets: Array
    directions: Array
    signs: Array


@dataclass(frozen=True)
class Rich(Figure):
    """The grid of `side` scales times `side` balances; `test` samples of 0: neither they nor the kernel are taken."""

    inputs: int = 10
    hidden: int = 20
    samples: int = 100
    test: int = 1_000
    side: int = 17
    seeds: int = 16

    name = "rich"
    dtype = "float64"
    needs = "numpy"
    differs = DIFFERS

    @property
    def networks(self) -> int:
        """How many networks the figure has."""
        return self.side**2 * self.seeds

    @property
    def about(self) -> str:
        """What is trained, for a table."""
        return f"{self.inputs}-{self.hidden}-1, {self.samples} samples, {self.steps:,} steps"

    @property
    def terms(self) -> int:
        """An upper bound on the terms that one number of a step is summed from."""
        return self.samples + self.hidden + self.inputs

    @property
    def checkpoints(self) -> list[int]:
        """The steps at which networks are measured."""
        powers = [10**k for k in range(1, 7) if 10**k < self.steps]
        return [0, *powers, self.steps]

    def taken(self, sample: int) -> int:
        """Return how many networks a sample of this size is: so many cells of the grid at every seed."""
        return len(self.cells(sample)) * self.seeds

    def cells(self, sample: int | None) -> Array:
        """Return scale and balance of all cells of the grid, or of some that are spread over it, (cells, 2)."""
        scales, balances = np.logspace(-1, 0.3, self.side), np.linspace(-1, 1, self.side)
        every = np.stack(np.meshgrid(scales, balances, indexing="ij"), axis=-1).reshape(-1, 2)
        return every if sample is None else every[np.unique(np.linspace(0, len(every) - 1, sample).astype(int))]

    def data(self, seed: int) -> Data:
        """Draw what one seed draws."""
        draw = np.random.default_rng(FIRST_SEED + seed)

        def sphere(count: int) -> Array:
            points = draw.standard_normal((count, self.inputs))
            return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))

        first, last = sphere(TEACHER), np.sign(draw.standard_normal(TEACHER))
        directions, signs = sphere(self.hidden // 2), np.sign(draw.standard_normal(self.hidden // 2))
        inputs, test = sphere(self.samples), sphere(self.test)
        targets, test_targets = (np.maximum(x @ first.T, 0) @ last for x in (inputs, test))
        return Data(inputs, targets, test, test_targets, directions, signs)

    def weights(self, data: Data, cell: Array) -> tuple[Array, Array]:
        """Return initial weights (hidden, inputs) and (hidden,): two halves with opposite outputs, whose sum is 0."""
        scale, balance = cell
        b = balance / scale**2
        alpha = np.sqrt((np.sqrt(4 + b**2) - b) / 2)
        w = scale * alpha * np.concatenate([data.directions, data.directions])
        return w, scale / alpha * np.concatenate([data.signs, -data.signs])

    def shoal(self, threads: int, sample: int | None = None, dtype: str | None = None) -> Curves:
        """Return the curves of all networks, or of a sample, as shoal trains them; networks: seed, then cell."""
        cells, over = self.cells(sample), []
        for seed in range(self.seeds):
            data = self.data(seed)
            test = (data.test_inputs, data.test_targets) if self.test else None
            w, a = zip(*(self.weights(data, cell) for cell in cells), strict=True)
            init = shoal.Explicit([np.stack(w), np.stack(a)[:, None]])
            over.append({"task": shoal.Task.regression(data.inputs, data.targets, test=test), "init": init})
        # Half the squared error is what shoal minimises, so its rate is twice theirs.
        method = shoal.GradientDescent(2 * BASE_RATE / cells[:, 0] ** 2, self.steps)
        measure = ("loss", "test_loss", "kernel_distance") if self.test else ("loss",)
        found = shoal.sweep(
            shoal.Network((self.inputs, self.hidden, 1)), over[0]["task"], over[0]["init"], over=over, method=method,
            loss="squared", record=shoal.Record(steps=self.checkpoints, measure=measure), dtype=dtype or self.dtype,
            threads=threads,
        )  # fmt: skip
        found = found.transpose("condition", "network", ...)
        curves = {"loss": 2 * found["loss"].values}
        if self.test:
            curves |= {"test loss": 2 * found["test_loss"].values, "cosine": 1 - found["kernel_distance"].values}
        return {name: values.reshape(-1, values.shape[-1]) for name, values in curves.items()}

    def one(self, seed: int, cell: Array, moved: float = 0.0) -> dict[str, list[float]]:
        """Return the curves of one network, as the authors train it."""
        data = self.data(seed)
        w, a = self.weights(data, cell)
        w, a, x, y = nudged(w, moved, 1), nudged(a, moved, 2), data.inputs, data.targets
        pull, kernel = BASE_RATE / cell[0] ** 2 / len(x), None
        found: dict[str, list[float]] = {"loss": [], "test loss": [], "cosine": []}
        for step in range(self.steps + 1):
            before = x @ w.T
            z = np.maximum(before, 0)
            error = z @ a - y
            if step in self.checkpoints:
                found["loss"].append(float(np.mean(error**2)))
                if self.test:
                    tested = np.maximum(data.test_inputs @ w.T, 0) @ a - data.test_targets
                    found["test loss"].append(float(np.mean(tested**2)))
                    now = tangent_kernel(x, z, before > 0, a)
                    kernel = now if kernel is None else kernel
                    found["cosine"].append(float(np.sum(now * kernel)))
            pulled = 2 * pull * error
            w, a = w - ((before > 0) * np.outer(pulled, a)).T @ x, a - z.T @ pulled
        return {name: curve for name, curve in found.items() if curve}

    def jobs(self, sample: int) -> list[tuple[int, Array]]:
        """Return seed and cell of each network of a sample."""
        return [(seed, cell) for seed in range(self.seeds) for cell in self.cells(sample)]

    def original(self, sample: int, dtype: str | None = None, moved: float = 0.0) -> Curves:
        """Return the curves of a sample as the authors train it, in float64 whatever is asked."""
        curves = [self.one(*job, moved) for job in self.jobs(sample)]
        return {name: np.array([curve[name] for curve in curves]) for name in curves[0]}

    def ways(self, threads: int, stack: ExitStack) -> dict[str, Callable[[int], Any]]:
        """Return the authors' way: processes of one thread, as many as CPUs."""
        before = {name: os.environ.get(name) for name in THREADS}
        # Processes read it when they load NumPy.
        os.environ.update(dict.fromkeys(THREADS, "1"))
        pool = stack.enter_context(ProcessPoolExecutor(threads, multiprocessing.get_context("spawn")))
        self._pooled(pool, 1)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        return {f"NumPy, {threads} processes": partial(self._pooled, pool)}

    def _pooled(self, pool: ProcessPoolExecutor, sample: int) -> None:
        list(pool.map(self.one, *zip(*self.jobs(sample), strict=True)))

    def found(self, curves: Curves) -> str:
        """Return where the kernel moves most, mean over the seeds."""
        if "cosine" not in curves:
            return ""
        moved = 1 - curves["cosine"][:, -1].reshape(self.seeds, -1).mean(axis=0)
        most, least = self.cells(None)[moved.argmax()], self.cells(None)[moved.argmin()]
        return (
            f"rich: the kernel moves most, by {moved.max():.2f}, at scale {most[0]:.2g} and balance {most[1]:.2g}, and "
            f"least, by {moved.min():.1e}, at {least[0]:.2g} and {least[1]:.2g} (means of {self.seeds} seeds)."
        )


def tangent_kernel(x: Array, z: Array, on: Array, a: Array) -> Array:
    """Return the tangent kernel of a two-layer ReLU network, (samples, samples), of norm 1."""
    rows = np.concatenate([z, ((on * a)[:, :, None] * x[:, None, :]).reshape(len(x), -1)], axis=1)
    kernel = rows @ rows.T
    return np.asarray(kernel / np.linalg.norm(kernel))


@dataclass(frozen=True)
class FullSize(Rich):
    """Networks and samples of the authors' sizes, for some steps of some networks: what a step takes."""

    inputs: int = 100
    hidden: int = 50
    samples: int = 1_000
    test: int = 0
    side: int = 4

    name = "rich, full size"
    differs = ""
