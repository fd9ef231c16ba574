"""Claim: a small fraction of wrong labels slows training, and makes it overfit sooner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import plot
from shoal.claims.claim import claim
from shoal.claims.hinge_mean_field.mislabelled import fit
from shoal.claims.shared.figures import standard_error
from shoal.claims.shared.limits import Limit, measure_sizes
from shoal.claims.shared.teacher import Condition, clock, nodes
from shoal.claims.trial import Trial
from shoal.theory.mean_field.mislabelled import MislabelledHinge
from shoal.verdicts.layout import Floats

FRACTIONS = (0.0, 0.01, 0.02, 0.05, 0.1)
QUICK = (0.0, 0.02, 0.1)
INPUTS, SAMPLES, NODES = 10, 2048, 128
"""Of the largest size."""
RATE, STEPS = 0.2, 320
TIMES = (1.6, 3.2, 6.4, 12.8, 20.8, 32.0, 44.8, 64.0)
"""Multiples of the coarsest rate of all sizes, 1.6."""
EARLY = 1
"""The number of the time at which all samples are still unsatisfied: x_c = 7. Gamma has only just begun."""
BEGUN = 0.99
"""Fraction of unsatisfied samples, with right labels, from which on it is compared: before, any theory has it right."""
NETWORKS = 4


def theory_of(fraction: float) -> MislabelledHinge:
    """Return the theory with a fraction of the labels flipped, for networks of the largest size."""
    return MislabelledHinge(_condition(False, fraction).theory, fraction)


@claim(
    "mislabelled",
    "A small fraction of wrong labels slows training, and makes it overfit sooner.",
    source="arXiv:2006.11209; theory book, chapter 7",
)
def mislabelled(run: Trial) -> Figure:
    """Compare gamma(t) at each fraction in the limit of large sizes, and small training sets fitted."""
    fractions = QUICK if run.quick else FRACTIONS
    datasets = run.networks(full=32, quick=12)
    gammas, unsatisfied, ratios, early = measure_limits(run, fractions, datasets)
    times, theories = np.asarray(TIMES), [theory_of(fraction) for fraction in fractions]
    angle, expected = (np.stack([getattr(one, name)(times) for one in theories]) for name in ("gamma", "unsatisfied"))
    begun = expected[0] < BEGUN
    small = fit.fitted(run, fractions, part=1 + 7 * datasets)
    run.row("gamma(t) at each fraction, over the theory's", gammas.compare(1.0))
    run.row(
        "fraction of unsatisfied samples at each fraction, once it has fallen",
        unsatisfied.at((slice(None), begun)).compare(expected[:, begun]),
    )
    run.row("gamma(t) over that with right labels on the same inputs", ratios.compare(angle[1:] / angle[0]))
    run.must_fail("no label is wrong", ratios.compare(1.0))
    run.must_fail("twice as many are wrong", ratios.compare(_twice(fractions[1:]) / angle[0]))
    run.row(
        "early gamma over that with right labels on the same inputs: 1 - 2q",
        early.compare([1 - 2 * fraction for fraction in fractions[1:]]),
    )
    fit.compare(run, small)
    sizes, most = _condition(run.quick, 0.0), theories[-1]
    run.note(
        "gamma' = [(1-q)(1 - exp(-x_c^2/2)) - q]/sqrt(2 pi d): derived for this project. With infinitely many samples"
        f" wrong labels are never fitted, and gamma comes to rest where x_c^2 = 2 ln((1-q)/(1-2q)): at {most.rest:.3f}"
        f" for q={most.flipped:g}."
    )
    run.note(
        f"Rows on gamma: d={INPUTS}, N={sizes.samples}, M={sizes.nodes} and a half and a quarter of both, at rates as"
        " much larger; compared is the limit of the three sizes."
    )
    run.note(
        f"Rows on training sets of N={fit.SAMPLES}, M={fit.NODES}: such a network fits wrong labels too, later and at"
        " the cost of its test error, which first falls and then rises. No theory is known: the rows ask for the"
        " direction. The time to training error 0 does not grow in step with q: one wrong label alone is fitted as"
        " slowly as several; times to a level of the loss do."
    )
    table = {
        "gamma": (("fraction", "time"), gammas.value * angle),
        "gamma_error": (("fraction", "time"), gammas.standard_error * angle),
        "gamma_predicted": (("fraction", "time"), angle),
        "gamma_rest": (("fraction",), [one.rest for one in theories]),
    }
    data = xr.Dataset(table, coords={"fraction": list(fractions), "time": times}).merge(small)
    return _figure(run.save(data))


def _twice(fractions: Sequence[float]) -> Floats:
    return np.stack([theory_of(2 * fraction).gamma(np.asarray(TIMES)) for fraction in fractions])


def _condition(quick: bool, fraction: float) -> Condition:
    shrink = 2 if quick else 1
    return Condition(SAMPLES // shrink, INPUTS, NODES // shrink, RATE * shrink, STEPS // shrink, flipped=fraction)


def measure_limits(run: Trial, fractions: Sequence[float], datasets: int) -> list[Limit]:
    """Return gamma over the theory's, unsatisfied fraction, and gamma over that with right labels, later and early.

    The same inputs and initialisations at each fraction, so that what single networks and datasets have of their own
    drops out of the ratios; (fractions, times) twice, (fractions - 1, times), (fractions - 1,).
    """
    predicted = np.stack([theory_of(fraction).gamma(TIMES) for fraction in fractions])

    def measure(condition: Condition, _: int, part: int) -> Sequence[Floats]:
        steps = np.rint(np.asarray((0.0, *TIMES)) / condition.rate).astype(np.int64)
        angles, unsatisfied = [], []
        for fraction in fractions:
            one = replace(condition, flipped=fraction)
            data = one.train(run, steps=steps, measure=("margin", "trajectory"), networks=NETWORKS, part=part)
            angles.append(clock(*nodes(data)).mean(axis=0)[1:])
            unsatisfied.append((data["margin"].values[:, 1:] < condition.threshold).mean(axis=(0, 2)))
        angle = np.stack(angles)
        ratio = angle[1:] / angle[0]
        return [angle / predicted, np.stack(unsatisfied), ratio, ratio[:, EARLY]]

    sizes = measure_sizes(run, _condition(run.quick, 0.0), datasets, measure, part=1)
    return [Limit.of(values) for values in sizes]


def _figure(data: xr.Dataset) -> Figure:
    titles = ("Many samples: the clock slows and stops", "Small training sets: slower")
    made, (turned, loss, error) = plot.figure((*titles, "Small training sets: overfitted sooner"))
    for colour, fraction in zip(plot.COLOURS, data["fraction"].values, strict=False):
        one, label, grid = data.sel(fraction=fraction), f"{fraction:.0%} wrong", np.linspace(0, TIMES[-1], 200)
        plot.theory(turned, grid, theory_of(float(fraction)).gamma(grid), color=colour, label=label)
        plot.points(turned, data["time"], one["gamma"], error=4 * one["gamma_error"], color=colour, zorder=5)
        if fraction > 0 and one["gamma_rest"] < 1.1 * data["gamma"].max():
            turned.axhline(float(one["gamma_rest"]), color=colour, ls=":", lw=1.3)
        for axes, name in ((loss, "fit_loss"), (error, "fit_test_error")):
            mean, bars = one[name].values.mean(axis=0), 4 * standard_error(one[name].values)
            axes.fill_between(data["fit_time"], mean - bars, mean + bars, color=colour, alpha=0.2, lw=0)
            axes.plot(data["fit_time"], mean, color=colour, lw=1.6, label=label)
    plot.points(turned, [], [], color="0.3", label="trained, ±4 s.e.")
    turned.plot([], [], color="0.3", ls=":", label="rest")
    turned.set(xlabel="time (step x rate)", ylabel=r"$\gamma$")
    loss.set(xlabel="time (step x rate)", ylabel="training loss", yscale="log", ylim=(1e-4, 1.5))
    error.set(xlabel="time (step x rate)", ylabel="test error (right labels)", ylim=(0, 0.3))
    plot.legend(turned, loc="lower right")
    for axes in (loss, error):
        plot.legend(axes, title="mean ±4 s.e., datasets", ncols=2, fontsize=9.5, title_fontsize=9.5, loc="upper right")
    return made
