"""Claim: independent modes are learnt each on its own clock, 1/(frequency x norm)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import Network, claim, compare_rates, plot, tasks
from shoal.claims.shared.balanced import balanced_init, initial_margins, mode_of
from shoal.claims.shared.figures import key, legends, ticks
from shoal.claims.shared.flows import TOLERANCE, arrival_error, compare_arrivals, compare_slope, flow
from shoal.claims.shared.runs import Plan, crossing_times, extrapolate, extrapolated_error
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats

# Neither the largest norm nor the highest frequency decides alone: the products are 0.7, 0.225, 0.3 and 0.15.
NORMS = np.array([2.0, 1.5, 1.0, 0.75])
FREQUENCIES = np.array([0.35, 0.15, 0.30, 0.20])
SPEEDS = NORMS * FREQUENCIES
TASK = tasks.modes(norms=NORMS, frequencies=FREQUENCIES)
NETWORK = Network((TASK.dimension, 2 * TASK.samples, 1))
LEVEL = 1.0  # margin whose time of arrival the frequency and norm formulas are read from


def predicted_margins(margins: Floats, times: Floats, norms: Floats = NORMS) -> Floats:
    """Return each mode's own curve, (networks, times, modes) float64, from initial margins (networks,)."""
    pairs = list(zip(norms, FREQUENCIES, strict=True))
    curves = [[mode_of(start, *pair).margin(times) for pair in pairs] for start in margins]
    return np.asarray(curves, float).transpose(0, 2, 1)


@claim(
    "modes",
    "Independent modes are learnt each along its own curve, at a pace set by frequency times norm.",
    source="arXiv:1809.06848; theory book, chapters 1 and 3",
)
def modes(run: Trial) -> Figure:
    """Compare every mode's curve, and its time to a level, with the formula."""
    count = run.networks(full=64, quick=16)
    draw = np.random.default_rng(run.seed)
    initial = initial_margins(count, draw, 1e-3, 1e-1)
    # The same margin for all modes of a network.
    init = balanced_init(np.tile(initial[:, None], TASK.samples), NORMS, TASK.labels[:, None], draw)
    plan = Plan(NETWORK, TASK, init, "cross_entropy", rate=0.08, steps=1000, every=1, measure=("margin",))
    runs = plan.three(run, count)
    run.say(f"predicting {count} networks, mode by mode")
    margins = predicted_margins(initial, plan.times)
    # The formula: a mode of unit norm and frequency sets the pace; the others only divide its time.
    predicted = np.array([mode_of(margin).time(LEVEL) for margin in initial])[:, None] / SPEEDS
    arrivals, reading = crossing_times(plan.times, runs.stack("margin").swapaxes(2, 3), LEVEL)
    # One tolerance per mode, the supremum over networks: the second-order bias of an arrival passes through 0 at some
    # initial margin, where a network alone would be allowed next to nothing although third-order terms remain.
    full, half, quarter = arrivals.swapaxes(1, 2)
    arrived = compare_rates(full, half, quarter, predicted.T, bias=extrapolated_error(reading).T)

    run.row("margin of each mode of each network", runs.compare("margin", margins))
    run.must_fail("norms 2% larger", runs.compare("margin", predicted_margins(initial, plan.times, 1.02 * NORMS)))
    alike = predicted_margins(initial, plan.times, np.full_like(NORMS, NORMS.mean()))
    run.must_fail("pace of the frequency alone", runs.compare("margin", alike))
    run.row(f"time to margin {LEVEL:g} = pace / (frequency x norm)", replace(arrived, networks=count))

    flowing = flow(run, NETWORK, TASK, init, plan.times)["margin"].values
    read, uncertain = crossing_times(plan.times, flowing.swapaxes(1, 2), LEVEL)
    error = arrival_error(uncertain, margins.max(axis=1), SPEEDS * float(mode_of(LEVEL).velocity(LEVEL)))
    run.compare_flow("margin of each mode, gradient flow", flowing, margins, TOLERANCE)
    run.row(f"time to margin {LEVEL:g}, gradient flow", compare_arrivals(read, predicted, error))
    run.row("slope in the rate with which descent tends to flow", compare_slope(runs.stack("margin"), flowing))

    run.note(
        "Initial margins are held equal across modes; at equal weights that margin itself carries a factor norm.",
        "Orthogonal inputs and a separated balanced initialisation: overlapping classes are not covered.",
    )
    table = {
        "margin": (("network", "time", "mode"), runs.quarter["margin"].values),
        "margin_predicted": (("network", "time", "mode"), margins),
        "arrival": (("network", "mode"), extrapolate(arrivals)),
        "arrival_predicted": (("network", "mode"), predicted),
        "start_margin": (("network",), initial),
    }
    coords = {"time": plan.times, "norm": ("mode", NORMS), "frequency": ("mode", FREQUENCIES)}
    return _figure(run.save(xr.Dataset(table, coords=coords)))


def _figure(data: xr.Dataset) -> Figure:
    titles = ("Each mode has its own curve", "On its clock, all curves are one", "Time falls as 1/(frequency x norm)")
    made, (curves, collapse, arrival) = plot.figure(titles, width=4.6, height=4.2)
    network = int(np.argsort(data["start_margin"].values)[len(data["start_margin"]) // 2])
    times, shown = data["time"].values, data.isel(network=network)
    for k, colour, marker in zip(range(TASK.samples), plot.COLOURS, "os^D", strict=False):
        style = {"color": colour, "fmt": marker}
        measured, label = shown["margin"].values[:, k], f"norm {NORMS[k]:g}, frequency {FREQUENCIES[k]:g}"
        plot.points(curves, times[::40], measured[::40], **style)
        plot.theory(curves, times, shown["margin_predicted"].values[:, k], color=colour, label=label)
        # Equal spacing on the common clock, another phase for each mode, so that no marker hides another.
        at = np.searchsorted(SPEEDS[k] * times, np.arange(0.25 * k, min(20, SPEEDS[k] * times[-1])))
        plot.points(collapse, SPEEDS[k] * times[at], measured[at], **style, label=label)
        one = data.isel(mode=k)
        plot.points(arrival, one["arrival_predicted"], one["arrival"], **style, label=label)
    clock = np.linspace(0, 20, 400)
    common = mode_of(float(shown["start_margin"])).margin(clock)
    plot.theory(collapse, clock, common, color="black", lw=1.5, zorder=2, label="theory, one curve")
    key(curves)
    curves.set(xlabel="time (step x rate)", ylabel="margin", yscale="log")
    collapse.set(xlabel="clock: frequency x norm x time", ylabel="margin", yscale="log", xlim=(0, 20))
    span = [data["arrival_predicted"].values.min(), data["arrival_predicted"].values.max()]
    plot.theory(arrival, span, span, color="0.3", zorder=2, label="measured = predicted")
    arrival.set(xscale="log", yscale="log", xlabel="predicted time to margin 1", ylabel="measured time to margin 1")
    for axis in (arrival.xaxis, arrival.yaxis):
        ticks(axis, (2, 5, 10, 20, 50, 100), span[0] / 1.5, span[1] * 1.5)
    legends((curves, collapse), fontsize=10, loc="lower right")
    legends((arrival,), fontsize=10, loc="upper left")
    return made
