"""The figure of the claim `mean-field`: one network's nodes, clock and samples on the theory's curves.

Source: arXiv:2006.11209; docs/theory.md section 7.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shoal import plot
from shoal.claims.hinge_mean_field.mean_field.ensembles import Pair
from shoal.claims.hinge_mean_field.mean_field.figure_one import Single
from shoal.claims.shared.teacher import band, clock, nodes, satisfied_at
from shoal.theory import TrainedNoise

__all__ = ["collect", "draw"]

SHOWN = 10
"""Nodes whose curves are drawn: the first ones."""

SAMPLES = 300
"""Training samples whose satisfaction is drawn."""

BENT = 1.5
"""gamma up to which the plane is drawn."""

OVERFITTING = 0.05
"""Fraction of the threshold by which a sample may have raised its own margin, from which on the picture says so."""

TIME = r"time (step x rate, $\beta$ = 1)"

TITLES = (
    "Ten output weights",
    "Ten weights along the teacher",
    "Each node on its own hyperbola",
    "One clock for all nodes",
    "When a sample is satisfied",
    "What is left to learn",
)


def collect(single: Single, gaussian: Pair, sphere: Pair) -> xr.Dataset:
    """Return what the figure shows, and the means of the ensembles."""
    condition, data = single.condition, single.data
    theory, times = condition.theory, data["time"].values
    output, along = nodes(data)
    line = np.concatenate([[0.0], np.geomspace(condition.rate, condition.until, 240)])
    curves = theory.trajectories(output[0, 0, :SHOWN], along[0, 0, :SHOWN], line)
    projections = np.abs(data["inputs"].values[:SAMPLES, 0])
    edge = np.geomspace(max(projections.min(), 0.5 * float(theory.boundary(times[-1]))), projections.max(), 120)
    low, high = band(condition, edge, 2.0)
    margins = data["margin"].values[0]
    series = {
        "gamma": clock(output, along)[0],
        "unsatisfied": (margins < condition.threshold).mean(axis=-1),
        "error": data["error"].values[0],
        "test_error": data["test_error"].values[0],
    }
    lines = {
        "gamma_predicted": theory.gamma(line),
        "gamma_linear": theory.early(line),
        "gamma_tail": theory.tail(line),
        "unsatisfied_predicted": theory.unsatisfied(line),
        "test_error_predicted": TrainedNoise(theory).error(line),
        "test_error_clean": theory.error(line),
        "pull": condition.pull(line),
    }
    found = xr.Dataset(
        {
            **{name: (("time",), values) for name, values in series.items()},
            **{name: (("line",), values) for name, values in lines.items()},
            "a": (("time", "node"), output[0, :, :SHOWN]),
            "w": (("time", "node"), along[0, :, :SHOWN]),
            "a_predicted": (("line", "node"), curves[0].T),
            "w_predicted": (("line", "node"), curves[1].T),
            "projection": (("sample",), projections),
            "satisfied": (("sample",), satisfied_at(times, margins[:, :SAMPLES], condition.threshold)),
            "satisfied_predicted": (("edge",), theory.satisfaction_time(edge)),
            "satisfied_low": (("edge",), low),
            "satisfied_high": (("edge",), high),
        },
        coords={"time": times, "step": ("time", data["step"].values), "line": line, "edge": edge},
        attrs={"sphere_inputs": sphere.condition.inputs},
    )
    return found.merge(_means("gaussian", gaussian)).merge(_means("sphere", sphere))


def _means(law: str, pair: Pair) -> xr.Dataset:
    """Return an ensemble's clock, and the fraction of its samples that are unsatisfied."""
    gamma, share = pair.limit("gamma"), pair.limit("unsatisfied")
    time = f"{law}_time"
    return xr.Dataset(
        {
            f"{law}_gamma": ((time,), gamma.mean(axis=0)),
            f"{law}_gamma_error": ((time,), gamma.std(axis=0, ddof=1) / np.sqrt(len(gamma))),
            f"{law}_gamma_predicted": ((time,), pair.condition.theory.gamma(pair.times)),
            f"{law}_unsatisfied": ((time,), share.mean(axis=0)),
            f"{law}_unsatisfied_predicted": ((time,), pair.condition.theory.unsatisfied(pair.times)),
        },
        coords={time: pair.times},
    )


def draw(data: xr.Dataset, single: Single) -> Figure:
    """Return the figure: six panels in two rows."""
    made, panels = plot.figure(TITLES, width=5.5, height=4.7, rows=2)
    condition = single.condition
    made.suptitle(
        f"One network, M = {condition.nodes} nodes, N = {condition.samples:,} samples, d = {condition.inputs}:"
        " points trained, lines theory",
        fontsize=15,
    )
    _draw_nodes(panels[0], data, "a", "$a_i(t)$")
    _draw_nodes(panels[1], data, "w", r"$w_{\parallel,i}(t)$")
    _draw_plane(panels[2], data)
    _draw_clock(panels[3], data)
    _draw_samples(panels[4], data)
    _draw_shares(panels[5], data)
    for axes in panels:
        plot.legend(axes, fontsize=10.5)
    return made


def _colour(node: int) -> str:
    return plot.COLOURS[node % len(plot.COLOURS)]


def _begun(data: xr.Dataset) -> xr.Dataset:
    """Return everything but the start: a logarithmic axis has no 0."""
    return data.isel(time=slice(1, None), line=slice(1, None))


