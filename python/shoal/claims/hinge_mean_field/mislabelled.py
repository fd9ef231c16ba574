"""Claim: a small fraction of wrong labels slows training, and makes it overfit sooner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import claim, plot
from shoal.claims.shared.figures import TIME, legends, standard_error
from shoal.claims.shared.limits import NETWORKS, Limit, Measured, measure_limits, measure_means, smaller
from shoal.claims.shared.runs import rank_trend
from shoal.claims.shared.teacher import Condition, clock, crossing, nodes
from shoal.claims.trial import Trial
from shoal.theory.mean_field.mislabelled import MislabelledHinge
from shoal.verdicts.layout import Floats
from shoal.verdicts.proportion import compare_majority

FRACTIONS = (0.0, 0.01, 0.02, 0.05, 0.1)
QUICK = (0.0, 0.02, 0.1)
LARGEST = Condition(samples=2048, inputs=10, nodes=128, rate=0.2, steps=320)
"""Of the sizes whose limit is compared with theory."""
TIMES = (1.6, 3.2, 6.4, 12.8, 20.8, 32.0, 44.8, 64.0)
"""Multiples of the coarsest rate of all sizes, 1.6."""
EARLY = 1
"""The number of the time at which all samples are still unsatisfied: x_c = 7. Gamma has only just begun."""
BEGUN = 0.99
"""Fraction of unsatisfied samples, with right labels, from which on it is compared: before, any theory has it right."""
SMALL = Condition(samples=200, inputs=10, nodes=48, rate=1.5, steps=600, test_samples=1000)
"""A network that fits its training set in the end, wrong labels too. No theory is known: rows ask for directions."""
EVERY = 5
"""Steps between its records."""
LEVEL = 0.1
"""Of the training loss: the time to reach it counts as the pace of training."""
SOON = (60.0, 240.0)
"""Times between which the test error rises the more, the more labels are wrong; with right labels it hardly changes."""
MEASURES = {"loss": "fit_loss", "error": "fit_train_error", "test_error": "fit_test_error"}


@claim(
    "mislabelled",
    "A small fraction of wrong labels slows training, and makes it overfit sooner.",
    source="arXiv:2006.11209; theory book, chapter 7",
)
def mislabelled(run: Trial) -> Figure:
    """Compare gamma(t) at each fraction in the limit of large sizes, and small training sets fitted."""
    fractions = QUICK if run.quick else FRACTIONS
    datasets = run.networks(full=32, quick=12)
    limits = measure(run, fractions, datasets)
    theories = [theory_of(fraction) for fraction in fractions]
    angle, expected = (np.stack([getattr(one, name)(TIMES) for one in theories]) for name in ("gamma", "unsatisfied"))
    small = fitted(run, fractions, part=1 + 7 * datasets)
    run.row("gamma(t) at each fraction, over the theory's", limits["gamma"].compare(1.0))
    begun = expected[0] < BEGUN
    run.row(
        "fraction of unsatisfied samples at each fraction, once it has fallen",
        limits["unsatisfied"].at((slice(None), begun)).compare(expected[:, begun]),
    )
    twice = np.stack([theory_of(2 * fraction).gamma(TIMES) for fraction in fractions[1:]])
    run.row("gamma(t) over that with right labels on the same inputs", limits["ratio"].compare(angle[1:] / angle[0]))
    run.must_fail("no label is wrong", limits["ratio"].compare(1.0))
    run.must_fail("twice as many are wrong", limits["ratio"].compare(twice / angle[0]))
    run.row(
        "early gamma over that with right labels on the same inputs: 1 - 2q",
        limits["early"].compare([1 - 2 * fraction for fraction in fractions[1:]]),
    )
    compare_fitted(run, small)
    sizes, most = condition_of(run.quick, 0.0), theories[-1]
    run.note(
        "gamma' = [(1-q)(1 - exp(-x_c^2/2)) - q]/sqrt(2 pi d): derived for this project. With infinitely many samples"
        f" wrong labels are never fitted, and gamma comes to rest where x_c^2 = 2 ln((1-q)/(1-2q)): at {most.rest:.3f}"
        f" for q={most.flipped:g}.",
        f"Rows on gamma: d={sizes.inputs}, N={sizes.samples}, M={sizes.nodes} and a half and a quarter of both, at"
        " rates as much larger; compared is the limit of the three sizes.",
        f"Rows on training sets of N={SMALL.samples}, M={SMALL.nodes}: such a network fits wrong labels too, later and"
        " at the cost of its test error, which first falls and then rises. No theory is known: the rows ask for the"
        " direction. The time to training error 0 does not grow in step with q: one wrong label alone is fitted as"
        " slowly as several; times to a level of the loss do.",
    )
    table = {
        "gamma": (("fraction", "time"), limits["gamma"].value * angle),
        "gamma_error": (("fraction", "time"), limits["gamma"].standard_error * angle),
        "gamma_predicted": (("fraction", "time"), angle),
        "gamma_rest": (("fraction",), [one.rest for one in theories]),
    }
    return _figure(run.save(xr.Dataset(table, coords={"fraction": list(fractions), "time": list(TIMES)}).merge(small)))


def theory_of(fraction: float) -> MislabelledHinge:
    """Return the theory with a fraction of the labels flipped, for networks of the largest size."""
    return MislabelledHinge(condition_of(False, fraction).theory, fraction)


def condition_of(quick: bool, fraction: float) -> Condition:
    """Return the training of the largest size with a fraction of the labels flipped."""
    return replace(smaller(LARGEST, 2 if quick else 1), flipped=fraction)


def measure(run: Trial, fractions: Sequence[float], datasets: int) -> dict[str, Limit]:
    """Return limits, of the same inputs and initialisations at each fraction, so that their own noise leaves ratios.

    ``gamma`` (fractions, times): over the theory's. ``unsatisfied`` (fractions, times). ``ratio`` (fractions - 1,
    times): gamma over that with right labels. ``early`` (fractions - 1,): the same at an early time.
    """
    predicted = np.stack([theory_of(fraction).gamma(TIMES) for fraction in fractions])

    def one(condition: Condition, _: int, part: int) -> Measured:
        steps = np.rint(np.asarray((0.0, *TIMES)) / condition.rate).astype(np.int64)
        angles, unsatisfied = [], []
        for fraction in fractions:
            flipped = replace(condition, flipped=fraction)
            data = flipped.train(run, steps=steps, measure=("margin", "trajectory"), networks=NETWORKS, part=part)
            angles.append(clock(*nodes(data)).mean(axis=0)[1:])
            unsatisfied.append((data["margin"].values[:, 1:] < condition.threshold).mean(axis=(0, 2)))
        angle: Floats = np.stack(angles)
        ratio = angle[1:] / angle[0]
        found = {"gamma": angle / predicted, "unsatisfied": np.stack(unsatisfied)}
        return found | {"ratio": ratio, "early": ratio[:, EARLY]}

    return measure_limits(run, condition_of(run.quick, 0.0), datasets, one, first=1)


def fitted(run: Trial, fractions: Sequence[float], part: int) -> xr.Dataset:
    """Return losses and errors of 20 or 40 small training sets, the same data and initialisations at each fraction.

    Each of `MEASURES` (fraction, dataset, fit_time), the mean over the networks of a dataset; from `part` on.
    """
    datasets, steps = (20 if run.quick else 40), np.arange(0, SMALL.steps + 1, EVERY)
    conditions = [replace(SMALL, flipped=fraction) for fraction in fractions]
    parts = [part] * len(conditions)
    found = measure_means(run, conditions, parts, datasets, steps=steps, measure=tuple(MEASURES))
    table = {MEASURES[name]: (("fraction", "dataset", "fit_time"), column) for name, column in found.items()}
    return xr.Dataset(table, coords={"fraction": list(fractions), "fit_time": steps * SMALL.rate})


def compare_fitted(run: Trial, data: xr.Dataset) -> None:
    """Compare directions: the more labels are wrong, the slower, and the sooner and the more overfitted."""
    loss, train, test = (data[name].values for name in MEASURES.values())
    times, most = data["fit_time"].values, float(data["fraction"][-1])
    pace = np.array([[crossing(times, series, LEVEL) for series in part] for part in loss])
    done = np.where(train <= 0, times, np.inf).min(axis=2)
    soon = np.diff(test[:, :, np.searchsorted(times, SOON)], axis=2)[:, :, 0]
    rise = test[:, :, -1] - test.min(axis=2)
    for words, hits in (
        (f"time until the loss is {LEVEL:g} grows with the fraction", rank_trend(pace) > 0),
        ("training error 0 comes later with each fraction than without", (done[1:] > done[0]).all(axis=0)),
        (
            f"the test error rises more from time {SOON[0]:g} to {SOON[1]:g}, the larger the fraction",
            rank_trend(soon) > 0,
        ),
        (f"more than half of the wrong labels are fitted in the end, at {most:.0%}", train[-1, :, -1] < most / 2),
        ("the test error rises more from its best to the end, the larger the fraction", rank_trend(rise) > 0),
        ("the test error at the end grows with the fraction", rank_trend(test[:, :, -1]) > 0),
    ):
        run.row(f"datasets in which {words} (> 1/2)", compare_majority(int(hits.sum()), data.sizes["dataset"]))


def _figure(data: xr.Dataset) -> Figure:
    titles = ("Wrong labels slow the clock", "Small sets are fitted later", "Small sets overfit sooner")
    made, (turned, loss, error) = plot.figure(titles, width=4.3, height=4.0)
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
    turned.set(xlabel=TIME, ylabel=r"angle $\gamma$")
    loss.axhline(LEVEL, color="0.5", ls=":", lw=1.3, label="level compared")
    loss.set(xlabel=TIME, ylabel="training loss, ±4 s.e.", yscale="log", ylim=(1e-2, 1.5))
    error.set(xlabel=TIME, ylabel="test error, right labels, ±4 s.e.", ylim=(0, 0.36))
    legends((turned, loss))
    plot.legend(error, ncols=2, loc="upper right")
    return made
