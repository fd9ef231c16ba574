"""Claim: one line in the plane of a neuron's two weights parts those that learn from those that die."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from shoal import Explicit, Separated, theory
from shoal.claims.claim import claim
from shoal.claims.learning_dynamics.phase_diagram.picture import draw
from shoal.claims.learning_dynamics.phase_diagram.plane import (
    HEIGHT,
    LABEL,
    LEVEL,
    NORM,
    RTOL,
    TASK,
    TOLERANCE,
    WIDTH,
    Grid,
    decided_by,
    first_time,
    flow,
    mode,
    path_of,
    spread,
    train_plane,
    weights_of,
)
from shoal.claims.outcome import Row, Setting
from shoal.claims.shared.deaths import share_dead
from shoal.claims.shared.flows import AMPLIFIED
from shoal.claims.shared.runs import crossing_times
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison, compare_flow
from shoal.verdicts.layout import Floats
from shoal.verdicts.proportion import compare_fraction

DISTANCES = np.geomspace(1e-1, 1e-6, 26)
"""a + z, of either sign, on the line a - z = 1."""

SCALES = (0.3, 0.5)
"""Standard deviations of a and z of the random initialisations."""

RECORDS = 1200
"""Where times are read off."""


@claim(
    "phase-diagram",
    "A neuron's initial weights decide its life or death: the boundary is z = -a, paths are hyperbolas.",
    source="arXiv:1809.06848; docs/theory.md section 2",
)
def phase_diagram(run: Trial) -> Figure:
    """Compare neuron deaths and boundary of the plane, hyperbolas, and times near the line."""
    count = run.networks(full=40_000, quick=40_000)
    grid = train_plane(max(4, 2 * (math.isqrt(count) // 2)), run.setting)
    near = _near(run.setting)
    run.rows += _fate_rows(grid)
    run.rows += _path_rows(grid, run.setting)
    run.rows.append(_death_row(grid, run.setting))
    run.rows += near.rows()
    run.rows.append(_chance(count, run.setting))
    data = _data(grid, near)
    run.note(
        f"{grid.plane.side} x {grid.plane.side} networks of one neuron, label {LABEL}, until time {grid.times[-1]:.3g}:"
        " by theory all are decided by then and all that live are fit. A neuron with a <= 0 never moves."
    )
    run.note(
        "The boundary is found to half a cell; that each cell lives or dies as its own side does of the line is"
        " another row."
    )
    run.note(
        "One neuron and one input: a neuron that dies on x may come alive on another input, which is claim failure's."
    )
    run.save(data)
    return draw(grid, data)


def _fate_rows(grid: Grid) -> list[Row]:
    """Return the rows on neuron deaths: cell by cell, and the boundary column by column."""
    side = grid.plane.side
    fails = theory.separated_deaths(weights_of(grid.a, grid.z), TASK, "cross_entropy").failed[:, 0]
    right = np.where(fails, grid.dead & (grid.margin[:, -1] == 0), ~grid.dead & grid.fit)
    columns = grid.plane.columns
    dead = grid.dead.reshape(side, side)[columns > 0].sum(axis=1)
    boundary = -HEIGHT + grid.plane.spacing * dead
    line = -columns[columns > 0]
    held = _timed(boundary, line, np.full_like(line, grid.plane.spacing / 2))
    wrong = compare_fraction(int((~right).sum()), right.size, 0.0)
    return [
        Row(f"fraction of the {side} x {side} cells whose neuron theory wrongly lets live or die", wrong),
        Row("boundary of each column: z = -a, to half a cell", replace(held, networks=right.size)),
    ]


def _path_rows(grid: Grid, setting: Setting) -> list[Row]:
    """Return the rows on trajectories of the active half: margins in time, and the invariant of the hyperbola."""
    chosen = np.flatnonzero(grid.a > 0)[:: 8 if setting.quick else 2]
    a, z = grid.a[chosen], grid.z[chosen]
    setting.say(f"predicting {len(a)} networks")
    predicted, reach = spread(a, z, grid.times)
    margins = compare_flow(grid.margin[chosen], predicted, tolerance=TOLERANCE, bias=reach)
    invariant = np.broadcast_to((a * a - z * z)[:, None], predicted.shape)
    # a^2 + z^2 at that time: errors are relative to the weights, not to their difference.
    size = np.sqrt(invariant**2 + 4 * (predicted / NORM) ** 2).max(axis=1, keepdims=True)
    kept = compare_flow(grid.balance[chosen], invariant, tolerance=RTOL, bias=TOLERANCE * size)
    return [Row("margin of each network", margins), Row("a^2 - z^2 of each network stays its initialisation's", kept)]


def _arrivals(
    times: Floats, series: Floats, level: float, above: int, speed: Floats, size: Floats
) -> tuple[Floats, Floats]:
    """Return when series reach a level, and how far the reading may be off, the integrator's errors included."""
    found, reading = crossing_times(times, series, level, above=above)
    return found, reading + AMPLIFIED[above] * TOLERANCE * size / speed


def _deaths(data: xr.Dataset, a: Floats, z: Floats) -> tuple[Floats, Floats, Floats]:
    """Return measured death times, their predictions, and how far they may be off; (networks,) each.

    Read from a(t), continued to 0 from the last six records of the living neuron. The prediction carries the
    integrator's errors as those of an initialisation moved along a + z.
    """
    path, _ = path_of(data)
    # crossing_times takes the logarithm: exp(-a) rises to 1 where a falls to 0. A dead neuron's a is 0 or just below.
    series = np.exp(-path)
    size = TOLERANCE * np.maximum(a, np.abs(z))
    best, up, down = (
        theory.separated_deaths(weights_of(a + s * size, z + s * size), TASK, "cross_entropy").death_time[:, 0]
        for s in (0, 1, -1)
    )
    speed = 0.5 * NORM * np.sqrt(z * z - a * a)
    found, reading = _arrivals(data["time"].values, series, 1.0, 0, speed, a)
    return found, best, reading + np.maximum(np.abs(up - best), np.abs(down - best))


