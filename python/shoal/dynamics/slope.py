"""How fast a recorded series changes at most, when, and how long it waits before it does.

Source: docs/dynamics.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from shoal.base import checks
from shoal.dynamics.polynomial import bisect, derivative, evaluate, shorter, spread, through, windows
from shoal.dynamics.series import Floats, Mask, Series, labelled

__all__ = ["plateau", "steepest"]

GRID = 33
"""Points on which the largest slope is looked for, before bisection."""


def steepest(series: xr.DataArray, *, rising: bool | None = None, points: int = 6) -> xr.Dataset:
    """Return the largest slope of each series, and when it has it.

    Parameters
    ----------
    series : DataArray, (..., time), float
        At least six records; any dimensions besides ``time``.
    rising : bool or None
        True: the steepest rise. False: the steepest fall. None: whichever is steeper.
    points : int
        Records through which the polynomial goes, 6..9; fewer if the series has fewer.

    Returns
    -------
    Dataset, the dimensions of `series` without ``time``
        - ``slope`` (float64): d series / d time there, negative for a fall.
        - ``at``, ``value`` (float64): the time, and the value of the series.
        - ``slope_error``, ``at_error`` (float64): largest distance from the readings by one record fewer, left out on
          either side, and by two fewer.
        - ``inside`` (bool): whether that time lies between the first and the last record. If not, the series was
          steepest at (or beyond) an end of the records.

        All NaN (and False) if a record is not finite, or if the series does not move, or never as was asked.

    Raises
    ------
    TypeError
        Not a DataArray, not numbers, `rising` not a bool or None, or `points` not an integer.
    ValueError
        No ``time``, fewer than six records, or `points` outside 6..9.

    Notes
    -----
    The steepest line between neighbouring records is found first. From the record before it to the record after it, the
    largest slope of the polynomial through the `points` records around is taken. For smooth series the slope is right
    to order h^(points-1) in the distance h of the records, the time to order h^(points-2). If the series bends within
    less than h, or across a kink, only the orders of magnitude are right, and the errors say so. Cost: a few operations
    per record, some 1,000 and a few dozen numbers per series.

    ``theory.Mode.plateau`` gives the time of the steepest fall of a mode's soft error.

    Examples
    --------
    >>> time = np.linspace(0, 20, 201)
    >>> error = xr.DataArray(1 / (1 + np.exp(time - 8)), dims="time", coords={"time": time})
    >>> read = steepest(error)
    >>> print(round(float(read["at"]), 6), round(float(read.slope), 5))
    8.0 -0.25
    """
    rows, readings = _readings(series, rising, points)
    best, *others = readings
    return labelled(
        rows.layout,
        {
            "slope": (best.slope, "largest slope"),
            "slope_error": (spread(best.slope, [one.slope for one in others]), "estimated error of the slope"),
            "at": (best.at, "time of the largest slope"),
            "at_error": (spread(best.at, [one.at for one in others]), "estimated error of that time"),
            "value": (best.value, "value at the largest slope"),
            "inside": (best.inside(rows.times), "whether that time lies between first and last record"),
        },
    )


def plateau(series: xr.DataArray, *, rising: bool | None = None, points: int = 6) -> xr.Dataset:
    """Return how long each series stays near its first value: its lag.

    The tangent at the steepest point meets the level of the first record at the end of the plateau:

        end = t* - (s* - s_0)/s'(t*),     length = end - t_0,

    as the lag of a growth curve is defined. It needs neither a level nor a fit, and is stationary in t*: an error in
    the place of the steepest point counts in second order.

    Parameters
    ----------
    series, rising, points
        As in `steepest`.

    Returns
    -------
    Dataset, float64 (``inside``: bool), the dimensions of `series` without ``time``
        - ``length``: of the plateau, a time. 0 if the series is steepest at its first record; negative if it first
          moves the other way, far enough.
        - ``length_error``: largest distance from the readings by one record fewer, and by two fewer.
        - ``end``: first time + length.
        - ``slope``, ``at``, ``inside``: of the steepest point. If it is not inside, the plateau outlasts the records or
          began before them.

        NaN if a record is not finite, or if the series never moves (as was asked).

    Raises
    ------
    TypeError, ValueError
        As `steepest`.

    Notes
    -----
    For b + A/(1 + e^(-k (t - m))) from t_0 = 0 the length is m - (2/k) tanh(k m/2). ``theory.Mode.plateau`` is another
    convention: the time of the steepest point itself, ``steepest(...).at``. A third, the time until a fraction is lost,
    is ``reach_time(error, 0.9 * error.isel(time=0), rising=False)``.

    Examples
    --------
    >>> time = np.linspace(0, 20, 201)
    >>> error = xr.DataArray(1 / (1 + np.exp(time - 8)), dims="time", coords={"time": time})
    >>> print(round(float(plateau(error).length), 4), round(8 - 2 * np.tanh(4), 4))
    6.0013 6.0013
    """
    rows, readings = _readings(series, rising, points)
    best = readings[0]
    first = rows.values[:, 0]
    ends = [one.at - (one.value - first) / one.slope for one in readings]
    return labelled(
        rows.layout,
        {
            "length": (ends[0] - rows.times[0], "length of the plateau"),
            "length_error": (spread(ends[0], ends[1:]), "estimated error of the length"),
            "end": (ends[0], "time at which the tangent at the steepest point meets the first value"),
            "slope": (best.slope, "largest slope"),
            "at": (best.at, "time of the largest slope"),
            "inside": (best.inside(rows.times), "whether that time lies between first and last record"),
        },
    )


@dataclass(frozen=True)
class _Reading:
    """The steepest point of each series, (series,) each; NaN if there is none."""

    slope: Floats
    at: Floats
    value: Floats

    def inside(self, times: Floats) -> Mask:
        """Whether the point lies between the ends of the records; bisection meets an end to rounding only."""
        margin = 1e-9 * (times[-1] - times[0])
        return np.asarray((self.at > times[0] + margin) & (self.at < times[-1] - margin))


def _readings(series: xr.DataArray, rising: bool | None, points: int) -> tuple[Series, list[_Reading]]:
    """Return the rows and four readings: with all points, then the shorter runs that bound the error."""
    rows = Series.of(series, least=6)
    if rising is not None and not isinstance(rising, bool):
        raise TypeError(f"rising must be True, False or None, got {rising!r}")
    checks.integer("points", points, least=6, most=9)
    times = rows.times
    count = min(points, len(times))
    usable = rows.finite_records() == len(times)
    values = np.where(usable[:, None], rows.values, 0.0)
    lines = np.diff(values, axis=1) / np.diff(times)
    sought = np.abs(lines) if rising is None else lines if rising else -lines
    line = sought.argmax(axis=1)
    each = np.arange(len(values))
    sign = np.sign(lines[each, line])
    # Rounding alone makes a series move a little.
    usable &= sought[each, line] * (times[-1] - times[0]) > 64 * np.finfo(float).eps * np.abs(values).max(axis=1)
    left = windows(line + 1, count, len(times))
    runs = [(left, count), *shorter(left, count, line, line + 1)]
    return rows, [_peak(times, values, line, start, number, sign, usable) for start, number in runs]


def _peak(
    times: Floats,
    values: Floats,
    line: NDArray[np.int64],
    left: NDArray[np.int64],
    count: int,
    sign: Floats,
    usable: Mask,
) -> _Reading:
    """Return the largest slope of the polynomials through `count` records, around the line from record `line` on."""
    origin = times[line]
    start, end = times[np.maximum(line - 1, 0)], times[np.minimum(line + 2, len(times) - 1)]
    unit = end - start
    index = left[:, None] + np.arange(count)
    x = (times[index] - origin[:, None]) / unit[:, None]
    curve = through(x, sign[:, None] * np.take_along_axis(values, index, axis=1))
    slope = derivative(curve)
    low, high = (start - origin) / unit, (end - origin) / unit
    grid = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, GRID)
    best = np.take_along_axis(grid, evaluate(slope, grid).argmax(axis=1)[:, None], axis=1)[:, 0]
    step = (high - low) / (GRID - 1)
    place = bisect(-derivative(slope), np.maximum(best - step, low), np.minimum(best + step, high))

    def known(numbers: Floats) -> Floats:
        return np.where(usable, numbers, np.nan)

    return _Reading(
        known(sign * evaluate(slope, place) / unit),
        known(origin + place * unit),
        known(sign * evaluate(curve, place)),
    )
