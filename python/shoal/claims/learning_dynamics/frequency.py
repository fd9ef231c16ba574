"""Claim: the more frequent an input, the sooner it is learnt, exactly as 1/frequency."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import Separated, claim, plot
from shoal.claims.shared import crowd, sweep
from shoal.claims.shared.balanced import initial_margins
from shoal.claims.shared.runs import far_seed
from shoal.claims.shared.sweep import Pair, common_time
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats

FREQUENCIES: Floats = np.geomspace(0.0095, 0.95, 9)
# The other mode has what is left of the frequency: both are learnt by one network, each on its own clock.
SWEEP = sweep.Sweep("frequency", FREQUENCIES, tuple(Pair((1.0, 1.0), (float(p), 1 - float(p))) for p in FREQUENCIES))
INIT = Separated(0.05)  # of random networks


@claim(
    "frequency",
    "The more frequent an input, the sooner it is learnt: the time is as 1/frequency, over two decades.",
    source="arXiv:1809.06848; theory book, chapters 1 and 3",
)
def frequency(run: Trial) -> Figure:
    """Compare balanced networks, whose margins have a closed form, one by one; then random ones, deaths included."""
    many = run.networks(full=10_000, quick=1_000)
    singles = min(many, 8 if run.quick else 32)
    draw = np.random.default_rng(run.seed)
    margins = initial_margins(singles, draw, 1e-3, 1e-1)
    balanced, time = sweep.compare_curves(run, SWEEP, margins, draw), common_time(margins)
    run.row("frequency x norm x time to margin 1, both modes", balanced.compare_clock(time[:, None, None]))
    run.row("exponent of time in frequency: -1", balanced.compare_exponent(-1.0))
    run.must_fail("1/frequency^1.01", balanced.compare_exponent(-1.01))

    found = crowd.Crowds.train(run, SWEEP, [INIT] * len(FREQUENCIES), networks=many, singles=singles, part=41)
    # The frequency only sets the pace of the clock: one sample serves them all.
    common = crowd.expect(run, 1.0, INIT, many, far_seed(run.seed, 51))
    run.row("margin of each of some random networks, deaths included", found.compare())
    exponent = run.row(f"{many} random networks a frequency: exponent of time -1", found.compare_exponent(-1.0))
    run.row("their mean ln(frequency x norm x time to margin 1)", found.compare_means(common))
    run.row(f"fraction of modes never learnt, 4^-{crowd.NEURONS} at any frequency", found.compare_deaths(common))
    run.note("The frequency does not enter the initial margin: equal initial weights are equal initial margins here.")
    crowd.add_notes(run, "frequencies 0.0095 to 0.95", exponent, "however frequent")
    shown = int(np.argsort(margins)[singles // 2])
    table = {
        "margin": (("clock", "frequency"), balanced.margins[shown, :, :, 0]),
        "margin_predicted": (("clock",), balanced.predicted[shown, :, 0, 0]),
        "clock_of_arrival": (("frequency", "mode"), balanced.clock[shown]),
        "clock_of_arrival_predicted": ((), time[shown]),
        "random": (("frequency",), found.crowd.mean),
        "random_error": (("frequency",), found.crowd.standard_error),
        "random_predicted": ((), common.mean),
    }
    return _figure(run.save(xr.Dataset(table, coords={"frequency": FREQUENCIES, "clock": sweep.CLOCK})))


def _figure(data: xr.Dataset) -> Figure:
    titles = ("Time falls as 1/frequency", "All frequencies share one curve", "Random networks: one clock for all")
    made, panels = plot.figure(titles, width=4.6, height=4.2)
    times, _, left = panels
    own = data["clock_of_arrival"].values / SWEEP.speeds
    for mode, frequencies, label in (
        (0, FREQUENCIES, "the varied mode"),
        (1, 1 - FREQUENCIES, "the network's other mode"),
    ):
        plot.points(times, frequencies, own[:, mode], color=plot.COLOURS[mode], fmt="os"[mode], label=label)
    fine = np.geomspace(FREQUENCIES[0], 1, 100)
    predicted = float(data["clock_of_arrival_predicted"]) / fine
    plot.theory(times, fine, predicted, color="0.3", zorder=2, label="theory: 1/frequency")
    value = np.exp(data["random"].values)
    error = 4 * data["random_error"].values * value
    plot.points(left, FREQUENCIES, value, error=error, color=plot.COLOURS[0], label="trained, ±4 s.e.")
    expected = np.full(len(FREQUENCIES), np.exp(float(data["random_predicted"])))
    plot.theory(left, FREQUENCIES, expected, color="0.3", zorder=2, label="theory")
    left.set_ylim(0, 9)
    sweep.finish_panels(panels, SWEEP, data, [0.01, 0.1, 1])
    return made
