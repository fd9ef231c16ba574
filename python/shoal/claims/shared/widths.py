"""Networks of several widths M: the exponent of a deviation, and what means tend to at infinite width."""

from __future__ import annotations

import numpy as np

from shoal.verdicts.layout import Floats


def trend(widths: Floats, squares: list[Floats]) -> tuple[Floats, Floats]:
    """Return the slopes (times,) of ln of the root mean square over networks in ln M, and their standard errors.

    The fit is ln A - slope ln M + c / M, so that the next order in 1/M is no part of the slope. A logarithm of a mean
    of n squares of relative scatter s is low by s^2 / (2 n), which is added.
    """
    scatter, counts = _scatter(squares), np.array([len(square) for square in squares], np.float64)
    logs = np.log([square.mean(axis=0) for square in squares]) + scatter**2 / (2 * counts[:, None])
    weights, error = _least_squares([np.ones(len(widths)), np.log(widths), 1 / widths], counts, 1)
    return weights @ logs / 2, error * scatter / 2


def limit(widths: Floats, ratios: list[Floats]) -> tuple[Floats, Floats]:
    """Return the means (times,) over networks that 1/M -> 0 leads to, by a straight line in 1/M, and their errors."""
    counts = np.array([len(ratio) for ratio in ratios], np.float64)
    weights, error = _least_squares([np.ones(len(widths)), 1 / widths], counts, 0)
    means = np.array([ratio.mean(axis=0) for ratio in ratios])
    return weights @ means, error * _scatter(ratios) * means.mean(axis=0)


def _least_squares(columns: list[Floats], counts: Floats, which: int) -> tuple[Floats, float]:
    """Return what the widths' means are weighted with for one coefficient, and its error for networks of scatter 1."""
    root = np.sqrt(counts)
    weights = np.linalg.pinv(np.column_stack(columns) * root[:, None])[which] * root
    return weights, float(np.sqrt(np.sum(weights**2 / counts)))


def _scatter(samples: list[Floats]) -> Floats:
    """Return the standard deviation over networks over the mean, (times,), from all widths together.

    Squares are skewed: a width whose mean falls low by chance would also seem too certain.
    """
    ratios = [sample.var(axis=0, ddof=1) / sample.mean(axis=0) ** 2 for sample in samples]
    return np.asarray(np.sqrt(np.mean(ratios, axis=0)), np.float64)


def exponent(widths: Floats, values: Floats, errors: Floats, *, next_order: bool = True) -> tuple[float, float]:
    """Return the slope of ln |value| in ln M and its standard error, from values (widths,) with standard errors.

    The fit is ln A + slope ln M + c / M, each width weighted by its relative error; without c if no next order.
    """
    relative = errors / np.abs(values)
    columns = np.column_stack([np.ones(len(widths)), np.log(widths), 1 / widths][: 2 + next_order])
    weights = np.linalg.pinv(columns / relative[:, None])[1] / relative
    return float(weights @ np.log(np.abs(values))), float(np.linalg.norm(weights * relative))


def squares_about_mean(values: Floats) -> Floats:
    """Return squared deviations from the mean over networks, the first axis, whose mean has no bias."""
    return np.asarray((values - values.mean(axis=0)) ** 2 * (len(values) / (len(values) - 1)))
