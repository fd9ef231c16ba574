"""Polynomials through a few neighbouring records, one per series, to read values between records.

| symbol | meaning | name | shape |
|---|---|---|---|
| x | (time - origin)/unit | ``x`` | (series, ...) |
| c_j | p(x) = sum_j c_j x^j | ``coefficients`` | (series, records) |
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import NDArray

from shoal.dynamics.series import Floats

__all__ = ["bisect", "derivative", "evaluate", "shorter", "spread", "through", "windows"]

Integers = NDArray[np.int64]

HALVINGS = 54
"""Bisections of a bracket: to the last bit of its width."""


def through(x: Floats, values: Floats) -> Floats:
    """Return the ascending coefficients of polynomials through points, (series, records) each; NaN where a value is.

    x differ within a row and are of the order of 1. Newton's divided differences are expanded.
    """
    count = x.shape[1]
    differences = values.copy()
    for order in range(1, count):
        differences[:, order:] = (differences[:, order:] - differences[:, order - 1 : -1]) / (
            x[:, order:] - x[:, : count - order]
        )
    coefficients = np.zeros_like(values)
    for order in range(count - 1, -1, -1):
        # p <- p (x - x_order) + difference
        shifted = np.zeros_like(coefficients)
        shifted[:, 1:] = coefficients[:, :-1]
        coefficients = shifted - coefficients * x[:, order : order + 1]
        coefficients[:, 0] += differences[:, order]
    return coefficients


def evaluate(coefficients: Floats, x: Floats) -> Floats:
    """Return p(x), of the shape of x: (series,) or (series, points)."""
    return np.asarray(polyval(x.T, coefficients.T, tensor=False).T, np.float64)


def derivative(coefficients: Floats) -> Floats:
    """Return the coefficients of dp/dx, one fewer."""
    return coefficients[:, 1:] * np.arange(1, coefficients.shape[1])


def bisect(coefficients: Floats, low: Floats, high: Floats) -> Floats:
    """Return where each polynomial turns from negative at `low` to positive at `high`, (series,) each.

    If it does not, one of the ends is returned; if it turns more than once, one of the places. Cost: 54 evaluations.
    """
    low, high = low.copy(), high.copy()
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        negative = evaluate(coefficients, middle) < 0
        low = np.where(negative, middle, low)
        high = np.where(negative, high, middle)
    return 0.5 * (low + high)


def shorter(left: Integers, points: int, first: Integers, last: Integers) -> list[tuple[Integers, int]]:
    """Return shorter runs of records inside `points` records from `left` on: (first record, how many) each.

    One fewer, left out on either side, and two fewer, one on either side; all hold records `first` to `last`. Their
    readings say how far that of the longest run may be off. Two shorter runs are not enough: where a derivative of the
    series vanishes, they may agree with the longest by accident.
    """
    least = int(np.max(last - first)) + 1
    offered = [(left, points - 1), (left + 1, points - 1), (left + 1, points - 2)]
    return [
        (np.clip(start, np.maximum(left, last - count + 1), np.minimum(left + points - count, first)), count)
        for start, count in offered
        if count >= least
    ]


def spread(best: Floats, others: list[Floats]) -> Floats:
    """Return the largest distance of a reading from the others: an estimate of its error."""
    return np.asarray(np.max([np.abs(best - other) for other in others], axis=0))


def windows(centre: Integers, points: int, count: int | Integers) -> Integers:
    """Return the first of the `points` records around `centre`, moved inwards at the ends of `count` records."""
    return np.clip(centre - points // 2, 0, np.asarray(count) - points)
