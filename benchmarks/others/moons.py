"""Pezeshki et al. 2020, arXiv:2011.09468, figures 1 and 2: two moons, ten seeds, a margin, spectral decoupling.

The authors train one network at a time in PyTorch: autograd, torch.optim.SGD with momentum.
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

RATE, MOMENTUM, SAMPLES = 0.01, 0.9, 300
EXPERIMENTS = {"margin -0.1": (-0.1, 0.0), "margin +0.1": (0.1, 0.0), "margin +0.1, decoupled": (0.1, 0.003)}
"""Margin along the second feature, and the coefficient of the mean squared output."""

DIFFERS = """**moons** is figure 1 of Pezeshki et al. 2020, arXiv:2011.09468, after `moon_fig_1.py` of
mohammadpz/Gradient_Starvation. The third case, spectral decoupling with coefficient 0.003, is from their figure 3.
Networks 2-500-1 with biases learn 300 points of two moons by full-batch descent: cross-entropy, 1,000 steps, learning
rate 0.01, momentum 0.9, float32. There are ten seeds, each with its own data. Outputs are taken on a grid of 100 x
100 points. The authors train one network at a time in PyTorch, with autograd and `torch.optim.SGD`. Settings that are
not theirs, with theirs in brackets: decoupling for 1,000 steps (10,000); other random draws of the same
distributions."""


@dataclass(frozen=True)
class Moons(Figure):
    """Networks 2-hidden-1; the heat map has `side` x `side` points."""

    hidden: int = 500
    seeds: int = 10
    side: int = 100

    name = "moons"
    dtype = "float32"
    needs = "torch"
    differs = DIFFERS

    @property
    def networks(self) -> int:
        """How many networks the figure has."""
        return len(EXPERIMENTS) * self.seeds

    @property
    def about(self) -> str:
        """What is trained, for a table."""
        return f"2-{self.hidden}-1, {SAMPLES} samples, {self.steps:,} steps with momentum"

    @property
    def terms(self) -> int:
        """An upper bound on the terms that one number of a step is summed from."""
        return SAMPLES + self.hidden + 3

    @property
    def recorded(self) -> list[int]:
        """The steps at which networks are measured."""
        return sorted({*range(0, self.steps, max(1, self.steps // 10)), self.steps})

    def taken(self, sample: int) -> int:
        """Return how many networks a sample of this size is: so many seeds of each experiment."""
        return min(sample, self.seeds) * len(EXPERIMENTS)

    def data(self, seed: int, margin: float) -> tuple[Array, Array]:
        """Return points (samples, 2) and labels -1/+1 of two moons, the second feature the gap between them."""
        draw, half = np.random.default_rng(seed), SAMPLES // 2
        angles = np.linspace(0, np.pi, half)
        moons = [np.stack([np.cos(angles), np.sin(angles)], 1), np.stack([1 - np.cos(angles), 0.5 - np.sin(angles)], 1)]
        order = draw.permutation(SAMPLES)
        labels = np.repeat([-1, 1], half)[order]
        points = np.concatenate(moons)[order] + 0.1 * draw.standard_normal((SAMPLES, 2))
        along, across = points[:, 0] - 0.5, points[:, 1] - 0.3 * labels
        across = across - across.mean()
        # The first moon to one side, the second to the other: noise cannot cross.
        across = -labels * np.abs(across) - labels * margin
        return np.stack([across, along], axis=1), labels

    def drawn(self, seed: int) -> list[Array]:
        """Return weights and biases in float32 values, uniform within 1/sqrt(inputs): PyTorch's default."""
        draw = np.random.default_rng([2011, seed])
        shapes = {(self.hidden, 2): 2, (self.hidden,): 2, (1, self.hidden): self.hidden, (1,): self.hidden}
        return [(draw.uniform(-1, 1, s) / np.sqrt(n)).astype(np.float32).astype(np.float64) for s, n in shapes.items()]

    def plane(self) -> Array:
        """Return the points of the heat map, (side^2, 2)."""
        line = np.linspace(-2, 2, self.side)
        return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)

    def shoal(self, threads: int, sample: int | None = None, dtype: str | None = None) -> Curves:
        """Return the curves of all networks, or of the first seeds, as shoal trains them."""
        curves: dict[str, list[Array]] = {"loss": [], "heat map": []}
        for margin, coefficient in EXPERIMENTS.values():
            for seed in range(self.seeds if sample is None else min(sample, self.seeds)):
                w, b, v, c = self.drawn(seed)
                # shoal's penalty is half its coefficient times the mean squared output.
                data = shoal.train(
                    shoal.Network((2, self.hidden, 1), bias=True), shoal.Task(*self.data(seed, margin)),
                    shoal.Explicit([w[None], v[None]], [b[None], c[None]]), spectral_decoupling=2 * coefficient,
                    method=shoal.GradientDescent(RATE, self.steps, momentum=MOMENTUM), dtype=dtype or self.dtype,
                    record=shoal.Record(steps=self.recorded, measure=("loss", "weights")), threads=threads,
                )  # fmt: skip
                curves["loss"].append(data["loss"].values)
                curves["heat map"].append(shoal.predict(data, self.plane()).values)
        return {name: np.concatenate(arrays) for name, arrays in curves.items()}

    def original(self, sample: int, dtype: str | None = None, moved: float = 0.0, threads: int = 1) -> Curves:
        """Return the curves of the first seeds, as the authors train them."""
        import_module("torch").set_num_threads(threads)
        found = [
            self.one(seed, *experiment, dtype or self.dtype, moved)
            for experiment in EXPERIMENTS.values()
            for seed in range(min(sample, self.seeds))
        ]
        return {name: np.stack([curves[name] for curves in found]) for name in found[0]}

    def one(self, seed: int, margin: float, coefficient: float, dtype: str, moved: float) -> Curves:
        """Return the curves of one network."""
        torch: Any = import_module("torch")
        kind = getattr(torch, dtype)
        arrays = [nudged(array, moved, number) for number, array in enumerate(self.drawn(seed))]
        net = torch.nn.Sequential(torch.nn.Linear(2, self.hidden), torch.nn.ReLU(), torch.nn.Linear(self.hidden, 1)).to(
            kind
        )
        with torch.no_grad():
            for parameter, array in zip(net.parameters(), arrays, strict=True):
                parameter.copy_(torch.from_numpy(array))
        x, y = (torch.tensor(array, dtype=kind) for array in self.data(seed, margin))
        optimiser = torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM)
        losses = []
        for step in range(self.steps + 1):
            output = net(x)[:, 0]
            loss = torch.log(1.0 + torch.exp(-output * y)).mean()
            if step in self.recorded:
                losses.append(loss.item())
            if step == self.steps:
                break
            if coefficient:
                loss = loss + coefficient * (output**2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            heat = net(torch.tensor(self.plane(), dtype=kind))[:, 0].numpy()
        return {"loss": np.array(losses), "heat map": heat.astype(np.float64)}

    def ways(self, threads: int, stack: ExitStack) -> dict[str, Callable[[int], Any]]:
        """Return one thread and all."""
        counts = sorted({1, threads})
        return {f"torch, {n} thread{'s' * (n > 1)}": partial(self.original, threads=n) for n in counts}

    def found(self, curves: Curves) -> str:
        """Return how much of the heat map's variation follows the second feature, by experiment."""
        told = []
        for name, maps in zip(EXPERIMENTS, np.split(curves["heat map"], len(EXPERIMENTS)), strict=True):
            mean = maps.mean(axis=0).reshape(self.side, self.side)
            along = mean - mean.mean(axis=1, keepdims=True)
            told.append(f"{name}: {np.sum(along**2) / np.sum((mean - mean.mean()) ** 2):.2f}")
        return (
            "moons: fraction of the variance of the mean outputs, over the plane, that the first feature alone leaves: "
            f"{'; '.join(told)}."
        )
