"""The figure of `max-margin`: a plane with its boundary, the angle, the loss, and the rank of layers."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shoal import Task, plot
from shoal.claims.neighbours.max_margin.grown import LONG, TIMES, Grown
from shoal.claims.shared.figures import legends
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats

LAYERS = (1, 2, 3)
SHOWN = (1.0, 1e3, 1e12)  # times at which the boundary is drawn


def data_of(run: Trial, task: Task) -> xr.Dataset:
    """Return a task of two inputs, a network of each depth, and the spectrum of layers from random weights."""
    single = Grown.single(run, task, "exponential", 3)
    growth = single.growth
    deep = [_scaled(Grown.deep(run, task, layers, 1), layers, LONG) for layers in LAYERS[1:]]
    outside = [_outside(Grown.layers_of(run, task, layers, 1, run.seed)[0][0]) for layers in LAYERS[1:]]
    return xr.Dataset(
        {
            "inputs": (("sample", "input"), task.inputs),
            "label": (("sample",), task.labels),
            "separator": (("input",), growth.separator),
            "weights": (("time", "input"), single.weights[0]),
            "cotangent": (("network", "time"), single.cotangent(single.weights)),
            "cotangent_predicted": (("time",), growth.cotangent(np.log(np.maximum(TIMES, TIMES[1])))),
            "scaled_loss": (("time",), _scaled(single, 1, TIMES)),
            "scaled_loss_deep": (("layers", "long_time"), np.array(deep)),
            "outside": (("layers", "long_time"), np.array(outside)),
        },
        coords={"time": TIMES, "long_time": LONG, "layers": list(LAYERS[1:])},
    )


def _scaled(grown: Grown, layers: int, times: Floats) -> Floats:
    """Return loss x time over its limit, of the first network; the limit of several layers falls with |w|."""
    size = np.linalg.norm(grown.weights[0], axis=1)
    return np.asarray(grown.losses[0] * times * layers * grown.growth.margin**2 * size ** (2 - 2 / layers))


def _outside(layer: Floats) -> Floats:
    """Return the fraction of |W|^2 outside the first singular value, of a layer (times, outputs, inputs)."""
    squares = np.linalg.svd(layer, compute_uv=False) ** 2
    return np.asarray(squares[:, 1:].sum(axis=1) / squares.sum(axis=1))


def draw(data: xr.Dataset) -> Figure:
    """Return the figure."""
    titles = ("Training turns to the largest margin", "The angle falls as 1/log t only")
    deeper = ("The loss falls as theory has it, at any depth", "Layers come to rank one")
    made, (plane, angle, loss, rank) = plot.figure((*titles, *deeper), width=4.9, height=4.1, rows=2)
    _draw_plane(plane, data)
    times = data["time"].values
    late = times >= 1
    for at, colour in enumerate(plot.COLOURS[:3]):
        measured, words = data["cotangent"].values[at, late][::8], f"trained from initial weights {at + 1}"
        plot.points(angle, times[late][::8], measured, color=colour, fmt="os^"[at], label=words)
    plot.theory(angle, times[late], data["cotangent_predicted"].values[late], color="0.3", label="theory, late times")
    # A network may pass through the direction early on, where this is infinite.
    top = 1.15 * float(data["cotangent_predicted"].values[-1])
    angle.set(
        xscale="log",
        ylim=(-0.2 * top, top),
        xlabel="time (gradient flow)",
        ylabel="1 / tan(angle to the limit)",
    )
    long = data["long_time"].values
    for layers, colour, marker in zip(LAYERS, plot.COLOURS, "os^", strict=False):
        style = {"color": colour, "fmt": marker, "label": f"{layers} layer{'s'[: layers - 1]}"}
        if layers == 1:
            plot.points(loss, times[late][::6], data["scaled_loss"].values[late][::6], **style)
            continue
        part = data.sel(layers=layers)
        plot.points(rank, long[1::6], part["outside"].values[1::6], **style)
        plot.points(loss, long[long >= 1][::6], part["scaled_loss_deep"].values[long >= 1][::6], **style)
    plot.theory(loss, long[long >= 1], np.ones((long >= 1).sum()), color="0.3", label="limit of theory")
    loss.set(xscale="log", xlabel="time (gradient flow)", ylabel="loss x time over its limit", ylim=(0, None))
    rank.set(xscale="log", yscale="log", xlabel="time (gradient flow)", ylabel="fraction of |W|² beyond rank one")
    plot.legend(plane, fontsize=9, loc="lower left", ncol=2)
    legends((angle, loss, rank), fontsize=9)
    return made


def _draw_plane(axes: Axes, data: xr.Dataset) -> None:
    """Draw samples, the margin, and the boundary at some times."""
    points, labels = data["inputs"].values, data["label"].values
    for label, colour, marker in ((1, plot.COLOURS[0], "o"), (-1, plot.COLOURS[1], "s")):
        plot.points(axes, *points[labels == label].T, color=colour, fmt=marker, label=f"label {label:+d}")
    reach = 1.1 * float(np.abs(points).max())
    separator = data["separator"].values
    unit = separator / np.linalg.norm(separator)
    along, margin = np.array([-unit[1], unit[0]]), 1 / float(np.linalg.norm(separator))
    ends = 4 * reach * np.array([-1, 1])[:, None] * along
    for side in (-1, 1):
        axes.plot(*(ends + side * margin * unit).T, color="0.6", lw=1, ls=":", zorder=1)
    plot.theory(axes, *ends.T, color="0.3", label="largest margin")
    for time, style in zip(SHOWN, (":", "--", "-."), strict=True):
        weights = data["weights"].values[np.argmin(np.abs(TIMES - time))]
        line = 4 * reach * np.array([-1, 1])[:, None] * np.array([-weights[1], weights[0]]) / np.linalg.norm(weights)
        axes.plot(*line.T, color=plot.COLOURS[2], ls=style, lw=1.6, label=f"trained, time {time:g}")
    axes.set(xlim=(-reach, reach), ylim=(-2.2 * reach, reach), xlabel="input 1", ylabel="input 2")
