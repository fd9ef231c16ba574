"""Any statistic over networks in the plane of two swept fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.plot import grid, measured, style
from shoal.spec.method import OUTCOMES
from shoal.spec.statistics import STATISTICS

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

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

    Of an event or an outcome, the fraction of the networks. Where none was counted, the fraction is not 0 but at most
    the upper end of its Wilson interval: the cell has that colour, and a mark that says so. Cells in which there is
    nothing to tell, such as the mean where all networks diverged, are grey.

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
        Index of the record, from the end where negative.
    scale : str
        Of the colours, ``"linear"`` or ``"log"``. On a logarithmic one, numbers that are not positive have a mark.
    axes : Axes, optional
        Where; without, a new figure of pyplot, which a notebook and ``plt.show()`` show.

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
    shown = np.isfinite(values)
    lowest = shown & (values <= 0) if scale == "log" else np.zeros_like(shown)
    if scale == "log" and not (shown & ~lowest).any():
        raise ValueError(f"scale='log' needs a positive number among those of {variable!r}, got none")
    if axes is None:
        axes = style.figure((label,), width=6.0, height=5.0, pyplot=True)[1][0]
    grid.mesh(axes, across, up, values, label, cmap="viridis", **_norm(values, shown & ~lowest, scale))
    grid.mark(axes, across, up, bound, "none counted: colour of the upper bound", marker="v")
    grid.mark(axes, across, up, lowest, "not positive", marker="x", mec="black", mew=1.2)
    grid.under_axes(axes)
    return axes


def _values(
    data: xarray.Dataset, variable: str, statistic: str, dims: tuple[str, str], time: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], str]:
    """Return what the cells show, which of them show an upper bound, and what it is."""
    if isinstance(variable, str) and (variable in OUTCOMES or not variable.isidentifier()):
        fraction = measured.fraction_of(data, variable)
        value, none = measured.drawn(fraction.value, dims, time), measured.drawn(fraction.met, dims, time) == 0
        none &= np.isfinite(value)
        return (
            np.where(none, measured.drawn(fraction.high, dims, time), value),
            none,
            f"fraction of networks: {variable}",
        )
    values = measured.drawn(measured.statistic_of(data, "variable", variable, statistic, "stopped_at"), dims, time)
    return values, np.zeros(values.shape, dtype=bool), f"{variable}: {statistic.replace('_', ' ')}"


def _norm(values: NDArray[np.float64], positive: NDArray[np.bool_], scale: str) -> dict[str, Any]:
    """Return how numbers become colours."""
    from matplotlib.colors import LogNorm

    if scale == "linear":
        return {}
    low, high = float(values[positive].min()), float(values[positive].max())
    return {"norm": LogNorm(low, high if high > low else 2 * low)}
