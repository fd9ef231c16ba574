"""Claim: learning slows down because ever fewer samples are left to learn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.special import erfinv

from shoal import claim, plot
from shoal.claims.shared.figures import TIME, legends, standard_error, ticks
from shoal.claims.shared.limits import NETWORKS, Halves, Measured, count_datasets
from shoal.claims.shared.teacher import Condition, clock, dozen, nodes, spread_steps
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats, Integers

QUICK = Condition(samples=2000, inputs=10, nodes=96, rate=0.25, steps=104, test_samples=2000)
FULL = Condition(samples=4000, inputs=10, nodes=192, rate=0.25, steps=168, test_samples=4000)
DATASETS = (32, 16)
"""How many, full and quick: each has its own data and initialisations, and is one draw of a statistical comparison."""
PULL = 0.1
"""Compared while no training sample can have raised its own margin by this much of h: overfitting has not set in."""
FRACTIONS = np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25])
"""Fractions of unsatisfied samples, of which the times are compared: those that theory reaches in time."""
BEND = 0.6
"""Fraction from which on its fall is compared with a power."""
OTHERS = ("squared_hinge", "cross_entropy")
"""Losses without a theory here."""
PART = 4000
"""Of the seeds, as in `far_seed`; the mean-field claim uses others."""


@claim(
    "slowing-down",
    "Learning slows down as samples are satisfied: the nodes turn at a speed set by the unsatisfied fraction.",
    source="arXiv:2006.11209; theory book, chapter 7",
)
def slowing_down(run: Trial) -> Figure:
    """Compare speed with unsatisfied fraction, and times; measure two losses that no theory here covers."""
    condition = QUICK if run.quick else FULL
    datasets = count_datasets(run, *DATASETS)
    pair = train(run, condition, datasets)
    steps = spread_steps(condition.steps, 24)
    others = {}
    for loss in OTHERS:
        run.say(f"training with {loss}")
        late = condition.train(run, steps=steps, measure=("trajectory",), networks=NETWORKS, part=PART, loss=loss)
        others[loss] = clock(*nodes(late))
    run.note(
        f"Means over {datasets} datasets of {NETWORKS} networks each, d = {condition.inputs},"
        f" N = {condition.samples} and M = {condition.nodes}, extrapolated to infinite sizes with as many at half of"
        f" both, until a training sample can have raised its own margin by {PULL:.0%} of the threshold.",
        "The first row has no bias: given the fractions at every step, descent's own clock is their sum.",
    )
    sizes = ((pair.whole, condition.nodes), (pair.half, condition.nodes // 2))
    returned = (
        "{:.0f} of {:.0f} came back at M = {}".format(*size["returned"].sum(axis=0), count) for size, count in sizes
    )
    run.note(
        f"Means over {datasets} datasets of {NETWORKS} networks each, d = {condition.inputs},"
        f" N = {condition.samples} and M = {condition.nodes}, extrapolated to infinite sizes with as many at half of"
        f" both, until a training sample can have raised its own margin by {PULL:.0%} of the threshold.",
        "The first row has no bias: given the fractions at every step, descent's own clock is their sum.",
    )
    returned = (
        f"{back:.0f} of {satisfied:.0f} came back at M = {count}"
        for (back, satisfied), count in (
            (pair.whole["returned"].sum(axis=0), condition.nodes),
            (pair.half["returned"].sum(axis=0), condition.nodes // 2),
        )
    )
    run.note(
        f"In the limit a satisfied sample stays satisfied. Here, until then, {' and '.join(returned)}: no theory says"
        " how many do at finite width, so nothing is compared.",
        "Squared hinge and cross-entropy are measured and not predicted: their residuals differ from sample to sample,"
        " so that no single boundary says how fast the nodes turn.",
    )
    compare(run, pair)
    return _figure(run.save(_data(pair, steps, others)), condition)


def train(run: Trial, condition: Condition, datasets: int) -> Halves:
    """Train networks on every dataset, at both sizes, and record every step.

    ``gamma`` (times,): the clock, measured from the nodes. ``unsatisfied, fresh`` (times,): fractions of the training
    and of the test samples that are unsatisfied. ``driven`` (times,): the clock that follows from the training samples:
    `driven_by`. ``returned`` (2,): satisfied samples that are unsatisfied at a later step, and satisfied samples, until
    overfitting may set in.
    """
    steps = np.arange(condition.steps + 1)

    def measuring(condition: Condition) -> Callable[[int], Measured]:
        fitting = condition.pull(condition.times) <= PULL

        def measure(part: int) -> Measured:
            measures = ("trajectory", "margin", "test_margin")
            data = condition.train(run, steps=steps, measure=measures, networks=NETWORKS, part=part)
            short = data["margin"].values < condition.threshold
            held = np.logical_or.accumulate(~short[:, fitting], axis=1)
            back = (held & short[:, fitting]).any(axis=1)
            unsatisfied = short.mean(axis=-1)
            found = {
                "gamma": clock(*nodes(data)),
                "unsatisfied": unsatisfied,
                "fresh": (data["test_margin"].values < condition.threshold).mean(axis=-1),
                "driven": driven_by(condition, speed_at(condition, unsatisfied)),
            }
            means = {name: values.mean(axis=0) for name, values in found.items()}
            return means | {"returned": np.array([back.sum(), held[:, -1].sum()], float)}

        return measure

    return Halves.train(run, condition, datasets, measuring, PART)


def driven_by(condition: Condition, speed: Floats) -> Floats:
    """Return the clock of descent, (networks, times), at these speeds: the sum of ln(1 + rate x speed) before."""
    stride = np.log1p(condition.rate * speed[:, :-1])
    return np.concatenate([np.zeros((len(speed), 1)), np.cumsum(stride, axis=1)], axis=1)


def boundary_at(fraction: ArrayLike) -> Floats:
    """Return the boundary x_c at which a fraction erf(x_c/sqrt 2) of Gaussian samples is unsatisfied."""
    return np.asarray(np.sqrt(2) * erfinv(np.asarray(fraction, float)))


def speed_at(condition: Condition, fraction: ArrayLike) -> Floats:
    """Return d gamma/dt where a fraction of the samples is unsatisfied; neither alpha nor the threshold enters."""
    return condition.speed(boundary_at(fraction))


def time_at(condition: Condition, fraction: ArrayLike) -> Floats:
    """Return when theory has a fraction of the samples unsatisfied."""
    return condition.theory.satisfaction_time(boundary_at(fraction))


def _reached(times: Floats, series: Floats, levels: Floats) -> Floats:
    """Return when falling series (datasets, times) reach levels, (datasets, levels), linear between records."""
    return np.array([np.interp(-levels, -np.minimum.accumulate(one), times) for one in series])


def compare(run: Trial, pair: Halves) -> None:
    """Compare clock, times and exponent, extrapolated to infinite sizes.

    A training sample raises its own margin, by what falls like 1/N: it is satisfied early, the nodes lack its pull, and
    fresh samples are satisfied late. As what finite M adds, that drops out.
    """
    condition, times = pair.condition, pair.condition.times
    fitting = condition.pull(times) <= PULL
    few = dozen(fitting)
    gamma, driven, unsatisfied = (pair.limit(name) for name in ("gamma", "driven", "unsatisfied"))

    def clocked(driven: Floats) -> Comparison:
        expected = driven[:, few].mean(axis=0)
        return pair.compare_mean(gamma[:, few] - driven[:, few] + expected, expected)

    run.row("gamma(t), from the fraction of samples unsatisfied at every step before", clocked(driven))
    proportional = driven_by(condition, speed_at(condition, 1.0) * unsatisfied)
    run.must_fail("speed in proportion to the fraction", clocked(proportional))

    fractions = FRACTIONS[time_at(condition, FRACTIONS) <= times[fitting][-1]]
    arrivals = 2 * _reached(times, pair.whole["fresh"], fractions) - _reached(times, pair.half["fresh"], fractions)
    arrivals -= condition.rate_shift(
        np.arange(condition.steps + 1),
        lambda up, down: _reached(times, condition.unsatisfied(up, down)[None], fractions)[0],
    )
    expected = time_at(condition, fractions)
    statement = f"time at which {1 - fractions[0]:.0%} .. {1 - fractions[-1]:.0%} of fresh samples are satisfied"
    run.row(statement, pair.compare_mean(arrivals, expected))
    higher = time_at(replace(condition, threshold=2 * condition.threshold), fractions)
    run.must_fail("threshold twice as high", pair.compare_mean(arrivals, higher))

    ends = [int(np.flatnonzero(fractions <= BEND)[0]), len(fractions) - 1]
    span = np.log(fractions[ends[1]] / fractions[ends[0]])
    exponent = -np.diff(np.log(arrivals[:, ends]), axis=1) / span
    predicted = -np.diff(np.log(expected[ends])) / span
    between = f"{fractions[ends[0]]:g} to {fractions[ends[1]]:g}"
    run.row(
        f"that time ~ fraction^(-n), {between}: n = {predicted[0]:.2f}, at last 2",
        pair.compare_mean(exponent, predicted),
    )
    run.must_fail("n = 2 already", pair.compare_mean(exponent, np.full(1, 2.0)))


def _data(pair: Halves, steps: Integers, others: dict[str, Floats]) -> xr.Dataset:
    condition, times = pair.condition, pair.condition.times
    gamma, unsatisfied = pair.limit("gamma"), pair.limit("unsatisfied")
    speed = np.expm1(np.diff(gamma, axis=1)) / condition.rate
    table = {
        "gamma": ("time", gamma.mean(axis=0)),
        "gamma_predicted": ("time", condition.theory.gamma(times)),
        "share": ("time", unsatisfied.mean(axis=0)),
        "share_error": ("time", standard_error(unsatisfied)),
        "share_predicted": ("time", condition.theory.unsatisfied(times)),
        "speed": ("step_time", speed.mean(axis=0)),
        "speed_error": ("step_time", standard_error(speed)),
        **{f"gamma_{loss}": (("network", "late"), found[:, 1:]) for loss, found in others.items()},
    }
    return xr.Dataset(table, coords={"time": times, "step_time": times[:-1], "late": steps[1:] * condition.rate})


def _figure(data: xr.Dataset, condition: Condition) -> Figure:
    titles = ("Fewer samples left, slower learning", "The fraction left falls as predicted", "Other losses are slower")
    made, (speed, left, losses) = plot.figure(titles, width=4.3, height=4.0)
    blue, orange, time, predicted = *plot.COLOURS[:2], data["time"].values, data["share_predicted"].values

    line, some = np.linspace(0.0, 1.0, 400), spread_steps(data.sizes["step_time"] - 1, 26)[4:]
    plot.theory(speed, line, speed_at(condition, line), color=blue, label="theory, from the fraction alone")
    label, found = "trained, mean ±4 s.e.", data.isel(time=some, step_time=some)
    plot.points(speed, found["share"], found["speed"], error=4 * found["speed_error"], color=orange, label=label)
    speed.set(xlabel="fraction of samples unsatisfied", ylabel=r"speed of the clock $d\gamma/dt$", xlim=(1.04, 0))

    some = spread_steps(len(time) - 1, 26)[1:]
    plot.theory(left, time[1:], predicted[1:], color=blue, label=r"theory, erf$(x_c/\sqrt{2})$")
    found = data.isel(time=some)
    plot.points(left, time[some], found["share"], error=4 * found["share_error"], color=orange, label=label)
    guide, level = np.array([time[-1] / 4, time[-1]]), float(predicted[-1])
    slope = 0.8 * level * np.sqrt(time[-1] / guide)
    plot.theory(left, guide, slope, color="0.4", lw=1.4, ls="--", label="slope -1/2, its limit")
    left.set(xscale="log", xlabel=TIME, yscale="log", ylabel="fraction of samples unsatisfied")
    ticks(left.yaxis, (0.1, 0.2, 0.3, 0.5, 0.7, 1.0), low=0.7 * level)

    plot.theory(losses, time[1:], data["gamma_predicted"][1:], color=blue, label="hinge, theory")
    plot.points(losses, time[some], found["gamma"], color=blue, label="hinge, trained")
    for loss, colour, marker in zip(OTHERS, plot.COLOURS[1:], "sD", strict=False):
        label, mean = f"{loss.replace('_', ' ')}: no theory", data[f"gamma_{loss}"].mean("network")
        plot.points(losses, data["late"], mean, color=colour, fmt=f"{marker}-", lw=0.8, label=label)
    losses.set(xscale="log", xlabel=TIME, ylabel=r"angle $\gamma$, from the nodes")
    legends((speed, left, losses))
    return made
