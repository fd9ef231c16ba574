"""What the figures of claims share: means with their errors, plain ticks, keys and legends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from numpy.typing import ArrayLike

from shoal import plot
from shoal.verdicts.layout import Floats

TIME = "time (step x rate)"
"""Label of an axis of times of descent."""


def standard_error(values: Floats) -> Floats:
    """Return the standard error of the mean over the first axis."""
    return np.asarray(values.std(axis=0, ddof=1) / np.sqrt(len(values)))


def draw_mean(axes: Axes, x: ArrayLike, values: Floats, **style: Any) -> None:
    """Draw the mean over the first axis as points, with four standard errors as bars."""
    plot.points(axes, x, values.mean(axis=0), error=4 * standard_error(values), **style)


def key(axes: Axes, measured: str = "trained (line: theory)", theory: str = "", **style: Any) -> None:
    """Name what points and lines are, once for all colours."""
    plot.points(axes, [], [], color="0.3", label=measured, **style)
    if theory:
        plot.theory(axes, [], [], color="0.3", label=theory)


def shade(axes: Axes, first: float, last: float, *, vertical: bool = False) -> None:
    """Shade the part of the horizontal or vertical axis in which nothing is compared with theory."""
    span = axes.axhspan if vertical else axes.axvspan
    span(first, last, color="0.92", lw=0, zorder=0, label="not compared")


def ticks(axis: Axis, at: Iterable[float], low: float = 0.0, high: float = np.inf) -> None:
    """Put ticks with plain numbers at those that lie between two bounds, and none between them."""
    shown = [tick for tick in at if low < tick < high]
    axis.set_ticks(shown, [f"{tick:g}" for tick in shown])
    axis.set_ticks([], minor=True)


def legends(panels: Sequence[Axes], **style: Any) -> None:
    """Add the legend of every panel."""
    for axes in panels:
        plot.legend(axes, **style)
