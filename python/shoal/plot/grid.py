"""A coloured cell for each pair of values of two swept fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.plot import measured, style

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

EMPTY = "0.85"  # the grey of cells without a number
_MOST_TICKS = 10  # more would run into each other


@dataclass(frozen=True)
class Side:
    """The values along one axis: where cells have their centres, and begin and end."""

    name: str
    centres: Floats
    edges: Floats
    texts: tuple[str, ...]
    logarithmic: bool

    @classmethod
    def of(cls, values: xarray.DataArray) -> Side:
        """Return the side of a dimension's values; what are no ordered numbers are at equal distances, with names."""
        given = values.values
        numeric = measured.numeric(given)
        centres = (given if numeric else np.arange(len(given))).astype(np.float64)
        texts = tuple(map(measured.text, given)) if len(given) <= _MOST_TICKS or not numeric else ()
        logarithmic = (
            numeric and measured.spans_octaves(centres) and _unevenness(np.log(centres)) <= _unevenness(centres)
        )
        edges = np.exp(_edges(np.log(centres))) if logarithmic else _edges(centres)
        return cls(str(values.dims[0]), centres, edges, texts, logarithmic)


def _unevenness(values: Floats) -> float:
    """Return the ratio of the longest to the shortest step."""
    steps = np.abs(np.diff(values))
    return float(steps.max() / steps.min())


def _edges(centres: Floats) -> Floats:
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = 0.5 * (centres[1:] + centres[:-1])
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def sides(data: xarray.Dataset, x: object, y: object) -> tuple[Side, Side]:
    """Return both sides of two dimensions, which must be there and differ."""
    along = measured.swept(data, "x", x), measured.swept(data, "y", y)
    if x == y:
        raise ValueError(f"x and y must be two dimensions, got {x!r} for both")
    return Side.of(along[0]), Side.of(along[1])


def mesh(axes: Axes, x: Side, y: Side, values: Floats, label: str, **style_of: Any) -> None:
    """Draw the cells (y, x) with a labelled colour bar; cells without a number stay grey."""
    axes.set_facecolor(EMPTY)
    axes.grid(visible=False)
    drawn = axes.pcolormesh(x.edges, y.edges, np.ma.masked_invalid(values), **style_of)
    for side, axis, scale in ((x, axes.xaxis, axes.set_xscale), (y, axes.yaxis, axes.set_yscale)):
        if side.logarithmic:
            scale("log")
        if side.texts:
            axis.set_ticks(side.centres, labels=side.texts)
            axis.set_ticks([], minor=True)
    axes.set_xlabel(x.name)
    axes.set_ylabel(y.name)
    figure = axes.get_figure()
    if figure is not None:
        style.colour_bar(figure, drawn, axes, label)


def mark(axes: Axes, x: Side, y: Side, where: Mask, label: str, **style_of: Any) -> None:
    """Mark the cells (y, x) that are so, if there are any."""
    rows, columns = np.nonzero(where)
    if len(rows):
        chosen: dict[str, Any] = {"ls": "none", "color": "white", "mec": "black", "mew": 0.7, "ms": 6.0} | style_of
        axes.plot(x.centres[columns], y.centres[rows], label=label, zorder=5, **chosen)


def hatch(axes: Axes, x: Side, y: Side, where: Mask, label: str) -> None:
    """Hatch the cells (y, x) that are so, if there are any."""
    from matplotlib.collections import PolyCollection

    corners = [
        [(x.edges[j + right], y.edges[i + up]) for right, up in ((0, 0), (1, 0), (1, 1), (0, 1))]
        for i, j in np.argwhere(where)
    ]
    if corners:
        cells = PolyCollection(corners, facecolors="none", edgecolors="0.75", linewidths=0.0, hatch="////", zorder=3)
        cells.set_label(label)
        axes.add_collection(cells, autolim=False)


def under_axes(axes: Axes) -> None:
    """Put the legend under the cells, none of which it may hide."""
    if axes.get_legend_handles_labels()[0]:
        style.legend(axes, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=1, borderaxespad=0.0)
