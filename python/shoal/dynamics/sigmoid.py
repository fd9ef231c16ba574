"""How much of a recorded series a logistic sigmoid describes.

Source: docs/dynamics.md; theory book, chapter 1 (the sigmoidal error).
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from scipy.special import expit

from shoal.dynamics.least_squares import least_squares
from shoal.dynamics.series import Floats, Mask, Series, labelled

__all__ = ["sigmoid_fit"]

RATES, EVENLY, BY_RECORDS = 24, 49, 65
"""The grid of initialisations: rates, and midpoints evenly over time and over the records."""
BLOCK = 2**22
"""Numbers of the largest array of a block of series: 32 MiB."""


def sigmoid_fit(series: xr.DataArray) -> xr.Dataset:
    """Return the logistic sigmoid closest to each series, in least squares over the records.

    The sigmoid is offset + amplitude/(1 + e^(-rate (t - midpoint))), rate > 0: it rises if the amplitude is positive
    and falls if it is negative.

    Parameters
    ----------
    series : DataArray, (..., time), float
        At least five records; any dimensions besides ``time``. Every record counts the same.

    Returns
    -------
    Dataset, the dimensions of `series` without ``time``
        - ``amplitude``, ``offset`` (float64): in the unit of the series; offset is the level long before the midpoint,
          offset + amplitude the level long after it.
        - ``rate``, ``midpoint`` (float64): per time, and a time. The steepest slope is amplitude x rate/4, at the
          midpoint.
        - ``residual`` (float64): root mean squared distance, in the unit of the series.
        - ``r2`` (float64): 1 - squares of the residuals / squares about the mean.
        - ``converged`` (bool): whether these are a minimum. If the records show no two levels (a straight line, a pure
          exponential), the best sigmoid lies at infinity and the search ends on its way there. The fit is then as good
          as ``r2`` says, and the parameters mean nothing.

        All NaN (and False) if a record is not finite or the series is constant.

    Raises
    ------
    TypeError
        Not a DataArray, or not numbers.
    ValueError
        No ``time``, or fewer than five records.

    Notes
    -----
    Offset and amplitude are first solved for at up to 2,736 pairs of rate and midpoint. From the best, damped
    Gauss-Newton steps lead all series at once to a residual orthogonal to the four slopes within 1e-7. That is one
    minimum. Of noisy sigmoids on 101 even records, with widely drawn rates and midpoints, at most 1 in 300 ended more
    than 1% above the lowest residual that any of six grids led to. Cost: 5,000 x times operations per series, then
    about 100 x times per step; memory of some blocks of 32 MiB and a few numbers per series.

    Source: arXiv:1809.06848 claims that errors fall as sigmoids; theory book, chapter 1 says how the error of one
    mode differs from a logistic curve.

    Examples
    --------
    >>> time = np.linspace(0, 20, 101)
    >>> error = xr.DataArray(0.5 / (1 + np.exp(0.8 * (time - 9))), dims="time", coords={"time": time})
    >>> fit = sigmoid_fit(error)
    >>> print({name: round(float(fit[name]), 9) for name in ("amplitude", "offset", "rate", "midpoint", "r2")})
    {'amplitude': -0.5, 'offset': 0.5, 'rate': 0.8, 'midpoint': 9.0, 'r2': 1.0}
    """
    rows = Series.of(series, least=5)
    times, values = rows.times, rows.values
    # The rounding of a series that does not move is not a curve.
    usable: Mask = np.asarray(np.isfinite(values).all(axis=1))
    values = np.where(usable[:, None], values, 0.0)
    mean = values.mean(axis=1)
    spread = values.std(axis=1)
    usable &= spread > 8 * np.finfo(float).eps * np.abs(values).max(axis=1)
    span = times[-1] - times[0]
    parameters = np.full((len(values), 4), np.nan)
    squares = np.full(len(values), np.nan)
    converged = np.zeros(len(values), bool)
    chosen = np.flatnonzero(usable)
    x = (times - times[0]) / span
    rows_numbers = max(4 * len(times), RATES * (EVENLY + BY_RECORDS))
    for block in np.array_split(chosen, -(-len(chosen) * rows_numbers // BLOCK) or 1):
        scaled = (values[block] - mean[block, None]) / spread[block, None]
        parameters[block], squares[block], converged[block] = _fit(x, scaled)
    offset, amplitude, log_rate, midpoint = parameters.T
    columns: dict[str, tuple[Floats | Mask, str]] = {
        "amplitude": (spread * amplitude, "level after less level before the midpoint"),
        "offset": (mean + spread * offset, "level before the midpoint"),
        "rate": (np.exp(log_rate) / span, "rate of the sigmoid"),
        "midpoint": (times[0] + span * midpoint, "time of the midpoint"),
        "residual": (spread * np.sqrt(squares / len(times)), "root mean squared residual"),
        "r2": (1.0 - squares / len(times), "fraction of the variance that the sigmoid describes"),
        "converged": (converged, "whether the parameters are a minimum"),
    }
    return labelled(rows.layout, columns)


def _fit(x: Floats, targets: Floats) -> tuple[Floats, Floats, Mask]:
    """Fit series of mean 0 and variance 1 over x from 0 to 1: parameters, sum of squares, convergence."""

    def model(parameters: Floats) -> tuple[Floats, Floats]:
        offset, amplitude, log_rate, midpoint = (column[:, None] for column in parameters.T)
        rate = np.exp(log_rate)
        argument = rate * (x - midpoint)
        level = expit(argument)
        slope = amplitude * level * expit(-argument)
        jacobian = np.stack([np.ones_like(level), level, slope * argument, -slope * rate], axis=-1)
        return offset + amplitude * level, jacobian

    found = least_squares(model, _start(x, targets), targets)
    return found.parameters, found.squares, found.converged


def _start(x: Floats, targets: Floats) -> Floats:
    """Return the best of a grid of rates and midpoints, with the offset and amplitude that suit them."""
    steepest = 4.0 / np.diff(x).min()
    rates = np.geomspace(2.0, max(steepest, 64.0), RATES)
    # By the records, too: they may crowd at early times.
    by_records = np.quantile(x, np.linspace(0.0, 1.0, BY_RECORDS))
    midpoints = np.concatenate([np.linspace(-0.25, 1.25, EVENLY), by_records])
    rate, midpoint = (grid.ravel() for grid in np.meshgrid(rates, midpoints, indexing="ij"))
    levels = expit(rate[:, None] * (x - midpoint[:, None]))
    means = levels.mean(axis=1)
    levels = levels - means[:, None]
    norms = np.sqrt((levels**2).sum(axis=1))
    # A sigmoid that is flat on all records cannot be fitted.
    levels /= np.where(norms > 3e-5 * math.sqrt(len(x)), norms, np.inf)[:, None]
    products = targets @ levels.T
    best = np.argmax(np.abs(products), axis=1)
    amplitude = products[np.arange(len(targets)), best] / norms[best]
    return np.stack([-amplitude * means[best], amplitude, np.log(rate[best]), midpoint[best]], axis=-1)
