"""Part of `lazy-rich`: small training sets, fitted to the last sample, plain and centred.

No theory is known for networks that have fitted a finite training set: the rows ask for directions.

Source: arXiv:2006.11209; theory book, chapter 7.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from shoal import theory
from shoal.claims.shared.figures import standard_error
from shoal.claims.shared.movement import movement
from shoal.claims.shared.teacher import Condition, nodes, over_datasets
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats
from shoal.verdicts.proportion import compare_majority

SAMPLES, INPUTS, NODES, NETWORKS = 200, 10, 48, 4
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
            condition = _condition(scale, centred)
            run.say(f"fitting {SAMPLES} samples, alpha={condition.alpha:.3g}, {datasets} datasets")
            found.append(over_datasets(datasets, partial(_one, run, condition), run.threads, first=part))
    columns = [np.stack(values).reshape(2, len(scales), datasets) for values in zip(*found, strict=True)]
    names = ("fit_train_error", "fit_test_error", "fit_movement")
    return xr.Dataset(
        {name: (("model", "fit_scale", "dataset"), column) for name, column in zip(names, columns, strict=True)},
        coords={"model": ["plain", "centred"], "fit_scale": list(scales)},
    )


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


def notes(data: xr.Dataset) -> tuple[str, ...]:
    """Say what was measured beside the rows."""

    def mean(model: str, scale: float) -> str:
        values = data["fit_test_error"].sel(model=model, fit_scale=scale).values
        return f"{values.mean():.4f} +- {standard_error(values):.4f} at alpha = {scale:g} x crossover"

    errors = "; ".join(
        f"{model}: " + " and ".join(mean(model, scale) for scale in (SCALES[0], SCALES[-1]))
        for model in ("plain", "centred")
    )
    return (
        f"Fitted training sets, N={SAMPLES}, d={INPUTS}, M={NODES}: mean test error and standard error over"
        f" datasets. {errors}. No theory is known for these.",
        "A plain network with a large alpha keeps the random function that it started with: that, and not lazy"
        " training as such, is what costs it test error. On these data, whose teacher is linear, centred networks"
        " do about as well lazy as rich; that rich training finds better features is not shown here.",
    )


def _condition(scale: float, centred: bool) -> Condition:
    alpha = float(2 * np.sqrt(INPUTS) * scale)
    clock = theory.MeanFieldHinge(NODES, INPUTS, alpha)
    until = LONGER * float(clock.time(np.arcsinh(1 / (scale * EDGE)) / 2))
    return Condition(SAMPLES, INPUTS, NODES, until / STEPS, STEPS, alpha, test_samples=1000, centred=centred)


def _one(run: Trial, condition: Condition, part: int) -> list[Floats]:
    """Return training error, test error and movement at the end, averaged over the networks of a dataset."""
    measure = ("error", "test_error", "trajectory")
    data = condition.train(run, steps=[0, STEPS], measure=measure, networks=NETWORKS, part=part)
    output, incoming = nodes(data)[0], np.asarray(data["trajectory_1"].values)
    moved = movement(*((output[:, k], incoming[:, k]) for k in (0, -1)))
    return [np.asarray(each.mean()) for each in (data["error"].values[:, -1], data["test_error"].values[:, -1], moved)]
