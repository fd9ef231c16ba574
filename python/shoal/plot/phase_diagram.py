"""Where, in the plane of two swept fields, most networks meet an event, and where most do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shoal.base import checks
from shoal.plot import grid, measured, style

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes


def phase_diagram(
    data: xarray.Dataset, event: str, x: str, y: str, *, time: int = -1, axes: Axes | None = None
) -> Axes:
    """Draw the fraction of networks that meet an event on a grid of two swept fields.

    Lines enclose the cells in which the Wilson interval of four deviations lies wholly above one half (solid) or wholly
    below (dashed). Other cells have a mark: more networks are needed to decide. Cells without networks are grey.

    Parameters
    ----------
    data : xarray.Dataset
        Of several trainings, with every network or statistics only.
    event : str
        A text such as ``"error > 0"``, which statistics must have been asked for; or an outcome: ``"completed"``,
        ``"diverged"``, ``"exhausted"``, ``"fitted"``, ``"satisfied"``, ``"dead"``.
    x, y : str
        Dimensions of the data, such as ``"init.std"``, or ``"time"``.
    time : int
        Index of the record, from the end if negative.
    axes : Axes, optional
        Default: a new figure of pyplot, which a notebook and ``plt.show()`` show.

    Returns
    -------
    Axes
        With a colour bar beside it.

    Raises
    ------
    TypeError, ValueError
        Not a dataset, an event that was not kept, a name or time that it does not have, or another dimension with
        several entries.
    """
    checks.dataset(data)
    style.require_axes(axes)
    across, up = grid.sides(data, x, y)
    fraction = measured.fraction_of(data, event)
    low, high, value = (measured.drawn(part, (y, x), time) for part in (fraction.low, fraction.high, fraction.value))
    axes = axes or style.panel(width=6.0, height=5.0)
    grid.mesh(axes, across, up, value, f"fraction of networks: {event}", cmap="cividis", vmin=0.0, vmax=1.0)
    _outline(axes, across, up, low > 0.5, "edge of: most networks (interval above 1/2)", "-", style.COLOURS[1])
    _outline(axes, across, up, high < 0.5, "edge of: fewer than half (interval below 1/2)", "--", style.COLOURS[5])
    undecided = (low <= 0.5) & (high >= 0.5) & np.isfinite(value)
    grid.mark(axes, across, up, undecided, "undecided: the interval holds 1/2", marker="o")
    grid.under_axes(axes)
    return axes


def _outline(axes: Axes, x: grid.Side, y: grid.Side, inside: grid.Mask, label: str, line: str, colour: str) -> None:
    """Draw a line between the cells (y, x) that are inside and their neighbours that are not."""
    from matplotlib.collections import LineCollection

    right, top = x.edges[1:], y.edges[1:]
    across = [[(right[j], y.edges[i]), (right[j], top[i])] for i, j in np.argwhere(np.diff(inside, axis=1))]
    up = [[(x.edges[j], top[i]), (right[j], top[i])] for i, j in np.argwhere(np.diff(inside, axis=0))]
    if across or up:
        lines = LineCollection([*across, *up], colors=colour, linewidths=2.0, linestyles=line, zorder=4, label=label)
        axes.add_collection(lines, autolim=False)
