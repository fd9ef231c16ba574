"""Any statistic over networks in the plane of two swept fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shoal.base import checks
from shoal.plot import grid, measured, style
from shoal.spec.method import OUTCOMES
from shoal.spec.statistics import STATISTICS

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm

SCALES = ("linear", "log")


def surface(
    data: xarray.Dataset,
    variable: str,
    x: str,
    y: str,
    *,
    statistic: str = "mean",
    time: int = -1,
    scale: str = "linear",
    axes: Axes | None = None,
) -> Axes:
    """Draw a statistic over networks as colours on a grid of two swept fields.

    Events and outcomes show the fraction of the networks. If none was counted, the fraction is only bounded: the cell
    has the colour of the upper end of the Wilson interval, and is hatched. Cells without a number, such as the mean if
    all networks diverged, are grey.

    Parameters
    ----------
    data : xarray.Dataset
        Of several trainings, with every network or statistics only.
    variable : str
        A measure such as ``"loss"``, or ``stopped_at`` of descent with rules to stop; an event such as
        ``"error > 0"``; or an outcome such as ``"diverged"``.
    x, y : str
        Dimensions of the data, such as ``"init.std"``, or ``"time"``.
    statistic : str
        Of a measure: count, mean, variance, standard_error, min or max.
    time : int
        Index of the record, from the end if negative.
    scale : str
        Of the colours, ``"linear"`` or ``"log"``. On a logarithmic one, numbers that are not positive have a mark.
    axes : Axes, optional
        Default: a new figure of pyplot, which a notebook and ``plt.show()`` show.

    Returns
    -------
    Axes
        With a labelled colour bar beside it.

    Raises
    ------
    TypeError, ValueError
        Not a dataset, a name or time that it does not have, an event that was not kept, another dimension with several
        entries, or a logarithmic scale without a positive number.
    """
    checks.dataset(data)
    style.require_axes(axes)
    across, up = grid.sides(data, x, y)
    checks.choice("statistic", statistic, STATISTICS)
    checks.choice("scale", scale, SCALES)
    values, bound, label = _values(data, variable, statistic, (y, x), time)
    logarithmic = scale == "log"
    lowest = np.isfinite(values) & (values <= 0) & logarithmic
    positive = values[np.isfinite(values) & ~lowest]
    if logarithmic and not len(positive):
        raise ValueError(f"scale='log' needs a positive number among those of {variable!r}, got none")
    axes = axes or style.panel(width=6.0, height=5.0)
    grid.mesh(axes, across, up, values, label, cmap="viridis", norm=_log_norm(positive) if logarithmic else None)
    grid.hatch(axes, across, up, bound, "none counted: colour of the upper bound")
    grid.mark(axes, across, up, lowest, "not positive", marker="x", mec="black", mew=1.2)
    grid.under_axes(axes)
    return axes


def _values(
    data: xarray.Dataset, variable: str, statistic: str, dims: tuple[str, str], time: int
) -> tuple[grid.Floats, grid.Mask, str]:
    """Return what the cells show, which of them show an upper bound, and what it is."""
    if isinstance(variable, str) and (variable in OUTCOMES or not variable.isidentifier()):
        parts = measured.fraction_of(data, variable)
        value, met, high = (measured.drawn(part, dims, time) for part in (parts.value, parts.met, parts.high))
        none = (met == 0) & np.isfinite(value)
        return np.where(none, high, value), none, f"fraction of networks: {variable}"
    values = measured.drawn(measured.statistic_of(data, "variable", variable, statistic, "stopped_at"), dims, time)
    return values, np.zeros(values.shape, dtype=bool), f"{variable}: {statistic.replace('_', ' ')}"


def _log_norm(positive: grid.Floats) -> LogNorm:
    """Return the logarithmic scale of colours for positive numbers, which may all be equal."""
    from matplotlib.colors import LogNorm

    low, high = float(positive.min()), float(positive.max())
    return LogNorm(low, high if high > low else 2 * low)
