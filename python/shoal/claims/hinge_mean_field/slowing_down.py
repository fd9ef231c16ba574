"""Claim: learning slows down because ever fewer samples are left to learn from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfinv

from shoal import plot
from shoal.claims.claim import claim
from shoal.claims.shared.figures import legends, standard_error, ticks
from shoal.claims.shared.teacher import Condition, clock, halved, nodes, over_datasets, spread_steps
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_mean

QUICK = Condition(samples=2000, inputs=10, nodes=96, rate=0.25, steps=104, test_samples=2000)
FULL = Condition(samples=4000, inputs=10, nodes=192, rate=0.25, steps=168, test_samples=4000)
DATASETS = (32, 16)
"""How many, full and quick: each has its own data and initialisations, and is one draw of a statistical comparison."""

INITS = 4
"""Networks on one dataset, whose mean is that draw."""

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


@dataclass(frozen=True)
class Slowed:
    """Networks of one width on many datasets, means over the networks of a dataset; every step is recorded.

    ``gamma`` (datasets, times): the clock, measured from the nodes. ``unsatisfied, fresh`` (datasets, times): fractions
    of the training samples and of the test samples that are unsatisfied. ``driven`` (datasets, times): where the clock
    should be, given the fractions of training samples: `driven_by`. ``returned`` (datasets, 2): satisfied samples that
    are unsatisfied at a later step, and satisfied samples, until overfitting may set in.
    """

    gamma: Floats
    unsatisfied: Floats
    fresh: Floats
    driven: Floats
    returned: Floats

    @classmethod
    def train(cls, run: Trial, condition: Condition, datasets: int) -> Slowed:
        """Train on every dataset."""
        steps = np.arange(condition.steps + 1)
        fitting = condition.pull(steps * condition.rate) <= PULL

        def measure(part: int) -> list[Floats]:
            measures = ("trajectory", "margin", "test_margin")
            data = condition.train(run, steps=steps, measure=measures, networks=INITS, part=part)
            short = data["margin"].values < condition.threshold
            unsatisfied = short.mean(axis=-1)
            held = np.logical_or.accumulate(~short[:, fitting], axis=1)
            back = (held & short[:, fitting]).any(axis=1)
            counts = np.array([back.sum(), held[:, -1].sum()], float)
            fresh = (data["test_margin"].values < condition.threshold).mean(axis=-1)
            driven = driven_by(condition, speed_at(condition, unsatisfied))
            return [*(found.mean(axis=0) for found in (clock(*nodes(data)), unsatisfied, fresh, driven)), counts]

        return cls(*over_datasets(datasets, measure, run.threads, first=PART))


def driven_by(condition: Condition, speed: Floats) -> Floats:
    """Return the clock of descent, (networks, times), at these speeds: the sum of ln(1 + rate x speed) before."""
    stride = np.log1p(condition.rate * speed[:, :-1])
    return np.concatenate([np.zeros((len(speed), 1)), np.cumsum(stride, axis=1)], axis=1)


def speed_at(condition: Condition, fraction: ArrayLike) -> Floats:
    """Return d gamma/dt where a fraction of Gaussian samples is unsatisfied: sqrt(2/pi) (1 - e^(-x_c^2/2))/(2 sqrt d).

    The boundary x_c is that of the fraction, erf(x_c/sqrt 2); neither alpha nor the threshold enters.
    """
    inputs, boundary = condition.inputs_distribution, np.sqrt(2) * erfinv(np.asarray(fraction, float))
    return np.asarray(inputs.mean * inputs.mean_fraction(boundary) / (2 * np.sqrt(condition.inputs)))


def time_at(condition: Condition, fraction: ArrayLike) -> Floats:
    """Return when theory has a fraction of the samples unsatisfied."""
    boundary = np.sqrt(2) * erfinv(np.asarray(fraction, float))
    return np.asarray(condition.theory.satisfaction_time(boundary), np.float64)


def rate_shift(condition: Condition, fractions: Floats) -> Floats:
    """Return by how much the rate shifts those times in the mean-field limit of descent itself, (fractions,)."""

    def reached(up: Floats, down: Floats) -> Floats:
        return np.asarray(_reached(step_times(condition), condition.unsatisfied(up, down)[None], fractions)[0])

    return condition.rate_shift(np.arange(condition.steps + 1), reached)


def step_times(condition: Condition) -> Floats:
    """Return the times of the steps, (times,) float64."""
    return np.asarray(np.arange(condition.steps + 1) * condition.rate, np.float64)


def _reached(times: Floats, series: Floats, levels: Floats) -> Floats:
    """Return when falling series (datasets, times) reach levels, (datasets, levels), linear between records."""
    return np.array([np.interp(-levels, -np.minimum.accumulate(one), times) for one in series])


def compare(run: Trial, condition: Condition, whole: Slowed, half: Slowed) -> None:
    """Compare what is extrapolated to infinite sizes from M nodes on N samples and half of both.

    A training sample raises its own margin, by what falls like 1/N: it is satisfied early, the nodes lack its pull, and
    fresh samples are satisfied late. As what finite M adds, that drops out.
    """
    times = step_times(condition)
    before = np.flatnonzero((condition.pull(times) <= PULL) & (times > 0))
    few = before[np.unique(np.linspace(0, len(before) - 1, 12).astype(int))]
    gamma, driven, unsatisfied = (_limit(whole, half, name) for name in ("gamma", "driven", "unsatisfied"))

    def mean(measured: Floats, expected: Floats) -> Comparison:
        return replace(compare_mean(measured, expected), networks=len(whole.gamma) * INITS)

    def clocked(driven: Floats) -> Comparison:
        expected = driven[:, few].mean(axis=0)
        return mean(gamma[:, few] - driven[:, few] + expected, expected)

    run.row("gamma(t), from the fraction of samples unsatisfied at every step before", clocked(driven))
    proportional = driven_by(condition, speed_at(condition, 1.0) * unsatisfied)
    run.must_fail("speed in proportion to the fraction", clocked(proportional))

    fractions = FRACTIONS[time_at(condition, FRACTIONS) <= times[before[-1]]]
    arrivals = 2 * _reached(times, whole.fresh, fractions) - _reached(times, half.fresh, fractions)
    arrivals -= rate_shift(condition, fractions)
    expected = time_at(condition, fractions)
    run.row(
        f"time at which {1 - fractions[0]:.0%} .. {1 - fractions[-1]:.0%} of fresh samples are satisfied",
        mean(arrivals, expected),
    )
    higher = time_at(replace(condition, threshold=2 * condition.threshold), fractions)
    run.must_fail("threshold twice as high", mean(arrivals, higher))

    ends = [int(np.flatnonzero(fractions <= BEND)[0]), len(fractions) - 1]
    span = np.log(fractions[ends[1]] / fractions[ends[0]])
    exponent = -np.diff(np.log(arrivals[:, ends]), axis=1) / span
    predicted = -np.diff(np.log(expected[ends])) / span
    run.row(
        f"that time ~ fraction^(-n), {fractions[ends[0]]:g} to {fractions[ends[1]]:g}: n = {predicted[0]:.2f}, at last"
        " 2",
        mean(exponent, predicted),
    )
    run.must_fail("n = 2 already", mean(exponent, np.full(1, 2.0)))


def _limit(whole: Slowed, half: Slowed, name: str) -> Floats:
    return np.asarray(2 * getattr(whole, name) - getattr(half, name))


@claim(
    "slowing-down",
    "Learning slows down as samples are satisfied: the nodes turn at a speed set by the unsatisfied fraction.",
    source="arXiv:2006.11209; docs/theory.md section 7",
)
def slowing_down(run: Trial) -> Figure:
    """Compare speed with unsatisfied fraction, and times; measure two losses that no theory here covers."""
    condition = QUICK if run.quick else FULL
    datasets = max(2, run.networks(*(count * INITS for count in DATASETS)) // INITS)
    fewer = halved(condition)
    run.say(f"training on {datasets} datasets, {condition.nodes} and {fewer.nodes} nodes")
    whole, half = (Slowed.train(run, each, datasets) for each in (condition, fewer))
    steps = spread_steps(condition.steps, 24)
    others = {}
    for loss in OTHERS:
        run.say(f"training with {loss}")
        late = condition.train(run, steps=steps, measure=("trajectory",), networks=INITS, part=PART, loss=loss)
        others[loss] = clock(*nodes(late))
    run.note(
        f"Means over {datasets} datasets of {INITS} networks each, d = {condition.inputs}, N = {condition.samples} and"
        f" M = {condition.nodes}, extrapolated to infinite sizes with as many at half of both, until a training sample"
        f" can have raised its own margin by {PULL:.0%} of the threshold."
    )
    run.note("The first row has no bias: given the fractions at every step, descent's own clock is their sum.")
    run.note(
        "In the limit a satisfied sample stays satisfied. Here, until then, "
        + " and ".join(
            f"{found.returned[:, 0].sum():.0f} of {found.returned[:, 1].sum():.0f} came back at M = {each.nodes}"
            for found, each in ((whole, condition), (half, fewer))
        )
        + ": no theory says how many do at finite width, so nothing is compared."
    )
    run.note(
        "Squared hinge and cross-entropy are measured and not predicted: their residuals differ from sample to sample,"
        " so that no single boundary says how fast the nodes turn."
    )
    compare(run, condition, whole, half)
    return _figure(run.save(_data(condition, whole, half, steps, others)), condition)


def _data(
    condition: Condition, whole: Slowed, half: Slowed, steps: NDArray[np.int64], others: dict[str, Floats]
) -> xr.Dataset:
    times, gamma, unsatisfied = step_times(condition), *(_limit(whole, half, name) for name in ("gamma", "unsatisfied"))
    speed = np.expm1(np.diff(gamma, axis=1)) / condition.rate
    table = {
        "gamma": (("time",), gamma.mean(axis=0)),
        "gamma_predicted": (("time",), condition.theory.gamma(times)),
        "share": (("time",), unsatisfied.mean(axis=0)),
        "share_error": (("time",), standard_error(unsatisfied)),
        "share_predicted": (("time",), condition.theory.unsatisfied(times)),
        "speed": (("step_time",), speed.mean(axis=0)),
        "speed_error": (("step_time",), standard_error(speed)),
        **{f"gamma_{loss}": (("network", "late"), found[:, 1:]) for loss, found in others.items()},
    }
    return xr.Dataset(table, coords={"time": times, "step_time": times[:-1], "late": steps[1:] * condition.rate})


def _figure(data: xr.Dataset, condition: Condition) -> Figure:
    titles = ("The fewer are left, the slower", "The fraction left falls like a power", "The clocks of three losses")
    made, (speed, left, losses) = plot.figure(titles, width=5.4, height=4.8)
    _draw_speed(speed, data, condition)
    _draw_unsatisfied(left, data)
    _draw_losses(losses, data)
    legends((speed, left, losses))
    return made


def _some(first: int, records: int, count: int) -> NDArray[np.int64]:
    """Return some records, each about the same factor after the one before."""
    return np.unique(np.rint(np.geomspace(first, records - 1, count)).astype(int))


def _draw_speed(axes: Axes, data: xr.Dataset, condition: Condition) -> None:
    line, some = np.linspace(0.0, 1.0, 400), _some(4, data.sizes["step_time"], 26)
    label = "theory, from the fraction alone"
    plot.theory(axes, line, speed_at(condition, line), color=plot.COLOURS[0], label=label)
    fraction, speed, error = (data[name].values[some] for name in ("share", "speed", "speed_error"))
    plot.points(axes, fraction, speed, error=4 * error, color=plot.COLOURS[1], label="trained, mean, 4 s.e.")
    axes.set(xlabel="fraction of samples unsatisfied", ylabel=r"speed of the clock, $d\gamma/dt$", xlim=(1.04, 0))


def _draw_unsatisfied(axes: Axes, data: xr.Dataset) -> None:
    predicted, some = data["share_predicted"], _some(1, data.sizes["time"], 26)
    label = r"theory, erf$(x_c/\sqrt{2})$"
    plot.theory(axes, predicted["time"][1:], predicted[1:], color=plot.COLOURS[0], label=label)
    time, fraction, error = (data[name].values[some] for name in ("time", "share", "share_error"))
    plot.points(axes, time, fraction, error=4 * error, color=plot.COLOURS[1], label="trained, mean, 4 s.e.")
    last, level = float(data["time"][-1]), float(predicted[-1])
    guide = np.array([last / 4, last])
    slope = 0.8 * level * np.sqrt(last / guide)
    plot.theory(axes, guide, slope, color="0.4", lw=1.4, ls="--", label="slope -1/2, its limit")
    axes.set(xscale="log", xlabel=r"time (step x rate, $\beta$ = 1)")
    axes.set(yscale="log", ylabel="fraction of samples unsatisfied")
    ticks(axes.yaxis, (0.1, 0.2, 0.3, 0.5, 0.7, 1.0), low=0.7 * level)


def _draw_losses(axes: Axes, data: xr.Dataset) -> None:
    time, some = data["time"].values, _some(1, data.sizes["time"], 24)
    plot.theory(axes, time[1:], data["gamma_predicted"][1:], color=plot.COLOURS[0], label="hinge, theory")
    plot.points(axes, time[some], data["gamma"].values[some], color=plot.COLOURS[0], label="hinge, trained")
    for loss, colour, marker in zip(OTHERS, plot.COLOURS[1:], "sD", strict=False):
        found = data[f"gamma_{loss}"].values
        label = f"{loss.replace('_', ' ')}, trained: no theory"
        plot.points(axes, data["late"], found.mean(axis=0), color=colour, fmt=f"{marker}-", lw=0.8, label=label)
    axes.set(xscale="log", xlabel=r"time (step x rate, $\beta$ = 1)", ylabel=r"$\gamma(t)$, from the nodes")
