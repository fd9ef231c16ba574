"""Claim: on a finite training set the training error goes to 0 while the test error comes to rest above it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from shoal import claim, plot
from shoal.claims.shared.figures import TIME, draw_mean, legends, standard_error
from shoal.claims.shared.limits import FACTORS, NETWORKS, Limit, Measured, measure_limits, measure_means, smaller
from shoal.claims.shared.runs import rank_trend
from shoal.claims.shared.teacher import Condition, spread_steps
from shoal.claims.trial import Trial
from shoal.theory.mean_field.error import misclassified
from shoal.theory.mean_field.finite_samples import sample_spread
from shoal.verdicts.layout import Floats
from shoal.verdicts.proportion import compare_majority

INPUTS = 10
EARLY = Condition(320, INPUTS, 256, rate=0.4, steps=16, test_samples=2000)
"""Of the largest size, trained while all samples are unsatisfied."""
TIMES = (1.6, 3.2, 4.8, 6.4)
"""Until x_c = 2.7: 99 samples in 100 are still unsatisfied."""
NODES = 48
SAMPLES, RATE, STEPS = (60, 200, 600, 2000, 6000), 1.0, 800
QUICK_SAMPLES, QUICK_RATE, QUICK_STEPS = (20, 200, 2000), 2.0, 200
"""Two decades, trained to the end."""
FITTED = 300
"""Training sets of up to so many samples are fitted by then."""
SHOWN, LEAST = 0.9, 1e-3
"""The early formula is drawn while so large a fraction is unsatisfied, and training errors above so small a number."""


def early_error(condition: Condition, times: ArrayLike) -> Floats:
    """Return the generalisation error of M nodes on N samples while all of them are unsatisfied, as the times.

    The mean-field formula with the noise of the samples beside that of the nodes: s^2 = s_M^2 + s_N^2.
    """
    clean, when = condition.theory, np.asarray(times, np.float64)
    drawn = sample_spread(clean.gamma(when), condition.inputs, condition.samples)
    spread = np.sqrt(clean.spread(when) ** 2 + drawn**2)
    return misclassified(condition.inputs, spread.ravel()).reshape(spread.shape)


@claim(
    "overfitting",
    "With finitely many samples the training error goes to 0 while the test error comes to rest above it.",
    source="arXiv:2006.11209; theory book, chapter 7",
)
def overfitting(run: Trial) -> Figure:
    """Compare the early error against the formula with finite N, and where it ends."""
    early_sets = run.networks(full=768, quick=192)
    early = measure_early(run, early_sets)
    samples, rate, steps = (QUICK_SAMPLES, QUICK_RATE, QUICK_STEPS) if run.quick else (SAMPLES, RATE, STEPS)
    trained = [Condition(count, INPUTS, NODES, rate, steps, test_samples=2000) for count in samples]
    late = train_late(run, trained, 20 if run.quick else 24, part=1 + 7 * early_sets)
    formula = early_error(EARLY, TIMES)
    run.row("early test error over the formula of finite M and N", early.compare(1.0))
    run.must_fail("infinitely many samples", early.compare(EARLY.theory.error(TIMES) / formula))
    compare_late(run, late)
    _add_notes(run, late)
    columns = {"early_ratio": early.value, "early_ratio_error": early.standard_error, "early_law": formula}
    table = {name: ("early_time", values) for name, values in columns.items()}
    data = run.save(late.merge(xr.Dataset(table, coords={"early_time": list(TIMES)})))
    return _figure(data, trained)


def measure_early(run: Trial, datasets: int) -> Limit:
    """Return the test error at `TIMES` over the formula of its own N and M, in the limit of large sizes, (times,)."""
    formulas = {factor: early_error(smaller(EARLY, factor), TIMES) for factor in FACTORS}

    def measure(condition: Condition, factor: int, part: int) -> Measured:
        steps = np.rint(np.asarray(TIMES) / condition.rate).astype(np.int64)
        data = condition.train(run, steps=steps, measure=("test_error",), networks=NETWORKS, part=part)
        return {"ratio": data["test_error"].values.mean(axis=0) / formulas[factor]}

    return measure_limits(run, EARLY, datasets, measure, first=1)["ratio"]


def train_late(run: Trial, trained: Sequence[Condition], datasets: int, part: int) -> xr.Dataset:
    """Return training and test errors (samples, dataset, time), each the mean over the networks of a dataset."""
    steps, rate = trained[0].steps, trained[0].rate
    when = np.unique(np.concatenate([spread_steps(steps, 22), [steps // 2]]))
    parts = [part + number * datasets for number in range(len(trained))]
    found = measure_means(run, trained, parts, datasets, steps=when, measure=("error", "test_error"))
    dims = ("samples", "dataset", "time")
    return xr.Dataset(
        {"train_error": (dims, found["error"]), "test_error": (dims, found["test_error"])},
        coords={"samples": [one.samples for one in trained], "time": when * rate},
    )


def compare_late(run: Trial, late: xr.Dataset) -> None:
    """Compare trained-out networks: no theory is known, so rows ask for directions, in every dataset."""
    times, sizes = late["time"].values, late["samples"].values
    half, fitted = int(np.searchsorted(times, times[-1] / 2)), sizes <= FITTED
    train, test = late["train_error"].values[:, :, -1], late["test_error"].values[:, :, -1]
    gap, change = test - train, np.abs(test - late["test_error"].values[:, :, half])
    for words, hits in (
        (f"training error 0 in the end, N <= {FITTED}", (train[fitted] == 0).all(axis=0)),
        ("test error above training error in the end, at every N", (gap > 0).all(axis=0)),
        (
            f"test error at rest, N <= {FITTED}: after half of the time it changes by less than a quarter of that gap",
            (4 * change < gap)[fitted].all(axis=0),
        ),
        ("gap between test and training error falls with N (Kendall's tau)", rank_trend(gap) < 0),
        *(
            (f"smaller test error in the end at N={after} than at N={before}", test[k + 1] < test[k])
            for k, (before, after) in enumerate(pairwise(sizes))
        ),
    ):
        run.row(f"datasets: {words} (> 1/2)", compare_majority(int(hits.sum()), late.sizes["dataset"]))


def _add_notes(run: Trial, late: xr.Dataset) -> None:
    ends, sizes = late["test_error"].values[:, :, -1].T, late["samples"].values
    means, train = ends.mean(axis=0), late["train_error"].values[:, :, -1].mean(axis=1)
    measured = "; ".join(
        f"N={count}: {mean:.4f} +- {error:.4f}, training {left:.4f}"
        for count, mean, error, left in zip(sizes, means, standard_error(ends), train, strict=True)
    )
    slopes = ", ".join(f"{slope:.2f}" for slope in np.diff(np.log(means)) / np.diff(np.log(sizes)))
    run.note(
        "While all samples are unsatisfied the draw of N samples tilts the boundary as the draw of M nodes does:"
        " s^2 = s_M^2 + s_N^2, with s_N of the tangent kernel (derived for this project). At sizes N="
        f"{EARLY.samples}, M={EARLY.nodes}, a half and a quarter of both; compared is the limit of measured over"
        " formula.",
        f"In the end (mean over datasets, standard error): {measured}. Local exponents in N: {slopes}. No theory is"
        " known for these errors.",
        "The largest training sets are not fitted yet when training stops: what is left of their training error is"
        " given above. Under the hinge a network that has satisfied all samples stops for good.",
    )


def _figure(data: xr.Dataset, trained: Sequence[Condition]) -> Figure:
    titles = ("The test error comes to rest", "More samples, smaller error", "At first the formula holds")
    made, (course, end, early) = plot.figure(titles, width=4.3, height=4.4)
    times, sizes = data["time"].values[1:], data["samples"].values
    clean, line = trained[0].theory, np.geomspace(trained[0].rate, trained[0].until, 120)
    seen = line[clean.unsatisfied(line) > SHOWN]
    for colour, condition in zip(plot.COLOURS, trained, strict=False):
        one = data.isel(time=slice(1, None)).sel(samples=condition.samples)
        train = one["train_error"].values.mean(axis=0)
        style = {"color": colour, "ms": 4, "lw": 1, "label": f"N = {condition.samples:,}"}
        draw_mean(course, times[1::2], one["test_error"].values[:, 1::2], **style)
        course.plot(times, np.where(train > LEAST, train, np.nan), color=colour, ls=":", lw=1.8)
        plot.theory(course, seen, early_error(condition, seen), color=colour)
    course.plot(line, clean.error(line), color="0.45", ls="--", lw=1.5, label="theory, infinite N")
    plot.theory(course, [], [], color="0.3", label="early formula")
    course.plot([], [], color="0.3", ls=":", lw=1.8, label="training error")
    course.set(xscale="log", xlabel=TIME, yscale="log", ylabel="error, ±4 s.e.", ylim=(LEAST / 1000, 0.6))
    for name, words, colour, marker in (
        ("test_error", "test", plot.COLOURS[0], "o"),
        ("train_error", "training", plot.COLOURS[1], "s"),
    ):
        draw_mean(end, sizes, data[name].values[:, :, -1].T, color=colour, fmt=f"{marker}-", lw=1, label=words)
    end.set(xscale="log", xlabel="training samples N", ylabel="error at the end, ±4 s.e.", ylim=(-0.005, None))
    plot.theory(early, [0, data["early_time"].values[-1] * 1.05], [1, 1], color="0.3", label="theory")
    ratio, error = data["early_ratio"], 4 * data["early_ratio_error"]
    plot.points(early, data["early_time"], ratio, error=error, color=plot.COLOURS[2], zorder=5, label="trained")
    early.set(xlabel=TIME, ylabel="test error / formula, ±4 s.e.", ylim=(0.5, 1.5))
    legends((course, end, early))
    return made
