"""The figure of `lazy-rich`: time, movement and kernel movement against the output's scale, and fitted networks."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shoal import plot
from shoal.claims.shared.figures import draw_mean

ACROSS = r"$\alpha\,/\,2\sqrt{d}\,h$"


def picture(data: xr.Dataset, curves: xr.Dataset) -> Figure:
    """Return the figure of what `lazy_rich.run` found; `curves` are the formulas on a finer grid of scales."""
    titles = ("Time until half is satisfied", "How far the parameters move", "How far the kernel moves")
    made, (time, moved, kernel, fitted) = plot.figure((*titles, "Fitted: test error"), width=4.7)
    for axes, name, label in (
        (time, "time", "time"),
        (moved, "movement", r"$|\theta(t)-\theta(0)|\;/\;|\theta(0)|$"),
        (kernel, "kernel", r"$|K(t)-K(0)|\;/\;|K(0)|$"),
    ):
        seen = data.isel(scale=np.flatnonzero(data["kernel_shown"])) if name == "kernel" else data
        style = {"color": plot.COLOURS[1], "label": "trained, ±4 s.e.", "zorder": 5}
        plot.theory(axes, curves["scale"], curves[name], color=plot.COLOURS[0], label="theory")
        plot.points(axes, seen["scale"], seen[name], error=4 * seen[f"{name}_error"].values, **style)
        axes.set(xscale="log", yscale="log", xlabel=ACROSS, ylabel=label)
        _crossover(axes)
        plot.legend(axes, loc="lower left")
    _guides(moved, curves)
    for model, colour, marker in (("plain", plot.COLOURS[1], "s"), ("centred", plot.COLOURS[0], "o")):
        values = data["fit_test_error"].sel(model=model).values.T
        draw_mean(fitted, data["fit_scale"], values, color=colour, fmt=f"{marker}-", lw=1, label=model)
    fitted.set(xscale="log", xlabel=ACROSS, ylabel="test error at zero training error", ylim=(0, None))
    _crossover(fitted)
    plot.legend(fitted, loc="upper left", title="±4 s.e. over datasets")
    return made


def _crossover(axes: Axes) -> None:
    axes.axvline(1.0, color="0.6", ls=":", lw=1.2, zorder=0)


def _guides(axes: Axes, curves: xr.Dataset) -> None:
    scale, formula = curves["scale"].values, curves["movement"].values
    span = 1.3
    for end, slope, words in ((0, -0.5, "slope -1/2"), (-1, -1.0, "slope -1")):
        x = scale[np.abs(np.log10(scale / scale[end])) < span]
        y = 2.2 * formula[end] * (x / scale[end]) ** slope
        axes.plot(x, y, color="0.4", ls="--", lw=1.2)
        middle = (x[len(x) // 2], y[len(x) // 2])
        axes.annotate(words, middle, xytext=(4, 6), textcoords="offset points", fontsize=11, color="0.3")
