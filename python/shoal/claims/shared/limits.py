"""The limit of large networks, many samples and slow descent, read off three sizes.

A network of M nodes, trained on N samples by descent at a rate r, leaves the mean-field theory by terms in 1/M, 1/N and
r. Halving all three terms at once and twice gives three measurements v1, v2, v4 at sizes 1, 1/2 and 1/4; 2 v1 - v2 is
free of what is of first order, and has still to move by about |(2 v1 - v2) - (2 v2 - v4)| at most, the last correction.

Source: docs/theory.md section 7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from shoal.claims.outcome import Setting
from shoal.claims.shared.teacher import Condition, over_datasets
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_estimate, freedom_of_sum

__all__ = ["FACTORS", "Limit", "measure_sizes", "smaller", "stacked"]

FACTORS = (1, 2, 4)
"""By how much nodes and samples are fewer, and the rate larger, at the three sizes."""


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
        errors = np.stack(
            [
                weight * values.std(axis=0, ddof=1) / np.sqrt(len(values))
                for weight, values in zip((2, 1), sizes, strict=False)
            ]
        )
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
        value, error, freedom, bias = (
            each[chosen] for each in (self.value, self.standard_error, self.freedom, self.bias)
        )
        return Limit(value, error, freedom, bias, self.runs)

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
    return Limit(
        np.stack([limit.value for limit in limits]),
        np.stack([limit.standard_error for limit in limits]),
        np.stack([limit.freedom for limit in limits]),
        np.stack([limit.bias for limit in limits]),
        sum(limit.runs for limit in limits),
    )


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
    condition: Condition,
    setting: Setting,
    datasets: int,
    measure: Callable[[Condition, int, int], Sequence[Floats]],
    *,
    part: int = 0,
) -> list[tuple[Floats, ...]]:
    """Return what is measured at the three sizes: for each quantity a tuple of arrays (datasets, ...), one a size.

    ``condition``: of the largest size; 4 divides samples, nodes and steps. ``setting``: who is told what runs.
    ``datasets``: how many at the largest size; twice and four times as many at the smaller ones, whose noise is as much
    larger. ``measure``: takes a condition, its factor, and the part of the dataset; gives the quantities, averaged over
    the dataset's networks, which share their samples. ``part``: the first part to use; the next free one is ``part + 7
    * datasets``.
    """
    found = []
    for factor in FACTORS:
        sized = smaller(condition, factor)
        setting.say(f"{datasets * factor} datasets: N={sized.samples}, M={sized.nodes}, alpha={sized.alpha:.3g}")

        def one(number: int, sized: Condition = sized, factor: int = factor, first: int = part) -> Sequence[Floats]:
            return measure(sized, factor, first + number)

        found.append(over_datasets(datasets * factor, one, setting.threads))
        part += datasets * factor
    return list(zip(*found, strict=True))
