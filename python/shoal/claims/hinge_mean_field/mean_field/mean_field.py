"""Claim: a wide network with a hinge learns a teacher as the mean-field theory says, every node on its own curve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from scipy.special import ndtr

from shoal import claim
from shoal.claims.hinge_mean_field.mean_field import ensemble, figure_one, picture
from shoal.claims.hinge_mean_field.mean_field.ensemble import BAND, EVERY, LARGE, recorded
from shoal.claims.hinge_mean_field.mean_field.figure_one import PULL
from shoal.claims.shared.limits import NETWORKS, Halves, count_datasets
from shoal.claims.shared.teacher import Condition, dozen
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats, Integers

QUICK = Condition(samples=1500, inputs=10, nodes=96, rate=0.25, steps=80, test_samples=2000)
FULL = Condition(samples=4000, inputs=10, nodes=192, rate=0.25, steps=120, test_samples=4000)
SPHERE = Condition(samples=1500, inputs=3, nodes=96, rate=0.25, steps=80, distribution="sphere", test_samples=1)
DATASETS, SPHERES = (32, 24), (32, 16)
"""Datasets, full and quick: each has its own samples and initialisations, and is one draw of a comparison."""
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
    condition, figure = (QUICK, figure_one.QUICK) if run.quick else (FULL, figure_one.FULL)
    datasets = count_datasets(run, *DATASETS)
    gaussian = ensemble.train(run, condition, datasets, first=0)
    sphere = ensemble.train(run, SPHERE, count_datasets(run, *SPHERES), first=1000)
    single, note = figure_one.train(run, figure)
    compare_gaussian(run, gaussian)
    compare_error(run, gaussian)
    compare_band(run, gaussian)
    compare_sphere(run, sphere)
    figure_one.compare(run, figure, single)
    run.note(
        f"Means over {datasets} datasets of {NETWORKS} networks each, d = {condition.inputs},"
        f" N = {condition.samples}, M = {condition.nodes}, extrapolated to infinite sizes with as many at half of both."
        " What the rate shifts in the mean-field limit is known and taken off.",
        f"Compared until a training sample can have raised its own margin by {PULL:.0%} of the threshold: afterwards"
        " the network learns the samples and no longer their distribution. Nothing is claimed of that time.",
        note,
    )
    return picture.draw(run.save(picture.collect(figure, single, gaussian, sphere)), figure)


def compare_gaussian(run: Trial, pair: Halves) -> None:
    """Compare networks on Gaussian inputs: the clock, the hyperbolas, and the unsatisfied fractions."""
    condition, theory, times = pair.condition, pair.condition.theory, pair.condition.times[::EVERY]
    steps, gamma, linear = recorded(condition), theory.gamma(times), theory.early(times)
    fitting = condition.pull(times) <= PULL
    before, early = dozen(fitting), dozen(theory.boundary(times) > LINEAR)
    found = pair.limit("gamma") - condition.rate_shift(steps, lambda up, down: np.log(up))

    def clocked(predicted: Floats) -> Comparison:
        return pair.compare_mean(found[:, before], predicted[before])

    run.row("gamma(t), from the slope of a + w_par against its initialisation", clocked(gamma))
    run.must_fail("clock 20% faster", clocked(theory.gamma(1.2 * times)))
    run.must_fail("output scale doubled", clocked(replace(theory, alpha=2 * theory.alpha).gamma(times)))
    slopes = pair.limit("turned") - condition.rate_shift(
        steps, lambda up, down: np.stack([(up + down) / 2 - 1, (up - down) / 2] * 2, axis=-1)
    )
    turned = np.stack([2 * np.sinh(gamma / 2) ** 2, np.sinh(gamma)] * 2, axis=-1)
    run.row(
        "change of a_i and w_par,i regressed on their initialisations: cosh gamma - 1, sinh gamma",
        pair.compare_mean(slopes[:, before], turned[before]),
    )
    # The linear formula leaves out that some samples are satisfied: how much that is, descent's own limit says.
    bent = np.log(condition.descent(steps)[0]) - float(condition.speed(np.inf)) * times
    straight = (pair.limit("gamma") - bent)[:, early]
    run.row("linear start: gamma = t/sqrt(2 pi d)", pair.compare_mean(straight, linear[early]))
    run.must_fail("t/sqrt(pi d)", pair.compare_mean(straight, (np.sqrt(2) * linear)[early]))
    _compare_slope(run, pair, before)
    begun = dozen(fitting & (theory.unsatisfied(times) < BEGUN))
    shift = condition.rate_shift(steps, condition.unsatisfied)
    for name, statement in (
        ("unsatisfied", "fraction of training samples that are unsatisfied, erf(x_c/sqrt 2)"),
        ("fresh", "fraction of fresh samples that are unsatisfied"),
    ):
        left = (pair.limit(name) - shift)[:, begun]
        run.row(statement, pair.compare_mean(left, theory.unsatisfied(times)[begun]))


def _compare_slope(run: Trial, pair: Halves, before: Integers) -> None:
    ends = before[[len(before) // 2, -1]]
    times = pair.condition.times[::EVERY][ends]
    span = np.diff(np.log(times))
    expected = np.diff(pair.condition.theory.gamma(times)) / span
    shift = pair.condition.rate_shift(recorded(pair.condition)[ends], lambda up, down: np.diff(np.log(up)) / span)
    measured = np.diff(pair.limit("gamma")[:, ends], axis=1) / span - shift
    between = f"t = {times[0]:g} to {times[1]:g}"
    statement = f"slope of gamma in log t, {between}: {float(expected[0]):.3f}, on its way to 1/4"
    run.row(statement, pair.compare_mean(measured, expected))
    run.must_fail("1/4 already", pair.compare_mean(measured, 0.25))


def compare_error(run: Trial, pair: Halves) -> None:
    """Compare the test error of M nodes, as long as nearly all samples are unsatisfied: nothing corrects noise yet."""
    condition, theory, times = pair.condition, pair.condition.theory, pair.condition.times[::EVERY]
    at = dozen(theory.boundary(times) > UNCORRECTED)
    shift = condition.rate_shift(recorded(condition), lambda up, down: theory.error(theory.time(np.log(up))))
    measured = (pair.whole["error"] - shift)[:, at]
    bias = (theory.error(times) * (_tilt(condition, theory.spread(times)) - 1))[at]
    statement = f"test error of {condition.nodes} nodes, while x_c > {UNCORRECTED:g}"
    run.row(statement, pair.compare_mean(measured, theory.error(times)[at], bias))
    wider = replace(theory, nodes=4 * theory.nodes).error(times)
    run.must_fail("four times the nodes", pair.compare_mean(measured, wider[at], bias))


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


def compare_band(run: Trial, pair: Halves) -> None:
    """Compare how many fresh samples are satisfied within the band of finite width."""
    statement = f"fresh samples with |x_par| > {LARGE:g}: fraction satisfied within {BAND:g} s.d. of f"
    run.row(statement, pair.compare_mean(pair.whole["inside"], float(ndtr(BAND) - ndtr(-BAND))))


def compare_sphere(run: Trial, pair: Halves) -> None:
    """Compare networks on the unit sphere: another clock, the same curves."""
    condition, times, found = pair.condition, pair.condition.times[::EVERY], pair.limit("gamma")
    gamma = condition.theory.gamma(times)
    steps, before = recorded(condition), dozen(condition.pull(times) <= PULL)
    measured = (found - condition.rate_shift(steps, lambda up, down: np.log(up)))[:, before]
    statement = f"unit sphere, d = {condition.inputs}: gamma(t) of its own theory"
    run.row(statement, pair.compare_mean(measured, gamma[before]))
    gaussian = replace(condition.theory, distribution="gaussian", radius=1.0).gamma(times)
    run.must_fail("clock of Gaussian inputs", pair.compare_mean(measured, gaussian[before]))
    # One clock for both factors, as a ratio: their difference alone is near 0 in any theory at first.
    turned = np.maximum(gamma, gamma[1])
    missed = condition.rate_shift(steps, lambda up, down: np.log(up * down)) / turned
    ratio = 1 - (found - pair.limit("falling")) / turned + missed
    run.row(
        "unit sphere: the same hyperbolas, clock of a - w_par over that of a + w_par",
        pair.compare_mean(ratio[:, before], 1.0),
    )
