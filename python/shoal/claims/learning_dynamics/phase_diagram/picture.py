"""The picture of claim ``phase-diagram``.

Source: theory book, chapter 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shoal import plot
from shoal.claims.learning_dynamics.phase_diagram.plane import HEIGHT, LEVEL, NORM, WIDTH, Grid, first_time

INITS = (
    (0.92, -0.35), (0.62, -0.1), (0.90, -0.84), (0.17, -0.05), (0.06, 0.3), (0.10, 0.75), (0.10, -0.64), (0.35, -0.96),
    (0.84, -0.9), (0.75, -1.05),
)  # fmt: skip
"""Of the drawn trajectories, in (a, z); the nearest cells are taken."""


def draw(grid: Grid, data: xr.Dataset) -> Figure:
    """Draw the plane, and the times near its line, which ``data`` holds."""
    made, (plane, times) = plot.figure(
        ("The plane of one neuron", "Near the line, time is a logarithm"), width=7.0, height=6.2
    )
    _draw_plane(made, plane, grid)
    _draw_near(times, data)
    return made


def _draw_plane(made: Figure, axes: Axes, grid: Grid) -> None:
    shape = (grid.plane.side, grid.plane.side)
    shown: dict[str, Any] = {
        "origin": "lower",
        "extent": (-WIDTH, WIDTH, -HEIGHT, HEIGHT),
        "aspect": "auto",
        "zorder": 0,
        "vmin": 0,
    }
    never = np.where(grid.a.reshape(shape) <= 0, 1.0, np.nan)
    axes.imshow(never.T, cmap="Greys", vmax=6, **shown)
    colours = {
        "time to fit": ("Blues", np.where(grid.dead, np.nan, first_time(grid.margin >= LEVEL, grid.times))),
        "time to death": ("Oranges", np.where(grid.a > 0, first_time(~grid.active, grid.times), np.nan)),
    }
    for place, (label, (cmap, values)) in enumerate(colours.items()):
        image = axes.imshow(values.reshape(shape).T, cmap=cmap, vmax=float(np.nanmax(values)), **shown)
        scale = axes.inset_axes((0.04, 0.43 - 0.15 * place, 0.27, 0.03))
        made.colorbar(image, cax=scale, orientation="horizontal")
        scale.set_title(label, fontsize=10)
        scale.tick_params(labelsize=9)
    plot.theory(axes, [0, HEIGHT], [0, -HEIGHT], color="black", lw=2.2, label="theory: $z = -a$")
    _draw_trajectories(axes, grid)
    axes.text(-0.96, 0.9 * HEIGHT, "a < 0: never active,\nnever moves", fontsize=11, va="top")
    axes.set(xlim=(-WIDTH, 1.5), ylim=(-HEIGHT, 1.5), xlabel="a, weight into the neuron along its input")
    axes.set(ylabel="z, label times the weight out of it")
    axes.grid(visible=False)
    plot.legend(axes, loc="lower left", fontsize=10)


def _draw_trajectories(axes: Axes, grid: Grid) -> None:
    along = np.linspace(-3, 3, 1201)
    for a, z in INITS:
        cell = int(np.argmin(np.hypot(grid.a - a, grid.z - z)))
        invariant, dies = grid.a[cell] ** 2 - grid.z[cell] ** 2, bool(grid.dead[cell])
        seen = np.flatnonzero(grid.active[cell])
        x, y = grid.path[cell, seen].T
        if invariant > 0:
            plot.theory(axes, np.sqrt(along**2 + invariant), along, color="0.35", lw=0.8, zorder=2)
        else:
            right = along[along >= 0]
            side = -1 if dies else 1
            plot.theory(axes, right, side * np.sqrt(right**2 - invariant), color="0.35", lw=0.8, zorder=2)
        # Points a fixed length of path apart.
        length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
        marks = np.unique(np.searchsorted(length, np.arange(0, length[-1], 0.12)))
        colour = plot.COLOURS[1 if dies else 0]
        plot.points(axes, x[marks], y[marks], color=colour, ms=4.5, zorder=5)
        axes.plot(x[0], y[0], "o", color=colour, ms=5.5, zorder=6)
    plot.theory(axes, [], [], color="0.35", lw=0.8, label=r"theory: $a^2 - z^2$ constant")
    for colour, label in ((plot.COLOURS[0], "trained, lives (full: initial)"), (plot.COLOURS[1], "trained, dies")):
        plot.points(axes, [], [], color=colour, ms=4.5, label=label)


def _draw_near(axes: Axes, data: xr.Dataset) -> None:
    distance = data["distance"].values
    for name, colour, marker, label, factor in (
        ("fit", plot.COLOURS[0], "o", f"to margin {LEVEL:g}, a + z > 0", 2),
        ("death", plot.COLOURS[1], "D", "to death, a + z < 0", 1),
    ):
        measured, predicted, error = (data[f"near_{name}{part}"].values for part in ("", "_predicted", "_error"))
        plot.points(axes, distance, measured, error=error, color=colour, fmt=marker, label=f"trained: {label}")
        plot.theory(axes, distance, predicted, color=colour, label=f"theory: {label}")
        middle = len(distance) // 2
        formula = predicted[middle] + factor / NORM * np.log(distance[middle] / distance)
        # A little above the curve that it is the limit of, so that both are seen.
        limit = rf"slope {factor}/($p\rho$) per factor e"
        plot.theory(axes, distance, formula + 0.8, color=colour, lw=1.2, ls="--", label=limit)
    axes.set(xscale="log", xlabel="|a + z|, distance from the line (on a - z = 1)", ylabel="time", ylim=(0, None))
    axes.invert_xaxis()
    plot.legend(axes, loc="upper left")
