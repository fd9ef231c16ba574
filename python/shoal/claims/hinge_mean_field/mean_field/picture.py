"""The figure of the claim `mean-field`: one network's nodes, clock and samples on the theory's curves.

Source: arXiv:2006.11209; theory book, chapter 7.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shoal import plot
from shoal.claims.hinge_mean_field.mean_field.ensemble import EVERY, band
from shoal.claims.hinge_mean_field.mean_field.figure_one import PULL
from shoal.claims.shared.figures import TIME, key, legends, shade, standard_error
from shoal.claims.shared.limits import Halves
from shoal.claims.shared.teacher import Condition, clock, nodes, satisfied_at
from shoal.theory import TrainedNoise

SHOWN = 10
"""Nodes whose curves are drawn: the first ones."""
SAMPLES = 300
"""Training samples whose satisfaction is drawn."""
BENT = 1.5
"""gamma up to which the plane is drawn: later all nodes run along the diagonal."""
TITLES = (
    "Output weights follow the theory",
    "So do weights along the teacher",
    "Nodes move on hyperbolas",
    "One clock turns all nodes",
    "Distant samples are satisfied first",
    "The fractions fall as predicted",
)


def collect(condition: Condition, data: xr.Dataset, gaussian: Halves, sphere: Halves) -> xr.Dataset:
    """Return what the figure shows of its one network, and the means of the ensembles."""
    theory, times = condition.theory, data["time"].values
    output, along = nodes(data)
    line = np.concatenate([[0.0], np.geomspace(condition.rate, condition.until, 240)])
    curves = theory.trajectories(output[0, 0, :SHOWN], along[0, 0, :SHOWN], line)
    projections = np.abs(data["inputs"].values[:SAMPLES, 0])
    edge = np.geomspace(max(projections.min(), 0.5 * float(theory.boundary(times[-1]))), projections.max(), 120)
    low, high = band(condition, edge, 2.0)
    margins = data["margin"].values[0]
    found = xr.Dataset(
        {
            "gamma": ("time", clock(output, along)[0]),
            "unsatisfied": ("time", (margins < condition.threshold).mean(axis=-1)),
            "error": ("time", data["error"].values[0]),
            "test_error": ("time", data["test_error"].values[0]),
            "gamma_predicted": ("line", theory.gamma(line)),
            "gamma_linear": ("line", theory.early(line)),
            "gamma_tail": ("line", theory.tail(line)),
            "unsatisfied_predicted": ("line", theory.unsatisfied(line)),
            "test_error_predicted": ("line", TrainedNoise(theory).error(line)),
            "test_error_clean": ("line", theory.error(line)),
            "pull": ("line", condition.pull(line)),
            "a": (("time", "node"), output[0, :, :SHOWN]),
            "w": (("time", "node"), along[0, :, :SHOWN]),
            "a_predicted": (("line", "node"), curves[0].T),
            "w_predicted": (("line", "node"), curves[1].T),
            "projection": ("sample", projections),
            "satisfied": ("sample", satisfied_at(times, margins[:, :SAMPLES], condition.threshold)),
            "satisfied_predicted": ("edge", theory.satisfaction_time(edge)),
            "satisfied_low": ("edge", low),
            "satisfied_high": ("edge", high),
        },
        coords={"time": times, "step": ("time", data["step"].values), "line": line, "edge": edge},
        attrs={"sphere_inputs": sphere.condition.inputs},
    )
    return found.merge(_means("gaussian", gaussian)).merge(_means("sphere", sphere))


def _means(name: str, pair: Halves) -> xr.Dataset:
    gamma, theory, times = pair.limit("gamma"), pair.condition.theory, pair.condition.times[::EVERY]
    table = {
        "gamma": gamma.mean(axis=0),
        "gamma_error": standard_error(gamma),
        "gamma_predicted": theory.gamma(times),
        "unsatisfied": pair.limit("unsatisfied").mean(axis=0),
        "unsatisfied_predicted": theory.unsatisfied(times),
    }
    time = f"{name}_time"
    return xr.Dataset({f"{name}_{each}": (time, values) for each, values in table.items()}, coords={time: times})


def draw(data: xr.Dataset, condition: Condition) -> Figure:
    """Return the figure: six panels in two rows. What is not compared with theory is shaded."""
    made, panels = plot.figure(TITLES, width=4.6, height=4.2, rows=2)
    made.suptitle(
        f"One network, M = {condition.nodes} nodes, N = {condition.samples:,} samples, d = {condition.inputs}:"
        " points trained, lines theory",
        fontsize=15,
    )
    later = data.isel(time=slice(1, None), line=slice(1, None))  # a logarithmic axis has no 0
    _draw_nodes(panels[0], later, "a", "output weight $a_i$")
    _draw_nodes(panels[1], later, "w", r"weight along the teacher $w_{\parallel,i}$")
    _draw_plane(panels[2], data)
    _draw_clock(panels[3], later)
    _draw_samples(panels[4], data)
    _draw_fractions(panels[5], later)
    learnt = data["line"].values[data["pull"].values > PULL]
    for axes in (*panels[:2], panels[3], panels[5]):
        axes.set(xscale="log", xlabel=TIME, xlim=(0.7 * condition.rate, 1.4 * condition.until))
        if len(learnt):
            shade(axes, learnt[0], 2 * learnt[-1])
    if len(learnt):
        shade(panels[4], learnt[0], 2 * learnt[-1], vertical=True)
    legends([*panels[:4], panels[5]])
    plot.legend(panels[4], loc="lower left")
    return made


def _every(data: xr.Dataset, count: int) -> xr.Dataset:
    """Return about so many records, one in a few."""
    return data.isel(time=slice(0, None, max(1, data.sizes["time"] // count)))


def _draw_nodes(axes: Axes, later: xr.Dataset, name: str, label: str) -> None:
    some = _every(later, 18)
    for node in range(SHOWN):
        colour = plot.COLOURS[node % len(plot.COLOURS)]
        plot.theory(axes, later["line"], later[f"{name}_predicted"].values[:, node], color=colour, lw=1.6)
        plot.points(axes, some["time"], some[name].values[:, node], color=colour, ms=4, mew=1.1, zorder=5)
    reach = 4 * float(np.abs(later[f"{name}_predicted"]).max())
    axes.set(yscale="asinh", ylabel=label, ylim=(-reach, reach))


def _draw_plane(axes: Axes, data: xr.Dataset) -> None:
    compared = data["line"].values[data["pull"].values <= PULL].max()
    lines = data.isel(line=np.flatnonzero((data["gamma_predicted"] <= BENT) & (data["line"] <= compared)))
    some = _every(data.isel(time=np.flatnonzero((data["gamma"] <= BENT) & (data["time"] <= compared))), 9)
    for node in range(SHOWN):
        colour = plot.COLOURS[node % len(plot.COLOURS)]
        plot.theory(axes, lines["a_predicted"][:, node], lines["w_predicted"][:, node], color=colour, lw=1.6)
        plot.points(axes, some["a"][:, node], some["w"][:, node], color=colour, ms=4, mew=1.1, zorder=5)
        plot.points(axes, data["a"][:1, node], data["w"][:1, node], color=colour, fmt="s", ms=6, mfc=colour, zorder=6)
    plot.points(axes, [], [], color="0.3", fmt="s", mfc="0.3", ms=6, label="initial")
    key(axes, "trained", "theory")
    axes.set(xlabel="output weight $a_i$", ylabel=r"weight along the teacher $w_{\parallel,i}$")


def _draw_clock(axes: Axes, later: xr.Dataset) -> None:
    some = _every(later, 24)
    blue, orange = plot.COLOURS[:2]
    line, top = later["line"].values, 1.9 * float(later["gamma_predicted"].max())
    for name, shown, style, label in (
        ("linear", later["gamma_linear"].values < 0.42 * top, "--", "linear start"),
        ("tail", later["gamma_tail"].values > 0.3, ":", r"$\log(Ct)/4$"),
    ):
        formula = later[f"gamma_{name}"].values
        plot.theory(axes, line[shown], formula[shown], color="0.45", lw=1.4, ls=style, label=label)
    plot.theory(axes, line, later["gamma_predicted"], color=blue, label="theory")
    plot.points(axes, some["time"], some["gamma"], color=blue, label="Gaussian, one network")
    plot.theory(axes, later["sphere_time"][1:], later["sphere_gamma_predicted"][1:], color=orange, lw=1.6)
    time, gamma, error = (later[f"sphere_{name}"].values[1::5] for name in ("time", "gamma", "gamma_error"))
    label = f"sphere, d = {later.attrs['sphere_inputs']}, ±4 s.e."
    plot.points(axes, time, gamma, error=4 * error, color=orange, fmt="s", label=label)
    axes.set(ylabel=r"angle $\gamma$", ylim=(0, top))


def _draw_samples(axes: Axes, data: xr.Dataset) -> None:
    blue, orange = plot.COLOURS[:2]
    edge, low, high = (data[name].values for name in ("edge", "satisfied_low", "satisfied_high"))
    last = float(data["time"][-1])
    axes.fill_between(edge, low, np.minimum(high, 10 * last), color=blue, alpha=0.2, lw=0, label="theory, ±2 s.d. of f")
    plot.theory(axes, edge, data["satisfied_predicted"], color=blue, label="theory")
    done = data.isel(sample=np.flatnonzero(np.isfinite(data["satisfied"].values)))
    plot.points(axes, done["projection"], done["satisfied"], color=orange, ms=3.5, mew=0.9, label="training samples")
    axes.set(xscale="log", xlabel=r"distance from the boundary $|x_\parallel|$", xlim=(edge[0], edge[-1] * 1.1))
    axes.set(yscale="log", ylabel="time until satisfied (step x rate)", ylim=(0.05 * np.nanmin(low), 2 * last))


def _draw_fractions(axes: Axes, later: xr.Dataset) -> None:
    some = _every(later, 24)
    for name, colour, marker, label in (
        ("unsatisfied", plot.COLOURS[0], "o", "training: unsatisfied"),
        ("test_error", plot.COLOURS[1], "s", "test: misclassified"),
        ("error", plot.COLOURS[2], "D", "training: misclassified"),
    ):
        seen = some.isel(time=np.flatnonzero(some[name].values > 0))
        plot.points(axes, seen["time"], seen[name], color=colour, fmt=marker, ms=4.5, label=label)
        if name != "error":
            plot.theory(axes, later["line"], later[f"{name}_predicted"], color=colour)
    plot.theory(axes, later["line"], later["test_error_clean"], color=plot.COLOURS[1], ls=":", lw=1.4)
    plot.theory(axes, [], [], color="0.3", ls=":", lw=1.4, label="theory, noise not corrected")
    axes.set(yscale="log", ylabel="fraction of samples", ylim=(2e-5, 1.6))
