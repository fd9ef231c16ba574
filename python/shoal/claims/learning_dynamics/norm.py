"""Claim: the longer an input, the sooner it is learnt; at equal initial margins exactly as 1/norm."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import Separated, plot
from shoal.claims.claim import claim
from shoal.claims.shared import crowd
from shoal.claims.shared.crowd import Crowds, compare_deaths, compare_exponent, compare_means
from shoal.claims.shared.flows import TOLERANCE, exponent_weights
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

NORMS: Floats = np.geomspace(0.1, 10, 9)
SWEEP = Sweep("norm", NORMS, tuple(Pair((float(norm), 1.0), (0.5, 0.5)) for norm in NORMS))

SCALE = 0.05
"""Of the weights of random networks: the same at every norm, or divided by its root for equal initial margins."""

OTHERS = 4_000
"""Random initialisations a norm, at most, from which theory's mean at equal weights is taken; its error counts."""


@claim(
    "norm",
    "The longer an input, the sooner it is learnt: from equal margins in a time as 1/norm, over two decades.",
    source="arXiv:1809.06848; docs/theory.md sections 1 and 3",
)
def norm(run: Trial) -> Figure:
    """Compare balanced networks one by one, then random ones, at equal margins and at equal weights."""
    many = run.networks(full=10_000, quick=1_000)
    singles = min(many, 8 if run.quick else 32)
    table = _balanced(singles, run) | _random(singles, many, run)
    data = run.save(xr.Dataset(table, coords={"norm": NORMS, "clock": CLOCK}))
    slope, error = (float(data[f"exponent_{name}"]) for name in ("random", "random_error"))
    run.note(
        "At equal weights the initial margin itself carries a factor norm: the time falls faster than 1/norm, and not"
        " as a power of it."
    )
    run.note(
        f"Random networks, equal initial margins, norms 0.1 to 10: exponent {slope:.4f} +- {error:.4f} (one s.e.)."
    )
    run.note(
        f"Means of random networks are over those that arrive; {crowd.NEURONS} neurons serve a mode, and a mode whose"
        " neurons all die is never learnt, whatever its norm."
    )
    run.note("Orthogonal inputs and separated initialisations: overlapping classes are not covered.")
    return _figure(data)