def _timed(measured: Floats, predicted: Floats, error: Floats) -> Comparison:
    """Return the comparison of single numbers under flow, each with its own tolerance."""
    return compare_flow(measured[:, None], predicted[:, None], tolerance=RTOL, bias=error[:, None])


def _death_row(grid: Grid, setting: Setting) -> Row:
    """Return the row on death times of cells, trained again with dense records."""
    bound = decided_by(grid.a, grid.z)
    step = bound.max() / RECORDS
    # Six records are needed before a death, which comes after half the bound at least: the residual is below 1.
    chosen = np.flatnonzero((grid.a > 0) & (grid.a + grid.z < 0) & (bound > 14 * step))[:: 20 if setting.quick else 4]
    a, z = grid.a[chosen], grid.z[chosen]
    times = np.linspace(0, bound.max() + step, RECORDS)
    data = flow(Explicit(weights_of(a, z)), times, ("trajectory",), len(a), setting)
    return Row("death time, tanh tau = a/|z|, through the residual clock", _timed(*_deaths(data, a, z)))


@dataclass(frozen=True)
class _Near:
    """Times to fit and to die near the line, (distances,) each: measured, predicted, error."""

    fit: tuple[Floats, Floats, Floats]
    death: tuple[Floats, Floats, Floats]

    def rows(self) -> list[Row]:
        """Return the rows on times and on what a factor e nearer to the line costs."""
        rows = [
            Row(f"time to margin {LEVEL:g} at distances 0.1 to 1e-6 from the line", _timed(*self.fit)),
            Row("time to death at the same distances", _timed(*self.death)),
        ]
        # Times are slope x ln(1/d) + constant but for what the residual's distance from 1/2 still changes at d: with
        # m = (norm d/2) sinh(2 tau - ln(1/d)) at most d/4 before a death, and (e^L - 1)/L + 1 times that before a fit.
        farther, nearer = DISTANCES[-6], DISTANCES[-1]
        decade = np.log(farther / nearer)
        for label, (measured, _, error), law, remainder in (
            ("fit", self.fit, 2 / NORM, (np.expm1(LEVEL) / LEVEL + 1) / 4),
            ("death", self.death, 1 / NORM, 0.25),
        ):
            slope = (measured[-1] - measured[-6]) / decade
            bias = (error[-1] + error[-6] + remainder * (nearer + farther)) / decade
            held = _timed(np.array([slope]), np.array([law]), np.array([bias]))
            rows.append(Row(f"time to {label} gained per factor e nearer to the line", replace(held, networks=2)))
        return rows


def _near(setting: Setting) -> _Near:
    """Train starts on the line a - z = 1 on both sides of a + z = 0."""
    signs = np.repeat([1.0, -1.0], len(DISTANCES))
    sums = signs * np.tile(DISTANCES, 2)
    a, z = (sums + 1) / 2, (sums - 1) / 2
    live, die = signs > 0, signs < 0
    size = TOLERANCE * a
    best, up, down = (
        np.array([mode(x + s * e, y + s * e).time(LEVEL) for x, y, e in zip(a[live], z[live], size[live], strict=True)])
        for s in (0, 1, -1)
    )
    times = np.linspace(0, 1.05 * float(best.max()), RECORDS)
    data = flow(Explicit(weights_of(a, z)), times, ("margin", "trajectory"), len(a), setting)
    speed = np.array([mode(x, y).velocity(LEVEL) for x, y in zip(a[live], z[live], strict=True)], float)
    found, reading = _arrivals(times, data["margin"].values[live, :, 0], LEVEL, 3, speed, np.full(live.sum(), LEVEL))
    fit = (found, best, reading + np.maximum(np.abs(up - best), np.abs(down - best)))
    return _Near(fit, _deaths(data.isel(network=die), a[die], z[die]))


def _chance(count: int, setting: Setting) -> Row:
    """Return the row on how many random initialisations die; who is undecided at the end is the bias."""
    ratio, until = SCALES[0] / SCALES[1], 24.0
    data = flow(Separated(*SCALES), np.array([0.0, until]), ("active",), count, setting)
    law = theory.death_probability(*SCALES)
    waiting = float(share_dead(np.array(np.inf), ratio) - share_dead(np.array(until * NORM), ratio))
    dead = int((data["active"].values[:, -1, 0] == 0).sum())
    label = f"fraction of {count} random initialisations that die, formula 1/2 - atan({ratio:g})/pi"
    return Row(label, compare_fraction(dead, count, law, bias=waiting))


def _data(grid: Grid, near: _Near) -> xr.Dataset:
    """Collect what the figure shows."""
    side, columns = grid.plane.side, grid.plane.columns
    table: dict[str, tuple[tuple[str, ...], NDArray[np.generic]]] = {
        "dead": (("a", "z"), grid.dead.reshape(side, side)),
        "time_to_fit": (("a", "z"), first_time(grid.margin >= LEVEL, grid.times).reshape(side, side)),
        "time_to_death": (("a", "z"), first_time(~grid.active, grid.times).reshape(side, side)),
    }
    for name, values in (("fit", near.fit), ("death", near.death)):
        for part, numbers in zip(("", "_predicted", "_error"), values, strict=True):
            table[f"near_{name}{part}"] = (("distance",), numbers)
    return xr.Dataset(table, coords={"a": columns, "z": HEIGHT / WIDTH * columns, "distance": DISTANCES})
