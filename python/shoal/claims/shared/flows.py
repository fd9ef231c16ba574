"""Under gradient flow: one training, when a margin arrives, exponents, and how descent tends to the flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from shoal import GradientFlow, Init, Network, Record, Task, compare_flow
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats

RTOL = 1e-8
"""Relative tolerance of the integrator."""
TOLERANCE = 10 * RTOL
"""What a margin may be off, as a fraction of its largest predicted value."""
AMPLIFIED = {0: 63.0, 3: 2.0}
"""How much noise of six records can grow in the reading of a time, by how many of them lie above the level.

The absolute weights of Lagrange's polynomial through six equally spaced points sum to at most 2^6 - 1 one spacing
beyond the last, and to less than 2 between the third and the fourth.
"""


def flow(
    run: Trial,
    network: Network,
    task: Task,
    init: Init,
    times: Floats,
    *,
    measure: tuple[str, ...] = ("margin",),
    rtol: float = RTOL,
    **training: Any,
) -> xr.Dataset:
    """Return networks under gradient flow until the last of these times, at which they are recorded.

    Raises RuntimeError if a network does not reach the end: the numbers of a claim would leave it out in silence.
    """
    method, record = GradientFlow(t_end=float(times[-1]), rtol=rtol), Record(times=times, measure=measure)
    data = run.train(network, task, init, method=method, record=record, **training)
    unfinished = int((data["status"].values != 0).sum())
    if unfinished:
        count = data.sizes["network"]
        raise RuntimeError(f"all {count} networks must reach time {times[-1]:g}, got {unfinished} that did not")
    return data


def shifted(weights: Sequence[Floats], task: Task) -> tuple[list[Floats], list[Floats]]:
    """Return separated weights, inputs along the axes, moved by +-`TOLERANCE` of the larger weight of each neuron.

    Near the line on which a neuron dies the flow spreads an integrator's errors, and no tolerance relative to the
    margin alone can hold: the tolerance is what theory makes of them. They are moved along a + z, which grows while
    a - z decays (theory book, chapter 1).
    """
    first, last = weights
    axes = task.inputs / np.linalg.norm(task.inputs, axis=1, keepdims=True)
    along = first @ axes.T
    served = along.argmax(axis=2)
    size = TOLERANCE * np.maximum(along.max(axis=2), np.abs(last[:, 0]))
    into, out = size[:, :, None] * axes[served], (size * task.labels[served])[:, None]
    return [first + into, last + out], [first - into, last - out]


def spread(predicted: Floats, *others: Floats) -> Floats:
    """Return the largest distance of other predictions, such as from `shifted` weights, from the one that counts."""
    return np.asarray(np.max([np.abs(other - predicted) for other in others], axis=0))


def arrival_error(
    reading: Floats, largest: Floats | float, velocity: Floats | float, *, above: int = 3, tolerance: float = TOLERANCE
) -> Floats:
    """Return how far arrival times may be off: by ``reading``, of `crossing_times`, and by what the integrator adds.

    A margin off by ``tolerance`` of its ``largest`` predicted value arrives early or late by that over its predicted
    ``velocity`` at the level.
    """
    return np.asarray(reading + AMPLIFIED[above] * tolerance * largest / velocity)


def compare_arrivals(
    measured: Floats, predicted: ArrayLike, error: ArrayLike, tolerance: float = float(np.finfo(np.float64).eps)
) -> Comparison:
    """Return the comparison of what was read from margins under flow, with an `arrival_error` each, and rounding."""
    expected, bias = (np.broadcast_to(each, measured.shape)[:, None] for each in (predicted, error))
    return compare_flow(measured[:, None], expected, tolerance=tolerance, bias=bias)


def exponent_weights(conditions: Floats) -> Floats:
    """Return the weights w_c with which sum_c w_c ln t_c is the slope of ln t in ln x, by least squares.

    Errors of ln t carry over as sum |w_c| error_c if they are bounds, and as the root of sum (w_c error_c)^2 if they
    are independent standard errors.
    """
    centred = np.log(conditions) - np.log(conditions).mean()
    return np.asarray(centred / (centred @ centred))


def compare_slope(descents: Floats, flow: Floats) -> Comparison:
    """Return the comparison of the slope with which ``descents``, at three rates, tend to flow, in the rate, with 1.

    The distance d(rate), the root of the mean over time of (descent - flow)^2, is a series in the rate if no kink is
    crossed; a supremum over time is not. Its slopes log2(d/d') and log2(d'/d'') are 1 + e and 1 + e/2 + ..., so twice
    the second less the first tends to 1 one order sooner, and may be off by the difference of the two. The largest over
    networks counts for all: e passes through 0 at some initial margin.
    """
    distance = np.sqrt(((descents - flow) ** 2).mean(axis=2))
    first, second = np.log2(distance[:-1] / distance[1:])
    return compare_arrivals(2 * second - first, 1.0, np.abs(second - first).max(axis=0))
