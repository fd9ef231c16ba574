"""Claim: the longer an input, the sooner it is learnt; at equal initial margins exactly as 1/norm."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import Separated, claim, plot
from shoal.claims.shared import crowd, sweep
from shoal.claims.shared.balanced import initial_margins
from shoal.claims.shared.flows import exponent_weights
from shoal.claims.shared.runs import far_seed
from shoal.claims.shared.sweep import Balanced, Pair, common_time
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats

NORMS: Floats = np.geomspace(0.1, 10, 9)
SWEEP = sweep.Sweep("norm", NORMS, tuple(Pair((float(norm), 1.0), (0.5, 0.5)) for norm in NORMS))
STD = 0.05  # of random networks' weights: the same at every norm, or divided by its root for equal initial margins
OTHERS = 4_000  # random initialisations per norm, at most, from which theory's mean at equal weights is taken


@claim(
    "norm",
    "The longer an input, the sooner it is learnt: from equal margins in a time as 1/norm, over two decades.",
    source="arXiv:1809.06848; theory book, chapters 1 and 3",
)
def norm(run: Trial) -> Figure:
    """Compare balanced networks one by one, then random ones, at equal margins and at equal weights."""
    many = run.networks(full=10_000, quick=1_000)
    singles = min(many, 8 if run.quick else 32)
    draw = np.random.default_rng(run.seed)
    margins = initial_margins(singles, draw, 1e-3, 2e-2)
    equal = sweep.compare_curves(run, SWEEP, margins, draw)
    # The weights that have this margin at norm 1, at every norm.
    weighted = margins[:, None, None] * np.array([pair.norms for pair in SWEEP.pairs])
    unlike = Balanced(SWEEP, SWEEP.train(run, weighted, draw), SWEEP.predict(weighted))
    time, later = common_time(margins)[:, None, None], common_time(weighted)
    steeper = np.log(later[..., 0] / SWEEP.speeds[:, 0]) @ exponent_weights(NORMS)

    run.row("margin at equal initial weights", unlike.compare())
    clock, exponent = "frequency x norm x time to margin 1, equal initial", "exponent of time in norm, equal initial"
    run.row(f"{clock} margins", equal.compare_clock(time))
    run.row(f"{clock} weights", unlike.compare_clock(later))
    run.must_fail("time of equal margins", unlike.compare_clock(time))
    run.row(f"{exponent} margins: -1", equal.compare_exponent(-1.0))
    run.must_fail("1/norm^1.01", equal.compare_exponent(-1.01))
    run.row(f"{exponent} weights", unlike.compare_exponent(steeper))
    shown = int(np.argsort(margins)[singles // 2])
    table = _random(run, singles, many) | {
        "margin": (("clock", "norm"), equal.margins[shown, :, :, 0]),
        "margin_predicted": (("clock",), equal.predicted[shown, :, 0, 0]),
        "clock_equal_margin": (("norm",), equal.clock[shown, :, 0]),
        "clock_equal_weights": (("norm",), unlike.clock[shown, :, 0]),
        "start_margin": ((), margins[shown]),
    }
    return _figure(run.save(xr.Dataset(table, coords={"norm": NORMS, "clock": sweep.CLOCK})))


def _random(run: Trial, singles: int, many: int) -> dict[str, Any]:
    """Compare random networks: initial weights shrunk with the root of the norm (equal margins), or left alone."""
    count = {"networks": many, "singles": singles}
    equal = crowd.Crowds.train(run, SWEEP, [Separated(STD / np.sqrt(norm)) for norm in NORMS], part=1, **count)
    weighted = crowd.Crowds.train(run, SWEEP, [Separated(STD)] * len(NORMS), part=11, **count)
    # At equal margins the distribution of the initialisation, times the root of the norm, is the same at every norm:
    # one sample for all.
    common = crowd.expect(run, 1.0, Separated(STD), many, far_seed(run.seed, 21))
    few, seeds = min(many, OTHERS), [far_seed(run.seed, 31 + at) for at in range(len(NORMS))]
    own = crowd.Crowd.stack(
        crowd.expect(run, float(norm), Separated(STD), few, seed) for norm, seed in zip(NORMS, seeds, strict=True)
    )
    run.row("margin of each of some random networks, deaths included", equal.compare())
    run.row("the same of random networks at equal initial weights", weighted.compare())
    statement = f"{many} random networks a norm, equal margins: exponent of time -1"
    exponent = run.row(statement, equal.compare_exponent(-1.0))
    run.row("their mean ln(frequency x norm x time to margin 1)", equal.compare_means(common))
    run.row("the same means at equal initial weights", weighted.compare_means(own))
    run.row(f"fraction of modes never learnt, 4^-{crowd.NEURONS} at every norm", equal.compare_deaths(common))
    run.note(
        "At equal weights the initial margin itself carries a factor norm: the time falls faster than 1/norm, and not"
        " as a power of it."
    )
    crowd.add_notes(run, "equal initial margins, norms 0.1 to 10", exponent, "whatever its norm")
    table: dict[str, Any] = {}
    for name, found, expected in (("margin", equal, common), ("weights", weighted, own)):
        predicted = np.broadcast_to(expected.mean, NORMS.shape)
        for end, values in (("", found.crowd.mean), ("_error", found.crowd.standard_error), ("_predicted", predicted)):
            table[f"random_equal_{name}{end}"] = (("norm",), values)
    return table


def _figure(data: xr.Dataset) -> Figure:
    titles = ("From equal margins: time as 1/norm", "All norms share one curve", "Random networks obey both formulas")
    made, panels = plot.figure(titles, width=4.6, height=4.2)
    times, _, left = panels
    speeds, fine = SWEEP.speeds[:, 0], np.geomspace(NORMS[0], NORMS[-1], 100)
    margin = float(data["start_margin"])
    for name, label, colour, marker, margins in (
        ("margin", "equal initial margins", plot.COLOURS[0], "o", np.full(len(fine), margin)),
        ("weights", "equal initial weights", plot.COLOURS[1], "s", margin * fine),
    ):
        style = {"color": colour, "fmt": marker}
        plot.points(times, NORMS, data[f"clock_equal_{name}"] / speeds, **style, label=label)
        plot.theory(times, fine, common_time(margins) / (0.5 * fine), color=colour)
        value, error = np.exp(data[f"random_equal_{name}"].values), data[f"random_equal_{name}_error"].values
        plot.points(left, NORMS, value, error=4 * error * value, **style, label=f"{label}, ±4 s.e.")
        plot.theory(left, NORMS, np.exp(data[f"random_equal_{name}_predicted"]), color=colour)
    for axes in (times, left):
        plot.theory(axes, [], [], color="0.3", label="theory")
    sweep.finish_panels(panels, SWEEP, data, [0.1, 1, 10])
    return made
