"""Claim: one line in the plane of a neuron's two weights parts those that learn from those that die."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shoal import Explicit, Separated, claim, compare_flow, compare_fraction, plot, theory
from shoal.claims.learning_dynamics.phase_diagram import plane
from shoal.claims.learning_dynamics.phase_diagram.plane import HEIGHT, LEVEL, NORM, RTOL, TASK, TOLERANCE, WIDTH, Grid
from shoal.claims.shared.deaths import dead_probability
from shoal.claims.shared.flows import arrival_error, compare_arrivals
from shoal.claims.shared.runs import crossing_times
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats

Timed = tuple[Floats, Floats, Floats]
"""Times that were measured and predicted, and how far they may be off; (networks,) each."""
_timed = partial(compare_arrivals, tolerance=RTOL)

DISTANCES = np.geomspace(1e-1, 1e-6, 26)  # a + z, of either sign, on the line a - z = 1
SCALES = (0.3, 0.5)  # standard deviations of a and z of the random initialisations
RECORDS = 1200  # where times are read off
INITS = (
    (0.92, -0.35), (0.62, -0.1), (0.90, -0.84), (0.17, -0.05), (0.06, 0.3), (0.10, 0.75), (0.10, -0.64), (0.35, -0.96),
    (0.84, -0.9), (0.75, -1.05),
)  # fmt: skip
"""Of the drawn trajectories, in (a, z); the nearest cells are taken."""


@claim(
    "phase-diagram",
    "A neuron's initial weights decide its life or death: the boundary is z = -a, paths are hyperbolas.",
    source="arXiv:1809.06848; theory book, chapter 2",
)
def phase_diagram(run: Trial) -> Figure:
    """Compare neuron deaths and boundary of the plane, hyperbolas, and times near the line."""
    count = run.networks(full=40_000, quick=40_000)
    grid = plane.train_plane(run, max(4, 2 * (math.isqrt(count) // 2)))
    fit, death = _train_near(run)
    compare_lives(run, grid)
    compare_paths(run, grid)
    compare_death_times(run, grid)
    compare_near(run, fit, death)
    compare_probability(run, count)
    run.note(
        f"{grid.side} x {grid.side} networks of one neuron, label {plane.LABEL}, until time {grid.times[-1]:.3g}:"
        " by theory all are decided by then and all that live are fit. A neuron with a <= 0 never moves.",
        "The boundary is found to half a cell; that each cell lives or dies as its own side does of the line is"
        " another row.",
        "One neuron and one input: a neuron that dies on x may come alive on another input, which is claim failure's.",
    )
    return _figure(grid, run.save(_data(grid, fit, death)))


def compare_lives(run: Trial, grid: Grid) -> None:
    """Compare which neurons live with theory, cell by cell, and the boundary column by column."""
    side, columns = grid.side, grid.columns
    spacing = 2 * HEIGHT / side

    def wrong(steeper: float) -> Comparison:
        weights = plane.weights_of(steeper * grid.a, grid.z)
        fails = theory.separated_deaths(weights, TASK, "cross_entropy").failed[:, 0]
        right = np.where(fails, grid.dead & (grid.margin[:, -1] == 0), ~grid.dead & (grid.margin[:, -1] >= LEVEL))
        return compare_fraction(int((~right).sum()), right.size, 0.0)

    dead = grid.dead.reshape(side, side)[columns > 0].sum(axis=1)
    boundary, line = -HEIGHT + spacing * dead, -columns[columns > 0]

    def compare_line(predicted: Floats) -> Comparison:
        return replace(_timed(boundary, predicted, spacing / 2), networks=side**2)

    run.row(f"fraction of the {side} x {side} cells whose neuron theory wrongly lets live or die", wrong(1.0))
    run.must_fail("line 10% steeper", wrong(1.1))
    run.row("boundary of each column: z = -a, to half a cell", compare_line(line))
    run.must_fail("z = -1.1 a", compare_line(1.1 * line))


def compare_paths(run: Trial, grid: Grid) -> None:
    """Compare trajectories of the active half with theory: margins in time, and the invariant of the hyperbola."""
    chosen = np.flatnonzero(grid.a > 0)[:: 8 if run.quick else 2]
    a, z = grid.a[chosen], grid.z[chosen]
    run.say(f"predicting {len(a)} networks")
    predicted, reach = plane.predicted_margins(a, z, grid.times)
    margins = grid.margin[chosen]
    run.compare_flow("margin of each network", margins, predicted, TOLERANCE, bias=reach)
    faster, _ = plane.predicted_margins(a, z, 1.02 * grid.times)
    run.must_fail("norm 2% larger", compare_flow(margins, faster, TOLERANCE, bias=reach))
    invariant = np.broadcast_to((a * a - z * z)[:, None], predicted.shape)
    # a^2 + z^2 at that time: errors are relative to the weights, not to their difference.
    size = np.sqrt(invariant**2 + 4 * (predicted / NORM) ** 2).max(axis=1, keepdims=True)
    statement = "a^2 - z^2 of each network stays its initialisation's"
    run.compare_flow(statement, grid.balance[chosen], invariant, RTOL, bias=TOLERANCE * size)


def _death_times(data: xr.Dataset, a: Floats, z: Floats) -> Timed:
    """Return death times of neurons from a and z, read from a(t), continued to 0 from its last six living records."""
    path, _ = plane.path_of(data)
    best, reach = plane.predict(
        lambda *az: theory.separated_deaths(plane.weights_of(*az), TASK, "cross_entropy").death_time[:, 0], a, z
    )
    # crossing_times takes the logarithm: exp(-a) rises to 1 where a falls to 0. A dead neuron's a is 0 or just below.
    found, reading = crossing_times(data["time"].values, np.exp(-path), 1.0, above=0)
    velocity = 0.5 * NORM * np.sqrt(z * z - a * a)
    return found, best, arrival_error(reading, a, velocity, above=0, tolerance=TOLERANCE) + reach


def compare_death_times(run: Trial, grid: Grid) -> None:
    """Compare death times of cells, trained again with dense records."""
    bound = plane.decided_by(grid.a, grid.z)
    step = bound.max() / RECORDS
    # Six records are needed before a death, which comes after half the bound at least: the residual is below 1.
    chosen = np.flatnonzero((grid.a > 0) & (grid.a + grid.z < 0) & (bound > 14 * step))[:: 20 if run.quick else 4]
    a, z = grid.a[chosen], grid.z[chosen]
    times = np.linspace(0, bound.max() + step, RECORDS)
    data = plane.flow(run, Explicit(plane.weights_of(a, z)), times, ("trajectory",))
    run.row("death time, tanh tau = a/|z|, through the residual clock", _timed(*_death_times(data, a, z)))


def _train_near(run: Trial) -> tuple[Timed, Timed]:
    """Return times to fit and times to death of initialisations on the line a - z = 1 at `DISTANCES` from a + z = 0."""
    sums = np.concatenate([DISTANCES, -DISTANCES])
    a, z = (sums + 1) / 2, (sums - 1) / 2
    live, die = sums > 0, sums < 0
    best, reach = plane.predict(
        lambda *az: np.array([plane.mode(*one).time(LEVEL) for one in zip(*az, strict=True)]), a[live], z[live]
    )
    times = np.linspace(0, 1.05 * float(best.max()), RECORDS)
    data = plane.flow(run, Explicit(plane.weights_of(a, z)), times, ("margin", "trajectory"))
    found, reading = crossing_times(times, data["margin"].values[live, :, 0], LEVEL)
    velocity = np.array([plane.mode(*az).velocity(LEVEL) for az in zip(a[live], z[live], strict=True)], float)
    error = arrival_error(reading, LEVEL, velocity, tolerance=TOLERANCE) + reach
    return (found, best, error), _death_times(data.isel(network=die), a[die], z[die])


def compare_near(run: Trial, fit: Timed, death: Timed) -> None:
    """Compare times near the line, and what a factor e nearer to it costs."""
    run.row(f"time to margin {LEVEL:g} at distances 0.1 to 1e-6 from the line", _timed(*fit))
    run.row("time to death at the same distances", _timed(*death))
    # Times are slope x ln(1/d) + constant but for what the residual's distance from 1/2 still changes at d: with
    # m = (norm d/2) sinh(2 tau - ln(1/d)) at most d/4 before a death, and (e^L - 1)/L + 1 times that before a fit.
    farther, nearer = DISTANCES[-6], DISTANCES[-1]
    decade = np.log(farther / nearer)
    for label, (measured, _, error), slope, remainder in (
        ("fit", fit, 2 / NORM, (np.expm1(LEVEL) / LEVEL + 1) / 4),
        ("death", death, 1 / NORM, 0.25),
    ):
        found = (measured[-1] - measured[-6]) / decade
        bias = (error[-1] + error[-6] + remainder * (nearer + farther)) / decade
        held = _timed(np.array([found]), slope, bias)
        run.row(f"time to {label} gained per factor e nearer to the line", replace(held, networks=2))


def compare_probability(run: Trial, count: int) -> None:
    """Compare how many random initialisations die; who is undecided at the end is the bias."""
    ratio, until = SCALES[0] / SCALES[1], 24.0
    data = plane.flow(run, Separated(*SCALES), np.array([0.0, until]), ("active",), count)
    waiting = float(dead_probability(np.array(np.inf), ratio) - dead_probability(np.array(until * NORM), ratio))
    dead = int((data["active"].values[:, -1, 0] == 0).sum())
    statement = f"fraction of {count} random initialisations that die, formula 1/2 - atan({ratio:g})/pi"
    run.compare_fraction(statement, dead, count, theory.death_probability(*SCALES), bias=waiting)
    exchanged = theory.death_probability(*SCALES[::-1])
    run.must_fail("scales exchanged", compare_fraction(dead, count, exchanged, bias=waiting))


def _data(grid: Grid, fit: Timed, death: Timed) -> xr.Dataset:
    cells = {
        "dead": grid.dead,
        "time_to_fit": plane.first_time(grid.margin >= LEVEL, grid.times),
        "time_to_death": plane.first_time(~grid.active, grid.times),
    }
    table: dict[str, Any] = {name: (("a", "z"), values.reshape(grid.side, grid.side)) for name, values in cells.items()}
    for name, near in (("fit", fit), ("death", death)):
        for part, values in zip(("", "_predicted", "_error"), near, strict=True):
            table[f"near_{name}{part}"] = (("distance",), values)
    return xr.Dataset(table, coords={"a": grid.columns, "z": HEIGHT / WIDTH * grid.columns, "distance": DISTANCES})


def _figure(grid: Grid, data: xr.Dataset) -> Figure:
    titles = ("The line z = -a parts life from death", "Near the line, time is a logarithm")
    made, (cells, times) = plot.figure(titles, width=6.2, height=5.6)
    _draw_plane(made, cells, grid, data)
    distance = data["distance"].values
    for name, colour, marker, label, factor in (
        ("fit", plot.COLOURS[0], "o", f"to margin {LEVEL:g}, a + z > 0", 2),
        ("death", plot.COLOURS[1], "D", "to death, a + z < 0", 1),
    ):
        measured, predicted, error = (data[f"near_{name}{part}"].values for part in ("", "_predicted", "_error"))
        plot.points(times, distance, measured, error=error, color=colour, fmt=marker, label=f"trained: {label}")
        plot.theory(times, distance, predicted, color=colour, label=f"theory: {label}")
        middle = len(distance) // 2
        formula = predicted[middle] + factor / NORM * np.log(distance[middle] / distance)
        # A little above the curve that it is the limit of, so that both are seen.
        limit = rf"slope {factor}/($p\rho$) per factor e"
        plot.theory(times, distance, formula + 0.8, color=colour, lw=1.2, ls="--", label=limit)
    times.set(xscale="log", xlabel="|a + z|, distance from the line (a - z = 1)", ylabel="time (flow)", ylim=(0, None))
    times.invert_xaxis()
    plot.legend(times, loc="upper left")
    return made


def _draw_plane(made: Figure, axes: Axes, grid: Grid, data: xr.Dataset) -> None:
    axes.fill_between([-WIDTH, 0], -HEIGHT, HEIGHT, color="0.9", lw=0, zorder=0)
    extent = (-WIDTH, WIDTH, -HEIGHT, HEIGHT)
    maps = {"time_to_fit": ("Blues", ~data["dead"]), "time_to_death": ("Oranges", data["a"] > 0)}
    for place, (name, (cmap, shown)) in enumerate(maps.items()):
        values = data[name].where(shown)
        image = axes.imshow(values.T, cmap=cmap, vmin=0, origin="lower", extent=extent, aspect="auto", zorder=0)
        scale = axes.inset_axes((0.04, 0.43 - 0.15 * place, 0.27, 0.03))
        made.colorbar(image, cax=scale, orientation="horizontal")
        scale.set_title(name.replace("_", " "), fontsize=10)
        scale.tick_params(labelsize=9)
    plot.theory(axes, [0, HEIGHT], [0, -HEIGHT], color="black", lw=2.2, label="theory: $z = -a$")
    along = np.linspace(-3, 3, 1201)
    for a, z in INITS:
        cell = int(np.argmin(np.hypot(grid.a - a, grid.z - z)))
        invariant, dies = grid.a[cell] ** 2 - grid.z[cell] ** 2, bool(grid.dead[cell])
        y = along if invariant > 0 else (-1 if dies else 1) * np.sqrt(along**2 - invariant)
        plot.theory(axes, np.sqrt(np.abs(y**2 + invariant)), y, color="0.35", lw=0.8, zorder=2)
        x, y = grid.path[cell, grid.active[cell]].T
        # Points a fixed length of path apart.
        length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
        marks = np.unique(np.searchsorted(length, np.arange(0, length[-1], 0.12)))
        colour = plot.COLOURS[1 if dies else 0]
        plot.points(axes, x[marks], y[marks], color=colour, ms=4.5, zorder=5)
        axes.plot(x[0], y[0], "o", color=colour, ms=5.5, zorder=6)
    plot.theory(axes, [], [], color="0.35", lw=0.8, label="theory: hyperbola")
    for colour, label in ((plot.COLOURS[0], "lives (full: initial)"), (plot.COLOURS[1], "dies")):
        plot.points(axes, [], [], color=colour, ms=4.5, label=label)
    axes.text(-0.96, 0.9 * HEIGHT, "a < 0: never active,\nnever moves", fontsize=11, va="top")
    axes.set(xlim=(-WIDTH, 1.5), ylim=(-HEIGHT, 1.5), xlabel="a, weight into the neuron along its input")
    axes.set(ylabel="z, label times the weight out of it")
    axes.grid(visible=False)
    plot.legend(axes, loc="lower left", fontsize=10)
