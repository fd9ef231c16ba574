"""The figure of the claim `mean-field`: one network's nodes, clock and samples on the theory's curves.

Source: arXiv:2006.11209; theory book, chapter 7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shoal import plot
from shoal.claims.hinge_mean_field.mean_field.ensemble import Pair
from shoal.claims.hinge_mean_field.mean_field.figure_one import Single
from shoal.claims.shared.figures import key, legends, standard_error
from shoal.claims.shared.teacher import band, clock, nodes, satisfied_at
from shoal.theory import TrainedNoise

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


def _means(name: str, pair: Pair) -> xr.Dataset:
    gamma, theory = pair.limit("gamma"), pair.condition.theory
    table = {
        "gamma": gamma.mean(axis=0),
        "gamma_error": standard_error(gamma),
        "gamma_predicted": theory.gamma(pair.times),
        "unsatisfied": pair.limit("unsatisfied").mean(axis=0),
        "unsatisfied_predicted": theory.unsatisfied(pair.times),
    }
    time = f"{name}_time"
    return xr.Dataset(
        {f"{name}_{each}": ((time,), values) for each, values in table.items()}, coords={time: pair.times}
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
    _draw_fractions(panels[5], data)
    legends(panels, fontsize=10.5)
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
    key(axes, "trained", "theory, from its own initialisation")
    reach = 4 * float(np.abs(later[f"{name}_predicted"]).max())
    axes.set(xscale="log", yscale="asinh", xlabel=TIME, ylabel=label, ylim=(-reach, reach))


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
    key(axes, "trained", "theory, from its own initialisation")
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
    shown = linear < 0.62 * top
    plot.theory(axes, line[shown], linear[shown], color="0.45", lw=1.4, ls="--", label="linear start")
    shown = tail > 0.3
    plot.theory(axes, line[shown], tail[shown], color="0.45", lw=1.4, ls=":", label=r"$\log(Ct)/4$")
    plot.theory(axes, line, later["gamma_predicted"], color=blue, label="theory, Gaussian inputs")
    plot.points(axes, some["time"], some["gamma"], color=blue, label="the network's nodes")
    plot.theory(axes, data["sphere_time"][1:], data["sphere_gamma_predicted"][1:], color=orange, lw=1.6)
    time, gamma, error = (data[f"sphere_{name}"].values[1::5] for name in ("time", "gamma", "gamma_error"))
    label = f"unit sphere, d = {data.attrs['sphere_inputs']}, mean, 4 s.e."
    plot.points(axes, time, gamma, error=4 * error, color=orange, fmt="s", label=label)
    axes.set(xscale="log", xlabel=TIME, ylabel=r"$\gamma(t)$", ylim=(0, top))


def _draw_samples(axes: Axes, data: xr.Dataset) -> None:
    blue = plot.COLOURS[0]
    edge, low, high = (data[name].values for name in ("edge", "satisfied_low", "satisfied_high"))
    last = float(data["time"][-1])
    high = np.minimum(high, 10 * last)
    axes.fill_between(edge, low, high, color=blue, alpha=0.2, lw=0, label="theory, 2 s.d. of f")
    plot.theory(axes, edge, data["satisfied_predicted"], color=blue, label="theory")
    done = data.isel(sample=np.flatnonzero(np.isfinite(data["satisfied"].values)))
    style: dict[str, Any] = {"color": plot.COLOURS[1], "ms": 3.5, "mew": 0.9, "ls": "", "label": "training samples"}
    plot.points(axes, done["projection"], done["satisfied"], **style)
    axes.set(xscale="log", yscale="log", xlabel=r"$|x_\parallel|$", ylabel="time at which y f reaches h")
    axes.set(xlim=(edge[0], edge[-1] * 1.1), ylim=(0.5 * np.nanmin(low), 2 * last))


def _draw_fractions(axes: Axes, data: xr.Dataset) -> None:
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
    style: dict[str, Any] = {"color": plot.COLOURS[2], "fmt": "D", "ms": 4.5, "label": "training: misclassified"}
    plot.points(axes, wrong["time"], wrong["error"], **style)
    plot.theory(axes, [], [], color="0.3", label="theory, infinite N")
    plot.theory(axes, [], [], color="0.3", ls=":", lw=1.4, label="theory, noise not corrected")
    axes.set(xscale="log", yscale="log", xlabel=TIME, ylabel="fraction of samples")