def _balanced(singles: int, run: Trial) -> Table:
    """Networks whose margins theory knows in closed form, at equal initial margins and at equal weights."""
    draw = np.random.default_rng(run.seed)
    margins = start_margins(singles, draw, 1e-3, 2e-2)
    equal = np.broadcast_to(margins[:, None, None], (singles, len(NORMS), 2))
    # The weights that have this margin at norm 1, at every norm.
    weighted = margins[:, None, None] * np.array([pair.norms for pair in SWEEP.pairs])
    curves = {loss: SWEEP.train(equal, draw, run.setting, loss) for loss in ("cross_entropy", "hinge")}
    unlike = SWEEP.train(weighted, draw, run.setting)
    run.say(f"predicting {singles} balanced networks")
    laws = {loss: common_curve(margins, loss) for loss in curves}
    expected, later = SWEEP.predict(weighted), common_time(weighted)
    arrivals, others = Arrivals.of(curves["cross_entropy"], laws["cross_entropy"]), Arrivals.of(unlike, expected)
    steeper = np.log(later[..., 0] / SWEEP.speeds[:, 0]) @ exponent_weights(NORMS)
    one_curve = "margin against frequency x norm x time: one curve"
    run.compare_flow(one_curve, curves["cross_entropy"], laws["cross_entropy"], TOLERANCE)
    run.compare_flow("the same under the hinge loss", curves["hinge"], laws["hinge"], TOLERANCE)
    run.compare_flow("margin at equal initial weights", unlike, expected, TOLERANCE)
    clock, exponent = "frequency x norm x time to margin 1, equal initial", "exponent of time in norm, equal initial"
    run.row(f"{clock} margins", arrivals.compare(common_time(margins)[:, None, None]))
    run.row(f"{clock} weights", others.compare(later))
    run.row(f"{exponent} margins: -1", arrivals.compare_exponent(SWEEP, -1.0))
    run.row(f"{exponent} weights", others.compare_exponent(SWEEP, steeper))
    shown = int(np.argsort(margins)[singles // 2])
    return {
        "margin": (("clock", "norm"), curves["cross_entropy"][shown, :, :, 0]),
        "margin_predicted": (("clock",), laws["cross_entropy"][shown, :, 0, 0]),
        "clock_equal_margin": (("norm",), arrivals.clock[shown, :, 0]),
        "clock_equal_weights": (("norm",), others.clock[shown, :, 0]),
        "start_margin": ((), margins[shown]),
    }


def _random(singles: int, many: int, run: Trial) -> Table:
    """Random networks: their initial weights shrunk with the root of the norm (equal margins), or left alone."""
    shrunk, same = [Separated(SCALE / np.sqrt(norm)) for norm in NORMS], [Separated(SCALE) for _ in NORMS]
    equal = Crowds.train(SWEEP, shrunk, many, singles, run.setting, part=1)
    weighted = Crowds.train(SWEEP, same, many, singles, run.setting, part=11)
    # At equal margins the distribution of the initialisation, times the root of the norm, is the same at every norm:
    # one sample for all.
    common = crowd.expect(1.0, Separated(SCALE), many, run.setting, far_seed(run.seed, 21))
    own = [
        crowd.expect(float(norm), Separated(SCALE), min(many, OTHERS), run.setting, far_seed(run.seed, 31 + at))
        for at, norm in enumerate(NORMS)
    ]
    exponent = compare_exponent(equal.crowds, NORMS, SWEEP.speeds[:, 0], -1.0)
    means = compare_means(equal.crowds, [common] * len(NORMS))
    deaths = compare_deaths(equal.crowds, [common])
    run.row("margin of each of some random networks, deaths included", equal.compare())
    run.row("the same of random networks at equal initial weights", weighted.compare())
    run.row(f"{many} random networks a norm, equal margins: exponent of time -1", exponent)
    run.row("their mean ln(frequency x norm x time to margin 1)", means)
    run.row("the same means at equal initial weights", compare_means(weighted.crowds, own))
    run.row(f"fraction of modes never learnt, 4^-{crowd.NEURONS} at every norm", deaths)
    return {
        "random_equal_margin": (("norm",), equal.means),
        "random_equal_margin_error": (("norm",), equal.errors),
        "random_equal_margin_predicted": (("norm",), np.full(len(NORMS), common.mean)),
        "random_equal_weights": (("norm",), weighted.means),
        "random_equal_weights_error": (("norm",), weighted.errors),
        "random_equal_weights_predicted": (("norm",), np.array([crowd.mean for crowd in own])),
        "exponent_random": ((), exponent.measured),
        "exponent_random_error": ((), exponent.standard_error),
    }


def _figure(data: xr.Dataset) -> Figure:
    """Draw times against the norm, the common curve, and what is left when the formula is divided out."""
    made, (times, collapse, left) = plot.figure(
        ("Time to margin 1", "Equal initial margins: one curve", "Random networks, geometric mean")
    )
    speeds, fine = SWEEP.speeds[:, 0], np.geomspace(NORMS[0], NORMS[-1], 100)
    margin = float(data["start_margin"])
    for name, colour, starts in (
        ("margin", plot.COLOURS[0], np.full(len(fine), margin)),
        ("weights", plot.COLOURS[1], margin * fine),
    ):
        label = f"equal initial {name}" + ("s" if name == "margin" else "")
        plot.points(times, NORMS, data[f"clock_equal_{name}"] / speeds, color=colour, label=label)
        plot.theory(times, fine, common_time(starts) / (0.5 * fine), color=colour)
        means, errors = data[f"random_equal_{name}"].values, data[f"random_equal_{name}_error"].values
        value = np.exp(means)
        plot.points(left, NORMS, value, error=4 * errors * value, color=colour, label=f"{label}, ±4 s.e.")
        plot.theory(left, NORMS, np.exp(data[f"random_equal_{name}_predicted"]), color=colour)
    for axes in (times, left):
        plot.theory(axes, [], [], color="0.3", label="theory")
        axes.set(xscale="log", xlabel="norm of the input")
        axes.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    times.set(yscale="log", ylabel="time")
    left.set(ylabel="frequency x norm x time to margin 1")
    collapse_panel(collapse, SWEEP, data["margin"].values, data["margin_predicted"].values)
    for axes in (times, collapse, left):
        plot.legend(axes)
    return made
