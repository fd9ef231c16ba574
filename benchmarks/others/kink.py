"""Chiang et al. 2023, ICLR, figure 2: networks of seven widths on the kink data, 50,000 per width.

The authors train many networks at once in PyTorch: weights have a leading axis of networks, the losses are summed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

import shoal
from benchmarks.others.figure import Array, Curves, Figure, nudged

RATE, MARGIN, TRAINED, TESTED = 0.1, 0.25, 11, 100
BATCHES = (128, 512)

DIFFERS = """**kink** is figure 2 of Chiang et al. 2023, *Loss landscapes are all you need* (ICLR), after the
configurations `sgd_u2` to `sgd_u20` of Ping-C/optimizer. 50,000 networks of each of seven widths, with two logits,
learn 11 points of two kinked lines. The loss is cross-entropy, the learning rate 0.1, the precision float32. The
authors train many networks at once in PyTorch, on a GPU: weights have an axis of networks, and autograd gets the sum
of the losses. Here the same runs on the CPU. Settings that are not theirs, with theirs in brackets: full batch, 800
steps (200 epochs of four minibatches of at most 3); biases in both layers (in the last); 50,000 initialisations per
width (until 50,000 networks fit all samples); 100 test samples (4); other random draws. The networks of that figure
that are guessed, not trained, are left out. **kink, matrices** multiplies all samples with the weights of a network
in one product. The authors multiply each sample by itself."""


@dataclass(frozen=True)
class Kink(Figure):
    """`count` networks of each of the widths."""

    count: int = 50_000
    widths: tuple[int, ...] = (2, 4, 6, 8, 10, 15, 20)

    name = "kink"
    dtype = "float32"
    needs = "torch"
    differs = DIFFERS

    @property
    def networks(self) -> int:
        """How many networks the figure has."""
        return self.count * len(self.widths)

    @property
    def about(self) -> str:
        """What is trained, for a table."""
        return f"2-{self.widths[0]}-2 to 2-{self.widths[-1]}-2, {TRAINED} samples, {self.steps:,} steps"

    @property
    def terms(self) -> int:
        """An upper bound on the terms that one number of a step is summed from."""
        return TRAINED + max(self.widths) + 4

    @property
    def recorded(self) -> list[int]:
        """The steps at which networks are measured."""
        return sorted({0, *range(self.steps // 8, self.steps, max(1, self.steps // 8)), self.steps})

    def taken(self, sample: int) -> int:
        """Return how many networks a sample of this size is: so many of each width."""
        return min(sample, self.count) * len(self.widths)

    def points(self) -> tuple[Array, Array, Array, Array]:
        """Return inputs and labels of training and test samples: points of two kinked lines, one above the other."""
        across = np.linspace(-1, 1, 2_000)
        lines = [np.stack([across, -np.abs(across) + up], axis=1) for up in (0.0, MARGIN)]
        points, labels = np.concatenate(lines), np.repeat([1, 0], 2_000)
        order = np.random.default_rng(0).permutation(len(points))
        points, labels = points[order], labels[order]
        return points[:TRAINED], labels[:TRAINED], points[-TESTED:], labels[-TESTED:]

    def drawn(self, width: int, count: int) -> list[Array]:
        """Return both layers' weights and biases, of the first networks of a width: w, b, v, c, in float32 values."""
        draw = np.random.default_rng([2023, width])
        flat = draw.uniform(-1, 1, (count, 4 * width + 2)).astype(np.float32).astype(np.float64)
        first, last, bias = np.split(flat, [2 * width, 4 * width], axis=1)
        first, last = first.reshape(count, width, 2) / np.sqrt(width), last.reshape(count, 2, width) / np.sqrt(2)
        return [first, np.zeros((count, width)), last, bias]

    def shoal(self, threads: int, sample: int | None = None, dtype: str | None = None) -> Curves:
        """Return the curves of all networks, or of the first of each width, as shoal trains them."""
        count = self.count if sample is None else min(sample, self.count)
        x, labels, *test = self.points()
        task = shoal.Task(x, labels, test=(test[0], test[1]))
        measure, parts = ("loss", "test_loss", "error", "test_error"), []
        for width in self.widths:
            w, b, v, c = self.drawn(width, count)
            data = shoal.train(
                shoal.Network((2, width, 2), bias=True), task, shoal.Explicit([w, v], [b, c]),
                method=shoal.GradientDescent(RATE, self.steps), dtype=dtype or self.dtype, threads=threads,
                record=shoal.Record(steps=self.recorded, measure=measure),
            )  # fmt: skip
            parts.append([data[name].values for name in measure])
        loss, test_loss, error, test_error = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        curves = {"loss": loss, "test loss": test_loss}
        if sample is None:
            curves |= {"error": error[:, -1:], "test error": test_error[:, -1:]}
        return curves

    def original(
        self, sample: int, dtype: str | None = None, moved: float = 0.0, batch: int = BATCHES[0], threads: int = 1
    ) -> Curves:
        """Return the curves of the first networks of each width, as the authors train them."""
        import_module("torch").set_num_threads(threads)
        count, parts = min(sample, self.count), []
        for width in self.widths:
            every = [nudged(array, moved, number) for number, array in enumerate(self.drawn(width, count))]
            for begin in range(0, count, batch):
                parts.append(self._batch([array[begin : begin + batch] for array in every], dtype or self.dtype))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _batch(self, arrays: list[Array], dtype: str) -> Curves:
        # torch is typed in part, or not installed where types are checked: it counts as untyped.
        torch: Any = import_module("torch")
        kind = getattr(torch, dtype)
        w, b, v, c = (torch.tensor(array, dtype=kind) for array in arrays)
        parameters = [torch.nn.Parameter(p) for p in (w.mT.contiguous(), b[:, None], v.mT.contiguous(), c[:, None])]
        x, labels, test, test_labels = (torch.tensor(array) for array in self.points())
        x, test = x.to(kind), test.to(kind)
        optimiser = torch.optim.SGD(parameters, lr=RATE)

        def losses(points: Any, classes: Any) -> Any:
            logits = self.logits(torch, points, *parameters)
            samples, networks, outputs = logits.shape
            each = torch.nn.functional.cross_entropy(
                logits.reshape(samples * networks, outputs), classes.repeat_interleave(networks), reduction="none"
            )
            return each.view(samples, networks).mean(dim=0)

        curves: dict[str, list[Any]] = {"loss": [], "test loss": []}
        for step in range(self.steps + 1):
            loss = losses(x, labels)
            if step in self.recorded:
                curves["loss"].append(loss.detach().numpy())
                with torch.no_grad():
                    curves["test loss"].append(losses(test, test_labels).numpy())
            optimiser.zero_grad()
            if step < self.steps:
                loss.sum().backward()
                optimiser.step()
        return {name: np.stack(values, axis=1) for name, values in curves.items()}

    @staticmethod
    def logits(torch: Any, x: Any, w: Any, b: Any, v: Any, c: Any) -> Any:
        """Return logits (samples, networks, 2): a product of a row and a matrix per sample and network, as theirs."""
        return (torch.clamp(x[:, None, None] @ w[None] + b[None], 0) @ v[None] + c[None]).squeeze(2)

    def ways(self, threads: int, stack: ExitStack) -> dict[str, Callable[[int], Any]]:
        """Return batches of two sizes, each with one thread and with all."""
        counts = sorted({1, threads})
        return {
            f"torch, {n} thread{'s' * (n > 1)}, {batch:,} at once": partial(self.original, threads=n, batch=batch)
            for n in counts
            for batch in BATCHES
        }

    def found(self, curves: Curves) -> str:
        """Return the test accuracy of the networks that fit, by width."""
        told = []
        pairs = zip(
            np.split(curves["error"], len(self.widths)), np.split(curves["test error"], len(self.widths)), strict=True
        )
        for width, (error, test) in zip(self.widths, pairs, strict=True):
            fit = error[:, 0] == 0
            told.append(f"{width}: {1 - test[fit].mean():.3f} of {fit.sum():,}" if fit.any() else f"{width}: none fit")
        return f"kink: mean test accuracy of the networks that fit all samples, by width: {'; '.join(told)}."


@dataclass(frozen=True)
class Matrices(Kink):
    """The same with a product of two matrices per network."""

    name = "kink, matrices"
    differs = ""

    @staticmethod
    def logits(torch: Any, x: Any, w: Any, b: Any, v: Any, c: Any) -> Any:
        """Return logits (samples, networks, 2)."""
        return (torch.clamp(x @ w + b, 0) @ v + c).transpose(0, 1)

    def found(self, curves: Curves) -> str:
        """Return nothing: it shows what `Kink` does."""
        return ""
