"""Claim: the more frequent an input, the sooner it is learnt, exactly as 1/frequency."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import Separated, plot
from shoal.claims.claim import claim
from shoal.claims.shared import crowd
from shoal.claims.shared.crowd import Crowds, compare_deaths, compare_exponent, compare_means
from shoal.claims.shared.flows import TOLERANCE
from shoal.claims.shared.runs import far_seed
from shoal.claims.shared.sweep import (
    CLOCK,
    Arrivals,
    Pair,
    Sweep,
    collapse_panel,
    common_curve,
    common_time,
    start_margins,
)
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats

Table = dict[str, tuple[tuple[str, ...], Any]]

FREQUENCIES: Floats = np.geomspace(0.0095, 0.95, 9)
SWEEP = Sweep("frequency", FREQUENCIES, tuple(Pair((1.0, 1.0), (float(p), 1 - float(p))) for p in FREQUENCIES))
"""The other mode has what is left of the frequency: both are learnt by one network, each on its own clock."""

SCALE = 0.05
"""Of the weights of random networks."""


@claim(
    "frequency",
    "The more frequent an input, the sooner it is learnt: the time is as 1/frequency, over two decades.",
    source="arXiv:1809.06848; docs/theory.md sections 1 and 3",
)
def frequency(run: Trial) -> Figure:
    """Compare balanced networks one by one, then random ones."""
    many = run.networks(full=10_000, quick=1_000)
    singles = min(many, 8 if run.quick else 32)
    table = _balanced(singles, run) | _random(singles, many, run)
    data = run.save(xr.Dataset(table, coords={"frequency": FREQUENCIES, "clock": CLOCK}))
    slope, error = (float(data[f"exponent_{name}"]) for name in ("random", "random_error"))
    run.note("The frequency does not enter the initial margin: equal initial weights are equal initial margins here.")
    run.note(f"Random networks, frequencies 0.0095 to 0.95: exponent {slope:.4f} +- {error:.4f} (one s.e.).")
    run.note(
        f"Means of random networks are over those that arrive; {crowd.NEURONS} neurons serve a mode, and a mode whose"
        " neurons all die is never learnt, however frequent."
    )
    run.note("Orthogonal inputs and separated initialisations: overlapping classes are not covered.")
    return _figure(data)


def _balanced(singles: int, run: Trial) -> Table:
    """Networks whose margins theory knows in closed form."""
    draw = np.random.default_rng(run.seed)
    margins = start_margins(singles, draw, 1e-3, 1e-1)
    starts = np.broadcast_to(margins[:, None, None], (singles, len(FREQUENCIES), 2))
    curves = {loss: SWEEP.train(starts, draw, run.setting, loss) for loss in ("cross_entropy", "hinge")}
    laws = {loss: common_curve(margins, loss) for loss in curves}
    arrivals, law = Arrivals.of(curves["cross_entropy"], laws["cross_entropy"]), common_time(margins)
    one_curve = "margin against frequency x norm x time: one curve"
    run.compare_flow(one_curve, curves["cross_entropy"], laws["cross_entropy"], TOLERANCE)
    run.compare_flow("the same under the hinge loss", curves["hinge"], laws["hinge"], TOLERANCE)
    run.row("frequency x norm x time to margin 1, both modes", arrivals.compare(law[:, None, None]))
    run.row("exponent of time in frequency: -1", arrivals.compare_exponent(SWEEP, -1.0))
    shown = int(np.argsort(margins)[singles // 2])
    return {
        "margin": (("clock", "frequency"), curves["cross_entropy"][shown, :, :, 0]),
        "margin_predicted": (("clock",), laws["cross_entropy"][shown, :, 0, 0]),
        "clock_of_arrival": (("frequency", "mode"), arrivals.clock[shown]),
        "clock_of_arrival_predicted": ((), law[shown]),
    }


def _random(singles: int, many: int, run: Trial) -> Table:
    """Random networks, deaths included."""
    found = Crowds.train(SWEEP, [Separated(SCALE)] * len(FREQUENCIES), many, singles, run.setting, part=41)
    # The frequency only sets the pace of the clock: one sample serves them all.
    common = crowd.expect(1.0, Separated(SCALE), many, run.setting, far_seed(run.seed, 51))
    exponent = compare_exponent(found.crowds, FREQUENCIES, SWEEP.speeds[:, 0], -1.0)
    means = compare_means(found.crowds, [common] * len(FREQUENCIES))
    deaths = compare_deaths(found.crowds, [common])
    run.row("margin of each of some random networks, deaths included", found.compare())
    run.row(f"{many} random networks a frequency: exponent of time -1", exponent)
    run.row("their mean ln(frequency x norm x time to margin 1)", means)
    run.row(f"fraction of modes never learnt, 4^-{crowd.NEURONS} at any frequency", deaths)
    return {
        "random": (("frequency",), found.means),
        "random_error": (("frequency",), found.errors),
        "random_predicted": ((), common.mean),
        "exponent_random": ((), exponent.measured),
        "exponent_random_error": ((), exponent.standard_error),
    }


def _figure(data: xr.Dataset) -> Figure:
    """Draw times against the frequency, the common curve, and what is left when the formula is divided out."""
    made, (times, collapse, left) = plot.figure(
        ("Time to margin 1, one network each", "One curve for all frequencies", "Random networks, geometric mean")
    )
    clock = data["clock_of_arrival"].values
    fine = np.geomspace(FREQUENCIES[0], 1, 100)
    for mode, label in enumerate(("the varied mode", "the other mode of the same network")):
        own = FREQUENCIES if mode == 0 else 1 - FREQUENCIES
        style = {"color": plot.COLOURS[mode], "fmt": "os"[mode], "label": label}
        plot.points(times, own, clock[:, mode] / SWEEP.speeds[:, mode], **style)
    law = float(data["clock_of_arrival_predicted"]) / fine
    plot.theory(times, fine, law, color="0.3", zorder=2, label="theory: 1/frequency")
    value = np.exp(data["random"].values)
    error = 4 * data["random_error"].values * value
    plot.points(left, FREQUENCIES, value, error=error, color=plot.COLOURS[0], label="measured, ±4 s.e.")
    expected = np.full(len(FREQUENCIES), np.exp(float(data["random_predicted"])))
    plot.theory(left, FREQUENCIES, expected, color="0.3", zorder=2, label="theory")
    for axes in (times, left):
        axes.set(xscale="log", xlabel="frequency of the input")
        axes.set_xticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
    times.set(yscale="log", ylabel="time")
    left.set(ylabel="frequency x norm x time to margin 1")
    collapse_panel(collapse, SWEEP, data["margin"].values, data["margin_predicted"].values)
    for axes in (times, collapse, left):
        plot.legend(axes)
    return made
