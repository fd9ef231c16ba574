"""Claim: a wide network with a hinge learns a teacher as the mean-field theory says, every node on its own curve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import ndtr

from shoal.claims.claim import claim
from shoal.claims.hinge_mean_field.mean_field import figure_one, picture
from shoal.claims.hinge_mean_field.mean_field.ensemble import BAND, INITS, LARGE, Pair, recorded
from shoal.claims.shared.teacher import Condition
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats

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


@claim(
    "mean-field",
    "A wide network with a hinge learns a linear teacher as mean-field theory predicts: each node on its own"
    " hyperbola, all by one clock.",
    source="arXiv:2006.11209; theory book, chapter 7",
)
def mean_field(run: Trial) -> Figure:
    """Compare the statistics of many networks, and the paper's figure 1."""
    condition = QUICK if run.quick else FULL
    datasets = {
        name: max(2, run.networks(full=full * INITS, quick=quick * INITS) // INITS)
        for name, (full, quick) in DATASETS.items()
    }
    gaussian = Pair.train(run, condition, datasets["gaussian"], first=0)
    sphere = Pair.train(run, SPHERE, datasets["sphere"], first=1000)
    single = figure_one.train(run)
    compare_gaussian(run, gaussian)
    compare_error(run, gaussian)
    compare_band(run, gaussian)
    compare_sphere(run, sphere)
    figure_one.compare(run, single)
    run.note(
        f"Means over {datasets['gaussian']} datasets of {INITS} networks each, d = {condition.inputs},"
        f" N = {condition.samples}, M = {condition.nodes}, extrapolated to infinite sizes with as many at half of both."
        " What the rate shifts in the mean-field limit is known and taken off."
    )
    run.note(
        f"Compared until a training sample can have raised its own margin by {PULL:.0%} of the threshold: afterwards"
        " the network learns the samples and no longer their distribution. Nothing is claimed of that time."
    )
    run.note(figure_one.note(single))
    return picture.draw(run.save(picture.collect(single, gaussian, sphere)), single)


def compare_gaussian(run: Trial, pair: Pair) -> None:
    """Compare networks on Gaussian inputs: the clock, the hyperbolas, and the unsatisfied fractions."""
    condition, theory, times = pair.condition, pair.condition.theory, pair.times
    steps, gamma, linear = recorded(condition), theory.gamma(times), theory.early(times)
    fitting = condition.pull(times) <= PULL
    before, early = _few(fitting), _few(theory.boundary(times) > LINEAR)
    begun = _few(fitting & (theory.unsatisfied(times) < BEGUN))
    found, slower = pair.limit("gamma"), condition.rate_shift(steps, _gamma)
    run.row(
        "gamma(t), from the slope of a + w_par against its initialisation",
        pair.compare(found, gamma, slower, before),
    )
    run.must_fail("clock 20% faster", pair.compare(found, theory.gamma(1.2 * times), slower, before))
    double = replace(condition, alpha=2 * condition.alpha).theory
    run.must_fail("output scale doubled", pair.compare(found, double.gamma(times), slower, before))
    turned = np.stack([2 * np.sinh(gamma / 2) ** 2, np.sinh(gamma)] * 2, axis=-1)
    run.row(
        "change of a_i and w_par,i regressed on their initialisations: cosh gamma - 1, sinh gamma",
        pair.compare(pair.limit("turned"), turned, condition.rate_shift(steps, _turned), before),
    )
    # The linear formula leaves out that some samples are satisfied: how much that is, descent's own limit says.
    bent = np.log(condition.descent(steps)[0]) - condition.speed(0.0) * times
    run.row("linear start: gamma = t/sqrt(2 pi d)", pair.compare(found, linear, bent, early))
    run.must_fail("t/sqrt(pi d)", pair.compare(found, np.sqrt(2) * linear, bent, early))
    _compare_slope(run, pair, before)
    unsatisfied, fewer = theory.unsatisfied(times), condition.rate_shift(steps, condition.unsatisfied)
    for name, statement in (
        ("unsatisfied", "fraction of training samples that are unsatisfied, erf(x_c/sqrt 2)"),
        ("fresh", "fraction of fresh samples that are unsatisfied"),
    ):
        run.row(statement, pair.compare(pair.limit(name), unsatisfied, fewer, begun))


def _gamma(up: Floats, down: Floats) -> Floats:
    """Return what `clock` measures of nodes that descent has multiplied so."""
    return np.log(up)


def _turned(up: Floats, down: Floats) -> Floats:
    """Return what `slopes` measures of them."""
    return np.stack([(up + down) / 2 - 1, (up - down) / 2] * 2, axis=-1)


def _compare_slope(run: Trial, pair: Pair, before: NDArray[np.int64]) -> None:
    times, ends = pair.times, before[[len(before) // 2, -1]]
    span = np.diff(np.log(times[ends]))
    expected = np.diff(pair.condition.theory.gamma(times[ends])) / span

    def slope(up: Floats, down: Floats) -> Floats:
        return np.asarray(np.diff(np.log(up)) / span)

    shift = pair.condition.rate_shift(recorded(pair.condition)[ends], slope)
    measured = np.diff(pair.limit("gamma")[:, ends], axis=1) / span - shift
    between = f"t = {times[ends][0]:g} to {times[ends][1]:g}"
    statement = f"slope of gamma in log t, {between}: {float(expected[0]):.3f}, on its way to 1/4"
    run.row(statement, pair.compare_mean(measured, expected))
    run.must_fail("1/4 already", pair.compare_mean(measured, 0.25))


def compare_error(run: Trial, pair: Pair) -> None:
    """Compare the test error of M nodes, as long as nearly all samples are unsatisfied: nothing corrects noise yet."""
    condition, theory, times = pair.condition, pair.condition.theory, pair.times

    def error(up: Floats, down: Floats) -> Floats:
        return theory.error(theory.time(np.log(up)))

    expected = theory.error(times)
    shift = condition.rate_shift(recorded(condition), error)
    bias = expected * (_tilt(condition, theory.spread(times)) - 1)
    uncorrected = _few(theory.boundary(times) > UNCORRECTED)
    found = pair.whole.error
    run.row(
        f"test error of {condition.nodes} nodes, while x_c > {UNCORRECTED:g}",
        pair.compare(found, expected, shift, uncorrected, bias),
    )
    wider = replace(condition, nodes=4 * condition.nodes).theory.error(times)
    run.must_fail("four times the nodes", pair.compare(found, wider, shift, uncorrected, bias))


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


def compare_band(run: Trial, pair: Pair) -> None:
    """Compare how many fresh samples are satisfied within the band of finite width."""
    statement = f"fresh samples with |x_par| > {LARGE:g}: fraction satisfied within {BAND:g} s.d. of f"
    run.row(statement, pair.compare_mean(pair.whole.inside, float(ndtr(BAND) - ndtr(-BAND))))


def compare_sphere(run: Trial, pair: Pair) -> None:
    """Compare networks on the unit sphere: another clock, the same curves."""
    condition, times, found = pair.condition, pair.times, pair.limit("gamma")
    gamma = condition.theory.gamma(times)
    steps, before = recorded(condition), _few(condition.pull(times) <= PULL)
    slower = condition.rate_shift(steps, _gamma)
    statement = f"unit sphere, d = {condition.inputs}: gamma(t) of its own theory"
    run.row(statement, pair.compare(found, gamma, slower, before))
    gaussian = replace(condition, distribution="gaussian", radius=1.0).theory.gamma(times)
    run.must_fail("clock of Gaussian inputs", pair.compare(found, gaussian, slower, before))
    # One clock for both factors, as a ratio: their difference alone is near 0 in any theory at first.
    turned = np.maximum(gamma, gamma[1])
    product = 1 - (found - pair.limit("falling")) / turned
    missed = condition.rate_shift(steps, lambda up, down: np.log(up * down)) / turned
    run.row(
        "unit sphere: the same hyperbolas, clock of a - w_par over that of a + w_par",
        pair.compare(product, np.ones(len(times)), -missed, before),
    )


def _few(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return a dozen of the chosen records, evenly spread, the first left out."""
    found = np.flatnonzero(chosen[1:]) + 1
    return np.asarray(np.unique(found[np.linspace(0, len(found) - 1, 12).astype(int)]))
