"""Linear networks that grow on separable data until time 1e12 or 1e24, beside the theory of one layer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import xarray as xr

from shoal import Explicit, Gaussian, Network, Task, theory
from shoal.claims.shared.flows import flow
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats

TIMES = np.concatenate([[0.0], np.logspace(-1, 12, 131)])
LONG = np.concatenate([[0.0], np.logspace(-1, 24, 126)])  # several layers come to their limits more slowly
WIDTH = 4
STRENGTH = 0.8  # of every layer of a balanced network
MEASURE = ("trajectory", "loss", "margin")


def least_order(layers: int) -> float:
    """Return the least kappa of data for so many layers, through which loss^(kappa/layers) is left to come.

    One layer: t^-1/2, so that less is left than the last factor of ten in time has changed. More: t^-1/4 at least, so
    that of the first time used in an extrapolation, 1e12, a thousandth is left.
    """
    return max(0.5, layers / 4)


def separable(inputs: int, samples: int, seed: int, order: float) -> Task:
    """Return random separable samples of unequal weights with as many support vectors as inputs.

    Norms are from 0.7 to 1.3. Data are drawn until the exponent kappa of theory, with which one layer comes to its
    limit, is at least ``order``.
    """
    generator = np.random.default_rng([seed, inputs, samples])
    while True:
        axis = generator.normal(size=inputs)
        axis /= np.linalg.norm(axis)
        points = generator.normal(size=(samples, inputs))
        labels = np.where(points @ axis > 0, 1, -1)
        points += 0.5 * labels[:, None] * axis
        points *= generator.uniform(0.7, 1.3, (samples, 1)) / np.linalg.norm(points, axis=1, keepdims=True)
        task = Task(points, labels, generator.uniform(0.5, 1.5, samples))
        try:
            growth = theory.separable_growth(task)
        except ValueError:  # fewer support vectors
            continue
        if growth.order >= order:
            return task


def balanced(directions: Floats, layers: int, generator: np.random.Generator) -> Explicit:
    """Return balanced layers of rank one whose product is `STRENGTH`^layers times given directions (networks, d)."""
    networks = len(directions)
    ends = [directions]
    for _ in range(layers - 1):
        drawn = generator.normal(size=(networks, WIDTH))
        ends.append(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))
    ends.append(np.ones((networks, 1)))
    return Explicit([STRENGTH * out[:, :, None] * into[:, None, :] for into, out in pairwise(ends)])


def extrapolate(nodes: Floats, values: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Return values at 0 of the parabolas through three of four (nodes, values), and how far they may be off.

    ``nodes`` (networks, 4), the smallest first; ``values`` (networks, 4, ...), each off by ``noise`` (networks,) at
    most, which comes in with the weights of the parabola. Besides, the value at 0 may be off by the larger of what the
    third node has changed and what the fourth would: one alone can be small by chance, and in the fourth, of the
    earliest time, most of what falls with a power of the loss is left.
    """
    weights = [_weights(nodes[:, :count]) for count in (2, 3, 4)]
    before, best, after = (
        np.asarray(np.einsum("ki,ki...->k...", each, values[:, : each.shape[1]])) for each in weights
    )
    carried = noise * np.abs(weights[1]).sum(axis=1)
    error = np.maximum(np.abs(best - before), np.abs(after - best))
    return best, error + carried.reshape(-1, *(1,) * (error.ndim - 1))


def _weights(x: Floats) -> Floats:
    """Return the weights at 0 of Lagrange's polynomials of nodes (networks, n)."""
    weights = np.ones_like(x)
    for i in range(x.shape[1]):
        for j in range(x.shape[1]):
            if i != j:
                weights[:, i] *= x[:, j] / (x[:, j] - x[:, i])
    return weights


@dataclass(frozen=True)
class Grown:
    """Networks trained on one task: the product w of their layers, their losses, and theory."""

    task: Task
    growth: theory.Growth
    weights: Floats  # (networks, times, d)
    losses: Floats  # (networks, times)
    margins: Floats  # (networks, times, samples)

    @classmethod
    def of(cls, task: Task, data: xr.Dataset, layers: int) -> Grown:
        """Return what a dataset with trajectories has."""
        product = np.asarray(data["trajectory_1"].values)
        for layer in range(2, layers + 1):
            product = data[f"trajectory_{layer}"].values @ product
        growth = theory.separable_growth(task)
        return cls(task, growth, product[:, :, 0], data["loss"].values, data["margin"].values)

    @classmethod
    def single(cls, run: Trial, task: Task, loss: str, networks: int) -> Grown:
        """Train one layer from Gaussian initial weights of standard deviation 1."""
        network = Network((task.inputs.shape[1], 1), activation="linear")
        init = Gaussian(std=1.0)
        return cls.of(task, flow(run, network, task, init, TIMES, measure=MEASURE, loss=loss, networks=networks), 1)

    @classmethod
    def deep(cls, run: Trial, task: Task, layers: int, networks: int) -> Grown:
        """Train balanced layers of rank one under the exponential loss."""
        inputs = task.inputs.shape[1]
        generator = np.random.default_rng([run.seed, layers])
        directions = generator.normal(size=(networks, inputs))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        init = balanced(directions, layers, generator)
        network = Network((inputs, *(WIDTH,) * (layers - 1), 1), activation="linear")
        return cls.of(task, flow(run, network, task, init, LONG, measure=MEASURE, loss="exponential"), layers)

    @staticmethod
    def layers_of(run: Trial, task: Task, layers: int, networks: int, seed: int) -> list[Floats]:
        """Return each layer (networks, times, outputs, inputs) trained from Gaussian initial weights."""
        network = Network((task.inputs.shape[1], *(WIDTH,) * (layers - 1), 1), activation="linear")
        data = flow(
            run, network, task, Gaussian(std=0.4), LONG, measure=("trajectory",), loss="exponential",
            networks=networks, seed=seed,
        )  # fmt: skip
        return [np.asarray(data[f"trajectory_{layer}"].values) for layer in range(1, layers + 1)]

    @property
    def unweighted(self) -> theory.Growth:
        """Theory that takes all samples for equally frequent."""
        samples = self.task.samples
        equal = SimpleNamespace(
            inputs=self.task.inputs, labels=self.task.labels, sample_weight=np.full(samples, 1 / samples)
        )
        return theory.separable_growth(equal)

    def cotangent(self, weights: Floats) -> Floats:
        """Return the cotangent of the angle between weights (..., d) and the maximum-margin direction."""
        unit = self.growth.separator * self.growth.margin
        along = weights @ unit
        return np.asarray(along / np.linalg.norm(weights - along[..., None] * unit, axis=-1))
