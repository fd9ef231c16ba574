"""The limit of large networks, many samples and slow descent, read off three sizes.

A network of M nodes, trained on N samples by descent at a rate r, leaves the mean-field theory by terms in 1/M, 1/N and
r. Halving all three terms at once and twice gives three measurements v1, v2, v4 at sizes 1, 1/2 and 1/4; 2 v1 - v2 is
free of what is of first order, and has still to move by about |(2 v1 - v2) - (2 v2 - v4)| at most, the last correction.

Source: theory book, chapter 7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from shoal.claims.shared.figures import standard_error
from shoal.claims.shared.teacher import Condition, over_datasets
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_estimate, freedom_of_sum

FACTORS = (1, 2, 4)
"""By how much nodes and samples are fewer, and the rate larger, at the three sizes."""

COLUMNS = ("value", "standard_error", "freedom", "bias")
"""The arrays of a limit."""


@dataclass(frozen=True)
class Limit:
    """What the three sizes extrapolate to.

    ``value, standard_error, freedom, bias`` (...,): 2 v1 - v2 of the means, its standard error and the degrees of
    freedom of that, and the last correction of the extrapolation. ``runs``: independent datasets behind it.
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
        return replace(self, **{name: getattr(self, name)[chosen] for name in COLUMNS})

    def compare(self, predicted: ArrayLike) -> Comparison:
        """Return the statistical comparison with a prediction, the bias stated."""
        expected = np.broadcast_to(np.asarray(predicted, np.float64), self.value.shape)
        return compare_estimate(
            self.value,
            expected,
            standard_error=self.standard_error,
            freedom=self.freedom,
            bias=self.bias,
            networks=self.runs,
        )


def stacked(limits: Sequence[Limit]) -> Limit:
    """Return the limits of several conditions as one of arrays, conditions first."""
    columns = {name: np.stack([getattr(limit, name) for limit in limits]) for name in COLUMNS}
    return Limit(**columns, runs=sum(limit.runs for limit in limits))


def smaller(condition: Condition, factor: int) -> Condition:
    """Return the condition with `factor` times fewer samples and nodes, at a rate as much larger for the same time."""
    return replace(
        condition,
        samples=condition.samples // factor,
        nodes=condition.nodes // factor,
        rate=condition.rate * factor,
        steps=condition.steps // factor,
    )


def measure_sizes(
    run: Trial,
    condition: Condition,
    datasets: int,
    measure: Callable[[Condition, int, int], Sequence[Floats]],
    *,
    part: int = 0,
) -> list[tuple[Floats, ...]]:
    """Return what is measured at the three sizes: for each quantity a tuple of arrays (datasets, ...), one per size.

    ``condition``: of the largest size; 4 divides samples, nodes and steps. ``datasets``: how many at the largest size;
    twice and four times as many at the smaller ones, whose noise is as much larger. ``measure``: takes a condition, its
    factor, and the part of the dataset; gives the quantities, averaged over the dataset's networks, which share their
    samples. ``part``: the first part to use; the next free one is ``part + 7 * datasets``.
    """
    found = []
    for factor in FACTORS:
        sized = smaller(condition, factor)
        run.say(f"{datasets * factor} datasets: N={sized.samples}, M={sized.nodes}, alpha={sized.alpha:.3g}")
        found.append(over_datasets(datasets * factor, partial(measure, sized, factor), run.threads, first=part))
        part += datasets * factor
    return list(zip(*found, strict=True))
