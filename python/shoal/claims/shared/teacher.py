"""One network of mean-field scaling on data that a teacher labels: the condition, its training, and its measured clock.

Source: arXiv:2006.11209; theory book, chapter 7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from shoal import Gaussian, GradientDescent, Hinge, Network, Record, Task, tasks, theory, train
from shoal.claims.shared.runs import far_seed
from shoal.claims.trial import Trial
from shoal.theory.mean_field.distributions import InputDistribution, distribution_of
from shoal.verdicts.layout import Flags, Floats, Integers

FINER = 16
"""By what descent's limit at a finer rate is finer; the rest of the first-order bias is extrapolated."""


@dataclass(frozen=True)
class Condition:
    """A network of mean-field scaling, the distribution of its data, and how it is trained.

    ``samples, inputs, nodes``: N, d and M. ``alpha``: scale of the output, f(x, t) - f(x, 0) if ``centred``.
    ``threshold``: of the hinge. ``distribution``: N(0, I_d), or uniform on the sphere of ``radius``. ``flipped``:
    fraction of wrong training labels. Time is step x rate, that of theory book, chapter 7 with beta = 1.
    """

    samples: int
    inputs: int
    nodes: int
    rate: float
    steps: int
    alpha: float = 1.0
    threshold: float = 1.0
    distribution: Literal["gaussian", "sphere"] = "gaussian"
    radius: float = 1.0
    flipped: float = 0.0
    test_samples: int = 0
    centred: bool = False

    @property
    def network(self) -> Network:
        """The network."""
        return Network.mean_field(self.inputs, self.nodes, self.alpha, centred=self.centred)

    @cached_property
    def theory(self) -> theory.MeanFieldHinge:
        """What an infinitely wide network does on infinitely many samples with right labels, under gradient flow."""
        return theory.MeanFieldHinge(
            self.nodes,
            self.inputs,
            self.alpha,
            self.threshold,
            distribution=self.distribution,
            radius=self.radius,
            centred=self.centred,
        )

    @cached_property
    def projections(self) -> InputDistribution:
        """The distribution of the inputs' projections on the teacher."""
        return distribution_of(self.distribution, self.inputs, self.radius)

    @property
    def times(self) -> Floats:
        """Times of all steps, from 0 on."""
        return np.asarray(np.arange(self.steps + 1) * self.rate, np.float64)

    @property
    def until(self) -> float:
        """Time of the last step."""
        return self.rate * self.steps

    def task(self, seed: int) -> Task:
        """Return the data; the teacher is the first axis."""
        options: dict[str, Any] = {"flipped": self.flipped, "test_samples": self.test_samples, "seed": seed}
        if self.distribution == "sphere":
            return tasks.separable_sphere(self.samples, self.inputs, radius=self.radius, **options)
        return tasks.separable_gaussian(self.samples, self.inputs, **options)

    def train(
        self,
        run: Trial,
        *,
        steps: ArrayLike,
        measure: tuple[str, ...],
        networks: int = 1,
        part: int = 0,
        task: Task | None = None,
        **training: Any,
    ) -> xr.Dataset:
        """Return initialisations trained on one dataset; another ``part``, as in `far_seed`, draws others of both.

        ``steps``: when to record. ``task``: other data of the same distribution. The others: as in ``shoal.train``.
        """
        seed = far_seed(run.seed, part)
        return train(
            self.network,
            self.task(seed) if task is None else task,
            Gaussian(std=1.0),
            method=GradientDescent(learning_rate=self.rate, steps=self.steps),
            record=Record(steps=np.asarray(steps, np.int64), measure=measure),
            networks=networks,
            seed=seed,
            threads=run.threads,
            **{"loss": Hinge(self.threshold)} | training,
        )

    def descent(self, steps: ArrayLike, refine: int = 1) -> tuple[Floats, Floats]:
        """Return by what descent multiplies a + w_par and a - w_par, (times,) each, at infinite width and N.

        A step multiplies them by 1 + rate v and 1 - rate v, with v the speed at the output that the products give. Both
        tend to e^gamma and e^-gamma as the rate vanishes. ``steps`` (times,): of the condition's own rate; ``refine``
        as many are made to the same times.
        """
        chosen = np.asarray(steps, np.int64) * refine
        products = np.ones((int(chosen.max()) + 1, 2))
        for step in range(len(products) - 1):
            change = self.rate / refine * float(self.speed(self.boundary(*products[step])))
            products[step + 1] = products[step] * (1 + change, 1 - change)
        return products[chosen, 0], products[chosen, 1]

    def rate_shift(self, steps: ArrayLike, measured: Callable[[Floats, Floats], Floats]) -> Floats:
        """Return by how much the rate shifts a measurement, a function of what `descent` gives, (times, ...).

        Known before any training; measurements are corrected by it. It is descent's own limit at the rate and at a
        finer one, and no theory of the flow, which is what is tested.
        """
        coarse, fine = (measured(*self.descent(steps, refine)) for refine in (1, FINER))
        return (coarse - fine) * FINER / (FINER - 1)

    def boundary(self, up: Floats, down: Floats) -> Floats:
        """Return x_c at the output alpha (up^2 - down^2) x_par / (4 sqrt d) that two products of `descent` give."""
        with np.errstate(divide="ignore"):
            slope = self.alpha * (np.square(up) - np.square(down))
            return np.asarray(4 * np.sqrt(self.inputs) * self.threshold / slope)

    def unsatisfied(self, up: Floats, down: Floats) -> Floats:
        """Return the fraction of unsatisfied samples at that output."""
        return self.projections.fraction(self.boundary(up, down))

    def speed(self, boundary: ArrayLike) -> Floats:
        """Return d gamma/dt where all labels are right: E[|x_par|; |x_par| < x_c] / (2 sqrt d)."""
        mean = self.projections.mean * self.projections.mean_fraction(np.asarray(boundary, np.float64))
        return np.asarray(mean / (2 * np.sqrt(self.inputs)))

    def pull(self, times: ArrayLike) -> Floats:
        """Return by how much of the threshold, at most, an unsatisfied training sample has raised its own margin.

        Its own term of the gradient moves its output at the rate alpha (|x|^2/d) cosh(2 gamma)/N; the other samples
        take back part of it. While that is small the network has learnt the distribution and not the samples.
        """
        size = self.radius**2 / self.inputs if self.distribution == "sphere" else 1.0
        given = np.asarray(times, np.float64)
        grid = np.linspace(0.0, float(given.max()), 4001)
        integrand = np.cosh(2 * self.theory.gamma(grid))
        integral = np.concatenate([[0.0], np.cumsum((integrand[1:] + integrand[:-1]) / 2) * grid[1]])
        return np.asarray(self.alpha * size / (self.samples * self.threshold) * np.interp(given, grid, integral))

    def deviation(self, projections: ArrayLike, gamma: ArrayLike) -> Floats:
        """Return the standard deviation of f over networks at inputs of given projections, to leading order in 1/M.

        From the variance of one node's a relu(w.x) on the curves of infinite width, with |x_perp|^2 at its mean over
        Gaussian inputs: alpha^2/(M d) [c (x_par^2 c + d - 1)/2 + 3/4 x_par^2 s^2], c = cosh 2 gamma, s = sinh 2 gamma.
        """
        square, cosh, sinh = np.square(projections), np.cosh(2 * np.asarray(gamma)), np.sinh(2 * np.asarray(gamma))
        variance = cosh * (square * cosh + self.inputs - 1) / 2 + 0.75 * square * sinh**2
        return np.asarray(self.alpha * np.sqrt(variance / (self.nodes * self.inputs)))


