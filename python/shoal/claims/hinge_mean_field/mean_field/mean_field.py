"""Claim: a wide network with a hinge learns a teacher as the mean-field theory says, every node on its own curve."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from shoal.claims.claim import claim
from shoal.claims.hinge_mean_field.mean_field import figure_one
from shoal.claims.hinge_mean_field.mean_field import picture as mean_field_picture
from shoal.claims.outcome import Row, Setting
from shoal.claims.shared.teacher import Condition, band, clock, halved, nodes, over_datasets, satisfied_at
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_mean

QUICK = Condition(samples=1500, inputs=10, nodes=96, rate=0.25, steps=80, test_samples=2000)
FULL = Condition(samples=4000, inputs=10, nodes=192, rate=0.25, steps=120, test_samples=4000)
SPHERE = Condition(samples=1500, inputs=3, nodes=96, rate=0.25, steps=80, distribution="sphere", test_samples=1)
DATASETS = {"gaussian": (32, 24), "sphere": (32, 16)}
"""How many, full and quick: each has its own data and initialisations, and is one draw of a statistical comparison."""

INITS = 4
"""Networks on one dataset, whose mean is that draw."""

EVERY = 2
"""Steps between records."""

PULL = 0.05
"""Overfitting counts as not begun while no training sample can have raised its own margin by this much of h."""

LINEAR = 4.0
"""Boundary x_c beyond which gamma is compared with its linear start: e^(-x_c^2/2) is below 4e-4 there."""

BEGUN = 0.99
"""Fraction of unsatisfied samples from which on it is compared: before, there is nothing to see."""

UNCORRECTED = 1.5
"""Boundary x_c down to which the noise of finite width turns signs as if training did nothing about it."""

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
    def train(cls, condition: Condition, setting: Setting, datasets: int, first: int) -> Ensemble:
        """Train on every dataset, from seeds of their own: first, first + 1, ... as in `far_seed`."""
        edges = Edges.of(condition)

        def measure(part: int) -> list[Floats]:
            data = condition.train(
                setting,
                steps=recorded(condition),
                measure=("trajectory", "margin", "test_margin", "test_error"),
                networks=INITS,
                part=first + part,
            )
            output, along = nodes(data)
            found = (
                clock(output, along),
                -clock(output, -along),
                _slopes(output, along),
                (data["margin"].values < condition.threshold).mean(axis=-1),
                (data["test_margin"].values < condition.threshold).mean(axis=-1),
                data["test_error"].values,
                np.full(INITS, np.nan) if edges is None else edges.share(data, condition.threshold),
            )
            return [np.asarray(values).mean(axis=0) for values in found]

        return cls(*over_datasets(datasets, measure, setting.threads))


@dataclass(frozen=True)
class Pair:
    """Many datasets at M nodes and N samples, and at half of both: what is of first order in 1/M and 1/N drops out."""

    condition: Condition
    whole: Ensemble
    half: Ensemble

    @classmethod
    def train(cls, condition: Condition, setting: Setting, datasets: int, first: int) -> Pair:
        """Train both."""
        fewer = halved(condition)
        setting.say(
            f"training on {datasets} datasets, {condition.distribution} inputs, {condition.nodes} and {fewer.nodes}"
            " nodes"
        )
        return cls(condition, *(Ensemble.train(each, setting, datasets, first) for each in (condition, fewer)))

    def limit(self, name: str) -> Floats:
        """Return (datasets, times, ...): a measurement extrapolated to 1/M = 1/N = 0."""
        return np.asarray(2 * getattr(self.whole, name) - getattr(self.half, name))

    @property
    def times(self) -> Floats:
        """(times,) float64: when it was recorded."""
        return np.asarray(recorded(self.condition) * self.condition.rate)

    def compare(
        self, measured: Floats, predicted: Floats, shift: Floats, at: ArrayLike, bias: Floats | None = None
    ) -> Comparison:
        """Return the comparison of means over datasets, less the shift of the rate, at chosen times."""
        chosen = np.asarray(at)
        allowed = np.zeros(1) if bias is None else bias[chosen]
        return _of(self, compare_mean(measured[:, chosen] - shift[chosen], predicted[chosen], bias=allowed))


def recorded(condition: Condition) -> NDArray[np.int64]:
    """Return the steps at which the ensembles are recorded."""
    return np.arange(0, condition.steps + 1, EVERY)


def _slopes(output: Floats, along: Floats) -> Floats:
    """Return (networks, times, 4): change of a on a_0 and w_0, of w_par on w_0 and a_0, by least squares over nodes."""
    starts = np.stack([output[:, 0], along[:, 0]], axis=-1)
    inverse = np.linalg.pinv(starts)
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

    def share(self, data: xr.Dataset, threshold: float) -> Floats:
        """Return the fraction of large test samples that are satisfied within the band, (networks,) float64."""
        projections = np.abs(data["test_inputs"].values[:, 0])
        large = projections >= LARGE
        times = satisfied_at(self.times, data["test_margin"].values[..., large], threshold)
        low, high = (np.interp(projections[large], SIZES, edge) for edge in (self.low, self.high))
        return np.asarray(((times >= low) & (times <= high)).mean(axis=-1))


def gaussian_rows(pair: Pair) -> list[Row]:
    """Return what is compared of networks on Gaussian inputs."""
    condition, theory, times = pair.condition, pair.condition.theory, pair.times
    steps, gamma, linear = recorded(condition), theory.gamma(times), theory.early(times)
    fitting = condition.pull(times) <= PULL
    before, early = _few(fitting), _few(theory.boundary(times) > LINEAR)
    begun = _few(fitting & (theory.unsatisfied(times) < BEGUN))
    slower = condition.rate_shift(steps, _gamma)
    turned = np.stack([2 * np.sinh(gamma / 2) ** 2, np.sinh(gamma)] * 2, axis=-1)
    # The linear formula leaves out that some samples are satisfied: how much that is, descent's own limit says.
    bent = np.log(condition.descent(steps)[0]) - condition.speed(0.0) * times
    unsatisfied, fewer = theory.unsatisfied(times), condition.rate_shift(steps, condition.share)
    return [
        Row(
            "gamma(t), from the slope of a + w_par against its initialisation",
            pair.compare(pair.limit("gamma"), gamma, slower, before),
        ),
        Row(
            "change of a_i and w_par,i regressed on their initialisations: cosh gamma - 1, sinh gamma",
            pair.compare(pair.limit("turned"), turned, condition.rate_shift(steps, _turned), before),
        ),
        Row("linear start: gamma = t/sqrt(2 pi d)", pair.compare(pair.limit("gamma"), linear, bent, early)),
        _slope_row(pair, before),
        Row(
            "fraction of training samples that are unsatisfied, erf(x_c/sqrt 2)",
            pair.compare(pair.limit("unsatisfied"), unsatisfied, fewer, begun),
        ),
        Row(
            "fraction of fresh samples that are unsatisfied",
            pair.compare(pair.limit("fresh"), unsatisfied, fewer, begun),
        ),
        _error_row(pair),
        _band_row(pair),
    ]


def _gamma(up: Floats, down: Floats) -> Floats:
    """Return what `clock` measures of nodes that descent has multiplied so."""
    return np.log(up)


def _turned(up: Floats, down: Floats) -> Floats:
    """Return what `_slopes` measures of them."""
    return np.stack([(up + down) / 2 - 1, (up - down) / 2] * 2, axis=-1)


def _slope_row(pair: Pair, before: NDArray[np.int64]) -> Row:
    """Return the slope of gamma in log t over the later half of the records that are compared."""
    times, ends = pair.times, before[[len(before) // 2, -1]]
    run = np.diff(np.log(times[ends]))
    expected = np.diff(pair.condition.theory.gamma(times[ends])) / run

    def slope(up: Floats, down: Floats) -> Floats:
        return np.asarray(np.diff(np.log(up)) / run)

    shift = pair.condition.rate_shift(recorded(pair.condition)[ends], slope)
    measured = np.diff(pair.limit("gamma")[:, ends], axis=1) / run - shift
    span = f"t = {times[ends][0]:g} to {times[ends][1]:g}"
    statement = f"slope of gamma in log t, {span}: {float(expected[0]):.3f}, on its way to 1/4"
    return Row(statement, _of(pair, compare_mean(measured, expected)))


def _error_row(pair: Pair) -> Row:
    """Return the test error of M nodes, as long as nearly all samples are unsatisfied: then nothing corrects noise."""
    condition, theory, times = pair.condition, pair.condition.theory, pair.times

    def error(up: Floats, down: Floats) -> Floats:
        return theory.error(theory.time(np.log(up)))

    expected = theory.error(times)
    shift = condition.rate_shift(recorded(condition), error)
    bias = expected * (_tilt(condition, theory.spread(times)) - 1)
    return Row(
        f"test error of {condition.nodes} nodes, while x_c > {UNCORRECTED:g}",
        pair.compare(pair.whole.error, expected, shift, _few(theory.boundary(times) > UNCORRECTED), bias),
    )


def _tilt(condition: Condition, spread: Floats) -> Floats:
    """Return by what factor N samples raise the error of a boundary with a spread (times,), while all are unsatisfied.

    The output then moves by the mean over samples of y K(x, x'), with the kernel of the initialisation for inputs of
    norm sqrt(d): 1/(2 pi) + x.x'/(2 d) and halved terms. The scatter of that mean over its value at x_par = 1, which is
    sqrt(2/pi)/(2 d), adds to the spread in quadrature: pi/2 (d + d^2/pi^2)/N.
    """
    inputs = condition.inputs
    own = np.pi / 2 * (inputs + (inputs / np.pi) ** 2) / condition.samples
    with np.errstate(divide="ignore"):
        return np.asarray(np.arctan(np.sqrt(spread**2 + own)) / np.arctan(spread))


def _band_row(pair: Pair) -> Row:
    """Return how many fresh samples are satisfied within the band of finite width."""
    share = float(ndtr(BAND) - ndtr(-BAND))
    statement = f"fresh samples with |x_par| > {LARGE:g}: fraction satisfied within {BAND:g} s.d. of f"
    return Row(statement, _of(pair, compare_mean(pair.whole.inside, share)))


def _of(pair: Pair, comparison: Comparison) -> Comparison:
    """Return the comparison with its number of networks."""
    return replace(comparison, networks=len(pair.whole.gamma) * INITS)


def sphere_rows(pair: Pair) -> list[Row]:
    """Return what is compared of networks on the unit sphere: another clock, the same curves."""
    condition, times = pair.condition, pair.times
    gamma = condition.theory.gamma(times)
    steps, before = recorded(condition), _few(condition.pull(times) <= PULL)
    # One clock for both factors, as a ratio: their difference alone is near 0 in any theory at first.
    turned = np.maximum(gamma, gamma[1])
    product = 1 - (pair.limit("gamma") - pair.limit("falling")) / turned
    return [
        Row(
            f"unit sphere, d = {condition.inputs}: gamma(t) of its own theory",
            pair.compare(pair.limit("gamma"), gamma, condition.rate_shift(steps, _gamma), before),
        ),
        Row(
            "unit sphere: the same hyperbolas, clock of a - w_par over that of a + w_par",
            pair.compare(product, np.ones(len(times)), -condition.rate_shift(steps, _hyperbola) / turned, before),
        ),
    ]


def _hyperbola(up: Floats, down: Floats) -> Floats:
    """Return by how much the two products of descent miss the hyperbola."""
    return np.log(up * down)


def _few(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return a dozen of the chosen records, evenly spread, the start left out."""
    found = np.flatnonzero(chosen[1:]) + 1
    return np.asarray(np.unique(found[np.linspace(0, len(found) - 1, 12).astype(int)]))


@claim(
    "mean-field",
    "A wide network with a hinge learns a linear teacher as mean-field theory predicts: each node on its own"
    " hyperbola, all by one clock.",
    source="arXiv:2006.11209; docs/theory.md section 7",
)
def mean_field(run: Trial) -> Figure:
    """Compare the statistics of many networks, and the paper's figure 1."""
    condition = QUICK if run.quick else FULL
    chosen = {
        law: run.networks(full=full * INITS, quick=quick * INITS) // INITS for law, (full, quick) in DATASETS.items()
    }
    gaussian = Pair.train(condition, run.setting, max(2, chosen["gaussian"]), first=0)
    sphere = Pair.train(SPHERE, run.setting, max(2, chosen["sphere"]), first=1000)
    single = figure_one.train(run.setting)
    run.rows += gaussian_rows(gaussian)
    run.rows += sphere_rows(sphere)
    run.rows += figure_one.rows(single)
    data = mean_field_picture.collect(single, gaussian, sphere)
    run.note(
        f"Means over {len(gaussian.whole.gamma)} datasets of {INITS} networks each, d = {condition.inputs},"
        f" N = {condition.samples}, M = {condition.nodes}, extrapolated to infinite sizes with as many at half of both."
        " What the rate shifts in the mean-field limit is known and taken off."
    )
    run.note(
        f"Compared until a training sample can have raised its own margin by {PULL:.0%} of the threshold: afterwards"
        " the network learns the samples and no longer their distribution. Nothing is claimed of that time."
    )
    run.notes += figure_one.notes(single)
    run.save(data)
    return mean_field_picture.draw(data, single)