def _every(data: xr.Dataset, count: int) -> xr.Dataset:
    """Return about so many records, one in a few."""
    return data.isel(time=slice(0, None, max(1, data.sizes["time"] // count)))


def _draw_nodes(axes: Axes, data: xr.Dataset, name: str, label: str) -> None:
    later = _begun(data)
    some = _every(later, 18)
    for node in range(SHOWN):
        plot.theory(axes, later["line"], later[f"{name}_predicted"].values[:, node], color=_colour(node), lw=1.6)
        plot.points(axes, some["time"], some[name].values[:, node], color=_colour(node), ms=4, mew=1.1, zorder=5)
    _key(axes)
    reach = 4 * float(np.abs(later[f"{name}_predicted"]).max())
    axes.set(xscale="log", yscale="asinh", xlabel=TIME, ylabel=label, ylim=(-reach, reach))


def _key(axes: Axes) -> None:
    """Name what points and lines are, once for all nodes."""
    plot.points(axes, [], [], color="0.3", label="trained")
    plot.theory(axes, [], [], color="0.3", label="theory, from its own initialisation")


def _draw_plane(axes: Axes, data: xr.Dataset) -> None:
    # Only while the hyperbolas still bend: later all nodes run along the diagonal.
    lines = data.isel(line=np.flatnonzero(data["gamma_predicted"].values <= BENT))
    some = _every(data.isel(time=np.flatnonzero(data["gamma"].values <= BENT)), 9)
    for node in range(SHOWN):
        colour = _colour(node)
        plot.theory(axes, lines["a_predicted"][:, node], lines["w_predicted"][:, node], color=colour, lw=1.6)
        plot.points(axes, some["a"][:, node], some["w"][:, node], color=colour, ms=4, mew=1.1, zorder=5)
        plot.points(axes, data["a"][:1, node], data["w"][:1, node], color=colour, fmt="s", ms=6, mfc=colour, zorder=6)
    plot.points(axes, [], [], color="0.3", fmt="s", mfc="0.3", ms=6, label="initial")
    _key(axes)
    axes.set(xlabel="$a_i$", ylabel=r"$w_{\parallel,i}$")


def _draw_clock(axes: Axes, data: xr.Dataset) -> None:
    later = _begun(data)
    some = _every(later, 24)
    blue, orange, green = plot.COLOURS[:3]
    line, top = later["line"].values, 1.45 * float(later["gamma_predicted"].max())
    linear, tail = later["gamma_linear"].values, later["gamma_tail"].values
    learnt = later["pull"].values > OVERFITTING
    if learnt.any():
        axes.axvspan(line[learnt.argmax()], line[-1], color=green, alpha=0.10, lw=0, label="samples begin to be learnt")
    plot.theory(
        axes,
        line[linear < 0.62 * top],
        linear[linear < 0.62 * top],
        color="0.45",
        lw=1.4,
        ls="--",
        label="linear start",
    )
    shown = tail > 0.3
    plot.theory(axes, line[shown], tail[shown], color="0.45", lw=1.4, ls=":", label=r"$\log(Ct)/4$")
    plot.theory(axes, line, later["gamma_predicted"], color=blue, label="theory, Gaussian inputs")
    plot.points(axes, some["time"], some["gamma"], color=blue, label="the network's nodes")
    sphere = slice(1, None, 5)
    error = 4 * data["sphere_gamma_error"].values[sphere]
    label = f"unit sphere, d = {data.attrs['sphere_inputs']}, mean, 4 s.e."
    plot.theory(axes, data["sphere_time"][1:], data["sphere_gamma_predicted"][1:], color=orange, lw=1.6)
    plot.points(
        axes, data["sphere_time"][sphere], data["sphere_gamma"][sphere], error=error, color=orange, fmt="s", label=label
    )
    axes.set(xscale="log", xlabel=TIME, ylabel=r"$\gamma(t)$", ylim=(0, top))


def _draw_samples(axes: Axes, data: xr.Dataset) -> None:
    blue = plot.COLOURS[0]
    edge, high = data["edge"].values, data["satisfied_high"].values
    last = float(data["time"][-1])
    axes.fill_between(
        edge,
        data["satisfied_low"],
        np.minimum(high, 10 * last),
        color=blue,
        alpha=0.2,
        lw=0,
        label="theory, 2 s.d. of f",
    )
    plot.theory(axes, edge, data["satisfied_predicted"], color=blue, label="theory")
    done = np.isfinite(data["satisfied"].values)
    plot.points(
        axes, data["projection"][done], data["satisfied"][done], color=plot.COLOURS[1], ms=3.5, mew=0.9, ls="",
        label="training samples",
    )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel=r"$|x_\parallel|$", ylabel="time at which y f reaches h")
    axes.set(xlim=(edge[0], edge[-1] * 1.1), ylim=(0.5 * np.nanmin(data["satisfied_low"].values), 2 * last))


def _draw_shares(axes: Axes, data: xr.Dataset) -> None:
    later = _begun(data)
    some = _every(later, 24)
    for name, colour, marker, label in (
        ("unsatisfied", plot.COLOURS[0], "o", "training: unsatisfied"),
        ("test_error", plot.COLOURS[1], "s", "test: misclassified"),
    ):
        plot.theory(axes, later["line"], later[f"{name}_predicted"], color=colour)
        plot.points(axes, some["time"], some[name], color=colour, fmt=marker, label=label)
    plot.theory(axes, later["line"], later["test_error_clean"], color=plot.COLOURS[1], ls=":", lw=1.4)
    wrong = some.isel(time=np.flatnonzero(some["error"].values > 0))
    plot.points(
        axes, wrong["time"], wrong["error"], color=plot.COLOURS[2], fmt="D", ms=4.5, label="training: misclassified"
    )
    plot.theory(axes, [], [], color="0.3", label="theory, infinite N")
    plot.theory(axes, [], [], color="0.3", ls=":", lw=1.4, label="theory, noise not corrected")
    axes.set(xscale="log", yscale="log", xlabel=TIME, ylabel="fraction of samples")
