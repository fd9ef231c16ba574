"""Part of `mislabelled`: small training sets, whose wrong labels a network fits in the end.

No theory is known for networks that fit a finite training set: the rows ask for directions.

Source: arXiv:2006.11209; docs/theory.md section 7.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from shoal.claims.outcome import Row, Setting
from shoal.claims.shared.movement import crossing
from shoal.claims.shared.teacher import Condition, over_datasets
from shoal.claims.shared.trend import rank_trend
from shoal.verdicts.layout import Floats
from shoal.verdicts.proportion import compare_majority

__all__ = ["NODES", "SAMPLES", "fit_rows", "fitted"]

SAMPLES, INPUTS, NODES, NETWORKS = 200, 10, 48, 4
RATE, STEPS, EVERY = 1.5, 600, 5
LEVEL = 0.1
"""Of the training loss: the time to reach it counts as the pace of training."""
SOON = (60.0, 240.0)
"""Times between which the test error rises the more, the more labels are wrong; with right labels it hardly changes."""


def fitted(setting: Setting, fractions: Sequence[float], part: int) -> xr.Dataset:
    """Return loss, errors and test errors of small training sets, the same data and initialisations at each fraction.

    ``fit_loss``, ``fit_train_error``, ``fit_test_error``: (fraction, dataset, fit_time), each the mean over the
    networks of a dataset. 20 or 40 datasets, from `part` on.
    """
    datasets = 20 if setting.quick else 40
    steps = np.arange(0, STEPS + 1, EVERY)
    names = ("loss", "error", "test_error")
    found = []
    for fraction in fractions:
        condition = Condition(SAMPLES, INPUTS, NODES, RATE, STEPS, flipped=fraction, test_samples=1000)
        setting.say(f"fitting {SAMPLES} samples, {fraction:.0%} wrong, {datasets} datasets")

        def one(number: int, condition: Condition = condition) -> list[Floats]:
            data = condition.train(setting, steps=steps, measure=names, networks=NETWORKS, part=part + number)
            return [np.asarray(data[name].values.mean(axis=0)) for name in names]

        found.append(over_datasets(datasets, one, setting.threads))
    columns = [np.stack(values) for values in zip(*found, strict=True)]
    titles = ("fit_loss", "fit_train_error", "fit_test_error")
    return xr.Dataset(
        {title: (("fraction", "dataset", "fit_time"), column) for title, column in zip(titles, columns, strict=True)},
        coords={"fraction": list(fractions), "fit_time": steps * RATE},
    )


def fit_rows(data: xr.Dataset) -> tuple[Row, ...]:
    """Return the rows: the more labels are wrong, the slower, and the sooner and the more overfitted."""
    loss, train, test = (data[name].values for name in ("fit_loss", "fit_train_error", "fit_test_error"))
    times = data["fit_time"].values
    count = data.sizes["dataset"]
    pace = np.array([[crossing(times, series, LEVEL) for series in part] for part in loss])
    done = np.where(train <= 0, times, np.inf).min(axis=2)
    soon = np.diff(test[:, :, np.searchsorted(times, SOON)], axis=2)[:, :, 0]
    rise = test[:, :, -1] - test.min(axis=2)
    trends = (
        (f"time until the loss is {LEVEL:g} grows with the fraction", rank_trend(pace) > 0),
        ("training error 0 comes later with each fraction than without", (done[1:] > done[0]).all(axis=0)),
        (
            f"the test error rises more from time {SOON[0]:g} to {SOON[1]:g}, the larger the fraction",
            rank_trend(soon) > 0,
        ),
        (
            f"more than half of the wrong labels are fitted in the end, at {data['fraction'].values[-1]:.0%}",
            train[-1, :, -1] < float(data["fraction"].values[-1]) / 2,
        ),
        ("the test error rises more from its best to the end, the larger the fraction", rank_trend(rise) > 0),
        ("the test error at the end grows with the fraction", rank_trend(test[:, :, -1]) > 0),
    )
    return tuple(
        Row(f"datasets in which {words} (> 1/2)", compare_majority(int(hits.sum()), count)) for words, hits in trends
    )
