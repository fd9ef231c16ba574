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
    from matplotlib.collections import QuadMesh

EMPTY = "0.85"  # the grey of cells without a number
_MOST_TICKS = 10  # more would run into each other


@dataclass(frozen=True)
class Side:
    """The values along one axis: where cells have their centres, and begin and end."""

    name: str
    centres: NDArray[np.float64]
    edges: NDArray[np.float64]
    texts: tuple[str, ...]
    logarithmic: bool

    @classmethod
    def of(cls, values: xarray.DataArray) -> Side:
        """Return the side of a dimension's values; what are not numbers stand at equal distances with their names."""
        given = values.values
        name = str(values.dims[0])
        if not measured.numeric(given):
            centres = np.arange(len(given), dtype=np.float64)
            texts = tuple(str(one) for one in given)
            return cls(name, centres, np.arange(len(given) + 1, dtype=np.float64) - 0.5, texts, False)
        centres = given.astype(np.float64)
        texts = tuple(measured.text(one) for one in given) if len(given) <= _MOST_TICKS else ()
        logarithmic = measured.spans_octaves(centres) and _is_even(np.log(np.sort(centres)), np.sort(centres))
        if logarithmic:
            return cls(name, centres, np.exp(_edges(np.log(centres))), texts, True)
        return cls(name, centres, _edges(centres), texts, False)


def _is_even(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Return whether the steps of ``one`` are closer to equal than those of ``other``."""
    steps, others = np.diff(one), np.diff(other)
    return bool(steps.max() / steps.min() <= others.max() / others.min())


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = 0.5 * (centres[1:] + centres[:-1])
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def sides(data: xarray.Dataset, x: object, y: object) -> tuple[Side, Side]:
    """Return both sides of two dimensions that must differ.

    Raises
    ------
    TypeError, ValueError
        A dimension is not there, or both are the same.
    """
    along = measured.swept(data, "x", x), measured.swept(data, "y", y)
    if x == y:
        raise ValueError(f"x and y must be two dimensions, got {x!r} for both")
    return Side.of(along[0]), Side.of(along[1])


def mesh(axes: Axes, x: Side, y: Side, values: NDArray[np.float64], label: str, **style_of: Any) -> QuadMesh:
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
        figure.colorbar(drawn, ax=axes, label=label)
    return drawn


def mark(axes: Axes, x: Side, y: Side, where: NDArray[np.bool_], label: str, **style_of: Any) -> None:
    """Mark the cells (y, x) that are so, where there are any."""
    rows, columns = np.nonzero(where)
    if not len(rows):
        return
    chosen: dict[str, Any] = {"ls": "none", "color": "white", "mec": "black", "mew": 0.7, "ms": 6.0} | style_of
    axes.plot(x.centres[columns], y.centres[rows], label=label, zorder=5, **chosen)


def under_axes(axes: Axes) -> None:
    """Put the legend under the cells, none of which it may hide."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        style.legend(
            axes,
            handles=handles,
            labels=labels,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.16),
            ncols=1,
            borderaxespad=0.0,
        )
