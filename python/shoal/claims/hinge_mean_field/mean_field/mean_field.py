"""Claim: a wide network with a hinge learns a teacher as the mean-field theory says, every node on its own curve."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import ndtr

from shoal.claims.claim import claim
from shoal.claims.hinge_mean_field.mean_field import figure_one
from shoal.claims.hinge_mean_field.mean_field import picture as mean_field_picture
from shoal.claims.hinge_mean_field.mean_field.ensembles import BAND, INITS, LARGE, Pair, recorded
from shoal.claims.outcome import Row
from shoal.claims.shared.teacher import Condition
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_mean

QUICK = Condition(samples=1500, inputs=10, nodes=96, rate=0.25, steps=80, test_samples=2000)
FULL = Condition(samples=4000, inputs=10, nodes=192, rate=0.25, steps=120, test_samples=4000)
SPHERE = Condition(samples=1500, inputs=3, nodes=96, rate=0.25, steps=80, distribution="sphere", test_samples=1)
DATASETS = {"gaussian": (32, 24), "sphere": (32, 16)}
"""How many, full and quick: each has its own data and initialisations, and is one draw of a statistical comparison."""

PULL = 0.05
"""Overfitting counts as not begun while no training sample can have raised its own margin by this much of h."""

LINEAR = 4.0
"""Boundary x_c beyond which gamma is compared with its linear start: e^(-x_c^2/2) is below 4e-4 there."""

BEGUN = 0.99
"""Fraction of unsatisfied samples from which on it is compared: before, there is nothing to see."""

UNCORRECTED = 1.5
"""Boundary x_c down to which the noise of finite width turns signs as if training did nothing about it."""


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
    return Row(statement, pair.count(compare_mean(measured, expected)))


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
    inside = float(ndtr(BAND) - ndtr(-BAND))
    statement = f"fresh samples with |x_par| > {LARGE:g}: fraction satisfied within {BAND:g} s.d. of f"
    return Row(statement, pair.count(compare_mean(pair.whole.inside, inside)))


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
