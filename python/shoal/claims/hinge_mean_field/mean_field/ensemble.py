"""Networks of one condition on many datasets, at M nodes and at half as many, and what is measured of them.

Source: arXiv:2006.11209; theory book, chapter 7.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from shoal.claims.shared.teacher import Condition, band, clock, halved, nodes, over_datasets, satisfied_at
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_mean

INITS = 4
"""Networks on one dataset, whose mean is one draw of a statistical comparison."""

EVERY = 2
"""Steps between records."""

BAND, LARGE = 1.0, 2.5
"""Half width of a band of satisfaction times, in standard deviations of f, and the projections from which it is asked.

Samples with the largest projections are satisfied before training does anything about the noise of finite width, and
the band holds as many of them as a normal distribution.
"""

SIZES: Floats = np.linspace(LARGE, 6.0, 500)
"""Projections at which the band is tabled."""


@dataclass(frozen=True)
class Ensemble:
    """Networks of one width on many datasets, all means over the networks of a dataset.

    ``gamma, falling`` (datasets, times): logarithm of the slope of a + w_par against its initialisation; minus that of
    a - w_par. ``turned`` (datasets, times, 4): slopes of the change of a against a_0 and w_0, and of that of w_par
    against w_0 and a_0. ``unsatisfied, fresh`` (datasets, times): fraction of the training samples, and of the test
    samples, with y f < h. ``error`` (datasets, times): fraction of the test samples on the wrong side. ``inside``
    (datasets,): fraction of the test samples with such projections that are satisfied within the band; NaN on the
    sphere.
    """

    gamma: Floats
    falling: Floats
    turned: Floats
    unsatisfied: Floats
    fresh: Floats
    error: Floats
    inside: Floats

    @classmethod
    def train(cls, run: Trial, condition: Condition, datasets: int, first: int) -> Ensemble:
        """Train on every dataset, from seeds of their own: first, first + 1, ... as in `far_seed`."""
        edges = Edges.of(condition)

        def measure(part: int) -> list[Floats]:
            measures = ("trajectory", "margin", "test_margin", "test_error")
            data = condition.train(run, steps=recorded(condition), measure=measures, networks=INITS, part=part)
            output, along = nodes(data)
            found = (
                clock(output, along),
                -clock(output, -along),
                slopes(output, along),
                (data["margin"].values < condition.threshold).mean(axis=-1),
                (data["test_margin"].values < condition.threshold).mean(axis=-1),
                data["test_error"].values,
                np.full(INITS, np.nan) if edges is None else edges.fraction(data, condition.threshold),
            )
            return [np.asarray(values).mean(axis=0) for values in found]

        return cls(*over_datasets(datasets, measure, run.threads, first=first))


@dataclass(frozen=True)
class Pair:
    """Many datasets at M nodes and N samples, and at half of both: what is of first order in 1/M and 1/N drops out."""

    condition: Condition
    whole: Ensemble
    half: Ensemble

    @classmethod
    def train(cls, run: Trial, condition: Condition, datasets: int, first: int) -> Pair:
        """Train both."""
        fewer = halved(condition)
        what = f"{condition.distribution} inputs, {condition.nodes} and {fewer.nodes} nodes"
        run.say(f"training on {datasets} datasets, {what}")
        return cls(condition, *(Ensemble.train(run, each, datasets, first) for each in (condition, fewer)))

    def limit(self, name: str) -> Floats:
        """Return (datasets, times, ...): a measurement extrapolated to 1/M = 1/N = 0."""
        return np.asarray(2 * getattr(self.whole, name) - getattr(self.half, name))

    @property
    def times(self) -> Floats:
        """(times,) float64: when it was recorded."""
        return np.asarray(recorded(self.condition) * self.condition.rate)

    def compare_mean(self, measured: Floats, expected: ArrayLike, bias: ArrayLike = 0.0) -> Comparison:
        """Return the comparison of a mean over datasets, with the number of networks behind it."""
        return replace(compare_mean(measured, expected, bias=bias), networks=len(self.whole.gamma) * INITS)

    def compare(
        self, measured: Floats, predicted: Floats, shift: Floats, at: ArrayLike, bias: Floats | None = None
    ) -> Comparison:
        """Return the comparison of means over datasets, less the shift of the rate, at chosen times."""
        chosen = np.asarray(at)
        allowed = np.zeros(1) if bias is None else bias[chosen]
        return self.compare_mean(measured[:, chosen] - shift[chosen], predicted[chosen], allowed)


def recorded(condition: Condition) -> NDArray[np.int64]:
    """Return the steps at which the ensembles are recorded."""
    return np.arange(0, condition.steps + 1, EVERY)


def slopes(output: Floats, along: Floats) -> Floats:
    """Return (networks, times, 4): change of a on a_0 and w_0, of w_par on w_0 and a_0, by least squares over nodes."""
    inverse = np.linalg.pinv(np.stack([output[:, 0], along[:, 0]], axis=-1))
    changes = (values - values[:, :1] for values in (output, along))
    first, second = (np.einsum("nkm,ntm->ntk", inverse, change) for change in changes)
    return np.concatenate([first, second[..., ::-1]], axis=-1)


@dataclass(frozen=True)
class Edges:
    """The band of satisfaction times at `SIZES`.

    ``times`` (times,): of the theory at which it has the clock of descent's own limit when a record is made: the rate
    drops out. ``low, high`` (sizes,): the band, by the theory's times.
    """

    times: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, condition: Condition) -> Edges | None:
        """Return the band of a condition; none on the sphere."""
        if condition.distribution == "sphere":
            return None
        turned, _ = condition.descent(recorded(condition))
        times = np.asarray(condition.theory.time(np.log(turned)), np.float64)
        return cls(times, *band(condition, SIZES, BAND))

    def fraction(self, data: xr.Dataset, threshold: float) -> Floats:
        """Return the fraction of large test samples that are satisfied within the band, (networks,) float64."""
        projections = np.abs(data["test_inputs"].values[:, 0])
        large = projections >= LARGE
        times = satisfied_at(self.times, data["test_margin"].values[..., large], threshold)
        low, high = (np.interp(projections[large], SIZES, edge) for edge in (self.low, self.high))
        return np.asarray(((times >= low) & (times <= high)).mean(axis=-1))
