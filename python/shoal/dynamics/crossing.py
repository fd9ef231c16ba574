"""When a recorded series reaches a level.

Source: docs/dynamics.md.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from shoal.base import checks
from shoal.dynamics.polynomial import bisect, shorter, spread, through, windows
from shoal.dynamics.series import Floats, Series, labelled

__all__ = ["reach_time"]

Integers = NDArray[np.int64]


def reach_time(
    series: xr.DataArray,
    level: float | xr.DataArray,
    *,
    rising: bool = True,
    scale: str = "linear",
    points: int = 6,
) -> xr.Dataset:
    """Return when each series first reaches a level.

    The first record at or beyond the level and the record before it bracket the time. Between them, it is read off the
    polynomial through the `points` records around.

    Parameters
    ----------
    series : DataArray, (..., time), float
        Any dimensions besides ``time``, such as ``data.margin`` or ``data.error``.
    level : float or DataArray
        The level, in the unit of the series; a DataArray has one per series, or per entry of some of their dimensions
        (``0.5 * data.error.isel(time=0)``).
    rising : bool
        True: reached if the series is at the level or above. False: at the level or below.
    scale : {"linear", "log"}
        The polynomial goes through the values or their logarithms, which are smoother for exponential growth or decay.
        With ``"log"`` the level and the records used must be positive.
    points : int
        Records used, 2..8; fewer if fewer are finite.

    Returns
    -------
    Dataset, float64, the dimensions of `series` without ``time``
        - ``reached``: the time. The first time recorded if the level is reached at initialisation; infinite if the
          series is finite and never reaches it. NaN if it cannot be known: the series stops being finite before, the
          level is NaN, or records that a logarithm needs are not positive.
        - ``error``: how far ``reached`` may be off: its largest distance from the readings by one record fewer, left
          out on either side, and by two fewer (with two records: from the ends of the bracket). It is the error of the
          shorter polynomials, so it is a safe estimate for smooth series. NaN if ``reached`` is not finite, 0 at the
          first time.
        - ``before``, ``after``: the records around, ``before < reached <= after``. Equal at initialisation; if the
          level was not reached, the last finite record, and infinity or NaN.

    Raises
    ------
    TypeError
        Not a DataArray, not numbers, `rising` not a bool, or `points` not an integer.
    ValueError
        No ``time``, fewer than two records, a level with other dimensions, an infinite level, an unknown scale, a level
        that is not positive with ``"log"``, or `points` outside 2..8.

    Notes
    -----
    Accuracy: order h^points in the distance h of the records, for series that are smooth between the records used. A
    kink (a neuron dies, a hinge is satisfied) leaves order h, or h^2 if only the slope breaks. An excursion between two
    records goes unseen. Cost: some 200 operations and `points` numbers per series.

    Examples
    --------
    >>> time = np.linspace(0, 10, 41)
    >>> margin = xr.DataArray(np.exp(time - 5)[None], dims=("network", "time"), coords={"time": time})
    >>> read = reach_time(margin, 2.0, scale="log")
    >>> print(read.reached.values.round(12), np.array([5 + np.log(2)]).round(12))
    [5.69314718] [5.69314718]
    >>> reach_time(margin, 1e9).reached.values
    array([inf])
    """
    rows = Series.of(series, least=2)
    if not isinstance(rising, bool):
        raise TypeError(f"rising must be True or False, got {rising!r}")
    checks.choice("scale", scale, ("linear", "log"))
    checks.integer("points", points, least=2, most=8)
    levels = _levels(rows, level, scale)
    values = rows.values if rising else -rows.values
    known = rows.finite_records()
    with np.errstate(invalid="ignore"):
        beyond = values >= (levels if rising else -levels)[:, None]
    at = beyond.argmax(axis=1)
    there = beyond.any(axis=1) & (at < known)
    # Not reached: from the last finite record to infinity, or to NaN if the series is not finite to the end.
    last = np.where(known > 0, rows.times[np.maximum(known - 1, 0)], np.nan)
    before = np.where(there, rows.times[np.maximum(at - 1, 0)], last)
    after = np.where(there, rows.times[at], np.where(known == len(rows.times), np.inf, np.nan))
    before[np.isnan(levels)] = after[np.isnan(levels)] = np.nan
    reached = after.copy()
    error = np.where(there, 0.0, np.nan)
    inside = there & (at > 0)
    counts = np.minimum(points, known)
    for count in np.unique(counts[inside]):  # at most seven
        chosen = np.flatnonzero(inside & (counts == count))
        reached[chosen], error[chosen] = _read(
            rows.times, rows.values[chosen], levels[chosen], at[chosen], known[chosen], int(count), rising, scale
        )
    return labelled(
        rows.layout,
        {
            "reached": (reached, "time at which the level is reached"),
            "error": (error, "estimated error of that time"),
            "before": (before, "last record before the level is reached"),
            "after": (after, "first record at or beyond the level"),
        },
    )


def _levels(rows: Series, level: float | xr.DataArray, scale: str) -> Floats:
    """Return one level per series, or say what is wrong with them."""
    levels = rows.rows("level", level if isinstance(level, xr.DataArray) else checks.real("level", level))
    if np.isinf(levels).any():
        raise ValueError("level must not be infinite, got an infinite one")
    if scale == "log" and (levels <= 0).any():
        raise ValueError(f"level must be positive with scale='log', got {levels[levels <= 0][0]}")
    return levels


def _read(
    times: Floats,
    values: Floats,
    levels: Floats,
    at: Integers,
    known: Integers,
    count: int,
    rising: bool,
    scale: str,
) -> tuple[Floats, Floats]:
    """Return the time between records at - 1 and at, and its error, from `count` records."""
    origin, end = times[at - 1], times[at]

    def reading(left: Integers, number: int) -> Floats:
        index = left[:, None] + np.arange(number)
        used = np.take_along_axis(values, index, axis=1)
        if scale == "log":
            used = np.log(np.where(used > 0, used, np.nan)) - np.log(levels)[:, None]
        else:
            used = used - levels[:, None]
        curve = through((times[index] - origin[:, None]) / (end - origin)[:, None], used if rising else -used)
        x = bisect(curve, np.zeros(len(left)), np.ones(len(left)))
        return np.where(np.isfinite(curve).all(axis=1), origin + x * (end - origin), np.nan)

    left = windows(at, count, known)
    best = reading(left, count)
    if count == 2:
        return best, np.maximum(best - origin, end - best)
    return best, spread(best, [reading(start, number) for start, number in shorter(left, count, at - 1, at)])
