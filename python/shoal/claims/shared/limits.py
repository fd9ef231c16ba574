"""Networks on many datasets, and the limit of wide networks, many samples and slow descent.

A network of M nodes, trained on N samples by descent at a rate r, leaves the mean-field theory by terms in 1/M, 1/N and
r. `Halves` removes what is of first order in 1/M and 1/N: 2 v1 - v2 of measurements at both sizes and at half of both.
`Limit` halves r, too, and does so twice: 2 v1 - v2 of the sizes 1, 1/2 and 1/4 has still to move by about
|(2 v1 - v2) - (2 v2 - v4)| at most, the last correction.

Source: theory book, chapter 7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from shoal import compare_mean
from shoal.claims.shared.figures import standard_error
from shoal.claims.shared.runs import side_by_side
from shoal.claims.shared.teacher import Condition
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_estimate, freedom_of_sum

NETWORKS = 4
"""On one dataset, whose mean is one draw of a statistical comparison."""
FACTORS = (1, 2, 4)
"""By how much nodes and samples are fewer, and the rate larger, at the three sizes."""

Measured = dict[str, Floats]
"""Measurements by name."""
Measure = Callable[[int], Mapping[str, Any]]
"""Gives the measurements of a part: a dataset and its networks."""


def count_datasets(run: Trial, full: int, quick: int) -> int:
    """Return how many datasets hold the networks that are asked for, at least two; ``full`` or ``quick`` by default."""
    return max(2, run.networks(full * NETWORKS, quick * NETWORKS) // NETWORKS)


def over_datasets(run: Trial, datasets: int, measure: Measure, first: int) -> Measured:
    """Return what ``measure(part)`` gives for parts first, first + 1, ..., (datasets, ...) each."""
    found = side_by_side(lambda number: measure(first + number), datasets, run.threads)
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


def measure_means(
    run: Trial, conditions: Sequence[Condition], parts: Sequence[int], datasets: int, **training: Any
) -> Measured:
    """Return each measure, (conditions, datasets, times), means over the networks of a dataset.

    ``parts``: of the first dataset of each condition. The others: as in `Condition.train`.
    """
    found = []
    for condition, first in zip(conditions, parts, strict=True):
        size = f"N={condition.samples}, M={condition.nodes}, {condition.flipped:.0%} wrong labels"
        run.say(f"{datasets} datasets: {size}")

        def one(part: int, condition: Condition = condition) -> Measured:
            data = condition.train(run, networks=NETWORKS, part=part, **training)
            return {name: data[name].values.mean(axis=0) for name in training["measure"]}

        found.append(over_datasets(run, datasets, one, first))
    return {name: np.stack([one[name] for one in found]) for name in training["measure"]}


@dataclass(frozen=True)
class Halves:
    """Measurements (datasets, ...) of a condition, and of half of its nodes and samples, all means over networks."""

    condition: Condition
    whole: Measured
    half: Measured

    @classmethod
    def train(
        cls, run: Trial, condition: Condition, datasets: int, measuring: Callable[[Condition], Measure], first: int
    ) -> Halves:
        """Return what ``measuring(condition)(part)`` gives for parts first, first + 1, ... of both sizes."""
        half = replace(condition, nodes=condition.nodes // 2, samples=condition.samples // 2)
        run.say(f"training on {datasets} datasets, {condition.distribution}, {condition.nodes} and {half.nodes} nodes")
        return cls(condition, *(over_datasets(run, datasets, measuring(one), first) for one in (condition, half)))

    def limit(self, name: str) -> Floats:
        """Return a measurement extrapolated to 1/M = 1/N = 0, (datasets, ...)."""
        return np.asarray(2 * self.whole[name] - self.half[name])

    def compare_mean(self, measured: Floats, expected: ArrayLike, bias: ArrayLike = 0.0) -> Comparison:
        """Return the comparison of a mean over datasets, with the number of networks behind it."""
        return replace(compare_mean(measured, expected, bias=bias), networks=len(measured) * NETWORKS)


class Limit(NamedTuple):
    """What the three sizes extrapolate to.

    ``value, standard_error, freedom, bias`` (...,): 2 v1 - v2 of the means, its standard error and the degrees of
    freedom of that, and the last correction. ``runs``: independent datasets.
    """

    value: Floats
    standard_error: Floats
    freedom: Floats
    bias: Floats
    runs: int

    @classmethod
    def of(cls, sizes: Sequence[Floats]) -> Limit:
        """Return the limit of measurements (datasets, ...) at the sizes of `FACTORS`; any number of datasets each."""
        means = [values.mean(axis=0) for values in sizes]
        errors = np.stack([2 * standard_error(sizes[0]), standard_error(sizes[1])])
        value = 2 * means[0] - means[1]
        return cls(
            value=np.asarray(value),
            standard_error=np.hypot(*errors),
            freedom=freedom_of_sum(errors, [len(values) - 1.0 for values in sizes[:2]]),
            bias=np.asarray(np.abs(value - (2 * means[1] - means[2]))),
            runs=sum(len(values) for values in sizes),
        )

    def at(self, chosen: Any) -> Limit:
        """Return some of the numbers of a limit of several, as an index of NumPy chooses them."""
        value, error, freedom, bias, runs = self
        return Limit(value[chosen], error[chosen], freedom[chosen], bias[chosen], runs)

    def compare(self, predicted: ArrayLike) -> Comparison:
        """Return the statistical comparison with a prediction, the bias stated."""
        errors = {"standard_error": self.standard_error, "freedom": self.freedom, "bias": self.bias}
        return compare_estimate(self.value, predicted, **errors, networks=self.runs)


def stacked(limits: Sequence[Limit]) -> Limit:
    """Return the limits of several conditions as one of arrays, conditions first."""
    value, error, freedom, bias, runs = zip(*limits, strict=True)
    return Limit(np.stack(value), np.stack(error), np.stack(freedom), np.stack(bias), sum(runs))


def smaller(condition: Condition, factor: int) -> Condition:
    """Return the condition with so many times fewer samples and nodes, at a rate as much larger for the same time."""
    fewer = {name: getattr(condition, name) // factor for name in ("samples", "nodes", "steps")}
    return replace(condition, **fewer, rate=condition.rate * factor)


def measure_limits(
    run: Trial,
    condition: Condition,
    datasets: int,
    measure: Callable[[Condition, int, int], Mapping[str, Any]],
    first: int,
) -> dict[str, Limit]:
    """Return the limit of each measurement; ``measure`` takes a condition, its factor, and the part of the dataset.

    ``condition``: of the largest size; 4 divides samples, nodes and steps. ``datasets``: of the largest size; twice and
    four times as many of the smaller ones, whose noise is as much larger. The next free part is ``first + 7 datasets``.
    """
    sizes = []
    for factor in FACTORS:
        sized, count = smaller(condition, factor), datasets * factor
        run.say(f"{count} datasets: N={sized.samples}, M={sized.nodes}, alpha={sized.alpha:.3g}")
        sizes.append(over_datasets(run, count, partial(measure, sized, factor), first))
        first += count
    return {name: Limit.of([size[name] for size in sizes]) for name in sizes[0]}
