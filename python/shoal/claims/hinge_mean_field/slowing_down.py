"""Claim: learning slows down because ever fewer samples are left to learn from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfinv

from shoal import plot
from shoal.claims.claim import claim
from shoal.claims.outcome import Row, Setting
from shoal.claims.shared.teacher import Condition, clock, halved, nodes, over_datasets
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUICK = Condition(samples=2000, inputs=10, nodes=96, rate=0.25, steps=104, test_samples=2000)
FULL = Condition(samples=4000, inputs=10, nodes=192, rate=0.25, steps=168, test_samples=4000)
DATASETS = (32, 16)
"""How many, full and quick: each has its own data and initialisations, and is one draw of a statistical comparison."""

INITS = 4
"""Networks on one dataset, whose mean is that draw."""

PULL = 0.1
"""Compared while no training sample can have raised its own margin by this much of h: overfitting has not set in."""

SHARES = np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25])
"""Shares of unsatisfied samples, of which the times are compared: those that theory reaches in time."""

BEND = 0.6
"""Share from which on its fall is compared with a power."""

OTHERS = ("squared_hinge", "cross_entropy")
"""Losses without a theory here."""

PART = 4000
"""Of the seeds, as in `far_seed`; the mean-field claim uses others."""


@dataclass(frozen=True)
class Slowed:
    """Networks of one width on many datasets, means over the networks of a dataset; every step is recorded.

    ``gamma`` (datasets, times): the clock, measured from the nodes. ``share, fresh`` (datasets, times): of the training
    samples that are unsatisfied, and of the test samples. ``driven`` (datasets, times): where the clock should be,
    given those shares: the sum of ln(1 + rate x speed at the fraction). ``returned`` (datasets, 2): satisfied samples
    that are unsatisfied at a later step, and satisfied samples, until overfitting may set in.
    """

    gamma: Floats
    share: Floats
    fresh: Floats
    driven: Floats
    returned: Floats

    @classmethod
    def train(cls, condition: Condition, setting: Setting, datasets: int) -> Slowed:
        """Train on every dataset."""
        steps = np.arange(condition.steps + 1)
        fitting = condition.pull(steps * condition.rate) <= PULL

        def measure(part: int) -> list[Floats]:
            data = condition.train(
                setting, steps=steps, measure=("trajectory", "margin", "test_margin"), networks=INITS, part=PART + part
            )
            short = data["margin"].values < condition.threshold
            share = short.mean(axis=-1)
            stride = np.log1p(condition.rate * speed_at(condition, share[:, :-1]))
            driven = np.concatenate([np.zeros((len(share), 1)), np.cumsum(stride, axis=1)], axis=1)
            held = np.logical_or.accumulate(~short[:, fitting], axis=1)
            back = (held & short[:, fitting]).any(axis=1)
            counts = np.array([back.sum(), held[:, -1].sum()], float)
            fresh = (data["test_margin"].values < condition.threshold).mean(axis=-1)
            return [*(found.mean(axis=0) for found in (clock(*nodes(data)), share, fresh, driven)), counts]

        return cls(*over_datasets(datasets, measure, setting.threads))


def speed_at(condition: Condition, share: ArrayLike) -> Floats:
    """Return d gamma/dt where a fraction of Gaussian samples is unsatisfied: sqrt(2/pi) (1 - e^(-x_c^2/2))/(2 sqrt d).

    The boundary x_c is that of the fraction, erf(x_c/sqrt 2); neither alpha nor the threshold enters.
    """
    law, boundary = condition.inputs_distribution, np.sqrt(2) * erfinv(np.asarray(share, float))
    return np.asarray(law.mean * law.share(boundary) / (2 * np.sqrt(condition.inputs)))


def time_of(condition: Condition, share: ArrayLike) -> Floats:
    """Return when theory has a fraction of the samples unsatisfied."""
    theory = condition.theory
    return np.asarray(theory.satisfaction_time(np.sqrt(2) * erfinv(np.asarray(share, float))), np.float64)


def rate_shift(condition: Condition, share: Floats) -> Floats:
    """Return by how much the rate shifts those times in the mean-field limit of descent itself, (shares,) float64."""
    steps = np.arange(condition.steps + 1)
    times = np.asarray(steps * condition.rate)

    def reached(up: Floats, down: Floats) -> Floats:
        return np.asarray(_reached(times, condition.share(up, down)[None], share)[0], np.float64)

    return condition.rate_shift(steps, reached)


def _reached(times: NDArray[Any], series: Floats, levels: Floats) -> Floats:
    """Return when falling series (datasets, times) reach levels, (datasets, levels), linear between records."""
    return np.array([np.interp(-levels, -np.minimum.accumulate(one), times) for one in series])


def rows(condition: Condition, whole: Slowed, half: Slowed) -> list[Row]:
    """Return what is compared, extrapolated to infinite sizes from M nodes on N samples and half of both.

    A training sample raises its own margin, by what falls like 1/N: it is satisfied early, the nodes lack its pull, and
    fresh samples are satisfied late. As what finite M adds, that drops out.
    """
    times = np.asarray(np.arange(condition.steps + 1) * condition.rate, np.float64)
    networks = len(whole.gamma) * INITS
    before = np.flatnonzero((condition.pull(times) <= PULL) & (times > 0))
    few = before[np.unique(np.linspace(0, len(before) - 1, 12).astype(int))]
    measured, driven = ((2 * getattr(whole, name) - getattr(half, name))[:, few] for name in ("gamma", "driven"))
    foretold = driven.mean(axis=0)
    shares = SHARES[time_of(condition, SHARES) <= times[before[-1]]]
    arrivals = 2 * _reached(times, whole.fresh, shares) - _reached(times, half.fresh, shares)
    arrivals -= rate_shift(condition, shares)
    expected = time_of(condition, shares)
    ends = [int(np.flatnonzero(shares <= BEND)[0]), len(shares) - 1]
    run = np.log(shares[ends[1]] / shares[ends[0]])
    exponent = np.diff(np.log(arrivals[:, ends]), axis=1) / run
    predicted = np.diff(np.log(expected[ends])) / run
    return [
        Row(
            "gamma(t), from the fraction of samples unsatisfied at every step before",
            replace(compare_mean(measured - driven + foretold, foretold), networks=networks),
        ),
        Row(
            f"time at which {1 - shares[0]:.0%} .. {1 - shares[-1]:.0%} of fresh samples are satisfied",
            replace(compare_mean(arrivals, expected), networks=networks),
        ),
        Row(
            f"that time ~ fraction^(-n), {shares[ends[0]]:g} to {shares[ends[1]]:g}: n = {-predicted[0]:.2f}, at last"
            " 2",
            replace(compare_mean(-exponent, -predicted), networks=networks),
        ),
    ]


@claim(
    "slowing-down",
    "Learning slows down as samples are satisfied: the nodes turn at a speed set by the unsatisfied fraction.",
    source="arXiv:2006.11209; docs/theory.md section 7",
)
def slowing_down(run: Trial) -> Figure:
    """Compare speed against share, times, returns; and two losses that no theory here covers."""
    condition = QUICK if run.quick else FULL
    datasets = max(2, run.networks(*(count * INITS for count in DATASETS)) // INITS)
    fewer = halved(condition)
    run.say(f"training on {datasets} datasets, {condition.nodes} and {fewer.nodes} nodes")
    whole, half = (Slowed.train(each, run.setting, datasets) for each in (condition, fewer))
    steps = np.unique(np.rint(np.geomspace(1, condition.steps, 24)).astype(int))
    others = {}
    for loss in OTHERS:
        run.say(f"training with {loss}")
        data = condition.train(
            run.setting, steps=[0, *steps], measure=("trajectory",), networks=INITS, part=PART, loss=loss
        )
        others[loss] = clock(*nodes(data))
    data = _data(condition, whole, half, steps, others)
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
    run.rows += rows(condition, whole, half)
    run.save(data)
    return _figure(data, condition)


def _data(
    condition: Condition, whole: Slowed, half: Slowed, steps: NDArray[np.int64], others: dict[str, Floats]
) -> xr.Dataset:
    """Collect what the figure shows."""
    times = np.asarray(np.arange(condition.steps + 1) * condition.rate, np.float64)
    gamma, share = (2 * getattr(whole, name) - getattr(half, name) for name in ("gamma", "share"))
    speed = np.expm1(np.diff(gamma, axis=1)) / condition.rate
    root = np.sqrt(len(gamma))
    table = {
        "gamma": (("time",), gamma.mean(axis=0)),
        "gamma_predicted": (("time",), condition.theory.gamma(times)),
        "share": (("time",), share.mean(axis=0)),
        "share_error": (("time",), share.std(axis=0, ddof=1) / root),
        "share_predicted": (("time",), condition.theory.unsatisfied(times)),
        "speed": (("step_time",), speed.mean(axis=0)),
        "speed_error": (("step_time",), speed.std(axis=0, ddof=1) / root),
        **{f"gamma_{loss}": (("network", "late"), found[:, 1:]) for loss, found in others.items()},
    }
    return xr.Dataset(table, coords={"time": times, "step_time": times[:-1], "late": steps * condition.rate})


def _figure(data: xr.Dataset, condition: Condition) -> Figure:
    """Draw the speed against the fraction, the fraction against time, and the clocks of three losses."""
    titles = ("The fewer are left, the slower", "The fraction left falls like a power", "The clocks of three losses")
    made, (speed, share, losses) = plot.figure(titles, width=5.4, height=4.8)
    _draw_speed(speed, data, condition)
    _draw_share(share, data)
    _draw_losses(losses, data)
    for axes in (speed, share, losses):
        plot.legend(axes)
    return made


def _draw_speed(axes: Axes, data: xr.Dataset, condition: Condition) -> None:
    shares = np.linspace(0.0, 1.0, 400)
    plot.theory(
        axes, shares, speed_at(condition, shares), color=plot.COLOURS[0], label="theory, from the fraction alone"
    )
    shown = np.unique(np.rint(np.geomspace(4, data.sizes["step_time"] - 1, 26)).astype(int))
    plot.points(
        axes, data["share"].values[shown], data["speed"].values[shown], error=4 * data["speed_error"].values[shown],
        color=plot.COLOURS[1], label="trained, mean, 4 s.e.",
    )  # fmt: skip
    axes.set(xlabel="fraction of samples unsatisfied", ylabel=r"speed of the clock, $d\gamma/dt$", xlim=(1.04, 0))


def _draw_share(axes: Axes, data: xr.Dataset) -> None:
    time = data["time"].values
    plot.theory(
        axes, time[1:], data["share_predicted"][1:], color=plot.COLOURS[0], label=r"theory, erf$(x_c/\sqrt{2})$"
    )
    shown = np.unique(np.rint(np.geomspace(1, len(time) - 1, 26)).astype(int))
    plot.points(
        axes, time[shown], data["share"].values[shown], error=4 * data["share_error"].values[shown],
        color=plot.COLOURS[1], label="trained, mean, 4 s.e.",
    )  # fmt: skip
    last, level = time[-1], float(data["share_predicted"][-1])
    guide = np.array([last / 4, last])
    plot.theory(
        axes, guide, 0.8 * level * np.sqrt(last / guide), color="0.4", lw=1.4, ls="--", label="slope -1/2, its limit"
    )
    axes.set(
        xscale="log", yscale="log", xlabel=r"time (step x rate, $\beta$ = 1)", ylabel="fraction of samples unsatisfied"
    )
    ticks = [tick for tick in (0.1, 0.2, 0.3, 0.5, 0.7, 1.0) if tick > 0.7 * level]
    axes.yaxis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.yaxis.set_ticks([], minor=True)


def _draw_losses(axes: Axes, data: xr.Dataset) -> None:
    time = data["time"].values
    plot.theory(axes, time[1:], data["gamma_predicted"][1:], color=plot.COLOURS[0], label="hinge, theory")
    shown = np.unique(np.rint(np.geomspace(1, len(time) - 1, 24)).astype(int))
    plot.points(axes, time[shown], data["gamma"].values[shown], color=plot.COLOURS[0], label="hinge, trained")
    for loss, colour, marker in zip(OTHERS, plot.COLOURS[1:], "sD", strict=False):
        found = data[f"gamma_{loss}"].values
        label = f"{loss.replace('_', ' ')}, trained: no theory"
        plot.points(axes, data["late"], found.mean(axis=0), color=colour, fmt=f"{marker}-", lw=0.8, label=label)
    axes.set(xscale="log", xlabel=r"time (step x rate, $\beta$ = 1)", ylabel=r"$\gamma(t)$, from the nodes")
