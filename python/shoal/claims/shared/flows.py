"""What the claims share under gradient flow: one training, when a margin arrives, exponents, and descent's slope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from shoal import GradientFlow, Init, Network, Record, Task
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison, compare_flow
from shoal.verdicts.layout import Floats

RTOL = 1e-8
"""Relative tolerance of the integrator."""

TOLERANCE = 10 * RTOL
"""What a margin may be off, as a fraction of its largest predicted value."""

AMPLIFIED = {0: 63.0, 3: 2.0}
"""How much noise of six records can grow in the reading of a time, by how many of them lie above the level.

The sum of the absolute weights of Lagrange's polynomial through six equally spaced points: at most 2^6 - 1 one spacing
beyond the last, below 2 between the third and the fourth.
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
    """Return networks under gradient flow, recorded at exactly these times.

    ``times`` (times,): strictly increasing; the last is the end of training. ``rtol``: relative tolerance of the
    integrator. The other arguments and what is returned: as of ``shoal.train``. Raises RuntimeError: a network did not
    reach the end: the numbers of a claim would leave it out in silence.
    """
    method, record = GradientFlow(t_end=float(times[-1]), rtol=rtol), Record(times=times, measure=measure)
    data = run.train(network, task, init, method=method, record=record, **training)
    unfinished = int((data["status"].values != 0).sum())
    if unfinished:
        count = data.sizes["network"]
        raise RuntimeError(f"all {count} networks must reach time {times[-1]:g}, got {unfinished} that did not")
    return data


def shifted(weights: Sequence[Floats], task: Task) -> tuple[list[Floats], list[Floats]]:
    """Return a separated initialisation moved by `TOLERANCE` in the direction that counts most, up and down.

    What an integrator may add on the way is carried on by the flow. Near the line on which a neuron dies the flow
    spreads such errors, and no tolerance relative to the margin alone can hold there: the tolerance is what theory
    makes of them. The direction is that of a + z, which grows while a - z decays (theory book, chapter 1).

    ``weights``: as a ``Separated`` initialisation draws them. ``task``: with inputs along the axes. Returned: both
    weights of each neuron moved by +-`TOLERANCE` times the larger of the two.
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
    """Return how far arrival times may be off: what was read between records, and what the integrator may add.

    A margin that may be off by ``tolerance`` of its largest value arrives early or late by that over its velocity.

    ``reading`` (...,): second result of `crossing_times`. ``largest``: the largest margin predicted for each series.
    ``velocity``: predicted dm/dt at the level, positive. ``above``: as given to `crossing_times`. Returns (...,).
    """
    return np.asarray(reading + AMPLIFIED[above] * tolerance * largest / velocity)


def compare_arrivals(measured: Floats, predicted: Floats, error: Floats) -> Comparison:
    """Return the comparison of what was read from margins under flow, each number with its own tolerance.

    ``measured, predicted, error`` (networks, ...): the last as from `arrival_error`; rounding is added to it.
    """
    rounding = float(np.finfo(np.float64).eps)
    return compare_flow(measured[:, None], np.asarray(predicted)[:, None], tolerance=rounding, bias=error[:, None])


def exponent_weights(conditions: Floats) -> Floats:
    """Return the weights that turn logarithms at conditions into the exponent that fits them best.

    Least squares of ln t on ln x: the slope is sum_c w_c ln t_c. So errors of ln t carry over as sum |w_c| error_c
    where they are bounds, and as the root of sum (w_c error_c)^2 where they are independent standard errors.

    ``conditions`` (conditions,): positive, not all equal. Returns (conditions,).
    """
    centred = np.log(conditions) - np.log(conditions).mean()
    return np.asarray(centred / (centred @ centred))


def compare_slope(descents: Floats, flow: Floats, slope: float = 1.0) -> Comparison:
    """Return the comparison of the slope with which descent tends to flow, in the rate, with 1.

    The distance d(rate), the root of the mean over time of (descent - flow)^2, is c1 rate + c2 rate^2 + ... (A supremum
    over time is not: it jumps from one lobe of the difference to another.) Its slopes between the rates, log2(d/d') and
    log2(d'/d''), are 1 + e and 1 + e/2 + ...; so twice the second less the first tends to 1 one order sooner. It may be
    off by the last correction, the difference of the two. The largest over networks counts for all: c2 passes through 0
    at some initial margin, where a network alone would be allowed next to nothing.

    ``descents`` (3, networks, times, ...): at rate, rate/2 and rate/4; free of kinks, across which the distance is no
    series in the rate. ``flow`` (networks, times, ...): the same networks at the same times.
    """
    distance = np.sqrt(((descents - flow) ** 2).mean(axis=2))
    first, second = np.log2(distance[:-1] / distance[1:])
    error = np.broadcast_to(np.abs(second - first).max(axis=0), first.shape)
    return compare_arrivals(2 * second - first, np.full_like(first, slope), error)
