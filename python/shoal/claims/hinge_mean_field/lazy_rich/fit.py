"""Part of `lazy-rich`: small training sets, fitted to the last sample, plain and centred.

No theory is known for networks that have fitted a finite training set: the rows ask for directions.

Source: arXiv:2006.11209; theory book, chapter 7.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from shoal import theory
from shoal.claims.hinge_mean_field.lazy_rich.movement import movement, weights
from shoal.claims.shared.figures import standard_error
from shoal.claims.shared.limits import NETWORKS, Measured, over_datasets
from shoal.claims.shared.teacher import Condition
from shoal.claims.trial import Trial
from shoal.verdicts.proportion import compare_majority

SAMPLES, INPUTS, NODES = 200, 10, 48
SCALES = (0.01, 0.1, 1.0, 10.0, 100.0)
QUICK = (0.01, 100.0)
EDGE, LONGER, STEPS = 0.1, 3.0, 320
"""Trained for `LONGER` times the time at which the theory's boundary is `EDGE`, in so many steps."""


def fitted(run: Trial, part: int) -> xr.Dataset:
    """Return errors and movement of 20 or 40 datasets, from `part` on: the same data and weights at every scale.

    ``fit_train_error``, ``fit_test_error``, ``fit_movement``: (model, fit_scale, dataset), each the mean over the
    networks of a dataset.
    """
    scales, datasets = (QUICK, 20) if run.quick else (SCALES, 40)
    found = []
    for centred in (False, True):
        for scale in scales:
            alpha = float(2 * np.sqrt(INPUTS) * scale)
            end = float(theory.MeanFieldHinge(NODES, INPUTS, alpha).time(np.arcsinh(1 / (scale * EDGE)) / 2))
            rate = LONGER * end / STEPS
            condition = Condition(SAMPLES, INPUTS, NODES, rate, STEPS, alpha, test_samples=1000, centred=centred)
            run.say(f"fitting {SAMPLES} samples, alpha={condition.alpha:.3g}, {datasets} datasets")
            found.append(over_datasets(run, datasets, partial(_one, run, condition), part))
    dims, shape = ("model", "fit_scale", "dataset"), (2, len(scales), datasets)
    return xr.Dataset(
        {name: (dims, np.reshape([one[name] for one in found], shape)) for name in found[0]},
        coords={"model": ["plain", "centred"], "fit_scale": list(scales)},
    )


def _one(run: Trial, condition: Condition, part: int) -> Measured:
    """Return what is measured at the end, averaged over the networks of a dataset."""
    measure = ("error", "test_error", "trajectory")
    data = condition.train(run, steps=[0, STEPS], measure=measure, networks=NETWORKS, part=part)
    found = {
        "fit_train_error": data["error"].values[:, -1],
        "fit_test_error": data["test_error"].values[:, -1],
        "fit_movement": movement(weights(data, 0), weights(data, -1)),
    }
    return {name: values.mean() for name, values in found.items()}


def compare(run: Trial, data: xr.Dataset) -> None:
    """Compare: training sets are fitted, and what the output's scale does to plain networks."""
    plain, centred = (data.sel(model=model) for model in ("plain", "centred"))
    low, high = SCALES[0], SCALES[-1]
    run.compare_flow(
        "centred networks fit every training set, at every alpha: training error 0",
        centred["fit_train_error"].values.T[:, None],
        np.zeros(1),
        tolerance=1e-12,
    )
    error = plain["fit_test_error"]
    worse = error.sel(fit_scale=high) > error.sel(fit_scale=low)
    further = plain["fit_movement"].sel(fit_scale=high) > centred["fit_movement"].sel(fit_scale=high)
    for statement, hits in (
        (f"plain: datasets with a larger test error at {high:g} x crossover than at {low:g} x (> 1/2)", worse),
        (f"datasets whose plain networks move more than the centred ones, {high:g} x crossover (> 1/2)", further),
    ):
        run.row(statement, compare_majority(int(hits.sum()), data.sizes["dataset"]))


def add_notes(run: Trial, data: xr.Dataset) -> None:
    """Say what was measured beside the rows."""

    def mean(model: str, scale: float) -> str:
        values = data["fit_test_error"].sel(model=model, fit_scale=scale).values
        return f"{values.mean():.4f} +- {standard_error(values):.4f} at alpha = {scale:g} x crossover"

    errors = "; ".join(
        f"{model}: {mean(model, SCALES[0])} and {mean(model, SCALES[-1])}" for model in ("plain", "centred")
    )
    run.note(
        f"Fitted training sets, N={SAMPLES}, d={INPUTS}, M={NODES}: mean test error and standard error over"
        f" datasets. {errors}. No theory is known for these.",
        "A plain network with a large alpha keeps the random function that it started with: that, and not lazy"
        " training as such, is what costs it test error. On these data, whose teacher is linear, centred networks"
        " do about as well lazy as rich; that rich training finds better features is not shown here.",
    )
