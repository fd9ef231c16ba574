"""Part of `mislabelled`: small training sets, whose wrong labels a network fits in the end.

No theory is known for networks that fit a finite training set: the rows ask for directions.

Source: arXiv:2006.11209; theory book, chapter 7.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from shoal.claims.shared.limits import measure_means
from shoal.claims.shared.teacher import Condition, crossing
from shoal.claims.shared.trend import rank_trend
from shoal.claims.trial import Trial
from shoal.verdicts.proportion import compare_majority

SAMPLES, INPUTS, NODES = 200, 10, 48
RATE, STEPS, EVERY = 1.5, 600, 5
LEVEL = 0.1
"""Of the training loss: the time to reach it counts as the pace of training."""
SOON = (60.0, 240.0)
"""Times between which the test error rises the more, the more labels are wrong; with right labels it hardly changes."""
MEASURES = {"loss": "fit_loss", "error": "fit_train_error", "test_error": "fit_test_error"}


def fitted(run: Trial, fractions: Sequence[float], part: int) -> xr.Dataset:
    """Return losses and errors of 20 or 40 small training sets, the same data and initialisations at each fraction.

    Each of `MEASURES` (fraction, dataset, fit_time), the mean over the networks of a dataset; from `part` on.
    """
    datasets, steps = (20 if run.quick else 40), np.arange(0, STEPS + 1, EVERY)
    conditions = [Condition(SAMPLES, INPUTS, NODES, RATE, STEPS, flipped=q, test_samples=1000) for q in fractions]
    parts = [part] * len(conditions)
    found = measure_means(run, conditions, parts, datasets, steps=steps, measure=tuple(MEASURES))
    table = {MEASURES[name]: (("fraction", "dataset", "fit_time"), column) for name, column in found.items()}
    return xr.Dataset(table, coords={"fraction": list(fractions), "fit_time": steps * RATE})


def compare(run: Trial, data: xr.Dataset) -> None:
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
