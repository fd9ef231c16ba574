"""One network of mean-field scaling on data that a teacher labels: the condition, its training, and its measured clock.

Source: arXiv:2006.11209; docs/theory.md section 7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from shoal import Gaussian, GradientDescent, Hinge, Network, Record, Task, theory, train
from shoal.claims.shared.runs import far_seed, side_by_side
from shoal.claims.trial import Trial
from shoal.tasks import separable_gaussian, separable_sphere
from shoal.theory.mean_field.distributions import InputDistribution, distribution_of
from shoal.verdicts.layout import Floats

FINER = 16
"""By what descent's limit at a finer rate is finer; the rest of the first-order bias is extrapolated."""


@dataclass(frozen=True)
class Condition:
    """A network of mean-field scaling, the distribution of its data, and how it is trained.

    Time is step x rate, that of docs/theory.md section 7 with beta = 1, whatever the width, alpha and the rate.

    ``samples, inputs, nodes``: N, d and M. ``rate``: of descent: beta dt. ``steps``: updates. ``alpha``: scale of the
    output. ``threshold``: of the hinge. ``distribution``: of the inputs: N(0, I_d), or uniform on the sphere of
    `radius`. ``radius``: of that sphere; 1 for Gaussian inputs. ``flipped``: fraction of the training labels that are
    wrong. ``test_samples``: fresh samples with right labels. ``centred``: whether the output is f(x, t) - f(x, 0).
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
    def inputs_distribution(self) -> InputDistribution:
        """The distribution of the inputs: moments of a projection."""
        return distribution_of(self.distribution, self.inputs, self.radius)

    @property
    def until(self) -> float:
        """Time of the last step."""
        return self.rate * self.steps

    def task(self, seed: int) -> Task:
        """Return the data; the teacher is the first axis."""
        options: dict[str, Any] = {"flipped": self.flipped, "test_samples": self.test_samples, "seed": seed}
        if self.distribution == "sphere":
            return separable_sphere(self.samples, self.inputs, radius=self.radius, **options)
        return separable_gaussian(self.samples, self.inputs, **options)

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
        """Return networks trained on one dataset, from N(0, 1) weights; ``time`` is the time of the theory.

        ``steps`` (times,), int: when to record. ``networks``: how many initialisations on this one dataset. ``part``:
        another part is another dataset and other initialisations, as in `far_seed`. ``task``: other data of the same
        distribution; those of `task` for this part's seed when left out. The others: as in ``shoal.train``; the loss is
        the hinge of `threshold` when left out.
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
        """Return by what descent multiplies a + w_par and a - w_par, (times,) float64 each, at infinite width.

        On infinitely many samples with right labels a step multiplies them by 1 + rate v and 1 - rate v, with v the
        speed at the output that the products give. Both tend to e^gamma and e^-gamma as the rate vanishes.

        ``steps`` (times,), int: of the condition's own rate. ``refine``: the same times are reached in so many times as
        many steps.
        """
        chosen = np.asarray(steps, np.int64) * refine
        products = np.ones((int(chosen.max()) + 1, 2))
        for step in range(len(products) - 1):
            up, down = products[step]
            change = self.rate / refine * self.speed((up * up - down * down) / 2)
            products[step + 1] = up * (1 + change), down * (1 - change)
        return products[chosen, 0], products[chosen, 1]

    def rate_shift(self, steps: ArrayLike, measured: Callable[[Floats, Floats], Floats]) -> Floats:
        """Return by how much the rate shifts a measurement in the mean-field limit, (times, ...) float64.

        It is known before any training, and measurements are corrected by it. Descent's own limit at the rate and at a
        finer one, and no theory of the flow, which is what is to be tested.

        ``steps`` (times,), int: when it is measured. ``measured``: takes the two products of `descent`, gives the
        measurement.
        """
        coarse, fine = (measured(*self.descent(steps, refine)) for refine in (1, FINER))
        return (coarse - fine) * FINER / (FINER - 1)

    def unsatisfied(self, up: Floats, down: Floats) -> Floats:
        """Return the fraction of unsatisfied samples at the output that two products of `descent` give."""
        with np.errstate(divide="ignore"):
            boundary = 4 * np.sqrt(self.inputs) * self.threshold / (self.alpha * (up**2 - down**2))
        return self.inputs_distribution.fraction(boundary)

    def pull(self, times: ArrayLike) -> Floats:
        """Return by how much of the threshold, at most, an unsatisfied training sample has raised its own margin.

        Its own term of the gradient moves its output at the rate alpha (|x|^2/d) cosh(2 gamma)/N, with nodes on their
        curves and |x|^2 = d for Gaussian inputs. Where that is small, the network has learnt the distribution and not
        the samples: overfitting has not set in. It is a bound, for the other samples take back part of what one adds.
        """
        size = self.radius**2 / self.inputs if self.distribution == "sphere" else 1.0
        given = np.asarray(times, np.float64)
        grid = np.linspace(0.0, float(given.max()), 4001)
        integrand = np.cosh(2 * self.theory.gamma(grid))
        integral = np.concatenate([[0.0], np.cumsum((integrand[1:] + integrand[:-1]) / 2) * grid[1]])
        return np.asarray(self.alpha * size / (self.samples * self.threshold) * np.interp(given, grid, integral))

    def deviation(self, projections: ArrayLike, gamma: ArrayLike) -> Floats:
        """Return the standard deviation of f over networks at inputs of given projections, to leading order in 1/M.

        The variance of one node's a relu(w.x) on the curves of infinite width, with |w_perp.x|^2 = |x_perp|^2 at its
        mean over Gaussian inputs: alpha^2/(M d) [c (x_par^2 c + d - 1)/2 + 3/4 x_par^2 s^2], c = cosh 2 gamma and
        s = sinh 2 gamma. At x_par = 0 and large d it is the ``noise`` of the theory; the rest is the scatter of the
        slope of f over networks, which counts as much where samples are satisfied.
        """
        square, cosh, sinh = np.square(projections), np.cosh(2 * np.asarray(gamma)), np.sinh(2 * np.asarray(gamma))
        variance = cosh * (square * cosh + self.inputs - 1) / 2 + 0.75 * square * sinh**2
        return np.asarray(self.alpha * np.sqrt(variance / (self.nodes * self.inputs)))

    def speed(self, sinh: float) -> float:
        """Return d gamma/dt where the output is alpha sinh x_par / (2 sqrt d) and all labels are right.

        It is E[|x_par|; unsatisfied] / (2 sqrt d), with the mean over the distribution of the inputs.
        """
        root = math.sqrt(self.inputs)
        edge = 2 * root * self.threshold / (self.alpha * sinh) if sinh > 0 else math.inf
        inputs = self.inputs_distribution
        return float(inputs.mean * inputs.mean_fraction(np.asarray(edge)) / (2 * root))


