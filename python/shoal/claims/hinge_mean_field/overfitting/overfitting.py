"""Claim: on a finite training set the training error goes to 0 while the test error comes to rest above it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from shoal.claims.claim import claim
from shoal.claims.hinge_mean_field.overfitting.picture import picture
from shoal.claims.outcome import Row, Setting
from shoal.claims.shared.limits import FACTORS, Limit, measure_sizes, smaller
from shoal.claims.shared.teacher import Condition, over_datasets, spread_steps
from shoal.claims.shared.trend import rank_trend
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
NODES, NETWORKS = 48, 4
SAMPLES, RATE, STEPS = (60, 200, 600, 2000, 6000), 1.0, 800
QUICK_SAMPLES, QUICK_RATE, QUICK_STEPS = (20, 200, 2000), 2.0, 200
"""Two decades, trained to the end."""
FITTED = 300
"""Training sets of up to so many samples are fitted by then."""


def early_error(condition: Condition, times: ArrayLike) -> Floats:
    """Return the generalisation error of M nodes on N samples while all of them are unsatisfied, as the times.

    The mean-field formula with the noise of the samples beside that of the nodes: s^2 = s_M^2 + s_N^2.
    """
    law = condition.theory
    when = np.asarray(times, np.float64)
    drawn = sample_spread(law.gamma(when), condition.inputs, condition.samples)
    spread = np.sqrt(law.spread(when) ** 2 + drawn**2)
    return misclassified(condition.inputs, spread.ravel()).reshape(spread.shape)


@claim(
    "overfitting",
    "With finitely many samples the training error goes to 0 while the test error comes to rest above it.",
    source="arXiv:2006.11209; docs/theory.md section 7",
)
def overfitting(run: Trial) -> Figure:
    """Compare the early error against the formula with finite N, and where it ends."""
    early_sets = run.networks(full=768, quick=192)
    early = _early(early_sets, run.setting)
    samples = QUICK_SAMPLES if run.quick else SAMPLES
    rate, steps = (QUICK_RATE, QUICK_STEPS) if run.quick else (RATE, STEPS)
    trained = [Condition(count, INPUTS, NODES, rate, steps, test_samples=2000) for count in samples]
    late = _late(trained, 20 if run.quick else 24, run.setting, part=1 + 7 * early_sets)
    run.row("early test error over the formula of finite M and N", early.compare(1.0))
    run.rows += _rows(late)
    data = late.merge(
        xr.Dataset(
            {
                "early_ratio": ("early_time", early.value),
                "early_ratio_error": ("early_time", early.standard_error),
                "early_law": ("early_time", early_error(EARLY, TIMES)),
            },
            coords={"early_time": list(TIMES)},
        )
    )
    run.notes += _notes(data)
    run.save(data)
    return picture(data, _curves(trained))


def _early(datasets: int, setting: Setting) -> Limit:
    """Return the test error at `TIMES` over the formula of its own N and M, in the limit of large sizes, (times,)."""
    laws = {factor: early_error(smaller(EARLY, factor), TIMES) for factor in FACTORS}

    def measure(condition: Condition, factor: int, part: int) -> Sequence[Floats]:
        steps = np.rint(np.asarray(TIMES) / condition.rate).astype(np.int64)
        data = condition.train(setting, steps=steps, measure=("test_error",), networks=NETWORKS, part=part)
        return [data["test_error"].values.mean(axis=0) / laws[factor]]

    (ratio,) = measure_sizes(EARLY, setting, datasets, measure, part=1)
    return Limit.of(ratio)


def _late(trained: Sequence[Condition], datasets: int, setting: Setting, part: int) -> xr.Dataset:
    """Return training and test errors (samples, dataset, time), each the mean over the networks of a dataset."""
    steps, rate = trained[0].steps, trained[0].rate
    when = np.unique(np.concatenate([spread_steps(steps, 22), [steps // 2]]))
    found = []
    for number, condition in enumerate(trained):
        setting.say(f"{datasets} datasets of {condition.samples} samples, {steps} steps")

        def one(dataset: int, condition: Condition = condition, first: int = part + number * datasets) -> list[Floats]:
            names = ("error", "test_error")
            data = condition.train(setting, steps=when, measure=names, networks=NETWORKS, part=first + dataset)
            return [np.asarray(data[name].values.mean(axis=0)) for name in names]

        found.append(over_datasets(datasets, one, setting.threads))
    train, test = (np.stack(values) for values in zip(*found, strict=True))
    dimensions = ("samples", "dataset", "time")
    return xr.Dataset(
        {"train_error": (dimensions, train), "test_error": (dimensions, test)},
        coords={"samples": [one.samples for one in trained], "time": when * rate},
    )


def _rows(late: xr.Dataset) -> list[Row]:
    """Return the rows of trained-out networks: no theory is known, so they ask for directions, in every dataset."""
    train, test = late["train_error"].values, late["test_error"].values
    half = int(np.searchsorted(late["time"].values, late["time"].values[-1] / 2))
    gap = test[:, :, -1] - train[:, :, -1]
    change = np.abs(test[:, :, -1] - test[:, :, half])
    count = late.sizes["dataset"]
    sizes = late["samples"].values
    fitted = sizes <= FITTED
    questions = [
        (f"training error 0 in the end, N <= {FITTED}", (train[fitted, :, -1] == 0).all(axis=0)),
        ("test error above training error in the end, at every N", (gap > 0).all(axis=0)),
        (
            f"test error at rest, N <= {FITTED}: after half of the time it changes by less than a quarter of that gap",
            (4 * change < gap)[fitted].all(axis=0),
        ),
        ("gap between test and training error falls with N (Kendall's tau)", rank_trend(gap) < 0),
    ]
    questions += [
        (f"smaller test error in the end at N={after} than at N={before}", test[k + 1, :, -1] < test[k, :, -1])
        for k, (before, after) in enumerate(pairwise(sizes))
    ]
    return [Row(f"datasets: {words} (> 1/2)", compare_majority(int(hits.sum()), count)) for words, hits in questions]


def _curves(trained: Sequence[Condition]) -> xr.Dataset:
    """Return the formulas to draw: the early error at each N, and the mean-field error of infinitely many samples."""
    times = np.geomspace(trained[0].rate, trained[0].until, 120)
    return xr.Dataset(
        {
            "law": (("samples", "time"), np.stack([early_error(one, times) for one in trained])),
            "mean_field": ("time", trained[0].theory.error(times)),
            "unsatisfied": ("time", trained[0].theory.unsatisfied(times)),
        },
        coords={"samples": [one.samples for one in trained], "time": times},
    )


def _notes(data: xr.Dataset) -> tuple[str, ...]:
    """Say what is known, what was measured, and what neither shows."""
    ends = data["test_error"].values[:, :, -1]
    sizes = data["samples"].values
    means, errors = ends.mean(axis=1), ends.std(axis=1, ddof=1) / np.sqrt(ends.shape[1])
    told = "; ".join(
        f"N={count}: {mean:.4f} +- {error:.4f}, training {train:.4f}"
        for count, mean, error, train in zip(
            sizes, means, errors, data["train_error"].values[:, :, -1].mean(axis=1), strict=True
        )
    )
    slopes = np.diff(np.log(means)) / np.diff(np.log(sizes))
    return (
        "While all samples are unsatisfied the draw of N samples tilts the boundary as the draw of M nodes does:"
        " s^2 = s_M^2 + s_N^2, with s_N of the tangent kernel (derived for this project). At sizes N="
        f"{EARLY.samples}, M={EARLY.nodes}, a half and a quarter of both; compared is the limit of measured over"
        " formula.",
        f"In the end (mean over datasets, standard error): {told}. Local exponents in N:"
        f" {', '.join(f'{slope:.2f}' for slope in slopes)}. No theory is known for these errors.",
        "The largest training sets are not fitted yet when training stops: what is left of their training error is"
        " given above. Under the hinge a network that has satisfied all samples stops for good.",
    )
