"""What is measured of networks on many datasets, and the band of times at which their samples are satisfied.

Source: arXiv:2006.11209; theory book, chapter 7.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from shoal.claims.shared.limits import NETWORKS, Halves, Measured
from shoal.claims.shared.teacher import Condition, clock, nodes, satisfied_at
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats, Integers

EVERY = 2
"""Steps between records."""
BAND, LARGE = 1.0, 2.5
"""Half width of a band of satisfaction times, in standard deviations of f, and the projections from which it is asked.

Samples with the largest projections are satisfied before training does anything about the noise of finite width, and
the band holds as many of them as a normal distribution.
"""
SIZES: Floats = np.linspace(LARGE, 6.0, 500)
"""Projections at which the band is tabled."""


def recorded(condition: Condition) -> Integers:
    """Return the steps at which the ensembles are recorded."""
    return np.arange(0, condition.steps + 1, EVERY)


def train(run: Trial, condition: Condition, datasets: int, first: int) -> Halves:
    """Train networks on every dataset, at both sizes.

    ``gamma, falling`` (times,): logarithm of the slope of a + w_par against its initialisation; minus that of a -
    w_par. ``turned`` (times, 4): `slopes`. ``unsatisfied, fresh`` (times,): fraction of the training and of the test
    samples with y f < h. ``error`` (times,): test error. ``inside``: fraction of the test samples with large
    projections that are satisfied within the band; NaN on the sphere.
    """

    def measuring(condition: Condition) -> Callable[[int], Measured]:
        inside = within_band(condition) if condition.distribution == "gaussian" else None

        def measure(part: int) -> Measured:
            measures = ("trajectory", "margin", "test_margin", "test_error")
            data = condition.train(run, steps=recorded(condition), measure=measures, networks=NETWORKS, part=part)
            output, along = nodes(data)
            found = {
                "gamma": clock(output, along),
                "falling": -clock(output, -along),
                "turned": slopes(output, along),
                "unsatisfied": (data["margin"].values < condition.threshold).mean(axis=-1),
                "fresh": (data["test_margin"].values < condition.threshold).mean(axis=-1),
                "error": data["test_error"].values,
                "inside": np.full(NETWORKS, np.nan) if inside is None else inside(data),
            }
            return {name: values.mean(axis=0) for name, values in found.items()}

        return measure

    return Halves.train(run, condition, datasets, measuring, first)


def slopes(output: Floats, along: Floats) -> Floats:
    """Return (networks, times, 4): change of a on a_0 and w_0, of w_par on w_0 and a_0, by least squares over nodes."""
    inverse = np.linalg.pinv(np.stack([output[:, 0], along[:, 0]], axis=-1))
    changes = (values - values[:, :1] for values in (output, along))
    first, second = (np.einsum("nkm,ntm->ntk", inverse, change) for change in changes)
    return np.concatenate([first, second[..., ::-1]], axis=-1)


def within_band(condition: Condition) -> Callable[[xr.Dataset], Floats]:
    """Return what gives the fraction of large test samples that are satisfied within the band, (networks,).

    The times are those of the theory at which it has the clock of descent's own limit: the rate drops out.
    """
    turned, _ = condition.descent(recorded(condition))
    times, edges = condition.theory.time(np.log(turned)), band(condition, SIZES, BAND)

    def inside(data: xr.Dataset) -> Floats:
        projections = np.abs(data["test_inputs"].values[:, 0])
        large = projections >= LARGE
        found = satisfied_at(times, data["test_margin"].values[..., large], condition.threshold)
        low, high = (np.interp(projections[large], SIZES, edge) for edge in edges)
        return np.asarray(((found >= low) & (found <= high)).mean(axis=-1))

    return inside


def band(condition: Condition, projections: Floats, deviations: float) -> tuple[Floats, Floats]:
    """Return the earliest and the latest time at which samples are satisfied in networks whose f is at most so far off.

    ``projections`` (samples,): |x_par|, positive, of Gaussian inputs. ``deviations``: in units of
    `Condition.deviation`. Infinite where the noise outgrows the output.
    """
    theory = condition.theory
    # On a grid: the edges are smooth in ln x_par, and monotone functions of gamma are inverted by interpolation.
    sizes = np.geomspace(projections.min() / 1.01, projections.max() * 1.01, 200)
    gamma = np.linspace(1e-3, 0.5 * np.arcsinh(4 * np.sqrt(condition.inputs) / sizes.min()) + 1.0, 2000)
    signal = condition.threshold * sizes[:, None] / theory.boundary(theory.time(gamma))
    noise = deviations * condition.deviation(sizes[:, None], gamma)
    low, high = (
        np.interp(np.log(projections), np.log(sizes), theory.time(satisfied_at(gamma, output.T, condition.threshold)))
        for output in (signal + noise, signal - noise)
    )
    return low, high