def halved(condition: Condition) -> Condition:
    """Return the condition with half of the nodes and of the samples, to extrapolate to infinitely many of both."""
    return replace(condition, nodes=condition.nodes // 2, samples=condition.samples // 2)


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


def spread_steps(last: int, count: int, *, first: int = 1) -> NDArray[np.int64]:
    """Return 0 and about `count` steps from `first` to `last`, each about the same factor after the one before."""
    steps = np.rint(np.geomspace(first, last, count)).astype(np.int64)
    return np.unique(np.concatenate([[0], steps, [last]]))


def over_datasets(
    datasets: int, measure: Callable[[int], Sequence[Floats]], threads: int | None = None, first: int = 0
) -> list[Floats]:
    """Return what ``measure(part)`` gives for parts first, first + 1, ..., stacked: (datasets, ...) for each array.

    As many datasets at a time as there are threads.
    """
    found = side_by_side(lambda number: measure(first + number), datasets, threads)
    return [np.stack(values) for values in zip(*found, strict=True)]


def measure_means(
    run: Trial, conditions: Sequence[Condition], parts: Sequence[int], datasets: int, networks: int, **training: Any
) -> list[Floats]:
    """Return each measure, (conditions, datasets, times) float64, means over the networks of a dataset.

    ``parts``: of the first dataset of each condition. The others: as in `Condition.train`.
    """
    found = []
    for condition, first in zip(conditions, parts, strict=True):
        run.say(
            f"{datasets} datasets: N={condition.samples}, M={condition.nodes}, {condition.flipped:.0%} wrong labels"
        )

        def one(part: int, condition: Condition = condition) -> list[Floats]:
            data = condition.train(run, networks=networks, part=part, **training)
            return [np.asarray(data[name].values.mean(axis=0)) for name in training["measure"]]

        found.append(over_datasets(datasets, one, run.threads, first=first))
    return [np.stack(values) for values in zip(*found, strict=True)]


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


def band(condition: Condition, projections: Floats, deviations: float) -> tuple[Floats, Floats]:
    """Return between which times samples are satisfied in networks whose f is at most so many deviations off.

    ``condition``: with Gaussian inputs. ``projections`` (samples,): |x_par|, positive. ``deviations``: in standard
    deviations of f at finite width, `Condition.deviation`. Returns tuple of (samples,): the earliest and the latest
    time; infinite where the noise outgrows the output.
    """
    theory = condition.theory
    # On a grid: the edges are smooth in ln x_par, and monotone functions of gamma are inverted by interpolation.
    sizes = np.geomspace(projections.min() / 1.01, projections.max() * 1.01, 200)
    gamma = np.linspace(1e-3, 0.5 * np.arcsinh(4 * np.sqrt(condition.inputs) / sizes.min()) + 1.0, 2000)
    signal = condition.threshold * sizes[:, None] / theory.boundary(theory.time(gamma))
    noise = deviations * condition.deviation(sizes[:, None], gamma)
    low, high = (
        np.interp(np.log(projections), np.log(sizes), theory.time(satisfied_at(gamma, output.T, condition.threshold)))
        for output in (signal + noise, signal - noise)
    )
    return low, high
