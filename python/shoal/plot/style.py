"""The house style of shoal's figures: measurement as points with bars or bands, theory as lines.

``figure`` uses no pyplot and chooses no backend, unless it is called with ``pyplot=True``. pyplot then keeps the
figure: a notebook shows it once at the end of its cell, and ``plt.show()`` in a window.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure, FigureBase

__all__ = ["COLOURS", "band", "figure", "legend", "points", "save", "theory"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette: colour-blind readers can tell them apart."""

STYLE: Any = {  # matplotlib's stubs name every key, and their names differ between its releases
    "font.size": 13.0,
    "axes.titlesize": 14.0,
    "axes.labelsize": 14.0,
    "legend.fontsize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.facecolor": "white",
}


def figure(
    titles: tuple[str, ...], *, width: float = 5.2, height: float = 4.4, rows: int = 1, pyplot: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure of titled panels side by side.

    Parameters
    ----------
    titles : tuple of str
        One per panel.
    width, height : float
        Of a panel, inches.
    rows : int
        Number of rows of panels.
    pyplot : bool
        Whether pyplot keeps the figure until ``plt.close``: a notebook and ``plt.show()`` then show it. Otherwise it
        can only be saved.

    Returns
    -------
    tuple
        The figure and its axes, row by row.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    new = import_module("matplotlib.pyplot").figure if pyplot else Figure
    columns = -(-len(titles) // rows)
    # Outside of the context: a backend that is loaded now, such as a notebook's, makes settings that are to stay.
    # Labels must not touch the panels beside and below.
    made: Figure = new(figsize=(width * columns, height * rows), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    with mpl.rc_context(STYLE):
        panels = [made.add_subplot(rows, columns, i + 1) for i in range(len(titles))]
        for axes, title in zip(panels, titles, strict=True):
            axes.set_title(title)
    return made, panels


def panel(*, width: float = 5.2, height: float = 4.4) -> Axes:
    """Return the axes of a new figure of pyplot, without a title: its axes say what it shows."""
    return figure(("",), width=width, height=height, pyplot=True)[1][0]


def colour_bar(made: FigureBase, drawn: ScalarMappable, axes: Axes, label: str) -> None:
    """Add a labelled colour bar beside the axes."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        made.colorbar(drawn, ax=axes, label=label)


def points(axes: Axes, x: ArrayLike, measured: ArrayLike, *, error: ArrayLike | None = None, **style: Any) -> None:
    """Draw a measurement: hollow points, with bars where an error is given.

    Parameters
    ----------
    axes : Axes
        Where.
    x, measured : array, (points,), float64
        Coordinates.
    error : array, (points,), optional
        Half length of the bars; the label should say what they are.
    style : Any
        As for ``Axes.errorbar``, such as ``color`` and ``label``.
    """
    chosen: dict[str, Any] = {"fmt": "o", "ms": 5.5, "mfc": "white", "mew": 1.4, "capsize": 2.5, "zorder": 3} | style
    axes.errorbar(np.asarray(x, float), np.asarray(measured, float), yerr=error, **chosen)


def theory(axes: Axes, x: ArrayLike, predicted: ArrayLike, **style: Any) -> None:
    """Draw a prediction as a line, over the measured points.

    Parameters
    ----------
    axes : Axes
        Where.
    x, predicted : array, (points,), float64
        Coordinates.
    style : Any
        As for ``Axes.plot``.
    """
    chosen: dict[str, Any] = {"lw": 2.0, "zorder": 4} | style
    axes.plot(np.asarray(x, float), np.asarray(predicted, float), **chosen)


def band(axes: Axes, x: ArrayLike, values: ArrayLike, *, coverage: float = 0.9, **style: Any) -> None:
    """Draw the spread over networks as a band between two quantiles.

    Parameters
    ----------
    axes : Axes
        Where.
    x : array, (points,), float64
        Coordinates.
    values : array, (networks, points), float64
        One row per network.
    coverage : float
        Fraction of the networks inside the band, in (0, 1).
    style : Any
        As for ``Axes.fill_between``.

    Raises
    ------
    ValueError
        Coverage outside (0, 1).
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1, both excluded, got {coverage}")
    low, high = np.quantile(np.asarray(values, float), [(1 - coverage) / 2, (1 + coverage) / 2], axis=0)
    chosen: dict[str, Any] = {"alpha": 0.22, "lw": 0, "zorder": 1} | style
    axes.fill_between(np.asarray(x, float), low, high, **chosen)


def legend(axes: Axes, **style: Any) -> None:
    """Add a legend to the axes; `style` is as for ``Axes.legend``."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        axes.legend(**style)


def save(made: Figure, path: Path, *, dpi: int = 150) -> Path:
    """Write a figure and return where.

    Parameters
    ----------
    made : Figure
        From `figure`.
    path : Path
        Its suffix is the format, such as ``.png``, ``.pdf`` or ``.svg``; its folder exists.
    dpi : int
        Dots per inch of PNG.

    Returns
    -------
    Path
        `path`.
    """
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        made.savefig(path, dpi=dpi)
    return path


def require_axes(axes: object) -> None:
    """Raise a TypeError for anything but matplotlib's ``Axes`` or None."""
    if axes is None:
        return
    from matplotlib.axes import Axes

    if not isinstance(axes, Axes):
        raise TypeError(f"axes must be of matplotlib, such as figure(...)[1][0], got {axes!r}")