def nodes(data: xr.Dataset) -> tuple[Floats, Floats]:
    """Return a_i and w_par,i, (networks, times, nodes) float64 each, of a training with the measure ``trajectory``."""
    return np.asarray(data["trajectory_2"].values[:, :, 0, :]), np.asarray(data["trajectory_1"].values[..., 0])


def clock(output: Floats, along: Floats) -> Floats:
    """Return gamma measured from the nodes, (networks, times) float64, from the first time on.

    On the theory's curves a + w_par = (a_0 + w_0) e^gamma for every node. So gamma is the logarithm of the slope, by
    least squares through the origin, of a + w_par against its initialisation.
    """
    total = output + along
    first = total[:, :1]
    return np.asarray(np.log((total * first).sum(axis=-1) / (first * first).sum(axis=-1)))


def spread_steps(last: int, count: int) -> Integers:
    """Return 0 and about `count` steps up to `last`, each about the same factor after the one before."""
    return np.unique(np.concatenate([[0], np.rint(np.geomspace(1, last, count)).astype(np.int64), [last]]))


def dozen(chosen: Flags) -> Integers:
    """Return a dozen of the chosen records, evenly spread, the first left out."""
    found = np.flatnonzero(chosen[1:]) + 1
    return np.asarray(np.unique(found[np.linspace(0, len(found) - 1, 12).astype(int)]))


def satisfied_at(times: Floats, margins: Floats, threshold: float) -> Floats:
    """Return when each margin (..., times, samples) first reaches the threshold, (..., samples) float64.

    Read off the line between the records before and after; infinite where it is never reached.
    """
    reached = margins >= threshold
    after = np.maximum(reached.argmax(axis=-2), 1)[..., None, :]
    high = np.take_along_axis(margins, after, axis=-2)[..., 0, :]
    low = np.take_along_axis(margins, after - 1, axis=-2)[..., 0, :]
    after = after[..., 0, :]
    found = times[after - 1] + (threshold - low) / (high - low) * (times[after] - times[after - 1])
    return np.where(reached.any(axis=-2), found, np.inf)


def crossing(times: Floats, series: Floats, level: float) -> float:
    """Return when a falling series (times,) first reaches a level, linearly between records; RuntimeError if never."""
    if not series.min() <= level < series[0]:
        raise RuntimeError(
            f"the series must come down to {level:g} between its first and last record, "
            f"got {series[0]:.3g} at the first and {series.min():.3g} as its least"
        )
    return float(satisfied_at(times, -series[:, None], -level)[0])
